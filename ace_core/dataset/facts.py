"""What people and programs write about songs: fields by their many names, texts, tables.

The names are those of the official dataset JSON (`keyscale`, `timesignature`), of blueprints, and those that tag
programs use. Values become what a blueprint takes; one that cannot is left out with a sentence that names the field.

Traps:
- Tag programs write 127.98 bpm, and 0 for a tempo they do not know.
- In the official JSON an unknown language is `unknown` even of songs that nobody has listened to, so it says nothing.
- Spreadsheets separate columns with semicolons where the comma is the decimal point.
- Trainers have many names for one field; in a row with several the one that is also ours counts. `tags` are a caption
  in most programs and the activation tag in Side-Step, which always writes a caption too.
"""

from __future__ import annotations

import csv
import io
import re
import stat
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any, NamedTuple

from ..checks import shown
from ..song.blueprint import Blueprint
from ..song.fields import INSTRUMENTAL_LYRICS, PLAN_FIELDS
from ..song.languages import UNKNOWN_LANGUAGE, find_language
from ..song.lyric_reader import lyrics_in_text
from ..song.text_encodings import decoded_text
from .dataset import PROMPT_CHOICES, FileProblem

MAX_TEXT_BYTES = 1 << 20
MAX_TABLE_BYTES = 16 << 20
DELIMITERS = (",", ";", "\t")
FILE_COLUMNS = (
    *("file", "filename", "file_name", "audio_path", "audio", "path", "audio_file", "audio_filepath", "filepath"),
    *("location", "track", "song"),
)

_SONG_FIELDS = [  # all that a plan has but the length, which is the recording's
    field for field in PLAN_FIELDS if field.is_auto and field.name != "duration_seconds"
]
_NAMES = {
    **{
        other: field.name
        for field in _SONG_FIELDS
        for other in (field.metadata or field.name, *field.aliases, *(tag.lower() for tag in field.tags))
    },
    "instrumental": "is_instrumental",
    "genres": "genre",
    **dict.fromkeys(("prompt", "description", "tags", "recaption", "style", "style_of_music"), "caption"),
    **dict.fromkeys(("signature", "time_sig", "sig", "meter"), "time_signature"),
    **dict.fromkeys(("norm_lyrics", "lyric"), "lyrics"),
    **dict.fromkeys(("tempo", "tempo_bpm"), "bpm"),
    **dict.fromkeys(("lang", "lyrics_language"), "language"),
    **dict.fromkeys(("scale", "musical_key", "key_scale"), "key"),
    "prompt_override": "prompt_choice",
}
_FIELDS = (*(field.name for field in _SONG_FIELDS), "genre", "is_instrumental", "prompt_choice", "labeled")
_TAG_NAMES = ("custom_tag", "trigger", "trigger_word", "activation_tag")
FIELD_NAMES = frozenset((*_NAMES, *_FIELDS, *_TAG_NAMES, "repeat", "repeats", "duration"))
"""What a text may call the fields of a song."""
_WITHOUT_MEANING = ("id", *FILE_COLUMNS, "raw_lyrics", "formatted_lyrics", "duration")
_SWITCH = {"true": True, "yes": True, "1": True, "false": False, "no": False, "0": False, "": None}


class Facts(NamedTuple):
    """Values by the names of a blueprint's fields and of `Clip`'s.

    Attributes:
        problems: sentences on values that cannot be used, and are left out.
        remarks: sentences on what of a text is not used, such as credits in lyrics.
        broken_lyrics: why there are lyrics that cannot be used; empty for none.
        activation_tag: which one the song was to be learnt with.
    """

    values: dict[str, Any]
    problems: tuple[str, ...] = ()
    remarks: tuple[str, ...] = ()
    broken_lyrics: str = ""
    activation_tag: str = ""


def read_facts(raw: Mapping[str, object], *, timed: bool = False) -> Facts:
    """Facts by any of their names; None, blank and `N/A` are not facts.

    Args:
        timed: the lyrics come from a file whose name says that they have times.
    """
    values: dict[str, Any] = {}
    problems: list[str] = []
    remarks: tuple[str, ...] = ()
    broken = tag = heading_language = ""
    spelt = {given: re.sub(r"[\s-]+", "_", given.strip().lower()) for given in raw}
    for given in sorted(raw, key=lambda given: spelt[given] not in _FIELDS):  # our names before the others
        value = raw[given]
        name = _NAMES.get(spelt[given], spelt[given])
        if name in _WITHOUT_MEANING:
            continue
        if name in _TAG_NAMES:
            tag = tag or str(value or "").strip()
            continue
        if name not in _FIELDS:
            problems.append(f"{shown(given)} is not a field of a song")
            continue
        try:
            if name == "lyrics" and value:
                value, remarks, heading_language = lyrics_in_text(_joined(value), timed=timed)
            usable = _usable(name, value)
        except ValueError as error:
            if name == "lyrics":
                broken = f"{given}: {error}"
            else:
                problems.append(f"{given}: {error}")
            continue
        if usable is not None and values.setdefault(name, usable) != usable:
            problems.append(f"{given} says {name} a second time")
    code = find_language(heading_language)
    if code not in (None, UNKNOWN_LANGUAGE):
        values.setdefault("language", code)
    if values.pop("is_instrumental", False):
        if values.get("lyrics", INSTRUMENTAL_LYRICS) != INSTRUMENTAL_LYRICS:
            remarks = ("lyrics are not used, since it says that nobody sings",)
        values["lyrics"] = INSTRUMENTAL_LYRICS
    return Facts(values, tuple(problems), remarks, broken, tag)


def _joined(lyrics: object) -> str:
    """Lyrics as one text, which some files have as a list of lines.

    Raises:
        ValueError: they are neither.
    """
    if isinstance(lyrics, list) and all(isinstance(line, str) for line in lyrics):
        return "\n".join(lyrics)
    if not isinstance(lyrics, str):
        raise ValueError(f"must be text, got {shown(lyrics)}")
    return lyrics


def _usable(name: str, value: object) -> object:
    """A value as `Clip` and blueprints hold it, None for no value.

    Raises:
        ValueError: it is outside the field's domain.
    """
    if name in ("is_instrumental", "labeled"):
        switch = value if isinstance(value, bool) or value is None else _SWITCH.get(str(value).strip().lower(), value)
        if not (switch is None or isinstance(switch, bool)):
            raise ValueError(f"must be true or false, got {shown(value)}")
        return switch
    if name == "prompt_choice":
        if value in (None, ""):
            return None
        if value not in PROMPT_CHOICES:
            raise ValueError(f"must be one of {', '.join(PROMPT_CHOICES)}, or null; got {shown(value)}")
        return value
    if name == "genre":
        return _usable("caption", value)
    if name == "caption" and isinstance(value, list):
        value = ", ".join(map(str, value))
    if name == "bpm":
        value = _whole(value)
    if isinstance(value, str) and value.strip().lower() in ("", "n/a"):
        return None
    field: dict[str, Any] = {name: value}
    usable: object = getattr(Blueprint(**field), name)
    return None if (name, usable) == ("language", UNKNOWN_LANGUAGE) else usable


def _whole(bpm: object) -> object:
    """A tempo rounded to a whole number, None for 0; what is not a number stays."""
    try:
        return round(float(str(bpm).replace(",", "."))) or None
    except (ValueError, OverflowError):
        return bpm


def read_text(path: Path, max_bytes: int = MAX_TEXT_BYTES) -> str:
    """A text file of any editor, as it is: in JSON and tables, what ends a line elsewhere may be part of a text.

    Raises:
        FileProblem: it is too large, of an encoding that cannot be told, or cannot be read.
    """
    return read_noted_text(path, max_bytes)[0]


def read_noted_text(path: Path, max_bytes: int = MAX_TEXT_BYTES) -> tuple[str, tuple[str, ...]]:
    """See `read_text`; and a sentence if the encoding is an old one that was found by what makes sense."""
    try:
        if not stat.S_ISREG(path.stat().st_mode):
            raise FileProblem("is a pipe or a device, which has no end")
        with path.open("rb") as file:
            content = file.read(max_bytes + 1)
        if len(content) > max_bytes:
            raise FileProblem(f"has more than {max_bytes} bytes")
    except OSError as error:
        raise FileProblem(f"cannot be read: {error.strerror}") from error
    try:
        text, code_page = decoded_text(content)
    except ValueError as error:
        raise FileProblem(str(error)) from error
    notes = (f"is not UTF-8 and is read as {code_page}: save it as UTF-8 if letters are wrong",) if code_page else ()
    return text, notes


def read_table(text: str) -> dict[str, dict[str, str]]:
    """Rows of a table with a header, by what they have in the column File.

    Raises:
        FileProblem: no such column with any of the delimiters, or broken quotes.
    """
    header = text.partition("\n")[0]
    for delimiter in sorted(DELIMITERS, key=header.count, reverse=True):
        try:
            reader = csv.DictReader(io.StringIO(text, newline=""), delimiter=delimiter, strict=True)
            columns = {name.strip().lower(): name for name in reader.fieldnames or ()}
            file_column = next((columns[name] for name in FILE_COLUMNS if name in columns), None)
            if file_column is None:
                continue
            return {row[file_column].strip(): _cells(row.items()) for row in reader if row[file_column]}
        except csv.Error as error:
            raise FileProblem(f"is not a table that can be read: {error}") from error
    raise FileProblem("has no column File: its first line must name the columns, such as File,BPM,Key,Caption")


def _cells(cells: Iterable[tuple[str | None, Any]]) -> dict[str, str]:
    """The cells of a row that have a column and hold something."""
    return {name.strip(): cell for name, cell in cells if name and name.strip() and isinstance(cell, str) and cell}
