"""The filters against transformers' processors, the draw against the distribution it should have."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor
from transformers import (
    MinPLogitsWarper,
    RepetitionPenaltyLogitsProcessor,
    TopKLogitsWarper,
    TopPLogitsWarper,
)

from ace_core.planner import token_choice as sampling
from ace_core.planner.token_choice import GumbelNoise, SamplingParameters, choose_tokens, guide

OPEN = {"top_p": 1.0, "temperature": 1.0}


def logits_of(rows: int, columns: int, seed: int = 0) -> Tensor:
    return 3 * torch.randn(rows, columns, generator=torch.Generator().manual_seed(seed))


def kept(logits: Tensor, parameters: SamplingParameters, seen: Tensor | None = None) -> Tensor:
    """What survives the filters: the noise cannot lift a blocked token."""
    work = logits.clone()
    choose_tokens(work, torch.zeros_like(work), parameters, seen)
    return work.isfinite()


@pytest.mark.parametrize("columns", [3, 1000, 64_001])
def test_filters_keep_what_transformers_keeps(columns: int) -> None:
    logits = logits_of(3, columns)
    ids = torch.zeros(3, 0, dtype=torch.int64)
    assert torch.equal(
        kept(logits, SamplingParameters(**OPEN | {"top_k": 2})), TopKLogitsWarper(2)(ids, logits).isfinite()
    )
    assert torch.equal(
        kept(logits, SamplingParameters(**OPEN | {"min_p": 0.05})), MinPLogitsWarper(0.05)(ids, logits).isfinite()
    )
    for top_p in (0.1, 0.5, 0.9, 0.999):
        ours = kept(logits, SamplingParameters(**OPEN | {"top_p": top_p}))
        theirs = TopPLogitsWarper(top_p)(ids, logits.double()).isfinite()
        assert logits.softmax(-1)[ours != theirs].sum() <= 2e-5  # ours are sums of fp32 numbers
        assert ours.gather(1, logits.argmax(1, keepdim=True)).all()


def test_top_p_looks_at_what_top_k_left_and_before_the_temperature() -> None:
    logits = torch.tensor([[0.4, 0.3, 0.2, 0.1]]).log()
    assert kept(logits, SamplingParameters(temperature=2, top_p=0.75)).tolist() == [[True, True, True, False]]
    assert kept(logits, SamplingParameters(temperature=2, top_p=0.55, top_k=2)).tolist() == [
        [True, False, False, False]
    ]


@pytest.mark.parametrize("columns", [1, 5, sampling.NUCLEUS_GUESS, sampling.NUCLEUS_GUESS + 1, 20_011])
def test_the_nucleus_is_what_sorting_everything_gives(columns: int) -> None:
    """Bit for bit: narrow and wide distributions, ties, blocked tokens, and rows of both kinds in one batch."""
    widths = torch.tensor([[0.0], [0.3], [1.0], [3.0], [10.0], [60.0]])
    logits = widths * logits_of(len(widths), columns)
    logits[:, 1::3] = sampling.BLOCKED
    logits[:, ::7] = logits[:, :1].clone()
    largest = logits.softmax(-1).amax(-1, keepdim=True)
    descending = logits.sort(-1, descending=True).values
    probabilities = (descending - descending[:, :1]).exp() * largest
    before = probabilities.cumsum(-1) - probabilities
    for top_p in (0.01, 0.5, 0.9, 0.99, 1 - 2.0**-24):
        last = (before <= top_p).sum(-1, keepdim=True) - 1
        expected = logits >= descending.gather(-1, last)
        parameters = SamplingParameters(**OPEN | {"top_p": top_p})
        assert torch.equal(kept(logits, parameters), expected & logits.isfinite())
        for row in range(len(widths)):
            assert torch.equal(kept(logits[row, None], parameters)[0], expected[row] & logits[row].isfinite())


def test_a_narrow_nucleus_needs_no_sort(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delattr(sampling, "_sort_descending")
    logits = 3 * logits_of(2, 151_669)
    assert kept(logits, SamplingParameters(top_p=0.5)).sum(-1).max() < sampling.NUCLEUS_GUESS
    with pytest.raises(NameError):
        kept(torch.zeros(2, 151_669), SamplingParameters(top_p=0.5))


def test_repetition_penalty_equals_transformers() -> None:
    logits = logits_of(2, 50)
    generated = torch.tensor([[3, 7, 7, 49], [0, 1, 2, 3]])
    seen = torch.zeros(2, 50, dtype=torch.bool).scatter_(1, generated, True)
    penalised = logits.clone()
    choose_tokens(penalised, None, SamplingParameters(temperature=0, repetition_penalty=1.7), seen)
    assert torch.equal(penalised, RepetitionPenaltyLogitsProcessor(1.7)(generated, logits.clone()))


def test_the_draw_follows_the_softmax() -> None:
    logits = torch.tensor([2.0, 1.0, 0.0, -1.0, 1.5])
    draws = 40_000
    noise = GumbelNoise(3, "test").draw(draws, 5)
    parameters = SamplingParameters(temperature=0.7, top_p=1)
    counts = choose_tokens(logits.repeat(draws, 1), noise, parameters).bincount(minlength=5)
    expected = (logits / 0.7).softmax(0) * draws
    assert ((counts - expected) ** 2 / expected).sum() < 18.5  # chi-square, 4 degrees of freedom, p = 0.001


def test_temperature_zero_is_argmax() -> None:
    logits = logits_of(4, 100)
    assert torch.equal(
        choose_tokens(logits.clone(), None, SamplingParameters(temperature=0, top_k=3)), logits.argmax(1)
    )


def test_noise_depends_on_the_whole_seed_and_the_phase_only() -> None:
    first = GumbelNoise(5, "codes")
    blocks = torch.cat((first.draw(2, 8), first.draw(1, 8)))
    assert torch.equal(blocks, GumbelNoise(5, "codes").draw(3, 8))
    for other in (GumbelNoise(6, "codes"), GumbelNoise(5, "text"), GumbelNoise(5 + 2**32, "codes")):
        assert not torch.equal(blocks, other.draw(3, 8))


@pytest.mark.parametrize("extreme", [0.0, 1 - 2.0**-24])
def test_noise_is_finite_at_the_ends(monkeypatch: pytest.MonkeyPatch, extreme: float) -> None:
    monkeypatch.setattr(sampling.torch, "rand", lambda shape, generator: torch.full(shape, extreme))
    assert GumbelNoise(0, "test").draw(4).isfinite().all()


def test_guidance_moves_away_from_the_unconditional_logits() -> None:
    logits = torch.tensor([[1.0, 2.0], [5.0, 6.0], [0.5, 3.0], [4.0, 4.0]])
    assert guide(logits, 2.0).tolist() == [[1.5, 1.0], [6.0, 8.0]]


@pytest.mark.parametrize(
    ("setting", "value"),
    [
        ("temperature", -0.1),
        ("temperature", 2.1),
        ("temperature", float("nan")),
        ("top_k", -1),
        ("top_p", 0.0),
        ("top_p", 1.01),
        ("min_p", 1.0),
        ("min_p", -0.1),
        ("repetition_penalty", 0.0),
    ],
)
def test_settings_outside_their_range_are_refused(setting: str, value: float) -> None:
    with pytest.raises(ValueError, match=f"{setting} must be .*got {value}"):
        SamplingParameters(**{setting: value})  # type: ignore[arg-type]
