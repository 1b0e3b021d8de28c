"""Tempo of a recording: how alike its onsets are some beats later, with a preference for tempi around 120 bpm.

The first step of beat tracking as published by Ellis (2007), for music of one tempo. Low, middle and high sounds are
correlated apart and then averaged, so that a hi-hat on every eighth does not drown what tells beats from eighths.

Traps:
- Half and double tempo fit the same onsets. The preference picks one; a comparison must allow the other.
- The autocorrelation is known at whole frames of 10 ms, which is 5 bpm at 180 bpm. Sixteen beats together place the
  peak to a few hundredths of that.
"""

from __future__ import annotations

import math
from typing import NamedTuple

import torch
import torchaudio.functional
from torch import Tensor
from torch.nn import functional as F

from .mono import ANALYSIS_RATE

FRAME_RATE = 100  # onset strengths a second
SLOWEST_BPM = 40.0
FASTEST_BPM = 240.0
SHORTEST_SECONDS = 6.0  # four beats at the slowest tempo

_WINDOW = 1024
_BANDS = 40
_BAND_GROUPS = 5
_COMPRESSION = 100.0
_BACKGROUND_FRAMES = 101
_COARSE_STEPS_PER_OCTAVE = 120
_COARSE_BEATS = 8
_FINE_RANGE = 0.03
_FINE_STEP_BPM = 0.02
_FINE_BEATS = 16
_PREFERRED_BPM = 120.0
_PREFERENCE_OCTAVES = 0.9
_FRAMES_AT_ONCE = 4096
_LEAST_STRENGTH = 0.3  # of the loudest onset of a group of bands; less is the ripple of a steady tone


class Tempo(NamedTuple):
    """Beats a minute, and from 0 to 1 how alike the onsets are some beats later."""

    bpm: float
    confidence: float


def estimate_tempo(mono: Tensor) -> Tempo | None:
    """The tempo of what `analysis_mono` gives; None where no onsets are heard, and below 6 seconds."""
    if len(mono) < SHORTEST_SECONDS * ANALYSIS_RATE:
        return None
    similarity = _similarity(_onsets(mono))
    if similarity is None:
        return None
    octaves = math.log2(FASTEST_BPM / SLOWEST_BPM)
    coarse = SLOWEST_BPM * 2 ** torch.arange(0, octaves, 1 / _COARSE_STEPS_PER_OCTAVE)
    preference = torch.exp(-0.5 * (torch.log2(coarse / _PREFERRED_BPM) / _PREFERENCE_OCTAVES) ** 2)
    likely = coarse[(_at_beats(similarity, coarse, _COARSE_BEATS).clamp(min=0) * preference).argmax()]
    fine = torch.arange(float(likely) * (1 - _FINE_RANGE), float(likely) * (1 + _FINE_RANGE), _FINE_STEP_BPM)
    fits = _at_beats(similarity, fine, _FINE_BEATS)
    return Tempo(float(fine[fits.argmax()]), min(max(float(fits.max()), 0.0), 1.0))


def _onsets(mono: Tensor) -> Tensor:
    """How much louder each group of bands is than one frame before, above its own surroundings: [groups, frames]."""
    window = torch.hann_window(_WINDOW)
    filters = torchaudio.functional.melscale_fbanks(_WINDOW // 2 + 1, 30.0, ANALYSIS_RATE / 2, _BANDS, ANALYSIS_RATE)
    frames = mono.unfold(0, _WINDOW, ANALYSIS_RATE // FRAME_RATE)
    pieces = (frames[start : start + _FRAMES_AT_ONCE] for start in range(0, len(frames), _FRAMES_AT_ONCE))
    bands = torch.cat([torch.fft.rfft(piece * window).abs() @ filters for piece in pieces])
    loudness = torch.log1p(_COMPRESSION * bands)
    rises = loudness.diff(dim=0).clamp(min=0).T.reshape(_BAND_GROUPS, _BANDS // _BAND_GROUPS, -1).mean(dim=1)
    background = F.avg_pool1d(rises[None], _BACKGROUND_FRAMES, 1, _BACKGROUND_FRAMES // 2, count_include_pad=False)[0]
    return (rises - background).clamp(min=0)


def _similarity(onsets: Tensor) -> Tensor | None:
    """Autocorrelation [lags] of the onsets, 1 at lag 0, the mean over the groups that have any."""
    loud = onsets[onsets.amax(dim=1) > _LEAST_STRENGTH].double()
    if not len(loud):
        return None
    loud = loud - loud.mean(dim=1, keepdim=True)
    frames = loud.shape[1]
    power = torch.fft.rfft(loud, 2 * frames).abs().square()
    sums = torch.fft.irfft(power)[:, :frames] / torch.arange(frames, 0, -1)
    similarity: Tensor = (sums / sums[:, :1]).mean(dim=0)
    return similarity


def _at_beats(similarity: Tensor, bpm: Tensor, beats: int) -> Tensor:
    """Mean similarity [tempi] 1 to `beats` beats later, or as many as three quarters of the recording hold."""
    lags = 60 * FRAME_RATE / bpm.double()
    beats = min(beats, int(0.75 * len(similarity) / float(lags.max())))
    places = lags[:, None] * torch.arange(1, beats + 1)
    before = places.long()
    weight = places - before
    return (similarity[before] * (1 - weight) + similarity[before + 1] * weight).mean(dim=1)
