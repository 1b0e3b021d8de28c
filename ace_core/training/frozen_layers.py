"""Layers of a tree whose own weights are never trained: torch.nn's, with a cheaper norm where PyTorch has no fused one.

On a CPU PyTorch composes RMSNorm of several operations, each with its own tensors for the backward pass. With a frozen
weight two are enough. The forward pass gives the same numbers to the bit.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn

Linear = nn.Linear
Conv1d = nn.Conv1d
ConvTranspose1d = nn.ConvTranspose1d
Embedding = nn.Embedding


class RMSNorm(nn.RMSNorm):
    """torch.nn's, of one dimension, whose weight is frozen."""

    def forward(self, x: Tensor) -> Tensor:
        if x.device.type != "cpu" or x.dtype != torch.float32:
            return super().forward(x)
        result: Tensor = _FrozenRMSNorm.apply(x, self.weight, self.eps)  # type: ignore[no-untyped-call]
        return result


class _FrozenRMSNorm(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, x: Tensor, weight: Tensor, eps: float) -> Tensor:
        scale = (torch.linalg.vecdot(x, x) / x.shape[-1] + eps).rsqrt()[..., None]
        ctx.save_for_backward(x, weight, scale)
        normed: Tensor = (x * scale).mul_(weight)
        return normed

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor, None, None]:
        x, weight, scale = ctx.saved_tensors
        weighted = gradient * weight
        along = torch.linalg.vecdot(weighted, x)[..., None] * scale**3 / -x.shape[-1]
        return weighted.mul_(scale).addcmul_(x, along), None, None
