"""Cheaper backward passes for a network whose own weights are frozen, in place of what autograd would keep.

`lighten` replaces functions of a tree's layers, and nothing else; the forward passes give the same numbers to the bit.

    rotation   keeps its tables; the gradient is turned the other way
    SwiGLU     keeps gate and up; autograd would also keep silu(gate)
    RMSNorm    on a CPU in float32 two operations; PyTorch composes it of several, each with its own tensors
"""

from __future__ import annotations

from functools import partial
from typing import Any, cast

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from ..models.layers import Attention, Rotary, SwiGLU, gated, rotate


def lighten(tree: nn.Module) -> None:
    """Give the layers of a tree the functions of this module."""
    for module in tree.modules():
        if isinstance(module, Attention):
            module.rotate = frozen_rotate
        elif isinstance(module, SwiGLU):
            module.gated = frozen_gated
        elif isinstance(module, nn.RMSNorm):
            module.forward = partial(_frozen_norm, module)  # type: ignore[method-assign]


def frozen_rotate(x: Tensor, rotary: Rotary) -> Tensor:
    """`models.layers.rotate`."""
    return cast("Tensor", _Rotated.apply(x, rotary))  # type: ignore[no-untyped-call]


def frozen_gated(gate: Tensor, up: Tensor) -> Tensor:
    """`models.layers.gated`."""
    return cast("Tensor", _Gated.apply(gate, up))  # type: ignore[no-untyped-call]


def _frozen_norm(norm: nn.RMSNorm, x: Tensor) -> Tensor:
    if x.device.type != "cpu" or x.dtype != torch.float32:
        return nn.RMSNorm.forward(norm, x)
    return cast("Tensor", _FrozenRMSNorm.apply(x, norm.weight, norm.eps))  # type: ignore[no-untyped-call]


class _Rotated(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, x: Tensor, rotary: Rotary) -> Tensor:
        ctx.rotary = rotary
        return rotate(x, rotary)

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor, None]:
        return rotate(gradient, ctx.rotary, -1), None


class _Gated(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, gate: Tensor, up: Tensor) -> Tensor:
        ctx.save_for_backward(gate, up)
        return gated(gate, up)

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor, Tensor]:
        gate, up = ctx.saved_tensors
        up_gradient = F.silu(gate).mul_(gradient)
        return torch.ops.aten.silu_backward(gradient * up, gate), up_gradient


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
