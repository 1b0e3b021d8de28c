"""Training of the music box's text encoder: a small Qwen3 that puts a mark on every token.

It learns by heart on random prompts (`words.random_prompt`). Tokens that never occur keep a row of zeros, and some
tokens of the prompts are made so, that unknown words leave the others alone. The last norm's weight stays 1, so all
states have the length that `renderer` relies on.
"""

from __future__ import annotations

import random

import torch
from torch import Tensor
from torch.nn import functional as F

from ..checkpoints.tokenizer import TextTokenizer
from . import small_lm
from .attention import plain_attention
from .marks import MARKS, NOTHING, STATE_SIZE, mark_vectors
from .small_lm import NOT_LEARNED, Report, TrainedRows
from .words import random_prompt

TAGGER_CONFIG = small_lm.small_config(vocab_size=151_669, hidden_size=STATE_SIZE)
_STEPS = 3_000
_PROMPTS = 20_000
_BATCH = 48
_LEARNING_RATE = 4e-3
_NOTHING_WEIGHT = 0.15  # most tokens are nothing
_SHARPNESS = 20.0


def tagger_lesson(tokenizer: TextTokenizer) -> str:
    """A hash of what the text encoder is taught."""
    chance = random.Random(1)
    return small_lm.hash_of_lesson((random_prompt(tokenizer, chance) for _ in range(100)), TAGGER_CONFIG)


def train_tagger(tokenizer: TextTokenizer, *, steps: int = _STEPS, seed: int = 0, report: Report) -> TrainedRows:
    """Train the text encoder; `report` gets the share of right marks among tokens that have one."""
    chance, generator = random.Random(seed), torch.Generator().manual_seed(seed)
    prompts = [random_prompt(tokenizer, chance) for _ in range(_PROMPTS)]
    used = {token for prompt in prompts for token in prompt.ids if token != small_lm.UNKNOWN}
    rows = small_lm.Rows(used, TAGGER_CONFIG.hidden_size, generator)
    network = small_lm.small_qwen3(TAGGER_CONFIG, rows, generator)
    network.norm.weight.requires_grad_(False)
    vectors = F.normalize(mark_vectors(), dim=1)
    nothing = MARKS.index(NOTHING)

    def loss_of_batch() -> tuple[Tensor, Tensor]:
        batch = chance.choices(prompts, k=_BATCH)
        places = rows.places([prompt.ids for prompt in batch])
        wanted = small_lm.targets([prompt.marks for prompt in batch], places.shape[1])
        states = network(places, torch.float32, plain_attention)
        learned = wanted != NOT_LEARNED
        right = wanted[learned]
        likeness = F.normalize(states[learned], dim=1) @ vectors.T
        weight = torch.where(right == nothing, _NOTHING_WEIGHT, 1.0)
        distance = 1 - likeness.gather(1, right[:, None])[:, 0]
        losses = _SHARPNESS * distance + F.cross_entropy(_SHARPNESS * likeness, right, reduction="none")
        return (weight * losses).sum() / weight.sum(), (likeness.argmax(1) == right)[right != nothing]

    small_lm.train_small(network, steps, _LEARNING_RATE, loss_of_batch, report)
    return small_lm.kept(network, rows)
