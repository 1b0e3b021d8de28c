"""What the project's JSON files have in common: `format` says what a file is, `version` how to read it.

A version is raised when readers of the one before would refuse or misread what is written now. A new plan field does
that to blueprints and song records, since they refuse names they do not know; what only programs of others read (facts,
scores, timed lyrics) may gain fields without it.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any, NamedTuple

from .checks import shown

MAX_DIGITS = 20  # of the largest seed; larger numbers do not become floats, which nobody expects


class JsonFormat(NamedTuple):
    """A kind of JSON file.

    Attributes:
        name: the value of `format`.
        version: the only one that is read.
        what: the file in words, for errors.
    """

    name: str
    version: int
    what: str

    def head(self) -> dict[str, object]:
        """The two fields a document begins with."""
        return {"format": self.name, "version": self.version}


def checked_json(text: str | bytes, **hooks: Any) -> Any:
    """Parsed JSON, which may come from anybody.

    Raises:
        json.JSONDecodeError: it is none, lists in lists go too deep, or a whole number is larger than any that is used.
        UnicodeDecodeError: bytes that are no UTF-8, -16 or -32.
    """
    try:
        return json.loads(text, parse_int=_parsed_int, **hooks)
    except RecursionError:
        raise json.JSONDecodeError("lists or objects go too deep", "", 0) from None


def end_of_json(text: str, start: int) -> int:
    """Where the JSON that begins at `start` ends.

    Raises:
        json.JSONDecodeError: as `checked_json`.
    """
    try:
        return json.JSONDecoder(parse_int=_parsed_int).raw_decode(text, start)[1]
    except RecursionError:
        raise json.JSONDecodeError("lists or objects go too deep", "", 0) from None


def _parsed_int(digits: str) -> int:
    if len(digits) > MAX_DIGITS:
        raise json.JSONDecodeError(f"a number has {len(digits)} digits, more than {MAX_DIGITS}", "", 0)
    return int(digits)


def read_document(
    text: str,
    json_format: JsonFormat,
    *,
    max_characters: int | None = None,
    object_pairs_hook: Callable[[list[tuple[str, Any]]], Any] | None = None,
    parse_constant: Callable[[str], Any] | None = None,
) -> dict[str, Any]:
    """The parsed document, its two first fields included; hooks are those of `json.loads`.

    Raises:
        ValueError: too large, not JSON, another format, another version.
    """
    if max_characters is not None and len(text) > max_characters:
        raise ValueError(f"a {json_format.what} has at most {max_characters} characters, got {len(text)}")
    try:
        document = checked_json(text, object_pairs_hook=object_pairs_hook, parse_constant=parse_constant)
    except json.JSONDecodeError as error:
        raise ValueError(f"this is not a {json_format.what}: it is not valid JSON ({error})") from error
    if not isinstance(document, dict) or document.get("format") != json_format.name:
        raise ValueError(f'this is not a {json_format.what}: it must be an object with "format": "{json_format.name}"')
    if document.get("version") != json_format.version:
        raise ValueError(
            f"{json_format.what} version {shown(document.get('version'))} cannot be read, only {json_format.version}: "
            "update ACE Composer"
        )
    return document
