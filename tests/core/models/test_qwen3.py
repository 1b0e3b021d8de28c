"""Qwen3 against transformers' Qwen3Model on shared random weights (fp32)."""

from __future__ import annotations

import pytest
import torch
from networks import random_weights, relative_error
from torch import nn
from transformers import Qwen3Config as PeerConfig
from transformers import Qwen3Model

from ace_core.models.qwen3 import Qwen3, Qwen3Config

SMALL = Qwen3Config(
    vocab_size=301,
    hidden_size=48,
    intermediate_size=112,
    num_layers=3,
    num_heads=4,
    num_kv_heads=2,
    head_dim=32,
    rope_theta=1e6,
    rms_norm_eps=1e-6,
)


@pytest.mark.parametrize(("seed", "length"), [(0, 1), (1, 37), (2, 256)])
@torch.no_grad()
def test_hidden_states_equal_transformers(seed: int, length: int) -> None:
    ours = random_weights(Qwen3(SMALL, ops=nn, device="meta"), seed)
    peer = Qwen3Model(
        PeerConfig(
            vocab_size=SMALL.vocab_size,
            hidden_size=SMALL.hidden_size,
            intermediate_size=SMALL.intermediate_size,
            num_hidden_layers=SMALL.num_layers,
            num_attention_heads=SMALL.num_heads,
            num_key_value_heads=SMALL.num_kv_heads,
            head_dim=SMALL.head_dim,
            rope_parameters={"rope_type": "default", "rope_theta": SMALL.rope_theta},
            rms_norm_eps=SMALL.rms_norm_eps,
        )
    )
    peer.load_state_dict(ours.state_dict())
    ids = torch.randint(SMALL.vocab_size, (2, length), generator=torch.Generator().manual_seed(seed))

    hidden = ours(ids, torch.float32)

    assert relative_error(hidden, peer(ids).last_hidden_state) <= 1e-5
    assert torch.equal(ours.embed(ids, torch.float32), peer.embed_tokens(ids))
