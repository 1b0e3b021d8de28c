"""The text phases: plans, captions and lyrics under a grammar, for 1 to 8 sequences at once, without guidance.

Each sequence has its own grammar state. Tokens the grammar forces are not sampled: runs of them are fed in one
chunk. Where few tokens are legal only their logits are computed; free text is one product for all sequences.

Traps:
- Guidance on text ends lines early and cuts captions short, so there is none here.
- The random numbers of a step depend on the grammar of that sequence alone, so a sequence is the same whoever else is
  in the batch.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from ..models.qwen3 import Qwen3
from ..progress import Progress
from ..runtime import CPU_RUNTIME, Runtime
from .constraint import Constraint
from .decoding import CachedDecoder
from .linear import LogitsHead, linear, logits_head
from .token_choice import BLOCKED, GumbelNoise, SamplingParameters, choose_tokens


@torch.no_grad()
def generate_text(
    lm: Qwen3,
    prompts: Sequence[Sequence[int]],
    constraints: Sequence[Constraint],
    parameters: SamplingParameters,
    seeds: Sequence[int],
    max_new_tokens: int,
    *,
    runtime: Runtime = CPU_RUNTIME,
    on_progress: Progress | None = None,
) -> list[list[int]]:
    """Continue each prompt until its grammar is finished.

    Args:
        prompts: token ids, one list for each sequence.
        constraints: one grammar state for each sequence; they are advanced.
        parameters: how a token is chosen.
        seeds: one for each sequence, 0 to 2^64 - 1.
        max_new_tokens: the most tokens a sequence gets, forced ones included.
        runtime: where the network runs and in what: bf16 on CUDA, fp32 on the CPU, never fp16.
        on_progress: called with (tokens of the longest sequence, max_new_tokens), first while the prompts are read.

    Returns:
        The new token ids of each sequence, forced ones and the stop token included.

    Raises:
        ValueError: lengths that do not agree, no sequence, an empty prompt, `max_new_tokens` below 1, or prompt and new
            tokens beyond the model's positions.
    """
    if not prompts or not len(prompts) == len(constraints) == len(seeds):
        raise ValueError(
            f"give one constraint and one seed for each prompt, got {len(prompts)} prompts, {len(constraints)} "
            f"constraints and {len(seeds)} seeds"
        )
    if not all(prompts):
        raise ValueError("a prompt is empty; it must hold at least one token")
    if max_new_tokens < 1:
        raise ValueError(f"max_new_tokens must be at least 1, got {max_new_tokens}")
    sequences = [
        _Sequence(constraint, seed, max_new_tokens) for constraint, seed in zip(constraints, seeds, strict=True)
    ]

    def report() -> None:
        if on_progress is not None:
            on_progress(max(len(sequence.tokens) for sequence in sequences), max_new_tokens)

    dtype, device = runtime.dtype, runtime.device
    capacity = max(map(len, prompts)) + max_new_tokens
    decoder = CachedDecoder(lm, len(prompts), capacity, dtype=dtype, device=device)
    hidden = decoder.read_prompts(prompts, report)
    sampler = _TextSampler(lm, parameters, dtype, device)
    going = sequences
    for sequence in going:
        sequence.take_forced()
    while True:
        places = [place for place, sequence in enumerate(going) if not sequence.ended]
        if not places:
            break
        if len(places) < len(going):
            decoder.keep(places)
            going, hidden = [going[place] for place in places], hidden[places]
        waiting = [place for place, sequence in enumerate(going) if sequence.unfed]
        if waiting:
            hidden[waiting] = decoder.feed(waiting, [going[place].take_unfed() for place in waiting], report)
        for sequence, token in zip(going, sampler.sample(hidden, going), strict=True):
            sequence.take(token)
            sequence.take_forced()
    if on_progress is not None:
        on_progress(max_new_tokens, max_new_tokens)
    return [sequence.tokens for sequence in sequences]


class _Sequence:
    """One sequence: its grammar, its noise, its tokens, and those the network has not been given yet."""

    def __init__(self, constraint: Constraint, seed: int, max_tokens: int) -> None:
        self.noise = GumbelNoise(seed, "text")
        self.tokens: list[int] = []
        self.unfed: list[int] = []
        self.allowed: tuple[int, ...] | Tensor = ()
        self.greedy = False
        self._constraint = constraint
        self._max_tokens = max_tokens

    @property
    def ended(self) -> bool:
        return self._constraint.finished or len(self.tokens) == self._max_tokens

    def take(self, token: int) -> None:
        self._constraint.advance(token)
        self.tokens.append(token)
        self.unfed.append(token)

    def take_forced(self) -> None:
        """Take tokens as long as the grammar leaves no choice; then `allowed` is what there is to choose from."""
        while not self.ended:
            self.allowed = self._constraint.allowed()
            if isinstance(self.allowed, Tensor) or len(self.allowed) > 1:
                self.greedy = self._constraint.greedy
                return
            self.take(self.allowed[0])

    def take_unfed(self) -> list[int]:
        tokens, self.unfed = self.unfed, []
        return tokens


class _TextSampler:
    """Chooses a token for each of several sequences; keeps the output matrix and the masks on the device."""

    def __init__(self, lm: Qwen3, parameters: SamplingParameters, dtype: torch.dtype, device: torch.device) -> None:
        self._lm = lm
        self._parameters = parameters
        self._dtype = dtype
        self._device = device
        self._heads: dict[int, LogitsHead] = {}
        self._blocked: dict[int, tuple[Tensor, Tensor]] = {}  # by the mask's identity, which the mask itself keeps

    def sample(self, hidden: Tensor, sequences: Sequence[_Sequence]) -> list[int]:
        """One token id for each sequence, from final hidden states [sequences, hidden]."""
        chosen: dict[int, int] = {}
        free: dict[int, list[tuple[int, _Sequence, Tensor]]] = {}  # by how many rows the mask covers
        for place, sequence in enumerate(sequences):
            allowed = sequence.allowed
            if isinstance(allowed, Tensor):
                free.setdefault(len(allowed), []).append((place, sequence, allowed))
            else:
                ids = torch.tensor(allowed, device=self._device)
                logits = linear(hidden[place, None], self._lm.embed(ids, self._dtype)).float()
                column = int(logits.argmax()) if sequence.greedy else self._choose(logits, [sequence], ids)[0]
                chosen[place] = allowed[column]
        for rows, members in free.items():
            places = [place for place, _, _ in members]
            logits = self._head(rows)(hidden[places])
            for row, (_, _, mask) in zip(logits, members, strict=True):
                row.masked_fill_(self._blocked_by(mask), BLOCKED)
            ids = torch.arange(rows, device=self._device)
            columns = self._choose(logits, [sequence for _, sequence, _ in members], ids)
            chosen |= dict(zip(places, columns, strict=True))
        return [chosen[place] for place in range(len(sequences))]

    def _choose(self, logits: Tensor, sequences: Sequence[_Sequence], ids: Tensor) -> list[int]:
        """Columns of logits [sequences, columns]; `ids` are the columns' token ids."""
        noise = seen = None
        if self._parameters.temperature > 0:
            noise = torch.stack([sequence.noise.draw(len(ids)) for sequence in sequences]).to(self._device)
        if self._parameters.repetition_penalty != 1:
            tokens = [torch.tensor(sequence.tokens, device=self._device) for sequence in sequences]
            seen = torch.stack([torch.isin(ids, generated) for generated in tokens])
        columns: list[int] = choose_tokens(logits, noise, self._parameters, seen).tolist()
        return columns

    def _head(self, rows: int) -> LogitsHead:
        if rows not in self._heads:
            self._heads[rows] = logits_head(self._lm.embed_tokens, 0, rows, dtype=self._dtype, device=self._device)
        return self._heads[rows]

    def _blocked_by(self, mask: Tensor) -> Tensor:
        if id(mask) not in self._blocked:
            self._blocked[id(mask)] = (mask, mask.logical_not().to(self._device))
        return self._blocked[id(mask)][1]
