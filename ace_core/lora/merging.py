"""Adapters without a host: a second network that shares every weight an adapter does not change.

The formula is that of the host's patching (`nodes/host/adapters.py`), so a song is the same to the bit. Int8 weights
stay as they are, with a host too: adapters run beside their layers.
"""

from __future__ import annotations

import copy

import torch
from torch import nn

from ..checkpoints.inspection import Network
from .adapters import AppliedAdapter, weight_change
from .side_paths import with_side_paths


def adapted_network(network: Network, applied: AppliedAdapter) -> Network:
    """A copy of a network with an adapter, in its weights or, where those are int8, beside them."""
    return with_side_paths(network, applied) if holds_int8(network) else merged_network(network, applied)


def holds_int8(network: nn.Module) -> bool:
    """Whether a network's matrices are int8."""
    return any(parameter.dtype == torch.int8 for parameter in network.parameters())


def merged_network(network: Network, applied: AppliedAdapter) -> Network:
    """A copy of a network with an adapter in its weights; it shares the other weights with `network`."""
    shared = {id(tensor): tensor for tensor in (*network.parameters(), *network.buffers())}
    with torch.inference_mode(False), torch.no_grad():
        merged = copy.deepcopy(network, shared)
        for name, adapter in applied.adapter.weights.items():
            strength = applied.strengths.of(name)
            if strength == 0:
                continue
            path, _, leaf = name.rpartition(".")
            module = merged.get_submodule(path)
            weight = getattr(module, leaf)
            changed = (weight.float() + weight_change(weight, adapter, strength)).to(weight.dtype)
            setattr(module, leaf, nn.Parameter(changed, requires_grad=False))
    return merged
