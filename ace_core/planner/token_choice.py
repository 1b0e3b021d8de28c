"""From logits to a token: filters in the official PyTorch order, then Gumbel-max with noise of the item's own.

Order: guidance, legal rows, repetition penalty, top-k, top-p, min-p, temperature, draw. The filters look at
probabilities before the temperature, as the official PyTorch back end does (its other back end divides first).

The draw is argmax(logits / T + Gumbel noise): exactly softmax sampling, without a cumulative sum whose float rounding
could flip a choice between machines. The noise comes from a CPU generator of each item, so the same seed gives the same
tokens whatever the device and the rest of the batch. Temperature 0 takes the argmax and draws nothing.

Traps:
- The repetition penalty counts generated tokens only. Over the prompt it would punish every word of the lyrics.
- A uniform number of exactly 0 or 1 would be an infinite Gumbel value and pick a token whatever its logit.
"""

from __future__ import annotations

import hashlib
import math
from dataclasses import dataclass

import numpy
import torch
from torch import Tensor

BLOCKED = float("-inf")
NUCLEUS_GUESS = 1024  # most probable tokens among which top-p is tried first


@dataclass(frozen=True)
class SamplingParameters:
    """How a token is chosen.

    Attributes:
        temperature: 0 to 2; 0 takes the most probable token.
        top_k: keep this many of the most probable tokens; 0 keeps all.
        top_p: keep the most probable tokens until their sum passes this, more than 0 and up to 1; 1 keeps all.
        min_p: drop tokens less probable than this times the most probable one, 0 up to 1; 0 keeps all.
        repetition_penalty: divides (multiplies) positive (negative) logits of tokens generated before; more than 0, 1
            changes nothing. Audio codes need repetition: leave it at 1 for music.
    """

    temperature: float = 0.85
    top_k: int = 0
    top_p: float = 0.9
    min_p: float = 0.0
    repetition_penalty: float = 1.0

    def __post_init__(self) -> None:
        if not 0 <= self.temperature <= 2:
            raise ValueError(f"temperature must be 0 to 2, got {self.temperature}")
        if self.top_k < 0:
            raise ValueError(f"top_k must be 0 (off) or more, got {self.top_k}")
        if not 0 < self.top_p <= 1:
            raise ValueError(f"top_p must be more than 0 and at most 1 (off), got {self.top_p}")
        if not 0 <= self.min_p < 1:
            raise ValueError(f"min_p must be 0 (off) to less than 1, got {self.min_p}")
        if not self.repetition_penalty > 0:
            raise ValueError(f"repetition_penalty must be more than 0 (1 is off), got {self.repetition_penalty}")


class GumbelNoise:
    """The noise of one item in one phase: a stream that depends on its seed and the phase's name alone."""

    def __init__(self, seed: int, phase: str) -> None:
        digest = hashlib.blake2b(f"{seed}:{phase}".encode("ascii"), digest_size=8).digest()
        self._generator = torch.Generator().manual_seed(int.from_bytes(digest, "little"))

    def draw(self, *shape: int) -> Tensor:
        """The next standard Gumbel numbers, fp32 on the CPU."""
        uniform = torch.rand(shape, generator=self._generator)  # multiples of 2^-24, 0 included
        exponential = uniform.clamp_(min=2.0**-25).neg_().log1p_().neg_()
        return exponential.log_().neg_()


def guide(logits: Tensor, scale: float) -> Tensor:
    """Classifier-free guidance u + scale * (c - u) of fp32 logits [2 * items, rows]: conditional rows first."""
    conditional, unconditional = logits.chunk(2)
    return torch.add(unconditional, conditional - unconditional, alpha=scale)


def choose_tokens(
    logits: Tensor, noise: Tensor | None, parameters: SamplingParameters, seen: Tensor | None = None
) -> Tensor:
    """One column for each row.

    Args:
        logits: fp32 [items, rows] of the legal tokens, or with `BLOCKED` where not; changed in place.
        noise: Gumbel numbers [items, rows]; None where the temperature is 0.
        seen: boolean [items, rows] of tokens generated before; None where there is no repetition penalty.

    Returns:
        int64 [items].
    """
    if seen is not None:
        penalty = parameters.repetition_penalty
        torch.where(seen, torch.where(logits > 0, logits / penalty, logits * penalty), logits, out=logits)
    if noise is None:
        return logits.argmax(dim=-1)
    if 0 < parameters.top_k < logits.shape[-1]:
        _keep_from(logits, logits.topk(parameters.top_k).values[:, -1:])
    if parameters.top_p < 1:
        _keep_from(logits, _nucleus_threshold(logits, parameters.top_p))
    if parameters.min_p > 0:
        _keep_from(logits, logits.amax(dim=-1, keepdim=True) + math.log(parameters.min_p))
    return logits.add_(noise, alpha=parameters.temperature).argmax(dim=-1)


def _keep_from(logits: Tensor, threshold: Tensor) -> None:
    """Block what lies below the threshold [items, 1]."""
    logits.masked_fill_(logits < threshold, BLOCKED)


def _nucleus_threshold(logits: Tensor, top_p: float) -> Tensor:
    """The lowest logit [items, 1] of the smallest set of most probable tokens whose sum passes `top_p`.

    On the CPU the tokens are first looked for among the `NUCLEUS_GUESS` most probable ones, which saves sorting all of
    them. The result is the same bit for bit: a sum over the beginning of a row does not depend on what follows.
    """
    largest = logits.softmax(dim=-1).amax(dim=-1, keepdim=True)
    if logits.device.type == "cpu":
        threshold, whole = _threshold_in(logits.topk(min(NUCLEUS_GUESS, logits.shape[-1])).values, largest, top_p)
        if whole.all():
            return threshold
    return _threshold_in(_sort_descending(logits), largest, top_p)[0]


def _threshold_in(descending: Tensor, largest: Tensor, top_p: float) -> tuple[Tensor, Tensor]:
    """The threshold among the highest logits [items, n], and whether they hold all of the set [items].

    Args:
        largest: probability of the first one [items, 1].
    """
    probabilities = torch.exp(descending - descending[:, :1]) * largest
    sums = probabilities.cumsum(dim=-1)
    kept = (sums - probabilities <= top_p).sum(dim=-1, keepdim=True)
    return descending.gather(-1, kept - 1), sums[:, -1] > top_p


def _sort_descending(logits: Tensor) -> Tensor:
    """Values only; NumPy sorts them on the CPU three times faster than PyTorch, which sorts indices too."""
    if logits.device.type == "cpu":
        return torch.from_numpy(numpy.sort(logits.numpy(), axis=-1)).flip(-1)
    return logits.sort(dim=-1, descending=True).values
