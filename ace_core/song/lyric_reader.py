"""Lyrics out of any text that holds some: plain, with times (LRC family, subtitles), of UltraStar, of a language model.

One reader for nodes, datasets, song files, the command line and the planner's answers. The content decides, not the
name: LRC is often saved as `.txt`. Everything that is left out of what is sung is said in a sentence.

Trap: plain lyrics are returned as they are; only times, headers and credits of formats that have them are removed.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import NamedTuple

from ..checks import shown
from .chatter import without_chatter
from .copied_lyrics import without_copied_marks
from .fields import INSTRUMENTAL_LYRICS
from .lrc import TimedWords, TimedWordsFile, has_times, is_bracketed, is_lrc, lrc_of, read_lrc
from .subtitles import READERS
from .texts import plain_lines
from .two_languages import first_language


class ReadTimes(NamedTuple):
    """Lyrics with times: as LRC, the given text where it is one, and line by line; both empty where there are none.

    `problem` is a sentence on a text that has none, or cannot be read.
    """

    lrc: str = ""
    lines: tuple[TimedWords, ...] = ()
    problem: str = ""


TIMES_NOTE = "this is read as lyrics with times, which are not sung"
_ULTRASTAR_NOTE = re.compile(r"[:*FRG] -?\d+ \d+ -?\d+ (.*)")


class ReadLyrics(NamedTuple):
    """The words to sing, sentences on what of the text is not sung, and the language that its heading names."""

    text: str
    notes: tuple[str, ...] = ()
    language: str = ""


def lyrics_in_text(text: str, *, timed: bool = False) -> ReadLyrics:
    """The lyrics in a text.

    Args:
        timed: the name says that it has times; one with a single line, or with none, is read as such too.

    Raises:
        ValueError: a format that is recognised and cannot be read.
    """
    text = plain_lines(text)
    times_note = () if timed else (TIMES_NOTE,)
    if _is_ultrastar(text):
        return ReadLyrics(_of_ultrastar(text), times_note)
    reader = next((read for is_this, read in READERS if is_this(text)), None)
    if reader is not None:
        return _of_timed(TimedWordsFile(tuple(reader(text))), times_note)
    plain = without_chatter(text)
    notes: tuple[str, ...] = (
        () if _same_words(plain, text) else ("what a language model wrote around the lyrics is left out",)
    )
    copied = without_copied_marks(plain)
    if copied.taken_off:
        notes += (f"what stands around the lyrics is not sung: {_some(copied.taken_off)}",)
    if timed or is_lrc(copied.text):
        return _of_timed(read_lrc(copied.text), notes + times_note)._replace(language=copied.language)
    return ReadLyrics(copied.text, notes, copied.language)


def timed_lyrics_in_text(text: str) -> ReadTimes:
    """What players show of lyrics with times of any kind; every line as it is, a translation too."""
    text = plain_lines(text).strip()
    reader = next((read for is_this, read in READERS if is_this(text)), None)
    if not text:
        return ReadTimes()
    try:
        file = read_lrc(text) if reader is None else TimedWordsFile(tuple(reader(text)))
    except ValueError as error:
        return ReadTimes(problem=f"the timed lyrics cannot be read: {error}")
    if not any(line.text for line in file.lines) or (reader is None and not has_times(text)):
        return ReadTimes(problem="the timed lyrics have no times: connect LRC or subtitles")
    return ReadTimes(text if reader is None and is_bracketed(text) else lrc_of(file.lines), file.lines)


def _same_words(text: str, other: str) -> bool:
    return re.sub(r"\W", "", text) == re.sub(r"\W", "", other)


def _of_timed(file: TimedWordsFile, notes: tuple[str, ...]) -> ReadLyrics:
    if file.is_instrumental:
        return ReadLyrics(INSTRUMENTAL_LYRICS, notes)
    lines, other = first_language(file.lines)
    if file.left_out:
        notes += (f"credits are not sung: {_some(file.left_out)}",)
    if other:
        notes += (f"the second language is not sung: {_some(other)}",)
    return ReadLyrics("\n".join(line.text for line in lines).strip(), notes)


def _some(texts: Sequence[str]) -> str:
    more = len(texts) - 1
    return shown(texts[0]) + (f" and {more} more" if more > 0 else "")


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
