"""The metadata block of the planner: YAML as PyYAML writes it, and what can be read back from what a model wrote.

A block is one `name: value` line for each field, names in alphabetical order; a value goes on in indented lines. The
model was trained on PyYAML's spelling, so `write_metadata` is PyYAML's own `safe_dump` with Unicode kept and lines
folded at 80. Matches the published `_format_metadata_as_cot` and `parse_lm_output` where those are right.

Traps:
- PyYAML quotes what YAML would misread: a caption with `: ` or ` #` in it, and the language `no`, which is a boolean.
  The published reader keeps such quotes as part of the value; here they are undone.
- Plain text is taken as it stands. YAML would drop what follows ` #` in an unquoted caption and refuse one with `: `.
- Nothing is ever constructed from the text. A quoted or block value goes through YAML's parser, which yields events,
  and must be one scalar there; tags, anchors, aliases and whatever else is not a valid value are plain text.
- An escape in a quoted value can spell what the grammar forbids, and free text can spell `<|im_end|>` in pieces:
  `without_control_tokens` takes both out of texts that go into a blueprint.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

import yaml

from ..song.blueprint import Blueprint
from ..song.fields import PLAN_FIELDS
from ..song.lyric_reader import lyrics_in_text
from ..song.texts import without_control_tokens

BLUEPRINT_FIELDS = {field.metadata: field.name for field in PLAN_FIELDS if field.metadata}
METADATA_FIELDS = tuple(sorted([*BLUEPRINT_FIELDS, "genres"]))
MAX_METADATA_CHARACTERS = 65_536

_FIELD = re.compile(rf"({'|'.join(METADATA_FIELDS)}):")
_CODE = "<|audio_code_"
_QUOTED_OR_BLOCK = ("'", '"', "|", ">")  # so a value has no tag, anchor or alias before it
_ONE_VALUE = [
    yaml.StreamStartEvent,
    yaml.DocumentStartEvent,
    yaml.MappingStartEvent,
    yaml.ScalarEvent,
    yaml.ScalarEvent,
    yaml.MappingEndEvent,
    yaml.DocumentEndEvent,
    yaml.StreamEndEvent,
]


def write_metadata(values: Mapping[str, str | int]) -> str:
    """The block of some fields, without a final newline; no fields give the empty text.

    Raises:
        ValueError: a name that is not a metadata field.
    """
    unknown = sorted(values.keys() - set(METADATA_FIELDS))
    if unknown:
        raise ValueError(f"metadata has no field {', '.join(unknown)}; the fields are {', '.join(METADATA_FIELDS)}")
    text: str = yaml.safe_dump(dict(values), allow_unicode=True) if values else ""
    return text.strip()


def read_metadata(text: str) -> dict[str, str]:
    """The fields of a block, quotes undone and folded lines joined; a repeated field has its last value.

    Args:
        text: the block, without `<think>` tags. Lines before the first field are skipped.

    Raises:
        ValueError: more than 65536 characters.
    """
    if len(text) > MAX_METADATA_CHARACTERS:
        raise ValueError(f"metadata has at most {MAX_METADATA_CHARACTERS} characters, got {len(text)}")
    fields: dict[str, list[str]] = {}
    lines: list[str] = []
    for line in text.split("\n"):
        if match := _FIELD.match(line):
            lines = fields[match[1]] = [line[match.end() :]]
        else:
            lines.append(line)
    return {name: _read_value("\n".join(lines)) for name, lines in fields.items()}


def read_lyrics(text: str) -> str:
    """Lyrics as everybody's are read, without audio codes or control tokens after them."""
    return lyrics_in_text(without_control_tokens(text.split(_CODE)[0])).text


def song_values(metadata: Mapping[str, str]) -> dict[str, Any]:
    """Metadata under the names of blueprint fields, as `Blueprint` takes them; empty values and genres are left out."""
    cleaned = {
        BLUEPRINT_FIELDS[name]: without_control_tokens(metadata[name]) for name in metadata if name in BLUEPRINT_FIELDS
    }
    return {name: value for name, value in cleaned.items() if value}


def song_metadata(blueprint: Blueprint) -> dict[str, str | int]:
    """The decided fields of a blueprint as metadata, for the block before audio codes.

    The caption is the planner's: its rewrite, or one it wrote itself. The user's own stands in the prompt instead.
    """
    caption = blueprint.rewritten_caption
    if caption is None and blueprint.origin("caption") == "planner":
        caption = blueprint.caption
    values = {name: getattr(blueprint, field) for name, field in BLUEPRINT_FIELDS.items()} | {"caption": caption}
    if blueprint.duration_seconds is not None:
        values["duration"] = int(blueprint.duration_seconds)
    return {name: value for name, value in values.items() if value is not None}


def _read_value(raw: str) -> str:
    text = raw.strip(" \t\n")
    quoted = _read_scalar(text) if text.startswith(_QUOTED_OR_BLOCK) else None
    return _fold(text) if quoted is None else quoted


def _read_scalar(text: str) -> str | None:
    """The value of a quoted or block scalar; None if the text is not exactly one."""
    try:
        events = list(yaml.parse(f"value: {text}\n", Loader=yaml.SafeLoader))
    except yaml.YAMLError:
        return None
    if [type(event) for event in events] != _ONE_VALUE:
        return None
    value: str = events[4].value
    return value


def _fold(text: str) -> str:
    """A plain value on one line; a blank line stands for a line break, as in YAML."""
    lines = "\n".join(line.strip(" \t") for line in text.split("\n"))
    return re.sub(r"\n+", lambda breaks: "\n" * (len(breaks[0]) - 1) or " ", lines)
