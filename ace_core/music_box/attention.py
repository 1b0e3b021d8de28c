"""Attention for training small networks on a CPU, where the flash kernel takes ten times as long backwards."""

from __future__ import annotations

from torch import Tensor


def plain_attention(query: Tensor, key: Tensor, value: Tensor, mask: Tensor | None) -> Tensor:
    """An `AttentionFunction` of two matrix products."""
    batch, heads, length, size = query.shape
    groups = key.shape[1]
    folded = query.reshape(batch, groups, heads // groups * length, size) * size**-0.5
    scores = folded @ key.transpose(-1, -2)
    if mask is not None:
        scores = (scores.view(batch, groups, heads // groups, length, -1) + mask[:, :, None]).view_as(scores)
    out: Tensor = scores.softmax(-1) @ value
    return out.reshape(batch, heads, length, size)
