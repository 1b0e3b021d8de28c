"""Qwen3 decoder: the text encoder (Qwen3-Embedding-0.6B) and the base of the 5 Hz planner.

Matches transformers' `Qwen3Model` and its key names without the `model.` prefix.

Traps:
- Head width is 128 whatever the hidden size (XL-like planners have wider attention than residual).
- Lyrics never pass through the layers: they are rows of `embed_tokens`, read by `embed`.
- One sequence at a time has no padding; with right padding the causal mask alone keeps real positions exact.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from .layers import (
    AttentionFunction,
    Rotary,
    TransformerLayer,
    causal_mask,
    rotary_table,
    scaled_dot_product_attention,
)
from .ops import Ops


@dataclass(frozen=True)
class Qwen3Config:
    """Shapes and constants of a Qwen3 decoder."""

    vocab_size: int
    hidden_size: int
    intermediate_size: int
    num_layers: int
    num_heads: int
    num_kv_heads: int
    head_dim: int
    rope_theta: float
    rms_norm_eps: float


class Qwen3(nn.Module):
    """Token ids -> last hidden states."""

    def __init__(
        self,
        config: Qwen3Config,
        *,
        ops: Ops,
        dtype: torch.dtype | None = None,
        device: torch.device | str | None = None,
    ) -> None:
        super().__init__()
        self.config = config
        self.embed_tokens = ops.Embedding(config.vocab_size, config.hidden_size, dtype=dtype, device=device)
        self.layers = nn.ModuleList(
            TransformerLayer(config, ops=ops, dtype=dtype, device=device) for _ in range(config.num_layers)
        )
        self.norm = ops.RMSNorm(config.hidden_size, eps=config.rms_norm_eps, dtype=dtype, device=device)

    def embed(self, ids: Tensor, dtype: torch.dtype) -> Tensor:
        """Embedding rows [..., hidden] of token ids [...], in `dtype`."""
        rows: Tensor = self.embed_tokens(ids)
        return rows.to(dtype)

    def forward(
        self, ids: Tensor, dtype: torch.dtype, attention: AttentionFunction = scaled_dot_product_attention
    ) -> Tensor:
        """Hidden states after the final norm.

        Args:
            ids: token ids [B, L] (int64).
            dtype: what the layers run in; the embedding may be stored in another one.

        Returns:
            [B, L, hidden].
        """
        x = self.embed(ids, dtype)
        length = ids.shape[1]
        positions = torch.arange(length, device=ids.device)
        rotary = rotary_table(positions, self.config.head_dim, self.config.rope_theta, dtype)
        mask = causal_mask(length, dtype, ids.device)
        x = self.run_layers(x, rotary, mask, lambda _layer: attention)
        out: Tensor = self.norm(x)
        return out

    def run_layers(
        self, x: Tensor, rotary: Rotary, mask: Tensor | None, attention: Callable[[int], AttentionFunction]
    ) -> Tensor:
        """The residual stream after all layers, before the final norm.

        Args:
            x: [B, S, hidden].
            rotary: tables that broadcast against [B, heads, S, head_dim]: [S, head_dim], or [B, 1, S, head_dim] where
                every row has its own positions.
            mask: handed to the attention functions.
            attention: layer number -> its attention function, which may keep keys and values from one call to the next.
        """
        for index, layer in enumerate(self.layers):
            x = layer(x, rotary, attention(index), mask)
        return x
