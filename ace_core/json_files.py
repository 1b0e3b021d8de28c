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
        document = json.loads(text, object_pairs_hook=object_pairs_hook, parse_constant=parse_constant)
    except (json.JSONDecodeError, RecursionError) as error:
        raise ValueError(f"this is not a {json_format.what}: it is not valid JSON ({error})") from error
    if not isinstance(document, dict) or document.get("format") != json_format.name:
        raise ValueError(f'this is not a {json_format.what}: it must be an object with "format": "{json_format.name}"')
    if document.get("version") != json_format.version:
        raise ValueError(
            f"{json_format.what} version {shown(document.get('version'))} cannot be read, only {json_format.version}: "
            "update ACE Composer"
        )
    return document
