"""Windows of reference audio: where they are taken from. A counting waveform shows its own positions."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor

from ace_core.audio.reference import REFERENCE_SECONDS, WINDOW_SAMPLES, reference_windows
from ace_core.audio.waveform import SAMPLE_RATE


def counting(samples: int) -> Tensor:
    """Sample i of the left channel is i, of the right -i."""
    count = torch.arange(samples, dtype=torch.float64)
    return torch.stack((count, -count))


def window_starts(windows: Tensor) -> list[int]:
    """Where each of the three windows begins, after checking that it runs on from there."""
    assert windows.shape == (2, REFERENCE_SECONDS * SAMPLE_RATE)
    assert torch.equal(windows[1], -windows[0])
    starts = []
    for window in windows[0].split(WINDOW_SAMPLES):
        assert torch.equal(window - window[0], torch.arange(WINDOW_SAMPLES, dtype=window.dtype))
        starts.append(int(window[0]))
    return starts


@pytest.mark.parametrize("samples", [30 * SAMPLE_RATE, 41 * SAMPLE_RATE + 1])
def test_fixed_windows_are_the_beginning_the_second_third_and_the_end(samples: int) -> None:
    starts = window_starts(reference_windows(counting(samples)))
    assert starts == [0, samples // 3, samples - WINDOW_SAMPLES]


def test_seeded_windows_lie_within_their_thirds() -> None:
    samples = 41 * SAMPLE_RATE
    third = samples // 3
    seen = set()
    for seed in (0, 1, 2**64 - 1):
        starts = window_starts(reference_windows(counting(samples), seed))
        for index, start in enumerate(starts):
            assert index * third <= start <= (index + 1) * third - WINDOW_SAMPLES
        seen.add(tuple(starts))
        assert window_starts(reference_windows(counting(samples), seed)) == starts
    assert len(seen) == 3


@pytest.mark.parametrize("seed", [None, 5])
def test_exactly_thirty_seconds_are_taken_whole(seed: int | None) -> None:
    waveform = counting(30 * SAMPLE_RATE)
    assert torch.equal(reference_windows(waveform, seed), waveform)


@pytest.mark.parametrize("seed", [None, 5])
def test_short_audio_is_repeated(seed: int | None) -> None:
    waveform = counting(7 * SAMPLE_RATE)
    windows = reference_windows(waveform, seed)
    assert windows.shape == (2, REFERENCE_SECONDS * SAMPLE_RATE)
    assert torch.equal(windows, reference_windows(waveform.repeat(1, 5), seed))  # 35 s
    assert set(windows[0].unique().tolist()) == set(range(7 * SAMPLE_RATE))


def test_the_global_generator_is_left_alone() -> None:
    before = torch.get_rng_state()
    reference_windows(counting(31 * SAMPLE_RATE), 3)
    assert torch.equal(torch.get_rng_state(), before)
