"""Patterns in file names, as ComfyUI's page fills them for its own nodes, and names that every system can have.

`%date:yyyy-MM-dd%` is the time, `%Node.widget%` a value of another node, by its "Node name for S&R", its kind or its
title, within subgraphs too. The page fills them only in nodes that it knows by name; ComfyUI itself fills `%year%`,
`%month%` and so on.

Traps:
- Windows refuses `<>:"|?*`, names that end in a dot or a space, and names of devices, in folders too.
- A value may hold slashes and line ends: they must not make folders. It may be a whole caption: names have a largest
  length, in characters on some systems and in bytes on others.
- A name with a drive or a slash in front leads out of the output folder. It is refused and not mended.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from datetime import datetime
from typing import Any, NamedTuple

from .checks import shown

MAX_PART_CHARACTERS = 120
MAX_PART_BYTES = 180  # of 255, with room for a number, a suffix and the mark of an unfinished file
_PATTERN = re.compile(r"%([^%]+)%")
_WORD = re.compile(r"[\w-]+")  # what a person means as a pattern; `100% pure, 50%` is none
_OF_THE_HOST = ("year", "month", "day", "hour", "minute", "second", "width", "height")
_DATE_PART = re.compile(r"d{1,2}|M{1,2}|h{1,2}|m{1,2}|s{1,2}|yyyy|yy")
_NOT_IN_VALUES = re.compile(r'[/?<>\\:*|"\x00-\x1f\x7f]')
_NOT_IN_NAMES = re.compile(r'[<>:"|?*\x00-\x1f\x7f]')
_DEVICE = re.compile(r"(con|conin\$|conout\$|prn|aux|nul|(?:com|lpt)[\d\xb2\xb3\xb9])(?=\s*(?:\.|$))", re.IGNORECASE)
_DRIVE = re.compile(r"[A-Za-z]:[/\\]")


class FilledName(NamedTuple):
    """A name, with slashes between folders, and sentences on what of it is not as it was asked for."""

    name: str
    notes: tuple[str, ...] = ()


def filled_name(prefix: str, now: datetime, prompt: Mapping[str, Any], workflow: Mapping[str, Any]) -> FilledName:
    """A name with its patterns filled, legal on every system.

    Args:
        prompt, workflow: ComfyUI's graph as the server runs it and as the page draws it; empty where there is none.

    Raises:
        ValueError: it begins with a drive.
    """
    if _DRIVE.match(prefix):
        raise ValueError(f"the file name {shown(prefix)} leads out of the output folder: leave out the drive")
    notes: dict[str, None] = {}

    def filled(match: re.Match[str]) -> str:
        if match[1].startswith("date:"):
            return _NOT_IN_VALUES.sub("_", _date(match[1].removeprefix("date:"), now))
        name, dot, widget = match[1].partition(".")
        value = _value(name, widget, prompt, workflow) if dot else None
        if value is not None:
            return _NOT_IN_VALUES.sub("_", str(value))
        if (dot and _WORD.fullmatch(widget)) or (_WORD.fullmatch(match[1]) and match[1] not in _OF_THE_HOST):
            notes[f"{match[0]} in the file name stays as it is: no node of the graph has such a value"] = None
        return match[0]

    parts = _PATTERN.sub(filled, prefix).replace("\\", "/").split("/")
    if any(_cut(part) != part for part in parts):
        notes["the file name is cut: it is too long for some systems"] = None
    return FilledName("/".join(map(_legal, parts)), tuple(notes))


def _date(pattern: str, now: datetime) -> str:
    """A time in the page's letters: one of a kind without a zero in front, two with it."""
    numbers = {"d": now.day, "M": now.month, "h": now.hour, "m": now.minute, "s": now.second}

    def part(match: re.Match[str]) -> str:
        letters = match[0]
        if letters[0] == "y":
            return f"{now.year:04}"[-len(letters) :]
        return f"{numbers[letters[0]]:0{len(letters)}}"

    return _DATE_PART.sub(part, pattern)


def _value(name: str, widget: str, prompt: Mapping[str, Any], workflow: Mapping[str, Any]) -> object:
    """What a widget of a node holds: the first node of this name, else of this kind, else of this title."""
    subgraphs = {graph.get("id"): graph for graph in (workflow.get("definitions") or {}).get("subgraphs") or ()}
    drawn = _drawn(workflow, subgraphs, "")
    named = [number for number, node in drawn if (node.get("properties") or {}).get("Node name for S&R") == name]
    kinds = [number for number, node in prompt.items() if node.get("class_type") == name]
    titled = [number for number, node in prompt.items() if (node.get("_meta") or {}).get("title") == name]
    for number in (*named, *kinds, *titled):
        value = prompt.get(number, {}).get("inputs", {}).get(widget)
        if value is not None and not isinstance(value, list | dict):
            return value
    return None


def _drawn(
    graph: Mapping[str, Any], subgraphs: Mapping[Any, Mapping[str, Any]], before: str
) -> Iterator[tuple[str, Mapping[str, Any]]]:
    """The nodes of a graph by their numbers in the prompt, those of subgraphs behind the number of theirs: `7:3`."""
    for node in graph.get("nodes") or ():
        number = f"{before}{node.get('id')}"
        yield number, node
        if node.get("type") in subgraphs:
            others = {key: inner for key, inner in subgraphs.items() if key != node["type"]}  # no way in a circle
            yield from _drawn(subgraphs[node["type"]], others, f"{number}:")


def _cut(part: str) -> str:
    """As much of a name as every system takes."""
    part = part[:MAX_PART_CHARACTERS]
    while len(part.encode(errors="surrogatepass")) > MAX_PART_BYTES:
        part = part[:-1]
    return part


def _legal(part: str) -> str:
    """A folder or a file as every system can have it; `..` stays, so that it is refused."""
    if part in ("", ".", ".."):
        return part
    part = _cut(_NOT_IN_NAMES.sub("_", part)).rstrip(" .") or "_"
    return _DEVICE.sub(r"\1_", part) if _DEVICE.match(part) else part
