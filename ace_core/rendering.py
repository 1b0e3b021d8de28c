"""From conditions to latents: one DiT run for all songs of equal length.

Songs of one batch may differ in length. Those of equal length run together; the network's positions and noise depend on
the number of frames, so padding would change a song.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from .conditioning import SongConditions
from .models.dit import DiT, DiTConfig
from .models.layers import AttentionFunction, scaled_dot_product_attention
from .progress import Progress
from .sampling.denoise import Predict, denoise, initial_latents
from .sampling.noise import initial_noise
from .sampling.settings import SamplerSettings


def render_latents(
    dit: DiT,
    songs: Sequence[SongConditions],
    settings: SamplerSettings,
    seeds: Sequence[int],
    *,
    device: torch.device,
    dtype: torch.dtype,
    start_latents: Sequence[Tensor] | None = None,
    attention: AttentionFunction = scaled_dot_product_attention,
    on_progress: Progress | None = None,
) -> list[Tensor]:
    """Denoise the latents of each song.

    Args:
        songs: conditions, one an item of the batch.
        seeds: one an item.
        device, dtype: what the network runs on and in.
        start_latents: latents [T, 64] of each song to start from; the first time step says how noisy they become.
        on_progress: called after each step with (steps done, steps in all).

    Returns:
        Clean latents [T_i, 64] of each song, float32 on the CPU.

    Raises:
        ValueError: latents of another length than their song, or a result that is NaN, infinite or silent.
    """
    groups: dict[int, list[int]] = {}
    for item, song in enumerate(songs):
        groups.setdefault(len(song.source), []).append(item)
    results: dict[int, Tensor] = {}

    for group, (frames, items) in enumerate(groups.items()):
        group_songs = [songs[item] for item in items]
        group_seeds = [seeds[item] for item in items]
        x = initial_noise(group_seeds, frames).to(device)
        if start_latents is not None:
            given = torch.stack([start_latents[item] for item in items])
            x = initial_latents(x, given, settings.time_points[0].t)
        predict = _velocity_function(dit, group_songs, settings, device, dtype, attention)
        report = _shifted(on_progress, group * settings.steps, len(groups) * settings.steps)
        latents = denoise(predict, x, settings, item_seeds=group_seeds, on_progress=report)
        results.update(zip(items, latents.cpu(), strict=True))
    return [results[item] for item in range(len(songs))]


def _velocity_function(
    dit: DiT,
    songs: Sequence[SongConditions],
    settings: SamplerSettings,
    device: torch.device,
    dtype: torch.dtype,
    attention: AttentionFunction,
) -> Predict:
    context = torch.stack([_context(song) for song in songs]).to(device, dtype)
    run = dit.prepare(
        [song.packed.to(device, dtype) for song in songs],
        [point.thousandths for point in settings.time_points],
        context.shape[1],
        guided=settings.uses_guidance,
        attention=attention,
    )

    def predict(x: Tensor, index: int, guided: bool) -> tuple[Tensor, Tensor | None]:
        velocities: tuple[Tensor, Tensor | None] = dit(x, context, index, run, guided=guided)
        return velocities

    return predict


def render_memory_bytes(config: DiTConfig, songs: Sequence[SongConditions], *, guided: bool, dtype: torch.dtype) -> int:
    """Estimate of what `render_latents` needs above the weights: one layer's activations, all layers' conditions."""
    rows = len(songs) * (2 if guided else 1)
    tokens = max(len(song.source) for song in songs) // config.patch_size
    condition_tokens = max(len(song.packed) for song in songs)
    attention_width = config.num_heads * config.head_dim
    activations = rows * tokens * (6 * config.hidden_size + 5 * attention_width + 3 * config.intermediate_size)
    conditions = 2 * len(songs) * condition_tokens * config.num_layers * config.num_kv_heads * config.head_dim
    return (activations + conditions) * dtype.itemsize


def _shifted(on_progress: Progress | None, done_before: int, total: int) -> Progress | None:
    return on_progress and (lambda done, _: on_progress(done_before + done, total))


def _context(song: SongConditions) -> Tensor:
    return torch.cat((song.source, song.mask[:, None].expand_as(song.source)), dim=-1)
