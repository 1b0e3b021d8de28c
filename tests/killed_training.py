"""A training run for a test to kill: python tests/killed_training.py FOLDER.

Prints a line when it starts, and writes its adapters to FOLDER/trained.safetensors when it ends. Checkpoints are
written slowly, in many pieces, so that a kill at a random moment often meets a half-written one.
"""

from __future__ import annotations

import sys
import time
from pathlib import Path

if __name__ == "__main__":  # run as a script: the repository is not on the path
    sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

import torch
from networks import random_weights
from safetensors.torch import save_file
from tiny_checkpoints import dit_config
from torch import nn
from training_runs import run, short_settings, short_task, tensors_of

from ace_core.models.dit import DiT
from ace_core.training import checkpoints
from ace_core.training.samples import read_manifest

STEPS = 16


def write_slowly(tensors: dict[str, torch.Tensor], path: Path, metadata: dict[str, str]) -> None:
    whole = path.with_suffix(".whole")
    save_file(tensors, whole, metadata=metadata)
    content = whole.read_bytes()
    whole.unlink()
    with path.open("wb") as file:
        for start in range(0, len(content), len(content) // 8 + 1):
            file.write(content[start : start + len(content) // 8 + 1])
            file.flush()
            time.sleep(0.004)


def main() -> None:
    torch.set_num_threads(1)
    checkpoints.save_file = write_slowly  # type: ignore[attr-defined]
    folder = Path(sys.argv[1])
    dit = random_weights(DiT(dit_config("2b"), ops=nn, device="meta"), seed=0)
    task = short_task(folder / "data", read_manifest(folder / "data"), short_settings(steps=STEPS, accumulation=1))
    sys.stdout.write("started\n")
    sys.stdout.flush()
    trained = run(dit, task, folder / "state.safetensors", save_every=1)
    save_file(tensors_of(trained.adapters), folder / "trained.safetensors")


if __name__ == "__main__":
    main()
