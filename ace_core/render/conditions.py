"""From song plans and tasks to what the sampler needs: token ids, encoder states, source latents and generation mask.

Follows `AceStepHandler.prepare_batch_data` and `prepare_condition` of the official code.

Traps:
- The lyric branch is a table lookup in the text encoder; only the caption runs through its layers.
- Where nothing is followed the source is the silence latent. Zeros are out of distribution.
- Each song is encoded alone, so its conditions do not depend on its batch.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import torch
from torch import Tensor

from ..checkpoints.silence import padded_with_silence, silence_frames
from ..checkpoints.tokenizer import TextTokenizer
from ..models.condition_encoder import TIMBRE_FRAMES, ConditionEncoder
from ..models.qwen3 import Qwen3
from ..runtime import Runtime
from ..song.blueprint import Blueprint
from ..tasks.instructions import task_instruction
from ..tasks.song_task import SongTask, SourceHold
from .prompts import caption_prompt, check_token_counts, lyric_prompt


class SongPrompt(NamedTuple):
    """Token ids of one song's two prompts."""

    caption_ids: tuple[int, ...]
    lyric_ids: tuple[int, ...]


class TextStates(NamedTuple):
    """Caption states [Lt, text_hidden] and lyric embeddings [Ll, text_hidden] of one song."""

    caption: Tensor
    lyrics: Tensor


class SecondConditions(NamedTuple):
    """What replaces `packed` and `source` of a song from step int(steps * switch_share) on."""

    packed: Tensor
    source: Tensor
    switch_share: float


class SongConditions(NamedTuple):
    """Everything the sampler needs to know about one song, on the CPU.

    Attributes:
        packed: conditions [L, condition_size], in the order lyric, timbre, text.
        source: source latents [T, 64], float32.
        mask: 1 where the model generates, 0 where it keeps the source [T], float32.
        samples: of the finished song; the decoded waveform is cropped to it.
        clean: latents [T, 64] of the source audio as they are, which `hold` holds to; `source` where there is none.
        second: conditions of the last steps, None where all steps share the same.
        hold: None where the source is a condition and nothing more.
        lyric_ids: tokens of the lyric prompt, whose conditions come first in `packed`.
        planned: whether the song follows a plan's audio codes.
    """

    packed: Tensor
    source: Tensor
    mask: Tensor
    samples: int
    clean: Tensor
    second: SecondConditions | None = None
    hold: SourceHold | None = None
    lyric_ids: tuple[int, ...] = ()
    planned: bool = False

    def __repr__(self) -> str:
        return f"SongConditions(tokens={len(self.packed)}, frames={len(self.source)}, samples={self.samples})"


def tokenize(
    tokenizer: TextTokenizer, plan: Blueprint, task: SongTask, *, following: bool = True, instruction: str = ""
) -> SongPrompt:
    """Write and tokenize the caption and lyric prompts of a song.

    Args:
        instruction: in place of the task's own while it is followed; "" for that.
        following: False for the steps that make music from the text alone, after those that follow a source or codes.

    Raises:
        ValueError: a prompt is longer than the model was trained on (256 and 2048 tokens); nothing is cut.
    """
    instruction = (instruction or task.instruction) if following else task_instruction("text2music")
    return tokenize_prompts(tokenizer, plan, instruction, task.duration_seconds)


def tokenize_prompts(
    tokenizer: TextTokenizer, plan: Blueprint, instruction: str, duration_seconds: float
) -> SongPrompt:
    """Both prompts with any instruction and length; see `tokenize`."""
    caption = caption_prompt(plan, instruction, duration_seconds=duration_seconds)
    caption_ids, lyric_ids = tokenizer.encode_prompt(caption), tokenizer.encode_prompt(lyric_prompt(plan))
    check_token_counts(len(caption_ids), len(lyric_ids))
    return SongPrompt(tuple(caption_ids), tuple(lyric_ids))


def encode_text(text_encoder: Qwen3, prompt: SongPrompt, runtime: Runtime) -> TextStates:
    """Run the text encoder over a song's prompts."""
    caption_ids = torch.tensor(prompt.caption_ids, device=runtime.device)
    lyric_ids = torch.tensor(prompt.lyric_ids, device=runtime.device)
    caption = text_encoder(caption_ids[None], runtime.dtype, runtime.attention)[0]
    return TextStates(caption, text_encoder.embed(lyric_ids, runtime.dtype))


def encode_conditions(
    condition_encoder: ConditionEncoder,
    text: TextStates,
    silence: Tensor,
    runtime: Runtime,
    references: Sequence[Tensor] = (),
) -> Tensor:
    """Packed conditions [L, condition_size] of one song, on the CPU.

    Args:
        silence: the checkpoint's silence latent [1, T, 64]; its first 30 s stand for "no reference".
        references: latents of reference audio, each [750, 64].
    """
    timbres = [runtime.take(reference) for reference in references or (silence[0, :TIMBRE_FRAMES],)]
    packed: Tensor = condition_encoder(
        runtime.take(text.caption), runtime.take(text.lyrics), timbres, runtime.attention
    )
    return packed.cpu()


def source_latents(task: SongTask, silence: Tensor) -> Tensor:
    """The source as the model sees it [T, 64]: of text alone silence, a short one continued with silence.

    Args:
        silence: the checkpoint's silence latent [1, T, 64].
    """
    return padded_with_silence(silence[0, :0].float() if task.source is None else task.source, task.frames, silence)


def song_conditions(
    task: SongTask,
    prompt: SongPrompt,
    packed: Tensor,
    silence: Tensor,
    *,
    structure: Tensor | None = None,
    second_packed: Tensor | None = None,
) -> SongConditions:
    """Join a song's encoded prompts with its source.

    Args:
        packed: encoded `prompt` and timbre [L, condition_size].
        silence: the checkpoint's silence latent [1, T, 64].
        structure: latents [N, 64] that the followed audio codes stand for; needed where the task `follows_codes`.
        second_packed: conditions of the text alone; needed where the task follows a share of the steps only.
    """
    clean = source_latents(task, silence)
    empty = silence_frames(silence, task.frames)[0].float()
    mask = torch.ones(task.frames)
    if task.regions:
        mask.zero_()
        for start, end in task.regions:
            mask[start:end] = 1
    source = clean
    if task.follows_codes:
        assert structure is not None
        source = padded_with_silence(structure, task.frames, silence)[: task.frames]
    elif task.name == "repaint":
        source = torch.where(mask[:, None] == 1, empty, clean)
    second = None
    if task.follow_share < 1:
        assert second_packed is not None
        second = SecondConditions(second_packed, empty, task.follow_share)
    return SongConditions(
        packed,
        source,
        mask,
        task.samples,
        clean,
        second,
        task.hold,
        prompt.lyric_ids,
        planned=task.codes is not None,
    )
