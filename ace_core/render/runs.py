"""From conditions to latents: songs that need the same steps run together.

Songs of one batch may differ in length. Those of equal length share a run; the network's positions and the noise depend
on the number of frames, so padding would change a song. Songs whose conditions change on the way, or that start from
their source instead of noise, share a run if they do so at the same step.

A source is held as in the official repaint: after the update of a step, what the mask keeps is set back to the source
at that step's level, with the noise the run began with; the result then fades into the source beside the mask. The last
step is never held, as in the official turbo model (the base model does): it would leave a hard edge in the latents and
nothing to fade.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import NamedTuple, TypeAlias

import torch
from torch import Tensor

from ..audio.waveform import LATENT_FRAME_RATE
from ..models.dit import DiT, DiTConfig, DiTRun
from ..progress import Progress, part_of_progress
from ..runtime import Runtime
from ..sampling.denoise import AfterStep, OnDenoiseStep, Predict, denoise
from ..sampling.noise import Variation, initial_noise, varied_noise
from ..sampling.settings import SamplerSettings
from ..sampling.solvers import add_noise
from ..song.fields import MAX_BATCH_SIZE
from .conditions import SecondConditions, SongConditions

OnStep: TypeAlias = Callable[[Sequence[int], int, int, Tensor], None]


class _Group(NamedTuple):
    """What songs must share to run together: latent frames, the settings' first step for them, the step of a switch."""

    frames: int
    first_step: int
    switch_step: int


def render_latents(
    dit: DiT,
    songs: Sequence[SongConditions],
    settings: SamplerSettings,
    seeds: Sequence[int],
    runtime: Runtime,
    *,
    start_latents: Sequence[Tensor] | None = None,
    variation: Variation | None = None,
    on_step: OnStep | None = None,
    on_progress: Progress | None = None,
) -> list[Tensor]:
    """Denoise the latents of each song.

    Args:
        songs: conditions, one an item of the batch.
        seeds: one an item.
        start_latents: latents [T, 64] of each song to start from; the first time step says how noisy they become.
        variation: other seeds to mix in.
        on_step: called after each step with (items of `songs` that run together, steps done, steps of their run, the
            clean latents [B, T, 64] that the step predicted), for previews.
        on_progress: called after each step with (steps done, steps in all).

    Returns:
        Clean latents [T_i, 64] of each song, float32 on the CPU.

    Raises:
        ValueError: start latents of another number or length than the songs, or for a song that starts from its
            source; a variation with other than one seed an item; a result that is NaN, infinite or silent.
    """
    if start_latents is not None:
        _check_start_latents(start_latents, songs)
    if variation is not None and len(variation.seeds) != len(songs):
        raise ValueError(f"got {len(variation.seeds)} variation seeds for {len(songs)} songs: give one for each")
    groups: dict[_Group, list[int]] = {}
    for item, song in enumerate(songs):
        groups.setdefault(_group(song, settings), []).append(item)
    runs = [
        (group, items[start : start + MAX_BATCH_SIZE])
        for group, items in groups.items()
        for start in range(0, len(items), MAX_BATCH_SIZE)
    ]
    total_steps = sum(settings.steps - group.first_step for group, _ in runs)
    steps_done = 0
    results: dict[int, Tensor] = {}

    for group, items in runs:
        group_songs = [songs[item] for item in items]
        group_seeds = [seeds[item] for item in items]
        group_settings = replace(settings, timesteps=settings.timesteps[group.first_step :])
        device, dtype = (runtime.device, runtime.dtype) if settings.noise == "official" else ("cpu", torch.float32)
        noise = initial_noise(group_seeds, group.frames, device=device, dtype=dtype)
        group_variation = None
        if variation is not None:
            group_variation = variation._replace(seeds=tuple(variation.seeds[item] for item in items))
            noise = varied_noise(noise, group_variation, device=device, dtype=dtype)
        x = noise = noise.to(runtime.device)
        given = None
        if group.first_step:
            given = [song.clean for song in group_songs]
        elif start_latents is not None:
            given = [start_latents[item] for item in items]
        if given is not None:
            x = add_noise(torch.stack(given).to(x), noise, group_settings.time_points[0].t)
        latents = denoise(
            _velocity_function(dit, group_songs, group_settings, group.switch_step, runtime),
            x,
            group_settings,
            item_seeds=group_seeds,
            scalers=[settings.scalers(planned=song.planned) for song in group_songs],
            variation=group_variation,
            after_step=_hold_sources(group_songs, noise, group_settings.steps),
            on_step=_step_reporter(items, steps_done, total_steps, on_step, on_progress),
        )
        steps_done += group_settings.steps
        for item, song, result in zip(items, group_songs, latents.cpu(), strict=True):
            results[item] = _faded_into_source(result, song)
    return [results[item] for item in range(len(songs))]


def _group(song: SongConditions, settings: SamplerSettings) -> _Group:
    first_step = 0
    if song.hold is not None and song.hold.noise_strength:
        level = 1 - song.hold.noise_strength
        first_step = min(range(settings.steps), key=lambda step: abs(settings.timesteps[step] - level))
    steps = settings.steps - first_step
    switch_step = steps if song.second is None else int(steps * song.second.switch_share)
    return _Group(len(song.source), first_step, switch_step)


def _hold_sources(songs: Sequence[SongConditions], noise: Tensor, steps: int) -> AfterStep | None:
    """What sets the kept frames of each song back to its source while its share of the steps lasts."""
    held_steps = [min(round(steps * song.hold.share), steps - 1) if song.hold else 0 for song in songs]
    if not any(held_steps):
        return None
    sources = torch.stack([song.clean for song in songs]).to(noise)
    kept = torch.stack([song.mask == 0 for song in songs])[:, :, None].to(noise.device)
    last_steps = torch.tensor(held_steps, device=noise.device)[:, None, None]

    def hold(x: Tensor, step: int, level: float) -> Tensor:
        return torch.where(kept & (last_steps > step), add_noise(sources, noise, level).to(x), x)

    return hold


def _faded_into_source(latents: Tensor, song: SongConditions) -> Tensor:
    """The result [T, 64] where the mask generates, the source elsewhere, a linear fade beside the border."""
    if song.hold is None or not song.hold.fade_frames:
        return latents
    distance = torch.minimum(_frames_since(song.mask), _frames_since(song.mask.flip(0)).flip(0))
    share = (1 - distance / (song.hold.fade_frames + 1)).clamp(min=0)[:, None]
    return torch.where(share == 0, song.clean, song.clean.lerp(latents, share))


def _frames_since(mask: Tensor) -> Tensor:
    """How many frames ago the mask [T] was last 1; more than T where it never was."""
    frame = torch.arange(len(mask))
    last: Tensor = torch.where(mask == 1, frame, -2 * len(mask)).cummax(dim=0).values
    return frame - last


def _check_start_latents(start_latents: Sequence[Tensor], songs: Sequence[SongConditions]) -> None:
    if len(start_latents) != len(songs):
        raise ValueError(f"got {len(start_latents)} latents to start from for {len(songs)} songs: give one for each")
    for item, (latents, song) in enumerate(zip(start_latents, songs, strict=True), 1):
        if song.hold is not None and song.hold.noise_strength:
            raise ValueError(
                f"song {item} of {len(songs)} starts from its source (noise strength "
                f"{song.hold.noise_strength:g}) and from given latents: choose one of the two"
            )
        given, wanted = len(latents), len(song.source)
        if given != wanted:
            raise ValueError(
                f"the latents to start song {item} of {len(songs)} from have {given} frames "
                f"({given / LATENT_FRAME_RATE:g} s), but the song has {wanted} ({wanted / LATENT_FRAME_RATE:g} s): "
                "give both the same duration"
            )


def _velocity_function(
    dit: DiT,
    songs: Sequence[SongConditions],
    settings: SamplerSettings,
    switch_step: int,
    runtime: Runtime,
) -> Predict:
    mask = torch.stack([song.mask for song in songs])[:, :, None]

    def prepared(packed: list[Tensor], sources: list[Tensor]) -> tuple[DiTRun, Tensor]:
        source = torch.stack(sources)
        run = dit.prepare(
            [runtime.take(item) for item in packed],
            [point.thousandths for point in settings.time_points],
            source.shape[1],
            guided=settings.uses_guidance,
            attention=runtime.attention,
        )
        return run, runtime.take(torch.cat((source, mask.expand_as(source)), dim=-1))

    first = second = prepared([song.packed for song in songs], [song.source for song in songs]) if switch_step else None
    if switch_step < settings.steps:
        later = [_second_of(song) for song in songs]
        second = prepared([conditions.packed for conditions in later], [conditions.source for conditions in later])

    def predict(x: Tensor, index: int, guided: bool) -> tuple[Tensor, Tensor | None]:
        now = first if index < switch_step else second
        assert now is not None
        run, context = now
        velocities: tuple[Tensor, Tensor | None] = dit(x, context, index, run, guided=guided)
        return velocities

    return predict


def _second_of(song: SongConditions) -> SecondConditions:
    """The second conditions of a song whose run switches to them."""
    assert song.second is not None
    return song.second


def render_memory_bytes(config: DiTConfig, songs: Sequence[SongConditions], *, guided: bool, dtype: torch.dtype) -> int:
    """Estimate of what `render_latents` needs above the weights: one layer's activations, all layers' conditions."""
    at_once = min(len(songs), MAX_BATCH_SIZE)
    rows = at_once * (2 if guided else 1)
    tokens = max(len(song.source) for song in songs) // config.patch_size
    condition_tokens = max(len(song.packed) for song in songs)
    attention_width = config.num_heads * config.head_dim
    activations = rows * tokens * (6 * config.hidden_size + 5 * attention_width + 3 * config.intermediate_size)
    kept = 2 if any(song.second is not None for song in songs) else 1
    conditions = 2 * kept * at_once * condition_tokens * config.num_layers * config.num_kv_heads * config.head_dim
    return (activations + conditions) * dtype.itemsize


def _step_reporter(
    items: Sequence[int], done_before: int, total: int, on_step: OnStep | None, on_progress: Progress | None
) -> OnDenoiseStep | None:
    """What tells both callbacks of a run's steps; None where there are none."""
    update = part_of_progress(on_progress, done_before, total)
    if on_step is None and update is None:
        return None

    def report(done: int, steps: int, clean: Tensor) -> None:
        if update is not None:
            update(done, steps)
        if on_step is not None:
            on_step(items, done, steps, clean)

    return report
