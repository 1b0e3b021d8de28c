"""The synthesiser of the editing tests: what it claims about tempo, bars, key and stems is heard in its samples."""

from __future__ import annotations

from itertools import product
from pathlib import Path

import numpy as np
import pytest
from music import Music, Samples, band, write_wav
from numpy.typing import NDArray
from song_runs import decode_sound

RATE = 22_050
FRAME = 220  # samples, 10 ms
EIGHTH_RATES = np.arange(1.0, 12.0, 0.005)  # Hz
PROFILES = {  # how much each step above the tonic is heard in a key (Krumhansl and Kessler 1982)
    "major": (6.35, 2.23, 3.48, 2.33, 4.38, 4.09, 2.52, 5.19, 2.39, 3.66, 2.29, 2.88),
    "minor": (6.33, 2.68, 3.52, 5.38, 2.60, 3.53, 2.54, 4.75, 3.98, 2.69, 3.34, 3.17),
}
QUARTERS_PER_BAR = {2: 2, 3: 3, 4: 4, 6: 3}
SONGS = [(120, "A minor", 4), (90, "F# major", 3), (74, "Bb major", 6), (141.5, "C# minor", 2)]


def song(bpm: float, key: str, time_signature: int) -> Music:
    return band(16, bpm=bpm, key=key, time_signature=time_signature, sample_rate=RATE, channels=1)


def onsets(mono: Samples) -> NDArray[np.float32]:
    """How much louder each frame is than the one before, high frequencies first."""
    high = np.diff(mono, prepend=np.float32(0)) ** 2
    energy = high[: len(high) // FRAME * FRAME].reshape(-1, FRAME).sum(axis=1)
    return np.clip(np.diff(np.log(energy + 1e-4)), 0, None)


def heard_eighth_rate(mono: Samples) -> float:
    """Eighths a second: the rate with whose first multiples the onsets agree best."""
    rises = onsets(mono)
    rises = (rises - rises.mean()) * np.hanning(len(rises))
    time = np.arange(len(rises)) * FRAME / RATE
    waves = np.exp(-2j * np.pi * EIGHTH_RATES[:, None] * time)
    strengths = sum(np.abs(waves**rank @ rises) for rank in (1, 2, 3))
    return float(EIGHTH_RATES[np.argmax(strengths)])


def heard_key(mono: Samples) -> str:
    """The key whose profile fits the loudness of the twelve notes best."""
    loudness = np.abs(np.fft.rfft(mono * np.hanning(len(mono))))
    frequencies = np.fft.rfftfreq(len(mono), 1 / RATE)
    audible = (frequencies > 60) & (frequencies < 2000)
    notes = np.round(12 * np.log2(frequencies[audible] / 440) + 69).astype(int) % 12
    chroma = np.bincount(notes, loudness[audible] ** 2, minlength=12) ** 0.5
    fits = {
        (tonic, mode): np.corrcoef(np.roll(profile, tonic), chroma)[0, 1]
        for tonic, (mode, profile) in product(range(12), PROFILES.items())
    }
    tonic, mode = max(fits, key=fits.__getitem__)
    return f"{'C C# D D# E F F# G G# A Bb B'.split()[tonic]} {mode}"


@pytest.mark.parametrize(("bpm", "key", "time_signature"), SONGS)
def test_the_tempo_is_heard_in_the_mix(bpm: float, key: str, time_signature: int) -> None:
    assert heard_eighth_rate(song(bpm, key, time_signature).mix[0]) == pytest.approx(bpm / 30, abs=0.02)


@pytest.mark.parametrize(("bpm", "key", "time_signature"), SONGS)
def test_the_key_is_heard_in_the_mix(bpm: float, key: str, time_signature: int) -> None:
    assert heard_key(song(bpm, key, time_signature).mix[0]) == key


@pytest.mark.parametrize(("bpm", "key", "time_signature"), SONGS)
def test_the_chord_changes_with_the_bar(bpm: float, key: str, time_signature: int) -> None:
    keys = song(bpm, key, time_signature).stems["keys"][0]
    bar = round(QUARTERS_PER_BAR[time_signature] * 60 / bpm * RATE)
    spectra = [np.abs(np.fft.rfft(keys[start : start + bar // 2])) for start in range(0, 4 * bar, bar // 2)]
    alike = [float(np.corrcoef(one, other)[0, 1]) for one, other in zip(spectra, spectra[1:], strict=False)]
    assert min(alike[::2]) > 0.9 and max(alike[1::2]) < 0.6  # within the bars, and across the lines


@pytest.mark.parametrize(("channels", "rate"), [(1, 8000), (2, 44_100), (2, 48_000)])
def test_the_stems_sum_to_the_mix(channels: int, rate: int) -> None:
    music = band(10.3, sample_rate=rate, channels=channels)
    assert list(music.stems) == ["drums", "bass", "keys", "lead"]
    assert {stem.shape for stem in music.stems.values()} == {(channels, int(10.3 * rate))}
    assert np.array_equal(music.mix, sum(music.stems.values()))
    assert 0.7 < np.abs(music.mix).max() < 0.81
    assert all(0.02 < stem.std() < 0.3 for stem in music.stems.values())


def test_a_longer_recording_begins_like_a_shorter_one() -> None:
    long, short = (band(seconds, sample_rate=8000).stems["lead"][0] for seconds in (8.0, 4.0))
    assert np.corrcoef(long[: len(short)], short)[0, 1] > 0.999


def test_keys_and_lead_sit_on_different_sides() -> None:
    stems = band(2.0, sample_rate=8000).stems
    loudness = {name: np.abs(stem).mean(axis=1) for name, stem in stems.items()}
    assert loudness["keys"][0] > loudness["keys"][1] and loudness["lead"][0] < loudness["lead"][1]
    assert loudness["bass"][0] == loudness["bass"][1]


def test_the_written_file_holds_the_samples(tmp_path: Path) -> None:
    music = band(1.5, sample_rate=44_100)
    sound = decode_sound(write_wav(tmp_path / "band.wav", music.mix, 44_100).read_bytes())
    assert sound.sample_rate == 44_100 and np.abs(sound.waveform - music.mix).max() < 2 / 32768
