"""Training learns what its clips have in common, and not what they have not.

The network is made to pass noise on, as a trained one does at high levels, and knows nothing of music. The clips share
a tone: one sign for each of the 64 channels, under noise. The control's clips hold the same numbers, shuffled clip by
clip.
"""

from __future__ import annotations

import copy
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from networks import random_weights
from tiny_checkpoints import dit_config
from torch import Tensor, nn
from training_data import random_sample, write_data
from training_runs import run, short_task

from ace_core.dataset.samples import TrainingSample
from ace_core.lora.adapters import weight_change
from ace_core.models.dit import DiT
from ace_core.render.conditions import SongConditions
from ace_core.render.runs import render_latents
from ace_core.runtime import Runtime
from ace_core.sampling.options import SamplerOptions, resolve
from ace_core.training.adapted_copy import AdapterSettings
from ace_core.training.batches import Example
from ace_core.training.hyperparameters import TrainingSettings
from ace_core.training.velocity import batch_losses

FRAMES = 64
TONE = 2 * torch.sign(torch.sin(9 * torch.linspace(-1, 1, 64)))
SETTINGS = TrainingSettings(
    AdapterSettings("lora", rank=16, alpha=32.0, dropout=0.05),
    steps=150,
    learning_rate=0.02,
    optimizer="adamw",
    seed=0,
    batch_size=6,
    accumulation=1,
    warm_up=5,
    recompute=False,
)


@pytest.fixture(scope="module")
def passing() -> DiT:
    """A decoder whose output follows its noisy input."""
    config = replace(
        dit_config("2b"), hidden_size=160, intermediate_size=160, num_layers=3, num_heads=4, num_kv_heads=2, head_dim=32
    )
    dit = random_weights(DiT(config, ops=nn, device="meta"), seed=0)
    with torch.no_grad():
        for name, parameter in dit.named_parameters():
            if name.startswith(("proj_", "scale_shift_table")) or "linear_2" in name:
                parameter.mul_(0.0 if name in ("proj_in.bias", "proj_out.bias") else 0.1)
            elif name.endswith(("down_proj.weight", "o_proj.weight")):
                parameter.mul_(0.1)
        for channel in range(64):
            for place in range(2):
                dit.proj_in.weight[2 * channel + place, 128 + channel, place] = 1
                dit.proj_out.weight[2 * channel + place, channel, place] = 0.9
    return dit


def clip(seed: int, *, shuffled: bool = False) -> TrainingSample:
    generator = torch.Generator().manual_seed(seed)
    latents = TONE + 0.3 * torch.randn(FRAMES, 64, generator=generator)
    if shuffled:
        latents = latents.flatten()[torch.randperm(latents.numel(), generator=generator)].view(FRAMES, 64)
    return random_sample(FRAMES, seed)._replace(latents=latents)


def trained(dit: DiT, folder: Path, *, shuffled: bool) -> DiT:
    """The decoder with what it learned in its weights."""
    manifest = write_data(folder / "data", [clip(seed, shuffled=shuffled) for seed in range(12)])
    result = run(dit, short_task(folder / "data", manifest, SETTINGS), folder / "state.safetensors", save_every=1000)
    merged = copy.deepcopy(dit)
    for name, adapter in result.adapters.items():
        weight = merged.get_parameter(name)
        weight.data = weight + weight_change(weight, adapter, 1.0)
    return merged


def held_out_loss(dit: DiT) -> float:
    """On clips with the tone that were not trained on, at five levels."""
    losses = []
    for seed in range(100, 106):
        sample, generator = clip(seed), torch.Generator().manual_seed(seed)
        examples = [
            Example(sample.latents, sample.source, torch.randn(FRAMES, 64, generator=generator), sample.packed, level)
            for level in (1.0, 0.9, 0.75, 0.5, 0.3)
        ]
        with torch.no_grad():
            losses.append(
                batch_losses(
                    dit,
                    examples,
                    runtime=Runtime(),
                    recompute=False,
                    check=lambda: None,
                )
            )
    return torch.cat(losses).mean().item()


def likeness(dit: DiT) -> float:
    """Cosine of what is rendered, on average over time and four songs, and the tone."""
    songs = [
        SongConditions(sample.packed, sample.source, torch.ones(FRAMES), FRAMES * 1920, sample.source)
        for sample in (clip(seed) for seed in range(200, 204))
    ]
    latents = render_latents(dit, songs, resolve(SamplerOptions(), "turbo").settings, [1, 2, 3, 4], Runtime())
    mean: Tensor = torch.stack(latents).mean(dim=(0, 1))
    return torch.nn.functional.cosine_similarity(mean, TONE, dim=0).item()


@pytest.mark.slow
def test_a_shared_tone_is_learned_and_shuffled_clips_teach_none(tmp_path: Path, passing: DiT) -> None:
    start, tone, control = (
        passing,
        *(trained(passing, tmp_path / str(shuffled), shuffled=shuffled) for shuffled in (False, True)),
    )
    losses = [held_out_loss(dit) for dit in (start, tone, control)]
    assert losses[1] <= 0.5 * losses[0]
    assert losses[2] >= 0.65 * losses[0]
    likenesses = [likeness(dit) for dit in (start, tone, control)]
    assert likenesses[1] > 0.9
    assert max(abs(likenesses[0]), abs(likenesses[2])) < 0.4
