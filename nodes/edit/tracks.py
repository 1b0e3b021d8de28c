"""Extract, Lego, Complete and Vocal to Backing: single tracks out of a recording, and new ones for it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from comfy_api.v0_0_2 import io

from ...ace_core.loaded import AceVae
from ...ace_core.song.regions import parse_regions
from ...ace_core.song.tracks import GENRE_TRACKS, backing_tracks
from ...ace_core.stages.sources import encode_source
from ...ace_core.tasks.stems import track_task
from .. import compat
from ..host.networks import NETWORKS
from ..node import CATEGORY
from .inputs import (
    TRACK_CHOICES,
    audio_input,
    chosen_tracks,
    source_audio,
    task_output,
    task_wire,
    track_switches,
    vae_input,
)


class AceComposerExtract(io.ComfyNode):
    @classmethod
    def define_schema(cls) -> io.Schema:
        return compat.Schema(
            node_id="AceComposerExtract",
            display_name="ACE-Step Extract",
            category=f"{CATEGORY}/edit",
            description="Separate tracks from a mix: each track you switch on becomes one song of the batch, as "
            "long as the mix. Needs a base model.",
            search_aliases=["stems", "separate", "isolate", "karaoke", "a cappella"],
            inputs=[vae_input(), audio_input("The mix."), *track_switches("Extract the", on=("vocals",))],
            outputs=[task_wire()],
            hidden=[io.Hidden.unique_id],
        )

    @classmethod
    def execute(cls, vae: AceVae, audio: Mapping[str, Any] | None, **tracks: bool) -> io.NodeOutput:
        chosen = chosen_tracks(tracks)
        waveforms = source_audio(audio)
        songs = [
            track_task("extract", latents, waveforms.shape[-1], (track,))
            for latents in encode_source(NETWORKS, vae, waveforms)
            for track in chosen
        ]
        return task_output(songs)


class AceComposerLego(io.ComfyNode):
    @classmethod
    def define_schema(cls) -> io.Schema:
        return compat.Schema(
            node_id="AceComposerLego",
            display_name="ACE-Step Lego",
            category=f"{CATEGORY}/edit",
            description="Add one track that fits what already plays, and build a band layer by layer. Needs a base "
            "model.",
            search_aliases=["add instrument", "layer", "overdub", "stem"],
            inputs=[
                vae_input(),
                audio_input("The band so far: a mix or a single track."),
                io.Combo.Input("track", options=list(TRACK_CHOICES), default="drums", tooltip="The track to add."),
                io.String.Input(
                    "regions",
                    default="",
                    optional=True,
                    tooltip="Where the new track plays, in seconds, e.g. 10-20, 30-40; elsewhere it is silent. Empty: "
                    "throughout.",
                ),
            ],
            outputs=[task_wire()],
            hidden=[io.Hidden.unique_id],
        )

    @classmethod
    def execute(cls, vae: AceVae, audio: Mapping[str, Any] | None, track: str, regions: str = "") -> io.NodeOutput:
        parts = parse_regions(regions)
        waveforms = source_audio(audio)
        songs = [
            track_task("lego", latents, waveforms.shape[-1], (track,), regions=parts)
            for latents in encode_source(NETWORKS, vae, waveforms)
        ]
        return task_output(songs)


class AceComposerComplete(io.ComfyNode):
    @classmethod
    def define_schema(cls) -> io.Schema:
        return compat.Schema(
            node_id="AceComposerComplete",
            display_name="ACE-Step Complete",
            category=f"{CATEGORY}/edit",
            description="Accompany a recording with several tracks at once. Needs a base model.",
            search_aliases=["accompaniment", "arrange", "add instruments"],
            inputs=[
                vae_input(),
                audio_input("The track to accompany, such as a guitar or a voice."),
                *track_switches("Add", on=("drums", "bass")),
            ],
            outputs=[task_wire()],
            hidden=[io.Hidden.unique_id],
        )

    @classmethod
    def execute(cls, vae: AceVae, audio: Mapping[str, Any] | None, **tracks: bool) -> io.NodeOutput:
        return _completed(vae, audio, chosen_tracks(tracks))


class AceComposerVocalToBacking(io.ComfyNode):
    @classmethod
    def define_schema(cls) -> io.Schema:
        return compat.Schema(
            node_id="AceComposerVocalToBacking",
            display_name="ACE-Step Vocal to Backing",
            category=f"{CATEGORY}/edit",
            description="Accompany a voice with the tracks of a genre. Needs a base model.",
            search_aliases=["vocal2bgm", "a cappella", "backing track", "accompaniment"],
            inputs=[
                vae_input(),
                audio_input("A voice without accompaniment."),
                io.Combo.Input(
                    "genre",
                    options=list(GENRE_TRACKS),
                    default="pop",
                    tooltip="Which tracks play. How they play is set by the caption of the blueprint.",
                ),
                io.String.Input(
                    "more_tracks",
                    default="",
                    optional=True,
                    tooltip="Further tracks, separated by commas, e.g. strings, backing vocals.",
                ),
            ],
            outputs=[task_wire()],
            hidden=[io.Hidden.unique_id],
        )

    @classmethod
    def execute(cls, vae: AceVae, audio: Mapping[str, Any] | None, genre: str, more_tracks: str = "") -> io.NodeOutput:
        return _completed(vae, audio, backing_tracks(genre, more_tracks))


def _completed(vae: AceVae, audio: Mapping[str, Any] | None, tracks: Sequence[str]) -> io.NodeOutput:
    waveforms = source_audio(audio)
    sources = encode_source(NETWORKS, vae, waveforms)
    return task_output([track_task("complete", source, waveforms.shape[-1], tracks) for source in sources])
