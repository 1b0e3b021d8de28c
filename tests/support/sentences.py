"""Tells a sentence of the pack from a raw error, by where and how it was raised, never by its words.

A sentence is raised on purpose: the innermost frame of its traceback lies in `ace_core` or `nodes`, on a `raise`, and
its type is one that the pack uses for users. Whatever Python or a library raised by itself and nobody caught is raw,
though it may be a ValueError with a well-formed text.
"""

from __future__ import annotations

import re
import traceback
from collections.abc import Sequence

KINDS = frozenset(
    ("ValueError", "CheckpointError", "FileProblem", "FileNotFoundError", "FileExistsError", "OSError", "MemoryError")
)
FEWEST_CHARACTERS, MOST_CHARACTERS = 10, 3000

_FRAME = re.compile(r'\s*File "([^"]*)", line \d+, in .*\n\s*(.*)')
_PACK = re.compile(r"[/\\](?:ace_core|nodes)[/\\]")


def why_raw(kind: str, text: str, frames: Sequence[str]) -> str | None:
    """What makes an error raw; None for a sentence.

    Args:
        kind: the name of its type, with a module or without.
        frames: as `traceback.format_tb` gives them.
    """
    kind = kind.rpartition(".")[2]
    if kind not in KINDS:
        return f"a {kind} is not raised for users"
    found = _FRAME.match(frames[-1]) if frames else None
    if found is None or not _PACK.search(found[1]):
        return "it was raised outside of the pack"
    if not found[2].startswith("raise "):
        return "nobody raised it on purpose"
    if not FEWEST_CHARACTERS <= len(text) <= MOST_CHARACTERS:
        return f"it has {len(text)} characters"
    return None


def raw_error(error: BaseException) -> str:
    """A raw error in a line, with the place that it comes from; empty for a sentence."""
    frames = traceback.format_tb(error.__traceback__)
    why = why_raw(type(error).__name__, str(error), frames)
    return "" if why is None else described(type(error).__name__, str(error), why, frames)


def described(kind: str, text: str, why: str, frames: Sequence[str]) -> str:
    """A raw error in a line."""
    place = " ".join(frames[-1].split()) if frames else "no frame"
    return f"{kind}: {ascii(text)[:200]} ({why}; {place})"[:700]
