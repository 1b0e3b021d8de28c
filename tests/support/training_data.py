"""Small training data written as Preprocess writes it."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import torch

from ace_core.dataset.samples import Manifest, SampleEntry, TrainingSample, write_manifest, write_sample

CONDITION_SIZE = 64  # of the small checkpoints
BASE_MODEL = "acestep-v15-turbo"


def random_sample(frames: int, seed: int, tokens: int = 12, width: int = CONDITION_SIZE) -> TrainingSample:
    generator = torch.Generator().manual_seed(seed)
    latents, packed, source = (
        torch.randn(size, generator=generator) for size in ((frames, 64), (tokens, width), (frames, 64))
    )
    return TrainingSample(latents, packed, source)


def write_data(
    folder: Path, samples: Sequence[TrainingSample], *, base_model: str = BASE_MODEL, name: str = "songs"
) -> Manifest:
    """Fill a folder, made if it is not there; returns its manifest."""
    folder.mkdir(parents=True, exist_ok=True)
    entries = []
    for number, sample in enumerate(samples):
        write_sample(folder / f"{number}.safetensors", sample)
        entries.append(SampleEntry(f"{number}.safetensors", f"{number}.wav", len(sample.latents) / 25, "a song"))
    manifest = Manifest(name, base_model, "zukkelpop", f"hash of {name}", tuple(entries))
    write_manifest(folder, manifest)
    return manifest


def write_random_data(folder: Path, lengths: Sequence[int] = (24, 24, 32), *, base_model: str = BASE_MODEL) -> Manifest:
    """A folder of random clips of these lengths."""
    samples = [random_sample(frames, seed) for seed, frames in enumerate(lengths)]
    return write_data(folder, samples, base_model=base_model)
