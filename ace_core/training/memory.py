"""What a training run needs of the memory of its device, computed before it starts.

Weights count as they lie; adapters with gradients, optimizer and moving average; activations as what the backward pass
keeps: all of every layer, or with recomputation the input of every layer and all of one. Counted by hand from
`velocity` and `adapted_layers`; a test compares the count with what PyTorch really keeps.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import NamedTuple

import torch
from torch import Tensor

from ..models.dit import DiT, DiTConfig
from .adapted_copy import AdapterSettings, TrainedKind, adapter_parameters, build_copy
from .hyperparameters import TrainingSettings
from .optimizers import OptimizerName

GIB = 2**30
OVERHEAD_BYTES = GIB // 2  # the libraries' own, and what the allocator cannot use
_OPTIMIZER_BYTES: Mapping[OptimizerName, int] = {"adamw": 8, "adamw8bit": 2, "adafactor": 1, "prodigy": 16}


class MemoryEstimate(NamedTuple):
    """Bytes of the parts, at the peak of a step."""

    weights: int
    adapter: int
    activations: int

    @property
    def total(self) -> int:
        """All of it, with what every program on the device needs."""
        return sum(self) + OVERHEAD_BYTES

    def __str__(self) -> str:
        parts = ", ".join(f"{name} {size / GIB:.1f}" for name, size in zip(self._fields, self, strict=True))
        return f"{self.total / GIB:.1f} GiB ({parts}, other {OVERHEAD_BYTES / GIB:.1f})"


def estimate_memory(
    shared: DiT, settings: TrainingSettings, *, frames: int, condition_tokens: int, dtype: torch.dtype
) -> MemoryEstimate:
    """Memory at the peak of a step.

    Args:
        frames: of the longest clip, after cutting. condition_tokens: of the longest conditions.
    """
    weights = sum(weight_bytes(tensor, dtype) for tensor in shared.parameters())
    numbers = adapter_numbers(shared, settings.adapter)
    per_number = 4 + 4 + _OPTIMIZER_BYTES[settings.optimizer] + (4 if settings.average else 0)
    kept = kept_numbers(shared.config, frames, condition_tokens, settings.adapter.kind, recompute=settings.recompute)
    passing = -(-frames // shared.config.patch_size) * 4 * shared.config.intermediate_size
    activations = settings.batch_size * (kept + passing) * dtype.itemsize
    return MemoryEstimate(weights, numbers * per_number, activations)


def weight_bytes(tensor: Tensor, dtype: torch.dtype) -> int:
    """Bytes of a frozen weight on the device; one of another dtype lies there twice, as it is and converted."""
    return tensor.numel() * (tensor.element_size() + (0 if tensor.dtype == dtype else dtype.itemsize))


def adapter_numbers(shared: DiT, adapter: AdapterSettings) -> int:
    """How many numbers are trained."""
    return sum(
        parameter.numel() for parameter in adapter_parameters(build_copy(shared, adapter, 0, fill=False)).values()
    )


def kept_numbers(config: DiTConfig, frames: int, condition_tokens: int, kind: TrainedKind, *, recompute: bool) -> int:
    """How many numbers of one item PyTorch keeps for the backward pass."""
    tokens = -(-frames // config.patch_size)
    width, kv_width = config.num_heads * config.head_dim, config.num_kv_heads * config.head_dim
    hidden = config.hidden_size
    self_attention = 2 * hidden + 4 * width + 6 * kv_width  # residual, normed; queries, keys and values in each form
    windows = 4 * kv_width + width  # copies for the windows of every second layer
    cross_attention = 2 * hidden + 4 * width
    feed_forward = hidden + 2 * config.intermediate_size
    masks = (4 * hidden + 2 * width) // 2  # a byte each
    products = (
        0 if kind == "lora" else 2 * hidden + 3 * width + 2 * kv_width
    )  # what the adapters make, before it is used
    layer = tokens * (self_attention + windows + cross_attention + feed_forward + masks + products)
    conditions = config.num_layers * condition_tokens * 4 * kv_width
    if recompute:
        return conditions + layer + config.num_layers * tokens * hidden
    return conditions + config.num_layers * layer


def check_memory(estimate: MemoryEstimate, limit_bytes: int, limit: str) -> None:
    """Raise ValueError where a run needs more than `limit_bytes`, which is called `limit`."""
    if estimate.total > limit_bytes:
        raise ValueError(
            f"this training needs about {estimate} and {limit} is {limit_bytes / GIB:.1f} GiB. Choose a smaller rank, "
            "batch size or window (max_seconds), switch recompute on, take the optimizer adafactor or a smaller model; "
            "or a larger preset where the device has the memory"
        )
