"""Two ways of the official loops to steady a velocity after guidance: a limit on its norm, and smoothing over steps.

Trap: Heun's second velocity is limited by the norm of the latents it was predicted from, and blended with the step's
first; the next step is blended with the mean of the two.
"""

from __future__ import annotations

import torch
from torch import Tensor

MAX_VELOCITY_CLAMP = 10.0
_SMALLEST_NORM = 1e-10


def clamped(velocity: Tensor, x: Tensor, limit: float) -> Tensor:
    """A velocity `[B, T, 64]` of at most `limit` times the norm of each item's latents `x`; 0 for no limit."""
    if not limit:
        return velocity
    of_x, of_velocity = (torch.linalg.vector_norm(item, dim=(1, 2), keepdim=True) for item in (x, velocity))
    share: Tensor = limit * (of_x + _SMALLEST_NORM) / (of_velocity + _SMALLEST_NORM)
    return velocity * share.clamp(max=1.0)


def blended(velocity: Tensor, previous: Tensor | None, share: float) -> Tensor:
    """A velocity with `share` of the one before; None in the first step."""
    if not share or previous is None:
        return velocity
    return (1 - share) * velocity + share * previous
