"""The music box's metronome, sounds and songs."""

from __future__ import annotations

import math

import pytest
import torch
from music_box_engine import Engine, signal_to_noise

from ace_core.audio.waveform import SAMPLE_RATE
from ace_core.music_box.clock import CHANNELS_PER_TEMPO, TEMPI, metronome, nearest_tempo, positions
from ace_core.music_box.songs import BOX_KEYS, GENRES, MOODS, Song, roll
from ace_core.music_box.sounds import GROUPS, signs
from ace_core.music_box.words import own_key
from ace_core.song.fields import KEYS

FRAMES_A_MINUTE = 1500


@pytest.mark.parametrize("bpm", TEMPI)
def test_sixteenths_start_in_the_frame_of_their_time(bpm: int) -> None:
    pulses, numbers = positions(bpm, 3_000)
    expected = [math.floor(sixteenth * FRAMES_A_MINUTE / 4 / bpm + 1e-9) for sixteenth in range(4 * bpm * 2)]
    assert pulses.nonzero()[:, 0].tolist() == [frame for frame in expected if frame < 3_000]
    for sixteenth, frame in enumerate(expected):
        if frame < 3_000:
            assert numbers[frame] == sixteenth % 64
    assert (numbers[0::2] == numbers[1::2]).all()


def test_the_metronome_spells_the_position_in_every_pair() -> None:
    frames = 1_000
    clock = metronome(frames)
    for index, bpm in enumerate(TEMPI):
        pulses, numbers = positions(bpm, frames)
        at = index * CHANNELS_PER_TEMPO
        assert torch.equal(clock[:, at] == 1, pulses)
        bits = torch.cat((clock[0::2, at + 1 : at + 4], clock[1::2, at + 1 : at + 4]), dim=1) > 0
        assert torch.equal((bits * 2 ** torch.arange(6)).sum(1), numbers[0::2])


def test_every_spelling_of_a_key_has_its_sound() -> None:
    assert {own_key(key) for key in KEYS} == set(BOX_KEYS)
    assert own_key("Db major") == own_key("C# major") == "C# major" and own_key("E# minor") == "F minor"
    assert nearest_tempo(112) == 110 and nearest_tempo(300) == 150 and nearest_tempo(30) == 60


def test_sounds_come_back_through_the_vae(box: Engine) -> None:
    chance = torch.Generator().manual_seed(0)
    latents = torch.zeros(200, 64)
    latents[8:-8, :40] = 3.0 * (torch.rand(184, 40, generator=chance) < 0.06)
    latents[:, 3] = 0
    latents[8:-8, 40:] = 2 * torch.rand(184, 24, generator=chance)
    latents *= signs(200)
    waveform = box.decode(latents)
    heard = 4 * box.encode(waveform / 4)  # within full scale
    assert signal_to_noise(latents[8:-8], heard[8:-8]) > 25
    assert signal_to_noise(waveform, box.decode(heard)) > 30


def test_stems_add_up_to_the_mix(box: Engine) -> None:
    song = Song(100, "A minor", "rock", "sad", tuple(GROUPS), seconds=10)
    stems = [box.decode(roll(Song(100, "A minor", "rock", "sad", (name,), seconds=10))) for name in GROUPS]
    assert signal_to_noise(box.decode(roll(song)), torch.stack(stems).sum(0)) > 40


def test_foreign_audio_is_heard_as_something_bounded(box: Engine) -> None:
    time = torch.arange(4 * SAMPLE_RATE) / SAMPLE_RATE
    chance = torch.Generator().manual_seed(0)
    sounds = (0.5 * torch.sin(2 * math.pi * 440 * time), 0.2 * torch.randn(len(time), generator=chance))
    for sound in sounds:
        latents = box.encode(torch.stack((sound, sound)))
        assert latents.isfinite().all() and latents.abs().max() < 30
        assert box.decode(latents).abs().max() < 4
    assert box.encode(torch.zeros(2, SAMPLE_RATE)).abs().max() == 0


def test_all_songs_of_the_world_differ() -> None:
    bars = {
        (genre, mood, mode): roll(Song(120, f"C {mode}", genre, mood, tuple(GROUPS), seconds=10))
        for genre in GENRES
        for mood in MOODS
        for mode in ("major", "minor")
    }
    fingerprints = {tensor.numpy().tobytes() for tensor in bars.values()}
    assert len(fingerprints) == len(bars)
