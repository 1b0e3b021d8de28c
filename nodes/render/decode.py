"""Decode: latents to 48 kHz stereo."""

from __future__ import annotations

from typing import Any

import torch
from comfy_api.v0_0_2 import io, ui
from torch import Tensor

from ...ace_core.audio.splicing import Splice, splice
from ...ace_core.audio.vae import SMALLEST_TILE_FRAMES, choose_tile_frames, decode, decode_memory_bytes
from ...ace_core.audio.waveform import LATENT_FRAME_RATE, SAMPLE_RATE, check_audible, limit_peak, peak_normalize
from .. import compat
from ..host import feedback, networks
from ..edit.inputs import described
from ..wires import AceTask, AceTaskWire, AceVae, AceVaeWire
from .latents import sample_counts, song_latents


class AceComposerDecode(io.ComfyNode):
    @classmethod
    def define_schema(cls) -> io.Schema:
        return compat.Schema(
            node_id="AceComposerDecode",
            display_name="ACE-Step Decode",
            category="audio/ACE Composer",
            description="Decode latents to 48 kHz stereo audio, in tiles where memory asks for it.",
            search_aliases=["vae decode", "audio"],
            inputs=[
                AceVaeWire.Input("vae", tooltip="From Load Models."),
                io.Latent.Input("latent", tooltip="From Sample, or any latents [batch, 64, frames] of ACE-Step 1.5."),
                io.Boolean.Input(
                    "normalize",
                    default=True,
                    tooltip="Bring the peak of each song to -1 dBFS, as published. This changes the level, also of "
                    "quiet songs. Off: the level stays, and only a peak above full scale is brought down to it.",
                ),
                compat.advanced(
                    io.Float.Input(
                        "tile_seconds",
                        default=0.0,
                        min=0.0,
                        max=600.0,
                        step=1.0,
                        optional=True,
                        tooltip="Length of a tile. 0: chosen by the free memory. Tiles do not change the sound.",
                    )
                ),
                AceTaskWire.Input(
                    "task",
                    optional=True,
                    tooltip="From Repaint or Extend, the same as in Encode: puts the new parts into the recording, "
                    "whose other samples and level stay as they are.",
                ),
            ],
            outputs=[io.Audio.Output("audio", display_name="audio")],
            hidden=[io.Hidden.unique_id],
        )

    @classmethod
    def execute(
        cls,
        vae: AceVae,
        latent: dict[str, Any],
        normalize: bool,
        tile_seconds: float = 0.0,
        task: AceTask | None = None,
    ) -> io.NodeOutput:
        songs, counts = song_latents(latent), sample_counts(latent)
        splices = None if task is None else _splices(task, counts)
        config = vae.patcher.model.config
        tile_frames = int(tile_seconds * LATENT_FRAME_RATE) or choose_tile_frames(
            config, networks.total_memory_bytes(vae.patcher) // 2, vae.dtype
        )
        tile_frames = max(SMALLEST_TILE_FRAMES, min(tile_frames, max(map(len, songs))))
        network, device = networks.load(vae.patcher, decode_memory_bytes(config, tile_frames, vae.dtype))
        update = feedback.progress()
        frames, frames_before = sum(map(len, songs)), 0
        waveforms = torch.zeros(len(counts), config.audio_channels, max(counts))
        for item, (song, count) in enumerate(zip(songs, counts, strict=True)):
            # One by one: a song's end would be another beside what pads a batch.
            waveforms[item, :, :count] = decode(
                network,
                song[None],
                device=device,
                dtype=vae.dtype,
                tile_frames=tile_frames,
                out_of_memory=networks.OUT_OF_MEMORY,
                on_progress=lambda done, _, before=frames_before: update(before + done, frames),
            )[0, :, :count]
            frames_before += len(song)
        check_audible(waveforms)
        if splices:
            waveforms = _spliced(waveforms, counts, splices)
        else:
            waveforms = (peak_normalize if normalize else limit_peak)(waveforms)
        audio = {"waveform": waveforms, "sample_rate": SAMPLE_RATE}
        if task is None:
            return io.NodeOutput(audio)
        text = (
            f"{described(task.songs[0])}: the rest is the recording, at its own level"
            if splices
            else f"{task.songs[0].task} keeps nothing of its source as it is: the task changes nothing here"
        )
        feedback.show_text(cls.hidden.unique_id, text)
        return io.NodeOutput(audio, ui=ui.PreviewText(text))


def _splices(task: AceTask, counts: list[int]) -> list[Splice]:
    """How each decoded song joins its recording; none where the task keeps nothing of it.

    Raises:
        ValueError: the latents were made with another task.
    """
    if len(task.songs) not in (1, len(counts)):
        raise ValueError(
            f"the latents hold {len(counts)} songs and the task {len(task.songs)}: connect the task that these latents "
            "were made with"
        )
    songs = task.songs * (len(counts) // len(task.songs))
    for item, (song, count) in enumerate(zip(songs, counts, strict=True), 1):
        if count != song.sample_count:
            raise ValueError(
                f"song {item} of {len(counts)} lasts {count / SAMPLE_RATE:g} s and the task's window "
                f"{song.duration_seconds:g} s: connect the task that these latents were made with"
            )
    return [song.splice for song in songs if song.splice is not None]


def _spliced(windows: Tensor, counts: list[int], splices: list[Splice]) -> Tensor:
    """Recordings [B, C, N] with the decoded windows in them."""
    results = [splice(window[:, :count], plan) for window, count, plan in zip(windows, counts, splices, strict=True)]
    return torch.stack(results)
