"""What language models write around a JSON or lyrics: thoughts, code fences, a sentence before and after.

Taken off only where it cannot be part of the song: thoughts in their tags, what is outside the one code fence, a first
line such as "Here are the lyrics:" with an empty line behind it, a last one such as "Let me know if ...", and the stars
and hashes around tags.

Traps:
- A song may begin with "Sure, ..." too. A first line goes only if it ends with a colon, or names the lyrics.
- Texts come from files, and Python's `re` stops the whole server while it works: no pattern may look at a part of the
  text twice. What begins and ends somewhere is found by `_spans`, runs of blanks are possessive (`*+`).
"""

from __future__ import annotations

import json
import re
from bisect import bisect_left

from ..json_files import checked_json, end_of_json
from .texts import INVISIBLE

_THOUGHT = re.compile(r"<think(?:ing)?>")
_THOUGHT_END = re.compile(r"</think(?:ing)?>")
_FENCE = re.compile(r"^[ \t]*+(`{3,}+|~{3,}+)([^\n`]*)$", re.MULTILINE)
_OPENING = re.compile(
    r"(?:(?:sure|certainly|of course|absolutely|okay|ok|great)\b[^\n]{0,200}(?:lyrics|song)[^\n]{0,200}[:.!]|"
    r"(?:here (?:is|are)|here[\u2019']s|below (?:is|are))\b[^\n]{0,200}:)[ \t]*+\n++",
    re.IGNORECASE,
)
_CLOSING = re.compile(
    r"\n[ \t]*+\n[ \t]*+(?:-{3,}[ \t]*+\n++)?(?:let me know (?:if|what|how)|would you like me to|feel free to|"
    r"i hope (?:you|this)|hope you (?:like|enjoy)|if you(?:[\u2019']d| would) like)\b[^\n]*+\s*+$",
    re.IGNORECASE,
)
_BETWEEN_VALUES = re.compile(rf'("(?:\\.|[^"\\])*+"?)|(?:(?![ \t\r\n])\s|{INVISIBLE.pattern})++', re.DOTALL)
_MARKED_TAG = re.compile(r"^[ \t]*+(?:#{1,6}[ \t]++)?(\*\*|__|\*|)(\[[^\[\]\n]++\])\1[ \t]*+:?[ \t]*+$", re.MULTILINE)
_BARE_TAG = re.compile(
    r"^[ \t]*+(?:#{1,6}[ \t]++|(?=\*\*))\**+((?:verse|chorus|pre-chorus|bridge|intro|outro|hook|interlude|refrain)"
    r"(?:[ \t]++\d++)?)[ \t]*+:?\**+:?[ \t]*+$",
    re.IGNORECASE | re.MULTILINE,
)


def without_chatter(text: str) -> str:
    """Lyrics without what a language model wrote around them."""
    text = _without_thoughts(text)
    fences = _fenced(text)
    if len(fences) == 1:
        text = fences[0]
    elif match := _OPENING.match(text):
        text = text[match.end() :]
    text = _CLOSING.sub("", text)
    return _BARE_TAG.sub(r"[\1]", _MARKED_TAG.sub(r"\2", text)).strip()


def json_in(text: str) -> str:
    """The one JSON object of a text; the text as it is where there is none, or more than one.

    A text that is JSON as a whole is never looked into. What JSON does not take for spaces between its values, and web
    pages and editors put there, becomes a space.
    """
    try:
        checked_json(text)
        return text
    except json.JSONDecodeError:
        pass
    text = _BETWEEN_VALUES.sub(lambda match: match[1] or " ", _without_thoughts(text)).strip()
    fences = _fenced(text)
    if len(fences) == 1:
        return fences[0].strip()
    start = text.find("{")
    if start < 0:
        return text
    try:
        end = end_of_json(text, start)
    except json.JSONDecodeError:
        return text
    return text if re.search(r"[{}]", text[end:]) else text[start:end]


def _without_thoughts(text: str) -> str:
    kept, at = [], 0
    while (begin := _THOUGHT.search(text, at)) and (end := _THOUGHT_END.search(text, begin.end())):
        kept.append(text[at : begin.start()])
        at = end.end()
    return ("".join(kept) + text[at:]).strip()


def _fenced(text: str) -> list[str]:
    """What stands between lines of equal marks, the second without a word behind them."""
    lines = list(_FENCE.finditer(text))
    closing: dict[str, list[int]] = {}
    for number, line in enumerate(lines):
        if not line[2].strip(" \t"):
            closing.setdefault(line[1], []).append(number)
    found, number = [], 0
    while number < len(lines):
        begin = lines[number]
        ends = closing.get(begin[1], [])
        place = bisect_left(ends, number + 1)
        if place < len(ends):
            number = ends[place]
            found.append(text[begin.end() + 1 : lines[number].start()])
        number += 1
    return found
