"""A trained adapter as a file that Load LoRA, ComfyUI and peft read, with what it was made from in its header.

A run may be killed after its adapter was saved and before its state was removed. The name that it is saved under is
therefore noted beside the state first, so that the run that goes on from the state saves no second one.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import torch

from ..files import write_text_atomically
from ..lora.saving import AdapterStyle, adapter_file, save_adapter
from .trainer import Trained, TrainingTask


def goes_on(state_file: Path) -> bool:
    """Whether a run has a state to go on from; if not, a name that was noted for an earlier run is forgotten."""
    begun = state_file.exists()
    if not begun:
        _note(state_file).unlink(missing_ok=True)
    return begun


def save_trained_once(
    root: Path,
    new_name: Callable[[], str],
    state_file: Path,
    trained: Trained,
    task: TrainingTask,
    style: AdapterStyle,
    dtype: torch.dtype,
) -> Path:
    """Write the adapter of a run, unless the run did so before it was killed, and remove the state of the run.

    Args:
        new_name: gives a name below `root` that nothing has yet.

    Returns:
        The weight file.
    """
    note = _note(state_file)
    if not note.exists():
        write_text_atomically(note, new_name())
    path = root / note.read_text(encoding="utf-8")
    file = adapter_file(path, style)
    if not file.exists():
        save_trained(path, trained, task, style, dtype)
    state_file.unlink()
    note.unlink()
    return file


def _note(state_file: Path) -> Path:
    return state_file.with_suffix(".name")


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
