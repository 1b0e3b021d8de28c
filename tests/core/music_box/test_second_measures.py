"""The shared songs by measures of others: librosa hears tempo, key and onsets, mir_eval compares the onsets."""

from __future__ import annotations

from statistics import fmean
from typing import Any, NamedTuple

import mir_eval
import numpy as np
import pytest
from librosa import resample
from librosa.beat import beat_track
from librosa.feature import chroma_stft
from librosa.onset import onset_detect, onset_strength
from music_box_engine import hits
from numpy.typing import NDArray
from songbook import Record, Recording, share

from ace_core.audio.waveform import LATENT_FRAME_RATE, SAMPLE_RATE
from ace_core.music_box.songs import NOTES

RATE = 22_050
HOP = 256
ONE_SHOTS = ("drums", "bass", "keyboard", "guitar")
ONSET_WINDOW = 0.05  # as in the MIREX task
# Probe tone ratings of Krumhansl and Kessler (1982).
PROFILES = {
    "major": (6.35, 2.23, 3.48, 2.33, 4.38, 4.09, 2.52, 5.19, 2.39, 3.66, 2.29, 2.88),
    "minor": (6.33, 2.68, 3.52, 5.38, 2.60, 3.53, 2.54, 4.75, 3.98, 2.69, 3.34, 3.17),
}


class Heard(NamedTuple):
    """What librosa makes of a recording: beats a minute, key, and seconds at which notes start."""

    bpm: float
    key: str
    onsets: NDArray[Any]


@pytest.fixture(scope="module")
def heard(songbook: list[Recording]) -> list[Heard]:
    return [listen(recording) for recording in songbook]


def listen(recording: Recording) -> Heard:
    mono = recording.waveform.mean(dim=0).numpy()
    samples = resample(mono, orig_sr=SAMPLE_RATE, target_sr=RATE)
    strength = onset_strength(y=samples, sr=RATE, hop_length=HOP)
    _, beats = beat_track(onset_envelope=strength, sr=RATE, hop_length=HOP, units="time")
    seconds_a_beat = np.polyfit(np.arange(len(beats)), beats, 1)[0]
    chroma = chroma_stft(y=samples, sr=RATE, n_fft=8192).mean(axis=1)
    fits = {
        f"{note} {mode}": np.corrcoef(np.roll(profile, tonic), chroma)[0, 1]
        for tonic, note in enumerate(NOTES)
        for mode, profile in PROFILES.items()
    }
    onsets = onset_detect(y=samples, sr=RATE, units="time")
    return Heard(60 / seconds_a_beat, max(fits, key=lambda key: fits[key]), onsets)


def test_librosa_hears_the_tempo_asked(songbook: list[Recording], heard: list[Heard], record_property: Record) -> None:
    right = [
        any(abs(found.bpm - recording.song.bpm * octave) < max(octave, 1) for octave in (0.5, 1, 2))
        for recording, found in zip(songbook, heard, strict=True)
    ]
    record_property("tempo by librosa", share(right))
    assert share(right) >= 0.90


def test_librosa_hears_the_key_asked(songbook: list[Recording], heard: list[Heard], record_property: Record) -> None:
    right = [found.key == recording.song.key for recording, found in zip(songbook, heard, strict=True)]
    record_property("key by librosa", share(right))
    assert share(right) >= 0.70


def test_onsets_that_librosa_hears_are_those_of_the_latents(
    songbook: list[Recording], heard: list[Heard], record_property: Record
) -> None:
    scores = []
    for recording, found in zip(songbook, heard, strict=True):
        notes = hits(recording.latents, ONE_SHOTS).any(dim=1).nonzero()[:, 0].numpy() / LATENT_FRAME_RATE
        scores.append(mir_eval.onset.f_measure(notes, found.onsets, window=ONSET_WINDOW)[0])
    record_property("onset F1 by librosa and mir_eval", fmean(scores))
    assert fmean(scores) >= 0.95
