"""What a saved song knows about itself, as JSON: enough to render it again, bit for bit, and to see how it was judged.

Trap: a record comes back out of a file that anybody may have written. Nothing of it is taken unchecked.
"""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, TypeAlias

from ..checks import shown
from ..json_files import JsonFormat, read_document
from ..song.blueprint import Blueprint
from ..song.blueprint_json import blueprints_from_json, blueprints_to_json

SONG_FORMAT = JsonFormat("ace_composer.song", 1, "song record")
MAX_RECORD_CHARACTERS = 4_000_000
MAX_ENTRIES = 64
MAX_TEXT_CHARACTERS = 262_144
MAX_SEED = 2**64 - 1

Setting: TypeAlias = str | int | float | bool

_TEXTS = ("lrc", "latents")


@dataclass(frozen=True)
class SongRecord:
    """One song.

    Args:
        blueprint: the plan, audio codes included.
        seeds: by what they are for, such as `render` and `plan`; 0 to 2^64 - 1.
        settings: of the sampler and whatever else the sound depends on.
        models: hashes of the files used, by their names.
        scores: how the song was judged, by the names of the parts.
        lrc: the lyrics with times, as LRC.
        latents: hash of the song's latents, to see whether a replay gives the same ones.

    Raises:
        ValueError: a value that is none of these, more than 64 entries, or a text of more than 262144 characters.
    """

    blueprint: Blueprint = Blueprint()
    seeds: Mapping[str, int] = field(default_factory=dict)
    settings: Mapping[str, Setting] = field(default_factory=dict)
    models: Mapping[str, str] = field(default_factory=dict)
    scores: Mapping[str, float] = field(default_factory=dict)
    lrc: str = ""
    latents: str = ""

    def __post_init__(self) -> None:
        for name, check in _CHECKS.items():
            _check_entries(name, getattr(self, name), check)
        for name in _TEXTS:
            text = getattr(self, name)
            if not _is_text(text):
                raise ValueError(f"{name} must be text of at most {MAX_TEXT_CHARACTERS} characters, got {shown(text)}")


def record_to_json(record: SongRecord) -> str:
    """A record as one line of ASCII; reading it back gives an equal record."""
    document = {
        **SONG_FORMAT.head(),
        "blueprint": json.loads(blueprints_to_json([record.blueprint])),
        **{name: dict(getattr(record, name)) for name in _CHECKS},
        **{name: getattr(record, name) for name in _TEXTS},
    }
    return json.dumps(document, separators=(",", ":"))


def record_from_json(text: str) -> SongRecord:
    """Read what `record_to_json` wrote.

    Raises:
        ValueError: not a record, a newer version, too large, or a value that a record cannot have.
    """
    document = read_document(text, SONG_FORMAT, max_characters=MAX_RECORD_CHARACTERS)
    blueprints = blueprints_from_json(json.dumps(document.get("blueprint")))
    if len(blueprints) != 1:
        raise ValueError(f"a song record holds one song, got {len(blueprints)}")
    entries: dict[str, Any] = {name: document.get(name, {}) for name in _CHECKS}
    texts: dict[str, Any] = {name: document.get(name, "") for name in _TEXTS}
    return SongRecord(blueprints[0], **entries, **texts)


def _check_entries(name: str, entries: Mapping[str, object], check: Callable[[object], bool]) -> None:
    if not isinstance(entries, Mapping) or len(entries) > MAX_ENTRIES:
        raise ValueError(f"{name} must be at most {MAX_ENTRIES} named values, got {shown(entries)}")
    for key, value in entries.items():
        if not isinstance(key, str) or not check(value):
            raise ValueError(f"{name}: {shown(key)} cannot be {shown(value)}")


def _is_text(value: object) -> bool:
    return isinstance(value, str) and len(value) <= MAX_TEXT_CHARACTERS


def _is_seed(value: object) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and 0 <= value <= MAX_SEED


def _is_number(value: object) -> bool:
    if isinstance(value, float):
        return math.isfinite(value)
    return isinstance(value, int) and not isinstance(value, bool) and abs(value) <= MAX_SEED


def _is_setting(value: object) -> bool:
    return isinstance(value, bool) or _is_text(value) or _is_number(value)


_CHECKS: Mapping[str, Callable[[object], bool]] = {
    "seeds": _is_seed,
    "settings": _is_setting,
    "models": _is_text,
    "scores": _is_number,
}
