"""Pictures of a recording: its spectrogram and its waveform, float [height, width, 3] from 0 to 1.

The spectrogram is in mel bands up to 16 kHz, low ones at the bottom, dark at 90 dB below the loudest. Both pictures
show the whole recording, however long: a column holds the mean power, or the extremes, of its share of the samples.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor
from torch.nn import functional as F

RANGE_DB = 90.0
HIGHEST_HZ = 16_000.0

_WINDOW = 2048
_HOP = 1024
_FRAMES_AT_ONCE = 2048
_COLOURS = (  # from quiet to loud, each brighter than the one before
    (0.02, 0.02, 0.08),
    (0.20, 0.07, 0.40),
    (0.52, 0.14, 0.47),
    (0.83, 0.28, 0.33),
    (0.98, 0.58, 0.20),
    (0.99, 0.97, 0.75),
)
_BACKGROUND = (0.08, 0.08, 0.10)
_MIDDLE_LINE = (0.25, 0.27, 0.30)
_WAVE = (0.35, 0.72, 0.85)


def spectrogram_picture(waveform: Tensor, sample_rate: int, width: int = 1024, height: int = 256) -> Tensor:
    """The mel spectrogram of a waveform [C, T], all channels together; silence is the darkest colour."""
    power = _mel_power(waveform.mean(dim=0), sample_rate, height)  # [height, frames]
    columns = F.adaptive_avg_pool1d(power[None], width)[0]
    loudest = columns.max()
    if loudest == 0:
        return torch.tensor(_COLOURS[0]).expand(height, width, 3).clone()
    decibels = 10 * torch.log10((columns / loudest).clamp(min=10 ** (-RANGE_DB / 10)))
    return _coloured(1 + decibels.flip(0) / RANGE_DB)


def waveform_picture(waveform: Tensor, width: int = 1024, height: int = 256) -> Tensor:
    """The extremes of a waveform [C, T] over time, one lane a channel; the lanes end at full scale."""
    channels = len(waveform)
    lane = height // channels
    highest = F.adaptive_max_pool1d(waveform[None], width)[0]  # [C, width]
    lowest = -F.adaptive_max_pool1d(-waveform[None], width)[0]
    levels = torch.linspace(1, -1, lane)[:, None]  # from the top of a lane to its bottom
    half_pixel = 1 / max(lane - 1, 1)
    picture = torch.tensor(_BACKGROUND).repeat(height, width, 1)
    for channel in range(channels):
        rows = picture[channel * lane : (channel + 1) * lane]
        rows[(levels.abs() <= half_pixel).expand(-1, width)] = torch.tensor(_MIDDLE_LINE)
        inside = (levels >= lowest[channel] - half_pixel) & (levels <= highest[channel] + half_pixel)
        heard = highest[channel] > lowest[channel]
        rows[inside & heard] = torch.tensor(_WAVE)
    return picture


def _mel_power(mono: Tensor, sample_rate: int, bands: int) -> Tensor:
    """Power in mel bands [bands, frames], at least one frame."""
    window = torch.hann_window(_WINDOW)
    filters = _mel_filters(sample_rate, bands)
    frames = F.pad(mono, (_WINDOW // 2, _WINDOW // 2)).unfold(0, _WINDOW, _HOP)
    pieces = (frames[start : start + _FRAMES_AT_ONCE] for start in range(0, len(frames), _FRAMES_AT_ONCE))
    return torch.cat([torch.fft.rfft(piece * window).abs().square() @ filters for piece in pieces]).T


def _mel_filters(sample_rate: int, bands: int) -> Tensor:
    """Triangles [bins, bands] with a sum of 1, as wide as a bin where the bands are narrower than that."""
    bin_hertz = sample_rate / _WINDOW
    highest_mel = 2595 * math.log10(1 + min(HIGHEST_HZ, sample_rate / 2) / 700)
    edges = 700 * (10 ** (torch.linspace(0, highest_mel, bands + 2) / 2595) - 1)
    widths = ((edges[2:] - edges[:-2]) / 2).clamp(min=bin_hertz)
    distances = (torch.arange(_WINDOW // 2 + 1)[:, None] * bin_hertz - edges[1:-1]).abs()
    triangles = (1 - distances / widths).clamp(min=0)
    return triangles / triangles.sum(dim=0)


def _coloured(levels: Tensor) -> Tensor:
    """Colours [H, W, 3] of levels [H, W] from 0 to 1."""
    colours = torch.tensor(_COLOURS)
    places = levels * (len(colours) - 1)
    below = places.long().clamp(max=len(colours) - 2)
    weight = (places - below)[..., None]
    return colours[below] * (1 - weight) + colours[below + 1] * weight
