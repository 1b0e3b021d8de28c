"""Editing: what each task makes of source audio, and what the renderer needs for it.

Follows the official handler's rules of source latents, chunk mask and instruction for each task (`prepare_batch_data`,
`conditioning_masks`; lego as in the newer code, which keeps the source inside the region). Everything about a task is
decided here, in two steps: a builder (`cover_task`, `repaint_task`, ...) turns encoded audio and options into a
`SongTask`, and `task_conditions` turns that into a song's conditions.

| task | source | mask |
|---|---|---|
| cover | source through the audio tokenizer and back | 1 |
| cover-nofsq | source | 1 |
| repaint | source, silence inside the regions | 1 inside |
| extract, complete | source | 1 |
| lego | source | 1, or 1 inside the regions |

Traps:
- Masks are 0 and 1. The official "auto" value 2 collapses to 1 there, so its masks do nothing.
- A source is as long as its last begun latent frame; the song is cropped to the source's samples after decoding. The
  official code drops a frame that is not full.
- A source below 128 frames is continued with the first frames of silence, and its codes are those of all 128 frames.
- What makes room for new music (`extending`) is silence inside the mask, never encoded zeros.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal, NamedTuple, TypeAlias, get_args

import torch
from torch import Tensor
from torch.nn import functional

from ..audio.splicing import SampleSpan, Splice
from ..audio.waveform import (
    MAX_DURATION_SECONDS,
    SAMPLE_RATE,
    SAMPLES_PER_FRAME,
    resample,
    silent_items,
    source_frames,
    to_stereo,
    validate_waveform,
)
from ..checkpoints.silence import silence_frames
from ..checkpoints.tokenizer import TextTokenizer
from ..render.conditions import LateConditions, SongConditions, SongPrompt, SourceUse, tokenize_prompts
from ..render.prompts import Task, task_instruction
from ..sampling.settings import CheckpointKind
from ..song.blueprint import Blueprint
from ..song.fields import normalize_track
from ..song.regions import Region, within

RepaintMode: TypeAlias = Literal["balanced", "conservative", "aggressive"]
CoverStructure: TypeAlias = Literal["codes", "latents"]

MIN_SOURCE_SECONDS = 1
REPAINT_CROSSFADE_FRAMES = 25
REPAINT_FADE_SECONDS = 0.05
SHORTEST_FADE_SECONDS = 0.01
BASE_TASKS = ("extract", "lego", "complete")


class FrameSpan(NamedTuple):
    """Latent frames from `start` up to `end`."""

    start: int
    end: int


class SongTask(NamedTuple):
    """One song's task with its source.

    Attributes:
        latents: of the source [T, 64], float32 on the CPU; T frames hold `sample_count` samples.
        regions: frames to generate; empty for the whole song.
        tracks: what to extract, add or complete with.
        strength: share of the sampler's steps that follow the source.
        noise_strength: how much of the source is in the first step's latents.
        injected_share: share of the steps after which what lies outside the regions is set back to the source.
        crossfade_frames: frames beside each region over which the result turns into the source; 0 keeps the result.
        splice: how the decoded window joins the original recording, None where nothing of it is kept.
    """

    task: Task
    latents: Tensor
    sample_count: int
    regions: tuple[FrameSpan, ...] = ()
    tracks: tuple[str, ...] = ()
    strength: float = 1.0
    noise_strength: float = 0.0
    injected_share: float = 0.0
    crossfade_frames: int = 0
    splice: Splice | None = None

    def __repr__(self) -> str:
        return f"{self.task} of {self.duration_seconds:g} s"

    @property
    def duration_seconds(self) -> float:
        return self.sample_count / SAMPLE_RATE

    @property
    def follows_codes(self) -> bool:
        """Whether the source passes through the audio tokenizer."""
        return self.task == "cover"


def source_waveforms(waveform: Tensor | None, sample_rate: int, *, max_seconds: float = MAX_DURATION_SECONDS) -> Tensor:
    """Audio of a user as the tasks take it: [B, C, N] at any rate -> float32 [B, 2, N'] at 48 kHz.

    Raises:
        ValueError: none, broken, silent, surround, shorter than 1 s or longer than `max_seconds`.
    """
    waveform = to_stereo(validate_waveform(waveform, sample_rate))
    seconds = waveform.shape[-1] / sample_rate
    if seconds < MIN_SOURCE_SECONDS:
        raise ValueError(f"the audio lasts {seconds:.3g} s: give {MIN_SOURCE_SECONDS} s or more")
    if seconds > max_seconds:
        raise ValueError(f"the audio lasts {seconds:.2f} s and the model hears {max_seconds:g} s at most: cut it")
    silent = silent_items(waveform)
    if any(silent):
        raise ValueError(f"item {silent.index(True) + 1} of {len(silent)} of the audio is silent: nothing to work with")
    return resample(waveform, sample_rate)


def whole_frames(waveform: Tensor) -> Tensor:
    """Samples [..., N] as the VAE hears them: within -1..1, with zeros to the end of the last begun latent frame."""
    return functional.pad(waveform.clamp(-1, 1), (0, -waveform.shape[-1] % SAMPLES_PER_FRAME))


def check_task(task: Task, kind: CheckpointKind, model_name: str) -> None:
    """Refuse a task that a checkpoint was not trained for.

    Raises:
        ValueError: extract, lego or complete with a turbo checkpoint.
    """
    if task in BASE_TASKS and kind == "turbo":
        raise ValueError(
            f"{task} needs a base or sft checkpoint and {model_name} is turbo, which was not trained for it: load "
            "acestep-v15-base or acestep-v15-sft (or choose the variant in Load Models if the file was renamed)"
        )


def cover_task(
    latents: Tensor,
    sample_count: int,
    *,
    strength: float = 1.0,
    noise_strength: float = 0.0,
    structure: CoverStructure = "codes",
) -> SongTask:
    """A new version of a song.

    Args:
        latents: of the source [T, 64]. sample_count: its samples.
        strength: share of the steps that follow the source, 0..1; the others see the caption and lyrics alone.
        noise_strength: 0 starts from noise; towards 1 from ever more of the source's own sound (remix).
        structure: "codes" passes on melody, rhythm and form, "latents" the sound itself, closer to the source.
    """
    _check_share("the cover strength", strength)
    _check_share("the noise strength", noise_strength)
    if structure not in get_args(CoverStructure):
        raise ValueError(f"the structure must be one of {', '.join(get_args(CoverStructure))}, got {structure!r}")
    task: Task = "cover" if structure == "codes" else "cover-nofsq"
    return SongTask(task, latents, sample_count, strength=strength, noise_strength=noise_strength)


def repaint_task(
    latents: Tensor,
    waveform: Tensor,
    regions: Sequence[Region],
    *,
    mode: RepaintMode = "balanced",
    strength: float = 0.5,
) -> SongTask:
    """Generate parts of a song anew.

    Args:
        latents: of the source [T, 64]. waveform: the source [2, N] at 48 kHz.
        regions: parts in seconds.
        mode: "conservative" holds everything else to the source in every step but the last, "aggressive" leaves it to
            the model, "balanced" lies between.
        strength: of "balanced": 0 equals conservative, 1 aggressive.
    """
    samples = waveform.shape[-1]
    spans = within(regions, samples / SAMPLE_RATE)
    generated = tuple(SampleSpan(round(start * SAMPLE_RATE), round(end * SAMPLE_RATE)) for start, end in spans)
    freedom = _repaint_freedom(mode, strength)
    fade_seconds = max(SHORTEST_FADE_SECONDS, REPAINT_FADE_SECONDS * (1 - freedom))
    return SongTask(
        "repaint",
        latents,
        samples,
        regions=_frame_spans(spans, samples),
        injected_share=1 - freedom,
        crossfade_frames=round(REPAINT_CROSSFADE_FRAMES * (1 - freedom)),
        splice=Splice(waveform, 0, generated, round(fade_seconds * SAMPLE_RATE)),
    )


def track_task(
    task: Literal["extract", "lego", "complete"],
    latents: Tensor,
    sample_count: int,
    tracks: Sequence[str],
    *,
    regions: Sequence[Region] = (),
) -> SongTask:
    """Take a track out of a mix (extract), add one to it (lego), or accompany it with several (complete).

    Args:
        tracks: names of `music_domains.TRACKS`; one for extract and lego, one or more for complete.
        regions: of lego: where the new track plays, in seconds; empty for the whole song.

    Raises:
        ValueError: no track, too many, an unknown one, regions outside the song or for another task than lego.
    """
    if not tracks:
        raise ValueError(f"choose the track{'s' if task == 'complete' else ''} to {task}")
    if regions and task != "lego":
        raise ValueError(f"{task} works on the whole song, only lego takes regions, got {len(regions)}")
    names = tuple(dict.fromkeys(normalize_track(track) for track in tracks))
    task_instruction(task, names)  # refuses several tracks where one is allowed
    spans = within(regions, sample_count / SAMPLE_RATE) if regions else ()
    return SongTask(task, latents, sample_count, regions=_frame_spans(spans, sample_count), tracks=names)


def tokenize_task(
    tokenizer: TextTokenizer, blueprint: Blueprint, task: SongTask, *, follow_source: bool = True
) -> SongPrompt:
    """Write and tokenize the prompts of a task; its source decides the duration.

    Args:
        follow_source: False for the steps beyond the cover strength, which make music from the text alone.

    Raises:
        ValueError: the plan has audio codes, which would not be used, or a prompt is too long.
    """
    if blueprint.audio_codes is not None:
        raise ValueError(
            f"the blueprint has {len(blueprint.audio_codes)} audio codes and a task is connected, which takes its "
            "source from audio: plan without codes, or disconnect the task"
        )
    instruction = task_instruction(task.task, task.tracks) if follow_source else task_instruction("text2music")
    note = None
    planned = blueprint.duration_seconds
    if planned is not None and abs(planned - task.duration_seconds) >= 0.1:
        note = f"the source decides the length, {task.duration_seconds:g} s, not the blueprint's {planned:g} s"
    return tokenize_prompts(tokenizer, blueprint, instruction, task.duration_seconds, note)


def source_latents(task: SongTask, silence: Tensor) -> Tensor:
    """The source as the model sees it [T, 64], continued with silence where the song has more frames.

    Args:
        silence: the checkpoint's silence latent [1, T, 64].
    """
    missing = source_frames(task.sample_count) - len(task.latents)
    return torch.cat((task.latents, silence_frames(silence, missing)[0].float()))


def task_conditions(
    packed: Tensor,
    task: SongTask,
    silence: Tensor,
    *,
    structure: Tensor | None = None,
    packed_without_source: Tensor | None = None,
    lyric_ids: tuple[int, ...] = (),
) -> SongConditions:
    """Conditions of a song whose task has a source.

    Args:
        packed: encoded prompts and timbre [L, condition_size].
        silence: the checkpoint's silence latent [1, T, 64].
        structure: `source_latents` after the audio tokenizer and back [>= T, 64], where the task `follows_codes`.
        packed_without_source: conditions with the text-to-music instruction, where the task's strength is below 1.
        lyric_ids: of the prompt that `packed` was encoded from; without them the lyrics cannot be timed.
    """
    clean = source_latents(task, silence)
    frames = len(clean)
    empty = silence_frames(silence, frames)[0].float()
    mask = torch.ones(frames)
    if task.regions:
        mask.zero_()
        for start, end in task.regions:
            mask[start:end] = 1
    source = clean
    if task.follows_codes:
        assert structure is not None
        source = structure[:frames]
    elif task.task == "repaint":
        source = torch.where(mask[:, None] == 1, empty, clean)
    late = None
    if task.strength < 1:
        assert packed_without_source is not None
        late = LateConditions(packed_without_source, empty, task.strength)
    use = None
    if task.noise_strength or task.injected_share or task.crossfade_frames:
        use = SourceUse(clean, task.noise_strength, task.injected_share, task.crossfade_frames)
    return SongConditions(packed, source, mask, task.sample_count, late, use, lyric_ids)


def _repaint_freedom(mode: RepaintMode, strength: float) -> float:
    """How far a repaint may leave the source outside its regions, 0..1."""
    if mode not in get_args(RepaintMode):
        raise ValueError(f"the mode must be one of {', '.join(get_args(RepaintMode))}, got {mode!r}")
    _check_share("the repaint strength", strength)
    return {"conservative": 0.0, "balanced": strength, "aggressive": 1.0}[mode]


def _frame_spans(regions: Sequence[Region], samples: int) -> tuple[FrameSpan, ...]:
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


def _check_share(what: str, value: float) -> None:
    if not 0 <= value <= 1:
        raise ValueError(f"{what} must be 0 to 1, got {value:g}")
