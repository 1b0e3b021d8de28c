"""Load Planner: the 5 Hz language model that plans songs."""

from __future__ import annotations

from typing import get_args

from comfy_api.v0_0_2 import io

from ...ace_core.checkpoints.inspection import inspect_planner
from ...ace_core.checks import check_choice
from ...ace_core.runtime import Precision
from ...ace_core.stages.load import load_planner, planner_stamps
from .. import compat
from ..host.networks import NETWORKS
from ..node import CATEGORY, fingerprint, shown
from ..wires import AcePlannerWire
from . import choices

FULL, INT8 = "full", "int8"


class AceComposerLoadPlanner(io.ComfyNode):
    @classmethod
    def define_schema(cls) -> io.Schema:
        return compat.Schema(
            node_id="AceComposerLoadPlanner",
            display_name="ACE-Step Load Planner",
            category=f"{CATEGORY}/load",
            description="Load the 5 Hz language model that plans songs, in any published file layout.",
            search_aliases=["language model", "lm", "5hz", "qwen"],
            inputs=[
                io.Combo.Input(
                    "planner",
                    options=choices.shown(choices.planner_places()),
                    tooltip="A 5 Hz language model (0.6B, 1.7B or 4B; larger ones plan better and are slower): a "
                    "file in text_encoders or checkpoints, or a folder acestep-5Hz-lm-* in ace_step. Not the "
                    "text encoder.",
                ),
                compat.advanced(
                    io.Combo.Input(
                        "precision",
                        options=list(get_args(Precision)),
                        default=choices.AUTO,
                        tooltip="Data type of the planner. auto: bfloat16 on a GPU that has it, float32 on a CPU.",
                    )
                ),
                compat.advanced(
                    io.Combo.Input(
                        "weights",
                        options=[FULL, INT8],
                        default=FULL,
                        optional=True,
                        tooltip="full: weights as published. int8: a quarter of the memory and faster, with slightly "
                        "different plans; CPU only.",
                    )
                ),
            ],
            outputs=[
                AcePlannerWire.Output(
                    "ace_planner", display_name="planner", tooltip="The language model and its tokenizer."
                )
            ],
            hidden=[io.Hidden.unique_id],
        )

    @classmethod
    def validate_inputs(cls, planner: str | None) -> bool | str:
        """Workflows of the first versions name the model folder too, which the list does not show."""
        return choices.refusal("planner", planner, choices.planner_places()) or True

    @classmethod
    def fingerprint_inputs(cls, planner: str, **_: object) -> str:
        return fingerprint(planner_stamps(choices.chosen_path("planner", planner, choices.planner_places())))

    @classmethod
    def execute(cls, planner: str, precision: Precision, weights: str = FULL) -> io.NodeOutput:
        check_choice("precision", precision, get_args(Precision))
        check_choice("weights", weights, (FULL, INT8))
        path = choices.chosen_path("planner", planner, choices.planner_places())
        loaded = load_planner(NETWORKS, path, precision=precision, int8=weights == INT8)
        dtype = str(loaded.lm.dtype).removeprefix("torch.")
        notes = inspect_planner(path).notes
        return shown("\n".join((f"{loaded!r}, {dtype}, {weights} weights", *notes)), loaded)
