"""Differences of weights as LoRA, against the singular values that say how near any of that rank can be."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor

from ace_core.lora.adapters import (
    Adapter,
    AdapterKind,
    AdapterWeights,
    AppliedAdapter,
    Strengths,
    adapter_matrix,
    joined_change,
)
from ace_core.lora.extraction import extract_lora, nearest_factors


def noise(*shape: int, seed: int = 0) -> Tensor:
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed))


def decaying(rows: int, columns: int) -> Tensor:
    """A matrix whose singular values fall slowly, as those of trained differences."""
    left, _, right = torch.linalg.svd(noise(rows, columns), full_matrices=False)
    values = torch.arange(1, min(rows, columns) + 1) ** -0.7
    return (left * values) @ right


@pytest.mark.parametrize("shape", [(24, 40), (300, 200), (200, 300)])
def test_no_matrix_of_the_rank_is_noticeably_nearer(shape: tuple[int, int]) -> None:
    matrix = decaying(*shape)
    factors = nearest_factors(matrix, 8)
    assert factors.up.shape == (shape[0], 8) and factors.down.shape == (8, shape[1])
    values = torch.linalg.svdvals(matrix)
    error = (matrix - factors.up @ factors.down).square().sum()
    assert error <= 1.001 * values[8:].square().sum()
    assert factors.total - factors.kept == pytest.approx(float(error), rel=1e-3)


@pytest.mark.parametrize("shape", [(24, 40), (300, 200)])
def test_a_difference_of_low_rank_is_kept_whole(shape: tuple[int, int]) -> None:
    matrix = noise(shape[0], 3) @ noise(3, shape[1], seed=1)
    extraction = extract_lora([("a", matrix), ("zero", torch.zeros(4, 4))], 16)
    assert extraction.rank == 3
    assert extraction.kept_share == pytest.approx(1.0, abs=1e-6)
    assert extraction.adapters.keys() == {"a"}
    adapter = extraction.adapters["a"]
    assert (adapter_matrix(adapter) - matrix).norm() <= 1e-5 * matrix.norm()
    ((up, down),) = adapter.factors
    assert up.norm().item() == pytest.approx(down.norm().item(), rel=1e-4)  # nothing overflows in half precision


def test_the_rank_is_a_limit_and_the_loss_is_told() -> None:
    matrix = decaying(60, 60)
    extraction = extract_lora([("a", matrix)], 4)
    assert extraction.rank == 4
    values = torch.linalg.svdvals(matrix).square()
    assert extraction.kept_share == pytest.approx(float(values[:4].sum() / values.sum()), rel=1e-4)


def test_a_rank_above_the_size_of_a_small_matrix_is_no_obstacle() -> None:
    extraction = extract_lora([("small", noise(4, 6)), ("large", noise(20, 20))], 10)
    assert extraction.rank == 10
    assert extraction.adapters["small"].factors[0][0].shape == (4, 4)


def test_global_random_numbers_are_left_alone() -> None:
    matrix = decaying(300, 200)
    state = torch.get_rng_state()
    first, second = nearest_factors(matrix, 8), nearest_factors(matrix, 8)
    assert torch.equal(first.up, second.up)
    assert torch.equal(torch.get_rng_state(), state)


def test_equal_models_have_nothing_to_save() -> None:
    with pytest.raises(ValueError, match="no difference"):
        extract_lora([("a", torch.zeros(4, 4))], 4)


def test_adapters_on_one_another_are_joined() -> None:
    weight = noise(12, 10)
    plain = Adapter("lora", 0.5, ((noise(12, 2), noise(2, 10)),), None)
    dora = plain._replace(magnitude=weight.norm(dim=1, keepdim=True))
    applied = [
        AppliedAdapter("a", AdapterWeights({"w": plain}), Strengths(0.7)),
        AppliedAdapter("b", AdapterWeights({"other": plain}), Strengths()),
        AppliedAdapter("c", AdapterWeights({"w": dora}), Strengths(1.0)),
    ]
    moved = weight + 0.7 * adapter_matrix(plain)
    changed = moved + adapter_matrix(plain)
    expected = changed / changed.norm(dim=1, keepdim=True) * dora.magnitude - weight
    assert torch.allclose(joined_change("w", weight, applied), expected, atol=1e-5)
    assert [repr(item) for item in applied][:1] == ["a x 0.7"]
    assert repr(AppliedAdapter("a", AdapterWeights({}), Strengths(1.0, 0.0))) == (
        "a x 1 (self-attention x 0, cross-attention x 1)"
    )


def test_an_oft_turns_what_the_adapters_before_it_made(generator: torch.Generator) -> None:
    weight, up, down = (torch.randn(shape, generator=generator) for shape in ((16, 12), (16, 2), (2, 12)))
    angle = torch.tensor(0.3)
    turn = torch.stack((torch.stack((angle.cos(), -angle.sin())), torch.stack((angle.sin(), angle.cos()))))
    lora = Adapter("lora", 0.5, ((up, down),), None)
    blocks: dict[AdapterKind, int] = {"oft": 8, "oft_inputs": 6}
    outputs, inputs = (Adapter(kind, 1.0, ((turn.expand(count, 2, 2),),), None) for kind, count in blocks.items())
    applied = [AppliedAdapter("a", AdapterWeights({"w": item}), Strengths()) for item in (lora, outputs, inputs)]
    rows, columns = torch.block_diag(*[turn] * 8), torch.block_diag(*[turn] * 6)
    expected = rows @ (weight + 0.5 * up @ down) @ columns - weight
    assert torch.allclose(joined_change("w", weight, applied), expected, atol=1e-5)
