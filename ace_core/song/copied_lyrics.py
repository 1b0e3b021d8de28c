"""What stands around lyrics that were copied, or written by a program: headings, and what lyric sites add.

Taken off, each with a sentence:

- the heading of the model's own prompts, `# Languages` and `# Lyric`, which transcribers of ACE-Step write too
- a head of `Title: ...`, `Artist: ...` lines, and a line `Lyrics:`
- Genius: `12 Contributors... Lyrics` in front, `You might also like` between, `85Embed` behind
- Musixmatch, LyricFind, Google and AZLyrics: sources, writers and rights behind the last line

Traps:
- A song may say any of these words. A head counts only in front of everything, with an empty line or a tag behind it,
  or with several lines; `You might also like` only where the text has another mark of Genius.
- Marks of Genius stick to the words before and behind them.
- No pattern may look at a part of a text twice, see `chatter`.
"""

from __future__ import annotations

import re
from typing import NamedTuple

_PROMPT_HEADING = re.compile(
    r"\s*+(?:#[ \t]*+Languages?[ \t]*+\n([^\n#\[]*+)\n\s*+)?(?:#[ \t]*+Lyrics?\b[^\n]*+(?:\n|\Z))?", re.IGNORECASE
)
_HEAD_LINE = re.compile(
    r"[ \t]*+(?:song(?: title| name)?|title|artists?|album|author|singer|band|performed by|songwriters?|composers?|"
    r"(?:written|composed|produced|lyrics|music) by|producers?|style(?: of music)?|genres?|tags|mood|vocals?|bpm|tempo|"
    r"key|year|date|created|released?|duration|length|languages?|label|source|url|link|model|copyright)"
    r"[ \t]*+:[ \t]*+\S.*+",
    re.IGNORECASE,
)
_LYRICS_LINE = re.compile(r"[ \t]*+(?:song )?lyrics?[ \t]*+:[ \t]*+", re.IGNORECASE)
_GENIUS_FRONT = re.compile(
    r"\A(?:\d++ Contributors?.*?Lyrics(?:.*?Read More)?[ \t\u00a0]*+\n?|[^\n\[\]]{1,100} Lyrics(?=\[))"
)
_GENIUS_TICKETS = re.compile(r"\n?See [^\n]{1,80} LiveGet tickets as low as \$\d++")
_GENIUS_BETWEEN = re.compile(r"You might also like(?=\[|[ \t]*(?:\n|\Z))\n?")
_GENIUS_COUNT = r"\d{1,6}(?:\.\d)?K?"
_GENIUS_BEHIND = re.compile(rf"(?:{_GENIUS_COUNT}|(?<=[^\s\d]))Embed\s*+\Z")
_GENIUS_LAST_LINE = re.compile(rf"\n(?:{_GENIUS_COUNT})?Embed\s*+\Z")  # where something in front is Genius's too
_SITE_LINE = re.compile(
    r"[ \t]*+(?:(?:\.\.\.)?|\*{3,9}.{0,80}\*{3,9}|\(\d{10,20}\)|Source: ?(?:LyricFind|Musixmatch|Genius|AZLyrics)\b.*+|"
    r"(?:Songwriters?|Writers?|Writer\(s\)): .*+|.{1,100} lyrics \u00a9 .*+|"
    r"Lyrics (?:licensed|provided|powered)\b.{1,100} by .*+|Submit Corrections|"
    r"Thanks to .{1,200} for correcting these lyrics)[ \t]*"
)
_WRITERS = re.compile(r"[ \t]*(?:Song)?[Ww]rit")  # which need an empty line or another mark
_LEAST_HEAD_LINES = 2  # without an empty line or a tag behind them
_SHOWN_CHARACTERS = 40


class FromCopy(NamedTuple):
    """The words alone, what was taken off around them, and the language that a heading names."""

    text: str
    taken_off: tuple[str, ...] = ()
    language: str = ""


def without_copied_marks(text: str) -> FromCopy:
    """Lyrics without what a site, a program or a person put around them."""
    taken_off: list[str] = []
    language = ""
    heading = _PROMPT_HEADING.match(text)
    if heading and heading[0].strip():
        taken_off.append(heading[0])
        language = (heading[1] or "").strip()
        text = text[heading.end() :]
    head = _head(text)
    taken_off += [text[:head]] * bool(text[:head].strip())
    text, genius = _without_genius(text[head:])
    lines = text.split("\n")
    end = len(lines)
    while end > 1 and _SITE_LINE.fullmatch(lines[end - 1]):
        end -= 1
    behind = [line for line in lines[end:] if line.strip(" \t.")]
    if behind and ("" in map(str.strip, lines[end:]) or not all(map(_WRITERS.match, behind))):
        taken_off += [*genius, *behind]
        text = "\n".join(lines[:end])
    else:
        taken_off += genius
    return FromCopy(text.strip(), tuple(map(_shortly, taken_off)), language)


def _head(text: str) -> int:
    """Where a head of named lines ends; 0 without one."""
    lines = text.split("\n")
    count = 0
    while count < len(lines) and (not lines[count].strip() or _HEAD_LINE.fullmatch(lines[count])):
        count += 1
    named = sum(bool(line.strip()) for line in lines[:count])
    rest = lines[count:]
    if rest and _LYRICS_LINE.fullmatch(rest[0]):
        count += 1
    elif not named or not any(map(str.strip, rest)):
        return 0
    elif named < _LEAST_HEAD_LINES and lines[count - 1].strip() and not rest[0].lstrip().startswith("["):
        return 0
    return sum(len(line) + 1 for line in lines[:count])


def _without_genius(text: str) -> tuple[str, list[str]]:
    taken_off: list[str] = []
    for mark in (_GENIUS_FRONT, _GENIUS_TICKETS, _GENIUS_BEHIND, _GENIUS_LAST_LINE, _GENIUS_BETWEEN):
        match = mark.search(text)
        if match and (taken_off or mark not in (_GENIUS_LAST_LINE, _GENIUS_BETWEEN)):
            taken_off.append(match[0])
            text = mark.sub("\n" if mark is _GENIUS_BETWEEN else "", text)
    return text, taken_off


def _shortly(text: str) -> str:
    line = " ".join(text.split())
    return line if len(line) <= _SHOWN_CHARACTERS else line[:_SHOWN_CHARACTERS] + "..."
