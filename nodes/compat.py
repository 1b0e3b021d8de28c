"""Differences between the supported hosts (ComfyUI 0.3.75 and later), in one place."""

from __future__ import annotations

import dataclasses
from typing import Any

from comfy_api.v0_0_2 import io

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
