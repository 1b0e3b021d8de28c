"""From song plans to what the sampler needs: prompts, token ids, encoder states, source latents and generation mask.

Follows `AceStepHandler.prepare_batch_data` and `prepare_condition` of the official code for text to music, with and
without audio codes; `editing` does the same for tasks with source audio.

Traps:
- The lyric branch is a table lookup in the text encoder; only the caption runs through its layers.
- Audio codes turn the source into a cover-type context with the cover instruction; without codes the source is the
  silence latent. Zeros are out of distribution in both places.
- Each song is encoded alone, so its conditions do not depend on its batch.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import torch
from torch import Tensor

from ..audio.waveform import latent_frames, sample_count
from ..checkpoints.silence import silence_frames
from ..checkpoints.tokenizer import TextTokenizer
from ..models.condition_encoder import TIMBRE_FRAMES, ConditionEncoder
from ..models.layers import AttentionFunction, scaled_dot_product_attention
from ..models.qwen3 import Qwen3
from ..song.blueprint import Blueprint, resolved_duration
from .prompts import caption_prompt, check_token_counts, lyric_prompt, task_instruction


class SongPrompt(NamedTuple):
    """Token ids of one song's two prompts, and how long the song is."""

    caption_ids: tuple[int, ...]
    lyric_ids: tuple[int, ...]
    duration_seconds: float
    note: str | None


class TextStates(NamedTuple):
    """Caption states [Lt, text_hidden] and lyric embeddings [Ll, text_hidden] of one song."""

    caption: Tensor
    lyrics: Tensor


class LateConditions(NamedTuple):
    """What replaces `packed` and `source` of a song from step int(steps * from_share) on."""

    packed: Tensor
    source: Tensor
    from_share: float


class SourceUse(NamedTuple):
    """How source audio takes part in the denoising itself.

    Attributes:
        latents: of the source [T, 64], float32.
        noise_strength: 0 starts from noise; c starts at the level nearest to 1 - c, from the source with that noise.
        injected_share: after the first round(steps * share) steps, what the mask keeps is set back to the source; the
            last step is left as it is.
        crossfade_frames: frames beside what is generated over which the result turns into the source; 0 keeps it.
    """

    latents: Tensor
    noise_strength: float
    injected_share: float
    crossfade_frames: int


class SongConditions(NamedTuple):
    """Everything the sampler needs to know about one song, on the CPU.

    Attributes:
        packed: conditions [L, condition_size], in the order lyric, timbre, text.
        source: source latents [T, 64], float32.
        mask: 1 where the model generates, 0 where it keeps the source [T], float32.
        sample_count: samples of the finished song; the decoded waveform is cropped to it.
        late: conditions of the last steps, None where all steps share the same.
        source_use: None where the source is a condition and nothing more.
        lyric_ids: tokens of the lyric prompt, whose conditions come first in `packed`.
    """

    packed: Tensor
    source: Tensor
    mask: Tensor
    sample_count: int
    late: LateConditions | None = None
    source_use: SourceUse | None = None
    lyric_ids: tuple[int, ...] = ()

    def __repr__(self) -> str:
        return f"SongConditions(tokens={len(self.packed)}, frames={len(self.source)}, samples={self.sample_count})"


def tokenize_song(tokenizer: TextTokenizer, blueprint: Blueprint, *, follow_codes: bool = True) -> SongPrompt:
    """Write and tokenize the caption and lyric prompts of a song plan.

    Args:
        follow_codes: whether the instruction asks to follow the plan's audio codes, if it has any.

    Raises:
        ValueError: a prompt is longer than the model was trained on (256 and 2048 tokens); nothing is cut.
    """
    duration = resolved_duration(blueprint)
    instruction = task_instruction("cover" if blueprint.audio_codes is not None and follow_codes else "text2music")
    return tokenize_prompts(tokenizer, blueprint, instruction, duration.seconds, duration.note)


def tokenize_prompts(
    tokenizer: TextTokenizer, blueprint: Blueprint, instruction: str, duration_seconds: float, note: str | None
) -> SongPrompt:
    """Write and tokenize both prompts with a task's instruction; see `tokenize_song`."""
    caption_ids = tokenizer.encode_prompt(caption_prompt(blueprint, instruction, duration_seconds=duration_seconds))
    lyric_ids = tokenizer.encode_prompt(lyric_prompt(blueprint))
    check_token_counts(len(caption_ids), len(lyric_ids))
    return SongPrompt(tuple(caption_ids), tuple(lyric_ids), duration_seconds, note)


def encode_text(
    text_encoder: Qwen3,
    prompt: SongPrompt,
    *,
    device: torch.device,
    dtype: torch.dtype,
    attention: AttentionFunction = scaled_dot_product_attention,
) -> TextStates:
    """Run the text encoder over a song's prompts."""
    caption_ids = torch.tensor(prompt.caption_ids, device=device)
    lyric_ids = torch.tensor(prompt.lyric_ids, device=device)
    caption = text_encoder(caption_ids[None], dtype, attention)[0]
    return TextStates(caption, text_encoder.embed(lyric_ids, dtype))


def encode_conditions(
    condition_encoder: ConditionEncoder,
    text: TextStates,
    silence: Tensor,
    *,
    device: torch.device,
    dtype: torch.dtype,
    references: Sequence[Tensor] = (),
    attention: AttentionFunction = scaled_dot_product_attention,
) -> Tensor:
    """Packed conditions [L, condition_size] of one song, on the CPU.

    Args:
        silence: the checkpoint's silence latent [1, T, 64]; its first 30 s stand for "no reference".
        references: latents of reference audio, each [750, 64].
    """
    timbres = [reference.to(device, dtype) for reference in references or (silence[0, :TIMBRE_FRAMES],)]
    caption, lyrics = text.caption.to(device, dtype), text.lyrics.to(device, dtype)
    packed: Tensor = condition_encoder(caption, lyrics, timbres, attention)
    return packed.cpu()


def song_conditions(
    packed: Tensor,
    prompt: SongPrompt,
    silence: Tensor,
    *,
    hints: Tensor | None = None,
    packed_without_codes: Tensor | None = None,
    codes_strength: float = 1.0,
) -> SongConditions:
    """Join conditions with the context of text to music.

    Args:
        hints: latents of the audio codes [N, 64]; cropped to the song's length, or continued with silence from its
            beginning.
        packed_without_codes: conditions that do not ask to follow the codes; needed for a strength below 1.
        codes_strength: share of the steps that follow the codes (0..1); the others see silence instead. A hard
            switch, as in the official `audio_cover_strength`.
    """
    frames = latent_frames(prompt.duration_seconds)
    empty = silence_frames(silence, frames)[0].float()
    source = empty if hints is None else torch.cat((hints, empty[: max(0, frames - len(hints))]))[:frames]
    late = None if packed_without_codes is None else LateConditions(packed_without_codes, empty, codes_strength)
    return SongConditions(
        packed,
        source,
        torch.ones(frames),
        sample_count(prompt.duration_seconds),
        late,
        lyric_ids=prompt.lyric_ids,
    )
