"""From conditions to latents: songs that need the same steps run together.

Songs of one batch may differ in length. Those of equal length share a run; the network's positions and the noise depend
on the number of frames, so padding would change a song. Songs whose conditions change on the way share a run if they
change at the same step.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from .conditioning import SongConditions
from .models.dit import DiT, DiTConfig, DiTRun
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
    groups: dict[tuple[int, int], list[int]] = {}
    for item, song in enumerate(songs):
        groups.setdefault((len(song.source), _switch_step(song, settings.steps)), []).append(item)
    results: dict[int, Tensor] = {}

    for group, ((frames, switch_step), items) in enumerate(groups.items()):
        group_songs = [songs[item] for item in items]
        group_seeds = [seeds[item] for item in items]
        x = initial_noise(group_seeds, frames).to(device)
        if start_latents is not None:
            given = torch.stack([start_latents[item] for item in items])
            x = initial_latents(x, given, settings.time_points[0].t)
        predict = _velocity_function(dit, group_songs, settings, switch_step, device, dtype, attention)
        report = _shifted(on_progress, group * settings.steps, len(groups) * settings.steps)
        latents = denoise(predict, x, settings, item_seeds=group_seeds, on_progress=report)
        results.update(zip(items, latents.cpu(), strict=True))
    return [results[item] for item in range(len(songs))]


def _switch_step(song: SongConditions, steps: int) -> int:
    """First step that runs with the song's late conditions."""
    return steps if song.late is None else int(steps * song.late.from_share)


def _velocity_function(
    dit: DiT,
    songs: Sequence[SongConditions],
    settings: SamplerSettings,
    switch_step: int,
    device: torch.device,
    dtype: torch.dtype,
    attention: AttentionFunction,
) -> Predict:
    mask = torch.stack([song.mask for song in songs])[:, :, None]

    def prepared(packed: list[Tensor], sources: list[Tensor]) -> tuple[DiTRun, Tensor]:
        source = torch.stack(sources)
        run = dit.prepare(
            [item.to(device, dtype) for item in packed],
            [point.thousandths for point in settings.time_points],
            source.shape[1],
            guided=settings.uses_guidance,
            attention=attention,
        )
        return run, torch.cat((source, mask.expand_as(source)), dim=-1).to(device, dtype)

    early = late = prepared([song.packed for song in songs], [song.source for song in songs]) if switch_step else None
    if switch_step < settings.steps:
        changes = [song.late for song in songs if song.late is not None]
        late = prepared([change.packed for change in changes], [change.source for change in changes])

    def predict(x: Tensor, index: int, guided: bool) -> tuple[Tensor, Tensor | None]:
        now = early if index < switch_step else late
        assert now is not None
        run, context = now
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
    kept = 2 if any(song.late is not None for song in songs) else 1
    conditions = 2 * kept * len(songs) * condition_tokens * config.num_layers * config.num_kv_heads * config.head_dim
    return (activations + conditions) * dtype.itemsize


def _shifted(on_progress: Progress | None, done_before: int, total: int) -> Progress | None:
    return on_progress and (lambda done, _: on_progress(done_before + done, total))
