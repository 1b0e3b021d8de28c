"""Source audio of the editing nodes: from AUDIO to what the VAE makes of it, and what a task does with it in words."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, TypeVar

from comfy_api.v0_0_2 import io, ui
from torch import Tensor

from ...ace_core.audio.vae import ENCODE_TILE_FRAMES, decode_memory_bytes, encode
from ...ace_core.audio.waveform import LATENT_FRAME_RATE, MAX_DURATION_SECONDS, SAMPLE_RATE, SAMPLES_PER_FRAME
from ...ace_core.progress import Progress
from ...ace_core.song.fields import TRACKS
from ...ace_core.tasks.song_task import SongTask, source_waveforms, whole_frames
from ..host import feedback, networks
from ..wires import AceTask, AceTaskWire, AceVae, AceVaeWire

Value = TypeVar("Value")

TRACK_CHOICES = tuple(reversed(TRACKS))  # vocals first


def vae_input() -> Any:
    return AceVaeWire.Input("vae", tooltip="From Load Models.")


def audio_input(what: str) -> Any:
    return io.Audio.Input("audio", tooltip=f"{what} Any sample rate, mono or stereo, 1 to 600 s.")


def task_output() -> Any:
    return AceTaskWire.Output("ace_task", display_name="task", tooltip="For Encode and Decode.")


def track_switches(verb: str, *, on: Sequence[str] = ()) -> list[Any]:
    """A switch for each track; `on` are those that start switched on."""
    return [
        io.Boolean.Input(track, default=track in on, tooltip=f"{verb} {track.replace('_', ' ')}.")
        for track in TRACK_CHOICES
    ]


def chosen_tracks(switches: Mapping[str, bool]) -> tuple[str, ...]:
    return tuple(track for track in TRACK_CHOICES if switches[track])


def heard(audio: Mapping[str, Any] | None, *, max_seconds: float = MAX_DURATION_SECONDS) -> Tensor:
    """Waveforms [B, 2, N] at 48 kHz of an AUDIO; see `source_waveforms`."""
    if audio is None:
        return source_waveforms(None, SAMPLE_RATE)
    return source_waveforms(audio["waveform"], audio["sample_rate"], max_seconds=max_seconds)


def encoded(vae: AceVae, waveforms: Tensor, on_progress: Progress | None = None) -> Tensor:
    """Latents [B, T, 64] of waveforms [B, 2, N] at 48 kHz; T frames hold all N samples.

    Args:
        on_progress: in place of a progress bar of its own.
    """
    waveforms = whole_frames(waveforms)
    tile_frames = min(ENCODE_TILE_FRAMES, waveforms.shape[-1] // SAMPLES_PER_FRAME)
    # The encoder mirrors the decoder: as many signals at the full rate.
    network, device = networks.load(vae.patcher, decode_memory_bytes(vae.patcher.model.config, tile_frames, vae.dtype))
    return encode(
        network,
        waveforms,
        device=device,
        dtype=vae.dtype,
        out_of_memory=networks.OUT_OF_MEMORY,
        on_progress=on_progress or feedback.progress(),
    )


def one_for_each(values: Sequence[Value], items: int, what: str) -> list[Value]:
    """A value for each piece of audio; one serves all.

    Args:
        what: the values in words, for the error.

    Raises:
        ValueError: there are neither one nor as many as pieces of audio.
    """
    if len(values) not in (1, items):
        raise ValueError(f"got {len(values)} {what} for {items} pieces of audio: connect 1 or as many")
    return [*values] * (items // len(values))


def task_result(songs: Sequence[SongTask], node_id: str | None, *notes: str) -> io.NodeOutput:
    """Output of a task node, with what it will do shown on the node."""
    text = "\n".join([*(described(song) for song in songs), *notes])
    feedback.show_text(node_id, text)
    return io.NodeOutput(AceTask(tuple(songs)), ui=ui.PreviewText(text))


def described(song: SongTask) -> str:
    """A task in words, with the parts it generates on the timeline of the result."""
    tracks = f" ({', '.join(song.tracks)})" if song.tracks else ""
    if song.splice is None:
        seconds = song.duration_seconds
        parts = [(start / LATENT_FRAME_RATE, end / LATENT_FRAME_RATE) for start, end in song.regions]
    else:
        seconds = song.splice.original.shape[-1] / SAMPLE_RATE
        parts = [(start / SAMPLE_RATE, end / SAMPLE_RATE) for start, end in song.splice.generated]
    new = ", new: " + ", ".join(f"{start:g}-{end:g} s" for start, end in parts) if parts else ""
    return f"{song.task}{tracks} of {seconds:g} s{new}"
