"""Random weights for networks built on the meta device, and their names in diffusers."""

from __future__ import annotations

from typing import TYPE_CHECKING, TypeVar

import torch
from torch import Tensor, nn

from ace_core.models.dit import DiT
from ace_core.models.layers import EncoderConfig

if TYPE_CHECKING:
    from diffusers import AceStepTransformer1DModel

Network = TypeVar("Network", bound=nn.Module)

SPECIAL_TOKENS = ("special_token", "special_tokens", "null_condition_emb")
PEER_NAMES = (
    ("q_proj", "to_q"),
    ("k_proj", "to_k"),
    ("v_proj", "to_v"),
    ("o_proj", "to_out.0"),
    ("q_norm", "norm_q"),
    ("k_norm", "norm_k"),
)
PEER_DIT_NAMES = (("proj_in.", "proj_in_conv."), ("proj_out.", "proj_out_conv."), *PEER_NAMES)
SMALL_ENCODER = EncoderConfig(
    hidden_size=64,
    intermediate_size=160,
    num_heads=4,
    num_kv_heads=2,
    head_dim=32,
    sliding_window=16,
    rope_theta=1e6,
    rms_norm_eps=1e-6,
)
SMALL_PEER_ENCODER = {
    "hidden_size": SMALL_ENCODER.hidden_size,
    "intermediate_size": SMALL_ENCODER.intermediate_size,
    "num_attention_heads": SMALL_ENCODER.num_heads,
    "num_key_value_heads": SMALL_ENCODER.num_kv_heads,
    "head_dim": SMALL_ENCODER.head_dim,
    "sliding_window": SMALL_ENCODER.sliding_window,
}


def random_state(network: nn.Module, seed: int, dtype: torch.dtype) -> dict[str, Tensor]:
    """A tensor for every parameter from one seeded generator.

    Norms are near 1, vectors small, embeddings and special tokens of size 1, matrices scaled by fan-in.
    """
    generator = torch.Generator().manual_seed(seed)
    weights = {}
    for name, parameter in network.named_parameters():
        noise = torch.randn(parameter.shape, generator=generator)
        if parameter.ndim == 1:
            tensor = 1 + 0.1 * noise if "norm" in name else 0.1 * noise
        elif name == "embed_tokens.weight" or name.endswith(SPECIAL_TOKENS):
            tensor = noise
        else:
            tensor = noise / parameter[0].numel() ** 0.5
        weights[name] = tensor.to(dtype)
    return weights


def random_weights(network: Network, seed: int, dtype: torch.dtype = torch.float32) -> Network:
    """Fill a network on the meta device with `random_state`."""
    network.load_state_dict(random_state(network, seed, dtype), assign=True)
    return network.eval().requires_grad_(False)


def peer_state(network: nn.Module) -> dict[str, Tensor]:
    """The weights of one of our networks under diffusers' names."""
    renames = PEER_DIT_NAMES if isinstance(network, DiT) else PEER_NAMES
    weights = {}
    for name, tensor in network.state_dict().items():
        for old, new in renames:
            name = name.replace(old, new)
        weights[name] = tensor
    return weights


def diffusers_dit(dit: DiT) -> AceStepTransformer1DModel:
    """diffusers' transformer over the very weights of one of our decoders."""
    from diffusers import AceStepTransformer1DModel  # heavy, and the small checkpoints do without

    config = dit.config
    with torch.device("meta"):
        peer = AceStepTransformer1DModel(
            hidden_size=config.hidden_size,
            intermediate_size=config.intermediate_size,
            num_hidden_layers=config.num_layers,
            num_attention_heads=config.num_heads,
            num_key_value_heads=config.num_kv_heads,
            head_dim=config.head_dim,
            encoder_hidden_size=config.condition_size,
            sliding_window=config.sliding_window,
        )
    weights = peer_state(dit)
    del weights["null_condition_emb"]
    peer.load_state_dict(weights, assign=True)
    return peer.eval()


def relative_error(a: Tensor, b: Tensor) -> float:
    """||a - b|| / ||b||."""
    return ((a - b).norm() / b.norm()).item()
