"""Random numbers of a training run: each follows from the run's seed and from what it is for, and from nothing else.

A run that goes on from a checkpoint therefore needs no state of a generator, and several processes draw what one would.

Trap: PyTorch's CPU generator uses the low 32 bits of a seed, so the parts are hashed, not added up.
"""

from __future__ import annotations

import hashlib

import torch


def seeded(*parts: int | str, device: torch.device | str = "cpu") -> torch.Generator:
    """A generator whose seed is a hash of `parts`, such as (42, "noise", step)."""
    digest = hashlib.blake2b(":".join(map(str, parts)).encode("ascii"), digest_size=4).digest()
    return torch.Generator(device).manual_seed(int.from_bytes(digest, "little"))
