"""Lyrics out of any text that holds some: plain, with times (LRC family, subtitles), of UltraStar, of a language model.

One reader for datasets, song files and the command line. The content decides, not the name: LRC is often saved as
`.txt`. Everything that is left out of what is sung is said in a sentence.

Trap: plain lyrics are returned as they are; only times, headers and credits of formats that have them are removed.
"""

from __future__ import annotations

import re
from typing import NamedTuple

from ..checks import shown
from .chatter import without_chatter
from .fields import INSTRUMENTAL_LYRICS
from .lrc import TimedWordsFile, is_lrc, read_lrc
from .subtitles import READERS
from .texts import plain_lines
from .two_languages import first_language

_ULTRASTAR_NOTE = re.compile(r"[:*FRG] -?\d+ \d+ -?\d+ (.*)")


class ReadLyrics(NamedTuple):
    """The words to sing, and sentences on what of the text is not sung."""

    text: str
    notes: tuple[str, ...] = ()


def lyrics_in_text(text: str, *, timed: bool = False) -> ReadLyrics:
    """The lyrics in a text.

    Args:
        timed: the name says that it is an LRC; one with a single line, or with none, is read as such too.

    Raises:
        ValueError: a format that is recognised and cannot be read.
    """
    text = plain_lines(text)
    if _is_ultrastar(text):
        return ReadLyrics(_of_ultrastar(text))
    reader = next((read for is_this, read in READERS if is_this(text)), None)
    if reader is not None:
        return _of_timed(TimedWordsFile(tuple(reader(text))))
    if timed or is_lrc(text):
        return _of_timed(read_lrc(text))
    plain = without_chatter(text)
    if is_lrc(plain):
        return _of_timed(read_lrc(plain))
    if re.sub(r"\W", "", plain) == re.sub(r"\W", "", text):
        return ReadLyrics(plain)
    return ReadLyrics(plain, ("what a language model wrote around the lyrics is left out",))


def _of_timed(file: TimedWordsFile) -> ReadLyrics:
    if file.is_instrumental:
        return ReadLyrics(INSTRUMENTAL_LYRICS)
    lines, other = first_language(file.lines)
    notes = []
    if file.left_out:
        notes.append(f"credits are not sung: {shown(file.left_out[0])}" + _and_more(len(file.left_out) - 1))
    if other:
        notes.append(f"the second language is not sung: {shown(other[0])}" + _and_more(len(other) - 1))
    return ReadLyrics("\n".join(line.text for line in lines).strip(), tuple(notes))


def _and_more(count: int) -> str:
    return f" and {count} more" if count > 0 else ""


def _is_ultrastar(text: str) -> bool:
    return text.lstrip().startswith("#") and sum(bool(_ULTRASTAR_NOTE.fullmatch(line)) for line in text.split("\n")) > 1


def _of_ultrastar(text: str) -> str:
    """Syllables of notes; `-` ends a line, `~` holds the syllable before."""
    lines = [""]
    for line in text.split("\n"):
        if match := _ULTRASTAR_NOTE.fullmatch(line):
            lines[-1] += match[1].replace("~", "")
        elif line.startswith("-"):
            lines.append("")
    return "\n".join(" ".join(line.split()) for line in lines).strip()
