"""Repaint, extend, cover and extract on recordings of the music box, judged by what is heard in the result."""

from __future__ import annotations

import random
from collections.abc import Iterable
from dataclasses import replace
from statistics import fmean

import pytest
import torch
from heard import between, grid_offset, off_grid, onset_times, transposition, triad_of
from music_box_engine import (
    Engine,
    hits,
    likeness,
    plan_of,
    playing,
    signal_to_noise,
    tempo_is,
)
from songbook import TASKS, Record, Recording, random_songs, share
from torch import Tensor

from ace_core.audio.splicing import splice
from ace_core.audio.waveform import LATENT_FRAME_RATE, SAMPLE_RATE
from ace_core.music_box.songs import INSTRUMENTS, NOTES, Song, chord_at, roll
from ace_core.music_box.sounds import GROUPS
from ace_core.song.regions import Region
from ace_core.tasks.cover import cover_task
from ace_core.tasks.extend import extend_task, extend_window, window_latents
from ace_core.tasks.instructions import TaskName
from ace_core.tasks.repaint import repaint_task
from ace_core.tasks.stems import track_task

REGION = Region(6.0, 11.0)
MORE_SECONDS = 12.0
SIDE_SECONDS = 5.0  # of a seam; five beats at 60 bpm
NEAR_SECONDS = 0.5
FEWEST_ONSETS = 3  # of an ambient song at 60 bpm
GRID_SECONDS, ONSET_SECONDS = 0.020, 0.040
EXTRACT_STEPS = 10
LEAST_DECIBELS = {"drums": 15, "bass": 7, "keyboard": 7, "guitar": 7, "vocals": 15, "strings": 15}


@pytest.fixture(scope="module")
def recordings(songbook: list[Recording]) -> list[Recording]:
    return songbook[:TASKS]


def seam_is_in_time(waveform: Tensor, seam: float, bpm: float) -> bool:
    """Whether the grid of sixteenths goes on across a seam, and every onset near it is on the grid before it."""
    sixteenth = 60 / bpm / 4
    times = onset_times(waveform)
    sides = [between(times, start, start + SIDE_SECONDS) for start in (seam - SIDE_SECONDS, seam)]
    before, after = (grid_offset(side, sixteenth) for side in sides)
    apart = abs((after - before + sixteenth / 2) % sixteenth - sixteenth / 2)
    near = off_grid(between(times, seam - NEAR_SECONDS, seam + NEAR_SECONDS), sixteenth, before)
    heard = min(map(len, sides)) >= FEWEST_ONSETS
    return heard and apart <= GRID_SECONDS and bool((near <= ONSET_SECONDS).all())


def same_notes(heard: Tensor, song: Song, start: float, end: float) -> bool:
    """Whether the notes of a song are heard between two times."""
    frames = slice(round(start * LATENT_FRAME_RATE), round(end * LATENT_FRAME_RATE))
    return likeness(hits(heard)[frames], hits(roll(song))[frames]) > 0.9


def cut(waveform: Tensor, start: float, end: float) -> Tensor:
    """What is between two times."""
    return waveform[:, round(start * SAMPLE_RATE) : round(end * SAMPLE_RATE)]


def repeats_its_key(extended: Tensor, song: Song) -> bool:
    """Whether what follows a song is in the key of the same bars four bars earlier."""
    four_bars = 16 * 60 / song.bpm
    seconds = min(four_bars, MORE_SECONDS)
    start = song.seconds
    more, earlier = (cut(extended, second, second + seconds) for second in (start, start - four_bars))
    return transposition(more, earlier) == 0


def test_repaint_keeps_the_rest_and_follows_the_new_caption(
    box: Engine, recordings: list[Recording], record_property: Record
) -> None:
    followed, in_time, in_key = [], [], []
    for song, seed, _, waveform, peak in recordings:
        other = replace(song, genre="rock", instruments=("drums", "bass", "keyboard"))
        task = repaint_task(box.encode(waveform) * peak, waveform, [REGION])
        (latents,) = box.render([plan_of(other)], [seed + 100], [task])
        assert task.splice is not None
        result = splice(box.decode(latents) / peak, task.splice)
        for outside in ((0, REGION.start - 1), (REGION.end + 1, song.seconds)):
            assert torch.equal(cut(result, *outside), cut(waveform, *outside))
        heard = box.encode(result) * peak
        followed.append(same_notes(heard, other, REGION.start + 0.2, REGION.end - 0.2) and tempo_is(result, song.bpm))
        in_time.append(all(seam_is_in_time(result, seam, song.bpm) for seam in REGION))
        in_key.append(transposition(cut(result, *REGION), cut(box.decode(roll(other)), *REGION)) == 0)
    record_property("repaint: notes, time, key", [*map(share, (followed, in_time, in_key))])
    assert share(followed) >= 0.9
    assert share(in_time) >= 0.9
    assert share(in_key) >= 0.9


def test_extending_goes_on_in_time_and_key(box: Engine, recordings: list[Recording], record_property: Record) -> None:
    followed, in_time, in_key = [], [], []
    for recording in recordings:
        song, seed, _, waveform, peak = recording
        window = extend_window(waveform, after_seconds=MORE_SECONDS)
        task = extend_task(window_latents(box.encode(waveform) * peak, window), window)
        (latents,) = box.render([recording.plan], [seed], [task])
        assert task.splice is not None
        result = splice(box.decode(latents) / peak, task.splice)
        assert torch.equal(cut(result, 0, song.seconds - 1), cut(waveform, 0, song.seconds - 1))
        more = cut(result, song.seconds, song.seconds + MORE_SECONDS)
        longer = replace(song, seconds=song.seconds + MORE_SECONDS)
        followed.append(same_notes(box.encode(result) * peak, longer, song.seconds + 0.2, longer.seconds - 0.2))
        in_time.append(seam_is_in_time(result, song.seconds, song.bpm) and tempo_is(more, song.bpm))
        in_key.append(repeats_its_key(result, song))
    record_property("extend: notes, time, key", [*map(share, (followed, in_time, in_key))])
    assert share(followed) >= 0.9
    assert share(in_time) >= 0.9
    assert share(in_key) >= 0.9


def test_a_cover_keeps_the_chords_and_plays_the_instruments_asked(
    box: Engine, recordings: list[Recording], record_property: Record
) -> None:
    """Of the instruments asked it plays those that the source has; the bass, whose overtones hide thirds, is not."""
    chance = random.Random(5)
    right_instruments, right_chords = [], []
    for song, seed, _, waveform, peak in recordings:
        asked = tuple(name for name in INSTRUMENTS if name == "keyboard" or (name != "bass" and chance.random() < 0.5))
        task = cover_task(box.encode(waveform) * peak, waveform.shape[1], structure="latents")
        (latents,) = box.render([plan_of(replace(song, instruments=asked))], [seed], [task])
        result = box.decode(latents)
        heard = playing(box.encode(result / result.abs().max().clamp(min=1)))
        right_instruments.append(heard == set(asked) & set(song.instruments))
        right_chords += [triad == wanted for triad, wanted in zip(triads(result, song.bpm), chords(song), strict=True)]
    record_property("cover: instruments, chords", [*map(share, (right_instruments, right_chords))])
    assert share(right_instruments) >= 0.85
    assert share(right_chords) >= 0.85


def triads(waveform: Tensor, bpm: float) -> list[str]:
    """What is heard in every whole bar."""
    samples = 4 * 60 / bpm * SAMPLE_RATE
    bars = int(waveform.shape[1] / samples)
    return [triad_of(waveform[:, round(bar * samples) : round((bar + 1) * samples)]) for bar in range(bars)]


def chords(song: Song) -> list[str]:
    bars = int(song.seconds * song.bpm / 240)
    found = (chord_at(song, bar % 4) for bar in range(bars))
    return [f"{NOTES[root]} {mode}" for root, mode in found]


def test_extract_returns_the_stems_and_they_add_up(base_box: Engine, record_property: Record) -> None:
    ratios: dict[str, list[float]] = {name: [] for name in GROUPS}
    sums = []
    for number, song in enumerate(random_songs(TASKS, seed=7, always=INSTRUMENTS, seconds=10)):
        mix = base_box.decode(roll(song))
        peak = mix.abs().max().clamp(min=1)
        source = base_box.encode(mix / peak)
        wanted, found = {}, {}
        for name in sounding(song):
            task = track_task("extract", source, mix.shape[1], (name,))
            (latents,) = base_box.render([plan_of(song)], [number], [task], guidance=1.0, steps=EXTRACT_STEPS)
            found[name] = base_box.decode(latents) * peak
            wanted[name] = base_box.decode(roll(replace(song, instruments=(name,))))
            ratios[name].append(signal_to_noise(wanted[name], found[name]))
        sums.append((signal_to_noise(mix, total(wanted.values())), signal_to_noise(mix, total(found.values()))))
    record_property("extract", {name: round(fmean(values), 1) for name, values in ratios.items()})
    record_property("least of true and of extracted stems' sums", [min(sides) for sides in zip(*sums, strict=True)])
    assert all(true > 40 and extracted > 10 for true, extracted in sums)
    for name, values in ratios.items():
        assert fmean(values) >= LEAST_DECIBELS[name], (name, values)


def sounding(song: Song) -> list[str]:
    """Instruments of a song that its genre lets play."""
    latents = roll(song)
    return [name for name in song.instruments if latents[:, GROUPS[name].start : GROUPS[name].stop].any()]


def total(stems: Iterable[Tensor]) -> Tensor:
    return torch.stack([*stems]).sum(dim=0)


@pytest.mark.parametrize(("task_name", "tracks"), [("lego", ("drums",)), ("complete", ("drums", "bass"))])
def test_what_it_does_not_know_is_silence(
    base_box: Engine, songbook: list[Recording], task_name: TaskName, tracks: tuple[str, ...]
) -> None:
    """A recording holds no clock, and whatever its latents are, they are not read as one."""
    for recording in songbook[:4]:
        source = base_box.encode(recording.waveform)
        task = track_task(task_name, source, recording.waveform.shape[1], tracks)
        (latents,) = base_box.render([recording.plan], [1], [task], guidance=1.0)
        assert playing(latents) == set()
