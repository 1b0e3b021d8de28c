"""Surround to stereo: the usual orders, the levels of BS.775, and what nobody can know."""

from __future__ import annotations

import pytest
import torch

from ace_core.audio.downmix import downmixed


def gains(channels: int, *names: str) -> list[list[float]]:
    """What each channel adds to left and right."""
    found: list[list[float]] = downmixed(torch.eye(channels), names).T.tolist()
    return [[round(gain, 3) for gain in pair] for pair in found]


LEFT, RIGHT, CENTRE, NOTHING = [1.0, 0.0], [0.0, 1.0], [0.707, 0.707], [0.0, 0.0]
BACK_LEFT, BACK_RIGHT, BEHIND = [0.707, 0.0], [0.0, 0.707], [0.5, 0.5]


@pytest.mark.parametrize(
    ("channels", "expected"),
    [
        (3, [LEFT, RIGHT, CENTRE]),
        (4, [LEFT, RIGHT, BACK_LEFT, BACK_RIGHT]),
        (5, [LEFT, RIGHT, CENTRE, BACK_LEFT, BACK_RIGHT]),
        (6, [LEFT, RIGHT, CENTRE, NOTHING, BACK_LEFT, BACK_RIGHT]),
        (7, [LEFT, RIGHT, CENTRE, NOTHING, BEHIND, BACK_LEFT, BACK_RIGHT]),
        (8, [LEFT, RIGHT, CENTRE, NOTHING, BACK_LEFT, BACK_RIGHT, BACK_LEFT, BACK_RIGHT]),
    ],
)
def test_channels_without_names_have_the_usual_order(channels: int, expected: list[list[float]]) -> None:
    assert gains(channels) == expected


def test_names_count_before_the_usual_order() -> None:
    assert gains(4, "FL", "FR", "FC", "BC") == [LEFT, RIGHT, CENTRE, BEHIND]
    assert gains(3, "FL", "FR", "LFE") == [LEFT, RIGHT, NOTHING]


def test_mono_and_stereo_stay_the_same_tensor() -> None:
    for channels in (1, 2):
        waveform = torch.zeros(1, channels, 8)
        assert downmixed(waveform) is waveform


def test_each_item_of_a_batch_is_mixed_alone() -> None:
    batch = torch.randn(3, 6, 50, generator=torch.Generator().manual_seed(0))
    mixed = downmixed(batch)
    assert mixed.shape == (3, 2, 50)
    assert all(torch.equal(mixed[item], downmixed(batch[item])) for item in range(3))


@pytest.mark.parametrize(("channels", "names"), [(9, ()), (6, ("FL", "FR")), (3, ("FL", "FR", "AMBI0"))])
def test_what_nobody_knows_is_refused(channels: int, names: tuple[str, ...]) -> None:
    with pytest.raises(ValueError, match=f"has {channels} channels, and nobody knows which is where"):
        downmixed(torch.zeros(channels, 4), names)
