"""What tempo and key are estimated from: one channel at 16 kHz, whatever the recording's rate and level."""

from __future__ import annotations

from torch import Tensor

from ..audio.waveform import SILENCE_AMPLITUDE, resample

ANALYSIS_RATE = 16_000
ANALYSIS_RMS = 0.1


def analysis_mono(waveform: Tensor, sample_rate: int) -> Tensor | None:
    """A waveform [C, T] as samples [T'] at 16000 Hz with a root mean square of 0.1; None for silence.

    Raises:
        ValueError: a sample rate that cannot be converted.
    """
    mono = resample(waveform.mean(dim=0)[None, None], sample_rate, ANALYSIS_RATE)[0, 0]
    rms = float(mono.double().square().mean().sqrt())
    return mono * (ANALYSIS_RMS / rms) if rms >= SILENCE_AMPLITUDE else None
