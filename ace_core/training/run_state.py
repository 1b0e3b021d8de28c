"""A training run on disk: one safetensors file that appears whole or not at all.

It holds the adapter, its moving average, the optimizer's state and all losses so far; the numbers that are no tensors
are JSON in its header. Nothing about random numbers is in it, because they follow from seed and step. The name of the
file holds the fingerprint of the run, so a run with other settings never goes on from it.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
from torch import Tensor

from ..checks import DAMAGE, reason, shown
from ..json_files import checked_json
from ..tensor_files import write_tensors

STATE_FORMAT = "ace_composer.training_state"
STATE_VERSION = 1


@dataclass
class RunState:
    """Where a run is, its tensors on the CPU.

    Attributes:
        step: how many steps are done. losses: of each of them.
        adapter, average: by the parameters' names in the tree; `average` is empty where none is kept.
        optimizer: see `optimizers.optimizer_state`; `optimizer_rest` is the part for JSON.
    """

    step: int
    losses: list[float]
    adapter: dict[str, Tensor]
    average: dict[str, Tensor] = field(default_factory=dict)
    optimizer: dict[str, Tensor] = field(default_factory=dict)
    optimizer_rest: dict[str, Any] = field(default_factory=dict)


def state_path(folder: Path, fingerprint: str) -> Path:
    """The file of the run with this fingerprint."""
    return folder / f"state-{fingerprint}.safetensors"


def save_state(path: Path, state: RunState) -> None:
    """Write the state of a run in place of an earlier one, all of it or nothing."""
    tensors = {"losses": torch.tensor(state.losses, dtype=torch.float64)}
    for part in ("adapter", "average", "optimizer"):
        tensors |= {f"{part}:{name}": tensor for name, tensor in getattr(state, part).items()}
    document = {"step": state.step, "optimizer": state.optimizer_rest}
    header = {"format": STATE_FORMAT, "version": str(STATE_VERSION), "state": json.dumps(document)}
    path.parent.mkdir(parents=True, exist_ok=True)
    write_tensors(path, tensors, header)


def load_state(path: Path) -> RunState | None:
    """The state of a run, None where there is none.

    Raises:
        ValueError: the file is of a newer version or damaged.
    """
    if not path.exists():
        return None
    try:
        with safe_open(path, framework="pt", device="cpu") as file:
            header: Mapping[str, str] = file.metadata()
            if (header["format"], header["version"]) != (STATE_FORMAT, str(STATE_VERSION)):
                raise ValueError(f"format {shown(header['format'])}, version {shown(header['version'])}")
            document = checked_json(header["state"])
            parts: dict[str, dict[str, Tensor]] = {"adapter": {}, "average": {}, "optimizer": {}}
            for name in file.keys():  # noqa: SIM118 - the file is no mapping
                part, _, rest = name.partition(":")
                if part in parts:
                    parts[part][rest] = file.get_tensor(name).clone()
            losses = file.get_tensor("losses").tolist()
        return RunState(document["step"], losses, **parts, optimizer_rest=document["optimizer"])
    except (SafetensorError, *DAMAGE) as error:
        raise ValueError(
            f"{path} cannot be continued ({reason(error)}): delete it to start this training over"
        ) from error
