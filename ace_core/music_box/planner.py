"""Training of the music box's planner: a small Qwen3 that answers the published prompts (`planner_lessons`)."""

from __future__ import annotations

import random
from collections.abc import Iterator

import torch
from torch import Tensor
from torch.nn import functional as F

from ..checkpoints.tokenizer import TextTokenizer
from ..planner.text_tokens import TextTokens, read_text_tokens
from ..planner.vocabulary import FIRST_CODE
from . import small_lm
from .attention import plain_attention
from .code_book import VECTOR_COUNT, code_vectors
from .planner_lessons import Dialogue, codes_dialogue, text_dialogue
from .small_lm import Report, TrainedRows

PLANNER_CONFIG = small_lm.small_config(vocab_size=217_204, hidden_size=64, layers=4, units=256)
_STEPS = 5_000
_ANSWERS = 6_000  # of each kind
_BATCH = 24
_ALIKE = 800  # a batch is taken from so many answers of about the same length
_LEARNING_RATE = 3e-3


def planner_lesson(tokenizer: TextTokenizer) -> str:
    """A hash of what the planner is taught."""
    return small_lm.hash_of_lesson(_dialogues(read_text_tokens(tokenizer), 20, random.Random(1)), PLANNER_CONFIG)


def train_planner(tokenizer: TextTokenizer, *, steps: int = _STEPS, seed: int = 0, report: Report) -> TrainedRows:
    """Train the planner; `report` gets the share of right tokens of the answers."""
    chance, generator = random.Random(seed), torch.Generator().manual_seed(seed)
    tokens = read_text_tokens(tokenizer)
    dialogues = sorted(_dialogues(tokens, _ANSWERS, chance), key=lambda dialogue: len(dialogue[0]))
    used = {token for ids, _ in dialogues for token in ids}
    codes = [token for token in used if token >= FIRST_CODE]
    parts = code_vectors()[torch.tensor(codes) - FIRST_CODE].tolist()
    sums = {token: [part for part in row if part < VECTOR_COUNT] for token, row in zip(codes, parts, strict=True)}
    rows = small_lm.Rows(used.difference(codes), PLANNER_CONFIG.hidden_size, generator, sums, VECTOR_COUNT)
    network = small_lm.small_qwen3(PLANNER_CONFIG, rows, generator)
    with torch.no_grad():
        rows.weight.mul_(0.3)
    unused = torch.tensor(float(PLANNER_CONFIG.vocab_size - len(used))).log()  # all others have the logit 0

    def loss_of_batch() -> tuple[Tensor, Tensor]:
        first = chance.randrange(-_ALIKE // 2, len(dialogues) - _ALIKE // 2)
        batch = chance.choices(dialogues[max(0, first) : first + _ALIKE], k=_BATCH)
        places = rows.places([ids for ids, _ in batch])
        learned = small_lm.targets([mask for _, mask in batch], places.shape[1])[:, 1:] == 1
        states = network(places, torch.float32, plain_attention)[:, :-1][learned]
        logits = states @ rows.table().T
        logits = torch.cat((logits[:, :-1], unused.expand(len(logits), 1)), dim=1)  # the last place is unknown
        right = places[:, 1:][learned]
        return F.cross_entropy(logits, right), logits.argmax(1) == right

    small_lm.train_small(network, steps, _LEARNING_RATE, loss_of_batch, report)
    return small_lm.kept(network, rows)


def _dialogues(tokens: TextTokens, count: int, chance: random.Random) -> Iterator[Dialogue]:
    """`count` of each kind."""
    for _ in range(count):
        yield text_dialogue(tokens, chance)
        yield codes_dialogue(tokens, chance)
