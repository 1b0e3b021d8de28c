"""Random weights for networks built on the meta device, and their names in diffusers."""

from __future__ import annotations

from typing import TypeVar

import torch
from torch import Tensor, nn

Network = TypeVar("Network", bound=nn.Module)

PEER_NAMES = (
    ("q_proj", "to_q"),
    ("k_proj", "to_k"),
    ("v_proj", "to_v"),
    ("o_proj", "to_out.0"),
    ("q_norm", "norm_q"),
    ("k_norm", "norm_k"),
)


def random_weights(network: Network, seed: int, dtype: torch.dtype = torch.float32) -> Network:
    """Fill every parameter from one seeded generator: norms near 1, matrices by fan-in, vectors small."""
    generator = torch.Generator().manual_seed(seed)
    weights = {}
    for name, parameter in network.named_parameters():
        noise = torch.randn(parameter.shape, generator=generator)
        if parameter.ndim == 1:
            tensor = 1 + 0.1 * noise if "norm" in name else 0.1 * noise
        else:
            tensor = noise / parameter[0].numel() ** 0.5
        weights[name] = tensor.to(dtype)
    network.load_state_dict(weights, assign=True)
    return network.eval().requires_grad_(False)


def peer_state(network: nn.Module) -> dict[str, Tensor]:
    """The weights of one of our networks under diffusers' names."""
    weights = {}
    for name, tensor in network.state_dict().items():
        for old, new in PEER_NAMES:
            name = name.replace(old, new)
        weights[name] = tensor
    return weights


def relative_error(a: Tensor, b: Tensor) -> float:
    """||a - b|| / ||b||."""
    return ((a - b).norm() / b.norm()).item()
