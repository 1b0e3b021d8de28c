"""Waveform arithmetic against closed forms, numpy, and torch's own FFT."""

from __future__ import annotations

import math

import numpy
import pytest
import torch

from ace_core.audio import waveform as audio


def sine(frequency: float, rate: int, seconds: float = 0.5, amplitude: float = 0.5) -> torch.Tensor:
    time = torch.arange(int(rate * seconds), dtype=torch.float64) / rate
    return (amplitude * torch.sin(2 * math.pi * frequency * time)).to(torch.float32)[None, None]


@pytest.fixture
def noise() -> torch.Tensor:
    return torch.randn(3, 2, 4_800, generator=torch.Generator().manual_seed(0))


def test_the_rates_agree() -> None:
    assert audio.SAMPLE_RATE == audio.SAMPLES_PER_FRAME * audio.LATENT_FRAME_RATE
    assert audio.LATENT_FRAME_RATE % audio.CODE_RATE == 0


@pytest.mark.parametrize(
    ("seconds", "frames", "samples", "codes"),
    [
        (120, 3_000, 5_760_000, 600),
        (600, 15_000, 28_800_000, 3_000),
        (10, 250, 480_000, 50),
        (10.9, 272, 522_240, 54),
        (10.03, 250, 480_000, 50),
        (5.12, 128, 245_760, 25),
        (1, 128, 48_000, 5),
    ],
)
def test_frames_samples_and_codes_of_a_duration(seconds: float, frames: int, samples: int, codes: int) -> None:
    assert audio.latent_frames(seconds) == frames
    assert audio.sample_count(seconds) == samples
    assert audio.code_count(seconds) == codes


def test_good_audio_becomes_float32_and_keeps_its_values(noise: torch.Tensor) -> None:
    assert audio.validate_waveform(noise, 44_100) is noise
    converted = audio.validate_waveform(noise.double(), 44_100)
    assert converted.dtype == torch.float32
    assert torch.equal(converted, noise)


@pytest.mark.parametrize(
    ("waveform", "rate", "message"),
    [
        (None, 48_000, "there is no audio: it may come from"),
        (torch.zeros(2, 100), 48_000, r"\[batch, channels, samples\], got \[2, 100\]"),
        (torch.zeros(1, 2, 0), 48_000, r"the audio is empty, its shape is \[1, 2, 0\]"),
        (torch.tensor([[[0.0, math.nan]]]), 48_000, "NaN or infinite"),
        (torch.tensor([[[0.0, math.inf]]]), 48_000, "NaN or infinite"),
        (torch.zeros(1, 2, 4), 0, "above 0 Hz, got 0"),
        (torch.tensor([[[0.0, -1e30]]]), 48_000, r"reaches 1e\+30 where full scale is 1"),
        (torch.zeros(1, 2, 4, dtype=torch.uint8), 48_000, "PCM, got torch.uint8"),
    ],
)
def test_bad_audio_is_an_error(waveform: torch.Tensor | None, rate: int, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        audio.validate_waveform(waveform, rate)


@pytest.mark.parametrize(("dtype", "largest"), [(torch.int16, 2**15 - 1), (torch.int32, 2**31 - 1)])
def test_pcm_is_scaled_to_floats(dtype: torch.dtype, largest: int) -> None:
    pcm = torch.tensor([[[largest, -largest - 1, 0, largest // 2 + 1]]], dtype=dtype)
    floats = audio.validate_waveform(pcm, 48_000)
    assert floats.dtype == torch.float32
    assert torch.allclose(floats, torch.tensor([[[1.0, -1.0, 0.0, 0.5]]]), atol=2**-15, rtol=0)


def test_silence_is_flagged_per_item() -> None:
    waveform = torch.zeros(3, 2, 10)
    waveform[1, 1, 3] = -2e-6
    waveform[2] = 9e-7
    assert audio.silent_items(waveform) == [True, False, True]


def test_mono_becomes_two_equal_channels_and_stereo_stays(noise: torch.Tensor) -> None:
    stereo = audio.to_stereo(noise[:, :1])
    assert torch.equal(stereo, noise[:, [0, 0]])
    assert audio.to_stereo(noise) is noise


def test_more_than_two_channels_are_an_error() -> None:
    with pytest.raises(ValueError, match="mono or stereo, got 6 channels"):
        audio.to_stereo(torch.zeros(1, 6, 10))


@pytest.mark.parametrize("rate", [16_000, 22_050, 44_100, 96_000])
def test_resampling_keeps_a_tone_and_its_length(rate: int) -> None:
    resampled = audio.resample(sine(1_000, rate), rate)
    assert resampled.shape[-1] == 24_000
    middle = slice(2_000, 22_000)  # the filter's edges see silence before and after
    error = resampled[..., middle] - sine(1_000, 48_000)[..., middle]
    assert error.abs().max() < 2e-3


def test_resampling_down_removes_what_the_lower_rate_cannot_hold() -> None:
    resampled = audio.resample(sine(20_000, 48_000), 48_000, 16_000)
    assert resampled[..., 500:-500].abs().max() < 5e-3


def test_equal_rates_return_the_input_and_hopeless_rates_are_refused(noise: torch.Tensor) -> None:
    assert audio.resample(noise, 48_000) is noise
    with pytest.raises(ValueError, match="cannot convert 44101 Hz to 48000 Hz"):
        audio.resample(noise, 44_101)
    assert audio.resample(noise, 47_952).shape[-1] == math.ceil(4_800 * 48_000 / 47_952)


def test_levels_match_numpy(noise: torch.Tensor) -> None:
    samples = noise.double().numpy().reshape(3, -1)
    expected_peak = 20 * numpy.log10(numpy.abs(samples).max(axis=1))
    expected_rms = 20 * numpy.log10(numpy.sqrt((samples**2).mean(axis=1)))
    numpy.testing.assert_allclose(audio.peak_dbfs(noise).numpy(), expected_peak, atol=1e-4)
    numpy.testing.assert_allclose(audio.rms_dbfs(noise).numpy(), expected_rms, atol=1e-4)


def test_levels_of_known_signals() -> None:
    square = torch.ones(1, 2, 100)
    square[..., ::2] = -1
    assert audio.peak_dbfs(square).item() == audio.rms_dbfs(square).item() == 0
    assert audio.rms_dbfs(sine(1_000, 48_000, amplitude=1.0)).item() == pytest.approx(-3.0103, abs=1e-3)
    assert audio.peak_dbfs(torch.zeros(1, 2, 5)).item() == -math.inf
    assert audio.rms_dbfs(torch.zeros(1, 2, 5)).item() == -math.inf


def test_peak_normalisation_is_per_item_and_leaves_silence_alone(noise: torch.Tensor) -> None:
    waveform = noise * torch.tensor([0.01, 5.0, 1.0])[:, None, None]
    waveform[2] = 5e-7
    normalized = audio.peak_normalize(waveform)
    assert audio.peak_dbfs(normalized)[:2].tolist() == pytest.approx([-1.0, -1.0], abs=1e-4)
    assert torch.equal(normalized[2], waveform[2])
    assert torch.equal(audio.peak_normalize(waveform[1:2]), normalized[1:2])
    assert audio.peak_dbfs(audio.peak_normalize(waveform, -6.0))[0].item() == pytest.approx(-6.0, abs=1e-4)


def test_digital_silence_stays_digital_silence() -> None:
    silence = torch.zeros(2, 2, 10)
    assert torch.equal(audio.peak_normalize(silence), silence)
    assert torch.equal(audio.limit_peak(silence), silence)


def test_only_items_that_clip_are_divided_by_their_peak() -> None:
    waveform = torch.tensor([[[0.5, -2.0]], [[0.25, -0.5]]])
    assert audio.limit_peak(waveform).tolist() == [[[0.25, -1.0]], [[0.25, -0.5]]]


def test_crop_takes_the_range_and_refuses_to_leave_the_audio(noise: torch.Tensor) -> None:
    assert torch.equal(audio.crop(noise, 100, 50), noise[..., 100:150])
    assert torch.equal(audio.crop(noise, 0, 4_800), noise)
    for start, samples in ((-1, 10), (0, 0), (4_700, 101)):
        with pytest.raises(ValueError, match=f"cannot take {samples} samples from sample {start} of audio with 4800"):
            audio.crop(noise, start, samples)


def test_a_cross_fade_keeps_the_outside_and_the_power_inside() -> None:
    generator = torch.Generator().manual_seed(1)
    first, second = torch.randn(2, 1, 2, 300_000, generator=generator)
    joined = audio.crossfade(first, second, 200_000)
    assert joined.shape == (1, 2, 400_000)
    assert torch.equal(joined[..., :100_000], first[..., :100_000])
    assert torch.equal(joined[..., 300_000:], second[..., 200_000:])
    power = joined[..., 100_000:300_000].reshape(2, 10, 20_000).square().mean(dim=(0, 2))
    assert power.tolist() == pytest.approx([1.0] * 10, abs=0.05)


def test_the_middle_of_a_cross_fade_has_both_at_minus_3_db() -> None:
    first, second = torch.ones(1, 1, 101), torch.zeros(1, 1, 101)
    assert audio.crossfade(first, second, 101)[0, 0, 50].item() == pytest.approx(math.sqrt(0.5), abs=1e-6)
    assert audio.crossfade(second, first, 101)[0, 0, 50].item() == pytest.approx(math.sqrt(0.5), abs=1e-6)


def test_no_overlap_is_concatenation_and_too_much_is_an_error(noise: torch.Tensor) -> None:
    assert torch.equal(audio.crossfade(noise, noise, 0), torch.cat([noise, noise], dim=-1))
    with pytest.raises(ValueError, match="overlap must be 0 to 4800 samples, got 4801"):
        audio.crossfade(noise, noise, 4_801)
    with pytest.raises(ValueError, match="cannot cross-fade shapes"):
        audio.crossfade(noise, noise[:, :1], 10)


def test_decoded_silence_and_nan_are_refused_with_the_item() -> None:
    waveform = torch.ones(3, 2, 10)
    audio.check_audible(waveform)
    waveform[1] = 0
    with pytest.raises(ValueError, match="item 2 of 3 decoded to silence"):
        audio.check_audible(waveform)
    waveform[1] = 1
    waveform[2, 0, 4] = float("nan")
    with pytest.raises(ValueError, match="item 3 of 3 decoded to NaN"):
        audio.check_audible(waveform)
