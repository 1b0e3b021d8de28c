"""Which clips a step trains on, and what becomes of them: window, noise, level, conditions.

Every epoch shows each clip once, in its own order. The batches of all epochs follow one another and are numbered;
batch n is the same for every caller, so a resumed run, and each of several processes, finds its own without any state.

Traps:
- Padding would change a song in this network, so only clips of equal length share a batch; a rest makes a smaller one.
- A window cuts latents and source alike. The conditions still describe the whole song.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache
from typing import NamedTuple

import torch
from torch import Tensor

from ..checkpoints.variants import Variant
from ..dataset.samples import TrainingSample
from .seeds import seeded
from .timesteps import draw_level


class Example(NamedTuple):
    """One clip as a step sees it, on the CPU in float32.

    Attributes:
        latents, source, noise: [T, 64].
        packed: conditions [L, condition_size], or None for the null condition.
        level: noise level t of the latents.
    """

    latents: Tensor
    source: Tensor
    noise: Tensor
    packed: Tensor | None
    level: float


def batches_per_epoch(lengths: Sequence[int], batch_size: int) -> int:
    """How many batches show clips of these lengths once."""
    return sum(-(-lengths.count(length) // batch_size) for length in set(lengths))


def batch_clips(lengths: tuple[int, ...], batch_size: int, seed: int, index: int) -> tuple[int, ...]:
    """The clips of batch `index`, counted from the first of the run.

    Args:
        lengths: frames of each clip as it is trained on, after cutting.
    """
    epoch, place = divmod(index, batches_per_epoch(lengths, batch_size))
    return _epoch(lengths, batch_size, seed, epoch)[place]


@lru_cache(maxsize=4)
def _epoch(lengths: tuple[int, ...], batch_size: int, seed: int, epoch: int) -> tuple[tuple[int, ...], ...]:
    generator = seeded(seed, "order", epoch)
    groups: dict[int, list[int]] = {}
    for clip in torch.randperm(len(lengths), generator=generator).tolist():
        groups.setdefault(lengths[clip], []).append(clip)
    batches = [
        tuple(clips[start : start + batch_size])
        for clips in groups.values()
        for start in range(0, len(clips), batch_size)
    ]
    return tuple(batches[place] for place in torch.randperm(len(batches), generator=generator).tolist())


def make_example(
    sample: TrainingSample,
    variant: Variant,
    generator: torch.Generator,
    *,
    max_frames: int,
    condition_dropout: float,
) -> Example:
    """A clip with everything random about it drawn.

    Args:
        max_frames: length of the window; a shorter clip is taken whole.
        condition_dropout: how likely the null condition takes the place of the clip's.
    """
    level = draw_level(variant, generator)
    dropped = float(torch.rand((), generator=generator)) < condition_dropout
    frames = min(len(sample.latents), max_frames)
    start = int(torch.randint(len(sample.latents) - frames + 1, (), generator=generator))
    latents, source = sample.latents[start : start + frames], sample.source[start : start + frames]
    noise = torch.randn(latents.shape, generator=generator)
    return Example(latents, source, noise, None if dropped else sample.packed, level)
