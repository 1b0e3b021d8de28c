"""What travels on the wires between the nodes, and the wires' names.

Wire objects are NamedTuples: immutable, cheap, and the host's memory policy finds the patchers inside a tuple. Weights
are the patchers' (shared through the registry). The representations are short because the host's error dialog prints
every input of a failed node.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple

import torch
from comfy_api.v0_0_2 import io
from torch import Tensor

from ..ace_core.checkpoints.inspection import Size
from ..ace_core.checkpoints.registry import FileStamp
from ..ace_core.checkpoints.tokenizer import TextTokenizer
from ..ace_core.dataset.dataset import Dataset
from ..ace_core.dataset.samples import Manifest
from ..ace_core.listening.song_scores import SongScores
from ..ace_core.lora.adapters import AppliedAdapter
from ..ace_core.planner.grammar import Grammar
from ..ace_core.render.conditions import SongConditions
from ..ace_core.sampling.settings import CheckpointKind
from ..ace_core.song.blueprint import Blueprint
from ..ace_core.song_files.record import Setting, SongRecord
from ..ace_core.tasks.song_task import SongTask

AceModelWire = io.Custom("ACE_MODEL")
AceTextEncoderWire = io.Custom("ACE_TEXT_ENCODER")
AceVaeWire = io.Custom("ACE_VAE")
AcePlannerWire = io.Custom("ACE_PLANNER")
AceBlueprintWire = io.Custom("ACE_BLUEPRINT")
AceTaskWire = io.Custom("ACE_TASK")
AceTimbreWire = io.Custom("ACE_TIMBRE")
AceConditioningWire = io.Custom("ACE_CONDITIONING")
AceScoresWire = io.Custom("ACE_SCORES")
AceDatasetWire = io.Custom("ACE_DATASET")
AceTrainingDataWire = io.Custom("ACE_TRAINING_DATA")
AceRecordWire = io.Custom("ACE_RECORD")

SONG_SEPARATOR = "\f"  # between the songs of a text on a wire


class AceModel(NamedTuple):
    """DiT, condition encoder and audio tokenizer of one checkpoint, each with its patcher.

    Attributes:
        kind: what the checkpoint wants of the sampler. size: "2b" or "xl".
        audio_tokenizer: None in checkpoints converted without it.
        silence: the silence latent [1, T, 64].
        dtype: what the networks compute in.
        adapters: what `dit` adds to its weights, first put on first.
        files: what the networks were loaded from, adapters apart; of the other wires likewise.
    """

    name: str
    size: Size
    kind: CheckpointKind
    dit: Any
    condition_encoder: Any
    audio_tokenizer: Any | None
    silence: Tensor
    dtype: torch.dtype
    adapters: tuple[AppliedAdapter, ...] = ()
    files: tuple[FileStamp, ...] = ()

    def __repr__(self) -> str:
        model = f"ACE-Step 1.5 {self.size.upper()} {self.kind} ({self.name})"
        return " + ".join((model, *map(repr, self.adapters)))


class AceTextEncoder(NamedTuple):
    """Qwen3 embedding model with its tokenizer."""

    name: str
    patcher: Any
    tokenizer: TextTokenizer
    dtype: torch.dtype
    files: tuple[FileStamp, ...] = ()

    def __repr__(self) -> str:
        return f"ACE-Step 1.5 text encoder ({self.name})"


class AceVae(NamedTuple):
    """Oobleck VAE."""

    name: str
    patcher: Any
    dtype: torch.dtype
    files: tuple[FileStamp, ...] = ()

    def __repr__(self) -> str:
        return f"ACE-Step 1.5 VAE ({self.name})"


class AcePlanner(NamedTuple):
    """5 Hz language model with the grammar of its tokenizer."""

    name: str
    patcher: Any
    grammar: Grammar
    dtype: torch.dtype
    files: tuple[FileStamp, ...] = ()

    def __repr__(self) -> str:
        return f"ACE-Step 1.5 planner ({self.name})"


AceBlueprint = tuple[Blueprint, ...]


class AceTask(NamedTuple):
    """What to make of source audio: a task for each song of a batch, or one for all of it."""

    songs: tuple[SongTask, ...]

    def __repr__(self) -> str:
        return (
            f"{self.songs[0]!r}" if len(self.songs) == 1 else f"{len(self.songs)} tasks, the first: {self.songs[0]!r}"
        )


class AceTimbre(NamedTuple):
    """Latents of reference audio, each [750, 64] (30 s); every song of a batch hears all of them."""

    references: tuple[Tensor, ...]

    def __repr__(self) -> str:
        return f"timbre of {len(self.references)} reference(s)"


class AceVariation(NamedTuple):
    """A retake: item i mixes in the noise of `seed` + i; `strength` 0 is the song itself, 1 the other seed's."""

    seed: int
    strength: float


class AceConditioning(NamedTuple):
    """Conditions of each song of a batch; `settings` is what a record should say of how each was encoded."""

    songs: tuple[SongConditions, ...]
    variation: AceVariation | None = None
    settings: tuple[Mapping[str, Setting], ...] = ()

    def __repr__(self) -> str:
        return f"conditions of {len(self.songs)} song(s)"


class AceScores(NamedTuple):
    """How each song of a batch was judged."""

    songs: tuple[SongScores, ...]

    def __repr__(self) -> str:
        totals = ", ".join("none" if song.total is None else f"{song.total:.3f}" for song in self.songs)
        return f"scores of {len(self.songs)} song(s): {totals}"


AceDataset = Dataset


class AceTrainingData(NamedTuple):
    """A folder of samples, and the manifest that says which of them to train on."""

    folder: Path
    manifest: Manifest

    def __repr__(self) -> str:
        minutes = sum(entry.seconds for entry in self.manifest.samples) / 60
        return f"training data {self.manifest.name}: {len(self.manifest.samples)} clips, {minutes:.1f} min"


AceRecord = SongRecord
