"""Coverage, monotonicity, confidence and score against plain Python and worked examples."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pytest
import torch
from networks import random_weights
from numpy.typing import NDArray
from planted_lyrics import CONFIG, PlantedDiT, plant, prompted, song_of
from torch import nn

from ace_core.checkpoints.tokenizer import TextTokenizer
from ace_core.listening.alignment_score import AlignmentScore, alignment_score, score_alignment
from ace_core.listening.dtw import warping_path
from ace_core.listening.lyric_alignment import align_lyrics
from ace_core.listening.lyric_attention import PURE_NOISE, mean_attention
from ace_core.models.dit import DiT
from ace_core.runtime import Runtime


def matrix(rows: Sequence[Sequence[float]]) -> NDArray[np.float32]:
    return np.array(rows, dtype=np.float32)


def scored(rows: Sequence[Sequence[float]], in_tag: Sequence[bool] | None = None) -> AlignmentScore:
    found = alignment_score(matrix(rows), in_tag or [False] * len(rows))
    assert found is not None
    return found


def slow_score(attention: NDArray[np.float32], in_tag: Sequence[bool]) -> tuple[float, float, float, float]:
    """The published formulas, one number at a time."""
    lowest, highest = attention.min(), attention.max()
    energy = np.zeros_like(attention) if highest - lowest <= 1e-9 else (attention - lowest) / (highest - lowest)
    path = warping_path(-(energy**2))
    rows = [row for row, tag in zip(energy.tolist(), in_tag, strict=True) if not tag]
    coverage = sum(max(row) > 0.1 for row in rows) / len(rows)
    centroids = []
    for row in rows:
        strong = [(frame, value) for frame, value in enumerate(row) if value > 0.01]
        if strong:
            centroids.append(sum(frame * value for frame, value in strong) / sum(value for _, value in strong))
    pairs = list(zip(centroids, centroids[1:], strict=False))
    monotonicity = sum(after >= before - 9 for before, after in pairs) / len(pairs) if pairs else 1.0
    along = [float(energy[token, frame]) for token, frame in zip(path.tokens, path.frames, strict=True)]
    confidence = sum(along) / len(along)
    return coverage, monotonicity, confidence, round(coverage**2 * monotonicity**2 * confidence, 4)


@pytest.mark.parametrize("seed", range(20))
def test_equals_plain_python(seed: int) -> None:
    rng = np.random.default_rng(seed)
    tokens, frames = rng.integers(2, 12), rng.integers(2, 60)
    attention = (rng.random((tokens, frames)) ** rng.integers(1, 30)).astype(np.float32)
    in_tag = [*(rng.random(tokens - 1) < 0.3).tolist(), False]
    assert alignment_score(attention, in_tag) == pytest.approx(slow_score(attention, in_tag), abs=1e-12)


def test_lyrics_sung_without_a_pause_score_nearly_one() -> None:
    """From one token to the next the path takes a corner, which costs nothing: 3 cells of energy 0 among 43."""
    assert scored(np.repeat(np.eye(4), 10, axis=1).tolist()) == AlignmentScore(1, 1, 40 / 43, 0.9302)


def test_a_token_that_is_hardly_attended_to_is_not_covered() -> None:
    # The path: (0, 0), (1, 0), (1, 1), (2, 1), (2, 2).
    score = scored([[1, 0, 0], [0, 0.09, 0], [0, 0, 1]])
    assert score.coverage == pytest.approx(2 / 3)
    assert score.monotonicity == 1
    assert score.confidence == pytest.approx(2.09 / 5)
    assert score.score == pytest.approx(4 / 9 * 2.09 / 5, abs=5e-5)


@pytest.mark.parametrize(("back", "monotonicity"), [(9, 1.0), (10, 0.5)])
def test_a_centre_may_go_back_by_nine_frames(back: int, monotonicity: float) -> None:
    rows = np.zeros((3, 40))
    rows[0, 20] = rows[1, 20 - back] = rows[2, 30] = 1
    assert scored(rows.tolist()).monotonicity == monotonicity


def test_faint_energy_does_not_move_a_centre() -> None:
    rows = np.zeros((2, 101))
    rows[0, 50] = rows[1, 45] = 1
    rows[0, 51:] = 0.01  # would move the first centre to 58
    assert scored(rows.tolist()).monotonicity == 1


def test_tags_count_for_the_path_alone() -> None:
    rows = [[0, 0, 0], [1, 1, 0], [0, 0, 1]]
    score = scored(rows, [True, False, False])
    assert (score.coverage, score.monotonicity) == (1, 1)
    assert score.confidence == pytest.approx(3 / 5)  # the path: (0, 0), (1, 0), (1, 1), (2, 1), (2, 2)
    assert scored(rows).coverage == pytest.approx(2 / 3)


def test_attention_is_stretched_to_its_range() -> None:
    rows = [[0.3, 0.1], [0.1, 0.3]]
    assert scored(rows) == scored([[1, 0], [0, 1]])


def test_even_attention_is_no_energy() -> None:
    assert scored([[0.2, 0.2], [0.2, 0.2]]) == AlignmentScore(0, 1, 0, 0)


def test_tags_alone_have_no_score() -> None:
    assert alignment_score(matrix([[1, 0], [0, 1]]), [True, True]) is None


def test_shuffled_lyrics_score_lower_than_sung_ones() -> None:
    planted = plant(12, 300, seed=1)
    attention = mean_attention(planted.heads)
    order = np.random.default_rng(0).permutation(12)
    right, wrong = alignment_score(attention, [False] * 12), alignment_score(attention[order], [False] * 12)
    assert right is not None and wrong is not None
    assert right.score > 0.5 > wrong.score


CPU = {"runtime": Runtime()}


@torch.no_grad()
def test_a_song_is_scored_as_it_is_timed(tokenizer: TextTokenizer) -> None:
    lyrics = prompted(tokenizer, "en", "[Verse]\nla la\nti")
    dit = random_weights(DiT(CONFIG, ops=nn, device="meta"), 0)
    song = song_of(lyrics.ids, 128)
    latents = torch.randn(128, 64, generator=torch.Generator().manual_seed(1))
    score = score_alignment(dit, song, latents, tokenizer, level=1 / 8, **CPU)
    assert score == align_lyrics(dit, song, latents, tokenizer, steps=8, **CPU).score
    plan = score_alignment(dit, song, latents, tokenizer, level=PURE_NOISE, **CPU)
    assert plan != score
    assert plan == score_alignment(dit, song, -latents, tokenizer, level=PURE_NOISE, **CPU)


def test_lyrics_of_tags_alone_are_not_listened_to(tokenizer: TextTokenizer) -> None:
    dit = PlantedDiT([])
    song = song_of(prompted(tokenizer, "en", "[Instrumental]").ids, 128)
    assert score_alignment(dit, song, torch.zeros(128, 64), tokenizer, level=0.5, **CPU) is None
    assert dit.asked == []
