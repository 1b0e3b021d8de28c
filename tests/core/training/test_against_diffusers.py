"""One training step against peft over diffusers' transformer: the same weights, adapter, clip, noise and level."""

from __future__ import annotations

import copy

import pytest
import torch
from diffusers.models.transformers.ace_step_transformer import AceStepTransformer1DModel
from networks import PEER_NAMES, diffusers_dit
from peft import LoKrConfig, LoraConfig, inject_adapter_in_model
from torch.nn import functional as F
from training_data import random_sample
from training_runs import random_tree

from ace_core.models.dit import DiT
from ace_core.runtime import Runtime
from ace_core.training.adapted_copy import TrainedKind, adapter_parameters
from ace_core.training.batches import Example
from ace_core.training.velocity import batch_losses

FRAMES = 333  # odd, and long enough for windows
TARGETS = ["to_q", "to_k", "to_v", "to_out.0"]


def peer_of(dit: DiT, kind: TrainedKind, tree: DiT) -> AceStepTransformer1DModel:
    """diffusers' transformer with the weights of `dit` and the adapters of `tree`."""
    peer = copy.deepcopy(diffusers_dit(dit))
    if kind == "lokr":
        inject_adapter_in_model(LoKrConfig(r=4, alpha=8, target_modules=TARGETS), peer)
    else:
        inject_adapter_in_model(LoraConfig(r=4, lora_alpha=8, target_modules=TARGETS, use_dora=kind == "dora"), peer)
    theirs = dict(peer.named_parameters())
    for name, value in adapter_parameters(tree).items():
        theirs[peer_name(name)].data = value.detach().clone()
    return peer


def peer_name(name: str) -> str:
    for ours, theirs in PEER_NAMES:
        name = name.replace(ours, theirs)
    return name


@pytest.mark.parametrize("recompute", [True, False], ids=["recomputed", "kept"])
@pytest.mark.parametrize("kind", ["lora", "dora", "lokr"])
@pytest.mark.parametrize("size", ["dit", "xl"])
def test_loss_and_gradients_are_those_of_peft_over_diffusers(
    request: pytest.FixtureRequest, size: str, kind: TrainedKind, recompute: bool
) -> None:
    dit: DiT = request.getfixturevalue(size)
    tree = random_tree(dit, kind).train()
    sample = random_sample(FRAMES, 0)
    noise = torch.randn(FRAMES, 64, generator=torch.Generator().manual_seed(9))
    example = Example(sample.latents, sample.source, noise, sample.packed, 0.625)
    (loss,) = batch_losses(
        tree,
        [example],
        runtime=Runtime(),
        recompute=recompute,
        check=lambda: None,
    )
    loss.backward()

    peer = peer_of(dit, kind, tree)
    level = torch.tensor([0.625])
    noisy = 0.625 * noise + 0.375 * sample.latents
    context = torch.cat((sample.source, torch.ones(FRAMES, 64)), dim=-1)
    velocity = peer(noisy[None], level, level, sample.packed[None], context[None], return_dict=False)[0]
    peer_loss = F.mse_loss(velocity[0], noise - sample.latents)
    peer_loss.backward()

    assert loss.item() == pytest.approx(peer_loss.item(), rel=1e-5)
    theirs = dict(peer.named_parameters())
    for name, parameter in adapter_parameters(tree).items():
        gradient, expected = parameter.grad, theirs[peer_name(name)].grad
        assert gradient is not None and expected is not None
        assert (gradient - expected).norm() <= 2e-4 * expected.norm() + 1e-7, name


def test_a_dropped_condition_is_the_null_condition(dit: DiT) -> None:
    """One row stands for as many equal rows as the peer would show."""
    tree = random_tree(dit, "lora")
    sample = random_sample(60, 0)
    rows = dit.null_condition_emb[0].expand(20, -1)
    losses = [
        batch_losses(
            tree,
            [Example(sample.latents, sample.source, sample.source, packed, 0.5)],
            runtime=Runtime(),
            recompute=False,
            check=lambda: None,
        ).item()
        for packed in (None, rows, sample.packed)
    ]
    assert losses[0] == pytest.approx(losses[1], rel=1e-5)
    assert abs(losses[2] / losses[0] - 1) > 1e-3
