"""Extract, Lego, Complete and Vocal to Backing: single tracks out of a recording, and new ones for it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from comfy_api.v0_0_2 import io

from ...ace_core.song.regions import parse_regions
from ...ace_core.song.tracks import GENRE_TRACKS, backing_tracks
from ...ace_core.tasks.song_task import track_task
from .. import compat
from ..wires import AceVae
from .inputs import (
    TRACK_CHOICES,
    audio_input,
    chosen_tracks,
    encoded,
    heard,
    task_output,
    task_result,
    track_switches,
    vae_input,
)


class AceComposerExtract(io.ComfyNode):
    @classmethod
    def define_schema(cls) -> io.Schema:
        return compat.Schema(
            node_id="AceComposerExtract",
            display_name="ACE-Step Extract",
            category="audio/ACE Composer",
            description="Take tracks out of a mix: one song a track comes out, as long as the mix. Needs a base or sft "
            "model.",
            search_aliases=["stems", "separate", "isolate", "karaoke", "a cappella"],
            inputs=[vae_input(), audio_input("The mix."), *track_switches("Extract the", on=("vocals",))],
            outputs=[task_output()],
            hidden=[io.Hidden.unique_id],
        )

    @classmethod
    def execute(cls, vae: AceVae, audio: Mapping[str, Any] | None, **tracks: bool) -> io.NodeOutput:
        chosen = chosen_tracks(tracks)
        if not chosen:
            raise ValueError("choose the tracks to extract: every track is switched off")
        waveforms = heard(audio)
        songs = [
            track_task("extract", latents, waveforms.shape[-1], (track,))
            for latents in encoded(vae, waveforms)
            for track in chosen
        ]
        return task_result(songs, cls.hidden.unique_id)


class AceComposerLego(io.ComfyNode):
    @classmethod
    def define_schema(cls) -> io.Schema:
        return compat.Schema(
            node_id="AceComposerLego",
            display_name="ACE-Step Lego",
            category="audio/ACE Composer",
            description="Add one track that fits what already plays, and build a band layer by layer. Needs a base or "
            "sft model.",
            search_aliases=["add instrument", "layer", "overdub", "stem"],
            inputs=[
                vae_input(),
                audio_input("The band so far: a mix or a single track."),
                io.Combo.Input("track", options=list(TRACK_CHOICES), default="drums", tooltip="The track to add."),
                io.String.Input(
                    "regions",
                    default="",
                    optional=True,
                    tooltip="Where the new track plays, in seconds, such as 10-20, 30-40. Empty: throughout.",
                ),
            ],
            outputs=[task_output()],
            hidden=[io.Hidden.unique_id],
        )

    @classmethod
    def execute(cls, vae: AceVae, audio: Mapping[str, Any] | None, track: str, regions: str = "") -> io.NodeOutput:
        parts = parse_regions(regions)
        waveforms = heard(audio)
        songs = [
            track_task("lego", latents, waveforms.shape[-1], (track,), regions=parts)
            for latents in encoded(vae, waveforms)
        ]
        return task_result(songs, cls.hidden.unique_id)


class AceComposerComplete(io.ComfyNode):
    @classmethod
    def define_schema(cls) -> io.Schema:
        return compat.Schema(
            node_id="AceComposerComplete",
            display_name="ACE-Step Complete",
            category="audio/ACE Composer",
            description="Accompany a recording with a set of tracks, all at once. Needs a base or sft model.",
            search_aliases=["accompaniment", "arrange", "add instruments"],
            inputs=[
                vae_input(),
                audio_input("The track to accompany."),
                *track_switches("Add", on=("drums", "bass")),
            ],
            outputs=[task_output()],
            hidden=[io.Hidden.unique_id],
        )

    @classmethod
    def execute(cls, vae: AceVae, audio: Mapping[str, Any] | None, **tracks: bool) -> io.NodeOutput:
        return _completed(vae, audio, chosen_tracks(tracks), cls.hidden.unique_id)


class AceComposerVocalToBacking(io.ComfyNode):
    @classmethod
    def define_schema(cls) -> io.Schema:
        return compat.Schema(
            node_id="AceComposerVocalToBacking",
            display_name="ACE-Step Vocal to Backing",
            category="audio/ACE Composer",
            description="Accompany a voice with the band of a genre. Needs a base or sft model.",
            search_aliases=["vocal2bgm", "a cappella", "backing track", "accompaniment"],
            inputs=[
                vae_input(),
                audio_input("A voice without accompaniment."),
                io.Combo.Input(
                    "genre",
                    options=list(GENRE_TRACKS),
                    default="pop",
                    tooltip="Which tracks play. How they play is the blueprint's caption's business.",
                ),
                io.String.Input(
                    "more_tracks",
                    default="",
                    optional=True,
                    tooltip="Further tracks, such as strings, backing vocals.",
                ),
            ],
            outputs=[task_output()],
            hidden=[io.Hidden.unique_id],
        )

    @classmethod
    def execute(cls, vae: AceVae, audio: Mapping[str, Any] | None, genre: str, more_tracks: str = "") -> io.NodeOutput:
        return _completed(vae, audio, backing_tracks(genre, more_tracks), cls.hidden.unique_id)


def _completed(
    vae: AceVae, audio: Mapping[str, Any] | None, tracks: Sequence[str], node_id: str | None
) -> io.NodeOutput:
    if not tracks:
        raise ValueError("choose the tracks to add: every track is switched off")
    waveforms = heard(audio)
    songs = [track_task("complete", latents, waveforms.shape[-1], tracks) for latents in encoded(vae, waveforms)]
    return task_result(songs, node_id)
