"""The planner's prompts as token ids, byte for byte as ACE-Step 1.5 was trained on them.

Every prompt is one chat: an instruction, what the user gives, and an assistant turn that the model goes on with.
Matches the published prompt builders of `llm_inference.py`; for audio codes the form of April 2026, which follows the
training data (the assistant turn stays open, and the unconditional prompt has neither caption nor lyrics).

The legacy form of the codes prompts is the one before that, which ComfyUI still has: the assistant turn is closed
before the codes, and the unconditional prompt repeats caption and lyrics, so that guidance strengthens the metadata
alone.

Traps:
- Line breaks differ between the tasks: plan and codes end the lyrics with one, rewriting does not.
- An empty think block has two line breaks: what Qwen's template makes of empty reasoning.
- Control tokens are put in as ids. What a user writes is spelled out, so `<|im_end|>` in a text ends nothing.
- Nothing is cut. `check_positions` refuses what the model has no positions for, with the counts.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal, TypeAlias

from ..song.fields import CODE_COUNT
from .text_tokens import TextTokens
from .vocabulary import FIRST_CODE, MAX_POSITIONS, THINK_END, THINK_START, TURN_END, TURN_START

PlannerTask: TypeAlias = Literal["generate", "understand", "write", "rewrite"]

INSTRUCTIONS: dict[PlannerTask, str] = {
    "generate": "Generate audio semantic tokens based on the given conditions:",
    "understand": "Understand the given musical conditions and describe the audio semantics accordingly:",
    "write": "Expand the user's input into a more detailed and specific musical description:",
    "rewrite": "Format the user's input into a more detailed and specific musical description:",
}
NO_USER_INPUT = "NO USER INPUT"  # stands for an empty idea, an empty caption to rewrite, and no negative prompt


def plan_prompt(tokens: TextTokens, caption: str, lyrics: str) -> list[int]:
    """The prompt for metadata; the model goes on with `<think>`."""
    return _chat(tokens, "generate", _song(caption, lyrics))


def codes_prompt(tokens: TextTokens, caption: str, lyrics: str, metadata: str, *, legacy: bool = False) -> list[int]:
    """The prompt for audio codes, up to where they begin.

    Args:
        tokens: the planner's vocabulary.
        caption: as the user wrote it; a rewrite stands in the metadata.
        lyrics: the words, or `[Instrumental]`.
        metadata: from `metadata.write_metadata`.
        legacy: the form before April 2026.
    """
    return _chat(tokens, "generate", _song(caption, lyrics)) + _thought(tokens, metadata, closed=legacy)


def negative_codes_prompt(
    tokens: TextTokens, negative_prompt: str = "", *, legacy_song: tuple[str, str] | None = None
) -> list[int]:
    """The unconditional prompt for guidance.

    Args:
        tokens: the planner's vocabulary.
        negative_prompt: what the song should not be; blank is none.
        legacy_song: caption and lyrics of the conditional prompt, for the form before April 2026; a negative prompt
            then takes the place of the caption.
    """
    negative = negative_prompt if negative_prompt.strip() not in ("", NO_USER_INPUT) else None
    if legacy_song is None:
        user = negative or NO_USER_INPUT
    else:
        caption, lyrics = legacy_song
        user = _song(negative or caption, lyrics)
    return _chat(tokens, "generate", user) + _thought(tokens, "", closed=legacy_song is not None)


def write_prompt(tokens: TextTokens, query: str, *, instrumental: bool) -> list[int]:
    """The prompt for a whole song from an idea; a blank idea leaves everything to the model."""
    return _chat(tokens, "write", f"{query.strip() or NO_USER_INPUT}\n\ninstrumental: {str(instrumental).lower()}")


def rewrite_prompt(tokens: TextTokens, caption: str, lyrics: str) -> list[int]:
    """The prompt for a richer caption and formatted lyrics."""
    return _chat(tokens, "rewrite", f"# Caption\n{caption or NO_USER_INPUT}\n\n# Lyric\n{lyrics}")


def understand_prompt(tokens: TextTokens, codes: Sequence[int]) -> list[int]:
    """The prompt for a description of audio codes.

    Raises:
        ValueError: no code, or one outside 0 to 63999.
    """
    wrong = [code for code in codes if not 0 <= code < CODE_COUNT]
    if wrong or not codes:
        got = f"got {wrong[0]}" if wrong else "got none"
        raise ValueError(f"understanding needs audio codes, each 0 to {CODE_COUNT - 1}; {got}")
    head, tail = _frame(tokens, "understand")
    return [*head, *tokens.encode("user\n"), *(FIRST_CODE + code for code in codes), *tail]


def unheard_prompt(tokens: TextTokens) -> list[int]:
    """`understand_prompt` without audio codes: what the model expects of a song that it has not heard."""
    return _chat(tokens, "understand", NO_USER_INPUT)


def check_positions(prompt_tokens: int, new_tokens: int) -> None:
    """Refuse a prompt that leaves too few positions for the answer, instead of cutting it.

    Raises:
        ValueError: prompt and answer together are longer than the model's 40960 positions.
    """
    excess = prompt_tokens + new_tokens - MAX_POSITIONS
    if excess > 0:
        raise ValueError(
            f"the planner's prompt has {prompt_tokens} tokens and its answer can have {new_tokens}, but the model has "
            f"{MAX_POSITIONS} positions: shorten the text by {excess} tokens or more "
            "(an English word is about 1.3 tokens)"
        )


def _song(caption: str, lyrics: str) -> str:
    return f"# Caption\n{caption}\n\n# Lyric\n{lyrics}\n"


def _thought(tokens: TextTokens, metadata: str, *, closed: bool) -> list[int]:
    """A finished think block; `closed` ends the assistant's turn after it."""
    end = [TURN_END, tokens.newline] if closed else []
    return [THINK_START, *tokens.encode(f"\n{metadata}\n"), THINK_END, *tokens.encode("\n\n"), *end]


def _chat(tokens: TextTokens, task: PlannerTask, user: str) -> list[int]:
    head, tail = _frame(tokens, task)
    return [*head, *tokens.encode(f"user\n{user}"), *tail]


def _frame(tokens: TextTokens, task: PlannerTask) -> tuple[list[int], list[int]]:
    """What stands before the user's role and after the user's text."""
    system = tokens.encode(f"system\n# Instruction\n{INSTRUCTIONS[task]}\n\n")
    head = [TURN_START, *system, TURN_END, tokens.newline, TURN_START]
    return head, [TURN_END, tokens.newline, TURN_START, *tokens.encode("assistant\n")]
