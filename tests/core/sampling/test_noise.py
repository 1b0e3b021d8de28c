"""Seeds and noise against diffusers' per-item generators."""

from __future__ import annotations

import math

import pytest
import torch
from diffusers.utils.torch_utils import randn_tensor

from ace_core.sampling.noise import Variation, initial_noise, item_seeds, step_noise, varied_noise

LARGEST = 2**64 - 1


def test_items_count_up_and_wrap() -> None:
    assert item_seeds(7, 3) == (7, 8, 9)
    assert item_seeds(LARGEST, 3) == (LARGEST, 0, 1)
    assert item_seeds([5, 5, 2], 3) == (5, 5, 2)


@pytest.mark.parametrize(
    ("seed", "message"),
    [
        (-1, "got -1"),
        (2**64, "0 to 18446744073709551615, got 18446744073709551616"),
        ([1, 2**64], "got 18446744073709551616"),
        ([1, 2, 3], "got 3 seeds for a batch of 2"),
        ([1], "got 1 seeds for a batch of 2"),
    ],
)
def test_wrong_seeds_are_named(seed: int | list[int], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        item_seeds(seed, 2)


@pytest.mark.parametrize("seeds", [(0, 1, 2), (2**63 - 1, 2**63, LARGEST), (42,)])
def test_noise_is_what_a_generator_an_item_gives(seeds: tuple[int, ...]) -> None:
    generators = [torch.Generator().manual_seed(seed) for seed in seeds]
    theirs = randn_tensor((len(seeds), 131, 64), generator=generators, dtype=torch.float32)
    assert torch.equal(initial_noise(seeds, 131), theirs)


def test_noise_can_be_drawn_in_the_models_dtype() -> None:
    theirs = torch.randn(1, 131, 64, generator=torch.Generator().manual_seed(3), dtype=torch.bfloat16)
    ours = initial_noise([3], 131, dtype=torch.bfloat16)
    assert ours.dtype == torch.float32
    assert torch.equal(ours, theirs.float())


def test_step_noise_belongs_to_item_and_step() -> None:
    batch = step_noise((10, 11, 12), 4, 131)
    assert torch.equal(batch[1:2], step_noise((11,), 4, 131))

    # No two of neighbouring items, neighbouring steps and the initial noise are the same or alike.
    draws = [step_noise((seed,), step, 131) for seed in (10, 11, LARGEST) for step in (0, 1, 2)]
    draws += [initial_noise((seed,), 131) for seed in (10, 11, 12, 13)]
    correlation = torch.corrcoef(torch.cat(draws).flatten(1)) - torch.eye(len(draws))
    assert correlation.abs().max() < 0.06
    assert abs(float(torch.cat(draws).std()) - 1) < 0.01


def test_a_variation_turns_the_noise_of_each_item_towards_that_of_its_other_seed() -> None:
    noise, others = initial_noise((1, 2), 2000), initial_noise((31, 32), 2000)
    assert torch.equal(varied_noise(noise, Variation((31, 32), 0.0)), noise)
    assert torch.equal(varied_noise(noise, Variation((31, 32), 1.0)), others)
    for strength in (0.1, 0.5, 0.9):
        varied = varied_noise(noise, Variation((31, 32), strength))
        assert torch.equal(varied_noise(noise[1:], Variation((32,), strength))[0], varied[1])
        assert varied.std().item() == pytest.approx(1, abs=0.01)
        angle = math.radians(90 * strength)
        assert (varied * noise).mean().item() == pytest.approx(math.cos(angle), abs=0.01)
        assert (varied * others).mean().item() == pytest.approx(math.sin(angle), abs=0.01)


def test_a_variation_turns_the_noise_of_steps_too() -> None:
    assert torch.equal(step_noise((1, 2), 3, 131, Variation((31, 32), 0.0)), step_noise((1, 2), 3, 131))
    assert torch.equal(step_noise((1, 2), 3, 131, Variation((31, 32), 1.0)), step_noise((31, 32), 3, 131))


@pytest.mark.parametrize(
    ("variation", "message"),
    [
        (Variation((1,), 0.5), "got 1 variation seeds for a batch of 2"),
        (Variation((1, 2), 1.01), "variation strength must be 0 to 1, got 1.01"),
        (Variation((1, 2), -0.5), "variation strength must be 0 to 1, got -0.5"),
    ],
)
def test_wrong_variations_are_named(variation: Variation, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        varied_noise(initial_noise((5, 6), 131), variation)


def test_the_global_generator_is_left_alone() -> None:
    before = torch.get_rng_state()
    initial_noise((1, 2), 131)
    step_noise((1, 2), 0, 131, Variation((3, 4), 0.5))
    assert torch.equal(torch.get_rng_state(), before)
