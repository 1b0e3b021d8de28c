"""What a user wishes of a training run -> settings with nothing left open, a task that was looked at, and remarks.

Presets say how large an adapter may be for a card; every wish counts before the preset. The memory of the run is
estimated before anything is loaded, and a run that would not fit is refused.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path
from typing import Literal, NamedTuple, get_args

import torch

from ..audio.waveform import LATENT_FRAME_RATE
from ..checkpoints.variants import Variant
from ..checks import shown
from ..dataset.samples import Manifest
from ..models.dit import DiT
from .adapted_copy import AdapterSettings, AttentionBlocks, TrainedKind
from .hyperparameters import PRESETS, TrainingSettings, auto_preset, default_warm_up
from .memory import GIB, MemoryEstimate, check_memory, estimate_memory
from .optimizers import OPTIMIZER_PACKAGES, OptimizerName, default_learning_rate, is_available
from .timesteps import condition_dropout
from .trainer import TrainingTask, plan_task

AUTO = "auto"
Recompute = Literal["auto", "on", "off"]


@dataclass(frozen=True)
class TrainingOptions:
    """A training run as a user asks for it; 0, -1 and "auto" leave a thing to preset, model or optimizer.

    Args:
        max_seconds: longer clips are cut to a random window of this length. Others as in `TrainingSettings`.
    """

    adapter: TrainedKind = "lora"
    preset: str = AUTO
    steps: int = 500
    learning_rate: float = 0.0
    seed: int = 0
    rank: int = 0
    alpha: float = 0.0
    dropout: float = 0.1
    attention: AttentionBlocks = "both"
    optimizer: str = AUTO
    batch_size: int = 0
    accumulation: int = 0
    warm_up: int = -1
    weight_decay: float = 0.01
    max_seconds: float = 240.0
    condition_dropout: float = -1.0
    average: float = 0.0
    recompute: Recompute = "auto"


class TrainingPlan(NamedTuple):
    """A task ready to run, what it needs, and sentences for the user."""

    task: TrainingTask
    memory: MemoryEstimate
    notes: tuple[str, ...]


def plan_training(
    shared: DiT,
    folder: Path,
    manifest: Manifest,
    wishes: TrainingOptions,
    *,
    base_model: str,
    variant: Variant,
    device: torch.device,
    dtype: torch.dtype,
    device_bytes: int,
) -> TrainingPlan:
    """Settle everything and look at all samples.

    Args:
        device_bytes: memory of the device, all of it.

    Raises:
        ValueError: a value outside its domain; samples of another model; an optimizer that is not there; not enough
            memory.
    """
    _check_choices(wishes)
    name = auto_preset(device_bytes / GIB) if wishes.preset == AUTO else wishes.preset
    settings, notes = _settings(wishes, name, variant, device)
    task = plan_task(
        folder, manifest, settings, base_model=base_model, variant=variant, width=shared.config.condition_size
    )
    limit = min(PRESETS[name].gigabytes * GIB, device_bytes) if wishes.preset != AUTO else device_bytes
    limit_name = f"the limit of the preset {name}" if limit < device_bytes else f"the memory of {device}"

    def estimated(recompute: bool) -> MemoryEstimate:
        return estimate_memory(
            shared,
            replace(settings, recompute=recompute),
            frames=max(task.lengths),
            condition_tokens=task.condition_tokens,
            dtype=dtype,
        )

    if wishes.recompute == AUTO:
        task = task._replace(settings=replace(settings, recompute=estimated(False).total > limit))
    memory = estimated(task.settings.recompute)
    check_memory(memory, limit, limit_name)
    summary = f"preset {name}: {describe_settings(task.settings)}"
    return TrainingPlan(task, memory, (summary, f"memory: about {memory}", *notes))


def describe_settings(settings: TrainingSettings) -> str:
    """One line: adapter, optimizer and what a step sees."""
    adapter = settings.adapter
    kind = {"lora": "LoRA", "dora": "DoRA", "lokr": "LoKr"}[adapter.kind]
    recompute = ", recomputing layers" if settings.recompute else ""
    return (
        f"{kind} of rank {adapter.rank}, alpha {adapter.alpha:g}, {settings.optimizer} at {settings.learning_rate:g}, "
        f"{settings.batch_size} x {settings.accumulation} clips a step{recompute}"
    )


def _settings(
    wishes: TrainingOptions, preset_name: str, variant: Variant, device: torch.device
) -> tuple[TrainingSettings, list[str]]:
    preset = PRESETS[preset_name]
    notes = []
    optimizer: OptimizerName = preset.optimizer
    if wishes.optimizer != AUTO:
        optimizer = wishes.optimizer  # type: ignore[assignment]  # checked by `_check_choices`
        if not is_available(optimizer, device):
            package = OPTIMIZER_PACKAGES[optimizer]
            raise ValueError(
                f"the optimizer {optimizer} needs the package {package}"
                f"{' and an NVIDIA GPU' if optimizer == 'adamw8bit' else ''}: install it with 'python -m pip install "
                f"{package}' into the Python of this program, or choose adamw"
            )
    elif not is_available(optimizer, device):
        notes.append(f"{optimizer} needs {OPTIMIZER_PACKAGES[optimizer]} and an NVIDIA GPU: adamw is used")
        optimizer = "adamw"
    rank = wishes.rank or preset.rank
    adapter = AdapterSettings(
        wishes.adapter,
        rank,
        wishes.alpha or 2.0 * rank,
        0.0 if wishes.adapter == "lokr" else wishes.dropout,
        wishes.attention,
    )
    settings = TrainingSettings(
        adapter,
        steps=wishes.steps,
        learning_rate=wishes.learning_rate or default_learning_rate(optimizer, wishes.adapter),
        optimizer=optimizer,
        seed=wishes.seed,
        batch_size=wishes.batch_size or preset.batch_size,
        accumulation=wishes.accumulation or preset.accumulation,
        weight_decay=wishes.weight_decay,
        warm_up=default_warm_up(wishes.steps) if wishes.warm_up < 0 else wishes.warm_up,
        max_frames=int(wishes.max_seconds * LATENT_FRAME_RATE),
        condition_dropout=condition_dropout(variant) if wishes.condition_dropout < 0 else wishes.condition_dropout,
        average=wishes.average,
    )
    return replace(settings, recompute=wishes.recompute != "off"), notes


def _check_choices(wishes: TrainingOptions) -> None:
    choices = {
        "adapter": (wishes.adapter, get_args(TrainedKind)),
        "preset": (wishes.preset, (AUTO, *PRESETS)),
        "attention": (wishes.attention, get_args(AttentionBlocks)),
        "optimizer": (wishes.optimizer, (AUTO, *get_args(OptimizerName))),
        "recompute": (wishes.recompute, get_args(Recompute)),
    }
    for name, (value, allowed) in choices.items():
        if value not in allowed:
            raise ValueError(f"{name} must be one of {', '.join(allowed)}, got {shown(value)}")
