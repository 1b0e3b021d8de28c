"""The denoising loop: from noise to latents, whatever predicts the velocity.

Latents and updates are float32 even when the network runs in bfloat16. With `official_precision` they are bfloat16, as
in the official code.

Traps:
- Nothing in the loop reads a tensor's value, so on a GPU steps are queued without waiting. The check for broken
  latents comes once, after the last step.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TypeAlias

import torch
from torch import Tensor

from .guidance import GUIDANCE, GuidanceInput, GuidanceMethod, Guided
from .noise import Variation, step_noise
from .settings import SamplerSettings
from .solvers import SOLVERS, SolverStep, euler_step
from .steadying import blended, clamped
from .wavelet import NO_CORRECTION, BandScalers, correct_bands, stacked_scalers

MIN_CHANGE_OVER_TIME = 1e-6

Predict: TypeAlias = Callable[[Tensor, int, bool], tuple[Tensor, "Tensor | None"]]
"""`predict(x, index, guided)`: velocities of noisy latents `[B, T, 64]` at level `index` of the settings' time
steps, with the conditions and, if `guided`, without any."""

OnDenoiseStep: TypeAlias = Callable[[int, int, Tensor], None]

AfterStep: TypeAlias = Callable[[Tensor, int, float], Tensor]
"""`after_step(x, step, level)`: what becomes of the latents `[B, T, 64]` that a step has brought to a level."""


def denoise(
    predict: Predict,
    x: Tensor,
    settings: SamplerSettings,
    *,
    item_seeds: Sequence[int],
    scalers: Sequence[BandScalers] = (),
    variation: Variation | None = None,
    after_step: AfterStep | None = None,
    on_step: OnDenoiseStep | None = None,
) -> Tensor:
    """Run every step and return clean latents, float32 `[B, T, 64]`.

    Args:
        predict: the network with its conditions; see `Predict`. It gets latents in the loop's dtype and may answer in
            its own.
        x: noisy latents `[B, T, 64]` at the first level: noise, or latents with noise added.
        settings: the run.
        item_seeds: one for each item; only the "sde" solver draws from them.
        scalers: of the wavelet correction, one for each item; none for a run without it.
        variation: what the "sde" solver mixes in; the caller does so with `x`.
        after_step: changes the latents after each step's update and correction; see `AfterStep`.
        on_step: called after each step with (steps done, steps, the clean latents [B, T, 64] that the step predicted).

    Raises:
        ValueError: not one seed for each item, or the result is broken (see `check_latents`).
    """
    if len(item_seeds) != x.shape[0]:
        raise ValueError(f"got {len(item_seeds)} seeds for a batch of {x.shape[0]}")
    x = x.to(torch.bfloat16 if settings.official_precision else torch.float32)
    levels = [point.t for point in settings.time_points]
    times = torch.tensor(levels, dtype=x.dtype)  # on the CPU: scalars for every device
    # Heun's corrector must leave the momentum of the steps alone.
    corrector: GuidanceMethod = "cfg" if settings.guidance_method == "apg" else settings.guidance_method
    momentum: Tensor | None = None
    previous: Tensor | None = None
    bands = stacked_scalers(scalers, x.device) if any(item != NO_CORRECTION for item in scalers) else None

    for step in range(settings.steps):
        t, t_next = times[step], times[step + 1]
        velocity, momentum = _velocity(predict, x, step, levels[step], settings, settings.guidance_method, momentum)
        velocity = blended(clamped(velocity, x, settings.velocity_clamp), previous, settings.velocity_smoothing)
        solve = SOLVERS["euler" if step + 1 == settings.steps else settings.solver]
        clean = euler_step(x, velocity, t, times[-1]) if on_step is not None or bands is not None else None

        def corrected(estimate: Tensor, after: int = step + 1, first: Tensor = velocity) -> Tensor:
            second = _velocity(predict, estimate, after, levels[after], settings, corrector, None).velocity
            return blended(clamped(second, estimate, settings.velocity_clamp), first, settings.velocity_smoothing)

        def fresh_noise(at: int = step, like: Tensor = x) -> Tensor:
            return step_noise(item_seeds, at, like.shape[1], variation).to(like)

        x, previous = solve(SolverStep(x, velocity, t, t_next, corrected, fresh_noise))
        if bands is not None and clean is not None:
            x = correct_bands(x, clean, levels[step] * bands[0], (1 - levels[step]) * bands[1])
        if after_step is not None:
            x = after_step(x, step, levels[step + 1])
        if on_step is not None and clean is not None:
            on_step(step + 1, settings.steps, clean)

    x = x.float()
    check_latents(x)
    return x


def check_latents(latents: Tensor) -> None:
    """Refuse latents `[B, T, 64]` that cannot be music; waits for the device once.

    Raises:
        ValueError: an item holds NaN or infinite values, or does not change over time (all zeros, steady silence).
    """
    finite = latents.isfinite().flatten(1).all(dim=1)
    steady = (latents - latents[:, :1]).abs().flatten(1).amax(dim=1) < MIN_CHANGE_OVER_TIME
    finite_items, steady_items = torch.stack((finite, steady)).tolist()
    broken = [str(item + 1) for item, is_finite in enumerate(finite_items) if not is_finite]
    if broken:
        raise ValueError(
            f"the sampler's result holds NaN or infinite values (item {', '.join(broken)} of {len(latents)}): the "
            "model overflowed its number format or its file is damaged; load it as bf16 or fp32, or try another "
            "checkpoint"
        )
    silent = [str(item + 1) for item, is_steady in enumerate(steady_items) if is_steady]
    if silent:
        raise ValueError(
            f"the sampler's result is silent (item {', '.join(silent)} of {len(latents)}): its latents do not change "
            "over time; load the model as bf16 or fp32, or try another checkpoint"
        )


def _velocity(
    predict: Predict,
    x: Tensor,
    index: int,
    t: float,
    settings: SamplerSettings,
    method: GuidanceMethod,
    momentum: Tensor | None,
) -> Guided:
    guided = settings.guides(index)
    conditional, unconditional = predict(x, index, guided)
    if not guided:
        return Guided(conditional.to(x), momentum)
    if unconditional is None:
        raise ValueError(f"guidance is {settings.guidance_scale:g}, but predict gave no unconditional velocity")
    at = GuidanceInput(x, conditional.to(x), unconditional.to(x), t, settings.guidance_scale, momentum)
    return GUIDANCE[method](at)
