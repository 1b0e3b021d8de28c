"""Sources: from any recording to the latents that tasks, codes and references are made of."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor
from torch.nn import functional

from ..audio.reference import reference_windows
from ..audio.waveform import (
    LATENT_FRAME_RATE,
    MAX_DURATION_SECONDS,
    MIN_LATENT_FRAMES,
    SAMPLE_RATE,
    SAMPLES_PER_FRAME,
    resample,
    silent_items,
    to_stereo,
    validate_waveform,
)
from ..loaded import AceVae
from ..progress import Progress
from ..render.vae import ENCODE_TILE_FRAMES, decode_memory_bytes, encode_waveforms
from ..runtime import Networks
from ..sampling.noise import item_seeds

MIN_SOURCE_SECONDS = 1


def source_waveforms(waveform: Tensor | None, sample_rate: int, *, max_seconds: float = MAX_DURATION_SECONDS) -> Tensor:
    """Audio of a user as the tasks take it: [B, C, N] at any rate -> float32 [B, 2, N'] at 48 kHz.

    Raises:
        ValueError: none, broken, silent, surround, shorter than 1 s or longer than `max_seconds`.
    """
    waveform = to_stereo(validate_waveform(waveform, sample_rate))
    seconds = waveform.shape[-1] / sample_rate
    if seconds < MIN_SOURCE_SECONDS:
        raise ValueError(f"the audio lasts {seconds:.3g} s: give {MIN_SOURCE_SECONDS} s or more")
    if seconds > max_seconds:
        raise ValueError(f"the audio lasts {seconds:.2f} s and the model takes {max_seconds:g} s at most: cut it")
    silent = silent_items(waveform)
    if any(silent):
        raise ValueError(f"item {silent.index(True) + 1} of {len(silent)} of the audio is silent: nothing to work with")
    return resample(waveform, sample_rate)


def whole_frames(waveform: Tensor) -> Tensor:
    """Samples [..., N] as the VAE hears them: within -1..1, with zeros to the end of the last begun latent frame."""
    return functional.pad(waveform.clamp(-1, 1), (0, -waveform.shape[-1] % SAMPLES_PER_FRAME))


def encode_source(networks: Networks, vae: AceVae, waveforms: Tensor, on_progress: Progress | None = None) -> Tensor:
    """Latents [B, T, 64] of waveforms [B, 2, N] at 48 kHz; T frames hold all N samples.

    Args:
        on_progress: in place of a progress bar for this alone.
    """
    waveforms = whole_frames(waveforms)
    tile_frames = min(ENCODE_TILE_FRAMES, waveforms.shape[-1] // SAMPLES_PER_FRAME)
    # The encoder mirrors the decoder: as many signals at the full rate.
    needed = decode_memory_bytes(vae.vae.network.config, tile_frames, vae.vae.dtype)
    network, runtime = networks.use(vae.vae, needed)
    return encode_waveforms(
        network,
        waveforms,
        runtime,
        out_of_memory=networks.out_of_memory,
        on_progress=on_progress or networks.progress(),
    )


def given_sources(latents: Sequence[Tensor], waveforms: Tensor) -> list[Tensor]:
    """Latents [T, 64] of recordings [B, 2, N] that are there already, as the VAE's are taken.

    Args:
        latents: of each recording, those it was decoded from.

    Raises:
        ValueError: of another number or length than the recordings.
    """
    if len(latents) != len(waveforms):
        raise ValueError(f"got latents of {len(latents)} songs for {len(waveforms)} recordings: give one for each")
    frames = -(-waveforms.shape[-1] // SAMPLES_PER_FRAME)
    for item, song in enumerate(latents, 1):
        if len(song) < frames or len(song) > max(frames, MIN_LATENT_FRAMES):
            raise ValueError(
                f"the latents of song {item} last {len(song) / LATENT_FRAME_RATE:g} s and the audio "
                f"{waveforms.shape[-1] / SAMPLE_RATE:g} s: connect those that it was decoded from, or none"
            )
    return [song[:frames].float() for song in latents]


def encode_references(networks: Networks, vae: AceVae, recordings: Tensor, seed: int | None) -> tuple[Tensor, ...]:
    """Latents [750, 64] of 30 s of each recording [B, 2, N] at 48 kHz, for the timbre encoder.

    Args:
        seed: chooses the places in reference i with seed + i; None for the beginning, middle and end.
    """
    seeds = [None] * len(recordings) if seed is None else item_seeds(seed, len(recordings))
    windows = [reference_windows(item, item_seed) for item, item_seed in zip(recordings, seeds, strict=True)]
    return tuple(encode_source(networks, vae, torch.stack(windows)))
