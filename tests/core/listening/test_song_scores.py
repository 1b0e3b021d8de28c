"""Scores: what counts, what is absent, who wins, and the chart of it."""

from __future__ import annotations

import json

import pytest
import torch

from ace_core.analysis.score_chart import LABEL_WIDTH, MARGIN, ROW_HEIGHT, VALUE_WIDTH, WIDTH, score_chart
from ace_core.listening.alignment_score import AlignmentScore
from ace_core.listening.song_scores import DEFAULT_WEIGHTS, SongScores, ranking, score_table, scores_json, song_scores
from ace_core.planner.scoring import PlannerScores

HEARD = PlannerScores(0.8, 0.5, {"bpm": 0.4, "keyscale": 0.2})
SUNG = AlignmentScore(0.9, 1.0, 0.6, 0.486)


def scored(total: float | None, **parts: float) -> SongScores:
    return SongScores(parts, {}, total)


def test_the_total_is_the_weighted_mean_of_the_parts() -> None:
    song = song_scores(HEARD, SUNG, None)
    assert song.parts == pytest.approx({"caption": 0.8, "lyrics": 0.5, "metadata": 0.3, "alignment": 0.486})
    assert song.total == pytest.approx((0.5 * 0.8 + 0.3 * 0.5 + 0.2 * 0.3 + 1.0 * 0.486) / 2)
    assert song.details == {
        "bpm": 0.4,
        "keyscale": 0.2,
        "coverage": 0.9,
        "monotonicity": 1.0,
        "confidence": 0.6,
    }


def test_what_is_absent_weighs_nothing() -> None:
    assert song_scores(None, SUNG, None).total == 0.486
    song = song_scores(PlannerScores(0.8, None, {}), None, None)
    assert song.parts == {"caption": 0.8} and song.total == pytest.approx(0.8)
    assert song_scores(None, None, None) == SongScores({}, {}, None)


def test_a_weight_of_zero_shows_a_part_only() -> None:
    song = song_scores(HEARD, SUNG, None, {**DEFAULT_WEIGHTS, "alignment": 0.0})
    assert song.parts["alignment"] == 0.486
    assert song.total == pytest.approx(0.5 * 0.8 + 0.3 * 0.5 + 0.2 * 0.3)


def test_the_plan_alone_is_shown_and_never_counts() -> None:
    with_plan = song_scores(None, SUNG, AlignmentScore(0.1, 0.1, 0.1, 0.25))
    assert with_plan.details["plan alignment"] == 0.25
    assert with_plan.total == 0.486 and "plan alignment" not in with_plan.parts


def test_parts_that_all_weigh_nothing_are_refused() -> None:
    with pytest.raises(ValueError, match=r"\(alignment\) all have weight 0"):
        song_scores(None, SUNG, None, {**DEFAULT_WEIGHTS, "alignment": 0.0})


def test_the_best_comes_first_and_equal_ones_keep_their_order() -> None:
    songs = [scored(0.2), scored(0.7), scored(None), scored(0.0), scored(0.7)]
    assert ranking(songs) == [1, 4, 0, 3, 2]


def test_any_part_can_decide() -> None:
    songs = [scored(0.9, lyrics=0.1), scored(0.1, lyrics=0.3), scored(0.5)]
    assert ranking(songs, "lyrics") == [1, 0, 2]
    with pytest.raises(ValueError, match="no song has a score 'alignment', only total, lyrics"):
        ranking(songs, "alignment")
    with pytest.raises(ValueError, match="only none at all"):
        ranking([scored(None)])


def test_the_table_has_a_dash_for_what_is_absent() -> None:
    songs = [scored(0.25, caption=0.25), scored(0.5, caption=0.75, alignment=0.125)]
    assert score_table(songs).splitlines() == [
        "song  total  caption  alignment",
        "1     0.250  0.250    -",
        "2     0.500  0.750    0.125",
    ]
    assert score_table(songs, [1, 0]).splitlines()[:2] == [
        "place  song  total  caption  alignment",
        "1      2     0.500  0.750    0.125",
    ]


def test_scores_as_json() -> None:
    document = json.loads(scores_json([scored(None), scored(0.5, caption=0.5)]))
    assert document["songs"] == [
        {"total": None, "parts": {}, "details": {}},
        {"total": 0.5, "parts": {"caption": 0.5}, "details": {}},
    ]


def test_bars_are_as_long_as_the_scores() -> None:
    chart = score_chart([0.25, 1.0, None, 0.5], [1, 3, 0, 2], kept=2)
    assert chart.shape == (2 * MARGIN + 4 * ROW_HEIGHT, WIDTH, 3) and 0 <= chart.min() and chart.max() <= 1
    left, right = MARGIN + LABEL_WIDTH, WIDTH - MARGIN - VALUE_WIDTH
    lanes = chart[MARGIN + ROW_HEIGHT // 2 :: ROW_HEIGHT, left : right + 1]
    empty = lanes[3, 0]  # the song without a score
    lengths = [(lane != empty).any(dim=-1).float().mean().item() for lane in lanes]
    assert lengths == pytest.approx([1.0, 0.5, 0.25, 0.0], abs=0.01)
    assert torch.equal(lanes[0, 0], lanes[1, 0]) and not torch.equal(lanes[1, 0], lanes[2, 0])
