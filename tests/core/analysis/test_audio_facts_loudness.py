"""Loudness and true peak against the reference signals of EBU Tech 3341, whose readings are published."""

from __future__ import annotations

import math

import pytest
import torch
from torch import Tensor

from ace_core.analysis import loudness
from ace_core.analysis.loudness import integrated_loudness, k_weighting, true_peak_dbtp

RATE = 48_000


def tone(seconds: float, dbfs: float, *, hertz: float = 1000.0, rate: int = RATE, degrees: float = 0.0) -> Tensor:
    """A stereo sine."""
    time = torch.arange(int(seconds * rate), dtype=torch.float64) / rate
    wave = 10 ** (dbfs / 20) * torch.sin(2 * math.pi * hertz * time + math.radians(degrees))
    return wave.float().expand(2, -1)


def faded(waveform: Tensor) -> Tensor:
    """With soft ends, so that the signal has no peaks but its own."""
    ramp = torch.linspace(0, 1, 2400)
    gains = torch.cat((ramp, torch.ones(waveform.shape[1] - 4800), ramp.flip(0)))
    return waveform * gains


@pytest.mark.parametrize(
    ("pieces", "lufs"),
    [
        ([(20, -23)], -23.0),  # test case 1
        ([(20, -33)], -33.0),  # 2
        ([(10, -36), (60, -23), (10, -36)], -23.0),  # 3: the relative gate
        ([(10, -72), (10, -36), (60, -23), (10, -36), (10, -72)], -23.0),  # 4: both gates
        ([(20, -26), (20.1, -20), (20, -26)], -23.0),  # 5
    ],
)
def test_integrated_loudness_reads_as_ebu_tech_3341_says(pieces: list[tuple[float, float]], lufs: float) -> None:
    rate = 16_000  # the standard's tones, at a rate that is quick to filter
    waveform = torch.cat([tone(seconds, dbfs, rate=rate) for seconds, dbfs in pieces], dim=1)
    assert integrated_loudness(waveform, rate) == pytest.approx(lufs, abs=0.1)


@pytest.mark.parametrize("rate", [8000, 32_000, 44_100, 48_000, 96_000])
def test_a_tone_reads_alike_at_every_rate(rate: int) -> None:
    assert integrated_loudness(tone(3, -23, rate=rate), rate) == pytest.approx(-23.0, abs=0.1)


def test_the_filters_are_the_printed_ones_at_48_khz() -> None:
    shelf, high_pass = k_weighting(48_000)
    printed = (
        ((1.53512485958697, -2.69169618940638, 1.19839281085285), (1, -1.69065929318241, 0.73248077421585)),
        ((1.0, -2.0, 1.0), (1, -1.99004745483398, 0.99007225036621)),
    )
    for ours, theirs in zip((shelf, high_pass), printed, strict=True):
        for coefficients, expected in zip(ours, theirs, strict=True):
            assert coefficients.tolist() == pytest.approx(expected, abs=1e-9)


def test_loudness_follows_the_gain_even_above_full_scale() -> None:
    noise = 0.5 * torch.randn(2, 3 * RATE, generator=torch.Generator().manual_seed(0))
    quiet, loud = (integrated_loudness(gain * noise, RATE) for gain in (0.01, 1.0))
    assert quiet is not None and loud is not None
    assert loud - quiet == pytest.approx(40, abs=1e-3)


def test_a_chunk_begins_where_the_one_before_ended(monkeypatch: pytest.MonkeyPatch) -> None:
    noise = torch.randn(2, 5 * RATE + 77, generator=torch.Generator().manual_seed(1)) * 0.1
    whole = integrated_loudness(noise, RATE)
    monkeypatch.setattr(loudness, "_CHUNK_SECONDS", 1)
    assert integrated_loudness(noise, RATE) == pytest.approx(whole, abs=1e-9)


def test_mono_is_one_loudspeaker() -> None:
    stereo = tone(2, -23)
    mono = integrated_loudness(stereo[:1], RATE)
    assert mono == pytest.approx(-26.0, abs=0.1)


def test_silence_and_short_sounds() -> None:
    assert integrated_loudness(torch.zeros(2, RATE), RATE) == -math.inf
    assert integrated_loudness(tone(0.39, -10), RATE) is None
    assert integrated_loudness(tone(0.41, -23), RATE) == pytest.approx(-23.0, abs=0.3)
    assert integrated_loudness(tone(2, -80), RATE) == -math.inf
    assert true_peak_dbtp(torch.zeros(2, RATE)) == -math.inf


@pytest.mark.parametrize(
    ("hertz", "degrees"),
    [(12_000, 0), (12_000, 45), (8000, 60), (6000, 67.5)],  # test cases 15 to 18
)
def test_the_true_peak_of_tones_reads_as_ebu_tech_3341_says(hertz: float, degrees: float) -> None:
    waveform = faded(tone(1, -6.0206, hertz=hertz, degrees=degrees))
    assert -6.4 <= true_peak_dbtp(waveform) <= -5.8
    assert true_peak_dbtp(waveform) == pytest.approx(-6.02, abs=0.01)


def test_a_true_peak_lies_between_the_samples() -> None:
    waveform = faded(tone(1, 0, hertz=12_000, degrees=45))
    assert float(waveform.abs().max()) == pytest.approx(0.7071, abs=1e-3)
    assert true_peak_dbtp(waveform) == pytest.approx(0.0, abs=0.01)


def test_the_peak_may_be_anywhere() -> None:
    for place in (0, 5, 262_143, 262_144, 299_999):
        waveform = torch.zeros(2, 300_000)
        waveform[1, place] = -0.5
        assert true_peak_dbtp(waveform) == pytest.approx(-6.02, abs=0.01)


def test_a_burst_has_one_true_peak_wherever_it_is() -> None:
    burst = tone(0.01, 0, hertz=12_000, degrees=45)[:, :24] * torch.hann_window(24, periodic=False)
    peaks = []
    for place in (1000, *range(262_144 - 40, 262_144 + 8, 4)):
        waveform = torch.zeros(2, 300_000)
        waveform[:, place : place + 24] = burst
        peaks.append(true_peak_dbtp(waveform))
    assert peaks == pytest.approx([peaks[0]] * len(peaks), abs=1e-5)
    assert peaks[0] > 20 * math.log10(float(burst.abs().max())) + 1
