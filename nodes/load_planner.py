"""Load Planner: the 5 Hz language model that plans songs."""

from __future__ import annotations

from comfy_api.v0_0_2 import io, ui

from ..ace_core.checkpoints import find_tokenizer, inspect_planner
from ..ace_core.planner.grammar import Grammar, build_grammar
from ..ace_core.planner.linear import decoding_ops
from ..ace_core.registry import WeightKey, stamp
from . import _compat as compat
from . import host, model_choice
from .types import AcePlanner, AcePlannerWire


class AceComposerLoadPlanner(io.ComfyNode):
    @classmethod
    def define_schema(cls) -> io.Schema:
        return compat.Schema(
            node_id="AceComposerLoadPlanner",
            display_name="ACE-Step Load Planner",
            category="audio/ACE Composer",
            description="Load the 5 Hz language model that plans songs, in any published file layout.",
            search_aliases=["language model", "lm", "5hz", "qwen"],
            inputs=[
                io.Combo.Input(
                    "planner",
                    options=model_choice.planner_options(),
                    tooltip="An ACE-Step 5 Hz language model (0.6B, 1.7B or 4B): a file in text_encoders or "
                    "checkpoints, or a folder acestep-5Hz-lm-* in ace_step. Not the text encoder.",
                ),
                compat.advanced(
                    io.Combo.Input(
                        "precision",
                        options=[model_choice.AUTO, "bfloat16", "float32"],
                        default=model_choice.AUTO,
                        tooltip="What the planner computes in. auto: bfloat16 on a GPU that has it, float32 on a CPU.",
                    )
                ),
            ],
            outputs=[AcePlannerWire.Output("ace_planner", display_name="planner")],
            hidden=[io.Hidden.unique_id],
        )

    @classmethod
    def fingerprint_inputs(cls, planner: str, **_: object) -> list[tuple[str, int, int]]:
        return [tuple(entry) for entry in stamp(inspect_planner(model_choice.chosen_path(planner)).files)]

    @classmethod
    def execute(cls, planner: str, precision: str) -> io.NodeOutput:
        source = inspect_planner(model_choice.chosen_path(planner))
        dtype = host.compute_dtype(precision)

        def grammar() -> Grammar:
            tokenizer = find_tokenizer(source.path, source.config.vocab_size, host.bundled_tokenizer_folder())
            return build_grammar(tokenizer)

        ace_planner = AcePlanner(
            name=source.path.name,
            patcher=host.patcher(source, dtype, kind="text", ops=decoding_ops(host.CASTING_OPS)),
            grammar=host.registry.get(WeightKey("planner grammar", stamp(source.files), ""), grammar),
            dtype=dtype,
        )
        summary = f"{ace_planner!r}, {str(dtype).removeprefix('torch.')}"
        host.show_text(cls.hidden.unique_id, summary)
        return io.NodeOutput(ace_planner, ui=ui.PreviewText(summary))
