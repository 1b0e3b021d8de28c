"""What the trainer reads: for each clip its latents and the conditions that the network meets them with.

A folder of training data holds one safetensors file a clip, named after its content, and `manifest.json`, which lists
them in order and says what they were made with. Everything in it was computed once, by frozen networks; training needs
nothing but the diffusion transformer.

Trap: conditions belong to the condition encoder that made them, so the manifest names its model; a trainer of another
one must refuse.
"""

from __future__ import annotations

import json
import math
from dataclasses import asdict, dataclass
from pathlib import Path, PurePath
from typing import NamedTuple

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file
from torch import Tensor

from ..audio.waveform import LATENT_CHANNELS
from ..checks import DAMAGE, reason, shown
from ..files import write_text_atomically
from ..json_files import JsonFormat, read_document
from ..tensor_files import write_tensors

MANIFEST = "manifest.json"
MANIFEST_FORMAT = JsonFormat("ace_composer.training_data", 1, "manifest")

_TENSORS = ("latents", "packed", "source")


class TrainingSample(NamedTuple):
    """One clip, on the CPU in float32.

    Attributes:
        latents: of the clip [T, 64], what the network learns to make.
        packed: conditions [L, condition_size] of its caption and lyrics, in the order lyric, timbre, text.
        source: source latents [T, 64] of the context; silence for text to music. Its mask is 1 everywhere.
    """

    latents: Tensor
    packed: Tensor
    source: Tensor


@dataclass(frozen=True)
class SampleEntry:
    """A line of the manifest: the sample's file in the folder, and what it was made from, for people."""

    file: str
    audio: str
    seconds: float
    caption: str


@dataclass(frozen=True)
class Manifest:
    """What a folder of training data says about itself.

    Args:
        name: of the dataset.
        base_model: whose condition encoder made the conditions, as `lora.saving.base_model_name` spells it.
        activation_tag: the words that call the style up, empty without.
        dataset_hash: changes with any clip, text or setting.
        samples: in the order of the dataset.
    """

    name: str
    base_model: str
    activation_tag: str
    dataset_hash: str
    samples: tuple[SampleEntry, ...]


def write_sample(path: Path, sample: TrainingSample) -> None:
    """Write a sample, all of it or nothing."""
    tensors = {name: getattr(sample, name).to("cpu", torch.float32).contiguous() for name in _TENSORS}
    write_tensors(path, tensors)


def read_sample(path: Path) -> TrainingSample:
    """Read a sample.

    Raises:
        ValueError: the file is none, or broken.
    """
    try:
        tensors = load_file(path)
        sample = TrainingSample(*(tensors[name] for name in _TENSORS))
    except (SafetensorError, *DAMAGE) as error:
        raise ValueError(f"{path.name} is not a training sample ({reason(error)}): preprocess again") from error
    frames = len(sample.latents) if sample.latents.ndim else 0
    shapes_fit = sample.latents.shape == sample.source.shape == (frames, LATENT_CHANNELS) and sample.packed.ndim == 2
    if not shapes_fit or any(tensor.dtype != torch.float32 for tensor in sample):
        shapes = ", ".join(f"{name} {list(getattr(sample, name).shape)}" for name in _TENSORS)
        raise ValueError(f"{path.name} is not a training sample (its shapes are {shapes}): preprocess again")
    return sample


def write_manifest(folder: Path, manifest: Manifest) -> None:
    """Write `manifest.json`, all of it or nothing."""
    document = {**MANIFEST_FORMAT.head(), **asdict(manifest)}
    text = json.dumps(document, ensure_ascii=False, indent=1) + "\n"
    write_text_atomically(folder / MANIFEST, text)


def read_manifest(folder: Path) -> Manifest:
    """Read `manifest.json` of a folder of training data.

    Raises:
        ValueError: there is none, it is broken, of a newer version, empty, or names files elsewhere.
    """
    path = folder / MANIFEST
    try:
        document = read_document(path.read_text(encoding="utf-8"), MANIFEST_FORMAT)
        samples = tuple(
            SampleEntry(str(entry["file"]), str(entry["audio"]), float(entry["seconds"]), str(entry["caption"]))
            for entry in document["samples"]
        )
        texts = {name: str(document[name]) for name in ("name", "base_model", "activation_tag", "dataset_hash")}
        manifest = Manifest(**texts, samples=samples)
    except DAMAGE as error:
        raise ValueError(
            f"{folder} holds no training data that can be read ({reason(error)}): preprocess first"
        ) from error
    if not all(math.isfinite(entry.seconds) for entry in samples):
        raise ValueError(f"{path} gives a clip no length in seconds: preprocess again")
    outside = [entry.file for entry in samples if PurePath(entry.file).name != entry.file]
    if outside or not samples:
        raise ValueError(f"{path} names {f'files elsewhere ({shown(outside[0])})' if outside else 'no samples'}")
    return manifest
