"""One run of the sampler, nothing left open, and what each variant of checkpoint wants.

Published defaults: turbo 8 steps, shift 3, no guidance (it is distilled in); base and sft 50 steps, shift 1, guidance
7. Several interfaces apply shift 3 to every checkpoint, a known cause of bad audio.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

from ..checkpoints.variants import Variant
from ..checks import check_choice
from .guidance import GUIDANCE, GuidanceMethod
from .schedules import TimePoint, time_points
from .solvers import SOLVERS, Solver


class SamplerDefaults(NamedTuple):
    """What a checkpoint wants; a guidance scale of 1 is no guidance."""

    steps: int
    shift: float
    guidance_scale: float


@dataclass(frozen=True)
class SamplerSettings:
    """One run of the sampler, nothing left open.

    Guidance is applied at a level t if `guidance_scale` is above 1 and t lies in `guidance_interval`, ends included.
    This is the official rule; diffusers compares 1 - t.
    """

    timesteps: tuple[float, ...]  # descending, the terminal 0 included
    solver: Solver = "euler"
    guidance_scale: float = 1.0
    guidance_method: GuidanceMethod = "apg"
    guidance_interval: tuple[float, float] = (0.0, 1.0)
    official_precision: bool = False  # time steps, latents and updates in bfloat16, as in the official code

    def __post_init__(self) -> None:
        check_choice("solver", self.solver, SOLVERS)
        check_choice("guidance method", self.guidance_method, GUIDANCE)

    @property
    def steps(self) -> int:
        """Number of steps, one less than levels."""
        return len(self.timesteps) - 1

    @property
    def time_points(self) -> tuple[TimePoint, ...]:
        """What the solver and the time embedding see at each level, the terminal 0 included."""
        return time_points(self.timesteps, official_precision=self.official_precision)

    @property
    def uses_guidance(self) -> bool:
        """Whether any step asks for the unconditional velocity."""
        return any(self.guides(step) for step in range(self.steps))

    def guides(self, index: int) -> bool:
        """Whether guidance is applied at level `index` of the time steps; rounding to bfloat16 does not change it."""
        start, end = self.guidance_interval
        return self.guidance_scale > 1 and start <= self.timesteps[index] <= end


def defaults_for(variant: Variant) -> SamplerDefaults:
    """What a variant wants, 2B and XL alike."""
    if variant == "turbo":
        return SamplerDefaults(steps=8, shift=3.0, guidance_scale=1.0)
    return SamplerDefaults(steps=50, shift=1.0, guidance_scale=7.0)
