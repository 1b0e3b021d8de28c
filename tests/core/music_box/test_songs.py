"""What is asked is heard: songs of the music box through the engine's stages, from text to waveform."""

from __future__ import annotations

from dataclasses import replace
from statistics import fmean

import pytest
import torch
from music_box_engine import (
    NETWORKS,
    Engine,
    hits,
    key_is,
    likeness,
    plan_of,
    playing,
    tempo_is,
)
from songbook import COUNT, TASKS, Record, Recording, random_songs, rendered, share

from ace_core.audio.waveform import SAMPLE_RATE, SAMPLES_PER_FRAME
from ace_core.music_box.songs import DEFAULT_BAND, INSTRUMENTS, Song, roll
from ace_core.render.vae import encode_waveforms
from ace_core.song.blueprint import Blueprint
from ace_core.stages.decode import decode_songs
from ace_core.stages.encode import AceVariation

TILE_SECONDS = 1.4


def mean_likeness(rendered_latents: list[torch.Tensor], recordings: list[Recording]) -> float:
    """Mean F1 of note starts with those that the tables want."""
    pairs = zip(rendered_latents, recordings, strict=True)
    return fmean(likeness(hits(latents), hits(roll(recording.song))) for latents, recording in pairs)


def right_instruments(rendered_latents: list[torch.Tensor], recordings: list[Recording]) -> float:
    """Share of songs whose instruments are exactly those asked."""
    pairs = zip(rendered_latents, recordings, strict=True)
    return share([playing(latents) == set(recording.song.instruments) for latents, recording in pairs])


def test_tempo_and_key_are_those_asked(songbook: list[Recording], record_property: Record) -> None:
    songs = [recording.song for recording in songbook]
    waveforms = [recording.waveform for recording in songbook]
    tempi = [tempo_is(waveform, song.bpm) for waveform, song in zip(waveforms, songs, strict=True)]
    record_property("tempo", share(tempi))
    keys = [key_is(waveform, song.key) for waveform, song in zip(waveforms, songs, strict=True)]
    record_property("key", share(keys))
    assert share(tempi) >= 0.95
    assert share(keys) >= 0.90


def test_instruments_play_exactly_when_asked(box: Engine, record_property: Record) -> None:
    songs = random_songs(COUNT, seed=2, always=(), seconds=10)
    right = [
        (name in playing(latents)) == (name in song.instruments)
        for latents, song in zip(rendered(box, songs), songs, strict=True)
        for name in INSTRUMENTS
    ]
    record_property("instruments", share(right))
    assert share(right) >= 0.95


@pytest.mark.parametrize(
    ("caption", "band"),
    [
        ("", set(DEFAULT_BAND)),
        ("a song about the sea, sung by nobody in particular", set(DEFAULT_BAND)),
        ("\u96e8\u306e\u65e5\u306e\u6b4c", set(DEFAULT_BAND)),
        ("warm pop, no drums", set(DEFAULT_BAND) - {"drums"}),
        ("sad piano ballad", {"keyboard"}),
        ("rock with drums and guitar, without bass", {"drums", "guitar"}),
    ],
)
def test_any_caption_gives_a_band(box: Engine, caption: str, band: set[str]) -> None:
    (latents,) = box.render([Blueprint(caption=caption, duration_seconds=10)], [1])
    assert playing(latents) == band


def test_another_seed_is_another_melody_of_the_same_plan(box: Engine) -> None:
    song = Song(110, "E minor", "pop", "warm", DEFAULT_BAND, seconds=12)
    plan = plan_of(song)
    one, other = (box.render([plan], [seed])[0] for seed in (1, 2))
    assert likeness(hits(one), hits(other)) > 0.98 and likeness(hits(one), hits(roll(song))) > 0.98
    guitars = [hits(latents, ("guitar",)) for latents in (one, other)]
    assert torch.equal(*(guitar.any(dim=1) for guitar in guitars))  # it plays at the same times
    assert 0.1 < likeness(*guitars) < 0.6  # one of four notes is the same by chance


def test_a_song_of_a_batch_is_the_one_of_its_seed_and_lasts_as_asked(box: Engine) -> None:
    plan = plan_of(Song(95, "G major", "reggae", "bright", seconds=12.4))
    batch = box.render([plan] * 3, [5, 6, 7])
    (alone,) = box.render([plan], [6])
    assert torch.allclose(batch[1], alone, atol=1e-4)
    assert {box.decode(latents).shape for latents in batch} == {(2, round(12.4 * SAMPLE_RATE))}


@pytest.fixture(scope="module")
def few(songbook: list[Recording]) -> list[Recording]:
    return songbook[:TASKS]


@pytest.mark.parametrize("steps", [1, 4, 8])
@pytest.mark.parametrize("wavelet", ["on", "off"])
def test_steps_and_wavelet_correction_change_little(
    box: Engine, few: list[Recording], steps: int, wavelet: str, record_property: Record
) -> None:
    usual = [recording.latents for recording in few]
    other = [box.render([one.plan], [one.seed], steps=steps, wavelet_correction=wavelet)[0] for one in few]
    record_property(f"onset F1 at {steps} steps, correction {wavelet}", mean_likeness(other, few))
    assert mean_likeness(other, few) > mean_likeness(usual, few) - 0.02
    assert right_instruments(other, few) > right_instruments(usual, few) - 0.02


def test_tiles_change_nothing(box: Engine, few: list[Recording]) -> None:
    for recording in few[:3]:
        frames = len(recording.latents)
        tiled = decode_songs(
            NETWORKS, box.vae, [recording.latents], [frames * SAMPLES_PER_FRAME], tile_seconds=TILE_SECONDS
        )[0]
        assert torch.allclose(tiled / recording.peak, recording.waveform, atol=1e-4)
        network, runtime = NETWORKS.use(box.vae.vae)
        heard = encode_waveforms(network, recording.waveform[None], runtime, tile_frames=round(TILE_SECONDS * 25))[0]
        assert torch.allclose(heard, box.encode(recording.waveform), atol=1e-4)


def test_a_retake_is_another_melody_of_the_same_plan(box: Engine, few: list[Recording]) -> None:
    for song in (replace(recording.song, instruments=DEFAULT_BAND) for recording in few[:3]):
        (first,) = box.render([plan_of(song)], [1])
        same, other = (
            box.render([plan_of(song)], [1], variation=AceVariation(seed=2, strength=strength))[0]
            for strength in (0.0, 1.0)
        )
        assert torch.equal(same, first)
        assert likeness(hits(other), hits(first)) > 0.98
        assert 0.1 < likeness(hits(other, ("guitar",)), hits(first, ("guitar",))) < 0.6


@pytest.mark.parametrize("solver", ["heun", "sde"])
def test_every_solver_plays_the_song(box: Engine, solver: str) -> None:
    song = Song(120, "D minor", "house", "dark", seconds=10)
    (latents,) = box.render([plan_of(song)], [3], solver=solver)
    assert likeness(hits(latents), hits(roll(song))) > 0.98


def test_base_plays_in_fifty_steps_with_guidance(base_box: Engine) -> None:
    songs = random_songs(4, seed=3, seconds=10)
    for latents, song in zip(rendered(base_box, songs), songs, strict=True):
        assert likeness(hits(latents), hits(roll(song))) > 0.95
        assert playing(latents) == set(song.instruments)
