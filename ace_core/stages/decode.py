"""Decode: latents to finished songs: waveforms, levelled or spliced into the recording they belong to."""

from __future__ import annotations

import math
from collections.abc import Sequence
from functools import partial

import torch
from torch import Tensor

from ..analysis.loudness import integrated_loudness
from ..audio.finishing import Finish, with_fades
from ..audio.splicing import Splice, splice
from ..audio.waveform import (
    LATENT_FRAME_RATE,
    SAMPLE_RATE,
    check_audible,
    limit_peak,
    peak_dbfs,
    peak_normalize,
)
from ..loaded import AceVae
from ..progress import Progress, part_of_progress
from ..render.vae import SMALLEST_TILE_FRAMES, choose_tile_frames, decode_latents, decode_memory_bytes
from ..runtime import Networks
from ..tasks.song_task import SongTask

PUBLISHED_FINISH = Finish()


def decode_songs(
    networks: Networks,
    vae: AceVae,
    songs: Sequence[Tensor],
    samples: Sequence[int],
    *,
    tile_seconds: float = 0.0,
    latent_shift: float = 0.0,
    latent_rescale: float = 1.0,
    on_progress: Progress | None = None,
) -> Tensor:
    """Waveforms [B, 2, N] at 48 kHz of latents [T_i, 64], with zeros behind the shorter ones.

    One by one: a song's end would be another beside what pads a batch.

    Args:
        samples: of each song.
        tile_seconds: decoded at a time; 0 for what half of the device's memory holds. Tiles do not change the sound.
        latent_shift, latent_rescale: latents are multiplied by the second, then the first is added, as the official
            program does against clipping.
        on_progress: in place of a progress bar for this alone.

    Raises:
        ValueError: a song decodes to silence or to no numbers.
        MemoryError: not even the smallest tile fits.
    """
    if latent_shift != 0 or latent_rescale != 1:
        songs = [song * latent_rescale + latent_shift for song in songs]
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
    waveforms: Tensor,
    samples: Sequence[int],
    finish: Finish = PUBLISHED_FINISH,
    *,
    splices: Sequence[Splice | None] = (),
) -> tuple[Tensor, tuple[str, ...]]:
    """Put decoded songs [B, 2, N] into their recordings, give the others their level, and all their fades.

    Args:
        splices: how each song joins its recording, whose other samples and level stay; None, or none at all, for songs
            that keep nothing.

    Returns:
        Songs [B, 2, N'], with zeros behind the shorter ones, and remarks for the user.
    """
    finished, notes = [], []
    for item, (window, count) in enumerate(zip(waveforms, samples, strict=True), 1):
        plan = splices[item - 1] if splices else None
        song = window[:, :count] if plan is None else splice(window[:, :count], plan)
        if plan is None or not plan.keeps_level:
            song, note = _levelled(song, finish)
            notes += [f"song {item}: {note}"] if note else []
        elif finish.loudness_lufs:
            notes.append(f"song {item} keeps the level of its recording: the loudness target is not used")
        finished.append(with_fades(song, finish))
    result = waveforms.new_zeros(len(finished), waveforms.shape[1], max(song.shape[-1] for song in finished))
    for item, song in enumerate(finished):
        result[item, :, : song.shape[-1]] = song
    return result, tuple(notes)


def _levelled(song: Tensor, finish: Finish) -> tuple[Tensor, str | None]:
    """A song [C, N] at the level asked for, and a remark where that is not possible."""
    if not finish.loudness_lufs:
        scale = partial(peak_normalize, peak_dbfs=finish.peak_dbfs) if finish.normalize else limit_peak
        return scale(song[None])[0], None
    loudness = integrated_loudness(song, SAMPLE_RATE)
    if loudness is None or not math.isfinite(loudness):
        return limit_peak(song[None])[0], "too short or too quiet for a loudness: its level is as decoded"
    gain_db = finish.loudness_lufs - loudness
    room_db = finish.peak_dbfs - float(peak_dbfs(song[None])[0])
    if gain_db > room_db:
        reached = loudness + room_db
        note = f"{reached:.1f} LUFS instead of {finish.loudness_lufs:g}: its peak would pass {finish.peak_dbfs:g} dBFS"
        return song * 10 ** (room_db / 20), note
    return song * 10 ** (gain_db / 20), None


def splices_of(tasks: Sequence[SongTask], samples: Sequence[int]) -> list[Splice | None]:
    """How each decoded song joins its recording; None where its task keeps nothing of it.

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
    return [song.splice for song in songs]
