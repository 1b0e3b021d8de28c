"""Plan: fill what a blueprint leaves open and write its audio codes."""

from __future__ import annotations

from typing import Any

from comfy_api.v0_0_2 import io

from ...ace_core.loaded import AcePlanner
from ...ace_core.planner.planning import CODES_GUIDANCE_SCALE, CODES_PARAMETERS
from ...ace_core.stages.plan import plan_songs
from .. import changes, compat
from ..host.networks import NETWORKS
from ..node import CATEGORY
from ..wires import AceBlueprint, AceBlueprintWire, AcePlannerWire
from .inputs import (
    batch_size_input,
    chosen_parameters,
    plan_outputs,
    planned_output,
    sampling_inputs,
    seed_input,
    seeds_for,
)


class AceComposerPlan(io.ComfyNode):
    @classmethod
    def define_schema(cls) -> io.Schema:
        return compat.Schema(
            node_id="AceComposerPlan",
            display_name="ACE-Step Plan",
            category=f"{CATEGORY}/plan",
            description="Fill the open fields of a blueprint (bpm, key, time signature, duration, language, "
            "caption) and write the audio codes that guide the render. Fields you set are never "
            "changed.",
            search_aliases=["think", "chain of thought", "audio codes", "metadata"],
            inputs=[
                AcePlannerWire.Input("planner", tooltip="From Load Planner."),
                AceBlueprintWire.Input(
                    "blueprint", tooltip="The fields you set; open ones are planned. One blueprint, or several."
                ),
                seed_input(),
                batch_size_input(
                    "How many songs to plan from one blueprint. With several blueprints: 1, or their number."
                ),
                io.Boolean.Input(
                    "write_codes",
                    default=True,
                    tooltip="Write audio codes, 5 per second: slower, but the song holds together better. Off: only "
                    "text and numbers.",
                ),
                io.Boolean.Input(
                    "rewrite_caption",
                    default=False,
                    tooltip="Let the planner write a richer caption for the render. Yours stays in the blueprint.",
                ),
                compat.advanced(
                    io.Boolean.Input(
                        "detect_language",
                        default=True,
                        optional=True,
                        tooltip="If the language is on auto, let the planner choose it.",
                    )
                ),
                compat.advanced(
                    io.Boolean.Input(
                        "share_plan",
                        default=False,
                        optional=True,
                        tooltip="One plan for all songs of the batch, each with its own codes. Off: a plan for each "
                        "song.",
                    )
                ),
                compat.advanced(
                    io.Float.Input(
                        "guidance",
                        default=CODES_GUIDANCE_SCALE,
                        min=1.0,
                        max=5.0,
                        step=0.1,
                        optional=True,
                        tooltip="Guidance scale of the audio codes; 1 is off and twice as fast. Text is planned "
                        "without guidance.",
                    )
                ),
                compat.advanced(
                    io.String.Input(
                        "negative_prompt",
                        multiline=True,
                        default="",
                        dynamic_prompts=False,
                        optional=True,
                        tooltip="What the song should not be, in words. Needs guidance above 1.",
                    )
                ),
                compat.advanced(
                    io.Boolean.Input(
                        "natural_ending",
                        default=False,
                        optional=True,
                        tooltip="Let the music end by itself in the last 4 seconds, followed by silence. Off: codes "
                        "for the exact length.",
                    )
                ),
                compat.advanced(
                    io.Boolean.Input(
                        "legacy_prompts",
                        default=False,
                        optional=True,
                        tooltip="Write the codes with the prompt format used before April 2026, for comparison.",
                    )
                ),
                *sampling_inputs(CODES_PARAMETERS),
            ],
            outputs=plan_outputs(),
            hidden=[io.Hidden.unique_id],
        )

    @classmethod
    def execute(
        cls,
        planner: AcePlanner,
        blueprint: AceBlueprint,
        seed: int,
        batch_size: int,
        **options: Any,
    ) -> io.NodeOutput:
        parameters = chosen_parameters(CODES_PARAMETERS, options)
        seeds = seeds_for(blueprint, seed, batch_size)
        planned = plan_songs(NETWORKS, planner, blueprint, seeds, parameters, **options)
        return planned_output(planned, *changes.once(changes.PLAIN_CAPTION, applies=not options["rewrite_caption"]))
