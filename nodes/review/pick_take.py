"""Pick Take: the songs of a batch that were chosen by ear go on."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Any

from comfy_api.v0_0_2 import io

from ...ace_core.checks import shown, spread
from .. import compat
from ..host import feedback
from ..node import CATEGORY
from ..render.latents import picked_latent
from ..wires import AceBlueprint, AceBlueprintWire, AceScores, AceScoresWire


class AceComposerPickTake(io.ComfyNode):
    @classmethod
    def define_schema(cls) -> io.Schema:
        return compat.Schema(
            node_id="AceComposerPickTake",
            display_name="ACE-Step Pick Take",
            category=f"{CATEGORY}/review",
            description="Pass on the songs of a batch that you chose, by their numbers. Keep in the player of "
            "Preview Song writes them here.",
            search_aliases=["select", "choose", "keep", "filter batch", "pick song"],
            inputs=[
                io.String.Input(
                    "takes", default="1", tooltip="Numbers of the songs to pass on, in this order, such as 1 or 1, 3."
                ),
                io.Audio.Input("audio", optional=True, tooltip="The songs as audio."),
                io.Latent.Input("latent", optional=True, tooltip="The songs as latents."),
                AceBlueprintWire.Input(
                    "blueprint", optional=True, tooltip="The plans of the songs: one for all, or one for each."
                ),
                AceScoresWire.Input("scores", optional=True, tooltip="The scores of the songs."),
            ],
            outputs=[
                io.Audio.Output(
                    "picked_audio", display_name="audio", tooltip="The chosen songs as audio; needs the audio input."
                ),
                io.Latent.Output(
                    "picked_latent",
                    display_name="latent",
                    tooltip="The chosen songs as latents; needs the latent input.",
                ),
                AceBlueprintWire.Output(
                    "picked_blueprint",
                    display_name="blueprint",
                    tooltip="The plans of the chosen songs; needs the blueprint input.",
                ),
                AceScoresWire.Output(
                    "picked_scores",
                    display_name="scores",
                    tooltip="The scores of the chosen songs; needs the scores input.",
                ),
            ],
        )

    @classmethod
    def execute(
        cls,
        takes: str,
        audio: Mapping[str, Any] | None = None,
        latent: dict[str, Any] | None = None,
        blueprint: AceBlueprint | None = None,
        scores: AceScores | None = None,
    ) -> io.NodeOutput:
        songs = _song_count(audio, latent, blueprint, scores)
        items = take_indices(takes, songs)
        plans = None if blueprint is None else spread(blueprint, songs, "blueprints")
        return io.NodeOutput(
            feedback.unconnected("audio") if audio is None else {**audio, "waveform": audio["waveform"][items]},
            feedback.unconnected("latent") if latent is None else picked_latent(latent, items),
            feedback.unconnected("blueprint") if plans is None else tuple(plans[item] for item in items),
            feedback.unconnected("scores") if scores is None else AceScores(tuple(scores.songs[i] for i in items)),
        )


def take_indices(text: str, songs: int) -> list[int]:
    """The indices that numbers from 1 in a text mean, each once.

    Raises:
        ValueError: no numbers, something else, or a number above that of the songs.
    """
    parts = [part for part in re.split(r"[\s,;]+", text) if part]
    if not parts or not all(re.fullmatch(r"[0-9]{1,6}", part) for part in parts):
        raise ValueError(f"takes must be numbers such as 1, 3, got {shown(text)}")
    numbers = [*dict.fromkeys(int(part) for part in parts)]
    if wrong := [number for number in numbers if not 1 <= number <= songs]:
        raise ValueError(f"there is no take {wrong[0]}: the batch has {songs} song{'s' if songs > 1 else ''}")
    return [number - 1 for number in numbers]


def _song_count(
    audio: Mapping[str, Any] | None,
    latent: dict[str, Any] | None,
    blueprint: AceBlueprint | None,
    scores: AceScores | None,
) -> int:
    """How many songs the inputs hold; one blueprint serves all."""
    counts = {
        "audio": None if audio is None else len(audio["waveform"]),
        "latent": None if latent is None else len(latent["samples"]),
        "scores": None if scores is None else len(scores.songs),
        "blueprint": None if blueprint is None else len(blueprint),
    }
    given = {name: count for name, count in counts.items() if count is not None}
    if not given:
        raise ValueError("connect the songs to choose from: audio, latent, blueprint or scores")
    songs = next(iter(given.values()))
    single_plan: Sequence[int] = (1, songs)
    for name, count in given.items():
        if count not in (single_plan if name == "blueprint" else (songs,)):
            raise ValueError(f"{name} holds {count} songs and {next(iter(given))} {songs}: connect those of one batch")
    return songs
