"""Lines of timed lyrics that a person has moved by ear: `3 +0.25, 2/5 -0.1`.

Entries stand between commas, semicolons or line ends: the number of a line, and by how many seconds it is sung later,
or with a minus earlier. `2/5` is line 5 of song 2 of a batch and counts, for that song, in place of what is said of
line 5 of all songs.

Lines are counted as they are sung, from 1 and without structure tags, so that the numbers stay when tags are shown. A
tag moves with the line after it. `js/lyric_facts.mjs` reads and writes the same grammar.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from typing import NamedTuple

from ..checks import shown
from .timed_lyrics import TimedLine, TimedLyrics

MOST_OFFSET_SECONDS = 600.0
_ENTRY = re.compile(r"(?:(\d{1,6})\s*/\s*)?(\d{1,6})(?:\s*:\s*|\s+|(?=[+-]))([+-]?\d{1,6}(?:\.\d{1,6})?)(?:\s*s)?")


class LineOffset(NamedTuple):
    """By how much a line is moved; song None is every song."""

    song: int | None
    line: int
    seconds: float


def read_line_offsets(text: str) -> tuple[LineOffset, ...]:
    """The entries of a text.

    Raises:
        ValueError: an entry that is none, a line that is moved twice, or by more than 600 seconds.
    """
    offsets: list[LineOffset] = []
    for entry in filter(None, (part.strip() for part in re.split(r"[,;\n]", text))):
        match = _ENTRY.fullmatch(entry)
        if match is None:
            raise ValueError(
                "line offsets must be numbers of lines with seconds, such as 3 +0.25, or 2/5 -0.1 for line 5 of song "
                f"2, with commas between them; got {shown(entry)}"
            )
        offset = LineOffset(int(match[1]) if match[1] else None, int(match[2]), float(match[3]))
        if abs(offset.seconds) > MOST_OFFSET_SECONDS:
            raise ValueError(f"a line can be moved by {MOST_OFFSET_SECONDS:g} seconds at most, got {shown(entry)}")
        if any(offset[:2] == other[:2] for other in offsets):
            raise ValueError(f"line offsets move a line twice: leave one of them, the second is {shown(entry)}")
        offsets.append(offset)
    return tuple(offsets)


def offsets_of_song(offsets: Iterable[LineOffset], song: int) -> dict[int, float]:
    """Seconds by the number of a line, for one song of a batch, counted from 1."""
    ordered = sorted(offsets, key=lambda offset: offset.song is not None)
    return {offset.line: offset.seconds for offset in ordered if offset.song in (None, song)}


def offsets_without_a_line(offsets: Iterable[LineOffset], songs: Sequence[TimedLyrics]) -> list[LineOffset]:
    """Those that move no line of any song."""
    counts = [sum(not line.is_tag for line in song.lines) for song in songs]
    return [
        offset
        for offset in offsets
        if not any(
            1 <= offset.line <= count and offset.song in (None, number) for number, count in enumerate(counts, 1)
        )
    ]


def with_line_offsets(lyrics: TimedLyrics, seconds: Mapping[int, float]) -> TimedLyrics:
    """Lyrics with their lines moved, as far as the song reaches, still in the order of the lyrics.

    Args:
        seconds: by the number of a line, see `offsets_of_song`.
    """
    numbers = iter(range(1, len(lyrics.lines) + 1))
    own = [None if line.is_tag else seconds.get(next(numbers), 0.0) for line in lyrics.lines]
    moved: list[TimedLine] = []
    following = 0.0
    for line, offset in zip(reversed(lyrics.lines), reversed(own), strict=True):
        following = following if offset is None else offset
        moved.append(_moved(line, following, lyrics.duration_seconds) if following else line)
    return lyrics._replace(lines=tuple(reversed(moved)))


def in_sung_order(lyrics: TimedLyrics) -> TimedLyrics:
    """Lyrics with the earliest line first."""
    return lyrics._replace(lines=tuple(sorted(lyrics.lines, key=lambda line: line.start_seconds)))


def _moved(line: TimedLine, seconds: float, duration_seconds: float) -> TimedLine:
    def within(time: float) -> float:
        return min(max(time + seconds, 0.0), duration_seconds)

    return TimedLine(
        line.text,
        round(within(line.start_seconds), 3),
        round(within(line.end_seconds), 3),
        tuple(
            token._replace(start_seconds=within(token.start_seconds), end_seconds=within(token.end_seconds))
            for token in line.tokens
        ),
    )
