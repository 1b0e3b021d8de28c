"""Spectrogram and waveform pictures: where tones, silence and peaks are drawn."""

from __future__ import annotations

import math

import pytest
import torch
from torch import Tensor

from ace_core.analysis.pictures import HIGHEST_HZ, spectrogram_picture, waveform_picture

RATE = 48_000


def tone(hertz: float, seconds: float, rate: int = RATE) -> Tensor:
    return torch.sin(2 * math.pi * hertz * torch.arange(int(seconds * rate)) / rate)[None]


def brightness(picture: Tensor) -> Tensor:
    return picture.mean(dim=2)


def mel(hertz: float) -> float:
    return 2595 * math.log10(1 + hertz / 700)


@pytest.mark.parametrize("hertz", [110, 440, 2000, 12_000])
def test_a_tone_is_a_line_at_its_height(hertz: float) -> None:
    picture = spectrogram_picture(tone(hertz, 2), RATE, width=64, height=200)
    assert picture.shape == (200, 64, 3) and picture.dtype == torch.float32
    assert 0 <= picture.min() and picture.max() <= 1
    from_bottom = 199 - int(brightness(picture)[:, 32].argmax())
    assert from_bottom == pytest.approx(200 * mel(hertz) / mel(HIGHEST_HZ), abs=3)


def test_noise_is_equally_bright_at_all_heights() -> None:
    noise = torch.randn(1, 4 * RATE, generator=torch.Generator().manual_seed(1))
    rows = brightness(spectrogram_picture(noise, RATE, width=32, height=128)).mean(dim=1)
    assert float(rows[:32].mean()) == pytest.approx(
        float(rows[-32:].mean()), abs=0.02
    )  # 0.16 where filters are not normalised


def test_time_goes_to_the_right() -> None:
    waveform = torch.cat((torch.zeros(1, RATE), tone(1000, 1)), dim=1)
    columns = brightness(spectrogram_picture(waveform, RATE, width=100, height=50)).mean(dim=0)
    assert columns[:45].max() < 0.05 < 0.1 < columns[55:].min()


@pytest.mark.parametrize(("samples", "rate"), [(1, 48_000), (100, 8000), (RATE * 61, RATE)])
def test_any_length_fills_the_picture(samples: int, rate: int) -> None:
    waveform = 0.5 * torch.ones(2, samples)
    assert spectrogram_picture(waveform, rate, width=300, height=256).isfinite().all()
    assert waveform_picture(waveform, width=300, height=256).shape == (256, 300, 3)


def test_silence_is_dark() -> None:
    silent = spectrogram_picture(torch.zeros(2, RATE), RATE, width=40, height=30)
    assert silent.shape == (30, 40, 3) and brightness(silent).max() < 0.1
    lanes = waveform_picture(torch.zeros(2, RATE), width=40, height=40)
    assert len(lanes.flatten(0, 1).unique(dim=0)) == 2  # background and middle lines


def test_the_waveform_reaches_its_peaks() -> None:
    waveform = torch.cat((tone(100, 1), 0.25 * tone(100, 1)), dim=1)
    picture = waveform_picture(waveform, width=100, height=101)
    wave = picture[50, 10]
    heights = (picture == wave).all(dim=2).sum(dim=0)
    assert heights[10] == pytest.approx(101, abs=2)
    assert heights[90] == pytest.approx(26, abs=2)


def test_each_channel_has_a_lane() -> None:
    waveform = torch.cat((tone(100, 1), torch.zeros(1, RATE)))
    picture = waveform_picture(waveform, width=50, height=100)
    wave = (picture == picture[10, 25]).all(dim=2)
    assert wave[:50].float().mean() > 0.9 and not wave[50:].any()
