"""Numbers of a config.json, checked before anything is built with them.

Trap: a config is data from the internet. A layer count of a million would be built, in memory, before anybody saw that
the file beside it holds 24.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from ..checks import shown
from .files import CheckpointError
from .keys import last_index

MAX_LAYERS = 1000  # the largest published network has 36
MAX_WHOLE_NUMBER = 1 << 24
MAX_LEVELS = 16

Settings = Mapping[str, Any]


def layer_count(names: Iterable[str], prefix: str, settings: Settings, setting: str, path: Path) -> int:
    """How many layers to build: those of the file, or as many as the config announces, so that lost ones are reported.

    Raises:
        CheckpointError: more than the file can hold, a tensor for each at the least, or more than any network has.
    """
    held = [name for name in names if name.startswith(prefix)]
    announced = whole_setting(settings, setting, 0, path)
    count = max(last_index(held, prefix) + 1, announced)
    most = min(len(held), MAX_LAYERS)
    if count > most:
        said = f"sets {setting} to {announced}" if count == announced else f"names layer {prefix}{count - 1}"
        raise CheckpointError(
            f"{path} or its config.json {said}, but its {len(held)} tensors of layers make {most} layers at most. "
            "Download both again."
        )
    return count


def whole_setting(settings: Settings, name: str, default: int, path: Path) -> int:
    """A whole number of at least 0."""
    value = settings.get(name, default)
    if type(value) is not int or not 0 <= value <= MAX_WHOLE_NUMBER:
        raise _refused(path, name, value, f"a whole number from 0 to {MAX_WHOLE_NUMBER}")
    return value


def positive_setting(settings: Settings, name: str, default: float, path: Path) -> float:
    """A number above 0."""
    value = settings.get(name, default)
    if type(value) not in (int, float) or not 0 < value < 1e30:
        raise _refused(path, name, value, "a number above 0")
    return float(value)


def levels_setting(settings: Settings, name: str, default: Sequence[int], path: Path) -> tuple[int, ...]:
    """Levels of a quantiser: 1 to 16 numbers of at least 2, of which an int32 holds the product."""
    value = settings.get(name, default)
    legal = isinstance(value, list | tuple) and 0 < len(value) <= MAX_LEVELS
    legal = legal and all(type(level) is int and 2 <= level < 1 << 31 for level in value)
    if not legal or math.prod(value) >= 1 << 31:
        raise _refused(path, name, value, f"levels such as {list(default)}")
    return tuple(value)


def table_setting(settings: Settings, name: str, path: Path) -> Mapping[str, Any]:
    """An object, empty where there is none."""
    value = settings.get(name) or {}
    if not isinstance(value, dict):
        raise _refused(path, name, value, "an object")
    return value


def list_setting(settings: Settings, name: str, path: Path) -> list[Any]:
    """A list, empty where there is none; never longer than a network is deep."""
    value = settings.get(name) or []
    if not isinstance(value, list) or len(value) > MAX_LAYERS:
        raise _refused(path, name, value, "a list with an entry for each layer")
    return value


def _refused(path: Path, name: str, value: object, wanted: str) -> CheckpointError:
    return CheckpointError(
        f"the config.json of {path} sets {name} to {shown(value)}; it must be {wanted}. Download it again."
    )
