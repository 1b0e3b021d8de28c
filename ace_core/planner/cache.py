"""The key-value cache of one run: allocated once for everything the run can need, an argument of every step.

Sequences are aligned to the left: row r of a layer holds its token p at index p, so rows of different lengths need no
padding tokens and every token has its true position. What lies beyond a row's length is never read.

Trap: a masked position still takes part as 0 * value, and 0 * NaN is NaN, so fresh memory has to be finite: zeros.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import torch
from torch import Tensor

from ..models.qwen3 import Qwen3Config


class KVCache(NamedTuple):
    """Keys and values of every layer, each [B, kv heads, capacity, head_dim]."""

    keys: tuple[Tensor, ...]
    values: tuple[Tensor, ...]

    @property
    def capacity(self) -> int:
        """Tokens that fit in a row."""
        return self.keys[0].shape[2]

    def copy_row(self, source: int, target: int, length: int) -> None:
        """Give row `target` the first `length` tokens of row `source`."""
        for tensor in (*self.keys, *self.values):
            tensor[target, :, :length] = tensor[source, :, :length]

    def keep(self, rows: Sequence[int], length: int) -> KVCache:
        """The cache of these rows, in ascending order, moved together in place; the others are overwritten.

        Args:
            length: no row holds more tokens than this.
        """
        for tensor in (*self.keys, *self.values):
            for target, source in enumerate(rows):
                if target != source:
                    tensor[target, :, :length] = tensor[source, :, :length]
        count = len(rows)
        return KVCache(tuple(keys[:count] for keys in self.keys), tuple(values[:count] for values in self.values))


def allocate_cache(
    config: Qwen3Config, rows: int, capacity: int, dtype: torch.dtype, device: torch.device | str
) -> KVCache:
    """An empty cache for `rows` sequences of at most `capacity` tokens: prompt plus what is to be generated."""
    shape = (rows, config.num_kv_heads, capacity, config.head_dim)

    def tensors() -> tuple[Tensor, ...]:
        return tuple(torch.zeros(shape, dtype=dtype, device=device) for _ in range(config.num_layers))

    return KVCache(tensors(), tensors())


def cache_bytes(config: Qwen3Config, rows: int, capacity: int, dtype: torch.dtype) -> int:
    """Memory `allocate_cache` takes; each conditional and each unconditional sequence is a row."""
    return 2 * config.num_layers * rows * config.num_kv_heads * capacity * config.head_dim * dtype.itemsize
