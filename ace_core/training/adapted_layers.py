"""What peft's adapted linear layers compute, at less cost; dropout that needs no global random numbers.

`speed_up` replaces the forward pass of layers that peft injected, and nothing else: parameters, names and meaning stay
peft's, and a layer's class still holds peft's own forward to compare with.

    LoRA   one fused multiply-add into the base's output instead of a product, a scaling and a sum
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

ADAPTER = "default"  # peft's name of the one adapter

Forward = Callable[[Any, Tensor], Tensor]


class SeededDropout(nn.Module):
    """Dropout whose mask follows from `seed` (set for each batch by `seed_dropout`) and the layer's name."""

    def __init__(self, share: float, name: str) -> None:
        super().__init__()
        self.share = share
        self.name = name
        self.seed = ""

    def forward(self, x: Tensor) -> Tensor:
        if not self.training:
            return x
        generator = seeded(self.seed, self.name, device=x.device)
        kept = torch.empty_like(x).bernoulli_(1 - self.share, generator=generator)
        return x * kept.mul_(1 / (1 - self.share))


def seed_dropout(network: nn.Module, seed: str) -> None:
    """Let every dropout of a network drop by `seed` from now on."""
    for module in network.modules():
        if isinstance(module, SeededDropout):
            module.seed = seed


def speed_up(layer: Any, name: str) -> None:
    """Give a layer of peft the forward pass of this module, and dropout that follows from a seed."""
    dropout = getattr(layer, "lora_dropout", None)
    if dropout is not None and isinstance(dropout[ADAPTER], nn.Dropout):
        dropout[ADAPTER] = SeededDropout(dropout[ADAPTER].p, name)
    layer.forward = partial(_forward_of(layer), layer)


def _forward_of(layer: Any) -> Forward:
    if hasattr(layer, "lokr_w1"):
        return _lokr
    return _dora if ADAPTER in layer.lora_magnitude_vector else _lora


def _lora(layer: Any, x: Tensor) -> Tensor:
    base: Tensor = layer.base_layer(x)
    down, up = _matrices(layer, x.dtype)
    inner = F.linear(layer.lora_dropout[ADAPTER](x), down)
    joined = torch.addmm(base.flatten(0, -2), inner.flatten(0, -2), up.T, alpha=layer.scaling[ADAPTER])
    return joined.view_as(base)


def _dora(layer: Any, x: Tensor) -> Tensor:
    down, up = (layer.lora_A[ADAPTER].weight, layer.lora_B[ADAPTER].weight)
    norms = changed_norms(layer.base_layer.weight, down, up, layer.scaling[ADAPTER])
    factors: Tensor = (layer.lora_magnitude_vector[ADAPTER].weight / norms).to(x.dtype)
    return _lora(layer, x) * factors


def _lokr(layer: Any, x: Tensor) -> Tensor:
    outer, inner = (_lokr_factor(layer, part).to(x.dtype) for part in ("lokr_w1", "lokr_w2"))
    blocks = F.linear(x.view(*x.shape[:-1], outer.shape[1], inner.shape[1]), inner)  # [..., in_outer, out_inner]
    change = torch.matmul(outer * layer.scaling[ADAPTER], blocks).flatten(-2)
    base: Tensor = layer.base_layer(x)
    return base + change


def _lokr_factor(layer: Any, part: str) -> Tensor:
    whole = getattr(layer, part)
    if ADAPTER in whole:
        factor: Tensor = whole[ADAPTER]
        return factor
    product: Tensor = getattr(layer, f"{part}_a")[ADAPTER] @ getattr(layer, f"{part}_b")[ADAPTER]
    return product


def _matrices(layer: Any, dtype: torch.dtype) -> tuple[Tensor, Tensor]:
    return layer.lora_A[ADAPTER].weight.to(dtype), layer.lora_B[ADAPTER].weight.to(dtype)


@torch.no_grad()
def changed_norms(weight: Tensor, down: Tensor, up: Tensor, scale: float) -> Tensor:
    """Norms [out] of the rows of weight + scale * up @ down, in float32, without building the product.

    ||w + s * b A||^2 = ||w||^2 + 2 s (w A^T) . b + s^2 b (A A^T) . b for a row w of the weight and b of `up`.
    """
    weight, down, up = weight.float(), down.float(), up.float()
    crossed = (weight @ down.T * up).sum(dim=1)
    squared = (up @ (down @ down.T) * up).sum(dim=1)
    return (weight.square().sum(dim=1) + 2 * scale * crossed + scale**2 * squared).clamp_min(0).sqrt()
