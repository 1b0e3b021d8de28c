"""What the music box's planner is taught of sound: codes of random songs, and what may be said of them.

Questions are those of Understand, which asks for all metadata and the words, and of Score, which asks for one thing at
a time, with the codes and without. A whole answer has the planner's own words for a caption; by itself a caption may
come in any words. A song with a voice is sung with the verse of its mood.
"""

from __future__ import annotations

import random
from collections.abc import Iterator, Sequence
from dataclasses import replace
from typing import NamedTuple

import torch
from torch import Tensor, nn

from ..audio.waveform import LATENT_FRAME_RATE
from ..models.audio_tokenizer import AudioTokenizer
from ..planner.chat_prompts import understand_prompt, unheard_prompt
from ..planner.text_tokens import TextTokens
from ..song.fields import INSTRUMENTAL_LYRICS
from ..tasks.song_task import FRAMES_PER_CODE
from .clock import TEMPI
from .code_book import transposed
from .planner_lessons import VERSE_OF_MOOD, Dialogue, answered, plain_caption
from .songs import BOX_KEYS, CHORD_NOTES, GENRES, INSTRUMENTS, MODES, MOODS, NOTES, Song, roll
from .tokenizer_weights import audio_tokenizer_weights, tokenizer_config
from .words import worded_caption

_LONGEST_SECONDS = 40
_LENGTHS = (10, 12, 15, 16, 20, 24, 30, _LONGEST_SECONDS)
_SHARES = (3, 4, 4, 5, 4, 2, 1, 1)
_NOISE = 0.05  # that a recording adds to latents
_TOGETHER = 16  # songs that are turned into codes at once
_COUNTS_MORE = {"bpm": 4, "keyscale": 4}  # they are harder to hear than to write


class HeardSong(NamedTuple):
    """A song of 40 s and its audio codes [200]."""

    song: Song
    codes: Tensor


def heard_songs(count: int, seed: int) -> Iterator[HeardSong]:
    """Random songs, of all tempi and genres in turn."""
    chance, generator = random.Random(seed), torch.Generator().manual_seed(seed)
    network = AudioTokenizer(tokenizer_config(), ops=nn)
    network.load_state_dict(audio_tokenizer_weights())
    network.requires_grad_(False)
    songs = [_random_song(number, chance) for number in range(count)]
    for start in range(0, count, _TOGETHER):
        some = songs[start : start + _TOGETHER]
        latents = torch.stack([_played(song, generator) for song in some])
        yield from map(HeardSong, some, network.encode(latents))


def hearing_dialogue(tokens: TextTokens, songs: Sequence[HeardSong], chance: random.Random) -> Dialogue:
    """The beginning of one of the songs, in any key, with a question about it."""
    song, codes = chance.choice(songs)
    semitones = chance.randrange(len(NOTES))
    seconds = chance.choices(_LENGTHS, _SHARES)[0]
    count = seconds * LATENT_FRAME_RATE // FRAMES_PER_CODE
    start = 0 if chance.random() < 0.7 else chance.randrange(len(codes) - count + 1)
    heard = transposed(codes[start : start + count], semitones).tolist()
    note, mode = song.key.split()
    key = f"{NOTES[(NOTES.index(note) + semitones) % len(NOTES)]} {mode}"
    return _said(tokens, heard, replace(song, key=key, seconds=seconds), chance)


def _random_song(number: int, chance: random.Random) -> Song:
    instruments = tuple(name for name in INSTRUMENTS if chance.random() < (0.85 if name == "drums" else 0.6))
    return Song(
        TEMPI[number % len(TEMPI)],
        f"C {MODES[number % len(MODES)]}" if number % 4 < 2 else chance.choice(BOX_KEYS),
        list(GENRES)[number % len(GENRES)],
        chance.choice(list(MOODS)),
        instruments or ("keyboard",),
        _LONGEST_SECONDS,
    )


def _played(song: Song, generator: torch.Generator) -> Tensor:
    """Latents with a guitar of chance and some noise."""
    choices = len(CHORD_NOTES["major"])
    notes = torch.randint(choices, (song.frames // 2,), generator=generator).repeat_interleave(2)
    latents = roll(song, notes)
    amount = _NOISE * torch.rand(1, generator=generator)
    return latents + amount * torch.randn(latents.shape, generator=generator)


def _said(tokens: TextTokens, codes: Sequence[int], song: Song, chance: random.Random) -> Dialogue:
    sung = "vocals" in song.instruments
    band = [name for name in INSTRUMENTS if name in song.instruments]
    lyrics = VERSE_OF_MOOD[song.mood] if sung else INSTRUMENTAL_LYRICS
    metadata: dict[str, str | int] = {
        "bpm": song.bpm,
        "caption": plain_caption(song.mood, song.genre, band),
        "duration": round(song.seconds),
        "keyscale": song.key,
        "language": "en" if sung else "unknown",
        "timesignature": 4,
    }
    prompt = understand_prompt(tokens, codes) if chance.random() < 0.8 else unheard_prompt(tokens)
    subject = chance.choice(("all", "all", "all", "caption", "caption", "lyrics", "field"))
    if subject == "all":
        return answered(tokens, prompt, metadata, f"\n\n# Lyric\n{lyrics}", weights=_COUNTS_MORE)
    if subject == "lyrics":
        return answered(tokens, prompt, {}, f"\n# Lyric\n{VERSE_OF_MOOD[song.mood]}\n")
    if subject == "field":
        name = chance.choice([name for name in metadata if name != "caption"])
        return answered(tokens, prompt, {name: metadata[name]}, "\n", weights=_COUNTS_MORE)
    if chance.random() < 0.7:
        chance.shuffle(band)
        metadata["caption"] = worded_caption(song.mood, song.genre, band, chance)
    return answered(tokens, prompt, {"caption": metadata["caption"]}, "\n")
