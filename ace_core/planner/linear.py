"""Matrix products of a handful of rows with large matrices: what decoding spends its time on.

`decoding_ops` wraps a host's layer classes so that a planner built from them multiplies fp32 rows on the CPU with
oneDNN instead of the BLAS behind `torch.nn.functional.linear`, which reads the weights two to four times slower when it
is given 2 to 8 rows. Everywhere else the wrapped layers do what they always did. Nothing is repacked or copied.

`LogitsHead` is the tied output matrix, cut to the rows that may be sampled.

Trap: oneDNN's operator has no gradient, so these layers are for inference.
"""

from __future__ import annotations

from types import SimpleNamespace
from typing import Protocol, cast

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from ..models.ops import Ops

_HAS_ONEDNN: bool = torch.backends.mkldnn.is_available()  # type: ignore[no-untyped-call]
_BLAS_ROWS = (1, *range(9, 32))  # where the BLAS is the faster one: matrix times vector, and middle sizes


def linear(x: Tensor, weight: Tensor) -> Tensor:
    """x [..., K] times the transpose of weight [N, K]; both have one dtype and one device."""
    if _prefers_onednn(x, weight):
        product: Tensor = torch.ops.mkldnn._linear_pointwise(x, weight, None, "none", [], "")
        return product
    return F.linear(x, weight)


def decoding_ops(ops: Ops) -> Ops:
    """`ops` with linear layers that are fast for few rows; build the planner's network from it."""
    layer = type("Linear", (_FewRowsLinear, cast("type", ops.Linear)), {})
    return cast("Ops", SimpleNamespace(Linear=layer, RMSNorm=ops.RMSNorm, Embedding=ops.Embedding))


class LogitsHead(Protocol):
    """hidden [..., hidden size] -> fp32 logits [..., rows] of a range of tokens."""

    def __call__(self, hidden: Tensor) -> Tensor: ...


def logits_head(embedding: nn.Module, start: int, stop: int, *, dtype: torch.dtype, device: torch.device) -> LogitsHead:
    """The output matrix for the tokens `start` .. `stop` - 1: those rows of the tied embedding.

    The rows are cast and moved once, here; where they already are what the run computes in they stay a view.
    """
    slicer = getattr(embedding, "logits_head", None)
    if slicer is not None:
        head: LogitsHead = slicer(start, stop, device=device)
        return head
    weight = cast("Tensor", embedding.weight)[start:stop].to(device, dtype)
    return lambda hidden: linear(hidden, weight).float()


class _FewRowsLinear(nn.Linear):
    """Put before a host's layer class: takes over where the weight needs neither cast nor move."""

    def forward(self, x: Tensor) -> Tensor:
        changed_at_use = getattr(self, "weight_function", ())  # a host's adapters on weights that it streams
        if self.bias is None and not changed_at_use and _prefers_onednn(x, self.weight):
            return linear(x, self.weight)
        out: Tensor = super().forward(x)
        return out


def _prefers_onednn(x: Tensor, weight: Tensor) -> bool:
    return (
        x.device.type == "cpu"
        and weight.device.type == "cpu"
        and x.dtype == weight.dtype == torch.float32
        and _HAS_ONEDNN
        and x.numel() // x.shape[-1] not in _BLAS_ROWS
    )
