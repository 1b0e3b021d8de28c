"""What is made of one song, and from what: text alone, audio codes, or source audio.

Text to music is a task like the others. Builders (`text_task` here; `cover_task`, `repaint_task`, `extend_task`,
`track_task` beside this file) turn a plan, or encoded audio and options, into a `SongTask`; `render.conditions` turns
that into what the sampler needs. Follows the official handler's rules of source latents, chunk mask and instruction
(`prepare_batch_data`, `conditioning_masks`; lego as in the newer code, which keeps the source inside the region).

| task | source | mask |
|---|---|---|
| text2music | silence, or the latents of the plan's audio codes | 1 |
| cover | source through the audio tokenizer and back | 1 |
| cover-nofsq | source | 1 |
| repaint | source, silence inside the regions | 1 inside |
| extract, complete | source | 1 |
| lego | source | 1, or 1 inside the regions |

Traps:
- Masks are 0 and 1. The official "auto" value 2 collapses to 1 there, so its masks do nothing.
- A song with codes has five frames a code, as published, so one of 30.5 s lasts 30.4 s; only where codes and duration
  differ by a code or more does the duration count.
- A source is as long as its last begun latent frame; the song is cropped to the source's samples after decoding. The
  official code drops a frame that is not full.
- A source below 128 frames is continued with the first frames of silence, and its codes are those of all 128 frames.
- What makes room for new music (`extend`) is silence inside the mask, never encoded zeros.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

from torch import Tensor

from ..audio.splicing import Splice
from ..audio.waveform import (
    CODE_RATE,
    LATENT_FRAME_RATE,
    SAMPLE_RATE,
    SAMPLES_PER_FRAME,
    sample_count,
    source_frames,
)
from ..checkpoints.variants import Variant, is_distilled
from ..song.blueprint import Blueprint, resolved_duration
from ..song.regions import Region
from .instructions import TaskName, task_instruction

FRAMES_PER_CODE = LATENT_FRAME_RATE // CODE_RATE
BASE_TASKS = ("extract", "lego", "complete")


class FrameSpan(NamedTuple):
    """Latent frames from `start` up to `end`."""

    start: int
    end: int


class SourceHold(NamedTuple):
    """How source audio takes part in the denoising itself.

    Attributes:
        noise_strength: 0 starts from noise; c starts at the level nearest to 1 - c, from the source with that noise.
        share: for the first round(steps * share) steps, what the mask keeps is set back to the source after each; the
            last step is left as it is.
        fade_frames: frames beside what is generated over which the result turns into the source; 0 keeps it.
    """

    noise_strength: float = 0.0
    share: float = 0.0
    fade_frames: int = 0


class SongTask(NamedTuple):
    """One song's task.

    Attributes:
        samples: of the finished song at 48 kHz.
        source: latents of source audio [T, 64], float32 on the CPU, T frames hold `samples`; None for text alone.
        codes: audio codes to follow, of the plan.
        regions: frames to generate; empty for the whole song.
        tracks: what to extract, add or complete with.
        follow_share: share of the sampler's steps that follow the source or the codes; the others see the text alone.
        hold: None where the source is a condition and nothing more.
        splice: how the decoded window joins the original recording, None where nothing of it is kept.
    """

    name: TaskName
    samples: int
    source: Tensor | None = None
    codes: tuple[int, ...] | None = None
    regions: tuple[FrameSpan, ...] = ()
    tracks: tuple[str, ...] = ()
    follow_share: float = 1.0
    hold: SourceHold | None = None
    splice: Splice | None = None

    def __repr__(self) -> str:
        return f"{self.name} of {self.duration_seconds:g} s"

    @property
    def duration_seconds(self) -> float:
        return self.samples / SAMPLE_RATE

    @property
    def frames(self) -> int:
        """Latent frames of the song."""
        return source_frames(self.samples)

    @property
    def follows_codes(self) -> bool:
        """Whether the song follows audio codes, the plan's or those of its source."""
        return self.name == "cover" or self.codes is not None

    @property
    def instruction(self) -> str:
        """The instruction line of the steps that follow the source or the codes."""
        return task_instruction("cover" if self.codes is not None else self.name, self.tracks)


def text_task(plan: Blueprint, codes_strength: float = 1.0, *, samples: int | None = None) -> SongTask:
    """Music from a plan, with the audio codes that it may have.

    Args:
        codes_strength: share of the steps that follow the codes, 0..1. A hard switch, as in the official
            `audio_cover_strength`.
        samples: of a song that is there already; None for the length that the plan asks for.
    """
    check_share("the codes strength", codes_strength)
    if samples is None:
        samples = _planned_samples(plan)
    return SongTask(
        "text2music",
        samples,
        codes=plan.audio_codes,
        follow_share=1.0 if plan.audio_codes is None else codes_strength,
    )


def _planned_samples(plan: Blueprint) -> int:
    """The length that a plan asks for; that of its codes where both differ by less than a code."""
    samples = sample_count(resolved_duration(plan).seconds)
    of_codes = len(plan.audio_codes or ()) * FRAMES_PER_CODE * SAMPLES_PER_FRAME
    return of_codes if abs(of_codes - samples) < FRAMES_PER_CODE * SAMPLES_PER_FRAME else samples


def check_task(task: SongTask, plan: Blueprint, variant: Variant, model_name: str) -> str | None:
    """Refuse a task that does not go with a plan, or that a checkpoint cannot do.

    Returns:
        A warning for a task that the checkpoint was not trained for, None if there is nothing to say.

    Raises:
        ValueError: source audio and audio codes; extract, lego or complete with a turbo checkpoint.
    """
    if task.source is not None and plan.audio_codes is not None:
        raise ValueError(
            f"the blueprint has {len(plan.audio_codes)} audio codes and the task {task.name} takes its source from "
            "audio: plan without codes, or leave out the task"
        )
    if task.name not in BASE_TASKS or variant == "base":
        return None
    if is_distilled(variant):
        raise ValueError(
            f"{task.name} needs a base checkpoint and {model_name} is {variant}, which was not trained for it: load "
            "acestep-v15-base or acestep-v15-xl-base (or choose the variant if the file was renamed)"
        )
    return (
        f"WARNING: {task.name} is made for base checkpoints and {model_name} is {variant}, which was not trained for "
        "it: the result may have little to do with the source. Load acestep-v15-base or acestep-v15-xl-base."
    )


def task_summary(task: SongTask) -> str:
    """A task in words, with the parts it generates on the timeline of the result."""
    if task.source is None:
        return f"{task.duration_seconds:g} s"
    tracks = f" ({', '.join(task.tracks)})" if task.tracks else ""
    if task.splice is None:
        seconds = task.duration_seconds
        parts = [(start / LATENT_FRAME_RATE, end / LATENT_FRAME_RATE) for start, end in task.regions]
    else:
        seconds = task.splice.original.shape[-1] / SAMPLE_RATE
        parts = [(start / SAMPLE_RATE, end / SAMPLE_RATE) for start, end in task.splice.generated]
    new = ", new: " + ", ".join(f"{start:g}-{end:g} s" for start, end in parts) if parts else ""
    return f"{task.name}{tracks} of {seconds:g} s{new}"


def frame_spans(regions: Sequence[Region], samples: int) -> tuple[FrameSpan, ...]:
    """Frames of regions of a song by the published rule: both ends rounded down, one frame at least.

    A region up to the end of the song has the song's last frame, full or not.
    """
    frames = -(-samples // SAMPLES_PER_FRAME)
    spans = []
    for region_start, region_end in regions:
        start = min(round(region_start * SAMPLE_RATE) // SAMPLES_PER_FRAME, frames - 1)
        end_sample = round(region_end * SAMPLE_RATE)
        end = frames if end_sample == samples else end_sample // SAMPLES_PER_FRAME
        spans.append(FrameSpan(start, max(start + 1, end)))
    return tuple(spans)


def check_share(what: str, value: float) -> None:
    """Raise ValueError for a share outside 0..1."""
    if not 0 <= value <= 1:
        raise ValueError(f"{what} must be 0 to 1, got {value:g}")
