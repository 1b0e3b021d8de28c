"""Load Planner LoRA: adapters on the 5 Hz language model."""

from __future__ import annotations

from comfy_api.v0_0_2 import io

from ...ace_core.checkpoints.registry import stamp
from ...ace_core.loaded import AcePlanner
from ...ace_core.lora.adapters import Strengths
from ...ace_core.lora.formats import adapter_files, describe_adapter
from ...ace_core.stages.load import inspect_planner_lora
from .. import compat
from ..host import adapters, folders
from ..node import CATEGORY, fingerprint, shown
from ..wires import AcePlannerWire
from .choices import check_offered
from .lora import FOLDER, applied_adapter, lora_options


class AceComposerLoadPlannerLora(io.ComfyNode):
    @classmethod
    def define_schema(cls) -> io.Schema:
        return compat.Schema(
            node_id="AceComposerLoadPlannerLora",
            display_name="ACE-Step Load Planner LoRA",
            category=f"{CATEGORY}/load",
            description="Apply a LoRA of the planner, which writes plans and audio codes in a learnt style: form, "
            "phrasing, tempo. From Side-Step, HOT-Step or PEFT. Several can be chained; other branches of the graph "
            "keep the planner without it.",
            search_aliases=["adapter", "lm lora", "5hz", "side-step", "hot-step", "peft", "artist"],
            inputs=[
                AcePlannerWire.Input("planner", tooltip="From Load Planner or another Load Planner LoRA."),
                io.Combo.Input(
                    "lora",
                    options=lora_options(),
                    tooltip="A safetensors file in models/loras, or a PEFT folder in it, made for a planner of this "
                    "size. Those of the model go into Load LoRA.",
                ),
                io.Float.Input(
                    "strength",
                    default=1.0,
                    min=-10.0,
                    max=10.0,
                    step=0.05,
                    tooltip="1: as trained. 0: off. Much more than 1 makes plans that break off or repeat.",
                ),
            ],
            outputs=[
                AcePlannerWire.Output(
                    "ace_planner",
                    display_name="planner",
                    tooltip="The planner with the adapter. Connect it to Plan, and to Save Song for its record.",
                )
            ],
            hidden=[io.Hidden.unique_id],
        )

    @classmethod
    def fingerprint_inputs(cls, lora: str, **_: object) -> str:
        return fingerprint(stamp(adapter_files(folders.model_path(FOLDER, lora))))

    @classmethod
    def execute(cls, planner: AcePlanner, lora: str, strength: float) -> io.NodeOutput:
        check_offered("lora", lora, lora_options())
        files, remarks = inspect_planner_lora(folders.model_path(FOLDER, lora), planner)
        applied = applied_adapter(lora, files, planner.lm, Strengths(strength))
        adapted = planner._replace(lm=adapters.with_adapter(planner.lm, applied), adapters=(*planner.adapters, applied))
        off = ("strength 0: the planner stays as it is",) if strength == 0 else ()
        lines = (f"{applied!r}: {describe_adapter(files)}", *off, *remarks)
        return shown("\n".join(lines), adapted)
