"""Decoding and encoding of any length: the VAE over tiles, each with the neighbours it depends on.

The published tiling overlaps by 64 latent frames. The network reaches 9 frames when decoding and 7 when encoding; with
that much context on each side a tile equals the same part of the untiled result up to rounding, so tiles never show.

Songs of a batch are processed one at a time and results collect on the CPU: memory grows with a tile, not with a song.
"""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor

from ..audio.waveform import LATENT_FRAME_RATE
from ..models.oobleck import Oobleck, OobleckConfig, decoder_context_frames, encoder_context_frames
from ..progress import Progress
from ..runtime import OutOfMemory, Runtime

TILE_FRAMES = 512  # 20 s, as published
ENCODE_TILE_FRAMES = 30 * LATENT_FRAME_RATE  # as published
SMALLEST_TILE_FRAMES = 32

# Full-rate signals of `decoder_channels` that exist at once where a tile is not sliced (see Oobleck): 4.5 are our live
# tensors, the rest is the workspace of a convolution.
LIVE_SIGNALS = 6


def decode_memory_bytes(config: OobleckConfig, tile_frames: int, dtype: torch.dtype) -> int:
    """Estimate of what decoding tiles of `tile_frames` latent frames needs above weights and result.

    A CPU needs less, as it never holds a whole full-rate signal: a fifth for tiles of 512 frames.
    """
    samples = (tile_frames + 2 * decoder_context_frames(config)) * config.samples_per_frame
    return LIVE_SIGNALS * config.decoder_channels * samples * dtype.itemsize


def choose_tile_frames(config: OobleckConfig, free_bytes: int, dtype: torch.dtype) -> int:
    """The largest tile that decodes within `free_bytes`, 512 latent frames at most and 32 at least."""
    tile_frames = TILE_FRAMES
    while tile_frames > SMALLEST_TILE_FRAMES and decode_memory_bytes(config, tile_frames, dtype) > free_bytes:
        tile_frames //= 2
    return tile_frames


@torch.no_grad()
def decode_latents(
    vae: Oobleck,
    latents: Tensor,
    runtime: Runtime,
    *,
    tile_frames: int | None = TILE_FRAMES,
    out_of_memory: OutOfMemory = (),
    on_progress: Progress | None = None,
) -> Tensor:
    """Latents to waveforms.

    Args:
        latents: [B, T, latent_channels].
        tile_frames: latent frames decoded at a time, besides their context; None decodes a song in one tile.
        out_of_memory: exceptions after which a tile is tried again at half its size, down to 32 frames.
        on_progress: called after each tile with (frames done, frames in all).

    Returns:
        Waveforms [B, audio_channels, T * samples_per_frame], float32 on the CPU, not clipped.

    Raises:
        ValueError: another shape, or a tile below one frame.
        MemoryError: not even the smallest tile fits.
    """
    channels = vae.config.latent_channels
    if latents.ndim != 3 or latents.shape[2] != channels or latents.shape[1] == 0:
        raise ValueError(f"latents must have the shape [batch, frames, {channels}], got {list(latents.shape)}")
    batch, frames, _ = latents.shape
    step = vae.config.samples_per_frame
    waveforms = torch.empty(batch, vae.config.audio_channels, frames * step)

    def decode_tile(item: int, start: int, stop: int, first: int, last: int) -> None:
        tile = vae.decode(runtime.take(latents[item, None, first:last]))
        waveforms[item, :, start * step : stop * step] = tile[0, :, (start - first) * step : (stop - first) * step]

    context = decoder_context_frames(vae.config)
    _run_in_tiles(decode_tile, batch, frames, context, tile_frames, out_of_memory, on_progress)
    return waveforms


@torch.no_grad()
def encode_waveforms(
    vae: Oobleck,
    waveforms: Tensor,
    runtime: Runtime,
    *,
    tile_frames: int | None = ENCODE_TILE_FRAMES,
    out_of_memory: OutOfMemory = (),
    on_progress: Progress | None = None,
) -> Tensor:
    """Waveforms to latents: the mean of the posterior, so that encoding is repeatable.

    Args:
        waveforms: [B, audio_channels, N] at 48 kHz, N at least one latent frame (1920 samples).
        tile_frames, out_of_memory, on_progress: see `decode_latents`; a tile is 30 s by default, as published.

    Returns:
        Latents [B, N // samples_per_frame, latent_channels], float32 on the CPU.

    Raises:
        ValueError: another shape, shorter than one latent frame, or a tile below one frame.
        MemoryError: not even the smallest tile fits.
    """
    channels = vae.config.audio_channels
    if waveforms.ndim != 3 or waveforms.shape[1] != channels:
        raise ValueError(f"audio must have the shape [batch, {channels}, samples], got {list(waveforms.shape)}")
    batch, _, samples = waveforms.shape
    step = vae.config.samples_per_frame
    frames = samples // step
    if frames == 0:
        raise ValueError(f"audio must last at least {step} samples (one latent frame) to be encoded, got {samples}")
    latents = torch.empty(batch, frames, vae.config.latent_channels)

    def encode_tile(item: int, start: int, stop: int, first: int, last: int) -> None:
        end = samples if last == frames else last * step  # samples after the last whole frame reach into it
        tile = vae.encode(runtime.take(waveforms[item, None, :, first * step : end]))
        latents[item, start:stop] = tile[0, start - first : stop - first]

    context = encoder_context_frames(vae.config)
    _run_in_tiles(encode_tile, batch, frames, context, tile_frames, out_of_memory, on_progress)
    return latents


def _run_in_tiles(
    run_tile: Callable[[int, int, int, int, int], None],
    batch: int,
    frames: int,
    context: int,
    tile_frames: int | None,
    out_of_memory: OutOfMemory,
    on_progress: Progress | None,
) -> None:
    """Call run_tile(item, start, stop, first, last) until all frames of all items are done; see `decode_latents`.

    A tile yields frames start..stop from frames first..last.
    """
    if tile_frames is not None and tile_frames < 1:
        raise ValueError(f"a tile must be at least 1 latent frame, got {tile_frames}")
    tile_frames = frames if tile_frames is None else min(tile_frames, frames)
    item, start = 0, 0
    while item < batch:
        stop = min(start + tile_frames, frames)
        try:
            run_tile(item, start, stop, max(0, start - context), min(frames, stop + context))
        except out_of_memory as error:
            if tile_frames <= SMALLEST_TILE_FRAMES:
                raise MemoryError(
                    f"the VAE does not fit into memory, not even with {tile_frames} latent frames at a time: close "
                    "other programs, or run it on the CPU (ComfyUI's --cpu-vae)"
                ) from error
            tile_frames = max(SMALLEST_TILE_FRAMES, tile_frames // 2)
            continue
        if on_progress is not None:
            on_progress(item * frames + stop, batch * frames)
        item, start = (item + 1, 0) if stop == frames else (item, stop)
