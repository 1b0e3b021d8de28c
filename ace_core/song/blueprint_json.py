"""Song plans as versioned JSON, to keep and to edit by hand: one field a line.

Trap: fields with other names are refused, so that a misspelt one is not lost. Files with a new plan field cannot be
read by versions before it: raise the version in `BLUEPRINT_FORMAT` with each new row of `fields.PLAN_FIELDS`.
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Sequence

from ..checks import shown
from ..json_files import JsonFormat, read_document
from .blueprint import Blueprint, check_names
from .fields import SONG_FIELDS

BLUEPRINT_FORMAT = JsonFormat("ace_composer.blueprint", 1, "blueprint file")
MAX_SONGS_PER_FILE = 64
MAX_BLUEPRINT_CHARACTERS = 16_000_000  # 64 songs with every field at its limit


def blueprints_to_json(blueprints: Sequence[Blueprint]) -> str:
    """Song plans as versioned JSON text, one field a line; reading it back gives equal plans.

    Raises:
        ValueError: no song or more than 64.
    """
    if not 1 <= len(blueprints) <= MAX_SONGS_PER_FILE:
        raise ValueError(f"a blueprint file holds 1 to {MAX_SONGS_PER_FILE} songs, got {len(blueprints)}")
    songs = ",\n".join(_song_to_json(blueprint) for blueprint in blueprints)
    head = "".join(f"{json.dumps(name)}: {json.dumps(value)},\n" for name, value in BLUEPRINT_FORMAT.head().items())
    return f'{{\n{head}"songs": [\n{songs}\n]\n}}\n'


def _song_to_json(blueprint: Blueprint) -> str:
    song = {name: getattr(blueprint, name) for name in SONG_FIELDS} | {"planned": sorted(blueprint.planned)}
    members = (f"{json.dumps(name)}: {json.dumps(value, ensure_ascii=False)}" for name, value in song.items())
    return "{\n  " + ",\n  ".join(members) + "\n}"


def blueprints_from_json(text: str) -> tuple[Blueprint, ...]:
    """Read what `blueprints_to_json` wrote, or what a person edited in it.

    Raises:
        ValueError: not JSON, not a blueprint, a newer version, unknown or repeated field names, NaN or Infinity, too
            large, no song or more than 64, or a value outside its domain.
    """
    document = read_document(
        text,
        BLUEPRINT_FORMAT,
        max_characters=MAX_BLUEPRINT_CHARACTERS,
        object_pairs_hook=_unrepeated,
        parse_constant=_refuse_constant,
    )
    check_names("blueprint file", document, ("format", "version", "songs"))
    songs = document.get("songs")
    if not isinstance(songs, list) or not 1 <= len(songs) <= MAX_SONGS_PER_FILE:
        raise ValueError(f'"songs" must be a list of 1 to {MAX_SONGS_PER_FILE} songs')
    return tuple(_read_song(number, song) for number, song in enumerate(songs, start=1))


def _read_song(number: int, song: object) -> Blueprint:
    if not isinstance(song, dict):
        raise ValueError(f"song {number} must be an object with fields, got {shown(song)}")
    check_names(f"song {number}", song, (*SONG_FIELDS, "planned"))
    planned = song.pop("planned", [])
    if not isinstance(planned, list) or not all(isinstance(name, str) for name in planned):
        raise ValueError(f'song {number}: "planned" must be a list of field names, got {shown(planned)}')
    try:
        return Blueprint(**song, planned=frozenset(planned))
    except ValueError as error:
        raise ValueError(f"song {number}: {error}") from error


def _unrepeated(pairs: list[tuple[str, object]]) -> dict[str, object]:
    repeated = [name for name, count in Counter(name for name, _ in pairs).items() if count > 1]
    if repeated:
        raise ValueError(f"the blueprint file repeats the field {', '.join(map(shown, repeated))}")
    return dict(pairs)


def _refuse_constant(name: str) -> None:
    raise ValueError(f"the blueprint file holds {name}, which is not a number a song plan can have")
