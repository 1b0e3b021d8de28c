"""Everything that decides the numbers of a training run, and the presets by memory.

The defaults and presets are those of the official trainer (its second version): rank, alpha and optimizer by the memory
of the card. Here a preset is also a promise: `memory` estimates the run and refuses what would not fit.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import NamedTuple, get_args

from ..checks import shown
from .adapted_copy import AdapterSettings
from .optimizers import OptimizerName

MAX_TRAINING_STEPS = 1_000_000
MAX_RANK = 512
OFFICIAL_WARM_UP = 100


class Preset(NamedTuple):
    """What fits into `gigabytes` of memory."""

    gigabytes: int
    rank: int
    alpha: float
    optimizer: OptimizerName
    batch_size: int
    accumulation: int


PRESETS: Mapping[str, Preset] = {
    "8 GB": Preset(8, 16, 32.0, "adamw8bit", 1, 8),
    "12 GB": Preset(12, 32, 64.0, "adamw8bit", 1, 4),
    "16 GB": Preset(16, 64, 128.0, "adamw", 1, 4),
    "24 GB": Preset(24, 128, 256.0, "adamw", 2, 2),
}


@dataclass(frozen=True)
class TrainingSettings:
    """One training run, nothing left open.

    Args:
        steps: changes of the weights; each sees `batch_size` * `accumulation` clips, on every process.
        learning_rate: after the warm-up.
        warm_up: steps until then.
        max_frames: longer clips are cut to a random window of this length.
        condition_dropout: share of the examples that see the null condition.
        average: decay of the moving average of the weights that is kept in the end; 0 keeps the last ones.
        recompute: run every layer a second time in the backward pass instead of keeping what it computed.
    """

    adapter: AdapterSettings
    steps: int
    learning_rate: float
    optimizer: OptimizerName
    seed: int
    batch_size: int = 1
    accumulation: int = 4
    weight_decay: float = 0.01
    warm_up: int = OFFICIAL_WARM_UP
    largest_gradient: float = 1.0
    max_frames: int = 6000
    condition_dropout: float = 0.0
    average: float = 0.0
    recompute: bool = True


def default_warm_up(steps: int) -> int:
    """Steps of warm-up of the official trainer."""
    return min(OFFICIAL_WARM_UP, steps // 10)


def auto_preset(gigabytes: float) -> str:
    """The largest preset for this much memory, or the smallest of all."""
    fitting = [
        name for name, preset in PRESETS.items() if preset.gigabytes <= gigabytes * 1.05
    ]  # cards hold a bit less
    return fitting[-1] if fitting else next(iter(PRESETS))


def check_settings(settings: TrainingSettings) -> None:
    """Raise ValueError for a value outside its domain."""
    adapter = settings.adapter
    ranges = {
        "steps": (settings.steps, 1, MAX_TRAINING_STEPS),
        "rank": (adapter.rank, 1, MAX_RANK),
        "dropout": (adapter.dropout, 0, 0.5),
        "batch_size": (settings.batch_size, 1, 64),
        "accumulation": (settings.accumulation, 1, 64),
        "warm_up": (settings.warm_up, 0, MAX_TRAINING_STEPS),
        "max_frames": (settings.max_frames, 2, 15_000),
        "condition_dropout": (settings.condition_dropout, 0, 1),
        "average": (settings.average, 0, 0.9999),
        "seed": (settings.seed, 0, 2**64 - 1),
        "weight_decay": (settings.weight_decay, 0, 1),
    }
    for name, (value, least, most) in ranges.items():
        if not least <= value <= most:
            raise ValueError(f"{name} must be {least} to {most}, got {value}")
    for name, number in (("alpha", adapter.alpha), ("learning_rate", settings.learning_rate)):
        if not number > 0:
            raise ValueError(f"{name} must be above 0, got {number:g}")
    if settings.optimizer not in get_args(OptimizerName):
        raise ValueError(
            f"the optimizer must be one of {', '.join(get_args(OptimizerName))}, got {shown(settings.optimizer)}"
        )


def fingerprint(settings: TrainingSettings, **others: object) -> str:
    """Changes with everything that decides the result of a run; `recompute` does not."""
    document = asdict(settings) | others
    del document["recompute"]
    return hashlib.sha256(json.dumps(document, sort_keys=True).encode("utf-8")).hexdigest()[:16]
