"""What one run of the sampler does, and what each kind of checkpoint wants.

`resolve_settings` turns a user's wishes, where 0 means "as the checkpoint wants", into `SamplerSettings`, and says in
plain sentences what it did not follow or would not recommend.

Published defaults: turbo 8 steps, shift 3, no guidance (it is distilled in; asking for more is refused); base and sft
50 steps, shift 1, guidance 7. Several interfaces apply shift 3 to every checkpoint, a known cause of bad audio.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal, NamedTuple, get_args

from .guidance import GuidanceMethod
from .schedules import TimePoint, parse_timesteps, time_points, timesteps
from .solvers import Solver

CheckpointKind = Literal["turbo", "base", "sft"]

MAX_GUIDANCE_SCALE = 15.0  # the published interface's limit
MAX_TURBO_STEPS = 20  # likewise
TURBO_SHIFTS = (1.0, 2.0, 3.0)  # what turbo was distilled with


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


class ResolvedSettings(NamedTuple):
    """Settings, one line that says what they are, and sentences the user should see."""

    settings: SamplerSettings
    summary: str
    notes: tuple[str, ...]


def defaults_for(kind: CheckpointKind) -> SamplerDefaults:
    """What a kind of checkpoint wants, 2B and XL alike."""
    if kind == "turbo":
        return SamplerDefaults(steps=8, shift=3.0, guidance_scale=1.0)
    return SamplerDefaults(steps=50, shift=1.0, guidance_scale=7.0)


def resolve_settings(
    kind: CheckpointKind,
    *,
    steps: int = 0,
    shift: float = 0.0,
    guidance_scale: float = 0.0,
    solver: Solver = "euler",
    guidance_method: GuidanceMethod = "apg",
    guidance_interval: tuple[float, float] = (0.0, 1.0),
    custom_timesteps: str = "",
    denoise: float = 1.0,
    has_start_latents: bool = False,
    official_precision: bool = False,
) -> ResolvedSettings:
    """Fill in what the checkpoint wants and check the rest.

    Args:
        kind: the checkpoint's.
        steps: 1 to 200, 0 for the checkpoint's.
        shift: 0.1 to 10, 0 for the checkpoint's.
        guidance_scale: 1 (none) to 15, 0 for the checkpoint's.
        solver: "euler", "heun" (two predictions a step) or "sde".
        guidance_method: how the two velocities are joined.
        guidance_interval: levels t from and to which guidance is applied, within 0..1.
        custom_timesteps: numbers for `parse_timesteps`, used instead of `steps` and `shift`; blank for none.
        denoise: above 0, at most 1: how far back to noise the start latents are taken. 1 ignores them.
        has_start_latents: whether the run starts from existing latents.
        official_precision: see `SamplerSettings`.

    Raises:
        ValueError: a value outside its domain, or wishes that contradict each other.
    """
    _check_choice("solver", solver, get_args(Solver))
    _check_choice("guidance method", guidance_method, get_args(GuidanceMethod))
    if guidance_scale != 0 and not 1 <= guidance_scale <= MAX_GUIDANCE_SCALE:
        raise ValueError(
            f"guidance must be 1 (none) to {MAX_GUIDANCE_SCALE:g}, or 0 for what the checkpoint wants, "
            f"got {guidance_scale}"
        )
    start, end = guidance_interval
    if not 0 <= start <= end <= 1:
        raise ValueError(f"the guidance interval must be two ascending numbers within 0..1, got {start} and {end}")

    wanted = defaults_for(kind)
    notes = []
    if custom_timesteps.strip():
        if denoise != 1:
            raise ValueError(
                f"denoise is {denoise:g}, but custom time steps set their own start: "
                "set denoise to 1, or clear the custom time steps"
            )
        levels = parse_timesteps(custom_timesteps)
        origin = "custom time steps"
        if steps or shift:
            notes.append("Custom time steps are used; the settings for steps and shift are not.")
    else:
        shift = shift or wanted.shift
        levels = timesteps(steps or wanted.steps, shift, denoise)
        origin = f"shift {shift:g}"
        notes += _shift_notes(kind, shift)
    notes += _start_notes(levels[0], denoise, has_start_latents)

    if kind == "turbo" and len(levels) - 1 > MAX_TURBO_STEPS:
        notes.append(
            f"Turbo checkpoints are made for {wanted.steps} steps; more than {MAX_TURBO_STEPS} take longer and do not "
            "sound better."
        )
    if kind == "turbo" and guidance_scale > 1:
        notes.append(
            f"Guidance {guidance_scale:g} was refused: it is already distilled into turbo checkpoints. The song is "
            "rendered without; use a base or sft checkpoint for guidance."
        )
        guidance_scale = wanted.guidance_scale

    settings = SamplerSettings(
        timesteps=levels,
        solver=solver,
        guidance_scale=guidance_scale or wanted.guidance_scale,
        guidance_method=guidance_method,
        guidance_interval=guidance_interval,
        official_precision=official_precision,
    )
    if settings.guidance_scale > 1 and not settings.uses_guidance:
        notes.append(f"No time step lies in the guidance interval {start:g} to {end:g}: guidance is never applied.")
    return ResolvedSettings(settings, _summary(settings, origin, denoise), tuple(notes))


def _check_choice(name: str, value: str, choices: Sequence[str]) -> None:
    if value not in choices:
        raise ValueError(f"the {name} must be one of {', '.join(choices)}, got {value!r}")


def _shift_notes(kind: CheckpointKind, shift: float) -> list[str]:
    if kind == "turbo" and shift not in TURBO_SHIFTS:
        return [f"Turbo checkpoints were distilled with shift 1, 2 and 3, not {shift:g}; 3 is recommended."]
    if kind != "turbo" and shift != 1:
        return [f"Base and sft checkpoints are made for shift 1; shift {shift:g} is reported to cost quality."]
    return []


def _start_notes(first_level: float, denoise: float, has_start_latents: bool) -> list[str]:
    if has_start_latents and first_level == 1:
        return ["The connected latents are not used: the run starts from pure noise. Lower denoise to use them."]
    if not has_start_latents and denoise != 1:
        raise ValueError(
            f"denoise is {denoise:g}, but there are no latents to start from: connect some, or set it to 1"
        )
    return []


def _summary(settings: SamplerSettings, origin: str, denoise: float) -> str:
    parts = [f"{settings.steps} steps", origin]
    if denoise != 1:
        parts.append(f"denoise {denoise:g}")
    parts.append(settings.solver)
    if settings.uses_guidance:
        parts.append(f"guidance {settings.guidance_scale:g} ({settings.guidance_method})")
        if settings.guidance_interval != (0.0, 1.0):
            parts.append("for t {:g} to {:g}".format(*settings.guidance_interval))
    else:
        parts.append("no guidance")
    if settings.official_precision:
        parts.append("official precision")
    return ", ".join(parts)
