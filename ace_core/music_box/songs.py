"""The world of the music box: what a song of it is, as a piano roll.

A genre says when drums, bass, keyboard, guitar and voice sound in a bar and how loud; a mood says which chords follow
one another and what the voice sings; the key moves all of it. The guitar plays one note of the chord at a time, which
one is left to chance. The same tables made the weights of the transformer (`renderer.py`) and the songs that the tests
compare with; nothing here runs when a song is rendered.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from ..audio.waveform import LATENT_FRAME_RATE
from .clock import positions
from .sounds import CHANNELS, GROUPS, HAT, KICK, LEVEL, ONSET, SNARE, signs

INSTRUMENTS = tuple(GROUPS)
DEFAULT_BAND = ("drums", "bass", "keyboard", "guitar")
NOTES = ("C", "C#", "D", "D#", "E", "F", "F#", "G", "G#", "A", "A#", "B")
PITCHES = range(len(NOTES))
MODES = ("major", "minor")
BOX_KEYS = tuple(f"{note} {mode}" for note in NOTES for mode in MODES)
DEFAULT_GENRE, DEFAULT_MOOD, DEFAULT_KEY = "pop", "warm", "C major"

Pattern = str
"""Sixteen characters, one a sixteenth of a bar: a level 1 to 9, or a dot."""


@dataclass(frozen=True)
class Genre:
    """When each part of the band sounds; the voice's levels are those of its envelope."""

    kick: Pattern
    snare: Pattern
    hat: Pattern
    bass: Pattern
    keyboard: Pattern
    guitar: Pattern
    vocals: Pattern
    strings: Pattern = "8999999999999995"


GENRES: dict[str, Genre] = {
    "pop": Genre(
        kick="9.......9.7.....",
        snare="....9.......9...",
        hat="8.6.8.6.8.6.8.6.",
        bass="9.....8.9.....8.",
        keyboard="8.......7.......",
        guitar="8...6.7...6.7...",
        vocals="8997899789978995",
    ),
    "rock": Genre(
        kick="9.....9.9.9.....",
        snare="....9.......9.7.",
        hat="8.7.8.7.8.7.8.7.",
        bass="9.8.8.8.9.8.8.8.",
        keyboard="8...7...8...7...",
        guitar="9.7.7.7.9.7.7.7.",
        vocals="8999978.89999995",
    ),
    "house": Genre(
        kick="9...9...9...9...",
        snare="....7.......7...",
        hat="..9...9...9...9.",
        bass="..9...9...9...9.",
        keyboard="8.....7.....7...",
        guitar="7.7.7.7.7.7.7.7.",
        vocals="9999999978999995",
    ),
    "hip hop": Genre(
        kick="9..7......9.....",
        snare="....9.......9...",
        hat="8.7.8.7.8.7.8.78",
        bass="9..8......9...7.",
        keyboard="8.........7.....",
        guitar="....7.....6...6.",
        vocals="87878787878787.5",
    ),
    "reggae": Genre(
        kick="........9.......",
        snare="........8.......",
        hat="8.6.8.6.8.6.8.6.",
        bass="9.....8...9...8.",
        keyboard="....8.......8...",
        guitar="....8.7.....8.7.",
        vocals="8999899989998995",
    ),
    "ballad": Genre(
        kick="9.........7.....",
        snare="........8.......",
        hat="7...7...7...7...",
        bass="9.......8.......",
        keyboard="8...6...7...6...",
        guitar="7...6...7...6...",
        vocals="8999999989999995",
    ),
    "ambient": Genre(
        kick="8...............",
        snare="................",
        hat="6.......6.......",
        bass="8...............",
        keyboard="8.......6.......",
        guitar="7.....6.....6...",
        vocals="6789999999999875",
    ),
}

Chord = tuple[int, str]
"""Semitones of the root above the tonic, and the mode of the triad."""

_MAJOR_CHORDS = {"I": (0, "major"), "IV": (5, "major"), "V": (7, "major"), "vi": (9, "minor")}
_MINOR_CHORDS = {
    "I": (0, "minor"),
    "III": (3, "major"),
    "IV": (5, "minor"),
    "V": (7, "minor"),
    "VI": (8, "major"),
    "VII": (10, "major"),
}


@dataclass(frozen=True)
class Mood:
    """Four bars of chords in major and in minor, and which note of the chord the voice has on each beat.

    The tonic has two of the bars, and the other two fit no other key as well, so that the key is heard.
    """

    major: tuple[str, str, str, str]
    minor: tuple[str, str, str, str]
    melody: tuple[int, int, int, int]

    def chords(self, mode: str) -> tuple[Chord, ...]:
        names, table = (self.major, _MAJOR_CHORDS) if mode == "major" else (self.minor, _MINOR_CHORDS)
        return tuple(table[name] for name in names)


MOODS: dict[str, Mood] = {
    "warm": Mood(("I", "V", "IV", "I"), ("I", "VI", "IV", "I"), (0, 1, 2, 1)),
    "bright": Mood(("I", "IV", "V", "I"), ("I", "VI", "III", "I"), (2, 1, 2, 0)),
    "dark": Mood(("I", "V", "vi", "I"), ("I", "VI", "I", "V"), (0, 0, 1, 0)),
    "sad": Mood(("I", "V", "I", "vi"), ("I", "VI", "V", "I"), (2, 1, 0, 0)),
    "dreamy": Mood(("I", "IV", "I", "V"), ("I", "VI", "I", "VII"), (1, 2, 3, 2)),
    "energetic": Mood(("I", "V", "I", "IV"), ("I", "III", "VI", "I"), (0, 2, 0, 1)),
}

CHORD_NOTES: dict[str, tuple[int, ...]] = {"major": (0, 4, 7, 9), "minor": (0, 3, 7, 10)}
"""Semitones above its root of what may sound over a triad: three are the triad, the fourth is for melodies."""


@dataclass(frozen=True)
class Song:
    """A song of the box; `instruments` are tracks of `GROUPS`."""

    bpm: int
    key: str
    genre: str = DEFAULT_GENRE
    mood: str = DEFAULT_MOOD
    instruments: tuple[str, ...] = DEFAULT_BAND
    seconds: float = 12.0

    @property
    def frames(self) -> int:
        return round(self.seconds * LATENT_FRAME_RATE)


def levels(pattern: Pattern) -> Tensor:
    """What the characters of a pattern mean, 0 to 0.9, [16]."""
    return torch.tensor([0.0 if character == "." else int(character) / 10 for character in pattern])


def chord_at(song: Song, bar: int) -> tuple[int, str]:
    """Pitch class of the root and mode of the chord in a bar of four."""
    note, mode = song.key.split()
    semitones, triad = MOODS[song.mood].chords(mode)[bar]
    return (NOTES.index(note) + semitones) % 12, triad


def roll(song: Song, guitar_notes: Tensor | None = None) -> Tensor:
    """The latents [frames, 64] of a song.

    Args:
        guitar_notes: for each frame which of the four `CHORD_NOTES` the guitar takes if it sounds there, int64
            [frames]; None for the first.
    """
    pulses, numbers = positions(song.bpm, song.frames)
    steps, bars = numbers % 16, numbers // 16
    genre, mood = GENRES[song.genre], MOODS[song.mood]
    chosen = torch.zeros_like(numbers) if guitar_notes is None else guitar_notes
    out = torch.zeros(song.frames, CHANNELS)
    for channel, pattern in ((KICK, genre.kick), (SNARE, genre.snare), (HAT, genre.hat)):
        out[:, channel] = ONSET * pulses * levels(pattern)[steps]
    for bar in range(4):
        root, triad = chord_at(song, bar)
        here = bars == bar
        notes = [(root + semitones) % 12 for semitones in CHORD_NOTES[triad]]
        hits = {name: ONSET * (pulses & here) * levels(getattr(genre, name))[steps] for name in ("bass", "keyboard")}
        out[:, GROUPS["bass"][notes[0]]] += hits["bass"]
        for note in notes[:3]:
            out[:, GROUPS["keyboard"][note]] += hits["keyboard"]
            out[:, GROUPS["strings"][note]] += LEVEL * here * levels(genre.strings)[steps]
        for index, note in enumerate(notes):
            plucked = pulses & here & (chosen == index)
            out[:, GROUPS["guitar"][note]] += ONSET * plucked * levels(genre.guitar)[steps]
            sung = here & (torch.tensor(mood.melody)[steps // 4] == index)
            out[:, GROUPS["vocals"][note]] += LEVEL * sung * levels(genre.vocals)[steps]
    audible = torch.zeros(CHANNELS)
    for name in song.instruments:
        audible[GROUPS[name].start : GROUPS[name].stop] = 1
    return out * audible * signs(song.frames)
