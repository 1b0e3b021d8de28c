"""A small decoder that adapters are made for."""

from __future__ import annotations

import pytest
import torch
from networks import random_weights
from tiny_checkpoints import dit_config
from torch import Tensor, nn

from ace_core.models.dit import DiT


@pytest.fixture(scope="session")
def dit() -> DiT:
    return random_weights(DiT(dit_config("2b"), ops=nn, device="meta"), seed=0)


@pytest.fixture(scope="session")
def weights(dit: DiT) -> dict[str, Tensor]:
    return dit.state_dict()


@pytest.fixture(scope="session")
def shapes(weights: dict[str, Tensor]) -> dict[str, tuple[int, ...]]:
    return {name: tuple(tensor.shape) for name, tensor in weights.items()}


@pytest.fixture
def generator() -> torch.Generator:
    return torch.Generator().manual_seed(0)
