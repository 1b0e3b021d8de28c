"""Putting a generated part into the original recording, sample for sample.

Outside the generated regions and the fades beside them the result is the original, bit for bit.

The fades keep the power steady whatever the two signals are: their gains are the cosine and sine of a quarter turn,
divided by sqrt(1 + 2 r cos sin) with the correlation r of the two within the fade (Fink, Holters and Zoelzer,
"Signal-matched power-complementary cross-fading and dry-wet mixing", DAFx 2016). At r = 0 this is the equal-power fade;
at r = 1, where the model reproduced the original, the gains add up to one, and an equal-power fade would swell by 3 dB.
"""

from __future__ import annotations

import math
from itertools import pairwise
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
        original: the recording at 48 kHz on the timeline of the result [C, N]; zeros where it is made longer, or where
            the window is a track of its own that plays in parts of the song only.
        window_start: sample of the result at which the generated window begins.
        generated: spans of the result that come from the window, in order, apart from each other.
        fade_samples: length of the fade beside each span, in the original; 0 cuts.
        keeps_level: whether the original is a recording, whose level the result keeps.
    """

    original: Tensor
    window_start: int
    generated: tuple[SampleSpan, ...]
    fade_samples: int
    keeps_level: bool = True

    def __repr__(self) -> str:
        return f"Splice({self.original.shape[-1]} samples, generated={self.generated})"


def splice(window: Tensor, plan: Splice) -> Tensor:
    """The original with its spans replaced by the generated window.

    Args:
        window: decoded audio [C, W]. A part of it whose peak is above full scale is brought down to it.

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
                f"{span.start} to {span.end} are needed: use the task that these latents were made with"
            )
    if window.shape[0] != channels:
        raise ValueError(f"the generated audio has {window.shape[0]} channels, the original {channels}")
    result = plan.original.clone()
    for span, with_fades in zip(plan.generated, _with_fades(plan, min(window_end, samples)), strict=True):
        part = window[:, with_fades.start - plan.window_start : with_fades.end - plan.window_start]
        part = part / part.abs().amax().clamp(min=1.0)
        old = plan.original[:, with_fades.start : with_fades.end]
        rise, fall = span.start - with_fades.start, span.end - with_fades.start
        result[:, with_fades.start : span.start] = _faded(old[:, :rise], part[:, :rise])
        result[:, span.start : span.end] = part[:, rise:fall]
        result[:, span.end : with_fades.end] = _faded(part[:, fall:], old[:, fall:])
    return result


def _with_fades(plan: Splice, window_end: int) -> list[SampleSpan]:
    """The generated spans with the fades beside them; neighbours share the room between them."""
    spans = plan.generated
    middles = [(left.end + right.start) // 2 for left, right in pairwise(spans)]
    starts, ends = [plan.window_start, *middles], [*middles, window_end]
    return [
        SampleSpan(max(start, span.start - plan.fade_samples), min(end, span.end + plan.fade_samples))
        for span, start, end in zip(spans, starts, ends, strict=True)
    ]


def _faded(first: Tensor, second: Tensor) -> Tensor:
    """A fade from one signal [C, n] to another with the same power throughout; n may be 0."""
    samples = first.shape[-1]
    angle = (torch.arange(samples, device=first.device, dtype=first.dtype) + 0.5) / max(samples, 1) * (math.pi / 2)
    falling, rising = angle.cos(), angle.sin()
    power = (first.square().sum() * second.square().sum()).sqrt()
    # Two signals of which one is silent have no correlation.
    correlation = ((first * second).sum() / power).nan_to_num(0).clamp(0, 1)
    return (first * falling + second * rising) / (1 + 2 * correlation * falling * rising).sqrt()
