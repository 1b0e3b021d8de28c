"""Repaint: parts of a song again, the rest held to the source."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal, TypeAlias, get_args

from torch import Tensor

from ..audio.splicing import SampleSpan, Splice
from ..audio.waveform import SAMPLE_RATE
from ..checks import check_choice
from ..song.regions import Region, within
from .song_task import SongTask, SourceHold, check_share, frame_spans

RepaintMode: TypeAlias = Literal["balanced", "conservative", "aggressive"]

CROSSFADE_FRAMES = 25
FADE_SECONDS = 0.05
SHORTEST_FADE_SECONDS = 0.01


def repaint_task(
    source: Tensor,
    waveform: Tensor,
    regions: Sequence[Region],
    *,
    mode: RepaintMode = "balanced",
    strength: float = 0.5,
) -> SongTask:
    """Generate parts of a song again.

    Args:
        source: latents [T, 64]. waveform: the same audio [2, N] at 48 kHz.
        regions: parts in seconds.
        mode: "conservative" holds everything else to the source in every step but the last, "aggressive" leaves it to
            the model, "balanced" lies between.
        strength: for "balanced": 0 equals conservative, 1 aggressive.
    """
    samples = waveform.shape[-1]
    spans = within(regions, samples / SAMPLE_RATE)
    generated = tuple(SampleSpan(round(start * SAMPLE_RATE), round(end * SAMPLE_RATE)) for start, end in spans)
    freedom = _freedom(mode, strength)
    fade_seconds = max(SHORTEST_FADE_SECONDS, FADE_SECONDS * (1 - freedom))
    hold = SourceHold(share=1 - freedom, fade_frames=round(CROSSFADE_FRAMES * (1 - freedom)))
    return SongTask(
        "repaint",
        samples,
        source,
        regions=frame_spans(spans, samples),
        hold=hold if hold != SourceHold() else None,
        splice=Splice(waveform, 0, generated, round(fade_seconds * SAMPLE_RATE)),
    )


def _freedom(mode: RepaintMode, strength: float) -> float:
    """How far a repaint may leave the source outside its regions, 0..1."""
    check_choice("mode", mode, get_args(RepaintMode))
    check_share("the repaint strength", strength)
    return {"conservative": 0.0, "balanced": strength, "aggressive": 1.0}[mode]
