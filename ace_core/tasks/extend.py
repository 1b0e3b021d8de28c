"""Extending: room for new music before and after a recording, and the task that fills it.

An extension is a repaint of what is not there yet (the official "outpaint"). What the model hears and renders at once
is a window of at most 600 s; a longer song is extended through a window over its end or its beginning, and the rest
joins again after decoding.
"""

from __future__ import annotations

from typing import NamedTuple

from torch import Tensor
from torch.nn import functional

from ..audio.splicing import SampleSpan, Splice
from ..audio.waveform import MAX_DURATION_SECONDS, SAMPLE_RATE, SAMPLES_PER_FRAME
from .repaint import CROSSFADE_FRAMES, FADE_SECONDS
from .song_task import FrameSpan, SongTask, SourceHold

MIN_CONTEXT_SECONDS = 30  # of the recording, where it has as much


class ExtendWindow(NamedTuple):
    """What the model hears and renders of an extended song, on the timeline of the result.

    Attributes:
        original: the recording with zeros for what is new [2, N].
        start, end: the window's samples.
        new: spans to generate.
    """

    original: Tensor
    start: int
    end: int
    new: tuple[SampleSpan, ...]

    @property
    def waveform(self) -> Tensor:
        return self.original[:, self.start : self.end]


def extend_window(
    waveform: Tensor, *, before_seconds: float = 0.0, after_seconds: float = 0.0, context_seconds: float = 0.0
) -> ExtendWindow:
    """Make room before and after a recording.

    Args:
        waveform: [2, N] at 48 kHz, of any length.
        context_seconds: how much of the recording the model hears; 0 for all that fits into 600 s.

    Raises:
        ValueError: nothing to add; more than a window holds; a context below 30 s; both sides of a recording of which
            the model would hear a part only.
    """
    if min(before_seconds, after_seconds, context_seconds) < 0:
        raise ValueError(
            f"lengths must not be negative, got {before_seconds:g} s before, {after_seconds:g} s after and "
            f"{context_seconds:g} s of context"
        )
    before, after = round(before_seconds * SAMPLE_RATE), round(after_seconds * SAMPLE_RATE)
    if not before and not after:
        raise ValueError("there is nothing to add: give seconds before or after the audio")
    samples = waveform.shape[-1]
    total = before + samples + after
    least_context = min(samples, MIN_CONTEXT_SECONDS * SAMPLE_RATE)
    wanted_context = min(samples, round(context_seconds * SAMPLE_RATE) or samples)
    if wanted_context < least_context:
        raise ValueError(
            f"the context must be {MIN_CONTEXT_SECONDS} s or more, or 0 for all that fits, got {context_seconds:g} s"
        )
    context = min(wanted_context, MAX_DURATION_SECONDS * SAMPLE_RATE - before - after)
    if context < least_context:
        raise ValueError(
            f"{before_seconds + after_seconds:g} s are too much for one extension, which renders at most "
            f"{MAX_DURATION_SECONDS} s with {least_context / SAMPLE_RATE:g} s of the audio among them: extend by less, "
            "and the result again"
        )
    if before and after and context < samples:
        raise ValueError(
            f"to extend both sides the model must hear all {samples / SAMPLE_RATE:g} s of the audio, and with a limit "
            f"of {context / SAMPLE_RATE:g} s it does not: extend one side, then the result's other side"
        )
    original = functional.pad(waveform, (before, after))
    new = []
    if before:
        new.append(SampleSpan(0, before))
    if after:
        new.append(SampleSpan(before + samples, total))
    start, end = (0, before + context) if before and not after else (total - after - context - before, total)
    return ExtendWindow(original, start, end, tuple(new))


def window_latents(recording: Tensor, window: ExtendWindow) -> Tensor:
    """Latents of a window [T, 64] from those of the recording [T', 64]; what is new has zeros, which nobody hears.

    Raises:
        ValueError: the window does not begin and end with latent frames of the recording.
    """
    begins = window.new[0].end if window.new[0].start == 0 else 0  # of the recording, on the timeline of the result
    offset = begins - window.start
    if offset % SAMPLES_PER_FRAME:
        seconds = SAMPLES_PER_FRAME / SAMPLE_RATE
        raise ValueError(
            f"latents are {seconds:g} s apart: with them before_seconds and the start of the context must be multiples "
            f"of {seconds:g} s, got {begins / SAMPLE_RATE:g} s and {window.start / SAMPLE_RATE:g} s: change them, or "
            "disconnect the latents"
        )
    frames = -(-(window.end - window.start) // SAMPLES_PER_FRAME)
    first = offset // SAMPLES_PER_FRAME
    heard = recording[max(0, -first) :][: frames - max(0, first)]
    latents = recording.new_zeros(frames, recording.shape[1])
    latents[max(0, first) : max(0, first) + len(heard)] = heard
    return latents


def extend_task(source: Tensor, window: ExtendWindow) -> SongTask:
    """Generate what an extended song lacks.

    Args:
        source: latents of the window [T, 64].
    """
    spans = []
    for start, end in window.new:
        first, last = start - window.start, end - window.start
        spans.append(FrameSpan(first // SAMPLES_PER_FRAME, -(-last // SAMPLES_PER_FRAME)))
    return SongTask(
        "repaint",
        window.end - window.start,
        source,
        regions=tuple(spans),
        hold=SourceHold(share=1.0, fade_frames=CROSSFADE_FRAMES),
        splice=Splice(window.original, window.start, window.new, round(FADE_SECONDS * SAMPLE_RATE)),
    )
