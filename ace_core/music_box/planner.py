"""Training of the music box's planner: a small Qwen3 that answers the published prompts.

Guidance moves away from the unconditional prompt, so codes that neither prompt makes likely must be unlikely in the
difference too. Plain training does not see to that: here the guided logits are taught beside the others.
"""

from __future__ import annotations

import random
from collections.abc import Sequence
from itertools import chain
from typing import TypeVar

import torch
from torch import Tensor
from torch.nn import functional as F

from ..checkpoints.tokenizer import TextTokenizer
from ..planner.text_tokens import TextTokens, read_text_tokens
from ..planner.vocabulary import FIRST_CODE
from . import small_lm
from .attention import plain_attention
from .code_book import VECTOR_COUNT, code_vectors
from .hearing_lessons import heard_songs, hearing_dialogue
from .planner_lessons import Dialogue, codes_dialogues, text_dialogue
from .small_lm import Report, TrainedRows

PLANNER_CONFIG = small_lm.small_config(vocab_size=217_204, hidden_size=64, layers=4, units=256)
_STEPS = 16_000
_ANSWERS = 16_000  # in codes, and more in words and in hearing
_SONGS = 3_000  # that are heard
_BATCH = 24
_ALIKE = 800  # a batch is taken from so many answers of about the same length
_CODES_SHARE = 0.2  # of the batches
_GUIDANCE = (1.0, 3.0)
_SAMPLE = 256  # of codes of sound, which are no answers
_LEARNING_RATE = 3e-3

T = TypeVar("T")


def planner_lesson(tokenizer: TextTokenizer) -> str:
    """A hash of what the planner is taught."""
    singles, pairs = _dialogues(read_text_tokens(tokenizer), answers=20, songs=10, seed=1)
    return small_lm.hash_of_lesson(chain(singles, *pairs), PLANNER_CONFIG)


def train_planner(tokenizer: TextTokenizer, *, steps: int = _STEPS, seed: int = 0, report: Report) -> TrainedRows:
    """Train the planner; `report` gets the share of right tokens of the answers."""
    chance, generator = random.Random(seed), torch.Generator().manual_seed(seed)
    singles, pairs = _dialogues(read_text_tokens(tokenizer), answers=_ANSWERS, songs=_SONGS, seed=seed)
    words = {token for ids, _ in chain(singles, *pairs) for token in ids if token < FIRST_CODE}
    sums = dict(sorted(enumerate(code_vectors().tolist(), FIRST_CODE), key=lambda code: VECTOR_COUNT not in code[1]))
    rows = small_lm.Rows(words, PLANNER_CONFIG.hidden_size, generator, sums, VECTOR_COUNT)
    network = small_lm.small_qwen3(PLANNER_CONFIG, rows, generator)
    with torch.no_grad():
        rows.weight.mul_(0.3)
    answers = len(words) + sum(VECTOR_COUNT in numbers for numbers in sums.values())  # words and codes of the clock
    others = len(words) + len(sums) - answers
    sample_weight = torch.tensor(others / _SAMPLE).log()
    unused = torch.tensor(float(PLANNER_CONFIG.vocab_size - len(words) - len(sums))).log()  # of so many logits 0

    def predict(batch: Sequence[Dialogue]) -> tuple[Tensor, Tensor, Tensor]:
        """Logits of all learned tokens, the right ones, and how much they count; a sample stands for codes of sound."""
        places = rows.places([ids for ids, _ in batch])
        weights = small_lm.targets([weights for _, weights in batch], places.shape[1])[:, 1:]
        learned = weights > 0
        states = network(places, torch.float32, plain_attention)[:, :-1][learned]
        sampled = answers + torch.randint(others, (_SAMPLE,), generator=generator)
        logits = states @ rows(torch.cat((torch.arange(answers), sampled))).T
        possible, impossible = logits.split((answers, _SAMPLE), dim=1)
        logits = torch.cat((possible, impossible + sample_weight, unused.expand(len(logits), 1)), dim=1)
        return logits, places[:, 1:][learned], weights[learned].float()

    def loss_of_batch() -> tuple[Tensor, Tensor]:
        if chance.random() < _CODES_SHARE:
            some = _of_about_the_same_length(pairs, chance, _BATCH // 2)
            logits, right, _ = predict([plan for plan, _ in some] + [unconditional for _, unconditional in some])
            planned, unconditional = logits.chunk(2)
            guided = unconditional + chance.uniform(*_GUIDANCE) * (planned - unconditional)
            half = right[: len(guided)]
            return F.cross_entropy(logits, right) + F.cross_entropy(guided, half), guided.argmax(1) == half
        logits, right, weights = predict(_of_about_the_same_length(singles, chance, _BATCH))
        losses = F.cross_entropy(logits, right, reduction="none")
        return (losses * weights).sum() / weights.sum(), logits.argmax(1) == right

    small_lm.train_small(network, steps, _LEARNING_RATE, loss_of_batch, report)
    return small_lm.kept(network, rows)


def _dialogues(
    tokens: TextTokens, *, answers: int, songs: int, seed: int
) -> tuple[list[Dialogue], list[tuple[Dialogue, Dialogue]]]:
    """Lessons in words and in hearing, and pairs of lessons in codes; the shortest first."""
    chance = random.Random(seed)
    heard = list(heard_songs(songs, seed))
    singles = [text_dialogue(tokens, chance) for _ in range(answers * 3 // 2)]
    singles += [hearing_dialogue(tokens, heard, chance) for _ in range(2 * answers)]
    pairs = [codes_dialogues(tokens, chance) for _ in range(answers)]
    singles.sort(key=lambda dialogue: len(dialogue[0]))
    pairs.sort(key=lambda pair: len(pair[0][0]))
    return singles, pairs


def _of_about_the_same_length(sorted_by_length: Sequence[T], chance: random.Random, count: int) -> list[T]:
    first = chance.randrange(-_ALIKE // 2, len(sorted_by_length) - _ALIKE // 2)
    return chance.choices(sorted_by_length[max(0, first) : first + _ALIKE], k=count)
