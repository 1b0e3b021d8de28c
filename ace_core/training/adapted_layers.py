"""What peft's adapted linear layers compute, at less cost; dropout that needs no global random numbers.

`replace_forward` gives new forward passes to the layers that peft injected, and changes nothing else: parameters, names
and meaning stay those of peft, and a layer's class still holds the forward of peft to compare with.

    LoRA   one operation with the base: adds into its output, keeps the input once and the mask of dropout as bits
    DoRA   norms of W + scale * B @ A from ||W||, W @ A.T and A @ A.T; peft builds B @ A out of an identity matrix
    LoKr   two small products; peft builds the whole matrix kron(w1, w2) and multiplies with it

Adapters are kept in float32 and used in the dtype of the activations.

Traps:
- Dropout acts on the adapter's input. peft's DoRA drops the base's input too in its magnitude term, at the price of
  multiplying with the base twice; here it does not.
- The norms of DoRA are constants for the gradient, as in peft and in its paper.
- A layer that is recomputed in the backward pass must drop what it dropped before: each mask comes from a generator of
  its own, seeded with the batch and the layer.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from .seeds import seeded

PEFT_ADAPTER = "default"  # peft's name of the one adapter
_VALUES_PER_DRAW = 4  # of 16 bits

Forward = Callable[[Any, Tensor], Tensor]


class SeededDropout(nn.Module):
    """Says what a layer drops: follows from `seed` (set for each batch by `seed_dropout`) and the layer's name."""

    def __init__(self, share: float, name: str) -> None:
        super().__init__()
        self.share = share
        self.name = name
        self.seed = ""

    def mask(self, x: Tensor) -> Tensor | None:
        """Which numbers of x stay, as booleans; None in evaluation."""
        if not self.training:
            return None
        generator = seeded(self.seed, self.name, device=x.device)
        draws = torch.empty(-(-x.numel() // _VALUES_PER_DRAW), dtype=torch.int64, device=x.device)
        values = draws.random_(-(2**63), None, generator=generator).view(torch.int16)
        return (values >= round(self.share * 2**16) - 2**15)[: x.numel()].view(x.shape)

    def forward(self, x: Tensor) -> Tensor:
        mask = self.mask(x)
        return x if mask is None else torch.where(mask, x / (1 - self.share), 0)


def seed_dropout(network: nn.Module, seed: str) -> None:
    """Let every dropout of a network drop by `seed` from now on."""
    for module in network.modules():
        if isinstance(module, SeededDropout):
            module.seed = seed


def replace_forward(layer: Any, name: str) -> None:
    """Give a layer of peft the forward pass of this module, and dropout that follows from a seed."""
    dropout = getattr(layer, "lora_dropout", None)
    if dropout is not None and isinstance(dropout[PEFT_ADAPTER], nn.Dropout):
        dropout[PEFT_ADAPTER] = SeededDropout(dropout[PEFT_ADAPTER].p, name)
    layer.forward = partial(_forward_of(layer), layer)


def _forward_of(layer: Any) -> Forward:
    if hasattr(layer, "lokr_w1"):
        return _lokr
    return _dora if PEFT_ADAPTER in layer.lora_magnitude_vector else _lora


def _lora(layer: Any, x: Tensor) -> Tensor:
    down, up = (getattr(layer, part)[PEFT_ADAPTER].weight.to(x.dtype) for part in ("lora_A", "lora_B"))
    dropout = layer.lora_dropout[PEFT_ADAPTER]
    mask, kept = (dropout.mask(x), 1 - dropout.share) if isinstance(dropout, SeededDropout) else (None, 1.0)
    result: Tensor = _Lora.apply(x, layer.base_layer.weight, down, up, layer.scaling[PEFT_ADAPTER], mask, kept)  # type: ignore[no-untyped-call]
    return result


class _Lora(torch.autograd.Function):
    """x @ W.T + scale * dropped(x) @ down.T @ up.T of a frozen W without bias."""

    @staticmethod
    def forward(
        ctx: Any, x: Tensor, weight: Tensor, down: Tensor, up: Tensor, scale: float, mask: Tensor | None, kept: float
    ) -> Tensor:
        rows = x.reshape(-1, x.shape[-1])
        mask = None if mask is None else mask.reshape(rows.shape)
        inner = (rows if mask is None else rows * mask.to(rows.dtype)) @ down.T
        ctx.save_for_backward(rows, weight, down, up, inner, mask)
        ctx.scale, ctx.shape = scale / kept, x.shape
        out = F.linear(rows, weight)
        return out.addmm_(inner, up.T, alpha=ctx.scale).view(*x.shape[:-1], -1)

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor | None, ...]:
        rows, weight, down, up, inner, mask = ctx.saved_tensors
        gradient = gradient.reshape(-1, gradient.shape[-1])
        inner_gradient = (gradient @ up).mul_(ctx.scale)
        up_gradient = (gradient.T @ inner).mul_(ctx.scale)
        down_gradient = inner_gradient.T @ (rows if mask is None else rows * mask.to(rows.dtype))
        x_gradient = None
        if ctx.needs_input_grad[0]:
            x_gradient = gradient @ weight
            if mask is None:
                x_gradient.addmm_(inner_gradient, down)
            else:
                x_gradient.add_((inner_gradient @ down).mul_(mask.to(rows.dtype)))
            x_gradient = x_gradient.view(ctx.shape)
        return x_gradient, None, down_gradient, up_gradient, None, None, None


def _dora(layer: Any, x: Tensor) -> Tensor:
    down, up = (layer.lora_A[PEFT_ADAPTER].weight, layer.lora_B[PEFT_ADAPTER].weight)
    norms = changed_norms(layer.base_layer.weight, down, up, layer.scaling[PEFT_ADAPTER])
    factors: Tensor = (layer.lora_magnitude_vector[PEFT_ADAPTER].weight / norms).to(x.dtype)
    return _lora(layer, x) * factors


def _lokr(layer: Any, x: Tensor) -> Tensor:
    outer, inner = (_lokr_factor(layer, part).to(x.dtype) for part in ("lokr_w1", "lokr_w2"))
    blocks = F.linear(x.view(*x.shape[:-1], outer.shape[1], inner.shape[1]), inner)  # [..., in_outer, out_inner]
    change = torch.matmul(outer * layer.scaling[PEFT_ADAPTER], blocks).flatten(-2)
    base: Tensor = layer.base_layer(x)
    return base + change


def _lokr_factor(layer: Any, part: str) -> Tensor:
    whole = getattr(layer, part)
    if PEFT_ADAPTER in whole:
        factor: Tensor = whole[PEFT_ADAPTER]
        return factor
    product: Tensor = getattr(layer, f"{part}_a")[PEFT_ADAPTER] @ getattr(layer, f"{part}_b")[PEFT_ADAPTER]
    return product


@torch.no_grad()
def changed_norms(weight: Tensor, down: Tensor, up: Tensor, scale: float) -> Tensor:
    """Norms [out] of the rows of weight + scale * up @ down, in float32, without building the product.

    ||w + s * b A||^2 = ||w||^2 + 2 s (w A^T) . b + s^2 b (A A^T) . b for a row w of the weight and b of `up`.
    """
    weight, down, up = weight.float(), down.float(), up.float()
    crossed = (weight @ down.T * up).sum(dim=1)
    squared = (up @ (down @ down.T) * up).sum(dim=1)
    return (weight.square().sum(dim=1) + 2 * scale * crossed + scale**2 * squared).clamp_min(0).sqrt()
