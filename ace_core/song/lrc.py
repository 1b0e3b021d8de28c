"""The LRC family, in and out: LRC, enhanced LRC (A2), Walaoke, and word-timed files of Chinese players (QRC, KRC, YRC,
LYS).

No two programs write the same LRC. Read are times before, between and behind words; of two or three parts, with a dot,
a colon or a comma before the fraction; in brackets, angle brackets or as milliseconds `[start,length]`; headers of all
players that write `[name:value]`; Apple's background vocals `[bg: ...]`; Walaoke's singers `F:`, `M:`, `D:`.

Traps:
- `[Verse: soft]` looks like a header and is a tag of the song.
- One line may have several times: it is sung again at each. Lines without a time stay behind the one before.
- Players put credits ("Lyrics by: ...", as JSON too) in front as if they were sung, at times of their own.
- Half a megabyte of words with a hundred thousand times would be sung for gigabytes: all lines together have a limit.
- No pattern may look at a part of the text twice, see `chatter`.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from typing import NamedTuple

MAX_SUNG_CHARACTERS = 1 << 20  # far more than lyrics may have

_CLOCK = r"-?\d{1,9}[:\uff1a]\d{1,2}(?:[:\uff1a]\d{2}(?=[.,\]>]))?(?:[.:,]\d{1,3})?"
_LINE_TIME = re.compile(rf"\s*\[\s*({_CLOCK})\s*\]")
_ANY_TIME = re.compile(rf"\[\s*{_CLOCK}\s*\]|<\s*{_CLOCK}\s*>")
_PLAYER_LINE = re.compile(r"\s*+\[(\d{1,12}),\d++\]")  # QRC, KRC, YRC
_LYS_LINE = re.compile(r"\s*\[\d?\](?=\S.*\(\d+,\d+\))")
_PLAYER_WORD = re.compile(r"\(\d+,\d+(?:,\d+)?\)|<\d+,\d+(?:,\d+)?>")
_HEADERS = frozenset(
    "ar al ti au by re ve la lr id key offset length tool total hash sign qq kana language encoding ver version t_time "
    "artist album title author creator editor by2 # ly mu ma pu no lb ar2 media source genre year date bpm "
    "duration relyricsver lyricsby composer writer copyright url web comment".split()
)
_HEADER = re.compile(r"\s*\[([#\w]+)\s*[:\uff1a](.*)\]\s*", re.DOTALL)
_BACKGROUND = re.compile(r"\s*+\[bg:\s*+(.*)\]\s*")
_SINGER = re.compile(r"\s*(?:[FMD]|v\d+):\s*")
_CREDIT_NAMES = (
    "\u4f5c\u8bcd \u4f5c\u8a5e \u586b\u8bcd \u586b\u8a5e \u8bcd \u8a5e \u4f5c\u66f2 \u66f2 \u7f16\u66f2 \u7de8\u66f2 "
    "\u5236\u4f5c\u4eba \u88fd\u4f5c\u4eba \u76d1\u5236 \u76e3\u88fd \u6df7\u97f3 \u6bcd\u5e26 \u6bcd\u5e36 "
    "\u5f55\u97f3 \u9304\u97f3 \u548c\u58f0 \u548c\u8072 \u5409\u4ed6 \u8d1d\u65af \u9f13 \u51fa\u54c1 \u53d1\u884c "
    "\u6f14\u5531 \u539f\u5531 \u7ffb\u5531 \u6b4c\u624b \u4f5c\u8a5e\u8005 \u4f5c\u66f2\u8005 \u7de8\u66f2\u8005 "
    "\u5236\u4f5c \u97f3\u4e50\u603b\u76d1 \u914d\u5531"
).split()
_CREDIT = re.compile(
    rf"\s*(?:(?:{'|'.join(_CREDIT_NAMES)})(?:\s*/\s*\w+)?\s*[:\uff1a]|"
    r"(?:lyrics|lyricist|composer|composed|written|produced|producer|arranged|arranger|mixed|mastered|music|vocals)"
    r"(?: by)?\s*[:\uff1a]|(?:lyrics|composed|written|produced|arranged|mixed|mastered) by\s).*",
    re.IGNORECASE,
)
_PLAYER_JSON = re.compile(r'\s*\{"t":\s*-?\d+,\s*"c":.*\}\s*')
_RIGHTS = re.compile(
    r"QQ\u97f3\u4e50\u4eab\u6709|\u672a\u7ecf\u8457\u4f5c\u6743\u4eba|\u8457\u4f5c\u6743\u6240\u6709|"
    r"\u6b4c\u8bcd\u8d21\u732e\u8005|\u7ffb\u8bd1\u8d21\u732e\u8005"
)
_NOTES_ALONE = re.compile("[\u2669-\u266c\\s]+")  # how players show that nobody sings
_NO_WORDS = re.compile("\u7eaf\u97f3\u4e50|\u7d14\u97f3\u6a02|\u6b64\u6b4c\u66f2\u4e3a\u6ca1\u6709\u586b\u8bcd")


class TimedWords(NamedTuple):
    """A line, or the lines of a subtitle, with the time they begin at."""

    seconds: float
    text: str


class TimedWordsFile(NamedTuple):
    """Lines in the order of their times, and what was left out of the file."""

    lines: tuple[TimedWords, ...]
    left_out: tuple[str, ...] = ()
    is_instrumental: bool = False


def is_lrc(text: str) -> bool:
    """Whether half of the lines that are no headers begin with a time."""
    lines = [line for line in text.split("\n") if line.strip() and not _is_header(line, before_times=True)]
    return 2 * sum(map(_begins_with_time, lines)) >= len(lines) > 0


def has_times(text: str) -> bool:
    """Whether any line begins with a time."""
    return any(map(_begins_with_time, text.split("\n")))


def is_bracketed(text: str) -> bool:
    """Whether every time is that of plain or enhanced LRC, which every player reads."""
    return not any(_PLAYER_LINE.match(line) or _LYS_LINE.match(line) for line in text.split("\n"))


def lrc_of(lines: Iterable[TimedWords]) -> str:
    """Plain LRC; a line of several is one of each, at the same time."""
    return "\n".join(f"[{lrc_time(line.seconds)}]{part}" for line in lines for part in line.text.split("\n"))


def lrc_time(seconds: float) -> str:
    """`mm:ss.xx`; 59.996 s is 01:00.00."""
    minutes, hundredths = divmod(round(max(0.0, seconds) * 100), 6000)
    return f"{minutes:02d}:{hundredths // 100:02d}.{hundredths % 100:02d}"


def read_lrc(text: str) -> TimedWordsFile:
    """The lines of a file of this family, each as often as it is sung.

    Raises:
        ValueError: that are more than `MAX_SUNG_CHARACTERS` in all.
    """
    lines: list[TimedWords] = []
    sung = 0
    left_out: list[str] = []
    latest, timed, instrumental, song = 0.0, False, False, _song_title(text)
    for raw in text.split("\n"):
        if _PLAYER_JSON.fullmatch(raw):
            left_out.append("credits")
            continue
        if _is_header(raw, before_times=not timed):
            continue
        times, words = _times_and_words(raw)
        timed = timed or bool(times)
        if _NO_WORDS.search(words):
            instrumental = True
        elif _CREDIT.fullmatch(words) or _RIGHTS.search(words) or (words and words == song):
            left_out.append(words)
        elif words != "//":
            words = "" if _NOTES_ALONE.fullmatch(words) else words
            latest = times[0] if times else latest
            sung += len(words) * len(times)
            if sung > MAX_SUNG_CHARACTERS:
                raise ValueError(f"has lines that are sung so often that they make {sung} characters: shorten it")
            lines += [TimedWords(time, words) for time in times or [latest]]
    ordered = sorted(lines, key=lambda line: line.seconds)
    return TimedWordsFile(tuple(ordered), tuple(left_out), instrumental and not any(line.text for line in ordered))


def _begins_with_time(line: str) -> bool:
    return bool(_LINE_TIME.match(line) or _PLAYER_LINE.match(line) or _LYS_LINE.match(line))


def _is_header(line: str, *, before_times: bool) -> bool:
    """Whether a line is `[name:value]` of a known name, or in front of all times of a short one in lower case."""
    match = _HEADER.fullmatch(line)
    if match is None or _LINE_TIME.match(line):
        return False
    name = match[1]
    return name.lower() in _HEADERS or (before_times and len(name) <= 3 and name.islower() and name != "bg")


def _times_and_words(line: str) -> tuple[list[float], str]:
    times = []
    if background := _BACKGROUND.fullmatch(line):
        line = f"({background[1]})"
    if match := _PLAYER_LINE.match(line):
        times, line = [int(match[1]) / 1000], line[match.end() :]
        return times, _plain(_PLAYER_WORD.sub("", line))
    if match := _LYS_LINE.match(line):
        return [], _plain(_PLAYER_WORD.sub("", line[match.end() :]))
    at = 0
    while match := _LINE_TIME.match(line, at):
        times.append(_seconds(match[1]))
        at = match.end()
    words = _ANY_TIME.sub("", line[at:])
    singer = _SINGER.match(words) if times else None
    return times, _plain(words[singer.end() :] if singer else words)


def _plain(words: str) -> str:
    return " ".join(words.split()).replace("( ", "(").replace(" )", ")")


def _seconds(clock: str) -> float:
    parts = re.split(r"[:\uff1a.,]", clock.lstrip("-"))
    has_fraction = "." in clock or "," in clock or len(parts) == 3
    fraction = float(f"0.{parts.pop()}") if has_fraction else 0.0
    whole = 0
    for part in parts:
        whole = 60 * whole + int(part)
    return -(whole + fraction) if clock.startswith("-") else whole + fraction


def _song_title(text: str) -> str:
    """`title - artist`, which players put in front as the first line."""
    headers = {match[1].lower(): match[2].strip() for match in map(_HEADER.fullmatch, text.split("\n")) if match}
    return f"{headers['ti']} - {headers['ar']}" if headers.get("ti") and headers.get("ar") else ""
