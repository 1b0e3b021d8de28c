"""Adapters in one form, whatever file they come from, and what they change in a weight.

An adapter of a weight W [out, in] adds one or two matrices, each stored whole or as a product of two:

    LoRA   scale * (up @ down)
    LoHa   scale * (w1_a @ w1_b) * (w2_a @ w2_b)       element by element
    LoKr   scale * kron(w1, w2)                        w1 and w2 whole or factored

or turns it (`rotations.py`):

    OFT    blocks on a diagonal times W over the outputs, or W times them over the inputs

With a magnitude (DoRA) the changed weight is divided by its norms and multiplied by the magnitude: over the inputs,
magnitude [out, 1], as peft does it and LyCORIS by default, or over the outputs, magnitude [1, in], as older LyCORIS.
The formulas match peft's `get_delta_weight` and DoRA layer, and the forward pass of LyCORIS' modules.

Traps:
- The DoRA norm is that of the changed weight, not of the base.
- LyCORIS scales the LoKr change twice when it merges (`get_diff_weight`), but once when it trains. Once is right.
- A strength between 0 and 1 is a straight line from the base to the adapted weight, for DoRA and OFT too.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from functools import reduce
from typing import Literal, NamedTuple

import torch
from torch import Tensor

from ..checkpoints.registry import FileStamp
from .rotations import rotated

AdapterKind = Literal["lora", "loha", "lokr", "oft", "oft_inputs"]
OFT_KINDS: tuple[AdapterKind, ...] = ("oft", "oft_inputs")  # over the outputs, over the inputs


class Adapter(NamedTuple):
    """What an adapter file holds for one weight [out, in]; tensors of any float dtype.

    Attributes:
        scale: alpha / rank, or alpha / sqrt(rank) for a rank-stabilised LoRA; 1 for OFT.
        factors: the matrices, each as the tensors whose product it is: ((up, down),) for LoRA, two for LoHa and LoKr,
            ((blocks,),) for OFT.
        magnitude: of DoRA, [out, 1] or [1, in]; None without.
    """

    kind: AdapterKind
    scale: float
    factors: tuple[tuple[Tensor, ...], ...]
    magnitude: Tensor | None


class Strengths(NamedTuple):
    """How much of an adapter to apply: 0 nothing, 1 as trained; the other two multiply the first."""

    overall: float = 1.0
    self_attention: float = 1.0
    cross_attention: float = 1.0

    def of(self, weight_name: str) -> float:
        """The strength for a weight, by its name in the network."""
        if ".self_attn." in weight_name:
            return self.overall * self.self_attention
        if ".cross_attn." in weight_name:
            return self.overall * self.cross_attention
        return self.overall


@dataclass(frozen=True, eq=False)
class AdapterWeights:
    """An adapter file in memory: for each weight, by its name in the network, what it holds."""

    weights: Mapping[str, Adapter]


class AppliedAdapter(NamedTuple):
    """An adapter on a model or a planner; `files` are those it was read from."""

    name: str
    adapter: AdapterWeights
    strengths: Strengths
    files: tuple[FileStamp, ...] = ()

    def __repr__(self) -> str:
        factors = (self.strengths.self_attention, self.strengths.cross_attention)
        separate = "" if factors == (1.0, 1.0) else " (self-attention x {:g}, cross-attention x {:g})".format(*factors)
        return f"{self.name} x {self.strengths.overall:g}{separate}"


def adapter_matrix(adapter: Adapter, device: torch.device | str | None = None) -> Tensor:
    """What an adapter, unless it is an OFT, adds to its weight before any magnitude, [out, in] in fp32.

    Args:
        device: where to compute; None for where the adapter lies.
    """
    matrices = [
        reduce(torch.matmul, [tensor.to(device=device, dtype=torch.float32) for tensor in factor])
        for factor in adapter.factors
    ]
    matrix: Tensor = reduce(torch.kron if adapter.kind == "lokr" else torch.mul, matrices)
    return matrix * adapter.scale


def weight_change(weight: Tensor, adapter: Adapter, strength: float) -> Tensor:
    """What to add to `weight` [out, in] for an adapter at a strength, in fp32 on the weight's device."""
    if adapter.kind in OFT_KINDS:
        weight, ((blocks,),) = weight.float(), adapter.factors
        turned = rotated(weight, blocks.to(weight), inputs=adapter.kind == "oft_inputs")
        return (turned - weight) * strength
    change = adapter_matrix(adapter, weight.device)
    if adapter.magnitude is None:
        return change * strength
    weight = weight.float()
    changed = weight + change
    magnitude = adapter.magnitude.to(changed)
    norms: Tensor = torch.linalg.vector_norm(changed, dim=magnitude.shape.index(1), keepdim=True)
    return strength * (changed * (magnitude / norms.clamp_min(torch.finfo(torch.float32).tiny)) - weight)


def joined_change(name: str, weight: Tensor, applied: Iterable[AppliedAdapter]) -> Tensor:
    """What adapters put on a model one after the other add to its weight `name` together, in fp32."""
    change = torch.zeros_like(weight, dtype=torch.float32)
    for item in applied:
        adapter = item.adapter.weights.get(name)
        if adapter is not None:
            change += weight_change(weight.float() + change, adapter, item.strengths.of(name))
    return change
