"""Differences between the supported hosts (ComfyUI 0.3.75 and later) and between versions of the pack, in one place."""

from __future__ import annotations

import dataclasses
from typing import Any

from comfy_api.v0_0_2 import io

BEFORE = "before"
_SCHEMA_FIELDS = {field.name for field in dataclasses.fields(io.Schema)}


def Schema(**fields: Any) -> io.Schema:
    """`io.Schema` without the fields this host does not know yet (`search_aliases` came with 0.11).

    The name stays `Schema`: ComfyUI-Manager finds node ids by looking for a call of that name.
    """
    return io.Schema(**{name: value for name, value in fields.items() if name in _SCHEMA_FIELDS})


def advanced(widget: Any) -> Any:
    """Fold an input under "advanced"; hosts before 0.10 have no such argument but pass extra keys on."""
    widget.extra_dict["advanced"] = True
    return widget


def added(widget: Any, before: Any) -> Any:
    """An input that a node got later and that changes the result at its default, with what graphs without it mean.

    `js/saved_graphs.js` sets the widget to `before` in a graph that was saved without it; a prompt that omits the input
    gets the default of `execute`, which must be the same.
    """
    widget.extra_dict[BEFORE] = before
    return widget
