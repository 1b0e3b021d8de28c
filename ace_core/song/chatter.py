"""What language models write around a JSON or lyrics: thoughts, code fences, a sentence before and after.

Taken off only where it cannot be part of the song: thoughts in their tags, what is outside the one code fence, a first
line such as "Here are the lyrics:" with an empty line behind it, a last one such as "Let me know if ...", and the stars
and hashes around tags.

Trap: a song may begin with "Sure, ..." too. A first line goes only if it ends with a colon, or names the lyrics.
"""

from __future__ import annotations

import json
import re

_THOUGHTS = re.compile(r"<think(?:ing)?>.*?</think(?:ing)?>", re.DOTALL)
_FENCE = re.compile(r"^[ \t]*(`{3,}|~{3,})[^\n`]*\n(.*?)^[ \t]*\1[ \t]*$", re.DOTALL | re.MULTILINE)
_OPENING = re.compile(
    r"(?:(?:sure|certainly|of course|absolutely|okay|ok|great)\b[^\n]*(?:lyrics|song)[^\n]*[:.!]|"
    r"(?:here (?:is|are)|here[\u2019']s|below (?:is|are))\b[^\n]*:)[ \t]*\n+",
    re.IGNORECASE,
)
_CLOSING = re.compile(
    r"\n[ \t]*\n[ \t]*(?:-{3,}[ \t]*\n+)?(?:let me know (?:if|what|how)|would you like me to|feel free to|"
    r"i hope (?:you|this)|hope you (?:like|enjoy)|if you(?:[\u2019']d| would) like)\b[^\n]*\s*$",
    re.IGNORECASE,
)
_MARKED_TAG = re.compile(r"^[ \t]*(?:#{1,6}[ \t]+)?(\*\*|__|\*|)(\[[^\[\]\n]+\])\1[ \t]*:?[ \t]*$", re.MULTILINE)
_BARE_TAG = re.compile(
    r"^[ \t]*(?:#{1,6}[ \t]+|(?=\*\*))\**((?:verse|chorus|pre-chorus|bridge|intro|outro|hook|interlude|refrain)"
    r"(?:[ \t]+\d+)?)[ \t]*:?\**:?[ \t]*$",
    re.IGNORECASE | re.MULTILINE,
)


def without_chatter(text: str) -> str:
    """Lyrics without what a language model wrote around them."""
    text = _THOUGHTS.sub("", text).strip()
    fences = _FENCE.findall(text)
    if len(fences) == 1:
        text = fences[0][1]
    elif match := _OPENING.match(text):
        text = text[match.end() :]
    text = _CLOSING.sub("", text)
    return _BARE_TAG.sub(r"[\1]", _MARKED_TAG.sub(r"\2", text)).strip()


def json_in(text: str) -> str:
    """The one JSON object of a text; the text as it is where there is none, or more than one.

    A text that is JSON as a whole is never looked into.
    """
    try:
        json.loads(text)
        return text
    except (json.JSONDecodeError, RecursionError):
        pass
    text = _THOUGHTS.sub("", text).strip()
    fences = [content for _, content in _FENCE.findall(text)]
    if len(fences) == 1:
        return str(fences[0]).strip()
    start = text.find("{")
    if start < 0:
        return text
    try:
        _, end = json.JSONDecoder().raw_decode(text, start)
    except (json.JSONDecodeError, RecursionError):
        return text
    return text if re.search(r"[{}]", text[end:]) else text[start:end]
