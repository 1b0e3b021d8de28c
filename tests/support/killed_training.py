"""A training run for a test to kill: python tests/killed_training.py FOLDER.

Prints a line before it writes a checkpoint, which takes `WRITING_SECONDS`, so that a kill soon afterwards meets a
half-written one. Its adapters are in FOLDER/trained.safetensors when it ends.
"""

from __future__ import annotations

import sys
import time
from pathlib import Path

if __name__ == "__main__":  # run as a script: the repository is not on the path
    sys.path.insert(0, str(Path(__file__).resolve().parents[2]))

import torch
from networks import random_weights
from safetensors.torch import save, save_file
from tiny_checkpoints import dit_config
from torch import nn
from training_runs import run, short_settings, short_task, tensors_of

from ace_core.dataset.samples import read_manifest
from ace_core.files import write_atomically
from ace_core.models.dit import DiT
from ace_core.training import run_state as checkpoints

STEPS = 16
PIECES = 8
WRITING_SECONDS = 0.04


def write_slowly(path: Path, tensors: dict[str, torch.Tensor], metadata: dict[str, str]) -> None:
    write_atomically(path, lambda unfinished: write_in_pieces(unfinished, save(tensors, metadata)))


def write_in_pieces(path: Path, content: bytes) -> None:
    size = -(-len(content) // PIECES)
    sys.stdout.write("writing\n")
    sys.stdout.flush()
    with path.open("wb") as file:
        for start in range(0, len(content), size):
            file.write(content[start : start + size])
            file.flush()
            time.sleep(WRITING_SECONDS / PIECES)


def main() -> None:
    torch.set_num_threads(1)
    checkpoints.write_tensors = write_slowly  # type: ignore[assignment]
    folder = Path(sys.argv[1])
    dit = random_weights(DiT(dit_config("2b"), ops=nn, device="meta"), seed=0)
    task = short_task(folder / "data", read_manifest(folder / "data"), short_settings(steps=STEPS, accumulation=1))
    trained = run(dit, task, folder / "state.safetensors", save_every=1)
    save_file(tensors_of(trained.adapters), folder / "trained.safetensors")


if __name__ == "__main__":
    main()
