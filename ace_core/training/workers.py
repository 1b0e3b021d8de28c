"""Several processes that train one adapter: each takes its share of every step's batches, gradients are added up.

Torch's process groups, as `accelerate launch` and torchrun set them up: gloo on CPUs, NCCL on GPUs. There is no wrapper
around the network; gradients travel as one flat tensor, which is the same on all processes afterwards, and so is every
weight.
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from typing import NamedTuple

import torch
from torch import Tensor, nn


class Workers(NamedTuple):
    """Which of how many processes this is."""

    rank: int = 0
    size: int = 1

    @property
    def leads(self) -> bool:
        """Whether this process is the one that writes files."""
        return self.rank == 0


ALONE = Workers()


@contextmanager
def joined_workers(device: torch.device) -> Iterator[Workers]:
    """The processes that a launcher has started beside this one, connected; this one alone without a launcher."""
    size = int(os.environ.get("WORLD_SIZE", "1"))
    if size == 1:
        yield ALONE
        return
    torch.distributed.init_process_group("nccl" if device.type == "cuda" else "gloo")
    try:
        yield Workers(torch.distributed.get_rank(), size)
    finally:
        torch.distributed.destroy_process_group()


def local_device(device: torch.device) -> torch.device:
    """The device of this process: with several, each takes the GPU of its local number."""
    if device.type == "cuda" and device.index is None and "LOCAL_RANK" in os.environ:
        return torch.device("cuda", int(os.environ["LOCAL_RANK"]))
    return device


def add_up(parameters: Iterable[nn.Parameter], loss: Tensor, workers: Workers) -> None:
    """Replace gradients and loss of this process by the sums over all processes."""
    if workers.size == 1:
        return
    gradients = [parameter.grad for parameter in parameters if parameter.grad is not None]
    flat = torch.cat([*(gradient.flatten() for gradient in gradients), loss.reshape(1)])
    torch.distributed.all_reduce(flat)
    sums = torch.split(flat, [gradient.numel() for gradient in gradients] + [1])
    for gradient, total in zip(gradients, sums, strict=False):
        gradient.copy_(total.view_as(gradient))
    loss.copy_(sums[-1][0])
