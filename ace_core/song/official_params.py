"""Song plans out of the JSON that the official application saves beside a song (`GenerationParams`), and its names.

Its examples (`examples/text2music`) and requests to its server are read too: the same names, fewer of them.

Traps:
- What its language model decided has a name of its own (`cot_bpm`), and counts where the user left a field open.
- A field that is open there is -1, or 0 in requests to acestep.cpp, an empty text, "unknown" (the language) or null.
- The rewritten caption is rendered only where `use_cot_caption` is on.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any, NamedTuple

from ..checks import shown
from ..json_files import checked_json
from .blueprint import Blueprint
from .blueprint_json import MAX_BLUEPRINT_CHARACTERS, blueprints_from_json
from .chatter import json_in
from .fields import INSTRUMENTAL_LYRICS, PLAN_FIELDS
from .lyric_reader import lyrics_in_text

OFFICIAL_NAMES: Mapping[str, str] = {
    official: field.name
    for field in PLAN_FIELDS
    for official in (field.metadata, *field.aliases)
    if official and official != field.name
}
"""Ours by the official name of a field, such as `key` by `keyscale`."""

_MARKS = ("task_type", "inference_steps", "guidance_scale", "think", "thinking")
_SETTINGS = ("seed", "inference_steps", "shift", "guidance_scale", "infer_method", "task_type")
_OPEN = (None, "", -1, 0, "N/A", "unknown")


class PlanFile(NamedTuple):
    """The song plans of a file, and what else it says, in sentences."""

    plans: tuple[Blueprint, ...]
    notes: tuple[str, ...] = ()


class PersonsFields(NamedTuple):
    """Values of song fields under our names, and what of the lyrics is not sung, in sentences."""

    values: dict[str, Any]
    notes: tuple[str, ...] = ()


def plans_from_json(text: str) -> PlanFile:
    """Read a blueprint file, or what the official application saved; a language model may have put it into a text.

    Raises:
        ValueError: neither of them, or a value outside its domain.
    """
    if len(text) <= MAX_BLUEPRINT_CHARACTERS:
        text = json_in(text)
        try:
            document = checked_json(text)
        except json.JSONDecodeError:
            document = None  # the strict reader says what is wrong
        if isinstance(document, dict) and (is_official(document) or _has_official_names(document)):
            plan, notes = _official_plan(document)
            return PlanFile((plan,), (*_notes(document), *notes))
    return PlanFile(blueprints_from_json(text))


def is_official(document: Mapping[str, Any]) -> bool:
    """Whether a JSON object is what the official application saves."""
    return "format" not in document and "caption" in document and any(mark in document for mark in _MARKS)


def _has_official_names(document: Mapping[str, Any]) -> bool:
    return "format" not in document and "caption" in document and any(name in document for name in OFFICIAL_NAMES)


def in_our_names(values: Mapping[str, Any]) -> PersonsFields:
    """Values of song fields whichever of the two names a person used; open ones as None, lyrics as they are sung.

    Raises:
        ValueError: a field is there under both names, or lyrics that cannot be read.
    """
    renamed: dict[str, Any] = {}
    notes: tuple[str, ...] = ()
    for name, value in values.items():
        ours = OFFICIAL_NAMES.get(name, name)
        if ours in renamed:
            raise ValueError(f"{ours} is given twice, the second time as {shown(name)}: leave one of them")
        renamed[ours] = None if name in OFFICIAL_NAMES and value in ("", -1) else value
        if ours == "lyrics" and isinstance(value, str):
            renamed[ours], notes, _ = lyrics_in_text(value)
    return PersonsFields(renamed, notes)


def _official_plan(document: Mapping[str, Any]) -> tuple[Blueprint, tuple[str, ...]]:
    """The plan, and what of the lyrics is not sung."""
    values: dict[str, Any] = {}
    planned = set()
    for field in PLAN_FIELDS:
        names = (field.name, *(official for official, ours in OFFICIAL_NAMES.items() if ours == field.name))
        given = next((document[name] for name in names if not _is_open(document.get(name))), None)
        decided = next((value for name in names if not _is_open(value := document.get(f"cot_{name}"))), None)
        if given is None and decided is not None:
            planned.add(field.name)
        values[field.name] = decided if given is None else given
    rewritten = document.get("cot_caption")
    if document.get("use_cot_caption") and not _is_open(rewritten) and rewritten != values["caption"]:
        values["rewritten_caption"] = rewritten
        planned.add("rewritten_caption")
    if document.get("instrumental") is True:
        values["lyrics"] = INSTRUMENTAL_LYRICS
        planned.discard("lyrics")
    values, notes = in_our_names(values)
    return Blueprint(**values, planned=frozenset(planned)), notes


def _is_open(value: object) -> bool:
    return isinstance(value, str | int | float | None) and value in _OPEN


def _notes(document: Mapping[str, Any]) -> tuple[str, ...]:
    """What belongs on other nodes than the plan."""
    settings = [f"{name} {shown(document[name])}" for name in _SETTINGS if name in document]
    notes = ["a song of the official application"]
    if settings:
        notes.append(f"its settings, to set on Sample: {', '.join(settings)}")
    files = [name for name in ("src_audio", "reference_audio") if document.get(name)]
    if files:
        notes.append(f"made from audio that is not in the file: {', '.join(files)}")
    return tuple(notes)
