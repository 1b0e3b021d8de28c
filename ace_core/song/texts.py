"""Characters and spellings that a song's texts cannot have.

Three sets of unprintable characters, each with its reason:

- `UNPRINTABLE`: what a user's text is refused for. C1 controls pass: the tokenizer knows them, and old files have them.
- `UNPRINTABLE_BY_MODELS`: what is taken out of a text that a model wrote, C1 controls too, since nobody meant them.
- `UNPRINTABLE_IN_TAGS`: what is taken out of the tags of a file, also the two characters that no tag can hold.
"""

from __future__ import annotations

import re

from ..checks import shown

CONTROL_TOKEN = re.compile(r"<\|[^|<>\s]*\|>|</?think>")
UNPRINTABLE = re.compile(r"[\x00-\x08\x0b-\x1f\x7f\ud800-\udfff]")
UNPRINTABLE_BY_MODELS = re.compile(r"[\x00-\x08\x0b-\x1f\x7f-\x9f\ud800-\udfff]")
UNPRINTABLE_IN_TAGS = re.compile(r"[\x00-\x08\x0b-\x1f\x7f-\x9f\ud800-\udfff\ufffe\uffff]")
INVISIBLE = re.compile("[\xad\u200b\u200e\u200f\u202a-\u202e\u2060\u2066-\u2069\ufeff]")
"""Marks that no one sees or sings. Joiners (U+200C, U+200D) are none of them: Persian and emoji need them."""
LINE_ENDS = re.compile("\r\n|[\r\x0b\x0c\x85\u2028\u2029]")


def normalize_text(name: str, value: object, max_characters: int) -> str | None:
    """A text with plain line ends and nothing around it; None for nothing.

    Raises:
        ValueError: it is not text, is too long, or has control tokens or unprintable characters.
    """
    if value is None:
        return None
    if not isinstance(value, str):
        raise ValueError(f"{name} must be text, got {shown(value)}")
    text = plain_lines(value).strip()
    if len(text) > max_characters:
        raise ValueError(f"{name} must have at most {max_characters} characters, got {len(text)}")
    if match := CONTROL_TOKEN.search(text):
        raise ValueError(f"{name} contains the control token {match[0]!r}: remove it")
    if match := UNPRINTABLE.search(text):
        raise ValueError(
            f"{name} contains the unprintable character {match[0]!r} at position {match.start()}: remove it"
        )
    return text or None


def plain_lines(text: str) -> str:
    """A text of any editor or web page with newlines as line ends and without invisible marks."""
    return INVISIBLE.sub("", LINE_ENDS.sub("\n", text))


def without_control_tokens(text: str) -> str:
    """A model's text without control tokens and unprintable characters, however they were nested."""
    cleaned = UNPRINTABLE_BY_MODELS.sub("", text)
    while cleaned != (shorter := CONTROL_TOKEN.sub("", cleaned)):
        cleaned = shorter
    return cleaned.strip()
