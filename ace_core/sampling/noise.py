"""Seeds and noise, one generator an item, so that item i of a batch is the item rendered alone.

Item i of a batch with seed s has the seed (s + i) mod 2^64. Its noise is ``randn`` of its own generator on the
CPU, in float32, whatever the network runs on; the global generators are never touched.

Traps:
- PyTorch's CPU generator uses the low 32 bits of a seed: two seeds that differ by a multiple of 2^32 are the same song.
- The official code draws on the compute device in the model's dtype, and each device and dtype has its own sequence.
  The kind "official" does the same: its songs are those of the official program's seeds on the same kind of device.
- Noise depends on the number of frames: another duration is another song.
"""

from __future__ import annotations

import hashlib
import math
from collections.abc import Sequence
from typing import Literal, NamedTuple, TypeAlias, get_args

import torch
from torch import Tensor

from ..audio.waveform import LATENT_CHANNELS

SEED_RANGE = 2**64

NoiseKind: TypeAlias = Literal["reproducible", "official"]
NOISE_KINDS: tuple[NoiseKind, ...] = get_args(NoiseKind)


def item_seeds(seed: int | Sequence[int], batch_size: int) -> tuple[int, ...]:
    """The seed of each item: `seed`, `seed` + 1, ... mod 2^64, or the list as given.

    Raises:
        ValueError: a seed outside 0..2^64 - 1, or a list that has not one seed for each item.
    """
    seeds = (seed,) if isinstance(seed, int) else tuple(seed)
    for value in seeds:
        if not 0 <= value < SEED_RANGE:
            raise ValueError(f"a seed must be 0 to {SEED_RANGE - 1}, got {value}")
    if isinstance(seed, int):
        return tuple((seed + item) % SEED_RANGE for item in range(batch_size))
    if len(seeds) != batch_size:
        raise ValueError(f"got {len(seeds)} seeds for a batch of {batch_size}: give one seed, or one for each item")
    return seeds


def initial_noise(
    seeds: Sequence[int],
    frames: int,
    *,
    device: torch.device | str = "cpu",
    dtype: torch.dtype = torch.float32,
) -> Tensor:
    """Standard normal noise of each seed, float32 ``[B, frames, 64]`` on `device`.

    Args:
        seeds: one for each item, 0 to 2^64 - 1.
        frames: latent frames.
        device: where the generators run; anything but the CPU gives numbers that other devices do not reproduce.
        dtype: what the numbers are drawn in. The official code uses the model's device and dtype.
    """
    return torch.stack([_item_noise(seed, frames, torch.device(device), dtype) for seed in seeds]).float()


class Variation(NamedTuple):
    """A retake: noise of other seeds mixed in. `strength` 0 is the song itself, 1 the song of the other seeds."""

    seeds: tuple[int, ...]
    strength: float


def varied_noise(
    noise: Tensor,
    variation: Variation,
    *,
    device: torch.device | str = "cpu",
    dtype: torch.dtype = torch.float32,
) -> Tensor:
    """Noise ``[B, T, 64]`` turned towards the noise of a variation; it stays standard normal.

    Follows the official `retake` (a rotation by strength * 90 degrees), with seeds of each item.

    Args:
        device, dtype: see `initial_noise`.

    Raises:
        ValueError: a strength outside 0..1, or not one seed for each item.
    """
    if not 0 <= variation.strength <= 1:
        raise ValueError(f"the variation strength must be 0 to 1, got {variation.strength:g}")
    if len(variation.seeds) != len(noise):
        raise ValueError(f"got {len(variation.seeds)} variation seeds for a batch of {len(noise)}")
    angle = variation.strength * math.pi / 2
    other = initial_noise(variation.seeds, noise.shape[1], device=device, dtype=dtype).to(noise)
    return noise * math.cos(angle) + other * math.sin(angle)


def step_noise(seeds: Sequence[int], step: int, frames: int, variation: Variation | None = None) -> Tensor:
    """Fresh noise for one step of a stochastic solver, float32 ``[B, frames, 64]`` on the CPU.

    It depends on the item's seed and the step alone. The two are hashed, not added: with a sum, step 1 of one item
    would be step 0 of the next. A variation turns it as it turns the initial noise.
    """
    noise = initial_noise([_step_seed(seed, step) for seed in seeds], frames)
    if variation is None:
        return noise
    return varied_noise(noise, variation._replace(seeds=tuple(_step_seed(seed, step) for seed in variation.seeds)))


def _item_noise(seed: int, frames: int, device: torch.device, dtype: torch.dtype) -> Tensor:
    generator = torch.Generator(device).manual_seed(seed)
    return torch.randn(frames, LATENT_CHANNELS, generator=generator, device=device, dtype=dtype)


def _step_seed(seed: int, step: int) -> int:
    digest = hashlib.blake2b(f"{seed}:{step}".encode("ascii"), digest_size=8).digest()
    return int.from_bytes(digest, "little")
