"""Layers shared by every ACE-Step 1.5 transformer: grouped-query attention, rotary positions, SwiGLU, encoder stack.

Matches the Qwen3-style blocks of the official modelling files (`modeling_acestep_v15_*.py`): RMSNorm over the head
dimension on queries and keys before the rotation, rotate-half rotary embedding, no projection biases.

Traps:
- Sliding layers are the even ones (0, 2, ...). Position i sees j when |i - j| <= window, so 2 * window + 1 positions.
- `sliding_attention` computes that band in blocks of `window` queries against 3 * window keys. The result equals the
  masked full matrix; memory and time grow linearly with length.
- Masks given to an `AttentionFunction` are additive and in the dtype of the queries, because not every attention back
  end of a host accepts boolean ones. Blocked entries hold the lowest finite value, as in the official masks.
- Keys and values keep their own number of heads; the attention function repeats them (grouped-query attention).
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import NamedTuple, Protocol

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from .ops import Ops

AttentionFunction = Callable[[Tensor, Tensor, Tensor, Tensor | None], Tensor]
"""(query [B, H, S, D], key [B, K, L, D], value [B, K, L, D], additive mask or None) -> [B, H, S, D]; K divides H."""


def scaled_dot_product_attention(query: Tensor, key: Tensor, value: Tensor, mask: Tensor | None) -> Tensor:
    """PyTorch's attention with grouped heads: the default `AttentionFunction`."""
    return F.scaled_dot_product_attention(query, key, value, attn_mask=mask, enable_gqa=query.shape[1] != key.shape[1])


class Rotary(NamedTuple):
    """Cosine and sine tables [S, D] of positions 0..S-1, in the dtype of the activations."""

    cos: Tensor
    sin: Tensor


def rotary_table(positions: Tensor, head_dim: int, theta: float, dtype: torch.dtype) -> Rotary:
    """Rotary tables of `positions` [S] with base `theta`, computed in fp32 and rounded to `dtype` at the end."""
    exponents = torch.arange(0, head_dim, 2, device=positions.device, dtype=torch.float32) / head_dim
    angles = torch.outer(positions.to(torch.float32), theta**-exponents)
    angles = torch.cat((angles, angles), dim=-1)
    return Rotary(angles.cos().to(dtype), angles.sin().to(dtype))


def rotate(x: Tensor, rotary: Rotary, direction: int = 1) -> Tensor:
    """Apply rotate-half positions to x [B, H, S, D]; direction -1 turns back."""
    half = x.shape[-1] // 2
    out = x * rotary.cos
    out[..., :half].addcmul_(x[..., half:], rotary.sin[..., :half], value=-direction)
    out[..., half:].addcmul_(x[..., :half], rotary.sin[..., half:], value=direction)
    return out


def gated(gate: Tensor, up: Tensor) -> Tensor:
    """silu(gate) * up."""
    return F.silu(gate).mul_(up)


def blocked_value(dtype: torch.dtype) -> float:
    """The additive mask value of a position that must not be attended to."""
    return torch.finfo(dtype).min


def key_mask(valid: Tensor, dtype: torch.dtype) -> Tensor:
    """Additive mask [B, 1, 1, L] from a boolean mask of valid keys [B, L]."""
    mask = torch.zeros(valid.shape, dtype=dtype, device=valid.device)
    return mask.masked_fill_(~valid, blocked_value(dtype))[:, None, None, :]


def causal_mask(length: int, dtype: torch.dtype, device: torch.device) -> Tensor:
    """Additive mask [1, 1, S, S] in which position i sees positions 0..i."""
    mask = torch.full((length, length), blocked_value(dtype), dtype=dtype, device=device)
    return mask.triu_(1)[None, None]


def sliding_mask(length: int, window: int, dtype: torch.dtype, device: torch.device) -> Tensor | None:
    """Additive masks [blocks, 1, window, 3 * window] for `sliding_attention`; None when the window covers all."""
    if length <= window + 1:
        return None
    blocks = -(-length // window)
    queries = torch.arange(blocks * window, device=device).view(blocks, window, 1)
    keys = torch.arange(3 * window, device=device) + window * torch.arange(-1, blocks - 1, device=device)[:, None]
    keys = keys[:, None, :]
    visible = ((queries - keys).abs() <= window) & (keys >= 0) & (keys < length)
    mask = torch.zeros(visible.shape, dtype=dtype, device=device)
    return mask.masked_fill_(~visible, blocked_value(dtype))[:, None]


def sliding_attention(
    query: Tensor, key: Tensor, value: Tensor, window: int, mask: Tensor | None, attention: AttentionFunction
) -> Tensor:
    """Bidirectional attention within |i - j| <= window.

    Args:
        query: [B, H, S, D]. key, value: [B, K, S, D].
        mask: what `sliding_mask` returns for S and window.
    """
    if mask is None:
        return attention(query, key, value, None)
    batch, heads, length, head_dim = query.shape
    blocks = mask.shape[0]
    padding = blocks * window - length

    def blocks_of_keys(x: Tensor) -> Tensor:
        x = F.pad(x, (0, 0, window, window + padding)).unfold(2, 3 * window, window)  # [B, K, blocks, D, 3W]
        return x.permute(0, 2, 1, 4, 3).reshape(batch * blocks, x.shape[1], 3 * window, head_dim)

    query = F.pad(query, (0, 0, 0, padding)).view(batch, heads, blocks, window, head_dim)
    query = query.transpose(1, 2).reshape(batch * blocks, heads, window, head_dim)
    out = attention(query, blocks_of_keys(key), blocks_of_keys(value), mask.repeat(batch, 1, 1, 1))
    out = out.view(batch, blocks, heads, window, head_dim).transpose(1, 2)
    return out.reshape(batch, heads, blocks * window, head_dim)[:, :, :length]


class LayerSizes(Protocol):
    """The fields of a config that shape a transformer layer."""

    @property
    def hidden_size(self) -> int: ...

    @property
    def intermediate_size(self) -> int: ...

    @property
    def num_heads(self) -> int: ...

    @property
    def num_kv_heads(self) -> int: ...

    @property
    def head_dim(self) -> int: ...

    @property
    def rms_norm_eps(self) -> float: ...


class Attention(nn.Module):
    """Projections and head norms of grouped-query attention; the attention itself is a function."""

    rotate: Callable[[Tensor, Rotary], Tensor] = staticmethod(rotate)  # training puts its own here

    def __init__(
        self,
        sizes: LayerSizes,
        *,
        ops: Ops,
        dtype: torch.dtype | None = None,
        device: torch.device | str | None = None,
    ) -> None:
        super().__init__()
        hidden_size, head_dim, eps = sizes.hidden_size, sizes.head_dim, sizes.rms_norm_eps
        width, kv_width = sizes.num_heads * head_dim, sizes.num_kv_heads * head_dim
        self.num_heads = sizes.num_heads
        self.head_dim = head_dim
        self.q_proj = ops.Linear(hidden_size, width, bias=False, dtype=dtype, device=device)
        self.k_proj = ops.Linear(hidden_size, kv_width, bias=False, dtype=dtype, device=device)
        self.v_proj = ops.Linear(hidden_size, kv_width, bias=False, dtype=dtype, device=device)
        self.o_proj = ops.Linear(width, hidden_size, bias=False, dtype=dtype, device=device)
        self.q_norm = ops.RMSNorm(head_dim, eps=eps, dtype=dtype, device=device)
        self.k_norm = ops.RMSNorm(head_dim, eps=eps, dtype=dtype, device=device)

    def query(self, x: Tensor) -> Tensor:
        """[B, S, hidden] -> normalised queries [B, H, S, D]."""
        heads: Tensor = self.q_norm(self.q_proj(x).unflatten(-1, (-1, self.head_dim)))
        return heads.transpose(1, 2)

    def key(self, x: Tensor) -> Tensor:
        """[B, L, hidden] -> normalised keys [B, K, L, D]."""
        heads: Tensor = self.k_norm(self.k_proj(x).unflatten(-1, (-1, self.head_dim)))
        return heads.transpose(1, 2)

    def value(self, x: Tensor) -> Tensor:
        """[B, L, hidden] -> values [B, K, L, D]."""
        heads: Tensor = self.v_proj(x).unflatten(-1, (-1, self.head_dim))
        return heads.transpose(1, 2)

    def output(self, heads: Tensor) -> Tensor:
        """[B, H, S, D] -> [B, S, hidden]."""
        out: Tensor = self.o_proj(heads.transpose(1, 2).flatten(2))
        return out


class SwiGLU(nn.Module):
    """down(silu(gate(x)) * up(x))."""

    gated: Callable[[Tensor, Tensor], Tensor] = staticmethod(gated)  # training puts its own here

    def __init__(
        self,
        hidden_size: int,
        intermediate_size: int,
        *,
        ops: Ops,
        dtype: torch.dtype | None = None,
        device: torch.device | str | None = None,
    ) -> None:
        super().__init__()
        self.gate_proj = ops.Linear(hidden_size, intermediate_size, bias=False, dtype=dtype, device=device)
        self.up_proj = ops.Linear(hidden_size, intermediate_size, bias=False, dtype=dtype, device=device)
        self.down_proj = ops.Linear(intermediate_size, hidden_size, bias=False, dtype=dtype, device=device)

    def forward(self, x: Tensor) -> Tensor:
        out: Tensor = self.down_proj(self.gated(self.gate_proj(x), self.up_proj(x)))
        return out


@dataclass(frozen=True)
class EncoderConfig:
    """Widths of the encoder layers used by the condition encoder and the audio tokenizer."""

    hidden_size: int
    intermediate_size: int
    num_heads: int
    num_kv_heads: int
    head_dim: int
    sliding_window: int
    rope_theta: float
    rms_norm_eps: float


class TransformerLayer(nn.Module):
    """Pre-norm layer of Qwen3 and of the encoders; masking is left to the attention function."""

    def __init__(
        self,
        sizes: LayerSizes,
        *,
        ops: Ops,
        dtype: torch.dtype | None = None,
        device: torch.device | str | None = None,
    ) -> None:
        super().__init__()
        hidden_size, eps = sizes.hidden_size, sizes.rms_norm_eps
        self.self_attn = Attention(sizes, ops=ops, dtype=dtype, device=device)
        self.mlp = SwiGLU(hidden_size, sizes.intermediate_size, ops=ops, dtype=dtype, device=device)
        self.input_layernorm = ops.RMSNorm(hidden_size, eps=eps, dtype=dtype, device=device)
        self.post_attention_layernorm = ops.RMSNorm(hidden_size, eps=eps, dtype=dtype, device=device)

    def forward(self, x: Tensor, rotary: Rotary, attention: AttentionFunction, mask: Tensor | None) -> Tensor:
        normed = self.input_layernorm(x)
        attn = self.self_attn
        query, key = attn.rotate(attn.query(normed), rotary), attn.rotate(attn.key(normed), rotary)
        heads = attention(query, key, attn.value(normed), mask)
        x = x + attn.output(heads)
        out: Tensor = x + self.mlp(self.post_attention_layernorm(x))
        return out


def encoder_layers(
    config: EncoderConfig,
    count: int,
    *,
    ops: Ops,
    dtype: torch.dtype | None = None,
    device: torch.device | str | None = None,
) -> nn.ModuleList:
    """`count` encoder layers."""
    return nn.ModuleList(TransformerLayer(config, ops=ops, dtype=dtype, device=device) for _ in range(count))


def run_encoder_layers(layers: nn.ModuleList, x: Tensor, config: EncoderConfig, attention: AttentionFunction) -> Tensor:
    """Run a bidirectional stack on x [B, S, hidden] without padding: even layers see the window, odd ones all."""
    length = x.shape[1]
    rotary = rotary_table(torch.arange(length, device=x.device), config.head_dim, config.rope_theta, x.dtype)
    window = config.sliding_window
    mask = sliding_mask(length, window, x.dtype, x.device)

    def windowed(query: Tensor, key: Tensor, value: Tensor, mask: Tensor | None) -> Tensor:
        return sliding_attention(query, key, value, window, mask, attention)

    for index, layer in enumerate(layers):
        x = layer(x, rotary, windowed, mask) if index % 2 == 0 else layer(x, rotary, attention, None)
    return x
