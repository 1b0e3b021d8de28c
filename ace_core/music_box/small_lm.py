"""Small Qwen3 networks and their training: only the embedding rows of tokens in use exist, and one loop for all.

A row that is not kept is zero: an unknown token says nothing, and as an answer it gets the logit 0. The rows of audio
codes are sums of a few vectors that codes share.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import NamedTuple

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from ..checkpoints.configs import RMS_NORM_EPS, ROPE_THETA
from ..models.qwen3 import Qwen3, Qwen3Config

UNKNOWN = -1  # a token without a row
NOT_LEARNED = -1  # a target that is not there

Report = Callable[[int, float, float], None]
"""Gets the step, the loss, and the share of right answers."""


def small_config(vocab_size: int, hidden_size: int, *, layers: int = 3, units: int = 128) -> Qwen3Config:
    """A few layers of a few heads; the embedding is most of the network."""
    return Qwen3Config(
        vocab_size=vocab_size,
        hidden_size=hidden_size,
        intermediate_size=units,
        num_layers=layers,
        num_heads=4,
        num_kv_heads=2,
        head_dim=16,
        rope_theta=ROPE_THETA,
        rms_norm_eps=RMS_NORM_EPS,
    )


class TrainedRows(NamedTuple):
    """A language model of which only the embedding rows in use are kept.

    Attributes:
        ids: tokens in use, ascending, int64 [rows]. rows: their embeddings [rows, hidden].
        weights: all other tensors.
        vectors: what the rows of all other tokens are sums of [vectors, hidden]; there may be none.
    """

    ids: Tensor
    rows: Tensor
    weights: dict[str, Tensor]
    vectors: Tensor


class Rows(nn.Module):
    """An embedding of the tokens in use, by their place among them: tokens with a row of their own, those of which the
    row is a sum, and last the unknown one.

    Args:
        ids: tokens with a row of their own.
        sums: the others, and the numbers of the vectors that each is a sum of.
        vectors: how many there are.
    """

    def __init__(
        self,
        ids: Iterable[int],
        hidden_size: int,
        generator: torch.Generator,
        sums: Mapping[int, Sequence[int]] | None = None,
        vectors: int = 0,
    ) -> None:
        super().__init__()
        self.ids = torch.tensor(sorted(ids))
        sums = sums or {}
        own = len(self.ids)
        self.weight = nn.Parameter(torch.randn(own + vectors, hidden_size, generator=generator))
        most = max((len(numbers) for numbers in sums.values()), default=1)
        self._parts = torch.full((own + len(sums) + 1, most), own + vectors)  # the number behind the last is zero
        self._parts[:own, 0] = torch.arange(own)
        for place, numbers in enumerate(sums.values(), own):
            self._parts[place, : len(numbers)] = own + torch.tensor(numbers)
        tokens = (*self.ids.tolist(), *sums, UNKNOWN)
        self._place_of = {token: place for place, token in enumerate(tokens)}

    def forward(self, places: Tensor) -> Tensor:
        """The rows of places."""
        padded = F.pad(self.weight, (0, 0, 0, 1))
        rows: Tensor = F.embedding_bag(self._parts[places.flatten()], padded, mode="sum")
        return rows.view(*places.shape, -1)

    def places(self, sequences: Sequence[Sequence[int]]) -> Tensor:
        """Token ids as places [B, L], padded with the unknown one."""
        longest = max(map(len, sequences))
        out = torch.full((len(sequences), longest), self._place_of[UNKNOWN])
        for row, sequence in enumerate(sequences):
            out[row, : len(sequence)] = torch.tensor([self._place_of[token] for token in sequence])
        return out


def small_qwen3(config: Qwen3Config, rows: Rows, generator: torch.Generator) -> Qwen3:
    """A Qwen3 with random weights over the rows of some tokens."""
    with torch.device("meta"):
        network = Qwen3(config, ops=nn)
    del network.embed_tokens  # the table of all tokens is never made
    network.to_empty(device="cpu")
    with torch.no_grad():
        for parameter in network.parameters():
            if parameter.ndim == 1:
                parameter.fill_(1)
            else:
                parameter.copy_(torch.randn(parameter.shape, generator=generator) / parameter.shape[1] ** 0.5)
    network.add_module("embed_tokens", rows)
    return network


def targets(sequences: Sequence[Sequence[int]], length: int) -> Tensor:
    """[B, length], padded with `NOT_LEARNED`."""
    out = torch.full((len(sequences), length), NOT_LEARNED)
    for row, sequence in enumerate(sequences):
        out[row, : len(sequence)] = torch.tensor(sequence)
    return out


def train_small(
    network: nn.Module,
    steps: int,
    learning_rate: float,
    loss_of_batch: Callable[[], tuple[Tensor, Tensor]],
    report: Report,
) -> None:
    """AdamW with a short warm-up and a long way down.

    Args:
        loss_of_batch: the loss of a new batch, and which of its answers are right (bool).
    """
    parameters = [parameter for parameter in network.parameters() if parameter.requires_grad]
    optimizer = torch.optim.AdamW(parameters, lr=learning_rate, betas=(0.9, 0.98), weight_decay=0.0)
    for step in range(steps):
        rate = min(1.0, (step + 1) / 50) * min(1.0, max(0.02, 2 * (1 - step / steps)))
        for group in optimizer.param_groups:
            group["lr"] = learning_rate * rate
        loss, right = loss_of_batch()
        optimizer.zero_grad()
        torch.autograd.backward(loss)
        nn.utils.clip_grad_norm_(parameters, 1.0)
        optimizer.step()
        if step % 100 == 99 or step == steps - 1:
            report(step + 1, loss.item(), right.float().mean().item())


def hash_of_lesson(examples: Iterable[Sequence[Sequence[int]]], config: Qwen3Config) -> str:
    """Changes with what a network is taught, or with its shape.

    Args:
        examples: each some sequences of numbers.
    """
    digest = hashlib.sha256(repr(config).encode("ascii"))
    for example in examples:
        digest.update(repr([list(sequence) for sequence in example]).encode("ascii"))
    return digest.hexdigest()[:16]


def kept(network: Qwen3, rows: Rows) -> TrainedRows:
    """What is worth keeping of a trained network."""
    weights = {
        name: tensor.detach().clone()
        for name, tensor in network.state_dict().items()
        if not name.startswith("embed_tokens.")
    }
    own, vectors = rows.weight.detach().clone().tensor_split([len(rows.ids)])
    return TrainedRows(rows.ids, own, weights, vectors)
