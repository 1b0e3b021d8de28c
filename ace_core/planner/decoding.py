"""Feeding tokens to the planner: prompts, chunks of known tokens, single tokens, each against the run's own cache.

`CachedDecoder` takes rows of any lengths at once: each row attends to exactly what it holds, so single tokens need no
mask and nothing is computed for padding. `StaticStep` is its single step with nothing but tensors of fixed shape and
address, positions and mask included: it never asks the host anything, so a CUDA graph can record it.

Both run the network's own layers with an attention function that writes to the cache and reads from it. Query heads
that share a key head are folded into the length dimension, so keys and values are never repeated.

Traps:
- Prompts are read in chunks, because the mask and scores of a whole one grow with the square of its length. The result
  is the same to rounding.
- Keys are cached after the rotation, so a row's tokens can never be moved to other positions.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import NamedTuple

import torch
from torch import Tensor
from torch.nn import functional as F

from ..models.layers import AttentionFunction, Rotary, blocked_value, rotary_table
from ..models.qwen3 import Qwen3
from ..progress import CancelCheck
from .cache import allocate_cache
from .vocabulary import MAX_POSITIONS

CHUNK_TOKENS = 512


class CachedDecoder:
    """Sequences that grow together, one cache row each.

    Attributes:
        cache: keys and values of all rows.
        lengths: tokens each row holds.
    """

    def __init__(self, lm: Qwen3, rows: int, capacity: int, *, dtype: torch.dtype, device: torch.device) -> None:
        """
        Args:
            rows: sequences.
            capacity: the most tokens any of them will hold.
            dtype: what the network runs in.
            device: where.

        Raises:
            ValueError: the capacity is beyond the positions the model was made for.
        """
        if capacity > MAX_POSITIONS:
            raise ValueError(
                f"prompt and new tokens together are {capacity}, but the planner has only {MAX_POSITIONS} positions: "
                "shorten the text or the song"
            )
        self.lm = lm
        self.dtype = dtype
        self.device = device
        self.cache = allocate_cache(lm.config, rows, capacity, dtype, device)
        self.lengths = [0] * rows
        positions = torch.arange(capacity, device=device)
        self.rotary = rotary_table(positions, lm.config.head_dim, lm.config.rope_theta, dtype)

    def read_prompts(self, prompts: Sequence[Sequence[int]], check: CancelCheck) -> Tensor:
        """Read one prompt for each row of an empty cache; a prompt that several rows share is read once.

        Args:
            check: called between chunks; an exception from it ends the run.

        Returns:
            Final hidden states [rows, hidden] of the last prompt tokens.
        """
        first_rows: dict[tuple[int, ...], int] = {}
        hidden: list[Tensor] = []
        for row, prompt in enumerate(prompts):
            source = first_rows.setdefault(tuple(prompt), row)
            if source == row:
                hidden.append(self.feed([row], [prompt], check)[0])
            else:
                self.cache.copy_row(source, row, len(prompt))
                self.lengths[row] = len(prompt)
                hidden.append(hidden[source])
        return torch.stack(hidden)

    def feed(self, rows: Sequence[int], tokens: Sequence[Sequence[int]], check: CancelCheck) -> Tensor:
        """Append known tokens to these rows: at least one each, not the same number for all.

        Returns:
            Final hidden states [len(rows), hidden] of the last token of each row.
        """
        last: dict[int, Tensor] = {}
        for start in range(0, max(map(len, tokens)), CHUNK_TOKENS):
            check()
            chunks = {
                row: row_tokens[start : start + CHUNK_TOKENS]
                for row, row_tokens in zip(rows, tokens, strict=True)
                if len(row_tokens) > start
            }
            counts = [len(chunk) for chunk in chunks.values()]
            padded = [[*chunk, *[0] * (max(counts) - len(chunk))] for chunk in chunks.values()]
            x = self._run(list(chunks), torch.tensor(padded, device=self.device), counts)
            last |= {row: x[index, count - 1] for index, (row, count) in enumerate(zip(chunks, counts, strict=True))}
        return self._norm(torch.stack([last[row] for row in rows]))

    def read_states(self, row: int, tokens: Sequence[int], check: CancelCheck) -> Iterator[Tensor]:
        """Append known tokens to a row; final hidden states [chunk, hidden] of each of them, a chunk at a time."""
        for start in range(0, len(tokens), CHUNK_TOKENS):
            check()
            chunk = tokens[start : start + CHUNK_TOKENS]
            yield self._norm(self._run([row], torch.tensor([chunk], device=self.device), [len(chunk)])[0])

    def step(self, ids: Tensor) -> Tensor:
        """Append one token to every row: ids [rows], which the host need not know.

        Returns:
            Final hidden states [rows, hidden].
        """
        rows = range(len(self.lengths))
        return self._norm(self._run(rows, ids[:, None], [1] * len(rows))[:, 0])

    def static_step(self) -> Callable[[Tensor], Tensor]:
        """A `step` of fixed shapes for the rows there are now; not to be called after `keep`."""
        fixed = StaticStep(self)

        def step(ids: Tensor) -> Tensor:
            self.lengths = [length + 1 for length in self.lengths]
            return fixed(ids)

        return step

    def rewind(self, row: int, length: int) -> None:
        """Forget all but the first `length` tokens of a row."""
        self.lengths[row] = length

    def keep(self, rows: Sequence[int]) -> None:
        """Forget all rows but these, which are in ascending order."""
        self.cache = self.cache.keep(rows, max(self.lengths))
        self.lengths = [self.lengths[row] for row in rows]

    def _run(self, rows: Sequence[int], ids: Tensor, counts: Sequence[int]) -> Tensor:
        """The residual stream [R, S, hidden] of ids [R, S], of which the first counts[r] are row r's."""
        starts = [self.lengths[row] for row in rows]
        spans = _spans(rows, starts, counts)
        masks = [self._mask(span.start, span.added) for span in spans]
        cache = self.cache

        def attention_of(layer: int) -> AttentionFunction:
            keys, values = cache.keys[layer], cache.values[layer]

            def attention(query: Tensor, key: Tensor, value: Tensor, _mask: Tensor | None) -> Tensor:
                out = torch.zeros_like(query)
                for (places, held, start, added), mask in zip(spans, masks, strict=True):
                    end = start + added
                    keys[held, :, start:end] = key[places, :, :added]
                    values[held, :, start:end] = value[places, :, :added]
                    out[places, :, :added] = _attend(
                        query[places, :, :added], keys[held, :, :end], values[held, :, :end], mask
                    )
                return out

            return attention

        x = self.lm.run_layers(self.lm.embed(ids, self.dtype), self._positions(starts, ids), None, attention_of)
        for row, start, count in zip(rows, starts, counts, strict=True):
            self.lengths[row] = start + count
        return x

    def _norm(self, x: Tensor) -> Tensor:
        out: Tensor = self.lm.norm(x)
        return out

    def _positions(self, starts: Sequence[int], ids: Tensor) -> Rotary:
        """Rotary tables [R, 1, S, D] of rows that start at different positions."""
        positions = torch.tensor(starts, device=self.device)[:, None] + torch.arange(ids.shape[1], device=self.device)
        positions.clamp_(max=self.cache.capacity - 1)  # padding after a full row
        return Rotary(self.rotary.cos[positions][:, None], self.rotary.sin[positions][:, None])

    def _mask(self, start: int, count: int) -> Tensor | None:
        """Additive mask [groups * count, start + count]: a token sees what came before, and itself."""
        if count == 1:
            return None
        groups = self.lm.config.num_heads // self.lm.config.num_kv_heads
        mask = torch.full((count, start + count), blocked_value(self.dtype), dtype=self.dtype, device=self.device)
        return mask.triu_(start + 1).repeat(groups, 1)


class StaticStep:
    """One token for every row of a decoder's cache, with fixed shapes; positions advance by themselves.

    Call it with ids [rows]; it returns final hidden states [rows, hidden].
    """

    def __init__(self, decoder: CachedDecoder) -> None:
        self._lm = decoder.lm
        self._dtype = decoder.dtype
        self._cache = decoder.cache
        self._rotary = decoder.rotary
        device, rows = decoder.device, len(decoder.lengths)
        self._rows = torch.arange(rows, device=device)
        self._positions = torch.tensor(decoder.lengths, device=device)
        self._mask = torch.zeros(rows, 1, 1, self._cache.capacity, dtype=self._dtype, device=device)
        beyond = torch.arange(self._cache.capacity, device=device) >= self._positions[:, None]
        self._mask.masked_fill_(beyond[:, None, None], blocked_value(self._dtype))

    def __call__(self, ids: Tensor) -> Tensor:
        positions = self._positions
        self._mask.scatter_(-1, positions[:, None, None, None], 0.0)
        x = self._lm.embed(ids[:, None], self._dtype)
        rotary = Rotary(self._rotary.cos[positions][:, None, None], self._rotary.sin[positions][:, None, None])
        x = self._lm.run_layers(x, rotary, self._mask, self._attention_of)
        positions.add_(1)
        out: Tensor = self._lm.norm(x[:, 0])
        return out

    def _attention_of(self, layer: int) -> AttentionFunction:
        keys, values = self._cache.keys[layer], self._cache.values[layer]

        def attention(query: Tensor, key: Tensor, value: Tensor, mask: Tensor | None) -> Tensor:
            keys[self._rows, :, self._positions] = key[:, :, 0]
            values[self._rows, :, self._positions] = value[:, :, 0]
            grouped = query.reshape(query.shape[0], keys.shape[1], -1, query.shape[-1])
            return F.scaled_dot_product_attention(grouped, keys, values, attn_mask=mask).reshape(query.shape)

        return attention


class _Span(NamedTuple):
    """Rows that lie together in the input (`places`) and in the cache (`rows`), equally long before and after."""

    places: slice
    rows: slice
    start: int
    added: int


def _spans(rows: Sequence[int], starts: Sequence[int], counts: Sequence[int]) -> list[_Span]:
    """The fewest spans: songs of one prompt are attended to together."""
    spans: list[_Span] = []
    for place, (row, start, count) in enumerate(zip(rows, starts, counts, strict=True)):
        places, joined = slice(place, place + 1), slice(row, row + 1)
        if spans and spans[-1].rows.stop == row and spans[-1][2:] == (start, count):
            last = spans.pop()
            places, joined = slice(last.places.start, place + 1), slice(last.rows.start, row + 1)
        spans.append(_Span(places, joined, start, count))
    return spans


def _attend(query: Tensor, keys: Tensor, values: Tensor, mask: Tensor | None) -> Tensor:
    """Attention of one span: query [R, H, S, D], keys and values [R, K, L, D], mask [H / K * S, L] -> [R, H, S, D]."""
    grouped = query.reshape(*keys.shape[:2], -1, query.shape[-1])
    if mask is None and query.device.type == "cpu":
        scaled = grouped.flatten(0, 1) * query.shape[-1] ** -0.5
        weights = torch.bmm(keys.flatten(0, 1), scaled.transpose(1, 2)).transpose(1, 2).softmax(dim=-1)
        out = torch.bmm(weights, values.flatten(0, 1))
    else:
        out = F.scaled_dot_product_attention(grouped, keys, values, attn_mask=mask)
    return out.reshape(query.shape)
