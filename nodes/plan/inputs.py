"""Widgets and steps that the planner's nodes share."""

from __future__ import annotations

from dataclasses import fields, replace
from typing import Any

from comfy_api.v0_0_2 import io

from ...ace_core.planner.requests import PlannedSongs
from ...ace_core.planner.token_choice import SamplingParameters
from ...ace_core.sampling.noise import item_seeds
from ...ace_core.song.blueprint import Blueprint
from ...ace_core.song.fields import MAX_BATCH_SIZE, SONG_FIELDS
from .. import compat
from ..node import shown
from ..wires import AceBlueprintWire
from .plan_card import plan_cards

MAX_SHOWN_CHARACTERS = 120
SEED_TOOLTIP = "The same seed gives the same plan. Item i of a batch uses seed + i and equals that seed planned alone."


def seed_input(tooltip: str = SEED_TOOLTIP) -> Any:
    return io.Int.Input(
        "seed",
        default=0,
        min=0,
        max=0xFFFFFFFFFFFFFFFF,
        control_after_generate=True,
        tooltip=tooltip,
    )


def batch_size_input(tooltip: str) -> Any:
    return io.Int.Input("batch_size", default=1, min=1, max=MAX_BATCH_SIZE, tooltip=tooltip)


def sampling_inputs(defaults: SamplingParameters) -> list[Any]:
    """Advanced widgets for how a token is chosen, named like the fields of `SamplingParameters`."""
    return [
        compat.advanced(
            io.Float.Input(
                "temperature",
                default=defaults.temperature,
                min=0.0,
                max=2.0,
                step=0.01,
                optional=True,
                tooltip="How freely the planner chooses; 0 always takes the most probable token.",
            )
        ),
        compat.advanced(
            io.Float.Input(
                "top_p",
                default=defaults.top_p,
                min=0.01,
                max=1.0,
                step=0.01,
                optional=True,
                tooltip="Choose among the most probable tokens up to this sum of probabilities; 1 keeps all.",
            )
        ),
        compat.advanced(
            io.Int.Input(
                "top_k",
                default=0,
                min=0,
                max=1000,
                optional=True,
                tooltip="Choose among this many of the most probable tokens; 0 keeps all.",
            )
        ),
        compat.advanced(
            io.Float.Input(
                "min_p",
                default=0.0,
                min=0.0,
                max=0.99,
                step=0.01,
                optional=True,
                tooltip="Drop tokens less probable than this share of the most probable one; 0 keeps all.",
            )
        ),
        compat.advanced(
            io.Float.Input(
                "repetition_penalty",
                default=1.0,
                min=0.5,
                max=2.0,
                step=0.01,
                optional=True,
                tooltip="Above 1 avoids tokens that were used before. Music needs repetition: leave it at 1.",
            )
        ),
    ]


def chosen_parameters(defaults: SamplingParameters, options: dict[str, Any]) -> SamplingParameters:
    """What `sampling_inputs` gave, taken out of the options of a node."""
    names = [field.name for field in fields(SamplingParameters) if field.name in options]
    return replace(defaults, **{name: options.pop(name) for name in names})


def seeds_for(blueprints: tuple[Blueprint, ...], seed: int, batch_size: int) -> tuple[int, ...]:
    """One seed for each song to plan.

    Raises:
        ValueError: several blueprints, and a batch size that is neither 1 nor their number.
    """
    if len(blueprints) > 1 and batch_size not in (1, len(blueprints)):
        raise ValueError(
            f"{len(blueprints)} blueprints are connected and batch_size is {batch_size}: set it to 1 or "
            f"{len(blueprints)}, which both plan each once"
        )
    return item_seeds(seed, max(len(blueprints), batch_size))


def plan_outputs() -> list[Any]:
    return [
        AceBlueprintWire.Output(
            "ace_blueprint", display_name="blueprint", tooltip="The song plan. Planned fields are marked as planned."
        ),
        io.String.Output("text", display_name="text", tooltip="The whole plan as text."),
    ]


def planned_output(planned: PlannedSongs, *notes: str) -> io.NodeOutput:
    """Outputs blueprint and text, with further notes; programs are shown a shorter text, the page cards."""
    all_notes = (*planned.notes, *notes)
    full, short = (
        "\n\n".join([*(describe_plan(song, longest) for song in planned.blueprints), *all_notes])
        for longest in (None, MAX_SHOWN_CHARACTERS)
    )
    return shown(short, planned.blueprints, full, **plan_cards(planned.blueprints, all_notes))


def describe_plan(song: Blueprint, longest: int | None) -> str:
    """A plan in lines, each with who decided it; values of more than `longest` characters end in three dots."""
    lines = []
    for name in SONG_FIELDS:
        value = getattr(song, name)
        if value is None:
            continue
        shown = f"{len(value)} codes" if name == "audio_codes" else str(value)
        mark = " (planned)" if name in song.planned else ""
        if longest is not None:
            shown = " / ".join(shown.splitlines())
            shown = shown if len(shown) <= longest else shown[:longest] + "..."
        lines.append(f"{name}{mark}:\n{shown}" if "\n" in shown else f"{name}: {shown}{mark}")
    return "\n".join(lines)
