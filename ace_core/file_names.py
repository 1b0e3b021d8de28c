"""Patterns in file names, as ComfyUI's page fills them for its own nodes, and names that every system can have.

`%date:yyyy-MM-dd%` is the time, `%Node.widget%` a value of another node, by its "Node name for S&R" or its title. The
page fills them only in nodes that it knows by name; ComfyUI itself fills `%year%`, `%month%` and so on.

Traps:
- Windows refuses `<>:"|?*`, names that end in a dot or a space, and names of devices, in folders too.
- A value may hold slashes and line ends: they must not make folders.
- A name with a drive or a slash in front leads out of the output folder. It is refused and not mended.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from datetime import datetime
from typing import Any

from .checks import shown

MAX_PART_CHARACTERS = 120
_PATTERN = re.compile(r"%([^%]+)%")
_DATE_PART = re.compile(r"d{1,2}|M{1,2}|h{1,2}|m{1,2}|s{1,2}|yyyy|yy")
_NOT_IN_VALUES = re.compile(r'[/?<>\\:*|"\x00-\x1f\x7f]')
_NOT_IN_NAMES = re.compile(r'[<>:"|?*\x00-\x1f\x7f]')
_DEVICE = re.compile(r"(con|prn|aux|nul|com\d|lpt\d)(?=\.|$)", re.IGNORECASE)
_DRIVE = re.compile(r"[A-Za-z]:[/\\]")


def filled_name(prefix: str, now: datetime, prompt: Mapping[str, Any], workflow: Mapping[str, Any]) -> str:
    """A name with its patterns filled, legal on every system; slashes between folders.

    Args:
        prompt, workflow: ComfyUI's graph as the server runs it and as the page draws it; empty where there is none.

    Raises:
        ValueError: it begins with a drive.
    """
    if _DRIVE.match(prefix):
        raise ValueError(f"the file name {shown(prefix)} leads out of the output folder: leave out the drive")

    def filled(match: re.Match[str]) -> str:
        name, dot, widget = match[1].partition(".")
        if match[1].startswith("date:"):
            return _NOT_IN_VALUES.sub("_", _date(match[1].removeprefix("date:"), now))
        value = _value(name, widget, prompt, workflow) if dot else None
        return match[0] if value is None else _NOT_IN_VALUES.sub("_", str(value))

    return "/".join(_legal(part) for part in _PATTERN.sub(filled, prefix).replace("\\", "/").split("/"))


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
    drawn = [node for node in workflow.get("nodes", ()) if isinstance(node, dict)]
    named = [str(node.get("id")) for node in drawn if (node.get("properties") or {}).get("Node name for S&R") == name]
    kinds = [number for number, node in prompt.items() if node.get("class_type") == name]
    titled = [number for number, node in prompt.items() if (node.get("_meta") or {}).get("title") == name]
    for number in (*named, *kinds, *titled):
        value = prompt.get(number, {}).get("inputs", {}).get(widget)
        if value is not None and not isinstance(value, list | dict):
            return value
    return None


def _legal(part: str) -> str:
    """A folder or a file as every system can have it; `..` stays, so that it is refused."""
    if part in ("", ".", ".."):
        return part
    part = _NOT_IN_NAMES.sub("_", part)[:MAX_PART_CHARACTERS].rstrip(" .") or "_"
    return _DEVICE.sub(r"\1_", part) if _DEVICE.match(part) else part
