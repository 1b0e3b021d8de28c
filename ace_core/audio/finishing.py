"""What a finished song may get at the end: a level, and fades.

Matches the official interface's `normalize_audio` (peak) and `apply_fade` (linear, both ends of the ramp included).
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from .waveform import SAMPLE_RATE

PEAK_DBFS = -1.0
LOWEST_DB, HIGHEST_DB = -40.0, 0.0
MAX_FADE_SECONDS = 60.0


@dataclass(frozen=True)
class Finish:
    """How songs end up.

    Args:
        normalize: bring each song's peak to `peak_dbfs`; else only a peak above full scale is brought down to it.
        peak_dbfs: -40 to 0.
        loudness_lufs: integrated loudness to bring each song to instead, -40 to below 0; 0 for the peak. A song whose
            peak would pass `peak_dbfs` stays as loud as that allows.
        fade_in_seconds, fade_out_seconds: 0 to 60.

    Raises:
        ValueError: a value outside its range.
    """

    normalize: bool = True
    peak_dbfs: float = PEAK_DBFS
    loudness_lufs: float = 0.0
    fade_in_seconds: float = 0.0
    fade_out_seconds: float = 0.0

    def __post_init__(self) -> None:
        for what, value in (("peak level", self.peak_dbfs), ("loudness", self.loudness_lufs)):
            if not LOWEST_DB <= value <= HIGHEST_DB:
                raise ValueError(f"the {what} must be {LOWEST_DB:g} to {HIGHEST_DB:g} dB, got {value}")
        for value in (self.fade_in_seconds, self.fade_out_seconds):
            if not 0 <= value <= MAX_FADE_SECONDS:
                raise ValueError(f"a fade must last 0 to {MAX_FADE_SECONDS:g} s, got {value}")


def with_fades(waveform: Tensor, finish: Finish) -> Tensor:
    """A song [C, N] with its fades; one that is longer than the song covers all of it."""
    samples = waveform.shape[-1]
    rise, fall = (
        min(samples, round(seconds * SAMPLE_RATE)) for seconds in (finish.fade_in_seconds, finish.fade_out_seconds)
    )
    if not rise and not fall:
        return waveform
    gain = waveform.new_ones(samples)
    gain[:rise] *= torch.linspace(0.0, 1.0, rise)
    gain[samples - fall :] *= torch.linspace(1.0, 0.0, fall)
    return waveform * gain
