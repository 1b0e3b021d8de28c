"""The music box through the engine's own stages, and what is measured on its songs."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from functools import lru_cache
from pathlib import Path
from typing import Any, NamedTuple

import torch
from torch import Tensor

from ace_core.analysis.key import estimate_key, same_key
from ace_core.analysis.mono import analysis_mono
from ace_core.analysis.tempo import estimate_tempo
from ace_core.audio.waveform import SAMPLE_RATE, SAMPLES_PER_FRAME
from ace_core.checkpoints.inspection import inspect_model
from ace_core.checkpoints.variants import Variant
from ace_core.loaded import AceModel, AceTextEncoder, AceVae
from ace_core.music_box.files import MusicBoxFiles
from ace_core.music_box.songs import INSTRUMENTS, Song
from ace_core.music_box.sounds import GROUPS
from ace_core.music_box.words import GENRE_WORDS, INSTRUMENT_WORDS, MOOD_WORDS
from ace_core.plain_networks import PlainNetworks
from ace_core.runtime import Precision, Runtime
from ace_core.sampling.options import OFFERED, resolve
from ace_core.song.blueprint import Blueprint
from ace_core.stages.decode import decode_songs
from ace_core.stages.encode import AceVariation, encode_songs
from ace_core.stages.load import inspect_models, load_models
from ace_core.stages.render import new_take, render_songs
from ace_core.stages.sources import encode_source
from ace_core.tasks.song_task import SongTask

NETWORKS = PlainNetworks(Runtime().device)
HEARD_LEVEL = 0.05  # root mean square of an instrument's latents from which it counts as playing
HIT = 1.2  # latents of a note's start


class Engine(NamedTuple):
    """The music box, loaded."""

    model: AceModel
    text_encoder: AceTextEncoder
    vae: AceVae

    def render(
        self,
        plans: Sequence[Blueprint],
        seeds: Sequence[int],
        tasks: Sequence[SongTask] = (),
        *,
        variation: AceVariation | None = None,
        **options: Any,
    ) -> list[Tensor]:
        """Latents [T, 64] of songs, at the settings that a new node has."""
        conditioning = encode_songs(NETWORKS, self.model, self.text_encoder, plans, tasks=tasks).conditioning
        settings = replace(OFFERED, **options)
        take = new_take(conditioning._replace(variation=variation), settings, list(seeds), len(seeds))
        return [*render_songs(NETWORKS, self.model, take, resolve(settings, self.model.variant)).latents]

    def decode(self, latents: Tensor) -> Tensor:
        """[2, samples]."""
        return decode_songs(NETWORKS, self.vae, [latents], [len(latents) * SAMPLES_PER_FRAME])[0]

    def encode(self, waveform: Tensor) -> Tensor:
        """[T, 64]."""
        return encode_source(NETWORKS, self.vae, waveform[None])[0]


@lru_cache(maxsize=3)
def load_music_box(files: MusicBoxFiles, variant: Variant = "turbo", precision: Precision = "float32") -> Engine:
    sources = inspect_models(inspect_model(files.model), files.text_encoder, files.vae)
    return Engine(*load_models(NETWORKS, sources, variant=variant, precision=precision))


def plan_of(song: Song, *, word: int = 0) -> Blueprint:
    """A plan that asks for a song in words; `word` chooses among those that mean the same."""
    genres, moods = GENRE_WORDS[song.genre], MOOD_WORDS[song.mood]
    named = [INSTRUMENT_WORDS[name][word % len(INSTRUMENT_WORDS[name])] for name in song.instruments]
    return Blueprint(
        caption=f"{moods[word % len(moods)]} {genres[word % len(genres)]} with {', '.join(named)}",
        lyrics="[Instrumental]",
        bpm=song.bpm,
        key=song.key,
        time_signature=4,
        duration_seconds=song.seconds,
    )


def hits(latents: Tensor, groups: Sequence[str] = ("drums", "bass", "keyboard")) -> Tensor:
    """Where notes start, bool [T, channels] of one-shot instruments."""
    return torch.cat([latents[:, GROUPS[name].start : GROUPS[name].stop] > HIT for name in groups], dim=1)


def likeness(one: Tensor, other: Tensor) -> float:
    """F1 of two sets of note starts."""
    found, wanted = float(one.sum()), float(other.sum())
    return 1.0 if found + wanted == 0 else 2 * float((one & other).sum()) / (found + wanted)


def playing(latents: Tensor) -> set[str]:
    """Instruments that are heard."""
    return {
        name
        for name in INSTRUMENTS
        if latents[:, GROUPS[name].start : GROUPS[name].stop].square().mean().sqrt() > HEARD_LEVEL
    }


def tempo_is(waveform: Tensor, bpm: float) -> bool:
    """Whether that tempo is heard, or its octave."""
    mono = analysis_mono(waveform, SAMPLE_RATE)
    heard = None if mono is None else estimate_tempo(mono)
    return heard is not None and any(abs(heard.bpm - bpm * octave) < max(octave, 1) for octave in (0.5, 1, 2))


def key_is(waveform: Tensor, key: str) -> bool:
    mono = analysis_mono(waveform, SAMPLE_RATE)
    heard = None if mono is None else estimate_key(mono)
    return heard is not None and same_key(heard.name, key)


def signal_to_noise(wanted: Tensor, heard: Tensor) -> float:
    """Decibels."""
    return float(10 * torch.log10(wanted.square().sum() / (wanted - heard).square().sum().clamp(min=1e-12)))


def bytes_on_disk(folder: Path) -> int:
    """What the files of a folder take up, without the holes in them."""
    return sum(path.stat().st_blocks * 512 for path in folder.rglob("*") if path.is_file())
