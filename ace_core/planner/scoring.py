"""How well a song's audio codes fit its plan, judged by the planner itself: teacher forcing, nothing is generated.

The model is asked to describe the codes, and the plan is held against what it would have said. Matches the published
`test_time_scaling.py`:

- caption and lyrics: how much the codes raise their mean log-probability per token over a prompt without codes
  (pointwise mutual information, in nats). The sigmoid of that, divided by the sensitivity, is the score: 0.5 means that
  the codes tell the model nothing about the text.
- metadata: for each field by itself, how far up among the ten most likely tokens its tokens stand.
- total: the parts that exist, with their weights brought to a sum of 1.

A part that cannot be computed (an open field, an instrumental's lyrics) is absent and weighs nothing.

Traps:
- A *smaller* sensitivity drives scores apart. The published function's default is 0.1, its interface's is 0.5.
- The softmax runs over all 217204 rows, codes included, in fp32. Logits of a long text would be gigabytes, so they are
  made for a few positions at a time and never kept.
- The position before a token predicts it: the last token of the prompt predicts the first of the text.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from typing import NamedTuple

import torch
from torch import Tensor

from ..progress import Progress
from ..song.blueprint import Blueprint
from .chat_prompts import check_positions, understand_prompt, unheard_prompt
from .decoding import CachedDecoder
from .linear import LogitsHead, logits_head
from .metadata import song_metadata, write_metadata
from .requests import Planner, has_no_words
from .text_tokens import TextTokens
from .vocabulary import THINK_END, THINK_START

DEFAULT_SENSITIVITY = 0.5
PART_WEIGHTS: Mapping[str, float] = {"caption": 0.5, "lyrics": 0.3, "metadata": 0.2}
RECALL_RANKS = 10
LOGIT_ROWS = 32  # positions whose logits are in memory at once: 28 MB in fp32


class PlannerScores(NamedTuple):
    """Scores of one song, each from 0 to 1; None where there is nothing to judge.

    Attributes:
        caption, lyrics: 0.5 where the codes say nothing about the text.
        fields: metadata by the planner's names (`bpm`, `duration`, `keyscale`, `language`, `timesignature`).
    """

    caption: float | None
    lyrics: float | None
    fields: Mapping[str, float]

    @property
    def parts(self) -> dict[str, float]:
        """The parts there are, under the names of `PART_WEIGHTS`; the metadata is the mean of its fields."""
        metadata = sum(self.fields.values()) / len(self.fields) if self.fields else None
        values = {"caption": self.caption, "lyrics": self.lyrics, "metadata": metadata}
        return {name: value for name, value in values.items() if value is not None}


def score_songs(
    planner: Planner,
    blueprints: Sequence[Blueprint],
    codes: Sequence[Sequence[int]],
    *,
    sensitivity: float = DEFAULT_SENSITIVITY,
    on_progress: Progress | None = None,
) -> list[PlannerScores]:
    """Judge songs by their audio codes, one after the other; a song's scores do not depend on the others.

    Args:
        planner: the language model.
        blueprints: what each song was to be. Where there is a rewritten caption, it is the one that was rendered.
        codes: audio codes of each song, 5 a second.
        sensitivity: nats of mutual information for one unit of the sigmoid; published values are 0.1 and 0.5.
        on_progress: called with (tokens read, tokens in all).

    Raises:
        ValueError: lengths that do not agree, no or illegal codes, a sensitivity not above 0, or a song and its text
            beyond the model's positions.
    """
    if len(blueprints) != len(codes):
        raise ValueError(
            f"give audio codes for each blueprint, got {len(blueprints)} blueprints and {len(codes)} codes"
        )
    if not sensitivity > 0:
        raise ValueError(f"the sensitivity must be more than 0, got {sensitivity}")
    tokens = planner.grammar.tokens
    songs = [
        _Song(understand_prompt(tokens, piece), *_targets(tokens, blueprint))
        for blueprint, piece in zip(blueprints, codes, strict=True)
    ]
    unheard = unheard_prompt(tokens)
    for song in songs:
        check_positions(len(song.prompt), song.longest)
    texts = [target for song in songs for target in song.texts.values()]
    if not any(song.longest for song in songs):
        return [PlannerScores(None, None, {}) for _ in songs]
    tokens_read = sum(song.tokens for song in songs) + len(unheard) + sum(map(len, texts))
    with torch.no_grad():
        run = _Run(planner, tokens_read, on_progress)
        baseline = _Listener(run, unheard, max(map(len, texts), default=0))
        scores = [_score(_Listener(run, song.prompt, song.longest), baseline, song, sensitivity) for song in songs]
        run.report()
    return scores


def weighted_score(parts: Mapping[str, float], weights: Mapping[str, float] = PART_WEIGHTS) -> float | None:
    """The mean of the parts by their weights, or None where there is no part.

    Args:
        parts: scores from 0 to 1 by name, such as `PlannerScores.parts` and the alignment score.
        weights: a weight of 0 or more for each name; the sum does not matter.

    Raises:
        ValueError: a part without a weight, a weight below 0, or parts that all weigh nothing.
    """
    wrong = [f"{name} {weight}" for name, weight in weights.items() if not weight >= 0]
    missing = sorted(parts.keys() - weights.keys())
    if wrong or missing:
        raise ValueError(f"each part needs a weight of 0 or more; wrong: {', '.join(wrong + missing)}")
    if not parts:
        return None
    total = sum(weights[name] for name in parts)
    if total == 0:
        raise ValueError(f"the parts there are ({', '.join(parts)}) all have weight 0: give one of them a weight")
    return sum(score * weights[name] for name, score in parts.items()) / total


def pmi_score(heard: float, unheard: float, sensitivity: float) -> float:
    """sigmoid((heard - unheard) / sensitivity) of two mean log-probabilities in nats."""
    return 1 / (1 + math.exp(min((unheard - heard) / sensitivity, _LARGEST_EXPONENT)))


def recall(ranks: Sequence[int]) -> float:
    """The mean credit of ranks from 1 on: 1 for the most likely token, 0.1 for the tenth, nothing after that."""
    return sum(max(0.0, 1 - (rank - 1) / RECALL_RANKS) for rank in ranks) / len(ranks)


_LARGEST_EXPONENT = 700.0  # exp of more overflows


class _Song(NamedTuple):
    """What is read for a song: its codes as a prompt, and the plan's texts and fields as the model would write them."""

    prompt: list[int]
    texts: dict[str, list[int]]
    fields: dict[str, list[int]]

    @property
    def longest(self) -> int:
        return max(map(len, (*self.texts.values(), *self.fields.values())), default=0)

    @property
    def tokens(self) -> int:
        return len(self.prompt) + sum(map(len, (*self.texts.values(), *self.fields.values())))


def _targets(tokens: TextTokens, blueprint: Blueprint) -> tuple[dict[str, list[int]], dict[str, list[int]]]:
    """Texts for their log-probability and fields for their recall, each as the answer that gives nothing else."""
    texts: dict[str, list[int]] = {}
    caption = blueprint.rewritten_caption or blueprint.caption
    if caption:
        texts["caption"] = _answer(tokens, f"\n{write_metadata({'caption': caption})}\n", "\n")
    if blueprint.lyrics and not has_no_words(blueprint.lyrics):
        texts["lyrics"] = _answer(tokens, "\n", f"\n# Lyric\n{blueprint.lyrics}\n")
    values = {name: value for name, value in song_metadata(blueprint).items() if name != "caption"}
    fields = {
        name: _answer(tokens, f"\n{write_metadata({name: value})}\n", "\n") for name, value in sorted(values.items())
    }
    return texts, fields


def _answer(tokens: TextTokens, metadata: str, rest: str) -> list[int]:
    return [THINK_START, *tokens.encode(metadata), THINK_END, *tokens.encode(rest)]


def _score(heard: _Listener, unheard: _Listener, song: _Song, sensitivity: float) -> PlannerScores:
    texts = {
        name: pmi_score(heard.log_probability(target), unheard.log_probability(target), sensitivity)
        for name, target in song.texts.items()
    }
    fields = {name: recall(heard.ranks(target)) for name, target in song.fields.items()}
    return PlannerScores(texts.get("caption"), texts.get("lyrics"), fields)


class _Run:
    """What all listeners of a run share: the planner, its output matrix, and the count of tokens read."""

    def __init__(self, planner: Planner, total: int, on_progress: Progress | None) -> None:
        self.planner = planner
        self.device = torch.device(planner.runtime.device)
        lm = planner.lm
        self.head: LogitsHead = logits_head(
            lm.embed_tokens, 0, lm.config.vocab_size, dtype=planner.runtime.dtype, device=self.device
        )
        self._total = total
        self._on_progress = on_progress
        self._done = 0

    def report(self) -> None:
        if self._on_progress is not None:
            self._on_progress(self._done, self._total)

    def count(self, tokens: int) -> None:
        self._done += tokens


class _Listener:
    """The model after a prompt, which it reads once; texts are then tried out behind it, one at a time."""

    def __init__(self, run: _Run, prompt: Sequence[int], longest: int) -> None:
        self._run = run
        self._prompt_tokens = len(prompt)
        capacity = len(prompt) + longest
        self._decoder = CachedDecoder(run.planner.lm, 1, capacity, dtype=run.planner.runtime.dtype, device=run.device)
        for states in self._read(prompt):
            self._last = states[-1:]

    def log_probability(self, target: Sequence[int]) -> float:
        """Mean over the target's tokens, in nats."""
        total = 0.0
        for logits, ids in self._predictions(target):
            chosen = logits.gather(1, ids[:, None])[:, 0] - logits.logsumexp(dim=1)
            total += float(chosen.double().sum())
        return total / len(target)

    def ranks(self, target: Sequence[int]) -> list[int]:
        """For each of the target's tokens, how many are more likely, and 1."""
        ranks: list[int] = []
        for logits, ids in self._predictions(target):
            ranks += (1 + (logits > logits.gather(1, ids[:, None])).sum(dim=1)).tolist()
        return ranks

    def _predictions(self, target: Sequence[int]) -> Iterator[tuple[Tensor, Tensor]]:
        """fp32 logits [n, tokens] and the ids [n] that really came, n at most `LOGIT_ROWS`."""
        self._decoder.rewind(0, self._prompt_tokens)
        ids = torch.tensor(target, device=self._run.device)
        before, start = self._last, 0
        for states in self._read(target):
            predicting, followed = torch.cat((before, states[:-1])), ids[start : start + len(states)]
            for row in range(0, len(states), LOGIT_ROWS):
                rows = slice(row, row + LOGIT_ROWS)
                yield self._run.head(predicting[rows]), followed[rows]
            before, start = states[-1:], start + len(states)

    def _read(self, tokens: Sequence[int]) -> Iterator[Tensor]:
        for states in self._decoder.read_states(0, tokens, self._run.report):
            yield states
            self._run.count(len(states))
