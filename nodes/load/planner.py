"""Load Planner: the 5 Hz language model that plans songs.

It runs where the diffusion model runs, not where the host puts text encoders: that may be the CPU although there is a
GPU, and writing codes there takes minutes.
"""

from __future__ import annotations

from pathlib import Path

from comfy_api.v0_0_2 import io, ui

from ...ace_core.checkpoints import WeightSource, find_planner_tokenizer, inspect_planner, tokenizer_files
from ...ace_core.checkpoints.registry import WeightKey, stamp
from ...ace_core.models.qwen3 import Qwen3
from ...ace_core.planner.grammar import Grammar, build_grammar
from ...ace_core.planner.linear import decoding_ops
from .. import compat
from ..host import feedback, folders, networks
from ..wires import AcePlanner, AcePlannerWire
from . import choices as model_choice

FULL, INT8 = "full", "int8"


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
                compat.advanced(
                    io.Combo.Input(
                        "weights",
                        options=[FULL, INT8],
                        default=FULL,
                        optional=True,
                        tooltip="How the weights are kept. full: as they are computed with. int8: for a CPU only, a "
                        "quarter of the memory and faster, with slightly different plans.",
                    )
                ),
            ],
            outputs=[AcePlannerWire.Output("ace_planner", display_name="planner")],
            hidden=[io.Hidden.unique_id],
        )

    @classmethod
    def fingerprint_inputs(cls, planner: str, **_: object) -> list[tuple[str, int, int]]:
        return [tuple(entry) for entry in stamp(_files(inspect_planner(model_choice.chosen_path(planner))))]

    @classmethod
    def execute(cls, planner: str, precision: str, weights: str = FULL) -> io.NodeOutput:
        compat.check_choices(cls.define_schema(), planner=planner, precision=precision, weights=weights)
        source = inspect_planner(model_choice.chosen_path(planner))
        dtype = networks.compute_dtype(precision)

        def grammar() -> Grammar:
            rows, bundled = source.config.vocab_size, folders.bundled_tokenizer_folder()
            return build_grammar(find_planner_tokenizer(source.path, rows, bundled))

        ace_planner = AcePlanner(
            name=source.path.name,
            patcher=networks.patcher(
                source, dtype, kind="diffusion", ops=decoding_ops(networks.CASTING_OPS), int8=weights == INT8
            ),
            grammar=networks.registry.get(WeightKey("planner grammar", stamp(_files(source)), ""), grammar),
            dtype=dtype,
            files=stamp(source.files),
        )
        summary = f"{ace_planner!r}, {str(dtype).removeprefix('torch.')}, {weights} weights"
        feedback.show_text(cls.hidden.unique_id, summary)
        return io.NodeOutput(ace_planner, ui=ui.PreviewText(summary))


def _files(source: WeightSource[Qwen3]) -> tuple[Path, ...]:
    """Every file that the planner and its grammar depend on."""
    return (*source.files, *tokenizer_files(source.path, folders.bundled_tokenizer_folder()))
