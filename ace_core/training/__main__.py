"""Trains an adapter without ComfyUI: python -m ace_core.training CONFIG.toml

Several GPUs: accelerate launch --multi_gpu -m ace_core.training CONFIG.toml (torchrun works too). A run that was
stopped goes on where it was when it is started again with the same file. `config` says what the file holds.
"""

from __future__ import annotations

import argparse
import sys
import time
from pathlib import Path

import torch
from torch import nn

from ..checkpoints.inspection import inspect_model
from ..checkpoints.loading import build_network
from ..dataset.samples import read_manifest
from ..lora.saving import adapter_file, base_model_name
from ..runtime import Runtime
from .config import TrainingConfig, read_config
from .messages import StepMessages
from .results import check_style, save_trained
from .trainer import StepReport, train
from .training_options import plan_training
from .workers import Workers, joined_workers, local_device


def main(arguments: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="python -m ace_core.training", description=(__doc__ or "").splitlines()[0])
    parser.add_argument("config", type=Path, help="a TOML file")
    options = parser.parse_args(arguments)
    try:
        config = read_config(options.config)
        device = local_device(config.torch_device)
        with joined_workers(device) as workers:
            run(config, device, workers)
    except ValueError as error:
        sys.stderr.write(f"{error}\n")
        return 1
    return 0


def run(config: TrainingConfig, device: torch.device, workers: Workers) -> None:
    """Train what a config describes and write the adapter.

    Raises:
        ValueError: see `plan_training`, `train` and `inspect_model`; the output is there already.
    """
    dtype = config.torch_dtype
    files = inspect_model(config.model)
    variant = files.variant if config.variant == "auto" else config.variant
    if variant is None:
        raise ValueError(f"{config.model} does not say whether it is turbo, base or sft: set variant in the config")
    checkpoint_folder = config.output.with_name(config.output.name + ".training")
    shared = build_network(files.dit, ops=nn, dtype=dtype).to(device)
    plan = plan_training(
        shared,
        config.data,
        read_manifest(config.data),
        config.wishes,
        base_model=base_model_name(files.size, variant),
        variant=variant,
        device=device,
        dtype=dtype,
        device_bytes=_device_bytes(device),
    )
    check_style(plan.task, config.style)
    target = adapter_file(config.output, config.style)
    if target.exists():
        raise ValueError(f"{target} is there already: choose another output")
    state_file = plan.task.state_file(checkpoint_folder, config.model.name, dtype, workers)
    messages = StepMessages(plan.task, workers)

    def say(text: str) -> None:
        if workers.leads:
            sys.stdout.write(text + "\n")
            sys.stdout.flush()

    def on_step(report: StepReport) -> None:
        say(messages.after(report, time.monotonic()))

    for note in plan.notes:
        say(note)
    trained = train(
        shared,
        plan.task,
        Runtime(device, dtype),
        state_file=state_file,
        save_every=config.save_every,
        workers=workers,
        on_step=on_step,
    )
    if workers.leads:
        say(str(save_trained(config.output, trained, plan.task, config.style, dtype)))
        state_file.unlink()
        checkpoint_folder.rmdir()


def _device_bytes(device: torch.device) -> int:
    if device.type == "cuda":
        return int(torch.cuda.get_device_properties(device).total_memory)
    import psutil

    return int(psutil.virtual_memory().total)


if __name__ == "__main__":
    sys.exit(main())
