"""Loudness and true peak by ITU-R BS.1770-5, as EBU R 128 uses them.

- Integrated loudness: K-weighted mean square of blocks of 400 ms every 100 ms, gated at -70 LUFS and then at 10 LU
  below the mean of what is left.
- True peak: the largest value of the signal between its samples, found at four times the rate.

Traps:
- torchaudio's `loudness` is not used: its filters clip at full scale, which the weighting of loud music passes, its
  coefficients are approximations, and it answers NaN for silence.
- The standard prints its filters for 48 kHz only. Here they are computed for each rate from the analogue filters behind
  them; at 48 kHz they equal the printed ones.
- The high-pass has its poles at 0.995, where single precision is audible in the result: the filters run in double.
"""

from __future__ import annotations

import math
from collections.abc import Iterator

import torch
import torchaudio.functional
from torch import Tensor
from torch.nn import functional as F

BLOCK_SECONDS = 0.4
HOPS_PER_BLOCK = 4
ABSOLUTE_GATE_LUFS = -70.0
RELATIVE_GATE_LU = -10.0
PEAK_OVERSAMPLING = 4
TRUE_PEAK_TAPS = 32  # of each phase; BS.1770's own filter has 12 and reads low near half the rate

_KAISER_BETA = 8.0
_CHUNK_SECONDS = 20
_SAMPLES_AT_ONCE = 1 << 18
_SETTLING_SECONDS = 0.5  # by then the filters have forgotten where a chunk began, to double precision


def integrated_loudness(waveform: Tensor, sample_rate: int) -> float | None:
    """Integrated loudness in LUFS of a waveform [C, T], mono or stereo; minus infinity where nothing passes the gate.

    A mono waveform is measured as one loudspeaker, 3 dB below the same signal in both channels.

    Returns:
        None if it is shorter than a block of 400 ms.
    """
    hop = round(BLOCK_SECONDS * sample_rate / HOPS_PER_BLOCK)
    hops = torch.cat([_hop_energies(chunk, hop) for chunk in _weighted_chunks(waveform, sample_rate, hop)])
    if len(hops) < HOPS_PER_BLOCK:
        return None
    blocks = hops.unfold(0, HOPS_PER_BLOCK, 1).mean(dim=1)
    loud = blocks[_lufs(blocks) > ABSOLUTE_GATE_LUFS]
    if len(loud):
        loud = loud[_lufs(loud) > _lufs(loud.mean()) + RELATIVE_GATE_LU]
    return float(_lufs(loud.mean())) if len(loud) else -math.inf


def true_peak_dbtp(waveform: Tensor) -> float:
    """True peak of a waveform [C, T] in dB relative to full scale; minus infinity for digital silence."""
    taps = _interpolation_filter().to(waveform)
    half = TRUE_PEAK_TAPS // 2
    padded = F.pad(waveform[:, None], (half, half))
    peak = float(waveform.abs().max())
    for start in range(0, waveform.shape[1], _SAMPLES_AT_ONCE):
        between = F.conv1d(padded[..., start : start + _SAMPLES_AT_ONCE + TRUE_PEAK_TAPS], taps)
        peak = max(peak, float(between.abs().max()))
    return 20 * math.log10(peak) if peak > 0 else -math.inf


def _lufs(mean_square: Tensor) -> Tensor:
    return -0.691 + 10 * torch.log10(mean_square)


def _hop_energies(weighted: Tensor, hop: int) -> Tensor:
    """Mean square summed over the channels, of each whole hop of [C, T]."""
    hops = weighted.shape[1] // hop
    return weighted[:, : hops * hop].reshape(len(weighted), hops, hop).square().mean(dim=2).sum(dim=0)


def _weighted_chunks(waveform: Tensor, sample_rate: int, hop: int) -> Iterator[Tensor]:
    """K-weighted pieces of whole hops, in double; the last one has what is left."""
    chunk = hop * round(_CHUNK_SECONDS * sample_rate / hop)
    settling = round(_SETTLING_SECONDS * sample_rate)
    filters = k_weighting(sample_rate)
    for start in range(0, waveform.shape[1], chunk):
        before = min(start, settling)
        piece = waveform[:, start - before : start + chunk].double()
        for numerator, denominator in filters:
            piece = torchaudio.functional.lfilter(piece, denominator, numerator, clamp=False)
        yield piece[:, before:]


def k_weighting(sample_rate: int) -> tuple[tuple[Tensor, Tensor], tuple[Tensor, Tensor]]:
    """Numerators and denominators (double, [3]) of the shelf that stands for the head, and of the high-pass."""
    k = math.tan(math.pi * 1681.974450955533 / sample_rate)
    q, high = 0.7071752369554196, 10 ** (3.999843853973347 / 20)
    band = high**0.4996667741545416
    shelf = ((high + band * k / q + k * k, 2 * (k * k - high), high - band * k / q + k * k), _denominator(k, q))
    k, q = math.tan(math.pi * 38.13547087602444 / sample_rate), 0.5003270373238773
    scale = 1 + k / q + k * k
    high_pass = ((scale, -2 * scale, scale), _denominator(k, q))
    return _filter(*shelf), _filter(*high_pass)


def _denominator(k: float, q: float) -> tuple[float, float, float]:
    return 1 + k / q + k * k, 2 * (k * k - 1), 1 - k / q + k * k


def _filter(numerator: tuple[float, ...], denominator: tuple[float, ...]) -> tuple[Tensor, Tensor]:
    scale = denominator[0]
    return torch.tensor(numerator, dtype=torch.float64) / scale, torch.tensor(denominator, dtype=torch.float64) / scale


def _interpolation_filter() -> Tensor:
    """A windowed sinc [PEAK_OVERSAMPLING - 1, 1, TRUE_PEAK_TAPS + 1] for the places between two samples."""
    half = TRUE_PEAK_TAPS // 2
    offsets = torch.arange(1, PEAK_OVERSAMPLING, dtype=torch.float64)[:, None] / PEAK_OVERSAMPLING
    distances = torch.arange(-half, half + 1, dtype=torch.float64) - offsets
    taper = torch.sqrt((1 - (distances / (half + 1)) ** 2).clamp(min=0))
    taps: Tensor = torch.sinc(distances) * torch.special.i0(_KAISER_BETA * taper)
    return (taps / taps.sum(dim=1, keepdim=True))[:, None]
