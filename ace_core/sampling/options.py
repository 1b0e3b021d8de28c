"""The sampler's options as a user gives them, where 0 means "as the checkpoint wants".

`resolve` turns them into `SamplerSettings`, and says in plain sentences what it did not follow or would not recommend.
A new option is a field here, a line in `resolve`, and a widget: records of songs hold every field by its name.

Trap: a field's default is what songs were made with before the field existed, since records, prompts and graphs of that
time lack it. What a new node or command starts with is `OFFERED`.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Literal, NamedTuple, TypeAlias, get_args

from ..checkpoints.variants import Variant, is_distilled
from ..checks import check_choice
from .guidance import GuidanceMethod
from .noise import NoiseKind
from .schedules import parse_timesteps, snapped, timesteps
from .settings import DEFAULTS, SamplerDefaults, SamplerSettings
from .solvers import Solver

MAX_GUIDANCE_SCALE = 15.0  # the published interface's limit
MAX_TURBO_STEPS = 20  # likewise
WaveletCorrection: TypeAlias = Literal["auto", "on", "off"]
WAVELET_CORRECTIONS: tuple[WaveletCorrection, ...] = get_args(WaveletCorrection)
USUAL_SCALER = -1.0


@dataclass(frozen=True)
class SamplerOptions:
    """What a user asks of the sampler, under the names that a record has.

    Args:
        steps: 1 to 200, 0 for the checkpoint's.
        shift: 0.1 to 10, 0 for the checkpoint's.
        guidance: scale, 1 (none) to 15, 0 for the checkpoint's.
        solver: one of `SOLVERS`.
        denoise: above 0, at most 1: how far back to noise the start latents are taken. 1 ignores them.
        guidance_method: one of `GUIDANCE`.
        guidance_start, guidance_end: levels t from and to which guidance is applied, within 0..1.
        custom_timesteps: numbers for `parse_timesteps`, used instead of `steps` and `shift`; blank for none.
        official_precision: see `SamplerSettings`.
        wavelet_correction: "auto" for what the checkpoint wants.
        wavelet_low, wavelet_high: scalers of the correction, 0 to 0.1; -1 for what suits the song.
        snap_timesteps: take the distilled levels nearest to custom time steps, for turbo.
        noise, velocity_clamp, velocity_smoothing: see `SamplerSettings`.
    """

    steps: int = 0
    shift: float = 0.0
    guidance: float = 0.0
    solver: Solver = "euler"
    denoise: float = 1.0
    guidance_method: GuidanceMethod = "apg"
    guidance_start: float = 0.0
    guidance_end: float = 1.0
    custom_timesteps: str = ""
    official_precision: bool = False
    wavelet_correction: WaveletCorrection = "off"
    wavelet_low: float = USUAL_SCALER
    wavelet_high: float = USUAL_SCALER
    snap_timesteps: bool = False
    noise: NoiseKind = "reproducible"
    velocity_clamp: float = 0.0
    velocity_smoothing: float = 0.0


OFFERED = SamplerOptions(wavelet_correction="auto", snap_timesteps=True)
"""What a new node or command starts with."""


class ResolvedSettings(NamedTuple):
    """Settings, one line that says what they are, and sentences the user should see."""

    settings: SamplerSettings
    summary: str
    notes: tuple[str, ...]


def as_used(options: SamplerOptions, variant: Variant, resolved: ResolvedSettings) -> dict[str, int | float | str]:
    """Options without zeros for the checkpoint to fill; no steps and shift where custom time steps replace them."""
    used = asdict(options) | {
        "guidance": resolved.settings.guidance_scale,
        "wavelet_correction": "on" if resolved.settings.corrected else "off",
    }
    if options.custom_timesteps.strip():
        return used | {"steps": 0, "shift": 0.0}
    wanted = DEFAULTS[variant]
    return used | {"steps": options.steps or wanted.steps, "shift": options.shift or wanted.shift}


def resolve(options: SamplerOptions, variant: Variant, *, has_start_latents: bool = False) -> ResolvedSettings:
    """Fill in what the checkpoint wants and check the rest.

    Args:
        has_start_latents: whether the run starts from existing latents.

    Raises:
        ValueError: an option outside its domain, or options that contradict each other.
    """
    if options.guidance != 0 and not 1 <= options.guidance <= MAX_GUIDANCE_SCALE:
        raise ValueError(
            f"guidance must be 1 (none) to {MAX_GUIDANCE_SCALE:g}, or 0 for what the checkpoint wants, "
            f"got {options.guidance}"
        )
    start, end = options.guidance_start, options.guidance_end
    if not 0 <= start <= end <= 1:
        raise ValueError(f"the guidance interval must be two ascending numbers within 0..1, got {start} and {end}")

    check_choice("wavelet correction", options.wavelet_correction, WAVELET_CORRECTIONS)
    wanted = DEFAULTS[variant]
    notes = []
    if options.custom_timesteps.strip():
        if options.denoise != 1:
            raise ValueError(
                f"denoise is {options.denoise:g}, but custom time steps set their own start: "
                "set denoise to 1, or clear the custom time steps"
            )
        levels = parse_timesteps(options.custom_timesteps)
        origin = "custom time steps"
        if is_distilled(variant) and snapped(levels) != levels:
            notes.append(_snap_note(levels, options.snap_timesteps))
            levels = snapped(levels) if options.snap_timesteps else levels
        if options.steps or options.shift:
            notes.append("Custom time steps are used; the settings for steps and shift are not.")
    else:
        shift = options.shift or wanted.shift
        levels = timesteps(options.steps or wanted.steps, shift, options.denoise)
        origin = f"shift {shift:g}"
        notes += _shift_notes(variant, wanted, shift)
    notes += _start_notes(levels[0], options.denoise, has_start_latents)

    guidance_scale = options.guidance or wanted.guidance_scale
    if is_distilled(variant) and len(levels) - 1 > MAX_TURBO_STEPS:
        notes.append(
            f"Turbo checkpoints are made for {wanted.steps} steps; more than {MAX_TURBO_STEPS} take longer and do not "
            "sound better."
        )
    if is_distilled(variant) and guidance_scale > 1:
        notes.append(
            f"Guidance {guidance_scale:g} was refused: it is already distilled into turbo checkpoints. The song is "
            "rendered without; use a base or sft checkpoint for guidance."
        )
        guidance_scale = wanted.guidance_scale

    settings = SamplerSettings(
        timesteps=levels,
        solver=options.solver,
        guidance_scale=guidance_scale,
        guidance_method=options.guidance_method,
        guidance_interval=(start, end),
        official_precision=options.official_precision,
        noise=options.noise,
        velocity_clamp=options.velocity_clamp,
        velocity_smoothing=options.velocity_smoothing,
        corrected=wanted.corrected if options.wavelet_correction == "auto" else options.wavelet_correction == "on",
        wavelet_low=_scaler(options.wavelet_low),
        wavelet_high=_scaler(options.wavelet_high),
    )
    if settings.corrected and not wanted.corrected:
        notes.append(f"The wavelet correction is made for turbo; with {variant} it is reported to give noise.")
    if settings.guidance_scale > 1 and not settings.uses_guidance:
        notes.append(f"No time step lies in the guidance interval {start:g} to {end:g}: guidance is never applied.")
    return ResolvedSettings(settings, _summary(settings, origin, options.denoise), tuple(notes))


def _scaler(value: float) -> float | None:
    return None if value == USUAL_SCALER else value


def _snap_note(levels: tuple[float, ...], snap: bool) -> str:
    nearest = snapped(levels)
    shown = ", ".join(f"{level:.4g}" for level in nearest[:-1])
    if snap:
        return f"The custom time steps were moved to the nearest levels that turbo was distilled at: {shown}."
    return f"Turbo was not distilled at all of the custom time steps; the nearest levels it knows are {shown}."


def _shift_notes(variant: Variant, wanted: SamplerDefaults, shift: float) -> list[str]:
    if variant == "turbo-continuous" or variant == "sft-turbo":
        low, high = wanted.shifts
        made_for, fits = f"shift {low:g} to {high:g}", low <= shift <= high
    else:
        made_for, fits = f"shift {_listed(wanted.shifts)}", shift in wanted.shifts
    if fits:
        return []
    return [f"This {variant} checkpoint is made for {made_for}; shift {shift:g} is reported to cost quality."]


def _listed(numbers: tuple[float, ...]) -> str:
    *first, last = (f"{number:g}" for number in numbers)
    return f"{', '.join(first)} and {last}" if first else last


def _start_notes(first_level: float, denoise: float, has_start_latents: bool) -> list[str]:
    if has_start_latents and first_level == 1:
        return ["The latents to start from are not used: the run starts from pure noise. Lower denoise to use them."]
    if not has_start_latents and denoise != 1:
        raise ValueError(f"denoise is {denoise:g}, but there are no latents to start from: give some, or set it to 1")
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
    if settings.corrected:
        parts.append("wavelet correction")
    if settings.velocity_clamp:
        parts.append(f"velocity clamp {settings.velocity_clamp:g}")
    if settings.velocity_smoothing:
        parts.append(f"velocity smoothing {settings.velocity_smoothing:g}")
    if settings.noise != "reproducible":
        parts.append(f"{settings.noise} noise")
    if settings.official_precision:
        parts.append("official precision")
    return ", ".join(parts)
