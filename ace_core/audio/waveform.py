"""Waveform arithmetic and the rates every stage agrees on.

Waveforms are float tensors ``[B, C, T]`` (batch, channels, samples) with a nominal range of -1..1. All functions work
per batch item, so item i of a batch is what item i alone would give.

The frame rule is the published handler's: ``max(128, int(seconds * 48000) // 1920)``. It rounds down, so a decoded
waveform can be up to 39 ms shorter than the duration asked for, and below 5.12 s it is longer: ``sample_count`` is what
is delivered in both cases.
"""

from __future__ import annotations

import math

import torch
import torchaudio.functional

SAMPLE_RATE = 48_000
SAMPLES_PER_FRAME = 1_920  # product of the VAE's strides 2, 4, 4, 6, 10
LATENT_FRAME_RATE = 25  # SAMPLE_RATE / SAMPLES_PER_FRAME
LATENT_CHANNELS = 64
CODE_RATE = 5  # LATENT_FRAME_RATE / 5: the audio tokenizer pools five frames into one code
MIN_LATENT_FRAMES = 128
MIN_DURATION_SECONDS = 10
MAX_DURATION_SECONDS = 600

SILENCE_AMPLITUDE = 1e-6
MAX_AMPLITUDE = 1e6
MAX_RESAMPLING_KERNEL = 64_000_000  # elements of torchaudio's filter bank; 48000 from 44101 Hz would need 2.1e9

_PCM_FULL_SCALE = {torch.int16: 2.0**15, torch.int32: 2.0**31}


def latent_frames(duration_seconds: float) -> int:
    """Latent frames rendered for a duration: 25 a second, rounded down, at least 128."""
    return max(MIN_LATENT_FRAMES, int(duration_seconds * SAMPLE_RATE) // SAMPLES_PER_FRAME)


def sample_count(duration_seconds: float) -> int:
    """Samples delivered for a duration: what was asked for, or all that the latent frames decode to if that is less."""
    return min(int(duration_seconds * SAMPLE_RATE), latent_frames(duration_seconds) * SAMPLES_PER_FRAME)


def source_frames(samples: int) -> int:
    """Latent frames that hold this many samples: rounded up, at least 128."""
    return max(MIN_LATENT_FRAMES, -(-samples // SAMPLES_PER_FRAME))


def code_count(duration_seconds: float) -> int:
    """Audio codes that cover a duration: 5 a second, rounded down."""
    return int(duration_seconds * CODE_RATE)


def validate_waveform(waveform: torch.Tensor | None, sample_rate: int) -> torch.Tensor:
    """Check audio that comes from outside and return it as float32 ``[B, C, T]`` on its own device.

    Whole numbers are taken as PCM: their largest value is full scale.

    Raises:
        ValueError: there is no audio, the rank is not 3, it is empty, it holds NaN, Inf or a sample that no recording
            has, its numbers are of another kind, or the rate is not positive.
    """
    if waveform is None:
        raise ValueError("there is no audio: it may come from a video without sound")
    if waveform.ndim != 3:
        raise ValueError(f"audio must have the shape [batch, channels, samples], got {list(waveform.shape)}")
    if waveform.numel() == 0:
        raise ValueError(f"the audio is empty, its shape is {list(waveform.shape)}: choose a file with sound in it")
    if sample_rate <= 0:
        raise ValueError(f"the sample rate must be above 0 Hz, got {sample_rate}")
    waveform = _float_samples(waveform.detach() if waveform.requires_grad else waveform)
    lowest, highest = (bound.item() for bound in torch.aminmax(waveform))
    if not (math.isfinite(lowest) and math.isfinite(highest)):
        raise ValueError("the audio holds NaN or infinite samples: what made it is broken")
    if max(-lowest, highest) > MAX_AMPLITUDE:
        raise ValueError(f"the audio reaches {max(-lowest, highest):g} where full scale is 1: what made it is broken")
    return waveform


def _float_samples(waveform: torch.Tensor) -> torch.Tensor:
    if torch.is_floating_point(waveform):
        return waveform.to(torch.float32)
    full_scale = _PCM_FULL_SCALE.get(waveform.dtype)
    if full_scale is None:
        raise ValueError(f"audio must be floats, 16 or 32 bit PCM, got {waveform.dtype}")
    return (waveform.to(torch.float64) / full_scale).to(torch.float32)


def silent_items(waveform: torch.Tensor) -> list[bool]:
    """Which items of ``[B, C, T]`` hold no sample of 1e-6 or more (the published handler's test for silence)."""
    flags: list[bool] = (peak_amplitude(waveform) < SILENCE_AMPLITUDE).tolist()
    return flags


def check_audible(waveform: torch.Tensor) -> None:
    """Refuse decoded audio ``[B, C, T]`` that is no music.

    Raises:
        ValueError: an item holds NaN or infinite samples, or is silent throughout.
    """
    for item, silent in enumerate(silent_items(waveform)):
        problem = "silence" if silent else "NaN or infinite samples"
        if silent or not torch.isfinite(waveform[item]).all():
            raise ValueError(
                f"item {item + 1} of {len(waveform)} decoded to {problem}: the latents or the VAE are broken; load the "
                "models as bfloat16 or float32, or try another checkpoint"
            )


def to_stereo(waveform: torch.Tensor) -> torch.Tensor:
    """Turn ``[B, 1, T]`` into two equal channels and pass ``[B, 2, T]`` through.

    Raises:
        ValueError: more than two channels; a silent downmix would change the balance.
    """
    channels = waveform.shape[1]
    if channels == 2:
        return waveform
    if channels == 1:
        return waveform.expand(-1, 2, -1)
    raise ValueError(f"audio must be mono or stereo, got {channels} channels: mix it down to stereo first")


def resample(waveform: torch.Tensor, from_rate: int, to_rate: int = SAMPLE_RATE) -> torch.Tensor:
    """Band-limited resampling of ``[B, C, T]`` from one rate in Hz to another; equal rates return the input itself.

    Raises:
        ValueError: the two rates have so small a common divisor that the filter bank would not fit in memory.
    """
    if from_rate == to_rate:
        return waveform
    divisor = math.gcd(from_rate, to_rate)
    if (from_rate // divisor) * (to_rate // divisor) > MAX_RESAMPLING_KERNEL:
        raise ValueError(
            f"cannot convert {from_rate} Hz to {to_rate} Hz: the rates have no useful common divisor; "
            "save the audio at an ordinary rate such as 44100 or 48000 Hz first"
        )
    resampled: torch.Tensor = torchaudio.functional.resample(waveform, from_rate, to_rate)
    return resampled


def peak_amplitude(waveform: torch.Tensor) -> torch.Tensor:
    """The largest absolute sample of each item: ``[B, C, T]`` to ``[B]``."""
    return waveform.abs().amax(dim=(1, 2))


def peak_dbfs(waveform: torch.Tensor) -> torch.Tensor:
    """The peak of each item in dB relative to full scale, ``[B]``; digital silence is minus infinity."""
    return 20 * torch.log10(peak_amplitude(waveform))


def rms_dbfs(waveform: torch.Tensor) -> torch.Tensor:
    """The root mean square of each item over all channels in dBFS, ``[B]``; a full-scale square wave is 0."""
    mean_square = waveform.to(torch.float64).square().mean(dim=(1, 2))
    return (10 * torch.log10(mean_square)).to(waveform.dtype)


def peak_normalize(waveform: torch.Tensor, peak_dbfs: float = -1.0) -> torch.Tensor:
    """Scale each item of ``[B, C, T]`` so that its peak is ``peak_dbfs``; an item below 1e-6 stays as it is."""
    peak = peak_amplitude(waveform)
    gain = torch.where(peak < SILENCE_AMPLITUDE, 1.0, 10 ** (peak_dbfs / 20) / peak)
    return waveform * gain[:, None, None]


def limit_peak(waveform: torch.Tensor) -> torch.Tensor:
    """Divide each item of ``[B, C, T]`` whose peak is above 1 by that peak; quieter items stay bit for bit."""
    return waveform / peak_amplitude(waveform).clamp(min=1.0)[:, None, None]


def crop(waveform: torch.Tensor, start_sample: int, samples: int) -> torch.Tensor:
    """The part ``[start_sample, start_sample + samples)`` of ``[B, C, T]``, as a view.

    Raises:
        ValueError: the range is empty or leaves the waveform; nothing is padded.
    """
    available = waveform.shape[-1]
    if start_sample < 0 or samples <= 0 or start_sample + samples > available:
        raise ValueError(f"cannot take {samples} samples from sample {start_sample} of audio with {available} samples")
    return waveform[..., start_sample : start_sample + samples]


def crossfade(first: torch.Tensor, second: torch.Tensor, overlap_samples: int) -> torch.Tensor:
    """Join two waveforms ``[B, C, T1]`` and ``[B, C, T2]`` into ``[B, C, T1 + T2 - overlap_samples]``.

    The gains are the cosine and sine of a quarter turn (equal power), right for uncorrelated material.

    Raises:
        ValueError: the overlap is longer than one of the two, or the batch or channels differ.
    """
    if first.shape[:2] != second.shape[:2]:
        raise ValueError(f"cannot cross-fade shapes {list(first.shape)} and {list(second.shape)}")
    shortest = min(first.shape[-1], second.shape[-1])
    if not 0 <= overlap_samples <= shortest:
        raise ValueError(f"the overlap must be 0 to {shortest} samples, got {overlap_samples}")
    join = first.shape[-1] - overlap_samples
    position = (torch.arange(overlap_samples, device=first.device, dtype=first.dtype) + 0.5) / max(overlap_samples, 1)
    angle = position * (math.pi / 2)
    blend = first[..., join:] * angle.cos() + second[..., :overlap_samples] * angle.sin()
    return torch.cat([first[..., :join], blend, second[..., overlap_samples:]], dim=-1)
