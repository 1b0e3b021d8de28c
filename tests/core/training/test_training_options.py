"""Settings from wishes and presets, and memory estimated before a run."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from networks import random_weights
from tiny_checkpoints import dit_config
from torch import Tensor, nn
from training_data import BASE_MODEL, random_sample, write_random_data
from training_runs import CPU, short_settings

from ace_core.dataset.samples import Manifest
from ace_core.models.dit import DiT, DiTConfig
from ace_core.runtime import Runtime
from ace_core.training.adapted_copy import AdapterSettings, TrainedKind, attach_weights, build_copy
from ace_core.training.adapted_layers import seed_dropout
from ace_core.training.batches import Example
from ace_core.training.hyperparameters import TrainingSettings, auto_preset
from ace_core.training.memory import GIB, adapter_numbers, estimate_memory, kept_numbers
from ace_core.training.optimizers import is_available, make_optimizer
from ace_core.training.training_options import TrainingOptions, TrainingPlan, plan_training
from ace_core.training.velocity import batch_losses

PUBLISHED_2B = DiTConfig(2048, 6144, 24, 16, 8, 128, 2048, 192, 64, 2, 128, 1e6, 1e-6)
PUBLISHED_XL = DiTConfig(2560, 9728, 32, 32, 8, 128, 2048, 192, 64, 2, 128, 1e6, 1e-6)
SONG = {"frames": 6000, "condition_tokens": 1000}


@pytest.fixture
def manifest(tmp_path: Path) -> Manifest:
    return write_random_data(tmp_path)


def plan(
    dit: DiT, folder: Path, manifest: Manifest, *, kind: Any = "turbo", gigabytes: float = 64, **wishes: Any
) -> TrainingPlan:
    return plan_training(
        dit,
        folder,
        manifest,
        TrainingOptions(**wishes),
        base_model=BASE_MODEL,
        variant=kind,
        device=CPU,
        dtype=torch.float32,
        device_bytes=int(gigabytes * GIB),
    )


@pytest.mark.parametrize(
    ("preset", "rank", "alpha", "optimizer", "clips"),
    [
        ("8 GB", 16, 32, "adamw", (1, 8)),
        ("12 GB", 32, 64, "adamw", (1, 4)),
        ("16 GB", 64, 128, "adamw", (1, 4)),
        ("24 GB", 128, 256, "adamw", (2, 2)),
    ],
)
def test_presets_are_the_published_ones(
    tmp_path: Path, dit: DiT, manifest: Manifest, preset: str, rank: int, alpha: float, optimizer: str, clips: Any
) -> None:
    """8-bit AdamW is replaced on a CPU, and the user is told."""
    found = plan(dit, tmp_path, manifest, preset=preset)
    settings = found.task.settings
    assert (settings.adapter.rank, settings.adapter.alpha, settings.optimizer) == (rank, alpha, optimizer)
    assert (settings.batch_size, settings.accumulation) == clips
    assert any("adamw is used" in note for note in found.notes) == (preset in ("8 GB", "12 GB"))


def test_auto_takes_the_largest_preset_for_the_device() -> None:
    assert [auto_preset(gigabytes) for gigabytes in (4, 7.8, 11.9, 16, 23.7, 80)] == [
        "8 GB",
        "8 GB",
        "12 GB",
        "16 GB",
        "24 GB",
        "24 GB",
    ]


def test_what_is_left_open_follows_model_and_optimizer(tmp_path: Path, dit: DiT, manifest: Manifest) -> None:
    def chosen(kind: str = "turbo", **wishes: Any) -> TrainingSettings:
        return plan(dit, tmp_path, manifest, kind=kind, rank=4, **wishes).task.settings

    assert [chosen(kind).condition_dropout for kind in ("turbo", "base", "sft")] == [0.0, 0.15, 0.15]
    assert chosen("base", condition_dropout=0.0).condition_dropout == 0
    assert [chosen(adapter=kind).learning_rate for kind in ("lora", "dora", "lokr")] == [1e-4, 1e-4, 1e-3]
    assert [chosen(optimizer=name).learning_rate for name in ("adafactor", "prodigy")] == [1e-2, 1.0]
    assert [chosen(steps=steps).warm_up for steps in (50, 5000)] == [5, 100]
    assert chosen(adapter="lokr").adapter.dropout == 0
    assert chosen().adapter.alpha == 8 and chosen(alpha=2.0).adapter.alpha == 2


@pytest.mark.parametrize(
    ("wishes", "said"),
    [
        ({"adapter": "loha"}, "adapter must be one of lora, dora, lokr, got 'loha'"),
        ({"preset": "9 GB"}, "preset must be one of auto, 8 GB"),
        ({"steps": 0}, "steps must be 1 to 1000000, got 0"),
        ({"rank": 600}, "rank must be 1 to 512, got 600"),
        ({"dropout": 0.9}, "dropout must be 0 to 0.5, got 0.9"),
        ({"average": 1.0}, "average must be 0 to 0.9999"),
        ({"learning_rate": -1.0}, "learning_rate must be above 0"),
        ({"optimizer": "adamw8bit"}, "needs the package bitsandbytes and an NVIDIA GPU"),
    ],
)
def test_a_wish_outside_its_domain_is_named(
    tmp_path: Path, dit: DiT, manifest: Manifest, wishes: dict[str, Any], said: str
) -> None:
    with pytest.raises(ValueError, match=said):
        plan(dit, tmp_path, manifest, **wishes)


def test_an_optimizer_that_is_not_installed_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("ace_core.training.optimizers.find_spec", lambda name: None)
    assert not is_available("prodigy", CPU) and is_available("adafactor", CPU)
    with pytest.raises(ValueError, match="prodigy needs the package prodigyopt, which is not installed"):
        make_optimizer("prodigy", [nn.Parameter(torch.zeros(1))], 1.0, 0.0)


def test_without_peft_the_user_is_told(
    tmp_path: Path, dit: DiT, manifest: Manifest, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("ace_core.training.adapted_copy.find_spec", lambda name: None)
    with pytest.raises(ValueError, match="training needs the package peft, which is not installed"):
        plan(dit, tmp_path, manifest)


def test_layers_are_recomputed_only_where_memory_asks_for_it(tmp_path: Path, dit: DiT) -> None:
    manifest = write_random_data(tmp_path, [3000])
    kept, recomputed = (
        estimate_memory(
            dit, short_settings(recompute=recompute), frames=3000, condition_tokens=12, dtype=torch.float32
        ).total
        / GIB
        for recompute in (False, True)
    )
    assert recomputed < kept
    wishes: dict[str, Any] = {"rank": 4, "batch_size": 2}
    assert not plan(dit, tmp_path, manifest, gigabytes=kept + 0.01, **wishes).task.settings.recompute
    assert plan(dit, tmp_path, manifest, gigabytes=(kept + recomputed) / 2, **wishes).task.settings.recompute
    with pytest.raises(ValueError, match=r"needs about 0\.\d GiB .* and the memory of cpu is 0\.\d GiB"):
        plan(dit, tmp_path, manifest, gigabytes=recomputed - 0.01, **wishes)


@pytest.mark.parametrize(
    ("config", "rank", "optimizer", "batch", "gigabytes"),
    [
        (PUBLISHED_2B, 16, "adamw8bit", 1, 8),
        (PUBLISHED_2B, 32, "adamw8bit", 1, 12),
        (PUBLISHED_2B, 64, "adamw", 1, 16),
        (PUBLISHED_2B, 128, "adamw", 2, 24),
        (PUBLISHED_XL, 32, "adamw8bit", 1, 12),
        (PUBLISHED_XL, 64, "adamw", 1, 16),
        (PUBLISHED_XL, 128, "adamw", 2, 24),
    ],
    ids=lambda value: "" if isinstance(value, DiTConfig) else str(value),
)
def test_presets_fit_their_cards_with_songs_of_four_minutes(
    config: DiTConfig, rank: int, optimizer: Any, batch: int, gigabytes: int
) -> None:
    dit = DiT(config, ops=nn, device="meta", dtype=torch.bfloat16)
    adapter = AdapterSettings("lora", rank, 2.0 * rank)
    settings = short_settings(optimizer=optimizer, batch_size=batch)
    settings = replace(settings, adapter=adapter)
    assert estimate_memory(dit, settings, **SONG, dtype=torch.bfloat16).total < gigabytes * GIB


def test_xl_does_not_fit_into_8_gb(tmp_path: Path, manifest: Manifest) -> None:
    dit = DiT(replace(PUBLISHED_XL, condition_size=64), ops=nn, device="meta", dtype=torch.bfloat16)
    with pytest.raises(ValueError, match="the limit of the preset 8 GB is 8.0 GiB. Choose a smaller rank"):
        plan_training(
            dit,
            tmp_path,
            manifest,
            TrainingOptions(preset="8 GB"),
            base_model=BASE_MODEL,
            variant="turbo",
            device=CPU,
            dtype=torch.bfloat16,
            device_bytes=80 * GIB,
        )


def kept_by_pytorch(tree: DiT, example: Example, *, recompute: bool) -> int:
    """Numbers of different storages that the backward pass of one example waits with, the weights apart."""
    frozen = {parameter.untyped_storage().data_ptr() for parameter in tree.parameters()}
    kept: dict[int, int] = {}

    def note(tensor: Tensor) -> Tensor:
        storage = tensor.untyped_storage()
        if storage.data_ptr() not in frozen:
            kept[storage.data_ptr()] = storage.nbytes()
        return tensor

    with torch.autograd.graph.saved_tensors_hooks(note, lambda tensor: tensor):
        losses = batch_losses(
            tree,
            [example],
            runtime=Runtime(),
            recompute=recompute,
            check=lambda: None,
        )
    assert losses.requires_grad
    return sum(kept.values()) // 4


@pytest.mark.parametrize("kind", ["lora", "dora", "lokr"])
@pytest.mark.parametrize("size", ["2b", "xl"])
def test_the_estimate_is_what_pytorch_keeps(size: Any, kind: TrainedKind) -> None:
    """With recomputation one layer more than what waits between the passes."""
    frames, tokens = 800, 30
    for layers in (2, 4):
        config = replace(dit_config(size), num_layers=layers)
        dit = random_weights(DiT(config, ops=nn, device="meta"), seed=0)
        tree = build_copy(dit, AdapterSettings(kind, 4, 8.0), 0).train()
        attach_weights(tree, dit, Runtime())
        seed_dropout(tree, "batch")
        sample = random_sample(frames, 0, tokens=tokens)
        example = Example(sample.latents, sample.source, sample.source, sample.packed, 0.5)
        found = kept_by_pytorch(tree, example, recompute=False)
        estimate = kept_numbers(config, frames, tokens, kind, recompute=False)
        assert 0.83 * estimate <= found <= 1.02 * estimate
        one_layer = (estimate - kept_numbers(config, frames, tokens, kind, recompute=True)) // (layers - 1)
        waiting = kept_by_pytorch(tree, example, recompute=True)
        assert waiting + one_layer <= 1.1 * kept_numbers(config, frames, tokens, kind, recompute=True)


def test_adapter_numbers_are_those_of_the_official_sizes() -> None:
    dit = DiT(PUBLISHED_2B, ops=nn, device="meta")
    assert adapter_numbers(dit, AdapterSettings("lora", 64, 128.0)) == 48 * 64 * (4096 + 3072 + 3072 + 4096)
