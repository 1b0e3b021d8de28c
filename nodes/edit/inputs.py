"""Inputs and outputs that the editing nodes share."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from comfy_api.v0_0_2 import io
from torch import Tensor

from ...ace_core.audio.waveform import MAX_DURATION_SECONDS, SAMPLE_RATE
from ...ace_core.loaded import AceVae
from ...ace_core.song.fields import TRACKS
from ...ace_core.stages.sources import encode_source, given_sources, source_waveforms
from ...ace_core.tasks.song_task import SongTask, task_summary
from ..host.networks import NETWORKS
from ..node import shown
from ..render.latents import song_latents
from ..wires import AceTask, AceTaskWire, AceVaeWire

TRACK_CHOICES = tuple(reversed(TRACKS))  # vocals first


def vae_input() -> Any:
    return AceVaeWire.Input("vae", tooltip="From Load Models.")


def audio_input(what: str) -> Any:
    return io.Audio.Input("audio", tooltip=f"{what} Any sample rate, mono or stereo, 1 to 600 s.")


def latent_input() -> Any:
    return io.Latent.Input(
        "latent",
        optional=True,
        tooltip="The latents that the audio was decoded from, if you have just made it: used instead of encoding the "
        "audio, so nothing is lost on the way.",
    )


def source_latents(vae: AceVae, waveforms: Tensor, latent: Mapping[str, Any] | None) -> list[Tensor]:
    """Latents [T, 64] of recordings [B, 2, N] at 48 kHz: those that are given, or what the VAE makes of them."""
    if latent is None:
        return list(encode_source(NETWORKS, vae, waveforms))
    return given_sources(song_latents(dict(latent)), waveforms)


def task_wire() -> Any:
    return AceTaskWire.Output("ace_task", display_name="task", tooltip="For Encode and Decode.")


def track_switches(verb: str, *, on: Sequence[str] = ()) -> list[Any]:
    """A switch for each track; `on` are those that start switched on."""
    return [
        io.Boolean.Input(track, default=track in on, tooltip=f"{verb} {track.replace('_', ' ')}.")
        for track in TRACK_CHOICES
    ]


def chosen_tracks(switches: Mapping[str, bool]) -> tuple[str, ...]:
    """The tracks that are switched on.

    Raises:
        ValueError: none is.
    """
    chosen = tuple(track for track in TRACK_CHOICES if switches[track])
    if not chosen:
        raise ValueError("every track is switched off: switch on those you want")
    return chosen


def source_audio(audio: Mapping[str, Any] | None, *, max_seconds: float = MAX_DURATION_SECONDS) -> Tensor:
    """Waveforms [B, 2, N] at 48 kHz of an AUDIO; see `source_waveforms`."""
    if audio is None:
        return source_waveforms(None, SAMPLE_RATE)
    return source_waveforms(audio["waveform"], audio["sample_rate"], max_seconds=max_seconds)


def task_output(songs: Sequence[SongTask], *notes: str, **more_ui: Any) -> io.NodeOutput:
    """Output of a task node, with what it will do shown on the node; `more_ui` is for the page."""
    text = "\n".join([*(task_summary(song) for song in songs), *notes])
    return shown(text, AceTask(tuple(songs)), **more_ui)
