"""Optimizers, their learning rates over the steps, and their state as tensors and plain numbers.

AdamW and Adafactor are PyTorch's. 8-bit AdamW is that of bitsandbytes, Prodigy that of prodigyopt; both are optional.
The learning rate warms up from a tenth and falls to a hundredth along a cosine, as in the official trainer; Prodigy
finds its own and stays constant.

Traps:
- Adafactor's rate is relative to the size of a parameter, so its number is far larger than AdamW's.
- Prodigy keeps what it found in the parameter groups, bitsandbytes nests its state: both are saved whole.
- The state may hold one tensor several times, which safetensors refuses; every tensor is copied.
"""

from __future__ import annotations

import contextlib
import io
import math
from collections.abc import Iterable, Iterator, Mapping
from importlib.util import find_spec
from typing import Any, Literal

import torch
from torch import Tensor, nn

from .adapted_copy import TrainedKind

OptimizerName = Literal["adamw", "adamw8bit", "adafactor", "prodigy"]
OPTIMIZER_PACKAGES: Mapping[str, str] = {"adamw8bit": "bitsandbytes", "prodigy": "prodigyopt"}
WARM_UP_START = 0.1
LAST_SHARE = 0.01


def default_learning_rate(name: OptimizerName, kind: TrainedKind) -> float:
    """What the official trainers use for an optimizer and a kind of adapter."""
    if name == "prodigy":
        return 1.0
    if name == "adafactor":
        return 1e-2
    return 1e-3 if kind == "lokr" else 1e-4


def is_available(name: OptimizerName, device: torch.device) -> bool:
    """Whether an optimizer's package is here and works on a device."""
    if name == "adamw8bit" and device.type != "cuda":
        return False
    return name not in OPTIMIZER_PACKAGES or find_spec(OPTIMIZER_PACKAGES[name]) is not None


def make_optimizer(
    name: OptimizerName, parameters: Iterable[nn.Parameter], learning_rate: float, weight_decay: float
) -> torch.optim.Optimizer:
    """The optimizer called `name`.

    Raises:
        ValueError: its package is not installed.
    """
    package = OPTIMIZER_PACKAGES.get(name)
    if package is not None and find_spec(package) is None:
        raise ValueError(
            f"the optimizer {name} needs the package {package}, which is not installed: run "
            f"'python -m pip install {package}' with the Python of this program, or choose adamw"
        )
    parameters = list(parameters)
    if name == "adafactor":
        return torch.optim.Adafactor(parameters, lr=learning_rate, weight_decay=weight_decay)
    if name == "adamw8bit":
        from bitsandbytes.optim import AdamW8bit  # type: ignore[import-not-found]

        return AdamW8bit(parameters, lr=learning_rate, weight_decay=weight_decay)  # type: ignore[no-any-return]
    if name == "prodigy":
        from prodigyopt import Prodigy  # type: ignore[import-untyped]

        with contextlib.redirect_stdout(io.StringIO()):  # it prints that it decays weights
            return Prodigy(  # type: ignore[no-any-return]
                parameters, lr=learning_rate, weight_decay=weight_decay, use_bias_correction=True
            )
    return torch.optim.AdamW(parameters, lr=learning_rate, weight_decay=weight_decay, fused=True)


def learning_rate_share(name: OptimizerName, step: int, steps: int, warm_up: int) -> float:
    """Which share of the learning rate step `step`, counted from 0, uses."""
    if name == "prodigy":
        return 1.0
    if step < warm_up:
        return WARM_UP_START + (1 - WARM_UP_START) * step / warm_up
    done = (step - warm_up) / max(steps - warm_up, 1)
    return LAST_SHARE + (1 - LAST_SHARE) * (1 + math.cos(math.pi * done)) / 2


def optimizer_state(optimizer: torch.optim.Optimizer) -> tuple[dict[str, Tensor], dict[str, Any]]:
    """Tensors by their place in the optimizer's state, and the rest of it, fit for JSON."""
    tensors = {}
    numbers = {}
    for place, value in _leaves(optimizer.state_dict()["state"]):
        if isinstance(value, Tensor):
            tensors[place] = value.detach().to("cpu", copy=True).contiguous()
        else:
            numbers[place] = value
    groups = [
        {name: value.item() if isinstance(value, Tensor) else value for name, value in group.items()}
        for group in optimizer.state_dict()["param_groups"]
    ]
    return tensors, {"numbers": numbers, "groups": groups}


def restore_optimizer(optimizer: torch.optim.Optimizer, tensors: Mapping[str, Tensor], rest: Mapping[str, Any]) -> None:
    """Undo `optimizer_state`."""
    state: dict[Any, Any] = {}
    for place, value in (*tensors.items(), *rest["numbers"].items()):
        *path, leaf = place.split("/")
        node = state
        for depth, part in enumerate(path):
            node = node.setdefault(part if depth else int(part), {})
        node[leaf] = value
    optimizer.load_state_dict({"state": state, "param_groups": rest["groups"]})


def _leaves(node: Mapping[Any, Any], path: str = "") -> Iterator[tuple[str, Any]]:
    for name, value in node.items():
        if isinstance(value, Mapping):
            yield from _leaves(value, f"{path}{name}/")
        else:
            yield f"{path}{name}", value
