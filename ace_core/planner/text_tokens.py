"""What the planner's text tokens spell, and which of them may stand where free text is written.

The tokens of a byte-level vocabulary are strings of bytes, not of characters: a token can end in the middle of a
character that the next one has to complete. The masks here are therefore kept for each state of a UTF-8 reader, and
what they allow is always valid text: no replacement characters, no control characters, no control tokens, no audio
codes.

Special tokens are never found by searching a text. `encode` spells out whatever a user writes, and the control tokens
of a prompt are put there as ids.

Traps:
- `Tokenizer.encode` of a text that holds `<|im_end|>` or `<think>` returns the control token; `<think>` even with the
  option to ignore special tokens, because Qwen3 does not count it among them. `encode` breaks such spellings up.
- The vocabulary has holes in small tokenizers: an id below the special tokens need not be a token.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from ..checkpoints.tokenizer import FIRST_SPECIAL_ID, SPECIAL_TOKENS, TextTokenizer, token_bytes
from .utf8 import COMPLETE, STATES, next_state
from .vocabulary import TEXT_ROWS, TURN_END

BACKTICK = b"`"  # never in what the model was trained on; a code fence is where a derailed language model goes

_ADDED_TOKEN = re.compile(r"<(?=\|[^|<>\s]*\|>|/?(?:think|tool_call|tool_response)>)")
_CONTROL = re.compile(rb"[^\n -~]")
_SPECIAL_TEXT = {FIRST_SPECIAL_ID + index: token.encode() for index, token in enumerate(SPECIAL_TOKENS)}


@dataclass(frozen=True, eq=False)
class TextTokens:
    """A tokenizer's tokens as bytes, and masks over the ids below `TEXT_ROWS`; all masks are made once.

    Attributes:
        tokenizer: where they come from.
        spelled: the bytes of each id; empty for an id that is not a token.
        newline: the id of a single newline.
        inline: by UTF-8 state, the tokens that go on within a line.
        inline_or_end: `inline`, and tokens that end the line they are on.
        indented: tokens that start a value or a continuation line: a space comes first.
        lyrics: by UTF-8 state, tokens of text with any newlines.
        lyrics_or_stop: the same and, between characters, the stop token.
        completing: by UTF-8 state, ids of single bytes that carry an unfinished character on.
    """

    tokenizer: TextTokenizer
    spelled: tuple[bytes, ...]
    newline: int
    inline: tuple[Tensor, ...]
    inline_or_end: tuple[Tensor, ...]
    indented: Tensor
    lyrics: tuple[Tensor, ...]
    lyrics_or_stop: tuple[Tensor, ...]
    completing: tuple[tuple[int, ...], ...]

    def encode(self, text: str) -> tuple[int, ...]:
        """Token ids of a text in which nothing is a control token, whatever it spells."""
        cuts = [0, *(match.end() for match in _ADDED_TOKEN.finditer(text)), len(text)]
        pieces = [text[start:stop] for start, stop in zip(cuts, cuts[1:], strict=False)]
        return tuple(token for piece in pieces for token in self.tokenizer.encode(piece))

    def decode(self, ids: Iterable[int]) -> str:
        """The text of ids below `TEXT_ROWS`; control tokens are written out, broken characters become U+FFFD."""
        return b"".join(_SPECIAL_TEXT.get(token) or self.spelled[token] for token in ids).decode("utf-8", "replace")

    def indented_or(self, token: int) -> Tensor:
        """`indented` and one more token, as a new mask."""
        mask = self.indented.clone()
        mask[token] = True
        return mask


def read_text_tokens(tokenizer: TextTokenizer) -> TextTokens:
    """Sort a tokenizer's vocabulary; about a second for Qwen's 151 643 tokens."""
    spelled = _spell(tokenizer)
    inline: list[list[int]] = [[] for _ in STATES]
    ending: list[list[int]] = [[] for _ in STATES]
    lyrics: list[list[int]] = [[] for _ in STATES]
    completing: list[list[int]] = [[] for _ in STATES]
    indented: list[int] = []
    for token, spelling in enumerate(spelled):
        if not spelling or BACKTICK in spelling:
            continue
        body = spelling[:-1] if spelling.endswith(b"\n") else spelling
        for state in _legal_starts(spelling):
            lyrics[state].append(token)
            if b"\n" not in body:
                (inline if body == spelling else ending)[state].append(token)
            if state != COMPLETE and len(spelling) == 1:
                completing[state].append(token)
        if spelling.startswith(b" ") and inline[COMPLETE][-1:] == [token]:
            indented.append(token)
    (newline,) = tokenizer.encode("\n")
    return TextTokens(
        tokenizer=tokenizer,
        spelled=spelled,
        newline=newline,
        inline=tuple(map(_mask, inline)),
        inline_or_end=tuple(_mask([*a, *b]) for a, b in zip(inline, ending, strict=True)),
        indented=_mask(indented),
        lyrics=tuple(map(_mask, lyrics)),
        lyrics_or_stop=tuple(
            _mask([*tokens, TURN_END] if state == COMPLETE else tokens)
            for state, tokens in zip(STATES, lyrics, strict=True)
        ),
        completing=tuple(map(tuple, completing)),
    )


def _legal_starts(spelling: bytes) -> list[int]:
    """The UTF-8 states in which a token may follow."""
    if spelling.isascii():
        return [] if _CONTROL.search(spelling) else [COMPLETE]
    starts = STATES if 0x80 <= spelling[0] < 0xC0 else STATES[:1]
    return [state for state in starts if next_state(state, spelling) is not None]


def _mask(tokens: Sequence[int]) -> Tensor:
    mask = torch.zeros(TEXT_ROWS, dtype=torch.bool)
    mask[torch.tensor(tokens, dtype=torch.int64)] = True
    return mask


def _spell(tokenizer: TextTokenizer) -> tuple[bytes, ...]:
    """The bytes of ids 0..TEXT_ROWS-1."""
    spelled = [b""] * TEXT_ROWS
    for text, token in tokenizer.backend.get_vocab(with_added_tokens=False).items():
        if token < FIRST_SPECIAL_ID:
            spelled[token] = token_bytes(text)
    return tuple(spelled)
