"""Key of a recording: how loud the twelve notes are in all, held against the profiles of Krumhansl and Kessler (1982).

Loudness is taken at the peaks of the spectrum, which leaves out drums and noise, and relative to the recording's own
tuning. The key with the profile that correlates best is the answer.

Trap: relative keys (C major and A minor) share their notes, and only what is heard most tells them apart. The
confidence is low where two keys fit almost alike.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import NamedTuple

import torch
from torch import Tensor

from .mono import ANALYSIS_RATE

_WINDOW = 8192
_HOP = 4096
_LOWEST_HZ = 55.0
_HIGHEST_HZ = 2000.0
_LEAST_MAGNITUDE = 1e-3  # of a spectral peak; a sine with the root mean square of `analysis_mono` has 290
_FRAMES_AT_ONCE = 256

_TONICS = {
    "major": ("C", "Db", "D", "Eb", "E", "F", "F#", "G", "Ab", "A", "Bb", "B"),
    "minor": ("C", "C#", "D", "Eb", "E", "F", "F#", "G", "G#", "A", "Bb", "B"),
}
_PROFILES = {  # how well each note, counted from the tonic, fits the key
    "major": (6.35, 2.23, 3.48, 2.33, 4.38, 4.09, 2.52, 5.19, 2.39, 3.66, 2.29, 2.88),
    "minor": (6.33, 2.68, 3.52, 5.38, 2.60, 3.53, 2.54, 4.75, 3.98, 2.69, 3.34, 3.17),
}
_NOTES = {"C": 0, "D": 2, "E": 4, "F": 5, "G": 7, "A": 9, "B": 11}
_SHARPS = "#\u266f"
_FLATS = "b\u266d"


class Key(NamedTuple):
    """A key as blueprints spell it, and from 0 to 1 how much better it fits than the next one."""

    name: str
    confidence: float


def estimate_key(mono: Tensor) -> Key | None:
    """The key of what `analysis_mono` gives; None for less than half a second."""
    peaks = list(_spectral_peaks(mono))
    if not peaks:
        return None
    notes, loudness = torch.cat([note for note, _ in peaks]), torch.cat([loud for _, loud in peaks])
    chroma = _chroma(notes, loudness)
    fits = {
        f"{tonic} {mode}": _correlation(torch.tensor(profile).roll(step), chroma)
        for mode, profile in _PROFILES.items()
        for step, tonic in enumerate(_TONICS[mode])
    }
    second, best = sorted(fits, key=fits.__getitem__)[-2:]
    return Key(best, min(max(fits[best] - fits[second], 0.0), 1.0))


def same_key(one: str, other: str) -> bool:
    """Whether two keys of the domain of blueprints sound the same, such as C# minor and Db minor."""
    return _pitch_class(one) == _pitch_class(other) and one.split()[1] == other.split()[1]


def _pitch_class(key: str) -> int:
    note = key.split()[0]
    return (_NOTES[note[0]] + sum(sign in _SHARPS for sign in note[1:]) - sum(sign in _FLATS for sign in note[1:])) % 12


def _spectral_peaks(mono: Tensor) -> Iterator[tuple[Tensor, Tensor]]:
    """Pitches (MIDI numbers with fractions) and magnitudes of the peaks of every frame."""
    window = torch.hann_window(_WINDOW)
    first, last = (int(hertz * _WINDOW / ANALYSIS_RATE) for hertz in (_LOWEST_HZ, _HIGHEST_HZ))
    if len(mono) < _WINDOW:
        return
    frames = mono.unfold(0, _WINDOW, _HOP)
    for start in range(0, len(frames), _FRAMES_AT_ONCE):
        magnitudes = torch.fft.rfft(frames[start : start + _FRAMES_AT_ONCE] * window).abs()[:, first - 1 : last + 2]
        below, here, above = magnitudes[:, :-2], magnitudes[:, 1:-1], magnitudes[:, 2:]
        peak = (here > below) & (here >= above) & (here > _LEAST_MAGNITUDE)
        low, middle, high = (part[peak].clamp(min=1e-12).log() for part in (below, here, above))
        shift = 0.5 * (low - high) / (low - 2 * middle + high)  # the top of the parabola through three bins
        hertz = (peak.nonzero()[:, 1] + first + shift) * ANALYSIS_RATE / _WINDOW
        yield 69 + 12 * torch.log2(hertz / 440), here[peak]


def _chroma(notes: Tensor, loudness: Tensor) -> Tensor:
    """Loudness of the twelve notes from C on; a peak between two notes of the recording's tuning counts little."""
    turns = 2 * math.pi * notes
    tuning = math.atan2(float((loudness * turns.sin()).sum()), float((loudness * turns.cos()).sum())) / (2 * math.pi)
    notes = notes - tuning
    nearest = notes.round()
    weights = loudness * torch.cos(math.pi * (notes - nearest)).square()
    return torch.zeros(12).index_add_(0, nearest.long() % 12, weights)


def _correlation(one: Tensor, other: Tensor) -> float:
    return float(torch.corrcoef(torch.stack((one, other)))[0, 1])
