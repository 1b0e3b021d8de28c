"""Random songs of the music box, and the recordings of them that many tests share."""

from __future__ import annotations

import os
import random
from collections.abc import Callable, Sequence
from typing import NamedTuple

from music_box_engine import Engine, plan_of
from torch import Tensor

from ace_core.music_box.clock import TEMPI
from ace_core.music_box.songs import BOX_KEYS, GENRES, INSTRUMENTS, MOODS, Song
from ace_core.song.blueprint import Blueprint

Record = Callable[[str, object], None]
"""Pytest's `record_property`: what was measured, for `--junitxml`."""

COUNT = int(os.environ.get("ACE_COMPOSER_MUSIC_SONGS", "24"))  # 100 and more for the figures of the card
TASKS = max(6, COUNT // 4)
RHYTHM = ("drums", "bass", "keyboard")  # with these, tempo and tonic are clear to a listener


class Recording(NamedTuple):
    """A song as it was rendered.

    Attributes:
        latents: [T, 64], of the waveform as loud as it came. waveform: [2, N], within full scale. peak: what it was
            divided by for that.
    """

    song: Song
    seed: int
    latents: Tensor
    waveform: Tensor
    peak: Tensor

    @property
    def plan(self) -> Blueprint:
        """What asked for it."""
        return plan_of(self.song, word=self.seed)


def share(successes: Sequence[bool]) -> float:
    return sum(successes) / len(successes)


def random_songs(count: int, seed: int, *, always: tuple[str, ...] = RHYTHM, seconds: float = 16.0) -> list[Song]:
    """Songs of all tempi and genres in turn, with some instruments of the others."""
    chance = random.Random(seed)
    songs = []
    for number in range(count):
        more = tuple(name for name in INSTRUMENTS if name not in always and chance.random() < 0.4)
        instruments = tuple(name for name in INSTRUMENTS if name in (*always, *more)) or ("guitar",)
        genre, mood = list(GENRES)[number % len(GENRES)], chance.choice(list(MOODS))
        songs.append(Song(TEMPI[number % len(TEMPI)], chance.choice(BOX_KEYS), genre, mood, instruments, seconds))
    return songs


def rendered(box: Engine, songs: Sequence[Song]) -> list[Tensor]:
    """Latents of songs, each with its number as seed."""
    return [box.render([plan_of(song, word=number)], [number])[0] for number, song in enumerate(songs)]


def recorded(box: Engine, songs: Sequence[Song]) -> list[Recording]:
    """The same, and decoded."""
    recordings = []
    for number, (song, latents) in enumerate(zip(songs, rendered(box, songs), strict=True)):
        waveform = box.decode(latents)
        peak = waveform.abs().max().clamp(min=1)
        recordings.append(Recording(song, number, latents, waveform / peak, peak))
    return recordings
