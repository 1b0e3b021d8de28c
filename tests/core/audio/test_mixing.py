"""The mixer: sums, gain, balance, mute, and the level of the result."""

from __future__ import annotations

import math

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from ace_core.audio.mixing import Channel, channel_gains, lowered_to_full_scale, mix

repeatable = settings(deadline=None, derandomize=True)


def stem(seed: int, items: int = 1, samples: int = 50) -> Tensor:
    return torch.randn(items, 2, samples, generator=torch.Generator().manual_seed(seed))


def test_untouched_stems_add_up() -> None:
    stems = [stem(seed) for seed in range(3)]
    assert torch.equal(mix(stems, [Channel()] * 3), stems[0] + stems[1] + stems[2])


def test_the_mix_is_as_long_as_the_longest_stem() -> None:
    short, long = stem(0, samples=20), stem(1, samples=50)
    mixed = mix([short, long], [Channel()] * 2)
    assert torch.equal(mixed[..., :20], short + long[..., :20])
    assert torch.equal(mixed[..., 20:], long[..., 20:])


def test_one_item_serves_all() -> None:
    band, voice = stem(0, items=3), stem(1)
    mixed = mix([band, voice], [Channel()] * 2)
    assert torch.equal(mixed, band + voice)
    assert torch.equal(mix([voice, band], [Channel()] * 2), mixed)


@repeatable
@given(st.floats(-60, 24), st.floats(-1, 1))
def test_gain_is_in_decibels_and_pan_fades_the_far_side_only(gain_db: float, pan: float) -> None:
    left, right = channel_gains(Channel(gain_db, pan)).tolist()
    level = 10 ** (gain_db / 20)
    near, far = (left, right) if pan < 0 else (right, left)
    assert near == pytest.approx(level, rel=1e-5)
    assert far == pytest.approx(level * (1 - abs(pan)), rel=1e-5, abs=1e-7)


def test_gain_and_pan_reach_the_mix() -> None:
    voice = stem(1)
    mixed = mix([voice], [Channel(gain_db=20 * math.log10(2), pan=-0.75)])
    torch.testing.assert_close(mixed, voice * torch.tensor([[2.0], [0.5]]))


def test_muted_stems_are_not_heard() -> None:
    assert torch.equal(mix([stem(0), stem(1)], [Channel(mute=True), Channel()]), stem(1))


@pytest.mark.parametrize(
    ("stems", "channels", "message"),
    [
        ([], [], "there is no stem"),
        ([stem(0), stem(1)], [Channel(mute=True)] * 2, "all of the 2 stems are muted"),
        ([stem(0, items=2), stem(1, items=3)], [Channel()] * 2, "stems of 2 and 3 items cannot be mixed"),
        ([stem(0)], [Channel(pan=1.5)], "pan must be -1 .left. to 1 .right., got 1.5"),
    ],
)
def test_what_cannot_be_mixed(stems: list[Tensor], channels: list[Channel], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        mix(stems, channels)


def test_only_what_would_clip_is_lowered_and_it_says_by_how_much() -> None:
    loud, quiet = torch.tensor([[0.5, -2.0], [1.0, 0.0]]), torch.tensor([[0.1, -0.2], [1.0, 0.0]])
    lowered, decibels = lowered_to_full_scale(torch.stack((loud, quiet)))
    assert torch.equal(lowered, torch.stack((loud / 2, quiet)))
    assert decibels == pytest.approx([6.0206, 0.0], abs=1e-4)
