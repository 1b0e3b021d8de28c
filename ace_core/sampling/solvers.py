"""One step of each solver, from level t to the lower level t_next.

Traps:
- The last step, to level 0, is an Euler step for every solver: the network knows no level 0, and there is no noise left
  to add.
- Heun's second prediction uses plain CFG when the method is APG, as published: APG's momentum belongs to steps.
- The official base model's stochastic solver takes 1 - (i + 1) / N for the next level, whatever the schedule says. Here
  it is the schedule's own next level, as in the official turbo model.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Literal, NamedTuple

from torch import Tensor

Solver = Literal["euler", "heun", "sde"]


class SolverStep(NamedTuple):
    """What a solver may use to take a step.

    Attributes:
        x: latents [B, T, 64] at level `t`. velocity: the guided prediction there.
        corrected: predicts the velocity of other latents at level `t_next`.
        fresh_noise: the step's seeded noise [B, T, 64].
    """

    x: Tensor
    velocity: Tensor
    t: Tensor
    t_next: Tensor
    corrected: Callable[[Tensor], Tensor]
    fresh_noise: Callable[[], Tensor]


class Solved(NamedTuple):
    """Latents [B, T, 64] at the next level, and the velocity that led there."""

    x: Tensor
    velocity: Tensor


def add_noise(latents: Tensor, noise: Tensor, t: Tensor | float) -> Tensor:
    """Clean latents brought to level t: t * noise + (1 - t) * latents."""
    return t * noise + (1 - t) * latents


def euler_step(x: Tensor, velocity: Tensor, t: Tensor, t_next: Tensor) -> Tensor:
    """Follow the velocity `[B, T, 64]` in a straight line to `t_next`; at 0 that is the predicted clean latents."""
    return x - velocity * (t - t_next)


def sde_step(x: Tensor, velocity: Tensor, t: Tensor, t_next: Tensor, noise: Tensor) -> Tensor:
    """Predict the clean latents, then bring them to `t_next` with fresh noise `[B, T, 64]`."""
    return add_noise(x - velocity * t, noise, t_next)


def _euler(step: SolverStep) -> Solved:
    return Solved(euler_step(step.x, step.velocity, step.t, step.t_next), step.velocity)


def _heun(step: SolverStep) -> Solved:
    """An Euler step along the mean of the velocities here and where Euler's own step leads."""
    velocity = (step.velocity + step.corrected(_euler(step).x)) / 2
    return Solved(euler_step(step.x, velocity, step.t, step.t_next), velocity)


def _sde(step: SolverStep) -> Solved:
    return Solved(sde_step(step.x, step.velocity, step.t, step.t_next, step.fresh_noise()), step.velocity)


SOLVERS: dict[Solver, Callable[[SolverStep], Solved]] = {"euler": _euler, "heun": _heun, "sde": _sde}
