"""On a CUDA device: bfloat16 networks stay close to float32 on the CPU, and runs are reproducible."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch
from networks import random_weights, relative_error
from torch import nn

from ace_core.models.dit import DiT, DiTConfig
from ace_core.render.conditions import SongConditions
from ace_core.render.runs import render_latents
from ace_core.runtime import Runtime
from ace_core.sampling.options import SamplerOptions, resolve

CONFIG = DiTConfig(
    hidden_size=512,
    intermediate_size=1536,
    num_layers=6,
    num_heads=8,
    num_kv_heads=4,
    head_dim=64,
    condition_size=256,
    in_channels=192,
    latent_channels=64,
    patch_size=2,
    sliding_window=128,
    rope_theta=1e6,
    rms_norm_eps=1e-6,
)
FRAMES = 1501


@pytest.fixture(scope="module")
def device() -> torch.device:
    assert torch.cuda.is_available(), "these tests need a CUDA device"
    return torch.device("cuda")


def song(seed: int) -> SongConditions:
    generator = torch.Generator().manual_seed(seed)
    packed = torch.randn(200, CONFIG.condition_size, generator=generator)
    source = torch.randn(FRAMES, 64, generator=generator)
    return SongConditions(packed, source, torch.ones(FRAMES), FRAMES * 1920, source)


@torch.inference_mode()
def test_bfloat16_velocity_is_close_to_float32_on_the_cpu(device: torch.device) -> None:
    exact = random_weights(DiT(CONFIG, ops=nn, device="meta"), 0)
    item = song(1)
    x = torch.randn(1, FRAMES, 64, generator=torch.Generator().manual_seed(2))
    context = torch.cat((item.source, torch.ones_like(item.source)), dim=-1)[None]
    expected, _ = exact(x, context, 0, exact.prepare([item.packed], [600.0], FRAMES, guided=False), guided=False)

    half = random_weights(DiT(CONFIG, ops=nn, device="meta"), 0, torch.bfloat16).to(device)
    run = half.prepare([item.packed.to(device, torch.bfloat16)], [600.0], FRAMES, guided=False)
    velocity, _ = half(x.to(device), context.to(device, torch.bfloat16), 0, run, guided=False)
    assert relative_error(velocity.float().cpu(), expected) < 0.03


@pytest.mark.parametrize("kind", ["turbo", "base"])
@torch.inference_mode()
def test_a_run_is_reproducible_and_close_to_the_cpu(device: torch.device, kind: str) -> None:
    settings = resolve(SamplerOptions(steps=6), kind).settings
    dit = random_weights(DiT(replace(CONFIG, num_layers=2), ops=nn, device="meta"), 0)
    on_cpu = render_latents(dit, [song(1)], settings, [5], Runtime())[0]
    dit = dit.to(device)
    first = render_latents(dit, [song(1)], settings, [5], Runtime(device))[0]
    again = render_latents(dit, [song(1)], settings, [5], Runtime(device))[0]
    assert torch.equal(first, again)
    assert relative_error(first, on_cpu) < 1e-2
