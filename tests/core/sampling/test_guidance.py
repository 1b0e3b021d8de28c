"""APG against diffusers' guider, ADG against angles computed by hand, and batches against single items."""

from __future__ import annotations

import math
from typing import Any, get_args

import pytest
import torch
from diffusers.guiders.adaptive_projected_guidance import MomentumBuffer, normalized_guidance
from torch import Tensor

from ace_core.sampling.guidance import GUIDANCE, GuidanceInput, GuidanceMethod, Guided, adg, apg, cfg

METHODS = get_args(GuidanceMethod)


def guide(method: GuidanceMethod, *at: Any) -> Guided:
    return GUIDANCE[method](GuidanceInput(*at))


def velocities(seed: int, items: int = 2, frames: int = 37, spread: float = 1.0) -> tuple[Tensor, Tensor]:
    generator = torch.Generator().manual_seed(seed)
    conditional = torch.randn(items, frames, 64, generator=generator)
    return conditional, conditional + spread * torch.randn(items, frames, 64, generator=generator)


@pytest.mark.parametrize("scale", [1.0, 3.5, 7.0])
def test_apg_is_the_peers_over_several_steps(scale: float) -> None:
    buffer = MomentumBuffer(momentum=-0.75)
    momentum = None
    for step in range(4):
        # The difference's norm over time is on both sides of the threshold.
        conditional, unconditional = velocities(step, spread=(0.1, 0.4, 1.0, 3.0)[step])
        theirs = normalized_guidance(
            conditional,
            unconditional,
            guidance_scale=scale - 1.0,
            momentum_buffer=buffer,
            eta=0.0,
            norm_threshold=2.5,
            use_original_formulation=True,
            norm_dim=(1,),
        )
        ours, momentum = apg(conditional, unconditional, scale, momentum)
        torch.testing.assert_close(ours, theirs, atol=1e-6, rtol=1e-6)
        torch.testing.assert_close(momentum, buffer.running_average)


def test_apg_limits_each_channel_along_time() -> None:
    conditional, unconditional = velocities(0, spread=10.0)
    guided, _ = apg(conditional, unconditional, 2.0, None)
    added = guided - conditional
    assert added.norm(dim=1).max() <= 2.5 + 1e-4
    torch.testing.assert_close((added * conditional).sum(dim=1), torch.zeros(2, 64), atol=1e-3, rtol=0)


def test_apg_of_equal_velocities_changes_nothing() -> None:
    conditional, _ = velocities(0)
    guided, _ = apg(conditional, conditional.clone(), 7.0, None)
    assert torch.equal(guided, conditional)


def test_cfg_stretches_the_difference() -> None:
    conditional, unconditional = velocities(0)
    torch.testing.assert_close(cfg(conditional, unconditional, 3.0), 3 * conditional - 2 * unconditional)
    torch.testing.assert_close(cfg(conditional, unconditional, 1.0), conditional)


def frame_pair(angle: float, length: float) -> tuple[Tensor, Tensor]:
    """Predicted clean latents [1, 8, 64] with one angle between their frames: conditional, then unconditional."""
    scales = torch.arange(1.0, 9.0)[:, None]
    clean, clean_null = torch.zeros(1, 8, 64), torch.zeros(1, 8, 64)
    clean[0, :, :2] = length * scales * torch.tensor([math.cos(angle), math.sin(angle)])
    clean_null[0, :, 0] = scales[:, 0]
    return clean, clean_null


@pytest.mark.parametrize(
    ("method", "angle", "wide_angle"),
    [
        ("adg", 0.1, 0.2001),  # weight 2.001
        ("adg", 0.9, 3.14 / 6),
        ("adg_w_norm", 0.4, 0.8004),
        ("adg_w_norm", 0.9, 3.14 / 3),
        ("adg_wo_clip", 0.9, 1.8009),
    ],
)
def test_adg_turns_the_prediction_away_from_the_unconditional_one(
    method: GuidanceMethod, angle: float, wide_angle: float
) -> None:
    t, length = 0.4, 1.5
    clean, clean_null = frame_pair(angle, length)
    x = torch.randn(1, 8, 64, generator=torch.Generator().manual_seed(0))
    guided, momentum = guide(method, x, (x - clean) / t, (x - clean_null) / t, t, 3.0, None)
    assert momentum is None

    # cos(wide) * conditional + sin(wide) / sin(angle) * (what of it is orthogonal to the unconditional one)
    expected = torch.zeros(1, 8, 64)
    expected[..., 0] = math.cos(wide_angle) * clean[..., 0]
    expected[..., 1] = math.cos(wide_angle) * clean[..., 1] + math.sin(wide_angle) * length * torch.arange(1.0, 9.0)
    if method == "adg_w_norm":
        expected *= clean.norm(dim=1, keepdim=True) / expected.norm(dim=1, keepdim=True).clamp(min=1e-9)
    torch.testing.assert_close(x - t * guided, expected, atol=1e-5, rtol=1e-5)


@pytest.mark.parametrize("method", ["adg", "adg_w_norm", "adg_wo_clip"])
@pytest.mark.parametrize("sign", [1, -1])
def test_adg_is_finite_where_the_predictions_agree_or_oppose(method: GuidanceMethod, sign: int) -> None:
    clean, _ = frame_pair(0.3, 1.0)
    guided, _ = guide(method, torch.zeros_like(clean), -clean, -sign * clean, 1.0, 7.0, None)
    assert guided.isfinite().all()
    if sign == 1:
        torch.testing.assert_close(guided, -clean, atol=1e-3, rtol=1e-3)


def test_adg_of_silent_frames_is_finite() -> None:
    zeros = torch.zeros(1, 8, 64)
    assert adg(zeros, zeros, zeros, 0.5, 7.0).isfinite().all()


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_item_of_a_batch_is_the_item_alone(method: GuidanceMethod, dtype: torch.dtype) -> None:
    conditional, unconditional = (velocity.to(dtype) for velocity in velocities(1, items=3))
    x, momentum = (tensor.to(dtype) for tensor in velocities(2, items=3))
    batch = guide(method, x, conditional, unconditional, 0.7, 5.0, momentum)
    assert batch.velocity.dtype == dtype
    for item in range(3):
        rows = slice(item, item + 1)
        alone = guide(method, x[rows], conditional[rows], unconditional[rows], 0.7, 5.0, momentum[rows])
        torch.testing.assert_close(batch.velocity[rows], alone.velocity, atol=1e-5, rtol=0)


@pytest.mark.parametrize("method", METHODS)
def test_only_apg_touches_the_momentum(method: GuidanceMethod) -> None:
    conditional, unconditional = velocities(1)
    x, momentum = velocities(2)
    before = momentum.clone()
    result = guide(method, x, conditional, unconditional, 0.7, 5.0, momentum)
    assert torch.equal(momentum, before)
    assert (result.momentum is momentum) == (method != "apg")
