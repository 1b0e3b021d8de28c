"""Timed lyrics as the page follows a song by them (`js/karaoke.js`, and the player of takes): lines with their words.

A line that Lyric Timing can move has its number there (`ace_core/listening/line_offsets.py`) and the times it was found
at: the page moves it by what the node's widget says at that moment.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

from ..ace_core.listening.timed_lyrics import TimedLyrics, timed_texts
from ..ace_core.song.sung_lines import sung_lines

RESULT = "ace_lyrics"


def karaoke(
    songs: Sequence[list[dict[str, Any]]], files: Sequence[dict[str, str] | None]
) -> dict[str, list[dict[str, Any]]]:
    """What a node adds to its results for the page: of each song its lines.

    Args:
        songs: from `lines_of_timing` or `lines_of_lrc`.
        files: of the songs, as the host's results name them; None where the node has no sound.
    """
    return {RESULT: [{"lines": lines, "file": file} for lines, file in zip(songs, files, strict=True)]}


def lines_of_timing(lyrics: TimedLyrics) -> list[dict[str, Any]]:
    """Lines that Lyric Timing has found; tags have no number."""
    numbers = iter(range(1, len(lyrics.lines) + 1))
    return [
        _line(line.start_seconds, line.end_seconds, timed_texts(line, "word"), None if line.is_tag else next(numbers))
        for line in lyrics.lines
    ]


def lines_of_lrc(text: str, duration_seconds: float) -> list[dict[str, Any]]:
    """Lines of an LRC, which cannot be moved."""
    return [_line(line.start_seconds, line.end_seconds, line.words) for line in sung_lines(text, duration_seconds)]


def _line(
    start: float, end: float, words: Iterable[tuple[str, float, float]], number: int | None = None
) -> dict[str, Any]:
    return {
        "number": number,
        "start": start,
        "end": end,
        "words": [{"text": text, "start": begin, "end": stop} for text, begin, stop in words],
    }
