"""A small synthesiser: band recordings of any length whose tempo, key, bars and stems are known exactly.

Drums, bass, keys and lead play one chord a bar, I IV I V of the key, in time from sample 0. The mix is the plain sum
of the stems. Nothing is random: the same arguments give the same samples.
"""

from __future__ import annotations

import wave
from collections.abc import Callable, Mapping
from functools import lru_cache
from pathlib import Path
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

Samples = NDArray[np.float32]

SCALES = {"major": (0, 2, 4, 5, 7, 9, 11), "minor": (0, 2, 3, 5, 7, 8, 10)}
NOTES = {"C": 0, "D": 2, "E": 4, "F": 5, "G": 7, "A": 9, "B": 11}
ACCIDENTALS = {"": 0, "#": 1, "b": -1}
CHORD_DEGREES = (0, 3, 0, 4)
EIGHTHS_PER_BAR = {2: 4, 3: 6, 4: 8, 6: 6}
KICKS = {2: (0,), 3: (0,), 4: (0, 5), 6: (0,)}  # in eighths of the bar
SNARES = {2: (2,), 3: (2, 4), 4: (2, 6), 6: (3,)}
LEAD_STEPS = (0, 2, 4, 7, 4, 2)  # scale steps above the chord's root
LOWEST_TONIC = 36  # MIDI note of the bass' lowest C
PANS = {"drums": 0.0, "bass": 0.0, "keys": -0.4, "lead": 0.4}
RELEASE_SECONDS = 0.005


class Music(NamedTuple):
    """A recording: each stem [channels, samples]; their sum stays within -1..1."""

    stems: Mapping[str, Samples]
    sample_rate: int

    @property
    def mix(self) -> Samples:
        return np.sum(list(self.stems.values()), axis=0, dtype=np.float32)


def band(
    seconds: float,
    *,
    bpm: float = 120.0,
    key: str = "A minor",
    time_signature: int = 4,
    sample_rate: int = 48_000,
    channels: int = 2,
) -> Music:
    """A recording of ``int(seconds * sample_rate)`` samples.

    Args:
        bpm: quarter notes a minute. key: a note with an optional # or b, and major or minor.
        time_signature: 2, 3, 4 or 6, for 2/4, 3/4, 4/4 and 6/8. channels: 1 or 2.
    """
    samples = int(seconds * sample_rate)
    eighth = 30 / bpm
    per_bar = EIGHTHS_PER_BAR[time_signature]
    stems = {name: np.zeros(samples, np.float64) for name in PANS}
    tune = _tune(key)
    for index in range(int(seconds / eighth) + 1):
        bar, position = divmod(index, per_bar)
        root = CHORD_DEGREES[bar % len(CHORD_DEGREES)]
        start = round(index * eighth * sample_rate)
        if position in KICKS[time_signature]:
            _play(stems["drums"], start, _kick(sample_rate))
        if position in SNARES[time_signature]:
            _play(stems["drums"], start, 0.5 * _noise(0.03, sample_rate))
        _play(stems["drums"], start, 0.25 * _noise(0.01, sample_rate))
        if position % 2 == 0:
            _play(stems["bass"], start, 0.6 * _note(tune(root), 2 * eighth, sample_rate, harmonics=4))
            for third in (0, 2, 4):
                chord_note = _note(tune(root + third + 14), 2 * eighth, sample_rate, harmonics=6)
                _play(stems["keys"], start, 0.25 * chord_note)
        step = LEAD_STEPS[position % len(LEAD_STEPS)]
        _play(stems["lead"], start, 0.3 * _note(tune(root + step + 21), eighth, sample_rate, harmonics=8))
    return Music(_levelled(stems, channels), sample_rate)


def write_wav(path: Path, waveform: Samples, sample_rate: int) -> Path:
    """Write samples [channels, samples] as 16 bits; returns the path."""
    with wave.open(str(path), "wb") as file:
        file.setnchannels(len(waveform))
        file.setsampwidth(2)
        file.setframerate(sample_rate)
        file.writeframes(np.round(waveform.T * 32767).astype("<i2").tobytes())
    return path


def _play(stem: NDArray[np.float64], start: int, sound: NDArray[np.float64]) -> None:
    end = min(len(stem), start + len(sound))
    stem[start:end] += sound[: end - start]


def _tune(key: str) -> Callable[[int], float]:
    """Frequency of a step of the key's scale; step 0 is the lowest tonic of the bass."""
    name, mode = key.split()
    tonic = LOWEST_TONIC + (NOTES[name[0]] + ACCIDENTALS[name[1:]]) % 12

    def frequency(step: int) -> float:
        octave, degree = divmod(step, 7)
        return 440 * 2 ** ((tonic + 12 * octave + SCALES[mode][degree] - 69) / 12)

    return frequency


@lru_cache(maxsize=256)
def _note(frequency: float, seconds: float, sample_rate: int, *, harmonics: int) -> NDArray[np.float64]:
    """A plucked tone; what lies above half the sample rate is left out."""
    time = np.arange(int(seconds * sample_rate)) / sample_rate
    tone = np.zeros_like(time)
    for rank in range(1, harmonics + 1):
        if rank * frequency < sample_rate / 2:
            tone += np.sin(2 * np.pi * rank * frequency * time) / rank**1.5
    release = np.clip((seconds - time) / RELEASE_SECONDS, 0, 1)
    return tone * np.exp(-3 * time / seconds) * release


@lru_cache(maxsize=256)
def _kick(sample_rate: int) -> NDArray[np.float64]:
    time = np.arange(int(0.2 * sample_rate)) / sample_rate
    return np.sin(2 * np.pi * (50 * time + 4 * (1 - np.exp(-time / 0.02)))) * np.exp(-time / 0.06)


@lru_cache(maxsize=256)
def _noise(decay_seconds: float, sample_rate: int) -> NDArray[np.float64]:
    """A burst of noise, always the same."""
    time = np.arange(int(5 * decay_seconds * sample_rate)) / sample_rate
    return np.random.default_rng(0).uniform(-1, 1, len(time)) * np.exp(-time / decay_seconds)


def _levelled(stems: Mapping[str, NDArray[np.float64]], channels: int) -> dict[str, Samples]:
    """Stems in their places [channels, samples], all lowered alike so that neither they nor their sum clip."""
    sides = {
        name: np.array([min(1.0, 1 - PANS[name]), min(1.0, 1 + PANS[name])][:channels]) if channels == 2 else np.ones(1)
        for name in stems
    }
    placed = {name: sides[name][:, None] * stem for name, stem in stems.items()}
    loudest = max(np.abs(sum(placed.values())).max(), *(np.abs(stem).max() for stem in placed.values()))
    return {name: (0.8 / loudest * stem).astype(np.float32) for name, stem in placed.items()}
