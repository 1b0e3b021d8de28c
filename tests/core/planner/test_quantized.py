"""int8 planners: what the numbers lose, what the layers compute, and that the engine runs them like full ones."""

from __future__ import annotations

import pytest
import torch
from networks import random_weights, relative_error
from tiny_planner import TINY, planner_weights
from torch import Tensor, nn

from ace_core.models.qwen3 import Qwen3, Qwen3Config
from ace_core.planner.code_generation import generate_codes
from ace_core.planner.linear import decoding_ops, logits_head
from ace_core.planner.quantized import Int8Linear, build_int8, int8_linear, quantize_rows
from ace_core.planner.token_choice import SamplingParameters

MEDIUM = Qwen3Config(
    vocab_size=8000,
    hidden_size=256,
    intermediate_size=640,
    num_layers=8,
    num_heads=8,
    num_kv_heads=4,
    head_dim=64,
    rope_theta=1e6,
    rms_norm_eps=1e-6,
)


@torch.no_grad()
def test_logits_stay_close_and_the_best_token_near_the_top() -> None:
    full = random_weights(Qwen3(MEDIUM, ops=decoding_ops(nn), device="meta"), 0)
    int8 = build_int8(MEDIUM, full.state_dict(), ops=nn)
    texts = torch.randint(MEDIUM.vocab_size, (12, 1, 40), generator=torch.Generator().manual_seed(1))

    def logits_of(network: Qwen3) -> Tensor:
        head = logits_head(network.embed_tokens, 0, MEDIUM.vocab_size, dtype=torch.float32, device=torch.device("cpu"))
        return torch.cat([head(network(ids, torch.float32)[0]) for ids in texts])

    expected, logits = logits_of(full), logits_of(int8)

    assert 1e-3 < relative_error(logits, expected) <= 0.05
    near_top = (logits.topk(5).indices == expected.argmax(-1, keepdim=True)).any(-1)
    assert near_top.float().mean() >= 0.99


@pytest.mark.parametrize("rows", [1, 2, 16, 63, 64, 200])
@pytest.mark.parametrize(("outputs", "inputs"), [(1, 64), (7, 128), (300, 64), (5, 24)])
def test_the_product_equals_unpacked_weights(rows: int, outputs: int, inputs: int) -> None:
    generator = torch.Generator().manual_seed(rows)
    x, weight = torch.randn(3, rows, inputs, generator=generator), torch.randn(outputs, inputs, generator=generator)
    packed, scale = quantize_rows(weight)
    expected = x @ (packed.float() * scale[:, None]).T
    assert relative_error(int8_linear(x, packed, scale), expected) <= 0.005  # bf16 inside


def test_quantisation_is_half_a_step_a_channel() -> None:
    weight = torch.randn(20, 64, generator=torch.Generator().manual_seed(0)) * torch.logspace(-4, 3, 20)[:, None]
    weight[3] = 0
    packed, scale = quantize_rows(weight)
    assert ((packed * scale[:, None] - weight).abs() <= 0.51 * scale[:, None] + weight.abs() / 256).all()
    assert torch.equal(scale, scale.to(torch.bfloat16).float())
    assert packed[3].eq(0).all()


def test_an_int8_planner_writes_codes_and_is_small() -> None:
    weights = planner_weights(1)
    int8 = build_int8(TINY, weights, ops=nn)
    arguments = ([[1, 2, 3]] * 2, [[4]] * 2, [10, 6], SamplingParameters(), [1, 2])

    codes = generate_codes(int8, *arguments, guidance_scale=2)

    assert codes == generate_codes(int8, *arguments, guidance_scale=2, static_step=True)
    assert [len(song) for song in codes] == [10, 6]
    matrices = sum(tensor.numel() for tensor in weights.values() if tensor.ndim == 2)
    assert sum(tensor.nbytes for tensor in int8.parameters()) < 1.2 * matrices
    assert not any(parameter.requires_grad or parameter.is_inference() for parameter in int8.parameters())


def test_a_bias_is_refused() -> None:
    with pytest.raises(ValueError, match="no bias"):
        Int8Linear(4, 4, bias=True)
