"""One step of each solver, from level t to the lower level t_next.

Heun needs no function of its own: it is an Euler step along the mean of two velocities.

Trap: the official base model's stochastic solver takes 1 - (i + 1) / N for the next level, whatever the schedule says.
Here it is the schedule's own next level, as in the official turbo model.
"""

from __future__ import annotations

from typing import Literal

from torch import Tensor

Solver = Literal["euler", "heun", "sde"]


def add_noise(latents: Tensor, noise: Tensor, t: Tensor | float) -> Tensor:
    """Clean latents brought to level t: t * noise + (1 - t) * latents."""
    return t * noise + (1 - t) * latents


def euler_step(x: Tensor, velocity: Tensor, t: Tensor, t_next: Tensor) -> Tensor:
    """Follow the velocity ``[B, T, 64]`` in a straight line to `t_next`; at 0 that is the predicted clean latents."""
    return x - velocity * (t - t_next)


def sde_step(x: Tensor, velocity: Tensor, t: Tensor, t_next: Tensor, noise: Tensor) -> Tensor:
    """Predict the clean latents, then bring them to `t_next` with fresh noise ``[B, T, 64]``."""
    return add_noise(x - velocity * t, noise, t_next)
