"""One run of the sampler, nothing left open, and what each variant of checkpoint wants.

Published defaults: turbo 8 steps, shift 3, no guidance (it is distilled in) and wavelet correction; base and sft 50
steps, shift 1, guidance 7. Several interfaces apply shift 3 to every checkpoint, a known cause of bad audio. Nobody
publishes settings for merges of sft and turbo: 22 steps is what their makers use, guidance lies between the parents'.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

from ..checkpoints.variants import Variant
from ..checks import check_choice
from .guidance import GUIDANCE, GuidanceMethod
from .noise import NOISE_KINDS, NoiseKind
from .schedules import DISTILLED_SHIFTS, TimePoint, time_points
from .solvers import SOLVERS, Solver
from .steadying import MAX_VELOCITY_CLAMP
from .wavelet import MAX_SCALER, NO_CORRECTION, PLANNED_SCALERS, TEXT_SCALERS, BandScalers


class SamplerDefaults(NamedTuple):
    """What a checkpoint wants.

    Attributes:
        guidance_scale: 1 is no guidance.
        shifts: those it was made for, from the first to the last where they are a range.
        corrected: whether the wavelet correction is meant for it.
    """

    steps: int
    shift: float
    guidance_scale: float
    shifts: tuple[float, ...]
    corrected: bool


DEFAULTS: dict[Variant, SamplerDefaults] = {
    "turbo": SamplerDefaults(8, 3.0, 1.0, DISTILLED_SHIFTS, True),
    "turbo-shift1": SamplerDefaults(8, 1.0, 1.0, (1.0,), True),
    "turbo-shift3": SamplerDefaults(8, 3.0, 1.0, (3.0,), True),
    "turbo-continuous": SamplerDefaults(8, 3.0, 1.0, (1.0, 5.0), True),
    "base": SamplerDefaults(50, 1.0, 7.0, (1.0,), False),
    "sft": SamplerDefaults(50, 1.0, 7.0, (1.0,), False),
    "sft-turbo": SamplerDefaults(22, 3.0, 4.0, (1.0, 3.0), False),
}


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
    noise: NoiseKind = "reproducible"
    velocity_clamp: float = 0.0  # largest norm of a velocity, in norms of the latents; 0 for no limit
    velocity_smoothing: float = 0.0  # share of the previous step's velocity
    corrected: bool = False  # by wavelets
    wavelet_low: float | None = None  # scalers; None for what suits a song
    wavelet_high: float | None = None

    def __post_init__(self) -> None:
        check_choice("solver", self.solver, SOLVERS)
        check_choice("guidance method", self.guidance_method, GUIDANCE)
        check_choice("noise", self.noise, NOISE_KINDS)
        if not 0 <= self.velocity_clamp <= MAX_VELOCITY_CLAMP:
            raise ValueError(
                f"the velocity clamp must be 0 (none) to {MAX_VELOCITY_CLAMP:g}, got {self.velocity_clamp}"
            )
        if not 0 <= self.velocity_smoothing < 1:
            raise ValueError(f"the velocity smoothing must be 0 (none) to below 1, got {self.velocity_smoothing}")
        for name, scaler in (("low", self.wavelet_low), ("high", self.wavelet_high)):
            if scaler is not None and not 0 <= scaler <= MAX_SCALER:
                raise ValueError(
                    f"the {name} scaler of the wavelet correction must be 0 to {MAX_SCALER:g}, got {scaler}"
                )

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

    def scalers(self, *, planned: bool) -> BandScalers:
        """Of the wavelet correction for one song.

        Args:
            planned: whether the song follows a plan's audio codes.
        """
        if not self.corrected:
            return NO_CORRECTION
        usual = PLANNED_SCALERS if planned else TEXT_SCALERS
        return BandScalers(
            usual.low if self.wavelet_low is None else self.wavelet_low,
            usual.high if self.wavelet_high is None else self.wavelet_high,
        )

    def guides(self, index: int) -> bool:
        """Whether guidance is applied at level `index` of the time steps; rounding to bfloat16 does not change it."""
        start, end = self.guidance_interval
        return self.guidance_scale > 1 and start <= self.timesteps[index] <= end
