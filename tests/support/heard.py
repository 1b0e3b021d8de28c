"""What is heard in a waveform, measured without the engine: onsets, the grid they lie on, notes.

Onsets are rises of the loudness in narrow bands, placed to a few milliseconds. A latent frame lasts 40 ms and a note
starts at the beginning of one, so the onsets of a song scatter by up to that around its true grid.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor
from torch.nn import functional as F

from ace_core.audio.waveform import SAMPLE_RATE
from ace_core.music_box.songs import NOTES

HOP = 96  # 2 ms
_WINDOW = 512
_RISE_FRAMES = 5
_COMPRESSION = 1000.0
_LEAST_SHARE = 0.15  # of the strongest onset
_APART_FRAMES = 25
_CHORD_WINDOW, _CHORD_HOP = 16_384, 4_096
_LOWEST_HERTZ, _HIGHEST_HERTZ = 240.0, 1_100.0  # above the snare
_TRIADS: dict[str, tuple[int, ...]] = {"major": (0, 4, 7), "minor": (0, 3, 7)}


def onset_times(waveform: Tensor) -> Tensor:
    """Seconds at which something starts in a waveform [2, N] at 48 kHz."""
    strength = _onset_strength(waveform)
    peaks = F.max_pool1d(strength[None], 2 * _APART_FRAMES + 1, 1, _APART_FRAMES)[0]
    found = ((strength == peaks) & (strength > _LEAST_SHARE * strength.quantile(0.999))).nonzero()[:, 0]
    return (found * HOP + _WINDOW / 2) / SAMPLE_RATE


def _onset_strength(waveform: Tensor) -> Tensor:
    """How much louder the bands have become, [frames]."""
    mono = waveform.mean(dim=0)
    frames = mono.unfold(0, _WINDOW, HOP) * torch.hann_window(_WINDOW)
    loudness = torch.log1p(_COMPRESSION * torch.fft.rfft(frames).abs() / _WINDOW)
    rises = (loudness[_RISE_FRAMES:] - loudness[:-_RISE_FRAMES]).clamp(min=0).mean(dim=1)
    return torch.cat((torch.zeros(_RISE_FRAMES), rises))


def grid_offset(times: Tensor, period: float) -> float:
    """By how many seconds onsets lie behind the multiples of a period on average, within half a period."""
    angles = 2 * math.pi * times / period
    return math.atan2(float(angles.sin().sum()), float(angles.cos().sum())) * period / (2 * math.pi)


def off_grid(times: Tensor, period: float, offset: float) -> Tensor:
    """Seconds from each onset to the nearest point of a grid."""
    return ((times - offset + period / 2) % period - period / 2).abs()


def between(times: Tensor, start: float, end: float) -> Tensor:
    return times[(times >= start) & (times < end)]


def chroma_of(waveform: Tensor) -> Tensor:
    """How loud each of the twelve pitch classes from C on is, [12]."""
    mono = waveform.mean(dim=0)
    frames = F.pad(mono, (0, max(0, _CHORD_WINDOW - len(mono)))).unfold(0, _CHORD_WINDOW, _CHORD_HOP)
    spectrum = torch.fft.rfft(frames * torch.hann_window(_CHORD_WINDOW)).abs().sum(dim=0)
    hertz = torch.fft.rfftfreq(_CHORD_WINDOW, 1 / SAMPLE_RATE)
    heard = (hertz > _LOWEST_HERTZ) & (hertz < _HIGHEST_HERTZ)
    pitches = (12 * torch.log2(hertz[heard] / 440) + 69).round().long() % 12
    return torch.zeros(12).index_add_(0, pitches, spectrum[heard].square()).sqrt()


def triad_of(waveform: Tensor) -> str:
    """The major or minor triad that fits a piece of music best, spelled like `songs.BOX_KEYS`."""
    chroma = chroma_of(waveform)
    fits = {
        f"{NOTES[root]} {mode}": float(sum(chroma[(root + interval) % 12] for interval in triad))
        for root in range(12)
        for mode, triad in _TRIADS.items()
    }
    return max(fits, key=lambda name: fits[name])


def transposition(one: Tensor, other: Tensor) -> int:
    """By how many semitones, 0 to 11, the notes of one waveform must be raised to be most like those of another."""
    chroma, wanted = chroma_of(one), chroma_of(other)
    return int(torch.stack([chroma.roll(semitones) @ wanted for semitones in range(12)]).argmax())
