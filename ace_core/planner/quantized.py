"""Weight-only int8 for the planner: a quarter of fp32's memory and of the time a CPU takes to read it.

Every matrix, the tied embedding included, is kept as int8 with one scale for each output channel (each token);
activations stay what they are and are only rounded to bf16 inside the product. `build_int8` makes the network from the
same weights a full one is built from; the engine runs both alike.

Traps:
- Scales are rounded to bf16 *before* the weights are divided by them, because the CPU kernel takes bf16 scales:
  rounding them afterwards would be an error that all weights of a channel share.
- PyTorch's CPU kernel reads beyond the end of rows whose length is not a multiple of its vectors and crashes. Such
  matrices (none are published) and many rows at once go through fp32.
"""

from __future__ import annotations

from collections.abc import Mapping
from types import SimpleNamespace
from typing import cast

import torch
from torch import Tensor, nn

from ..models.ops import Ops
from ..models.qwen3 import Qwen3, Qwen3Config
from .linear import LogitsHead, linear

LARGEST = 127
_KERNEL_ROWS = 64  # from here on it is faster to unpack the matrix once
_KERNEL_MULTIPLE = 64


class Int8Linear(nn.Module):
    """A linear layer without bias: weight int8 [out, in], scale fp32 [out]."""

    def __init__(
        self,
        in_features: int,
        out_features: int,
        bias: bool = False,
        *,
        dtype: torch.dtype | None = None,
        device: torch.device | str | None = None,
    ) -> None:
        """`dtype` is what a full layer would be kept in; it changes nothing here."""
        if bias:
            raise ValueError("int8 layers have no bias")
        super().__init__()
        self.weight, self.scale = _parameters(out_features, in_features, device)

    def forward(self, x: Tensor) -> Tensor:
        return int8_linear(x, self.weight, self.scale)


class Int8Embedding(nn.Module):
    """Token rows, and the output matrix tied to them: weight int8 [tokens, width], scale fp32 [tokens]."""

    def __init__(
        self,
        num_embeddings: int,
        embedding_dim: int,
        *,
        dtype: torch.dtype | None = None,
        device: torch.device | str | None = None,
    ) -> None:
        """`dtype` is what a full layer would be kept in; it changes nothing here."""
        super().__init__()
        self.weight, self.scale = _parameters(num_embeddings, embedding_dim, device)

    def forward(self, ids: Tensor) -> Tensor:
        return self.weight[ids].float() * self.scale[ids][..., None]

    def logits_head(self, start: int, stop: int, *, device: torch.device) -> LogitsHead:
        """The output matrix for tokens `start` .. `stop` - 1, still int8."""
        weight, scale = self.weight[start:stop].to(device), self.scale[start:stop].to(device)
        return lambda hidden: int8_linear(hidden, weight, scale).float()


def int8_linear(x: Tensor, weight: Tensor, scale: Tensor) -> Tensor:
    """x [..., K] times the transpose of weight [N, K] times scale [N], in the dtype of x."""
    rows = x.reshape(-1, x.shape[-1])
    if x.device.type == "cpu" and len(rows) < _KERNEL_ROWS and x.shape[-1] % _KERNEL_MULTIPLE == 0:
        bf16 = torch.bfloat16
        out = torch._weight_int8pack_mm(rows.to(bf16), weight, scale.to(bf16)).to(x.dtype)
    else:
        out = linear(rows, weight.to(x.dtype)) * scale.to(x.dtype)
    return out.view(*x.shape[:-1], -1)


def quantize_rows(weight: Tensor) -> tuple[Tensor, Tensor]:
    """int8 numbers and fp32 scales of a matrix [N, K], one scale for each row; a scale is exact in bf16."""
    weight = weight.float()
    scale = (weight.abs().amax(dim=1) / LARGEST).clamp_(min=torch.finfo(torch.float32).tiny)
    scale = scale.to(torch.bfloat16).float()
    return (weight / scale[:, None]).round_().clamp_(-LARGEST, LARGEST).to(torch.int8), scale


def quantize_weights(weights: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """The weights of a full network as those of an int8 one: every matrix gets a `.scale` beside its `.weight`."""
    quantized: dict[str, Tensor] = {}
    for name, tensor in weights.items():
        if tensor.ndim == 2:
            quantized[name], quantized[name.removesuffix("weight") + "scale"] = quantize_rows(tensor)
        else:
            quantized[name] = tensor.to(torch.float32, copy=True)
    return quantized


def build_int8(config: Qwen3Config, weights: Mapping[str, Tensor], *, ops: Ops) -> Qwen3:
    """An int8 planner on the CPU, in evaluation mode.

    Args:
        weights: of the full network, in any dtype; memory-mapped ones are read one at a time.
        ops: where the layers that stay as they are come from.
    """
    layers = cast("Ops", SimpleNamespace(Linear=Int8Linear, Embedding=Int8Embedding, RMSNorm=ops.RMSNorm))
    with torch.inference_mode(False), torch.no_grad():
        network = Qwen3(config, ops=layers, device="meta")
        network.load_state_dict(quantize_weights(weights), strict=True, assign=True)
        return network.eval().requires_grad_(False)


def _parameters(rows: int, columns: int, device: torch.device | str | None) -> tuple[nn.Parameter, nn.Parameter]:
    weight = torch.empty(rows, columns, dtype=torch.int8, device=device)
    scale = torch.empty(rows, dtype=torch.float32, device=device)
    return nn.Parameter(weight, requires_grad=False), nn.Parameter(scale, requires_grad=False)
