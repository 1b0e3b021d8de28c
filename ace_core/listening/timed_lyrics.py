"""Lyrics with times: tokens, words and lines.

Traps:
- Not every script puts spaces between words. Where it does not, each token is taken for a word.
- Accents, vowel signs, joined emoji and flags are several code points that are one character to the reader; a word or
  token never begins in the middle of one.
"""

from __future__ import annotations

import unicodedata
from collections.abc import Sequence
from typing import Literal, NamedTuple, TypeAlias

Granularity: TypeAlias = Literal["word", "token"]


class TimedToken(NamedTuple):
    """A token of the lyrics; `text` is what it completes, which may be nothing."""

    text: str
    start_seconds: float
    end_seconds: float
    in_tag: bool = False


class TimedText(NamedTuple):
    """A word, or a readable part of one, with the space after it."""

    text: str
    start_seconds: float
    end_seconds: float


class TimedLine(NamedTuple):
    """A line of the lyrics, times to the millisecond."""

    text: str
    start_seconds: float
    end_seconds: float
    tokens: tuple[TimedToken, ...]

    @property
    def is_tag(self) -> bool:
        """Whether the line is nothing but structure tags such as [Verse]."""
        return all(token.in_tag for token in self.tokens if token.text.strip())


class TimedLyrics(NamedTuple):
    """Lines in the order they are sung, within the song's duration."""

    lines: tuple[TimedLine, ...]
    duration_seconds: float


def line_slices(texts: Sequence[str]) -> list[slice]:
    """Which tokens are a line: each ends with a token that holds a newline, or with the last one."""
    ends = [index for index, text in enumerate(texts, 1) if "\n" in text or index == len(texts)]
    return [slice(start, end) for start, end in zip([0, *ends], ends, strict=False)]


def group_lines(tokens: Sequence[TimedToken]) -> tuple[TimedLine, ...]:
    """Cut tokens into lines; blank ones are dropped."""
    lines = (_line(tokens[part]) for part in line_slices([token.text for token in tokens]))
    return tuple(line for line in lines if line.text)


def without_tags(lyrics: TimedLyrics) -> TimedLyrics:
    """The lyrics without structure tags; lines that are nothing else go too."""
    lines = (_line([token for token in line.tokens if not token.in_tag]) for line in lyrics.lines)
    return lyrics._replace(lines=tuple(line for line in lines if line.text))


def timed_texts(line: TimedLine, granularity: Granularity) -> tuple[TimedText, ...]:
    """The words of a line, or its tokens as far as they are whole characters; together they are the line's text."""
    texts: list[TimedText] = []
    for token in line.tokens:
        stripped = token.text.lstrip()
        if texts and (len(stripped) < len(token.text) or not stripped):
            texts[-1] = _extended(texts[-1], token.text[: len(token.text) - len(stripped)], texts[-1].end_seconds)
        if not stripped:
            continue
        if texts and not _begins(texts[-1].text, stripped, granularity):
            texts[-1] = _extended(texts[-1], stripped, token.end_seconds)
        else:
            texts.append(TimedText(stripped, token.start_seconds, token.end_seconds))
    if texts:
        texts[-1] = texts[-1]._replace(text=texts[-1].text.rstrip())
    return tuple(texts)


def _line(tokens: Sequence[TimedToken]) -> TimedLine:
    text = "".join(token.text for token in tokens).strip()
    start, end = (tokens[0].start_seconds, tokens[-1].end_seconds) if tokens else (0.0, 0.0)
    return TimedLine(text, round(start, 3), round(end, 3), tuple(tokens))


def _extended(text: TimedText, more: str, end_seconds: float) -> TimedText:
    return TimedText(text.text + more, text.start_seconds, end_seconds)


def _begins(before: str, after: str, granularity: Granularity) -> bool:
    """Whether a new word or token may begin between two texts."""
    if _continues(before, after):
        return False
    if granularity == "token" or before[-1].isspace():
        return True
    closing = unicodedata.category(after[0]) in ("Pe", "Pf", "Po")
    return not closing and (_is_unspaced(before[-1]) or _is_unspaced(after[0]))


def _continues(before: str, after: str) -> bool:
    """Whether the first character of `after` and the last of `before` are one to the reader."""
    last, first = before[-1], after[0]
    return (
        unicodedata.category(first).startswith("M")
        or first == "\u200d"  # zero-width joiner
        or last == "\u200d"
        or "\U0001f3fb" <= first <= "\U0001f3ff"  # skin tones
        or _is_flag_letter(first)
        and _is_flag_letter(last)
    )


def _is_flag_letter(character: str) -> bool:
    return "\U0001f1e6" <= character <= "\U0001f1ff"


def _is_unspaced(character: str) -> bool:
    """Whether the script writes words without spaces between them."""
    return any(first <= character <= last for first, last in _UNSPACED)


_UNSPACED = (
    ("\u0e00", "\u0eff"),  # Thai, Lao
    ("\u1000", "\u109f"),  # Burmese
    ("\u1780", "\u17ff"),  # Khmer
    ("\u3040", "\u312f"),  # kana, Bopomofo
    ("\u31a0", "\u9fff"),  # Chinese characters, with their first extension
    ("\uf900", "\ufaff"),
    ("\uff66", "\uff9f"),  # half-width kana
    ("\U00020000", "\U0003ffff"),
)
