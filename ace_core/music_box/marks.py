"""The marks that the text encoder of the music box puts on tokens: what a prompt says, one a token.

The encoder's state of a token is the mark's vector [STATE_SIZE], or `NOTHING`'s. A vector has a one for the kind of
thing the mark is, which is what attention asks for, and ones for what it says, which is what attention brings. The
kinds that every prompt has share the numbers of what they say; the others have their own, because attention that finds
no token of a kind brings the average of all.
"""

from __future__ import annotations

import torch
from torch import Tensor

from .clock import TEMPI
from .songs import BOX_KEYS, GENRES, INSTRUMENTS, MODES, MOODS, NOTES

BAND = "the usual band"  # no instrument is named
EXTRACT, COVER = "extract", "cover"
NOTHING = "nothing"

KINDS: dict[str, tuple[str, ...]] = {
    "tempo": tuple(f"{bpm} bpm" for bpm in TEMPI),
    "key": (*(f"tonic {note}" for note in NOTES), *(f"in {mode}" for mode in MODES)),
    "genre": tuple(GENRES),
    "mood": tuple(MOODS),
    "on": (*INSTRUMENTS, BAND),
    "off": tuple(f"no {name}" for name in INSTRUMENTS),
    "task": (EXTRACT, COVER),
}
"""What each kind may say, in the order of its numbers."""
MARKS: tuple[str, ...] = (
    *KINDS["tempo"],
    *BOX_KEYS,
    *KINDS["genre"],
    *KINDS["mood"],
    *KINDS["on"],
    *KINDS["off"],
    *KINDS["task"],
    NOTHING,
)

_SHARED = max(len(KINDS[kind]) for kind in ("tempo", "key", "genre", "mood", "on"))
FIRST_NUMBER: dict[str, int] = {
    **dict.fromkeys(("tempo", "key", "genre", "mood", "on"), len(KINDS)),
    "off": len(KINDS) + _SHARED,
    "task": len(KINDS) + _SHARED + len(KINDS["off"]),
}
"""Where in a vector a kind says what it says."""
STATE_SIZE = FIRST_NUMBER["task"] + len(KINDS["task"]) + 1  # the last is NOTHING's


def mark_vectors() -> Tensor:
    """One row for each of `MARKS`, [marks, STATE_SIZE]."""
    vectors = torch.zeros(len(MARKS), STATE_SIZE)
    for row, mark in zip(vectors, MARKS, strict=True):
        if mark == NOTHING:
            row[-1] = 1
            continue
        kind, said = _said(mark)
        row[list(KINDS).index(kind)] = 1
        for name in said:
            row[FIRST_NUMBER[kind] + KINDS[kind].index(name)] = 1
    return vectors


def _said(mark: str) -> tuple[str, tuple[str, ...]]:
    if mark in BOX_KEYS:
        note, mode = mark.split()
        return "key", (f"tonic {note}", f"in {mode}")
    return next(kind for kind, names in KINDS.items() if mark in names), (mark,)
