"""Adapters beside linear layers whose weights cannot be changed: int8 ones, whose steps are larger than most changes.

A layer keeps its weight W, and what the adapter would do to W is done to what goes in and comes out of it:

    LoRA, LoKr           W x + strength * change(x)
    DoRA, over inputs    the same, then each output times magnitude / norm of its row
    DoRA, over outputs   the same, after each input times magnitude / norm of its column
    OFT                  blocks on what comes out, or on what goes in

These give what `weight_change` gives on the weight that the layer stands for. A LoHa has no way to be computed beside a
layer that takes less memory than the layer.

Trap: adding the change to the numbers of an int8 weight loses it: where it is below half a step, rounding takes it off.
"""

from __future__ import annotations

import copy
from functools import reduce
from typing import cast

import torch
from torch import Tensor, nn

from ..checkpoints.inspection import Network
from .adapters import OFT_KINDS, Adapter, AppliedAdapter
from .rotations import rotated

_INPUTS_AT_ONCE = 1024


class SidePath(nn.Module):
    """A linear layer without bias with an adapter beside it; what it computes is in the layer's dtype.

    Args:
        layer: any such layer, another SidePath too.
        weight_shape: [out, in] of the weight it stands for.
    """

    def __init__(self, layer: nn.Module, adapter: Adapter, strength: float, weight_shape: tuple[int, int]) -> None:
        super().__init__()
        self.layer = layer
        self.kind = adapter.kind
        self.strength = strength
        for number, tensor in enumerate(_whole_factors(adapter)):
            self.register_buffer(f"factor{number}", tensor)
        gains = None if adapter.magnitude is None else self._gains(adapter.magnitude.float(), weight_shape)
        self.register_buffer("gains", gains)

    def forward(self, x: Tensor) -> Tensor:
        if self.kind in OFT_KINDS:
            return self._turned(x)
        gains = cast("Tensor | None", self.gains)
        if gains is not None and gains.shape[0] == 1:  # over the outputs: one for each input
            scaled = x.float() * gains[0]
            out: Tensor = self.layer((x + self.strength * (scaled - x)).to(x.dtype))
            return (out + self.strength * self._change(scaled)).to(x.dtype)
        out = self.layer(x)
        if gains is None:
            return (out + self.strength * self._change(x.float())).to(x.dtype)
        changed = (out + self._change(x.float())) * gains[:, 0]
        return (out + self.strength * (changed - out)).to(x.dtype)

    def _change(self, x: Tensor) -> Tensor:
        """What the adapter adds for x [..., in] in fp32, before any magnitude."""
        first, second = cast("Tensor", self.factor0), cast("Tensor", self.factor1)
        if self.kind == "lokr":
            parts = x.unflatten(-1, (first.shape[1], second.shape[1]))  # type: ignore[no-untyped-call]
            change: Tensor = (first @ (parts @ second.T)).flatten(-2)
            return change
        return (x @ second.T) @ first.T

    def _turned(self, x: Tensor) -> Tensor:
        blocks = cast("Tensor", self.factor0)
        if self.kind == "oft_inputs":
            return cast("Tensor", self.layer((x + self.strength * (_turn(x, blocks) - x)).to(x.dtype)))
        out: Tensor = self.layer(x)
        return (out + self.strength * (_turn(out, blocks) - out)).to(x.dtype)

    def _gains(self, magnitude: Tensor, weight_shape: tuple[int, int]) -> Tensor:
        """magnitude / norms of the changed weight, over its inputs [out, 1] or over its outputs [1, in]."""
        if magnitude.ndim == 1:
            magnitude = magnitude[:, None]
        squares = torch.zeros_like(magnitude)
        identity = torch.eye(weight_shape[1])
        for start in range(0, weight_shape[1], _INPUTS_AT_ONCE):
            inputs = identity[start : start + _INPUTS_AT_ONCE]
            columns = (self.layer(inputs) + self._change(inputs)).square()  # [inputs, out]
            if magnitude.shape[0] == 1:
                squares[0, start : start + len(inputs)] = columns.sum(dim=1)
            else:
                squares[:, 0] += columns.sum(dim=0)
        return magnitude / squares.sqrt().clamp_min(torch.finfo(torch.float32).tiny)


def with_side_paths(network: Network, applied: AppliedAdapter) -> Network:
    """A copy of a network with an adapter beside its layers; it shares all weights with `network`.

    Raises:
        ValueError: a LoHa.
    """
    if any(adapter.kind == "loha" for adapter in applied.adapter.weights.values()):
        raise ValueError(
            f"{applied.name} is a LoHa, which int8 weights cannot take: load the planner with full weights"
        )
    shared = {id(tensor): tensor for tensor in (*network.parameters(), *network.buffers())}
    with torch.inference_mode(False), torch.no_grad():
        adapted = copy.deepcopy(network, shared)
        for name, adapter in applied.adapter.weights.items():
            strength = applied.strengths.of(name)
            if strength == 0:
                continue
            path = name.removesuffix(".weight")
            layer = adapted.get_submodule(path)
            parent, _, leaf = path.rpartition(".")
            setattr(adapted.get_submodule(parent), leaf, SidePath(layer, adapter, strength, _weight_shape(layer)))
        return adapted.eval()


def _weight_shape(layer: nn.Module) -> tuple[int, int]:
    """[out, in] of the weight behind a layer and its side paths."""
    while isinstance(layer, SidePath):
        layer = layer.layer
    rows, columns = cast("Tensor", layer.weight).shape
    return rows, columns


def _whole_factors(adapter: Adapter) -> tuple[Tensor, ...]:
    """What a side path multiplies with, in fp32, the scale in the first: up and down, w1 and w2, or blocks."""
    factors = [[tensor.float() for tensor in factor] for factor in adapter.factors]
    if adapter.kind in OFT_KINDS:
        return (factors[0][0],)
    if adapter.kind == "lokr":
        first, second = (reduce(torch.matmul, factor) for factor in factors)
    else:
        ((first, second),) = factors
    return adapter.scale * first, second


def _turn(x: Tensor, blocks: Tensor) -> Tensor:
    """Blocks [n, s, s] on a diagonal times x [..., width], in fp32."""
    rows = x.float().flatten(0, -2)
    return rotated(rows.T, blocks, inputs=False).T.view(x.shape)
