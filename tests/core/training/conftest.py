"""A small decoder to train on, and one thread for it: more would wait for one another longer than they compute."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
import torch
from networks import random_weights
from tiny_checkpoints import dit_config
from torch import nn

from ace_core.models.dit import DiT


@pytest.fixture(autouse=True)
def one_thread() -> Iterator[None]:
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


@pytest.fixture(scope="session")
def dit() -> DiT:
    return random_weights(DiT(dit_config("2b"), ops=nn, device="meta"), seed=0)


@pytest.fixture(scope="session")
def xl() -> DiT:
    return random_weights(DiT(dit_config("xl"), ops=nn, device="meta"), seed=0)
