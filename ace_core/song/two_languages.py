"""Two languages at one time in timed lyrics: the words of one are sung, the other is a translation or a romanisation.

What tells a translation from two voices at one time: nearly every line has one, or the two are in different scripts all
through. The first language of the file is kept.

Trap: a Japanese line may hold no kana, and an English line in a Japanese song has no Japanese at all. Scripts are those
of the whole column, never of a line.
"""

from __future__ import annotations

import unicodedata
from collections import Counter
from collections.abc import Iterable, Sequence
from itertools import groupby
from typing import NamedTuple

from .lrc import TimedWords

_LEAST_TIMES = 4  # of two texts in one script, to be sure that they are no duet
_NEARLY_ALL = 0.8
_HALF = 0.5
_JAPANESE_SHARE = 0.05


class OneLanguage(NamedTuple):
    """Lines of one language, and those of the other."""

    lines: tuple[TimedWords, ...]
    left_out: tuple[str, ...] = ()


def first_language(lines: Sequence[TimedWords]) -> OneLanguage:
    """The lines without translations: whole lines at the time of others, then lines within a subtitle."""
    events = _kept(lines, of_one_script=True)
    parts = [TimedWords(line.seconds, part) for line in events.lines for part in line.text.split("\n")]
    within = _kept(parts, of_one_script=False)
    return OneLanguage(within.lines, events.left_out + within.left_out)


def script_of(texts: Iterable[str]) -> str:
    """The script of most letters, `JAPANESE` where some are kana; empty without letters."""
    letters = Counter(
        unicodedata.name(character, "?").split()[0] for text in texts for character in text if character.isalpha()
    )
    if not letters:
        return ""
    kana = letters["HIRAGANA"] + letters["KATAKANA"]
    return "JAPANESE" if kana > _JAPANESE_SHARE * letters.total() else letters.most_common(1)[0][0]


def _kept(lines: Sequence[TimedWords], *, of_one_script: bool) -> OneLanguage:
    groups = [list(group) for _, group in groupby(lines, key=lambda line: round(line.seconds, 2))]
    sung = [group for group in groups if any(line.text.strip() for line in group)]
    several = [group for group in sung if len({line.text for line in group if line.text.strip()}) > 1]
    if not several:
        return OneLanguage(tuple(lines))
    first, second = (script_of(group[column].text for group in several) for column in (0, 1))
    differ = first and second and first != second
    enough = len(several) >= _HALF * len(sung) if differ else len(several) >= _NEARLY_ALL * len(sung)
    if not enough or (not differ and (not of_one_script or len(several) < _LEAST_TIMES)):
        return OneLanguage(tuple(lines))
    columns = Counter(map(len, several)).most_common(1)[0][0]
    kept: list[TimedWords] = []
    left_out: list[str] = []
    for group in groups:
        alike = len({line.text for line in group}) == 1
        for number, line in enumerate(group):
            voice = number and len(group) > columns and script_of([line.text]) == first
            if number == 0 or voice or alike:
                kept.append(line)
            elif line.text.strip():
                left_out.append(line.text)
    return OneLanguage(tuple(kept), tuple(left_out))
