"""OFT: rotations of a weight's rows or columns, in blocks, from what adapter files hold of them.

A file holds for each block a skew-symmetric matrix Q, which Cayley's transform makes a rotation. The two published
kinds turn opposite sides:

    LyCORIS, kohya   blocks [n, s, s], Q = B - B^T   R = (I + Q)(I - Q)^-1   W' = rescale * R^T W   over the outputs
    peft             the upper triangle of Q         R = (I - Q)(I + Q)^-1   W' = W R^T             over the inputs

What `rotated` takes are the blocks to multiply with: R^T with the rescaling in it. The formulas match LyCORIS' Diag-OFT
module and peft's `get_delta_weight`.

Traps:
- peft by default replaces its inverse by the first terms of the series of (I + Q)(I - Q)^-1, the opposite sign; the
  file does not say so, its config does. Before 0.18 the last of the terms counted in full, since then by half.
- The alpha of LyCORIS is no scale here: times the outputs it is the most that the norm of all blocks together may be,
  and 0 is no limit. ComfyUI's own loader leaves out the factor.
- peft's COFT keeps each block's norm below eps / sqrt(blocks); it is applied when the weights are used, too.
"""

from __future__ import annotations

import math
from typing import NamedTuple

import torch
from torch import Tensor

_NORM_FLOOR = 1e-8


class PeftRotation(NamedTuple):
    """What a peft config says about its rotations.

    Attributes:
        shared: whether one block stands for all.
        largest_norm: of the matrices Q of one block times the root of their number (COFT); None without.
        terms: of the series; None for the inverse.
        halved: whether the last of the terms counts by half.
    """

    shared: bool
    largest_norm: float | None
    terms: int | None
    halved: bool


def rotated(weight: Tensor, blocks: Tensor, *, inputs: bool) -> Tensor:
    """weight [out, in] times blocks [n, s, s] on the diagonal: from the left, or with `inputs` from the right.

    Args:
        blocks: a single one stands for as many as fit.
    """
    size, (rows, columns) = blocks.shape[-1], weight.shape
    if inputs:
        return (weight.reshape(rows, columns // size, 1, size) @ blocks).flatten(1)
    return (blocks @ weight.reshape(rows // size, size, columns)).flatten(0, 1)


def block_size(packed_length: int) -> int:
    """How large a block is whose upper triangle has this many numbers; 0 if none has."""
    size = (1 + math.isqrt(1 + 8 * packed_length)) // 2
    return size if size * (size - 1) // 2 == packed_length else 0


def peft_blocks(packed: Tensor, settings: PeftRotation) -> Tensor:
    """Blocks over the inputs of what peft stores, upper triangles [n, s (s - 1) / 2], in fp32."""
    size = block_size(packed.shape[1])
    rows, columns = torch.triu_indices(size, size, 1).unbind()
    upper = packed.new_zeros(len(packed), size, size, dtype=torch.float32)
    upper[:, rows, columns] = packed.float()
    skew = upper - upper.mT
    if settings.largest_norm is not None:
        largest = settings.largest_norm / math.sqrt(len(packed))
        norms = skew.flatten(1).norm(dim=1)[:, None, None]
        skew = torch.where(norms <= largest, skew, skew * (largest / norms))
    rotation = _inverse_cayley(-skew) if settings.terms is None else _series(skew, settings.terms, settings.halved)
    return rotation.mT.contiguous()


def lycoris_blocks(blocks: Tensor, constraint: float, rescale: Tensor | None) -> Tensor:
    """Blocks over the outputs of what LyCORIS and kohya store, [n, s, s], in fp32.

    Args:
        constraint: the file's alpha.
        rescale: factors of the outputs, one for each; None for 1.
    """
    blocks = blocks.float()
    skew = blocks - blocks.mT
    largest, norm = constraint * blocks.shape[0] * blocks.shape[1], skew.norm() + _NORM_FLOOR
    if constraint > 0 and norm > largest:
        skew = skew * (largest / norm)
    rotation = _inverse_cayley(skew).mT
    if rescale is not None:
        rotation = rescale.float().view(blocks.shape[0], -1, 1) * rotation
    return rotation.contiguous()


def _inverse_cayley(skew: Tensor) -> Tensor:
    """(I + Q)(I - Q)^-1 of skew-symmetric matrices."""
    identity = torch.eye(skew.shape[-1], dtype=skew.dtype, device=skew.device)
    rotation: Tensor = torch.linalg.solve(identity - skew, identity + skew, left=False)
    return rotation


def _series(skew: Tensor, terms: int, halved: bool) -> Tensor:
    """I + 2 Q + 2 Q^2 + ... as peft cuts it."""
    total = torch.eye(skew.shape[-1], dtype=skew.dtype, device=skew.device).expand_as(skew).clone()
    if terms < 2:
        return total
    factors = [2.0] * (terms - 1)
    if halved and terms > 2:
        factors = [2.0] * max(terms - 2, 2) + [1.0]
    power = torch.eye(skew.shape[-1], dtype=skew.dtype, device=skew.device)
    for factor in factors:
        power = power @ skew
        total += factor * power
    return total
