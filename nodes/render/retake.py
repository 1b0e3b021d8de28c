"""Retake: the same song, a little different."""

from __future__ import annotations

from typing import Any

from comfy_api.v0_0_2 import io

from ...ace_core.song_files.replay import RENDER_SEED
from ...ace_core.stages.encode import AceConditioning, AceVariation
from .. import compat
from ..node import CATEGORY
from ..wires import AceConditioningWire
from .latents import song_records


class AceComposerRetake(io.ComfyNode):
    @classmethod
    def define_schema(cls) -> io.Schema:
        return compat.Schema(
            node_id="AceComposerRetake",
            display_name="ACE-Step Retake",
            category=f"{CATEGORY}/render",
            description="Vary a song that you like: keep the seed of Sample, and let a second seed change the "
            "song as far as you want.",
            search_aliases=["variation", "seed", "another take"],
            inputs=[
                AceConditioningWire.Input("conditioning", tooltip="From Encode."),
                io.Int.Input(
                    "seed",
                    default=0,
                    min=0,
                    max=0xFFFFFFFFFFFFFFFF,
                    control_after_generate=True,
                    tooltip="Another seed gives another retake. Item i of a batch uses seed + i.",
                ),
                io.Float.Input(
                    "strength",
                    default=0.3,
                    min=0.0,
                    max=1.0,
                    step=0.01,
                    tooltip="0: the same song. 1: a new song from this seed alone.",
                ),
                io.Latent.Input(
                    "latent",
                    optional=True,
                    tooltip="From Sample: vary this song. Its own seed is used, whatever the seed of Sample is; "
                    "keep the other settings.",
                ),
            ],
            outputs=[
                AceConditioningWire.Output(
                    "ace_conditioning",
                    display_name="conditioning",
                    tooltip="Conditions with the variation, for Sample.",
                )
            ],
        )

    @classmethod
    def execute(
        cls, conditioning: AceConditioning, seed: int, strength: float, latent: dict[str, Any] | None = None
    ) -> io.NodeOutput:
        if conditioning.variation is not None:
            raise ValueError("this conditioning is a retake already, and one retake replaces another: connect one only")
        varied = () if latent is None else _seeds(latent)
        return io.NodeOutput(conditioning._replace(variation=AceVariation(seed, strength, varied)))


def _seeds(latent: dict[str, Any]) -> tuple[int, ...]:
    """The seed that each song of a LATENT was rendered with."""
    seeds = [None if record is None else record.seeds.get(RENDER_SEED) for record in song_records(latent)]
    found = tuple(seed for seed in seeds if seed is not None)
    if len(found) < len(seeds):
        raise ValueError(
            "the latents do not say which seed they were rendered with: they come from a file, or another node changed "
            "them. Disconnect them and set the seed of Sample"
        )
    return found
