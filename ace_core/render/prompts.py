"""The two texts the renderer's conditions are made from, byte for byte as ACE-Step 1.5 was trained on them.

The templates match the published `SFT_GEN_PROMPT`, `_dict_to_meta_string` and
`_format_lyrics`, which diffusers' `AceStepPipeline` repeats.

Traps:
- The caption prompt ends in `<|endoftext|>` plus a newline, the lyrics in `<|endoftext|>` alone. The tokenizer must
  read it as the special token.
- A missing value is `N/A`, but a missing duration is `30 seconds`. A duration is truncated, not rounded.
- The published code cuts prompts at 256 and 2048 tokens without a word; `check_token_counts` refuses instead.
"""

from __future__ import annotations

from ..song.blueprint import Blueprint
from ..song.fields import INSTRUMENTAL_LYRICS
from ..song.languages import UNKNOWN_LANGUAGE

CAPTION_TEMPLATE = "# Instruction\n{instruction}\n\n# Caption\n{caption}\n\n# Metas\n{metas}<|endoftext|>\n"
METAS_TEMPLATE = "- bpm: {bpm}\n- timesignature: {time_signature}\n- keyscale: {key}\n- duration: {seconds} seconds\n"
LYRIC_HEADER_END = "\n\n# Lyric\n"
LYRIC_TEMPLATE = "# Languages\n{language}" + LYRIC_HEADER_END + "{lyrics}<|endoftext|>"

MISSING_VALUE = "N/A"
MISSING_DURATION_SECONDS = 30
CAPTION_TOKEN_LIMIT = 256
LYRIC_TOKEN_LIMIT = 2_048


def metas_block(*, bpm: int | None, time_signature: int | None, key: str | None, duration_seconds: float | None) -> str:
    """The four metadata lines of the caption prompt, each ending in a newline."""
    return METAS_TEMPLATE.format(
        bpm=MISSING_VALUE if bpm is None else bpm,
        time_signature=MISSING_VALUE if time_signature is None else time_signature,
        key=MISSING_VALUE if key is None else key,
        seconds=int(MISSING_DURATION_SECONDS if duration_seconds is None else duration_seconds),
    )


def caption_prompt(blueprint: Blueprint, instruction: str, *, duration_seconds: float | None) -> str:
    """The text whose encoder states condition the renderer (at most 256 tokens).

    Args:
        blueprint: the caption, or its rewrite where there is one, and the metadata.
        instruction: from `tasks.instructions`, or another; a missing colon at its end is added.
        duration_seconds: the length that is rendered (`resolved_duration`, or the source audio of a task), which an
            open duration field does not know; None writes the 30 seconds that the model saw for "not known".
    """
    return CAPTION_TEMPLATE.format(
        instruction=instruction if instruction.endswith(":") else instruction + ":",
        caption=blueprint.rewritten_caption or blueprint.caption or "",
        metas=metas_block(
            bpm=blueprint.bpm,
            time_signature=blueprint.time_signature,
            key=blueprint.key,
            duration_seconds=duration_seconds,
        ),
    )


def lyric_prompt(blueprint: Blueprint) -> str:
    """The text whose token embeddings the lyric encoder reads (at most 2048 tokens); open lyrics are instrumental."""
    return LYRIC_TEMPLATE.format(
        language=blueprint.language or UNKNOWN_LANGUAGE, lyrics=blueprint.lyrics or INSTRUMENTAL_LYRICS
    )


def check_token_counts(caption_tokens: int, lyric_tokens: int) -> None:
    """Refuse prompts longer than the model was trained on instead of cutting them.

    Args:
        caption_tokens: tokens of the whole caption prompt.
        lyric_tokens: tokens of the whole lyric prompt.

    Raises:
        ValueError: a prompt is over its limit; the message has both numbers and what to do, for both prompts.
    """
    problems = []
    if caption_tokens > CAPTION_TOKEN_LIMIT:
        problems.append(
            f"the caption with its instruction and metadata has {caption_tokens} tokens and the model reads "
            f"{CAPTION_TOKEN_LIMIT}: shorten the caption by {caption_tokens - CAPTION_TOKEN_LIMIT} tokens or more"
        )
    if lyric_tokens > LYRIC_TOKEN_LIMIT:
        problems.append(
            f"the lyrics with their language header have {lyric_tokens} tokens and the model reads "
            f"{LYRIC_TOKEN_LIMIT}: shorten the lyrics by {lyric_tokens - LYRIC_TOKEN_LIMIT} tokens or more"
        )
    if problems:
        raise ValueError("; ".join(problems) + " (an English word is about 1.3 tokens)")
