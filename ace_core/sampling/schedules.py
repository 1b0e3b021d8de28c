"""Time steps: the descending levels of noise at which the network is asked.

A schedule is a tuple of Python floats from at most 1 down to the terminal 0, so N steps are N + 1 numbers. The formula
is the published one, ``t = shift * u / (1 + (shift - 1) * u)`` with u evenly spaced from 1 to 0; with 8 steps it gives
the turbo checkpoints' tables for shift 1, 2 and 3 exactly.

Traps:
- The official code keeps t in bfloat16 and multiplies by 1000 in bfloat16 before the time embedding: 0.9545 becomes
  0.953125 for the solver and 952 for the embedding. ``time_points`` reproduces it on request; ideal values are the
  default. (With a shift other than 1 the official base model also computes the formula itself in bfloat16, which can
  differ from rounding its result by one unit in the last place.)
- The official turbo code replaces custom time steps by the nearest of the 20 levels turbo was distilled at
  (`snapped`); the official base model and diffusers use them as written.
"""

from __future__ import annotations

import itertools
import math
import re
from typing import NamedTuple

import torch

from ..checks import shown

MAX_STEPS = 200  # the published interface's limit
MIN_SHIFT, MAX_SHIFT = 0.1, 10.0
DISTILLED_SHIFTS = (1.0, 2.0, 3.0)
DISTILLED_STEPS = 8


class TimePoint(NamedTuple):
    """One level of noise: `t` for the solver, `thousandths` for the sinusoid of the time embedding."""

    t: float
    thousandths: float


def timesteps(steps: int, shift: float, denoise: float = 1.0) -> tuple[float, ...]:
    """The published schedule: `steps` + 1 levels, the last one 0.

    Args:
        steps: 1 to 200.
        shift: 0.1 to 10; above 1 spends more steps at high noise.
        denoise: above 0, at most 1. Below 1 the evenly spaced levels run from `denoise` instead of from 1 and are then
            shifted: the tail of a longer schedule, with `steps` steps left. This equals ComfyUI's rule where steps /
            denoise is a whole number. Where it is not, ComfyUI rounds, so that 8 steps at 0.9 would start from pure
            noise.

    Raises:
        ValueError: an argument is outside its range.
    """
    if not 1 <= steps <= MAX_STEPS:
        raise ValueError(f"steps must be 1 to {MAX_STEPS}, got {steps}")
    if not MIN_SHIFT <= shift <= MAX_SHIFT:
        raise ValueError(f"shift must be {MIN_SHIFT:g} to {MAX_SHIFT:g}, got {shift}")
    if not 0 < denoise <= 1:
        raise ValueError(f"denoise must be above 0 and at most 1, got {denoise}")
    levels = (denoise * remaining / steps for remaining in range(steps, -1, -1))
    return tuple(shift * level / (1 + (shift - 1) * level) for level in levels)


def parse_timesteps(text: str) -> tuple[float, ...]:
    """Read custom time steps such as ``0.97, 0.76, 0.5, 0.28, 0``; the terminal 0 may be left out.

    Numbers are separated by commas, spaces or line ends.

    Raises:
        ValueError: no number, too many, something that is not a number, a value outside 0..1, or an order that is not
            strictly descending.
    """
    words = [word for word in re.split(r"[\s,]+", text) if word]
    if not words:
        raise ValueError("the custom time steps are empty: write numbers from 1 down to 0, such as 0.97, 0.76, 0.5, 0")
    levels = [_parse_level(word) for word in words]
    if levels[-1] != 0:
        levels.append(0.0)
    for level, following in itertools.pairwise(levels):
        if following >= level:
            raise ValueError(f"custom time steps must descend, but {following:g} follows {level:g}")
    if not 2 <= len(levels) <= MAX_STEPS + 1:
        raise ValueError(f"custom time steps must make 1 to {MAX_STEPS} steps, got {len(levels) - 1}")
    return tuple(levels)


def distilled_levels() -> tuple[float, ...]:
    """The 20 levels above 0 of the published 8-step schedules for shift 1, 2 and 3, descending."""
    schedules = (timesteps(DISTILLED_STEPS, shift)[:-1] for shift in DISTILLED_SHIFTS)
    return tuple(sorted({round(level, 12) for schedule in schedules for level in schedule}, reverse=True))


def snapped(levels: tuple[float, ...]) -> tuple[float, ...]:
    """Custom time steps with each level replaced by the nearest distilled one; of equal neighbours one is left.

    The official code keeps equal neighbours, whose steps lead nowhere and cost as much as others.
    """
    table = distilled_levels()
    nearest = (min(table, key=lambda distilled: abs(distilled - level)) for level in levels[:-1])
    return (*dict.fromkeys(nearest), 0.0)


def _parse_level(word: str) -> float:
    try:
        level = float(word)
    except ValueError:
        level = math.nan
    if not 0 <= level <= 1:
        raise ValueError(f"custom time steps must be numbers from 1 down to 0, got {shown(word)}")
    return level


def time_points(levels: tuple[float, ...], *, official_precision: bool = False) -> tuple[TimePoint, ...]:
    """What the solver and the time embedding see at each level of a schedule, the terminal 0 included.

    Args:
        levels: a schedule.
        official_precision: round t to bfloat16, and t * 1000 once more, as the official code does.
    """
    if not official_precision:
        return tuple(TimePoint(level, level * 1000) for level in levels)
    rounded = torch.tensor(levels, dtype=torch.bfloat16)
    return tuple(itertools.starmap(TimePoint, zip(rounded.tolist(), (rounded * 1000).tolist(), strict=True)))
