"""Blueprint: the song plan, what the user wrote in it, what the planner wrote, and what is still open.

Every field may be None: that is *auto*, to be filled by the planner or left to the model. Construction is the only
door: ``Blueprint(...)`` turns human spellings into the model's (``Am`` to ``A minor``) and refuses everything outside
the domains of ``music_domains``, so a blueprint that exists is valid, and building one from another's fields gives the
same one.

Where the traps are:

* The planner never changes what the user wrote. A caption it rewrote lives in ``rewritten_caption``: the renderer uses
  the rewritten one, while the planner's own prompts need the original.
* An instrumental has exactly one spelling, the lyrics ``[Instrumental]`` the model was trained on. There is no flag
  beside the lyrics that could contradict them.
* Text that tokenizers read as control tokens (``<|im_end|>``) is refused: it would end a prompt in its middle.
"""

from __future__ import annotations

import json
import re
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, fields, replace
from typing import Any, Literal, NamedTuple, TypeAlias

from ..audio.waveform import CODE_RATE, MIN_DURATION_SECONDS, code_count
from ..checks import shown
from .fields import (
    normalize_audio_codes,
    normalize_bpm,
    normalize_duration,
    normalize_key,
    normalize_language,
    normalize_time_signature,
)

INSTRUMENTAL_LYRICS = "[Instrumental]"
DEFAULT_DURATION_SECONDS = 120.0
MAX_CAPTION_CHARACTERS = 8_192  # far above the 256 tokens a prompt can hold, which are counted when encoding
MAX_LYRICS_CHARACTERS = 65_536
MAX_SONGS = 64
MAX_JSON_CHARACTERS = 16_000_000  # 64 songs with every field at its limit
JSON_FORMAT = "ace_composer.blueprint"
JSON_VERSION = 1

Origin: TypeAlias = Literal["user", "planner", "auto"]

_INSTRUMENTAL_WORDS = frozenset({"[inst]", "[instrumental]"})
_CONTROL_TOKEN = re.compile(r"<\|[^|<>\s]*\|>|</?think>")
_UNPRINTABLE = re.compile(r"[\x00-\x08\x0b-\x1f\x7f\ud800-\udfff]")


@dataclass(frozen=True)
class Blueprint:
    """One song plan; None means auto.

    Args:
        caption: style, instruments and mood in words, as the user wrote it.
        lyrics: words with ``[Verse]`` tags; ``[Instrumental]`` for no vocals.
        language: vocal language code, ``unknown`` included.
        bpm: 30 to 300.
        key: such as ``F# minor``.
        time_signature: 2, 3, 4 or 6.
        duration_seconds: 10 to 600.
        audio_codes: 5 a second, each 0 to 63999.
        rewritten_caption: the planner's version of a caption that the user wrote.
        planned: names of the fields the planner wrote; each of them has a value.

    Raises:
        ValueError: a value outside its domain; the message names the domain and the value.
    """

    caption: str | None = None
    lyrics: str | None = None
    language: str | None = None
    bpm: int | None = None
    key: str | None = None
    time_signature: int | None = None
    duration_seconds: float | None = None
    audio_codes: tuple[int, ...] | None = None
    rewritten_caption: str | None = None
    planned: frozenset[str] = frozenset()

    def __post_init__(self) -> None:
        normalized: dict[str, object] = {
            "caption": _normalize_text("caption", self.caption, MAX_CAPTION_CHARACTERS),
            "lyrics": _normalize_lyrics(self.lyrics),
            "language": normalize_language(self.language),
            "bpm": normalize_bpm(self.bpm),
            "key": normalize_key(self.key),
            "time_signature": normalize_time_signature(self.time_signature),
            "duration_seconds": normalize_duration(self.duration_seconds),
            "audio_codes": normalize_audio_codes(self.audio_codes),
            "rewritten_caption": _normalize_text("rewritten caption", self.rewritten_caption, MAX_CAPTION_CHARACTERS),
        }
        for name, value in normalized.items():
            object.__setattr__(self, name, value)
        object.__setattr__(self, "planned", frozenset(self.planned))
        for name in sorted(self.planned):
            if normalized.get(name) is None:
                raise ValueError(f"'planned' names {shown(name)}, which is not a field with a value")

    def __repr__(self) -> str:
        values = ((name, getattr(self, name)) for name in SONG_FIELDS)
        return f"Blueprint({', '.join(f'{name}={shown(value)}' for name, value in values if value is not None)})"

    def origin(self, field: str) -> Origin:
        """Who decided a field: the user, the planner, or nobody yet."""
        _check_field_names([field])
        if getattr(self, field) is None:
            return "auto"
        return "planner" if field in self.planned else "user"

    @property
    def is_instrumental(self) -> bool:
        """Whether the lyrics say that nobody sings; open lyrics are not decided."""
        return self.lyrics == INSTRUMENTAL_LYRICS


SONG_FIELDS: tuple[str, ...] = tuple(field.name for field in fields(Blueprint) if field.name != "planned")
AUTO_FIELDS: tuple[str, ...] = SONG_FIELDS[:7]  # what a finished plan decides; codes and a rewrite are extras


class ResolvedDuration(NamedTuple):
    """The length to render and, where it is not simply what the user asked for, a sentence that says why."""

    seconds: float
    note: str | None


def fields_left_auto(blueprint: Blueprint) -> tuple[str, ...]:
    """The fields a plan should decide and that nobody has decided yet, in the order of ``AUTO_FIELDS``."""
    return tuple(name for name in AUTO_FIELDS if getattr(blueprint, name) is None)


def with_user_values(blueprint: Blueprint, **values: Any) -> Blueprint:
    """A copy in which the user wrote these fields; None puts a field back to auto.

    A new caption drops the planner's rewrite of the old one, which would hide it.

    Raises:
        ValueError: an unknown field name or a value outside its domain.
    """
    _check_field_names(values)
    if "caption" in values and blueprint.origin("rewritten_caption") == "planner":
        values.setdefault("rewritten_caption", None)
    return replace(blueprint, **values, planned=blueprint.planned - values.keys())


def with_planned_values(blueprint: Blueprint, **values: Any) -> Blueprint:
    """A copy in which the planner wrote these fields; fields that the user wrote keep the user's value.

    What an earlier plan wrote is replaced; None and empty text leave a field as it is.

    Raises:
        ValueError: an unknown field name or a value outside its domain.
    """
    _check_field_names(values)
    plan = Blueprint(**{name: value for name, value in values.items() if blueprint.origin(name) != "user"})
    written = {name: getattr(plan, name) for name in SONG_FIELDS if plan.origin(name) != "auto"}
    return replace(blueprint, **written, planned=blueprint.planned | written.keys())


def resolved_duration(blueprint: Blueprint) -> ResolvedDuration:
    """How many seconds to render: the duration field, else the length of the audio codes, else 120."""
    seconds = blueprint.duration_seconds
    codes = len(blueprint.audio_codes or ())
    if seconds is None and not codes:
        return ResolvedDuration(
            DEFAULT_DURATION_SECONDS,
            f"the duration is auto and nothing has planned it: rendering {DEFAULT_DURATION_SECONDS:g} s",
        )
    if seconds is None:
        seconds = max(float(MIN_DURATION_SECONDS), codes / CODE_RATE)
        return ResolvedDuration(seconds, f"the duration is auto: rendering {seconds:g} s for {codes} audio codes")
    if not codes or codes == code_count(seconds):
        return ResolvedDuration(seconds, None)
    consequence = "the end has no codes" if codes < code_count(seconds) else "the codes after that are not used"
    return ResolvedDuration(
        seconds, f"{codes} audio codes last {codes / CODE_RATE:g} s, the duration is {seconds:g} s: {consequence}"
    )


def blueprints_to_json(blueprints: Sequence[Blueprint]) -> str:
    """Song plans as versioned JSON text, one field a line; reading it back gives equal plans.

    Raises:
        ValueError: no song or more than 64.
    """
    if not 1 <= len(blueprints) <= MAX_SONGS:
        raise ValueError(f"a blueprint file holds 1 to {MAX_SONGS} songs, got {len(blueprints)}")
    songs = ",\n".join(_song_to_json(blueprint) for blueprint in blueprints)
    return f'{{\n"format": "{JSON_FORMAT}",\n"version": {JSON_VERSION},\n"songs": [\n{songs}\n]\n}}\n'


def _song_to_json(blueprint: Blueprint) -> str:
    song = {name: getattr(blueprint, name) for name in SONG_FIELDS} | {"planned": sorted(blueprint.planned)}
    members = (f"{json.dumps(name)}: {json.dumps(value, ensure_ascii=False)}" for name, value in song.items())
    return "{\n  " + ",\n  ".join(members) + "\n}"


def blueprints_from_json(text: str) -> tuple[Blueprint, ...]:
    """Read what ``blueprints_to_json`` wrote, or what a person edited in it.

    Raises:
        ValueError: not JSON, not a blueprint, a newer version, unknown or repeated field names, NaN or Infinity, too
            large, no song or more than 64, or a value outside its domain.
    """
    if len(text) > MAX_JSON_CHARACTERS:
        raise ValueError(f"a blueprint file has at most {MAX_JSON_CHARACTERS} characters, got {len(text)}")
    try:
        document = json.loads(text, object_pairs_hook=_unrepeated, parse_constant=_refuse_constant)
    except (json.JSONDecodeError, RecursionError) as error:
        raise ValueError(f"this is not a blueprint file: it is not valid JSON ({error})") from error
    if not isinstance(document, dict) or document.get("format") != JSON_FORMAT:
        raise ValueError(f'this is not a blueprint file: it must be an object with "format": "{JSON_FORMAT}"')
    version = document.get("version")
    if version != JSON_VERSION:
        raise ValueError(f"blueprint version {shown(version)} cannot be read, only {JSON_VERSION}: update ACE Composer")
    _check_names("blueprint file", document, ("format", "version", "songs"))
    songs = document.get("songs")
    if not isinstance(songs, list) or not 1 <= len(songs) <= MAX_SONGS:
        raise ValueError(f'"songs" must be a list of 1 to {MAX_SONGS} songs')
    return tuple(_read_song(number, song) for number, song in enumerate(songs, start=1))


def _read_song(number: int, song: object) -> Blueprint:
    if not isinstance(song, dict):
        raise ValueError(f"song {number} must be an object with fields, got {shown(song)}")
    _check_names(f"song {number}", song, (*SONG_FIELDS, "planned"))
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


def _check_field_names(names: Iterable[str]) -> None:
    _check_names("a blueprint", names, SONG_FIELDS)


def _check_names(what: str, names: Iterable[str], known: Sequence[str]) -> None:
    unknown = [name for name in names if name not in known]
    if unknown:
        raise ValueError(f"{what} has no field {', '.join(map(shown, unknown))}; the fields are {', '.join(known)}")


def _normalize_lyrics(value: object) -> str | None:
    lyrics = _normalize_text("lyrics", value, MAX_LYRICS_CHARACTERS)
    return INSTRUMENTAL_LYRICS if lyrics is not None and lyrics.lower() in _INSTRUMENTAL_WORDS else lyrics


def _normalize_text(name: str, value: object, max_characters: int) -> str | None:
    if value is None:
        return None
    if not isinstance(value, str):
        raise ValueError(f"{name} must be text, got {shown(value)}")
    text = value.replace("\r\n", "\n").replace("\r", "\n").strip()
    if len(text) > max_characters:
        raise ValueError(f"{name} must have at most {max_characters} characters, got {len(text)}")
    if match := _CONTROL_TOKEN.search(text):
        raise ValueError(f"{name} contains the control token {match[0]!r}: remove it")
    if match := _UNPRINTABLE.search(text):
        raise ValueError(
            f"{name} contains the unprintable character {match[0]!r} at position {match.start()}: remove it"
        )
    return text or None
