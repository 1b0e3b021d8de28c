"""A trained adapter as a file that Load LoRA, ComfyUI and peft read, with what it was made from in its header."""

from __future__ import annotations

from pathlib import Path

import torch

from ..lora.saving import AdapterStyle, save_adapter
from .trainer import Trained, TrainingTask


def save_trained(path: Path, trained: Trained, task: TrainingTask, style: AdapterStyle, dtype: torch.dtype) -> Path:
    """Write a trained adapter to a new file or folder; see `save_adapter`."""
    settings, manifest = task.settings, task.manifest
    metadata = {
        "trained_by": "ACE Composer",
        "dataset": manifest.name,
        "dataset_hash": manifest.dataset_hash,
        "activation_tag": manifest.activation_tag,
        "clips": str(len(manifest.samples)),
        "adapter": settings.adapter.kind,
        "attention": settings.adapter.attention,
        "steps": str(len(trained.losses)),
        "clips_per_step": str(settings.batch_size * settings.accumulation),
        "optimizer": settings.optimizer,
        "learning_rate": f"{settings.learning_rate:g}",
        "seed": str(settings.seed),
        "loss": f"{trained.last_loss:.6f}",
    }
    return save_adapter(path, trained.adapters, style, base_model=manifest.base_model, metadata=metadata, dtype=dtype)


def check_style(task: TrainingTask, style: AdapterStyle) -> None:
    """Raise ValueError for a kind of adapter that a style cannot hold, before it is trained."""
    if style == "peft" and task.settings.adapter.kind == "lokr":
        raise ValueError("a LoKr cannot be saved as a PEFT folder: choose the ComfyUI file, or train a LoRA or DoRA")
