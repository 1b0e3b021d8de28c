"""Guidance: one velocity from the velocity with the song's conditions and the one without any.

Matches the published `apg_guidance.py`: APG (adaptive projected guidance, the default there), plain CFG, and ADG
(angle-based dynamic guidance) with its two variants. All take and return `[B, T, 64]`, item by item.

Traps:
- APG's norms run along time, for each of the 64 channels, not over channels. Its threshold therefore depends on the
  length: long songs are limited more.
- APG's momentum is state of one run. It is an argument and a result here, and a step without guidance leaves it alone.
- ADG's first published version failed for batches and gave NaN where both predictions agree. As in the later one, the
  cosine is kept away from 1; that also keeps the sine above 1e-3, so the published small-angle branch never happens.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Literal, NamedTuple

import torch
from torch import Tensor
from torch.nn import functional as F

GuidanceMethod = Literal["apg", "cfg", "adg", "adg_w_norm", "adg_wo_clip"]

APG_MOMENTUM = -0.75
APG_NORM_THRESHOLD = 2.5
ADG_ANGLE_LIMIT = 3.14 / 6  # radians, as published
ADG_NORM_ANGLE_LIMIT = 3.14 / 3
ADG_MIN_WEIGHT = 1e-3
ADG_MAX_COSINE = 1 - 1e-6


class GuidanceInput(NamedTuple):
    """Velocities `[B, T, 64]` with and without conditions at level `t` of `x`.

    Attributes:
        momentum: that of the previous guided step of this run, None in the first.
    """

    x: Tensor
    conditional: Tensor
    unconditional: Tensor
    t: float
    scale: float
    momentum: Tensor | None


class Guided(NamedTuple):
    """A guided velocity `[B, T, 64]` and the momentum to hand to the next guided step."""

    velocity: Tensor
    momentum: Tensor | None


def cfg(conditional: Tensor, unconditional: Tensor, scale: float) -> Tensor:
    """Classifier-free guidance: the difference of the two velocities, stretched by `scale`."""
    return unconditional + scale * (conditional - unconditional)


def apg(conditional: Tensor, unconditional: Tensor, scale: float, momentum: Tensor | None) -> Guided:
    """Adaptive projected guidance: add the part of the (limited) difference orthogonal to the conditional velocity.

    Args:
        conditional: velocity `[B, T, 64]`.
        unconditional: velocity `[B, T, 64]`.
        scale: guidance; 1 changes nothing.
        momentum: that of the previous guided step of this run, None in the first.
    """
    difference = conditional - unconditional
    if momentum is not None:
        difference = difference + APG_MOMENTUM * momentum
    length = difference.norm(dim=1, keepdim=True)  # [B, 1, 64]
    limited = (difference * (APG_NORM_THRESHOLD / length).clamp(max=1)).to(_precise_dtype(difference.device))

    direction = F.normalize(conditional.to(limited.dtype), dim=1)
    orthogonal = limited - (limited * direction).sum(dim=1, keepdim=True) * direction
    return Guided(conditional + (scale - 1) * orthogonal.to(conditional.dtype), difference)


def adg(
    x: Tensor,
    conditional: Tensor,
    unconditional: Tensor,
    t: float,
    scale: float,
    *,
    angle_limit: float | None = ADG_ANGLE_LIMIT,
    keep_conditional_norm: bool = False,
) -> Tensor:
    """Angle-based dynamic guidance: widen the angle between the two predicted clean frames.

    Args:
        x: noisy latents `[B, T, 64]` at level `t`.
        conditional: velocity `[B, T, 64]`.
        unconditional: velocity `[B, T, 64]`.
        t: above 0.
        scale: guidance.
        angle_limit: the widened angle is at most this, in radians; None for no limit.
        keep_conditional_norm: give each channel the norm along time that the conditional prediction has.
    """
    precise = _precise_dtype(x.device)
    noisy = x.to(precise)
    clean = noisy - t * conditional.to(precise)
    clean_null = noisy - t * unconditional.to(precise)

    weight = max(scale - 1, 0) + ADG_MIN_WEIGHT
    cosine = F.cosine_similarity(clean, clean_null, dim=-1)[..., None]  # one angle a frame
    angle = cosine.clamp(-ADG_MAX_COSINE, ADG_MAX_COSINE).acos()
    wide_angle = (weight * angle).clamp(max=angle_limit) if angle_limit is not None else weight * angle

    difference = clean - clean_null
    null_power = clean_null.square().sum(dim=-1, keepdim=True) + 1e-8
    along_null = (difference * clean_null).sum(dim=-1, keepdim=True) / null_power
    orthogonal = difference - along_null * clean_null

    guided = wide_angle.cos() * clean + wide_angle.sin() / angle.sin() * orthogonal
    if keep_conditional_norm:
        guided = F.normalize(guided, dim=1) * clean.norm(dim=1, keepdim=True)
    return ((noisy - guided) / t).to(x.dtype)


def _guide_adg(at: GuidanceInput, angle_limit: float | None, keep_conditional_norm: bool = False) -> Guided:
    velocity = adg(
        at.x,
        at.conditional,
        at.unconditional,
        at.t,
        at.scale,
        angle_limit=angle_limit,
        keep_conditional_norm=keep_conditional_norm,
    )
    return Guided(velocity, at.momentum)


GUIDANCE: dict[GuidanceMethod, Callable[[GuidanceInput], Guided]] = {
    "apg": lambda at: apg(at.conditional, at.unconditional, at.scale, at.momentum),
    "cfg": lambda at: Guided(cfg(at.conditional, at.unconditional, at.scale), at.momentum),
    "adg": lambda at: _guide_adg(at, ADG_ANGLE_LIMIT),
    "adg_w_norm": lambda at: _guide_adg(at, ADG_NORM_ANGLE_LIMIT, keep_conditional_norm=True),
    "adg_wo_clip": lambda at: _guide_adg(at, None),
}
"""Each method by its name; only APG reads and changes the momentum."""


def _precise_dtype(device: torch.device) -> torch.dtype:
    """float64 where the hardware has it for certain; Metal and several others have none."""
    return torch.float64 if device.type in ("cpu", "cuda") else torch.float32
