"""Parts of a song for a task to generate: written as seconds or bars, or painted as a mask.

A region is a pair of seconds [start, end). Regions that overlap or touch become one.

Traps:
- Bars count from 1, as musicians count them: from bar 5 to bar 9 are four bars, and bar 9 is not among them.
- The tempo counts quarter notes, so a bar of 6/8 lasts three beats.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Literal, NamedTuple, TypeAlias

import torch
from torch import Tensor

from ..checks import shown
from .blueprint import Blueprint

RegionUnit: TypeAlias = Literal["seconds", "bars"]

MAX_REGIONS = 64
MASK_THRESHOLD = 0.5
_QUARTERS_PER_BAR = {2: 2.0, 3: 3.0, 4: 4.0, 6: 3.0}
_NUMBER = r"(\d+(?:\.\d+)?)"
_REGION = re.compile(rf"{_NUMBER}\s*(?:-|to)\s*{_NUMBER}")


class Region(NamedTuple):
    """A part of a song, from `start` up to `end`, in seconds."""

    start: float
    end: float


def seconds_per_bar(blueprint: Blueprint) -> float:
    """Length of a bar of the song.

    Raises:
        ValueError: its bpm or time signature is open.
    """
    if blueprint.bpm is None or blueprint.time_signature is None:
        fields = {"bpm": blueprint.bpm, "time signature": blueprint.time_signature}
        missing = " and ".join(name for name, value in fields.items() if value is None)
        raise ValueError(f"bars need the song's {missing}, which the blueprint leaves open: set it, or use seconds")
    return _QUARTERS_PER_BAR[blueprint.time_signature] * 60 / blueprint.bpm


def parse_regions(text: str, *, bar_seconds: float | None = None) -> list[Region]:
    """Read regions such as `10-20, 35.5-40`, separated by commas, semicolons or new lines; blank text is none.

    Args:
        bar_seconds: length of a bar where the numbers are bars, None where they are seconds.

    Raises:
        ValueError: something that is not a pair of numbers, an empty region, or more than 64.
    """
    parts = [part.strip() for part in re.split(r"[,;\n]", text) if part.strip()]
    if len(parts) > MAX_REGIONS:
        raise ValueError(f"there may be {MAX_REGIONS} regions at most, got {len(parts)}")
    regions = []
    for part in parts:
        match = _REGION.fullmatch(part)
        if match is None:
            raise ValueError(f"a region is written as start-end, such as 10-20 or 35.5-40; got {shown(part)}")
        regions.append(region(float(match[1]), float(match[2]), bar_seconds=bar_seconds))
    return regions


def region(start: float, end: float, *, bar_seconds: float | None = None) -> Region:
    """A region from its two numbers; see `parse_regions`.

    Raises:
        ValueError: the end does not come after the start, or a bar below 1.
    """
    if not start < end:
        raise ValueError(f"a region must end after it starts, got {start:g} to {end:g}")
    if bar_seconds is None:
        return Region(start, end)
    if start < 1:
        raise ValueError(f"bars count from 1, got bar {start:g}")
    return Region((start - 1) * bar_seconds, (end - 1) * bar_seconds)


def mask_regions(mask: Tensor, duration_seconds: float) -> list[Region]:
    """Regions of a mask whose width is the song: each run of columns with a pixel above one half.

    Args:
        mask: [..., W], values 0..1, W columns over the whole song.

    Raises:
        ValueError: no column is marked, or more than 64 runs.
    """
    columns = (mask.reshape(-1, mask.shape[-1]) > MASK_THRESHOLD).any(dim=0).int()
    edges = torch.diff(columns, prepend=columns.new_zeros(1), append=columns.new_zeros(1))
    starts, ends = (edges == 1).nonzero()[:, 0].tolist(), (edges == -1).nonzero()[:, 0].tolist()
    if not starts:
        raise ValueError("the mask marks nothing: paint the part of the song to change white, or leave the mask out")
    if len(starts) > MAX_REGIONS:
        raise ValueError(f"there may be {MAX_REGIONS} regions at most, the mask has {len(starts)}")
    column_seconds = duration_seconds / len(columns)
    return [Region(start * column_seconds, end * column_seconds) for start, end in zip(starts, ends, strict=True)]


def within(regions: Sequence[Region], duration_seconds: float) -> tuple[Region, ...]:
    """The regions in order of time, overlapping ones joined, cut at the end of the song.

    Raises:
        ValueError: none, or one that starts before the song or at or after its end.
    """
    if not regions:
        raise ValueError("there is no region to change: give a start and an end")
    joined: list[Region] = []
    for start, end in sorted(regions):
        if start < 0:
            raise ValueError(f"a region starts at {start:g} s, before the audio: extend the song first, or start at 0")
        if start >= duration_seconds:
            raise ValueError(
                f"a region starts at {start:g} s and the audio ends at {duration_seconds:g} s: "
                "extend the song first, or start earlier"
            )
        end = min(end, duration_seconds)
        if joined and start <= joined[-1].end:
            joined[-1] = Region(joined[-1].start, max(end, joined[-1].end))
        else:
            joined.append(Region(start, end))
    return tuple(joined)
