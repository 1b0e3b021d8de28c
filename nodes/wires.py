"""What travels on the wires between the nodes, and the wires' names.

Models and conditioning are the engine's own (`ace_core.loaded`, `ace_core.stages.encode`). Like them, wire objects are
NamedTuples with short representations.
"""

from __future__ import annotations

from pathlib import Path
from typing import NamedTuple, TypeAlias

from comfy_api.v0_0_2 import io
from torch import Tensor

from ..ace_core.dataset.dataset import Dataset
from ..ace_core.dataset.samples import Manifest
from ..ace_core.listening.song_scores import SongScores
from ..ace_core.song.blueprint import Blueprint
from ..ace_core.song_files.record import SongRecord
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


AceBlueprint: TypeAlias = tuple[Blueprint, ...]


class AceTask(NamedTuple):
    """What to make of source audio: a task for each song of a batch, or one for all of it."""

    songs: tuple[SongTask, ...]

    def __repr__(self) -> str:
        return (
            f"{self.songs[0]!r}" if len(self.songs) == 1 else f"{len(self.songs)} tasks, the first: {self.songs[0]!r}"
        )


class AceTimbre(NamedTuple):
    """Latents of reference audio, each [750, 64] (30 s); every song of a batch uses all of them."""

    references: tuple[Tensor, ...]

    def __repr__(self) -> str:
        return f"timbre of {len(self.references)} reference(s)"


class AceScores(NamedTuple):
    """How each song of a batch was judged."""

    songs: tuple[SongScores, ...]

    def __repr__(self) -> str:
        totals = ", ".join("none" if song.total is None else f"{song.total:.3f}" for song in self.songs)
        return f"scores of {len(self.songs)} song(s): {totals}"


AceDataset: TypeAlias = Dataset


class AceTrainingData(NamedTuple):
    """A folder of samples, and the manifest that says which of them to train on."""

    folder: Path
    manifest: Manifest

    def __repr__(self) -> str:
        minutes = sum(entry.seconds for entry in self.manifest.samples) / 60
        return f"training data {self.manifest.name}: {len(self.manifest.samples)} clips, {minutes:.1f} min"


AceRecord: TypeAlias = SongRecord
