"""Noise levels, the order of the clips, and what is drawn for each."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence

import pytest
import torch
from training_data import random_sample

from ace_core.checkpoints.variants import Variant
from ace_core.training.batches import batch_clips, batches_per_epoch, make_example
from ace_core.training.seeds import seeded
from ace_core.training.timesteps import condition_dropout, draw_level

PUBLISHED_TURBO = (1, 0.9545454545454546, 0.9, 0.8333333333333334, 0.75, 0.6428571428571429, 0.5, 0.3)
LENGTHS = (50, 50, 60, 50, 70, 60, 50)


@pytest.mark.parametrize(
    ("variant", "levels"),
    [
        ("turbo", PUBLISHED_TURBO),
        ("turbo-continuous", PUBLISHED_TURBO),
        ("turbo-shift1", [1 - step / 8 for step in range(8)]),
    ],
)
def test_turbo_sees_its_eight_levels_alike(variant: Variant, levels: Sequence[float]) -> None:
    counts = Counter(draw_level(variant, seeded(0, number)) for number in range(4000))
    assert sorted(counts, reverse=True) == pytest.approx(list(levels))
    assert min(counts.values()) > 400 and max(counts.values()) < 600


@pytest.mark.parametrize("kind", ["base", "sft"])
def test_base_and_sft_see_the_larger_of_two_logistic_normal_draws(kind: str) -> None:
    levels = torch.tensor([draw_level(kind, seeded(0, number)) for number in range(4000)])  # type: ignore[arg-type]
    generator = torch.Generator().manual_seed(5)
    expected = torch.sigmoid(torch.randn(100_000, 2, generator=generator) - 0.4).amax(dim=1)
    for share in (0.1, 0.25, 0.5, 0.75, 0.9):
        assert abs(levels.quantile(share) - expected.quantile(share)) < 0.02
    assert 0 < levels.min() and levels.max() <= 1


def test_only_models_with_guidance_drop_conditions() -> None:
    assert [condition_dropout(kind) for kind in ("turbo", "base", "sft")] == [0.0, 0.15, 0.15]


def test_every_epoch_shows_every_clip_once_and_in_another_order() -> None:
    count = batches_per_epoch(LENGTHS, 2)
    assert count == 2 + 1 + 1
    epochs = [[batch_clips(LENGTHS, 2, 3, epoch * count + place) for place in range(count)] for epoch in range(4)]
    for batches in epochs:
        assert sorted(clip for batch in batches for clip in batch) == list(range(len(LENGTHS)))
        assert all(len({LENGTHS[clip] for clip in batch}) == 1 for batch in batches)
    assert len({str(batches) for batches in epochs}) > 1
    assert batch_clips(LENGTHS, 2, 3, 9) == batch_clips(LENGTHS, 2, 3, 9)
    assert any(batch_clips(LENGTHS, 2, 4, index) != batch_clips(LENGTHS, 2, 3, index) for index in range(12))


def test_an_example_follows_from_its_generator() -> None:
    sample = random_sample(100, 0)
    options = {"max_frames": 40, "condition_dropout": 0.0}
    one, same, other = (
        make_example(sample, "turbo", seeded(1, "example", number), **options)  # type: ignore[arg-type]
        for number in (0, 0, 1)
    )
    assert torch.equal(one.noise, same.noise) and one.level == same.level and torch.equal(one.latents, same.latents)
    assert not torch.equal(one.noise, other.noise)


def test_a_window_cuts_latents_and_source_alike_wherever_it_lies() -> None:
    sample = random_sample(100, 0)._replace(latents=torch.arange(100.0)[:, None].expand(100, 64))
    sample = sample._replace(source=-sample.latents)
    starts = set()
    for number in range(300):
        example = make_example(sample, "base", seeded(number), max_frames=40, condition_dropout=0.0)
        assert len(example.latents) == 40 == len(example.noise)
        assert torch.equal(example.source, -example.latents)
        starts.add(int(example.latents[0, 0]))
    assert min(starts) == 0 and max(starts) == 60
    whole = make_example(sample, "base", seeded(0), max_frames=100, condition_dropout=0.0)
    assert torch.equal(whole.latents, sample.latents)


def test_conditions_are_dropped_as_often_as_asked() -> None:
    sample = random_sample(4, 0)
    examples = [make_example(sample, "base", seeded(n), max_frames=4, condition_dropout=0.15) for n in range(2000)]
    assert abs(sum(example.packed is None for example in examples) / 2000 - 0.15) < 0.03
