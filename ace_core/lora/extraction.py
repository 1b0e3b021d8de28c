"""A difference of weights -> the LoRA nearest to it, by singular values.

The nearest matrix of a rank, in the sum of squares, keeps the largest singular values (Eckart and Young). They are
found exactly for small matrices, and by subspace iteration for large ones: many times faster, and nearly as near.

Traps:
- `torch.svd_lowrank` draws from the global random numbers. The start here comes from a fixed seed, on the CPU, so a
  difference gives the same LoRA every time.
- A difference in fp32 of equal weights is zero, but one of bfloat16 weights that went different ways is noise of full
  rank: what the rank leaves out is reported, not hidden.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import NamedTuple

import torch
from torch import Tensor

from .adapters import Adapter

OVERSAMPLING = 16
ITERATIONS = 4
RANK_TOLERANCE = 1e-5  # of the largest singular value: below it is rounding


class Factors(NamedTuple):
    """up [out, r] @ down [r, in]; `kept` and `total` are sums of squares of it and of what it stands for."""

    up: Tensor
    down: Tensor
    rank: int  # how many of the r singular values are more than rounding
    kept: float
    total: float


class Extraction(NamedTuple):
    """A LoRA of all differences.

    Attributes:
        adapters: by weight name, all of `rank`, scale 1.
        kept_share: share of the difference, in the sum of squares, that it holds.
    """

    adapters: dict[str, Adapter]
    rank: int
    kept_share: float


def extract_lora(differences: Iterable[tuple[str, Tensor]], rank: int) -> Extraction:
    """The LoRA nearest to differences of weights.

    Args:
        differences: (weight name, matrix [out, in] in fp32); zeros are left out.
        rank: at most this; less if all differences have less.

    Raises:
        ValueError: all differences are zero.
    """
    found = {name: nearest_factors(matrix, rank) for name, matrix in differences if matrix.any()}
    if not found:
        raise ValueError("there is no difference to save: both models have the same weights")
    needed = max(factors.rank for factors in found.values())
    adapters = {
        name: Adapter("lora", 1.0, ((factors.up[:, :needed].cpu(), factors.down[:needed].cpu()),), None)
        for name, factors in found.items()
    }
    kept, total = (sum(getattr(factors, field) for factors in found.values()) for field in ("kept", "total"))
    return Extraction(adapters, needed, kept / total)


def nearest_factors(matrix: Tensor, rank: int) -> Factors:
    """The nearest product of matrices [out, r] and [r, in] to `matrix`, r at most `rank`, both of the same size."""
    rank = min(rank, *matrix.shape)
    sketch = rank + OVERSAMPLING
    if 4 * sketch >= min(matrix.shape):
        left, values, right = torch.linalg.svd(matrix, full_matrices=False)
    else:
        generator = torch.Generator().manual_seed(0)
        basis = matrix @ torch.randn(matrix.shape[1], sketch, generator=generator).to(matrix)
        for _ in range(ITERATIONS):
            basis = torch.linalg.qr(basis).Q
            basis = matrix @ torch.linalg.qr(matrix.T @ basis).Q
        basis = torch.linalg.qr(basis).Q
        inner, values, right = torch.linalg.svd(basis.T @ matrix, full_matrices=False)
        left = basis @ inner
    values = values[:rank]
    root = values.sqrt()
    return Factors(
        up=left[:, :rank] * root,
        down=root[:, None] * right[:rank],
        rank=int((values > RANK_TOLERANCE * values[0]).sum()),
        kept=float(values.double().square().sum()),
        total=float(matrix.double().square().sum()),
    )
