"""A training run without ComfyUI, described in a TOML file:

    model = "models/ace_step/acestep-v15-turbo"     # any published layout
    data = "output/ace_step_training/my_songs"  # what Preprocess wrote
    output = "models/loras/my_style"                # without suffix; checkpoints go to my_style.training beside it

    [training]                                      # everything optional; see `choosing.TrainingOptions`
    adapter = "lora"
    preset = "16 GB"
    steps = 1000

Also at the top, optional: variant ("turbo", "base", "sft"), device ("cuda", "cpu"), dtype ("bfloat16", "float32"),
style ("comfyui", "peft"), save_every.
"""

from __future__ import annotations

import tomllib
from dataclasses import dataclass, field, fields
from pathlib import Path
from typing import Any, Literal, get_args

import torch

from ..checkpoints.variants import VARIANTS
from ..checks import reason, shown
from ..lora.saving import AdapterStyle
from .training_options import AUTO, TrainingOptions

TRAINING_DTYPES = {"bfloat16": torch.bfloat16, "float32": torch.float32}
_OWN_CHOICES = {"variant": (AUTO, *VARIANTS), "dtype": (AUTO, *TRAINING_DTYPES), "style": get_args(AdapterStyle)}


@dataclass(frozen=True)
class TrainingConfig:
    """A TOML file; relative paths are below the folder that it lies in."""

    model: Path
    data: Path
    output: Path
    variant: Literal["auto", "turbo", "base", "sft"] = "auto"
    device: str = AUTO
    dtype: str = AUTO
    style: AdapterStyle = "comfyui"
    save_every: int = 100
    wishes: TrainingOptions = field(default_factory=TrainingOptions)

    @property
    def torch_device(self) -> torch.device:
        """The device, a GPU where there is one."""
        if self.device == AUTO:
            return torch.device("cuda" if torch.cuda.is_available() else "cpu")
        return torch.device(self.device)

    @property
    def torch_dtype(self) -> torch.dtype:
        """What to compute in: bfloat16 on a GPU, float32 on a CPU."""
        if self.dtype == AUTO:
            return torch.float32 if self.torch_device.type == "cpu" else torch.bfloat16
        return TRAINING_DTYPES[self.dtype]


def read_config(path: Path) -> TrainingConfig:
    """Read a TOML file.

    Raises:
        ValueError: it cannot be read, lacks a path, or has an entry of another name, type or domain.
    """
    try:
        document = tomllib.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise ValueError(f"{path} cannot be read as TOML ({reason(error)})") from error
    wishes = document.pop("training", {})
    if not isinstance(wishes, dict):
        raise ValueError(f"{path}: training must be a table, [training]")
    paths: dict[str, Any] = {}
    for name in ("model", "data", "output"):
        value = document.pop(name, None)
        if not isinstance(value, str) or not value:
            raise ValueError(f'{path}: {name} is missing; write {name} = "..." with a path')
        paths[name] = path.parent / value
    own: dict[str, Any] = paths | _checked(path, TrainingConfig, document)
    config = TrainingConfig(**own, wishes=TrainingOptions(**_checked(path, TrainingOptions, wishes)))
    for name, allowed in _OWN_CHOICES.items():
        if getattr(config, name) not in allowed:
            raise ValueError(f"{path}: {name} must be one of {', '.join(allowed)}, got {shown(getattr(config, name))}")
    if config.save_every < 1:
        raise ValueError(f"{path}: save_every must be 1 or more, got {config.save_every}")
    return config


def _checked(path: Path, kind: type, entries: dict[str, Any]) -> dict[str, Any]:
    """Entries of a table whose names and types are those of a dataclass with defaults; whole numbers may be floats."""
    known = {entry.name: entry.default for entry in fields(kind) if isinstance(entry.default, (str, int, float))}
    checked = {}
    for name, value in entries.items():
        if name not in known:
            raise ValueError(f"{path}: there is no entry {shown(name)}; the entries are {', '.join(known)}")
        wanted = type(known[name])
        if wanted is float and type(value) is int:
            value = float(value)
        if type(value) is not wanted:
            raise ValueError(f"{path}: {name} must be {wanted.__name__}, got {shown(value)}")
        checked[name] = value
    return checked
