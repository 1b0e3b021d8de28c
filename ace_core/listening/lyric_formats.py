"""Timed lyrics as text: LRC, enhanced LRC, SRT, WebVTT and JSON. All are to be written as UTF-8.

Traps:
- 59.996 s is [01:00.00] in LRC. Rounding the seconds after the minutes were split off, as the official code does, gives
  [00:60.00], which players skip.
- WebVTT reads `&`, `<` and `>` as markup, and `-->` anywhere as a time line.
- Some readers take U+0085, U+2028 and U+2029, which lyrics may hold, for the end of a line; they become spaces.
- A token lasts from its first frame to the start of its last, which may be the same one. A subtitle of no length is
  never shown, so each gets a second if the next line leaves it that long.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from typing import NamedTuple

from ..json_files import JsonFormat
from ..song.lrc import lrc_time
from .timed_lyrics import Granularity, TimedLine, TimedLyrics, TimedText, timed_texts

TIMED_LYRICS_FORMAT = JsonFormat("ace_composer.timed_lyrics", 1, "file of timed lyrics")
SHORTEST_CUE_SECONDS = 1.0
LEAST_CUE_SECONDS = 0.04  # of lines that start together; one frame of a video


def lrc(lyrics: TimedLyrics) -> str:
    """LRC: `[mm:ss.xx]` and the line."""
    return _joined(f"[{lrc_time(line.start_seconds)}]{_one_line(line.text)}" for line in lyrics.lines)


def enhanced_lrc(lyrics: TimedLyrics, granularity: Granularity = "word") -> str:
    """LRC with the time of each word or token before it, and that of its end after the last: `<mm:ss.xx>`."""
    return _joined(_enhanced_line(line, granularity) for line in lyrics.lines)


def srt(lyrics: TimedLyrics) -> str:
    """SubRip subtitles, one a line."""
    return "\n".join(
        f"{number}\n{_cue_time(cue.start, ',')} --> {_cue_time(cue.end, ',')}\n{cue.text}\n"
        for number, cue in enumerate(_cues(lyrics), 1)
    )


def webvtt(lyrics: TimedLyrics) -> str:
    """WebVTT subtitles, one a line."""
    cues = (
        f"\n{_cue_time(cue.start, '.')} --> {_cue_time(cue.end, '.')}\n{_escaped(cue.text)}\n" for cue in _cues(lyrics)
    )
    return "WEBVTT\n" + "".join(cues)


def timed_json(lyrics: TimedLyrics) -> str:
    """Lines with their words and tokens as versioned JSON, times in seconds."""
    document = {
        **TIMED_LYRICS_FORMAT.head(),
        "duration_seconds": round(lyrics.duration_seconds, 3),
        "lines": [
            {
                "text": line.text,
                "start_seconds": line.start_seconds,
                "end_seconds": line.end_seconds,
                "is_tag": line.is_tag,
                "words": _json_texts(timed_texts(line, "word")),
                "tokens": _json_texts(timed_texts(line, "token")),
            }
            for line in lyrics.lines
        ],
    }
    return json.dumps(document, ensure_ascii=False, indent=1) + "\n"


_LINE_BREAKS = dict.fromkeys(map(ord, "\x85\u2028\u2029"), " ")


class _Cue(NamedTuple):
    """A subtitle, times in milliseconds."""

    start: int
    end: int
    text: str


def _cues(lyrics: TimedLyrics) -> list[_Cue]:
    """Each line until its last token, or for a second if the next line or the end of the song is not earlier."""
    cues = []
    for index, line in enumerate(lyrics.lines):
        start = line.start_seconds
        following = lyrics.lines[index + 1].start_seconds if index + 1 < len(lyrics.lines) else lyrics.duration_seconds
        end = max(line.end_seconds, min(start + SHORTEST_CUE_SECONDS, following), start + LEAST_CUE_SECONDS)
        cues.append(_Cue(round(start * 1000), int(end * 1000), _one_line(line.text)))
    return cues


def _enhanced_line(line: TimedLine, granularity: Granularity) -> str:
    texts = timed_texts(line, granularity)
    timed = "".join(f"<{lrc_time(text.start_seconds)}>{_one_line(text.text)}" for text in texts)
    return f"[{lrc_time(line.start_seconds)}]{timed}<{lrc_time(texts[-1].end_seconds)}>"


def _json_texts(texts: Sequence[TimedText]) -> list[dict[str, object]]:
    return [
        {"text": text, "start_seconds": round(start, 3), "end_seconds": round(end, 3)} for text, start, end in texts
    ]


def _joined(lines: Iterable[str]) -> str:
    return "".join(line + "\n" for line in lines)


def _one_line(text: str) -> str:
    return text.translate(_LINE_BREAKS)


def _escaped(text: str) -> str:
    return text.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")


def _cue_time(milliseconds: int, separator: str) -> str:
    seconds, thousandths = divmod(milliseconds, 1000)
    return f"{seconds // 3600:02d}:{seconds // 60 % 60:02d}:{seconds % 60:02d}{separator}{thousandths:03d}"
