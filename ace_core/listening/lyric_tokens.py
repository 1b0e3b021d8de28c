"""Which tokens of a lyric prompt are the lyrics, what each of them spells, and which belong to structure tags.

The prompt is `# Languages\n{language}\n\n# Lyric\n{lyrics}` and end-of-text tokens. The official code counts the tokens
of the header again, with a language that need not be the prompt's; here the header is found in the prompt itself.

Traps:
- A token may end in the middle of a character. The character belongs to the token that completes it, so a token's text
  may be empty.
- Tags are told apart by token, as in the official score: one token may hold a bracket and something beside it.
"""

from __future__ import annotations

import codecs
from collections.abc import Sequence
from typing import NamedTuple

from ..checkpoints.tokenizer import END_OF_TEXT, TextTokenizer
from ..render.prompts import LYRIC_HEADER_END


class LyricTokens(NamedTuple):
    """The lyrics of a prompt, token by token.

    Attributes:
        first: tokens of the prompt before the lyrics.
        texts: what each token completes; together they are the lyrics.
        in_tag: whether a token belongs to a tag such as [Verse].
    """

    first: int
    texts: tuple[str, ...]
    in_tag: tuple[bool, ...]

    @property
    def rows(self) -> slice:
        """Where the lyrics lie in the prompt, and in the conditions of a song."""
        return slice(self.first, self.first + len(self.texts))


def lyric_tokens(lyric_ids: Sequence[int], tokenizer: TextTokenizer) -> LyricTokens:
    """Take the token ids of a lyric prompt apart.

    Raises:
        ValueError: there are no ids, or they are not a lyric prompt.
    """
    end_of_text = tokenizer.token_id(END_OF_TEXT)
    end = lyric_ids.index(end_of_text) if end_of_text in lyric_ids else len(lyric_ids)
    spelled = tokenizer.spell(lyric_ids[:end])
    text = b"".join(spelled)
    marker = LYRIC_HEADER_END.encode()
    if marker not in text:
        raise ValueError(
            f"the conditioning holds no lyrics to time: it came without a lyric prompt ({len(lyric_ids)} tokens). "
            "Connect the conditioning that ACE-Step Encode made"
        )
    header_bytes = text.index(marker) + len(marker)
    first = 0
    while header_bytes > 0:
        header_bytes -= len(spelled[first])
        first += 1
    decoder = codecs.getincrementaldecoder("utf-8")()
    texts = tuple(map(decoder.decode, spelled[first:]))
    return LyricTokens(first, texts, _in_tag(texts))


def _in_tag(texts: Sequence[str]) -> tuple[bool, ...]:
    """Which tokens lie in square brackets; a bracket that never closes is text."""
    marks = [False] * len(texts)
    opened: int | None = None
    for index, text in enumerate(texts):
        if opened is None and "[" in text:
            opened = index
        if opened is not None and "]" in text:
            marks[opened : index + 1] = [True] * (index + 1 - opened)
            opened = None
    return tuple(marks)
