"""Audio codes of the music box: what they say, and songs that follow them."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch
from music_box_engine import NETWORKS, Engine, hits, likeness, plan_of, playing
from torch import nn

from ace_core.audio.waveform import SAMPLE_RATE
from ace_core.checkpoints.configs import FSQ_LEVELS
from ace_core.models.audio_tokenizer import AudioTokenizer, level_indices
from ace_core.music_box.clock import BITS, SIXTEENTHS, TEMPI, positions
from ace_core.music_box.code_book import (
    CLOCK_MARK,
    FIRST_BIT_CHANNEL,
    PULSE_CHANNEL,
    SOUND_MARK,
    clock_codes,
    code_of_levels,
    tempo_slots,
)
from ace_core.music_box.songs import DEFAULT_BAND, INSTRUMENTS, Song, roll
from ace_core.music_box.sounds import DICE
from ace_core.music_box.tokenizer_weights import audio_tokenizer_weights, tokenizer_config
from ace_core.song.fields import CODE_COUNT
from ace_core.stages.codes import codes_of_latents
from ace_core.tasks.cover import cover_task

SONGS = [
    Song(110, "D# minor", "pop", "warm", INSTRUMENTS, 12),
    Song(140, "E major", "rock", "dark", ("drums", "bass", "keyboard"), 12),
    Song(65, "A minor", "ballad", "sad", ("keyboard", "strings"), 12),
    Song(85, "A# major", "hip hop", "bright", (*DEFAULT_BAND, "vocals"), 12),
]


@pytest.fixture(scope="module", params=["float32", "bfloat16"])
def tokenizer(request: pytest.FixtureRequest) -> AudioTokenizer:
    network = AudioTokenizer(tokenizer_config(), ops=nn)
    network.load_state_dict(audio_tokenizer_weights())
    network.to(getattr(torch, request.param)).tokenizer.quantizer.float()
    return network.requires_grad_(False)


def dtype_of(tokenizer: AudioTokenizer) -> torch.dtype:
    return tokenizer.detokenizer.proj_out.weight.dtype


def test_levels_and_codes_are_the_quantisers() -> None:
    codes = torch.tensor([0, 1, 7, 8, 511, 512, 12_799, 12_800, CODE_COUNT - 1])
    assert [code_of_levels(levels) for levels in level_indices(codes, FSQ_LEVELS).tolist()] == codes.tolist()


@pytest.mark.parametrize("bpm", TEMPI)
def test_codes_of_the_clock_say_where_in_the_bars_a_frame_is(tokenizer: AudioTokenizer, bpm: int) -> None:
    codes = clock_codes(bpm, 150)
    latents = tokenizer.decode(torch.tensor([codes]), dtype_of(tokenizer))[0].float()
    pulses, numbers = positions(bpm, len(latents))
    assert (latents[:, DICE] - CLOCK_MARK).abs().max() < 0.1
    assert torch.equal(latents[:, PULSE_CHANNEL] > 0.5, pulses)
    bits = (latents[:, FIRST_BIT_CHANNEL : FIRST_BIT_CHANNEL + BITS] > 0).long()
    said = (bits << torch.arange(BITS)).sum(dim=1)
    assert torch.equal(said[1::2], numbers[1::2])  # of a pair the number of its second frame


def test_tempi_have_clocks_of_their_own_that_repeat() -> None:
    clocks = {bpm: tuple(clock_codes(bpm, 3000)) for bpm in TEMPI}
    assert len({codes[:20] for codes in clocks.values()}) == len(TEMPI)
    for bpm, codes in clocks.items():
        period = SIXTEENTHS * len(tempo_slots(bpm))  # codes: whole slots, whole sixteenths
        assert codes[: 3000 - period] == codes[period:]


@pytest.mark.parametrize("song", SONGS, ids=lambda song: song.genre)
def test_codes_of_sound_keep_chords_rhythm_and_melody(tokenizer: AudioTokenizer, song: Song) -> None:
    latents = roll(song)
    codes = tokenizer.encode(latents[None].to(dtype_of(tokenizer)))
    heard = tokenizer.decode(codes, dtype_of(tokenizer))[0].float()
    assert (heard[:, DICE] - SOUND_MARK).abs().max() < 0.1
    heard[:, DICE] = 0
    assert likeness(hits(heard), hits(latents)) > 0.95 and playing(heard) == set(song.instruments)
    assert likeness(hits(heard, ("guitar",)), hits(latents, ("guitar",))) > 0.9


def test_noise_of_the_codec_changes_few_codes(tokenizer: AudioTokenizer) -> None:
    latents = roll(SONGS[0])[None]
    noisy = latents + 0.05 * torch.randn(latents.shape, generator=torch.Generator().manual_seed(1))
    codes, others = (tokenizer.encode(x.to(dtype_of(tokenizer))) for x in (latents, noisy))
    assert (codes == others).float().mean() > 0.9


@pytest.mark.parametrize("song", SONGS, ids=lambda song: song.genre)
def test_a_song_follows_the_clock_of_its_plan(box: Engine, song: Song) -> None:
    plan = replace(plan_of(song), audio_codes=tuple(clock_codes(song.bpm, 60)))
    (latents,) = box.render([plan], [3])
    assert likeness(hits(latents), hits(roll(song))) > 0.98 and playing(latents) == set(song.instruments)


def test_a_clock_that_is_not_the_plans_tempo_is_followed(box: Engine) -> None:
    song = SONGS[0]
    plan = replace(plan_of(song), audio_codes=tuple(clock_codes(140, 60)))
    (latents,) = box.render([plan], [3])
    assert likeness(hits(latents), hits(roll(replace(song, bpm=140)))) > 0.98


@pytest.mark.parametrize("song", SONGS, ids=lambda song: song.genre)
def test_codes_of_a_song_play_it_again_with_its_melody(box: Engine, song: Song) -> None:
    (latents,) = box.render([plan_of(song)], [1])
    (codes,) = codes_of_latents(NETWORKS, box.model, [latents])
    (again,) = box.render([replace(plan_of(song), audio_codes=codes)], [2])
    assert likeness(hits(again), hits(latents)) > 0.95 and playing(again) == set(song.instruments)
    melodies = [hits(x, ("guitar",)) for x in (again, latents)]
    assert likeness(*melodies) > 0.7  # one note of four is outside the triad
    assert likeness(*(melody.any(dim=1) for melody in melodies)) > 0.9


def test_a_cover_through_codes_keeps_chords_and_plays_what_is_asked(box: Engine) -> None:
    for number, song in enumerate(SONGS):
        (latents,) = box.render([plan_of(song)], [number])
        asked = replace(song, instruments=tuple(name for name in song.instruments if name in ("bass", "keyboard")))
        (cover,) = box.render([plan_of(asked)], [number], [cover_task(latents, round(song.seconds * SAMPLE_RATE))])
        assert playing(cover) == set(asked.instruments)
        assert likeness(hits(cover), hits(roll(asked))) > 0.9
