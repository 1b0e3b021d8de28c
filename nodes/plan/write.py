"""Write Song and Rewrite: whole songs from an idea, richer captions and formatted lyrics."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from comfy_api.v0_0_2 import io

from ...ace_core.loaded import AcePlanner
from ...ace_core.planner.writing import OFFERED_WRITE_PARAMETERS, WRITE_PARAMETERS
from ...ace_core.stages.plan import rewrite_songs, write_songs
from .. import compat
from ..host.networks import NETWORKS
from ..node import CATEGORY
from ..wires import AceBlueprint, AceBlueprintWire, AcePlannerWire
from .inputs import batch_size_input, plan_outputs, planned_output, sampling_inputs, seed_input, seeds_for


class AceComposerWriteSong(io.ComfyNode):
    @classmethod
    def define_schema(cls) -> io.Schema:
        return compat.Schema(
            node_id="AceComposerWriteSong",
            display_name="ACE-Step Write Song",
            category=f"{CATEGORY}/plan",
            description="Simple mode: write a whole song plan from one line, with caption, lyrics, tempo, key "
            "and length.",
            search_aliases=["simple mode", "idea", "lyrics", "random song", "inspire"],
            inputs=[
                AcePlannerWire.Input("planner", tooltip="From Load Planner."),
                io.String.Input(
                    "idea",
                    multiline=True,
                    dynamic_prompts=False,
                    placeholder="a sad piano ballad about rain, female vocal",
                    tooltip="The song in your words, in any language, e.g. a sad piano ballad about rain, female "
                    "vocal. Empty: the planner chooses a theme.",
                ),
                io.Boolean.Input("instrumental", default=False, tooltip="Write a song without vocals."),
                seed_input(),
                batch_size_input("How many songs to write from the idea, each with its own seed."),
                AceBlueprintWire.Input(
                    "blueprint",
                    optional=True,
                    tooltip="Fields you already set, such as language or length; the song is written around them.",
                ),
                *sampling_inputs(OFFERED_WRITE_PARAMETERS),
            ],
            outputs=plan_outputs(),
            hidden=[io.Hidden.unique_id],
        )

    @classmethod
    def execute(
        cls,
        planner: AcePlanner,
        idea: str,
        instrumental: bool,
        seed: int,
        batch_size: int,
        blueprint: AceBlueprint | None = None,
        **sampling: Any,
    ) -> io.NodeOutput:
        if blueprint is not None and len(blueprint) > 1:
            raise ValueError(f"connect one blueprint with what is decided, got {len(blueprint)}")
        decided = None if blueprint is None else blueprint[0]
        parameters, seeds = replace(WRITE_PARAMETERS, **sampling), seeds_for((), seed, batch_size)
        planned = write_songs(NETWORKS, planner, idea, seeds, parameters, instrumental=instrumental, decided=decided)
        return planned_output(planned)


class AceComposerRewrite(io.ComfyNode):
    @classmethod
    def define_schema(cls) -> io.Schema:
        return compat.Schema(
            node_id="AceComposerRewrite",
            display_name="ACE-Step Rewrite",
            category=f"{CATEGORY}/plan",
            description="Write a richer caption for a blueprint, format its lyrics for the model and fill open fields.",
            search_aliases=["format", "enhance", "improve caption", "lyrics"],
            inputs=[
                AcePlannerWire.Input("planner", tooltip="From Load Planner."),
                AceBlueprintWire.Input(
                    "blueprint",
                    tooltip="The song to rewrite, or several. Language, tempo, key, time signature and length that "
                    "are set stay.",
                ),
                seed_input(),
                io.Boolean.Input(
                    "rewrite_lyrics",
                    default=True,
                    tooltip="Replace the lyrics with the planner's version. Off: only the caption is rewritten.",
                ),
                *sampling_inputs(OFFERED_WRITE_PARAMETERS),
            ],
            outputs=plan_outputs(),
            hidden=[io.Hidden.unique_id],
        )

    @classmethod
    def execute(
        cls, planner: AcePlanner, blueprint: AceBlueprint, seed: int, rewrite_lyrics: bool, **sampling: Any
    ) -> io.NodeOutput:
        parameters = replace(WRITE_PARAMETERS, **sampling)
        seeds = seeds_for(blueprint, seed, 1)
        planned = rewrite_songs(NETWORKS, planner, blueprint, seeds, parameters, rewrite_lyrics=rewrite_lyrics)
        return planned_output(planned)
