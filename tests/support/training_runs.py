"""Short training runs of small decoders."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn
from training_data import BASE_MODEL

from ace_core.dataset.samples import Manifest
from ace_core.lora.adapters import Adapter
from ace_core.models.dit import DiT
from ace_core.runtime import Runtime
from ace_core.training.adapted_copy import AdapterSettings, TrainedKind, adapter_parameters, attach_weights, build_copy
from ace_core.training.hyperparameters import TrainingSettings
from ace_core.training.trainer import Trained, TrainingTask, plan_task, train

CPU = torch.device("cpu")
SHORT = TrainingSettings(
    AdapterSettings("lora", rank=4, alpha=8.0, dropout=0.1),
    steps=8,
    learning_rate=1e-2,
    optimizer="adamw",
    seed=7,
    batch_size=2,
    accumulation=2,
    warm_up=2,
)


def short_settings(kind: TrainedKind = "lora", *, dropout: float = 0.1, **changes: Any) -> TrainingSettings:
    return replace(SHORT, adapter=AdapterSettings(kind, rank=4, alpha=8.0, dropout=dropout), **changes)


def short_task(
    folder: Path, manifest: Manifest, settings: TrainingSettings = SHORT, variant: Any = "turbo"
) -> TrainingTask:
    return plan_task(folder, manifest, settings, base_model=BASE_MODEL, variant=variant, width=64)


def run(dit: DiT, task: TrainingTask, state_file: Path, *, save_every: int = 5, **options: Any) -> Trained:
    return train(dit, task, Runtime(), state_file=state_file, save_every=save_every, **options)


def random_tree(dit: DiT, kind: TrainedKind, *, dropout: float = 0.0) -> DiT:
    """A tree over `dit` whose adapters are random, in evaluation mode."""
    tree = build_copy(dit, AdapterSettings(kind, rank=4, alpha=8.0, dropout=dropout), 0)
    attach_weights(tree, dit, Runtime())
    generator = torch.Generator().manual_seed(1)
    with torch.no_grad():
        for name, parameter in adapter_parameters(tree).items():
            noise = torch.randn(parameter.shape, generator=generator)
            parameter.copy_(parameter * (1 + 0.3 * noise) if "magnitude" in name else 0.2 * noise)
    return tree.eval()


def tensors_of(adapters: dict[str, Adapter]) -> dict[str, Tensor]:
    found = {}
    for name, adapter in adapters.items():
        tensors = [tensor for factor in adapter.factors for tensor in factor]
        tensors += [] if adapter.magnitude is None else [adapter.magnitude]
        found |= {f"{name}/{number}": tensor for number, tensor in enumerate(tensors)}
    return found


def assert_equal_to_the_bit(one: Trained, other: Trained) -> None:
    ours, theirs = tensors_of(one.adapters), tensors_of(other.adapters)
    assert ours.keys() == theirs.keys()
    assert [name for name in ours if not torch.equal(ours[name], theirs[name])] == []
    assert one.losses == other.losses


def weights_hash(network: nn.Module) -> str:
    digest = hashlib.sha256()
    for name, tensor in sorted(network.state_dict().items()):
        digest.update(name.encode() + tensor.contiguous().numpy().tobytes())
    return digest.hexdigest()


class Stopped(Exception):
    """What a test stops a run with."""


def stop_after(calls: int) -> Callable[[], None]:
    """A check that raises `Stopped` at its call number `calls`."""
    count = 0

    def check() -> None:
        nonlocal count
        count += 1
        if count == calls:
            raise Stopped

    return check
