"""Decode: latents to finished songs: waveforms, levelled or spliced into the recording they belong to."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from ..audio.splicing import Splice, splice
from ..audio.waveform import LATENT_FRAME_RATE, SAMPLE_RATE, check_audible, limit_peak, peak_normalize
from ..loaded import AceVae
from ..progress import Progress, part_of_progress
from ..render.vae import SMALLEST_TILE_FRAMES, choose_tile_frames, decode_latents, decode_memory_bytes
from ..runtime import Networks
from ..tasks.song_task import SongTask


def decode_songs(
    networks: Networks,
    vae: AceVae,
    songs: Sequence[Tensor],
    samples: Sequence[int],
    *,
    tile_seconds: float = 0.0,
    on_progress: Progress | None = None,
) -> Tensor:
    """Waveforms [B, 2, N] at 48 kHz of latents [T_i, 64], with zeros behind the shorter ones.

    One by one: a song's end would be another beside what pads a batch.

    Args:
        samples: of each song.
        tile_seconds: decoded at a time; 0 for what half of the device's memory holds. Tiles do not change the sound.
        on_progress: in place of a progress bar for this alone.

    Raises:
        ValueError: a song decodes to silence or to no numbers.
        MemoryError: not even the smallest tile fits.
    """
    config, dtype = vae.vae.network.config, vae.vae.dtype
    tile_frames = int(tile_seconds * LATENT_FRAME_RATE)
    tile_frames = tile_frames or choose_tile_frames(config, networks.device_bytes(vae.vae) // 2, dtype)
    tile_frames = max(SMALLEST_TILE_FRAMES, min(tile_frames, max(map(len, songs))))
    network, runtime = networks.use(vae.vae, decode_memory_bytes(config, tile_frames, dtype))
    update = on_progress or networks.progress()
    frames, frames_before = sum(map(len, songs)), 0
    waveforms = torch.zeros(len(samples), config.audio_channels, max(samples))
    for item, (song, count) in enumerate(zip(songs, samples, strict=True)):
        waveforms[item, :, :count] = decode_latents(
            network,
            song[None],
            runtime,
            tile_frames=tile_frames,
            out_of_memory=networks.out_of_memory,
            on_progress=part_of_progress(update, frames_before, frames),
        )[0, :, :count]
        frames_before += len(song)
    check_audible(waveforms)
    return waveforms


def finish_songs(
    waveforms: Tensor, samples: Sequence[int], *, splices: Sequence[Splice] = (), normalize: bool = True
) -> Tensor:
    """Level decoded songs [B, 2, N], or put them into their recordings.

    Args:
        splices: how each song joins its recording, whose other samples and level stay; empty where nothing is kept.
        normalize: bring each peak to -1 dBFS, as published; else only a peak above full scale is brought down to it.
    """
    if not splices:
        return (peak_normalize if normalize else limit_peak)(waveforms)
    parts = zip(waveforms, samples, splices, strict=True)
    return torch.stack([splice(window[:, :count], plan) for window, count, plan in parts])


def splices_of(tasks: Sequence[SongTask], samples: Sequence[int]) -> list[Splice]:
    """How each decoded song joins its recording; none where the tasks keep nothing of it.

    Args:
        tasks: of the songs, or one for all.

    Raises:
        ValueError: the songs were made with other tasks.
    """
    if len(tasks) not in (1, len(samples)):
        raise ValueError(
            f"the latents hold {len(samples)} songs and the task {len(tasks)}: use the task that these latents "
            "were made with"
        )
    songs = [*tasks] * (len(samples) // len(tasks))
    for item, (song, count) in enumerate(zip(songs, samples, strict=True), 1):
        if count != song.samples:
            raise ValueError(
                f"song {item} of {len(samples)} lasts {count / SAMPLE_RATE:g} s and the task's window "
                f"{song.duration_seconds:g} s: use the task that these latents were made with"
            )
    return [song.splice for song in songs if song.splice is not None]
