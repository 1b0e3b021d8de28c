"""Checks that every room makes, each with one sentence for what is wrong."""

from __future__ import annotations

import struct
from collections.abc import Collection, Sequence
from typing import TypeVar

Value = TypeVar("Value")

SHOWN_CHARACTERS = 80
REASON_CHARACTERS = 200
DAMAGE = (  # what reading a damaged file may raise, whoever reads it; none of them is how a caller cancels
    ArithmeticError,
    AssertionError,
    AttributeError,
    EOFError,
    LookupError,
    OSError,
    RuntimeError,
    TypeError,
    ValueError,
    struct.error,
)


def shown(value: object) -> str:
    """A value as an error message quotes it: its repr, cut after 80 characters."""
    text = repr(value)
    return text if len(text) <= SHOWN_CHARACTERS else text[: SHOWN_CHARACTERS - 3] + "..."


def reason(error: BaseException) -> str:
    """What a library said of a file, as an error message quotes it: cut, since it may quote the file."""
    return str(error)[:REASON_CHARACTERS]


def check_choice(what: str, value: str, options: Collection[str]) -> None:
    """Raise ValueError for a value that is not one of `options`."""
    if value not in options:
        raise ValueError(f"the {what} must be one of {', '.join(options)}, got {shown(value)}")


def spread(values: Sequence[Value], count: int, what: str) -> list[Value]:
    """One value for each of `count` songs; a single one serves all.

    Args:
        what: the values in words, for the error.

    Raises:
        ValueError: there are neither one nor as many as songs.
    """
    if len(values) not in (1, count):
        raise ValueError(f"got {len(values)} {what} for {count} songs: give 1 or as many")
    return [*values] * (count // len(values))
