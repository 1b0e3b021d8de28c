"""The forward pass of training: noisy latents of a batch to their velocities, and the loss against noise - data.

Items of a batch share their length and have noise levels of their own. Everything before the first adapter is computed
without a graph, because nothing there requires a gradient.

Traps:
- With recomputation, a layer keeps its input only and runs again in the backward pass. Nothing in it draws from the
  global random numbers (see `SeededDropout`), so their state is not saved for it.
- `check` is called at every layer, forward, recomputed and backward: the exception it raises ends a step at once,
  however long a step takes, and before any weight has changed.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial

import torch
from torch import Tensor, nn
from torch.utils.checkpoint import checkpoint

from ..models.dit import DiT, DiTRun
from ..progress import CancelCheck
from ..runtime import Runtime
from .batches import Example


def batch_losses(
    tree: DiT,
    examples: Sequence[Example],
    runtime: Runtime,
    *,
    recompute: bool,
    check: CancelCheck,
) -> Tensor:
    """Mean square error [B] of each example's velocity, float32."""
    latents, noise, source = (
        torch.stack([getattr(example, name) for example in examples]).to(runtime.device)
        for name in ("latents", "noise", "source")
    )
    levels = torch.tensor([example.level for example in examples], device=runtime.device)[:, None, None]
    noisy = levels * noise + (1 - levels) * latents
    context = torch.cat((source, torch.ones_like(source)), dim=-1)
    null_condition = tree.null_condition_emb[0]
    conditions = [
        (null_condition if example.packed is None else example.packed).to(runtime.device, runtime.dtype)
        for example in examples
    ]
    thousandths = [1000 * example.level for example in examples]
    run = tree.prepare(conditions, thousandths, latents.shape[1], guided=False, attention=runtime.attention)
    velocity = predict_velocity(tree, noisy, context, run, recompute=recompute, check=check)
    return (velocity.float() - (noise - latents)).square().mean(dim=(1, 2))


def predict_velocity(
    tree: DiT, noisy: Tensor, context: Tensor, run: DiTRun, *, recompute: bool, check: CancelCheck
) -> Tensor:
    """Velocity [B, T, 64] of noisy latents, each at its own level.

    Args:
        context: source latents and generation mask [B, T, 128].
        run: prepared with one time step an item.
    """
    hidden = tree.patches(noisy, context, run.time_embeddings.dtype)
    for layer in tree.layers:
        through = partial(_checked, layer, check)
        if recompute:
            hidden = checkpoint(through, hidden, run.modulations, run, use_reentrant=False, preserve_rng_state=False)
        else:
            hidden = through(hidden, run.modulations, run)
        if hidden.requires_grad:
            hidden.register_hook(lambda _: check())  # type: ignore[no-untyped-call]
    return tree.velocity(hidden, run.time_embeddings, noisy.shape[1])


def _checked(layer: nn.Module, check: CancelCheck, hidden: Tensor, modulations: Tensor, run: DiTRun) -> Tensor:
    check()
    out: Tensor = layer(hidden, modulations, run)
    return out
