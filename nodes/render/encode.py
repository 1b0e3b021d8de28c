"""Encode: from song plans, with a task and a timbre or without, to what the sampler needs."""

from __future__ import annotations

from comfy_api.v0_0_2 import io

from ...ace_core.loaded import AceModel, AceTextEncoder
from ...ace_core.stages.encode import encode_songs
from .. import compat
from ..host.networks import NETWORKS
from ..node import CATEGORY, shown
from ..wires import (
    AceBlueprint,
    AceBlueprintWire,
    AceConditioningWire,
    AceModelWire,
    AceTask,
    AceTaskWire,
    AceTextEncoderWire,
    AceTimbre,
    AceTimbreWire,
)


class AceComposerEncode(io.ComfyNode):
    @classmethod
    def define_schema(cls) -> io.Schema:
        return compat.Schema(
            node_id="AceComposerEncode",
            display_name="ACE-Step Encode",
            category=f"{CATEGORY}/render",
            description="Encode a blueprint, and optionally a task and a reference, for Sample.",
            search_aliases=["conditioning", "text encode"],
            inputs=[
                AceModelWire.Input(
                    "model",
                    tooltip="From Load Models; its condition encoder is used. Connect the same model to Sample.",
                ),
                AceTextEncoderWire.Input("text_encoder", tooltip="From Load Models."),
                AceBlueprintWire.Input("blueprint", tooltip="One song plan, or several, which become one batch."),
                compat.advanced(
                    io.Float.Input(
                        "codes_strength",
                        default=1.0,
                        min=0.0,
                        max=1.0,
                        step=0.01,
                        optional=True,
                        tooltip="Share of the sampling steps, from the first, that follow the blueprint's audio codes. "
                        "Does nothing for a blueprint without codes.",
                    )
                ),
                AceTaskWire.Input(
                    "task",
                    optional=True,
                    tooltip="What to do with source audio, from Cover, Repaint, Extend, Extract, Lego, Complete or "
                    "Vocal to Backing. The source sets the length of the song.",
                ),
                AceTimbreWire.Input(
                    "timbre", optional=True, tooltip="From Reference Audio: the sound to follow. Works with every task."
                ),
                compat.advanced(
                    io.String.Input(
                        "instruction",
                        default="",
                        optional=True,
                        tooltip="For experts: the instruction line of the prompt, in place of the task's own, which "
                        "the model was trained on. Empty: the task's own.",
                    )
                ),
            ],
            outputs=[
                AceConditioningWire.Output(
                    "ace_conditioning", display_name="conditioning", tooltip="Conditions and length of each song."
                )
            ],
            hidden=[io.Hidden.unique_id],
        )

    @classmethod
    def execute(
        cls,
        model: AceModel,
        text_encoder: AceTextEncoder,
        blueprint: AceBlueprint,
        codes_strength: float = 1.0,
        task: AceTask | None = None,
        timbre: AceTimbre | None = None,
        instruction: str = "",
    ) -> io.NodeOutput:
        encoded = encode_songs(
            NETWORKS,
            model,
            text_encoder,
            blueprint,
            tasks=task.songs if task else (),
            references=timbre.references if timbre else (),
            codes_strength=codes_strength,
            instruction=instruction,
        )
        return shown("\n".join(encoded.notes), encoded.conditioning)
