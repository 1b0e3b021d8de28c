"""DiT against diffusers' AceStepTransformer1DModel on shared random weights (fp32)."""

from __future__ import annotations

from typing import NamedTuple

import pytest
import torch
from networks import diffusers_dit, random_weights, relative_error
from torch import Tensor, nn

from ace_core.models.dit import DiT, DiTConfig
from ace_core.models.layers import scaled_dot_product_attention

SMALL = DiTConfig(
    hidden_size=64,
    intermediate_size=160,
    num_layers=4,
    num_heads=4,
    num_kv_heads=2,
    head_dim=32,
    condition_size=48,
    in_channels=192,
    latent_channels=64,
    patch_size=2,
    sliding_window=16,
    rope_theta=1e6,
    rms_norm_eps=1e-6,
)
XL_FOUR_LAYERS = DiTConfig(
    hidden_size=2560,
    intermediate_size=9728,
    num_layers=4,
    num_heads=32,
    num_kv_heads=8,
    head_dim=128,
    condition_size=2048,
    in_channels=192,
    latent_channels=64,
    patch_size=2,
    sliding_window=128,
    rope_theta=1e6,
    rms_norm_eps=1e-6,
)


def build(config: DiTConfig, seed: int) -> DiT:
    return random_weights(DiT(config, ops=nn, device="meta"), seed)


class Inputs(NamedTuple):
    """Noisy latents [B, T, 64], their context [B, T, 128], conditions [B, L, condition_size]."""

    x: Tensor
    context: Tensor
    conditions: Tensor


def random_inputs(config: DiTConfig, seed: int, *, batch: int, frames: int, tokens: int) -> Inputs:
    generator = torch.Generator().manual_seed(seed)
    sizes = ((frames, 64), (frames, 128), (tokens, config.condition_size))
    return Inputs(*(torch.randn(batch, *size, generator=generator) for size in sizes))


def velocity(dit: DiT, x: Tensor, context: Tensor, conditions: list[Tensor], t: float, guided: bool = False):
    run = dit.prepare(conditions, [0.0, 1000 * t], x.shape[1], guided=guided, attention=scaled_dot_product_attention)
    return dit(x, context, 1, run, guided=guided)


@pytest.mark.parametrize(("seed", "batch", "frames", "t"), [(0, 1, 128, 1.0), (1, 2, 131, 0.3), (2, 3, 257, 0.7)])
@torch.no_grad()
def test_forward_equals_diffusers(seed: int, batch: int, frames: int, t: float) -> None:
    dit = build(SMALL, seed)
    x, context, conditions = random_inputs(SMALL, seed, batch=batch, frames=frames, tokens=23 + seed)
    time = torch.full((batch,), t)

    ours, _ = velocity(dit, x, context, list(conditions), t)
    theirs = diffusers_dit(dit)(x, time, time, conditions, context, return_dict=False)[0]

    assert ours.shape == (batch, frames, 64)
    assert relative_error(ours, theirs) <= 1e-4


@torch.no_grad()
def test_null_velocity_equals_diffusers_with_repeated_null_rows() -> None:
    dit = build(SMALL, 3)
    x, context, conditions = random_inputs(SMALL, 3, batch=2, frames=143, tokens=40)
    time = torch.full((2,), 0.4)
    peer = diffusers_dit(dit)

    conditional, unconditional = velocity(dit, x, context, list(conditions), 0.4, guided=True)
    assert unconditional is not None
    null = dit.null_condition_emb.expand(2, 40, -1)
    expected = peer(x, time, time, conditions, context, return_dict=False)[0]
    expected_null = peer(x, time, time, null, context, return_dict=False)[0]

    assert relative_error(conditional, expected) <= 1e-4
    assert relative_error(unconditional, expected_null) <= 1e-4
    assert relative_error(conditional, unconditional) > 1e-3


@torch.no_grad()
@pytest.mark.slow
def test_xl_at_full_width_equals_diffusers() -> None:
    dit = build(XL_FOUR_LAYERS, 4)
    x, context, conditions = random_inputs(XL_FOUR_LAYERS, 4, batch=1, frames=301, tokens=60)
    time = torch.full((1,), 0.9)

    ours, _ = velocity(dit, x, context, list(conditions), 0.9)
    theirs = diffusers_dit(dit)(x, time, time, conditions, context, return_dict=False)[0]

    assert relative_error(ours, theirs) <= 1e-4


@pytest.mark.parametrize("guided", [False, True])
@torch.no_grad()
def test_item_of_a_ragged_batch_equals_the_item_alone(guided: bool) -> None:
    """diffusers and the official code attend to the padding here; this is on purpose not parity with them."""
    dit = build(SMALL, 5)
    x, context, padded = random_inputs(SMALL, 5, batch=3, frames=150, tokens=50)
    conditions = [item[:length] for item, length in zip(padded, (50, 7, 31), strict=True)]

    together = velocity(dit, x, context, conditions, 0.6, guided)
    for item in range(3):
        alone = velocity(dit, x[item : item + 1], context[item : item + 1], conditions[item : item + 1], 0.6, guided)
        for batched, single in zip(together, alone, strict=True):
            if batched is not None and single is not None:
                assert (batched[item] - single[0]).abs().max() <= 1e-5


@torch.no_grad()
def test_runs_in_bfloat16() -> None:
    dit = build(SMALL, 6)
    x, context, conditions = random_inputs(SMALL, 6, batch=1, frames=130, tokens=9)
    exact, _ = velocity(dit, x, context, list(conditions), 0.5)
    half, _ = velocity(dit.to(torch.bfloat16), x, context, list(conditions.bfloat16()), 0.5)
    assert half.dtype == torch.bfloat16
    assert relative_error(half.float(), exact) < 0.05
