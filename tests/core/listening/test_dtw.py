"""Warping all cells of an anti-diagonal at once, against cell by cell as the published code does."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays
from numpy.typing import NDArray

from ace_core.listening.dtw import warping_path

DIAGONAL, NEXT_TOKEN, NEXT_FRAME = range(3)


def cell_by_cell(costs: NDArray[np.float32]) -> list[tuple[int, int]]:
    """The published rule written out with one float32 sum and one remembered move a cell."""
    tokens, frames = costs.shape
    sums = {(token, -1): np.float32(np.inf) for token in range(-1, tokens)}
    sums |= {(-1, frame): np.float32(np.inf) for frame in range(frames)}
    sums[-1, -1] = np.float32(0)
    moves = {}
    for token in range(tokens):
        for frame in range(frames):
            a, b, c = sums[token - 1, frame - 1], sums[token - 1, frame], sums[token, frame - 1]
            if a < b and a < c:
                before, move = a, DIAGONAL
            elif b < a and b < c:
                before, move = b, NEXT_TOKEN
            else:
                before, move = c, NEXT_FRAME
            sums[token, frame] = np.float32(costs[token, frame] + before)
            moves[token, frame] = move
    path = []
    cell = (tokens - 1, frames - 1)
    while cell != (-1, -1):
        path.append(cell)
        token, frame = cell
        cell = (token - (moves[cell] != NEXT_FRAME), frame - (moves[cell] != NEXT_TOKEN))
    return path[::-1]


def cells(costs: object) -> list[tuple[int, int]]:
    path = warping_path(np.array(costs, dtype=np.float32))
    return list(zip(path.tokens.tolist(), path.frames.tolist(), strict=True))


def test_follows_the_cheapest_cells() -> None:
    assert cells([[-9, -9, 1, 1], [1, 1, -9, 1], [1, 1, 1, -9]]) == [(0, 0), (0, 1), (1, 2), (2, 3)]


def test_a_tie_of_diagonal_and_next_frame_falls_to_the_next_frame() -> None:
    # The last cell is reached with 2 from the diagonal and with 2 from the frame before.
    assert cells([[1, 1, 9], [1, 1, 1]]) == [(0, 0), (1, 1), (1, 2)]


def test_a_tie_of_diagonal_and_next_token_falls_to_a_dearer_next_frame() -> None:
    # Sums before the last cell: diagonal 1, token before 1 (of 1 + 0), frame before 6 (of 1 + 5).
    assert cells([[1, 0], [5, 1]]) == [(0, 0), (1, 0), (1, 1)]


def test_without_any_preference_everything_goes_to_the_last_token() -> None:
    assert cells(np.ones((3, 6))) == [(0, 0), (1, 1), (2, 2), (2, 3), (2, 4), (2, 5)]


@pytest.mark.parametrize(("tokens", "frames"), [(1, 1), (1, 7), (7, 1), (5, 3)])
def test_every_token_and_frame_is_on_the_path(tokens: int, frames: int) -> None:
    path = cells(np.arange(tokens * frames).reshape(tokens, frames))
    assert {token for token, _ in path} == set(range(tokens))
    assert {frame for _, frame in path} == set(range(frames))
    assert path == cell_by_cell(np.arange(tokens * frames, dtype=np.float32).reshape(tokens, frames))


SHAPES = arrays.array_shapes(min_dims=2, max_dims=2, max_side=12)
FEW_VALUES = st.integers(-2, 2).map(float)  # many ties
ANY_VALUES = st.floats(-1e4, 1e4, width=32)


@settings(deadline=None, derandomize=True)
@given(costs=arrays.arrays(np.float32, SHAPES, elements=st.one_of(FEW_VALUES, ANY_VALUES), fill=st.nothing()))
def test_equals_cell_by_cell(costs: NDArray[np.float32]) -> None:
    assert cells(costs) == cell_by_cell(costs)


@pytest.mark.parametrize(("tokens", "frames", "seed"), [(60, 240, 0), (240, 60, 1), (120, 121, 2)])
def test_equals_cell_by_cell_where_rounding_matters(tokens: int, frames: int, seed: int) -> None:
    """A constant with seldom exceptions, as the consensus is: the sums of equally long ways differ by rounding only."""
    rng = np.random.default_rng(seed)
    costs = np.full((tokens, frames), 0.1, dtype=np.float32)
    costs[rng.random(costs.shape) < 0.05] = -rng.random()
    assert cells(costs) == cell_by_cell(costs)
