"""The layers the planner is built from: the same products as torch.nn, and a host's casting layers left in charge."""

from __future__ import annotations

from types import SimpleNamespace

import pytest
import torch
from networks import relative_error
from torch import Tensor, nn
from torch.nn import functional as F

from ace_core.planner.linear import decoding_ops, linear, logits_head

CPU = torch.device("cpu")


class CastingLinear(nn.Linear):
    """What a host's layer does: its weight may be in another dtype than what it computes in."""

    calls = 0

    def forward(self, x: Tensor) -> Tensor:
        CastingLinear.calls += 1
        return F.linear(x, self.weight.to(x))


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
@pytest.mark.parametrize("rows", [1, 2, 8, 9, 31, 32, 300])
def test_products_equal_torch(rows: int, dtype: torch.dtype) -> None:
    generator = torch.Generator().manual_seed(rows)
    x, weight = torch.randn(rows, 96, generator=generator), torch.randn(50, 96, generator=generator)
    x, weight = x.to(dtype), weight.to(dtype)
    expected = (x.double() @ weight.double().T).to(dtype)
    assert relative_error(linear(x, weight), expected) <= torch.finfo(dtype).eps * 4
    assert linear(x.view(rows, 1, 96), weight).shape == (rows, 1, 50)


@pytest.mark.parametrize("weight_dtype", [torch.float32, torch.bfloat16])
@torch.no_grad()
def test_a_host_casts_weights_that_need_it(weight_dtype: torch.dtype) -> None:
    host = SimpleNamespace(Linear=CastingLinear, RMSNorm=nn.RMSNorm, Embedding=nn.Embedding)
    layer = decoding_ops(host).Linear(64, 32, bias=False, dtype=weight_dtype)
    x = torch.randn(2, 64, generator=torch.Generator().manual_seed(0))
    CastingLinear.calls = 0

    out = layer(x)

    assert isinstance(layer, CastingLinear)
    assert CastingLinear.calls == (0 if weight_dtype == torch.float32 else 1)
    assert relative_error(out, x @ layer.weight.float().T) <= 1e-6


@torch.no_grad()
def test_the_head_is_a_view_where_nothing_has_to_be_cast() -> None:
    embedding = nn.Embedding(100, 16)
    hidden = torch.randn(2, 16)
    head = logits_head(embedding, 20, 30, dtype=torch.float32, device=CPU)
    assert relative_error(head(hidden), hidden @ embedding.weight[20:30].T) <= 1e-6
    embedding.weight[25] = 0
    assert head(hidden)[:, 5].eq(0).all()

    stored = nn.Embedding(100, 16, dtype=torch.bfloat16)
    logits = logits_head(stored, 20, 30, dtype=torch.float32, device=CPU)(hidden)
    assert logits.dtype == torch.float32
    assert relative_error(logits, hidden @ stored.weight[20:30].float().T) <= 1e-6
