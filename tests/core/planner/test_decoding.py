"""Feeding tokens: chunks of any lengths, rows that leave, and a step that never asks the host anything."""

from __future__ import annotations

from collections.abc import Sequence

import pytest
import torch
from networks import relative_error
from tiny_planner import TINY, planner_network, planner_weights
from torch import Tensor, nn

from ace_core.models.qwen3 import Qwen3
from ace_core.planner import decoding
from ace_core.planner.code_generation import _Songs
from ace_core.planner.decoding import CachedDecoder
from ace_core.planner.token_choice import SamplingParameters

CPU = torch.device("cpu")
TEXTS = ([5, 6, 7, 8, 9, 10, 11, 12], [20, 21, 22], [30, 31, 32, 33, 34])


@pytest.fixture(scope="module")
def lm() -> Qwen3:
    return planner_network(planner_weights(4))


def decoder_for(lm: Qwen3, rows: int) -> CachedDecoder:
    return CachedDecoder(lm, rows, 40, dtype=torch.float32, device=CPU)


def go_on() -> None:
    pass


@torch.no_grad()
def last_states(lm: Qwen3, texts: Sequence[Sequence[int]]) -> Tensor:
    """What the network says without a cache."""
    return torch.stack([lm(torch.tensor([text]), torch.float32)[0, -1] for text in texts])


@pytest.mark.parametrize("chunk_tokens", [2, 3, 512])
@torch.no_grad()
def test_chunks_of_different_lengths_equal_whole_texts(
    lm: Qwen3, chunk_tokens: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(decoding, "CHUNK_TOKENS", chunk_tokens)
    checks: list[int] = []
    decoder = decoder_for(lm, 3)
    states = decoder.read_prompts([text[:2] for text in TEXTS], go_on)
    assert relative_error(states, last_states(lm, [text[:2] for text in TEXTS])) <= 1e-5

    states = decoder.feed([0, 1, 2], [text[2:] for text in TEXTS], lambda: checks.append(1))

    assert relative_error(states, last_states(lm, TEXTS)) <= 1e-5
    assert decoder.lengths == [8, 3, 5]
    assert len(checks) == -(-6 // chunk_tokens)


@torch.no_grad()
def test_neighbours_of_one_length_are_attended_to_together(lm: Qwen3, monkeypatch: pytest.MonkeyPatch) -> None:
    texts = [[1, 2, 3], [4, 5, 6], [7, 8], [9, 10], [11, 12], [13, 14, 15]]
    decoder = decoder_for(lm, len(texts))
    decoder.read_prompts(texts, go_on)
    rows: list[int] = []
    attend = decoding._attend

    def counted(query: Tensor, *others: Tensor | None) -> Tensor:
        rows.append(len(query))
        return attend(query, *others)  # type: ignore[arg-type]

    monkeypatch.setattr(decoding, "_attend", counted)
    states = decoder.step(torch.arange(20, 26))
    assert rows == [2, 3, 1] * TINY.num_layers
    longer = [[*text, 20 + row] for row, text in enumerate(texts)]
    assert relative_error(states, last_states(lm, longer)) <= 1e-5
    rows.clear()
    states = decoder.feed([0, 1, 3, 4], [[30, 31]] * 4, go_on)
    assert rows == [2, 2] * TINY.num_layers
    assert relative_error(states, last_states(lm, [[*longer[row], 30, 31] for row in (0, 1, 3, 4)])) <= 1e-5


@pytest.mark.parametrize("fixed", [False, True])
@torch.no_grad()
def test_rows_that_stay_go_on_as_before(lm: Qwen3, fixed: bool) -> None:
    decoder = decoder_for(lm, 3)
    decoder.read_prompts(TEXTS, go_on)
    texts = [list(text) for text in TEXTS]
    for leaving, ids in ((1, [40, 41, 42]), (0, [43, 44]), (None, [45])):
        step = decoder.static_step() if fixed else decoder.step
        for text, token in zip(texts, ids, strict=True):
            text.append(token)
        assert relative_error(step(torch.tensor(ids)), last_states(lm, texts)) <= 1e-5
        if leaving is not None:
            del texts[leaving]
            decoder.keep([row for row in range(len(ids)) if row != leaving])


def test_a_step_needs_nothing_but_the_device() -> None:
    """Tensors on "meta" have no values: whatever asked for one would fail."""
    meta = torch.device("meta")
    lm = Qwen3(TINY, ops=nn, device=meta)
    decoder = CachedDecoder(lm, 4, 40, dtype=torch.float32, device=meta)
    parameters = SamplingParameters(top_k=50, min_p=0.01, repetition_penalty=1.1)
    songs = _Songs(lm, [9, 20], parameters, [0, 1], 2.0, 4, dtype=torch.float32, device=meta)
    with torch.no_grad():
        hidden = decoder.read_prompts(([1, 2], [3], [4], [4]), go_on)
        step = decoder.static_step()
        for _ in range(7):
            hidden = step(songs.choose_codes(hidden).repeat(2))
    assert hidden.shape == (4, TINY.hidden_size)
    assert songs.step == 7
