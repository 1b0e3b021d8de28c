"""Lines and words of an LRC with their times, to follow a song by.

`timed_lyrics_in_text` reads every kind of them. Words have times in enhanced LRC (A2) alone, `<mm:ss.xx>` before each
and one more behind the last; any other line is one word.

Trap: LRC says when a line begins, not when it ends. Where enhanced LRC does not say it either, it ends where the next
one begins, the last one with the song.
"""

from __future__ import annotations

import math
import re
from itertools import pairwise
from typing import NamedTuple

from .lrc import TimedWords, read_lrc
from .lyric_reader import timed_lyrics_in_text

_WORD = re.compile(r"<\s*(\d+):(\d{1,2}(?:[.:]\d{1,3})?)\s*>(.*?)(?=<\s*\d+:\d|$)")


class SungWord(NamedTuple):
    """A word with the space after it."""

    text: str
    start_seconds: float
    end_seconds: float


class SungLine(NamedTuple):
    """A line; its words together are its text."""

    text: str
    start_seconds: float
    end_seconds: float
    words: tuple[SungWord, ...]


def sung_lines(text: str, duration_seconds: float) -> tuple[SungLine, ...]:
    """The lines of lyrics with times in the order of these, without empty ones; none of a text that has no times."""
    text = timed_lyrics_in_text(text).lrc
    timed = {line: words for raw in text.split("\n") for line, words in _timed_words(raw)}
    found: list[SungLine] = []
    start = end = math.inf
    for line in reversed(read_lrc(text).lines):
        end = start if line.seconds < start else end
        start = line.seconds
        until = max(start, min(end, duration_seconds))
        words = timed.get(line) or (SungWord(line.text, start, until),)
        if line.text:
            found.append(SungLine(line.text, start, words[-1].end_seconds, words))
    return tuple(reversed(found))


def _timed_words(raw: str) -> list[tuple[TimedWords, tuple[SungWord, ...]]]:
    """The words of a line of enhanced LRC, by the line as `read_lrc` gives it; nothing of other lines."""
    parts = [(_seconds(minutes, seconds), text) for minutes, seconds, text in _WORD.findall(raw)]
    words = tuple(SungWord(text, start, end) for (start, text), (end, _) in pairwise(parts) if text.strip())
    if len(parts) < 2 or parts[-1][1].strip():  # no time behind the last word
        return []
    return [(line, words) for line in read_lrc(raw).lines]


def _seconds(minutes: str, seconds: str) -> float:
    return 60 * int(minutes) + float(seconds.replace(":", "."))
