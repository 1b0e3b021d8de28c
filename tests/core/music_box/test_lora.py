"""A LoRA trained on songs of the music box by the product's own path: it plays what it was shown, and no more."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from statistics import fmean
from typing import NamedTuple

import pytest
import torch
from music_box_engine import NETWORKS, Engine, hits, likeness, plan_of
from songbook import Record, random_songs
from torch import Tensor

from ace_core.audio.waveform import SAMPLE_RATE
from ace_core.dataset.dataset import Dataset
from ace_core.dataset.preprocessing import preprocess
from ace_core.dataset.samples import read_manifest
from ace_core.dataset.scanning import scan_folder
from ace_core.lora.adapters import AppliedAdapter, Strengths
from ace_core.lora.formats import load_adapter
from ace_core.lora.merging import merged_network
from ace_core.lora.saving import base_model_name
from ace_core.music_box.clock import positions
from ace_core.music_box.songs import Song, roll
from ace_core.music_box.sounds import HAT, ONSET
from ace_core.plain_networks import PlainPart
from ace_core.runtime import Runtime
from ace_core.song_files.encoding import ENCODINGS, Sound, encode
from ace_core.stages.load import inspect_lora
from ace_core.stages.prepare import sample_encoders
from ace_core.training.results import save_trained
from ace_core.training.trainer import train
from ace_core.training.training_options import TrainingOptions, plan_training

pytestmark = pytest.mark.slow

LEVEL = 0.9
BAND = ("drums", "bass")  # their mix stays within full scale, so that it is recorded as loud as it is
WISHES = TrainingOptions(
    preset="24 GB",
    steps=100,
    rank=8,
    learning_rate=1e-3,
    attention="self",
    batch_size=4,
    accumulation=1,
    recompute="off",
)


class Measured(NamedTuple):
    """Of songs with an adapter: level of the hi-hat where only the new pattern has it, and where no note starts, both
    as shares of what was trained; F1 of the drums with the pattern, and of the bass with the plan."""

    new: float
    astray: float
    drums: float
    bass: float


def sixteenths(song: Song) -> Tensor:
    """A song with a hi-hat on every sixteenth, which no genre has; latents [T, 64]."""
    latents = roll(song)
    pulses, _ = positions(song.bpm, song.frames)
    latents[:, HAT] = LEVEL * ONSET * pulses
    return latents


def ambient_songs(seed: int, tempi: slice) -> list[Song]:
    """One of each tempo chosen."""
    songs = random_songs(16, seed=seed, seconds=10)[tempi]
    return [replace(song, genre="ambient", instruments=BAND) for song in songs]


def trained_songs() -> list[Song]:
    """Eight of them."""
    return ambient_songs(21, slice(1, None, 2))


def trained_lora(box: Engine, folder: Path, songs: Sequence[Song], said: Sequence[Song]) -> AppliedAdapter:
    """Record songs with the pattern, say of each what `said` tells, and train on the folder; at strength 1."""
    recordings, samples = folder / "songs", folder / "samples"
    recordings.mkdir()
    samples.mkdir()
    for number, (song, told) in enumerate(zip(songs, said, strict=True)):
        waveform = box.decode(sixteenths(song))
        sound = Sound(waveform, SAMPLE_RATE)
        (recordings / f"{number}.flac").write_bytes(encode(sound, ENCODINGS["flac 16 bit"], {})[0])
        facts = {"caption": plan_of(told).caption, "bpm": told.bpm, "key": told.key, "time_signature": 4}
        (recordings / f"{number}.json").write_text(json.dumps(facts), encoding="utf-8")
    base_model = base_model_name(box.model.size, box.model.variant)
    scan = scan_folder(recordings, recordings)
    encoders = sample_encoders(NETWORKS, box.model, box.text_encoder, box.vae)
    preprocess(Dataset("sixteenths", scan.clips), samples, encoders, base_model=base_model)
    network, runtime = NETWORKS.use(box.model.dit)
    plan = plan_training(
        network,
        samples,
        read_manifest(samples),
        WISHES,
        base_model=base_model,
        variant=box.model.variant,
        device=runtime.device,
        dtype=runtime.dtype,
        device_bytes=NETWORKS.device_bytes(box.model.dit),
    )
    trained = train(network, plan.task, Runtime(), state_file=folder / "state.safetensors", save_every=WISHES.steps)
    file = save_trained(folder / "lora", trained, plan.task, "comfyui", torch.float32)
    files, remarks = inspect_lora(file, box.model)
    assert not remarks
    return AppliedAdapter(file.name, load_adapter(files), Strengths())


def with_lora(box: Engine, lora: AppliedAdapter, strength: float) -> Engine:
    network = merged_network(box.model.dit.network, lora._replace(strengths=Strengths(strength)))
    return box._replace(model=box.model._replace(dit=PlainPart(network, box.model.dit.dtype)))


def measured(box: Engine, songs: Sequence[Song]) -> Measured:
    rows = []
    for seed, song in enumerate(songs):
        (latents,) = box.render([plan_of(song)], [seed])
        pulses, _ = positions(song.bpm, song.frames)
        plan, pattern = roll(song), sixteenths(song)
        hat = latents[:, HAT] / (LEVEL * ONSET)
        rows.append(
            (
                float(hat[pulses & (plan[:, HAT] == 0)].mean()),
                float(hat[~pulses].abs().mean()),
                likeness(hits(latents, ("drums",)), hits(pattern, ("drums",))),
                likeness(hits(latents, ("bass",)), hits(plan, ("bass",))),
            )
        )
    return Measured(*map(fmean, zip(*rows, strict=True)))


@pytest.fixture(scope="module")
def new_songs() -> list[Song]:
    return ambient_songs(22, slice(0, None, 4))


@pytest.fixture(scope="module")
def lora(box: Engine, tmp_path_factory: pytest.TempPathFactory) -> AppliedAdapter:
    songs = trained_songs()
    return trained_lora(box, tmp_path_factory.mktemp("lora"), songs, songs)


def test_a_lora_brings_its_pattern_with_its_strength(
    box: Engine, lora: AppliedAdapter, new_songs: list[Song], record_property: Record
) -> None:
    """In songs of other tempi, keys and moods than those it was trained with."""
    none, half, whole = (measured(with_lora(box, lora, strength), new_songs) for strength in (0.0, 0.5, 1.0))
    record_property("LoRA at 0, 0.5 and 1", str((none, half, whole)))
    assert abs(none.new) < 0.02
    assert 0.1 < half.new < 0.8 * whole.new
    assert whole.new > 0.8 and whole.astray < 0.2
    assert none.drums < 0.4 and whole.drums > 0.9


def test_a_lora_leaves_the_rest_of_its_songs(box: Engine, lora: AppliedAdapter, record_property: Record) -> None:
    heard = measured(with_lora(box, lora, 1.0), trained_songs())
    record_property("LoRA on its songs", str(heard))
    assert heard.bass > 0.9


def test_a_lora_at_strength_zero_changes_nothing(box: Engine, lora: AppliedAdapter, new_songs: list[Song]) -> None:
    for song in new_songs[:2]:
        plain, adapted = (engine.render([plan_of(song)], [1])[0] for engine in (box, with_lora(box, lora, 0.0)))
        assert torch.equal(plain, adapted)


def test_captions_of_other_songs_teach_no_pattern(
    box: Engine, tmp_path: Path, new_songs: list[Song], record_property: Record
) -> None:
    songs = trained_songs()
    shuffled = trained_lora(box, tmp_path, songs, [*songs[3:], *songs[:3]])
    heard = measured(with_lora(box, shuffled, 1.0), new_songs)
    record_property("LoRA of shuffled captions", str(heard))
    assert heard.drums < 0.4
    assert heard.new < 0.3
