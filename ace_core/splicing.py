"""Putting a generated part into the original recording, sample for sample.

Outside the generated regions and the fades beside them the result is the original, bit for bit.

The fades keep the power steady whatever the two signals are: their gains are the cosine and sine of a quarter turn,
divided by sqrt(1 + 2 r cos sin) with the correlation r of the two within the fade (Fink, Holters and Zoelzer,
"Signal-matched power-complementary cross-fading and dry-wet mixing", DAFx 2016). At r = 0 this is the equal-power fade;
at r = 1, where the model reproduced the original, the gains add up to one, and an equal-power fade would swell by 3 dB.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import NamedTuple

import torch
from torch import Tensor


class SampleSpan(NamedTuple):
    """Samples from `start` up to `end`."""

    start: int
    end: int


class Splice(NamedTuple):
    """Where a generated window goes.

    Attributes:
        original: the recording at 48 kHz on the timeline of the result [C, N]; zeros where it is made longer.
        window_start: sample of the result at which the generated window begins.
        generated: spans of the result that come from the window, in order, apart from each other.
        fade_samples: length of the fade beside each span, in the original; 0 cuts.
    """

    original: Tensor
    window_start: int
    generated: tuple[SampleSpan, ...]
    fade_samples: int

    def __repr__(self) -> str:
        return f"Splice({self.original.shape[-1]} samples, generated={self.generated})"


def splice(window: Tensor, plan: Splice) -> Tensor:
    """The original with its spans replaced by the generated window.

    Args:
        window: decoded audio [C, W]; its peak is brought down to full scale where it is above.

    Returns:
        [C, N], as long as the original's timeline.

    Raises:
        ValueError: the window does not cover a span, or has other channels.
    """
    channels, samples = plan.original.shape
    window_end = plan.window_start + window.shape[-1]
    for span in plan.generated:
        if span.start < plan.window_start or span.end > window_end:
            raise ValueError(
                f"the generated audio covers samples {plan.window_start} to {window_end} of the song and "
                f"{span.start} to {span.end} are needed: connect the task that these latents were made with"
            )
    if window.shape[0] != channels:
        raise ValueError(f"the generated audio has {window.shape[0]} channels, the original {channels}")
    window = window / window.abs().amax().clamp(min=1.0)
    result = plan.original.clone()
    window_span = SampleSpan(plan.window_start, min(window_end, samples))
    for span in plan.generated:
        result[:, span.start : span.end] = window[:, span.start - plan.window_start : span.end - plan.window_start]
    for fade, rising in _fades(plan.generated, plan.fade_samples, window_span):
        new = window[:, fade.start - plan.window_start : fade.end - plan.window_start]
        old = plan.original[:, fade.start : fade.end]
        result[:, fade.start : fade.end] = _faded(old, new) if rising else _faded(new, old)
    return result


def _fades(spans: Sequence[SampleSpan], samples: int, within: SampleSpan) -> list[tuple[SampleSpan, bool]]:
    """Fades beside each span, True where the generated part rises; neighbours share the room between them."""
    fades = []
    for index, span in enumerate(spans):
        before = (spans[index - 1].end + span.start + 1) // 2 if index else within.start
        after = (span.end + spans[index + 1].start) // 2 if index + 1 < len(spans) else within.end
        rise = SampleSpan(max(before, span.start - samples), span.start)
        fall = SampleSpan(span.end, min(after, span.end + samples))
        fades += [(fade, rising) for fade, rising in ((rise, True), (fall, False)) if fade.end > fade.start]
    return fades


def _faded(first: Tensor, second: Tensor) -> Tensor:
    """A fade from one signal [C, n] to another with the same power throughout."""
    samples = first.shape[-1]
    angle = (torch.arange(samples, device=first.device, dtype=first.dtype) + 0.5) / samples * (math.pi / 2)
    falling, rising = angle.cos(), angle.sin()
    power = (first.square().sum() * second.square().sum()).sqrt()
    correlation = ((first * second).sum() / power).clamp(0, 1) if power > 0 else torch.zeros((), dtype=first.dtype)
    return (first * falling + second * rising) / (1 + 2 * correlation * falling * rising).sqrt()
