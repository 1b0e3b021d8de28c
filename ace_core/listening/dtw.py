"""Dynamic time warping of tokens and frames, with the published tie rule.

Matches `dtw_cpu` of the official `dit_alignment_score.py`: float32 costs, moves diagonal, token + 1 and frame + 1.

Traps:
- The comparisons of the published code are strict, and what is left over is frame + 1. So where diagonal and token + 1
  cost the same, neither is taken, even if frame + 1 costs more; the sum along the path is then not the least possible.
- The cells of one anti-diagonal depend on the two before it and on nothing else. Computing them at once adds the same
  numbers in the same order as cell by cell, so the result is the same to the last bit.
- The costs lie one anti-diagonal a row: 2000 tokens and 7500 frames take 76 MB, and a copy of the costs.
"""

from __future__ import annotations

from typing import NamedTuple, TypeAlias

import numpy as np
from numpy.typing import NDArray

Frames: TypeAlias = NDArray[np.int64]


class WarpingPath(NamedTuple):
    """Cells from the first token and frame to the last ones, [P] each; every token and frame is on it."""

    tokens: NDArray[np.int64]
    frames: Frames


def warping_path(costs: NDArray[np.float32]) -> WarpingPath:
    """The cheapest way through costs [N, M], both at least 1, by the published rule."""
    sums = _cumulative_costs(costs)
    token, frame = costs.shape
    cells = []
    while token and frame:
        cells.append((token - 1, frame - 1))
        diagonal = sums[token + frame - 2, token - 1]
        next_token = sums[token + frame - 1, token - 1]
        next_frame = sums[token + frame - 1, token]
        if diagonal < next_token and diagonal < next_frame:
            token, frame = token - 1, frame - 1
        elif next_token < diagonal and next_token < next_frame:
            token -= 1
        else:
            frame -= 1
    tokens, frames = np.array(cells[::-1], dtype=np.int64).T
    return WarpingPath(tokens, frames)


def _cumulative_costs(costs: NDArray[np.float32]) -> NDArray[np.float32]:
    """Cost [N + M + 1, N + 1] of the way to each cell: that of token i and frame j, from 1, lies at [i + j, i].

    Row and column 0 are the border outside the matrix, infinite but for its corner.
    """
    tokens, frames = costs.shape
    padded = np.empty((tokens, frames + 1), dtype=np.float32)  # a step along an anti-diagonal is then `frames` numbers
    padded[:, :frames] = costs
    flat = padded.ravel()
    sums = np.full((tokens + frames + 1, tokens + 1), np.inf, dtype=np.float32)
    sums[0, 0] = 0
    best = np.empty(tokens + 1, dtype=np.float32)
    tied = np.empty(tokens + 1, dtype=np.bool_)
    for row in range(2, tokens + frames + 1):
        first, end = max(1, row - frames), min(tokens, row - 1) + 1
        diagonal, next_token = sums[row - 2, first - 1 : end - 1], sums[row - 1, first - 1 : end - 1]
        out, ties = best[first:end], tied[first:end]
        np.minimum(diagonal, next_token, out=out)
        np.equal(diagonal, next_token, out=ties)
        np.putmask(out, ties, np.inf)
        np.minimum(out, sums[row - 1, first:end], out=out)
        start = (first - 1) * (frames + 1) + row - first - 1
        np.add(out, flat[start : start + (end - first) * frames : frames], out=sums[row, first:end])
    return sums
