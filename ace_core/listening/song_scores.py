"""Scores of finished songs: their parts, one number of them, and the order they put songs in.

A part that could not be computed is absent. It is never zero, and it weighs nothing.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import NamedTuple

from ..json_files import JsonFormat
from ..planner.scoring import PART_WEIGHTS, PlannerScores, weighted_score
from .alignment_score import AlignmentScore

ALIGNMENT = "alignment"
PARTS = (*PART_WEIGHTS, ALIGNMENT)
TOTAL = "total"
DEFAULT_WEIGHTS: Mapping[str, float] = {**PART_WEIGHTS, ALIGNMENT: 1.0}  # as much as the planner's parts together

SCORES_FORMAT = JsonFormat("ace_composer.scores", 1, "scores file")


class SongScores(NamedTuple):
    """Scores of one song, each from 0 to 1.

    Attributes:
        parts: those of `PARTS` that there are.
        details: what the parts are made of, such as `bpm` of the metadata and `coverage` of the alignment.
        total: the weighted mean of the parts; None where there is none.
    """

    parts: Mapping[str, float]
    details: Mapping[str, float]
    total: float | None

    def value(self, name: str) -> float | None:
        """The total or a part by its name; None if it is absent."""
        return self.total if name == TOTAL else self.parts.get(name)


def song_scores(
    planner: PlannerScores | None,
    alignment: AlignmentScore | None,
    plan_alignment: AlignmentScore | None,
    weights: Mapping[str, float] = DEFAULT_WEIGHTS,
) -> SongScores:
    """Join what planner and renderer say of one song.

    Args:
        planner: scores of the audio codes against the plan. alignment: of the song's attention to its lyrics.
        plan_alignment: the same before any sound is made, which is shown and never counts.
        weights: 0 or more for each of `PARTS`.

    Raises:
        ValueError: a weight below 0, or parts that all weigh nothing.
    """
    parts = dict(planner.parts) if planner is not None else {}
    details = dict(planner.fields) if planner is not None else {}
    if alignment is not None:
        parts[ALIGNMENT] = alignment.score
        details |= {name: getattr(alignment, name) for name in ("coverage", "monotonicity", "confidence")}
    if plan_alignment is not None:
        details["plan alignment"] = plan_alignment.score
    return SongScores(parts, details, weighted_score(parts, weights))


def ranking(songs: Sequence[SongScores], by: str = TOTAL) -> list[int]:
    """Indices of the songs, best first; equal ones keep their order, and songs without this score come last.

    Args:
        by: `TOTAL` or one of `PARTS`.

    Raises:
        ValueError: no song has this score.
    """
    values = [song.value(by) for song in songs]
    if all(value is None for value in values):
        there = [name for name in (TOTAL, *PARTS) if any(song.value(name) is not None for song in songs)]
        raise ValueError(f"no song has a score {by!r}, only {', '.join(there) or 'none at all'}: rank by one of these")
    return sorted(range(len(songs)), key=lambda index: (values[index] is None, -(values[index] or 0.0)))


def score_table(songs: Sequence[SongScores], order: Sequence[int] | None = None) -> str:
    """Total and parts of each song in columns, a dash for what is absent.

    Args:
        order: indices of songs, best first; then each line begins with the place. None for the order they are in.
    """
    columns = [name for name in (TOTAL, *PARTS) if any(song.value(name) is not None for song in songs)]
    rows = [["song", *columns]]
    for index in range(len(songs)) if order is None else order:
        values = (songs[index].value(name) for name in columns)
        rows.append([str(index + 1), *("-" if value is None else f"{value:.3f}" for value in values)])
    if order is not None:
        places = ["place", *(str(place) for place in range(1, len(rows)))]
        rows = [[place, *row] for place, row in zip(places, rows, strict=True)]
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    lines = ("  ".join(text.ljust(width) for text, width in zip(row, widths, strict=True)) for row in rows)
    return "\n".join(map(str.rstrip, lines))


def scores_json(songs: Sequence[SongScores]) -> str:
    """Scores as versioned JSON."""
    document = {
        **SCORES_FORMAT.head(),
        "songs": [{"total": song.total, "parts": dict(song.parts), "details": dict(song.details)} for song in songs],
    }
    return json.dumps(document, indent=1) + "\n"
