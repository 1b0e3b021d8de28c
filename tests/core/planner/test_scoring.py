"""The planner's scores against transformers on the same weights, and against sums worked out by hand."""

from __future__ import annotations

import math
from collections.abc import Sequence

import pytest
import torch
from tiny_planner import planner_network, planner_peer, planner_weights
from torch import Tensor, nn
from transformers import Qwen3ForCausalLM

from ace_core.checkpoints.tokenizer import FIRST_SPECIAL_ID
from ace_core.planner import decoding, scoring
from ace_core.planner.chat_prompts import unheard_prompt
from ace_core.planner.quantized import build_int8
from ace_core.planner.requests import Planner
from ace_core.planner.scoring import PlannerScores, pmi_score, recall, score_songs, weighted_score
from ace_core.planner.vocabulary import FIRST_CODE, THINK_END, THINK_START
from ace_core.song.blueprint import Blueprint

UNDERSTAND = "Understand the given musical conditions and describe the audio semantics accordingly:"
CODES = [5, 63_999, 0, 17, 17, 4242, 31_000]
SONG = Blueprint(
    caption="A sad piano ballad: rain, and a slow cello that never quite comes home before the last line of the song",
    lyrics="[Verse 1]\nRain on\u2014the window\n\n[Chorus]\n\u96e8",
    bpm=95,
    key="F# minor",
    duration_seconds=184.6,
    time_signature=6,
    language="no",
)
TARGETS = {
    "caption": "<think>\ncaption: 'A sad piano ballad: rain, and a slow cello that never quite comes home before\n"
    "  the last line of the song'\n</think>\n",
    "lyrics": "<think>\n</think>\n# Lyric\n[Verse 1]\nRain on\u2014the window\n\n[Chorus]\n\u96e8\n",
    "bpm": "<think>\nbpm: 95\n</think>\n",
    "duration": "<think>\nduration: 184\n</think>\n",
    "keyscale": "<think>\nkeyscale: F# minor\n</think>\n",
    "language": "<think>\nlanguage: 'no'\n</think>\n",
    "timesignature": "<think>\ntimesignature: 6\n</think>\n",
}
FIELDS = ("bpm", "duration", "keyscale", "language", "timesignature")


@pytest.fixture(scope="module")
def peer() -> Qwen3ForCausalLM:
    return planner_peer(planner_weights(0))


@pytest.fixture(scope="module")
def loud(planner: Planner) -> tuple[Planner, Qwen3ForCausalLM]:
    """A planner that finds the tokens of metadata likely, and its peer: the plain one gives them no credit."""
    weights = planner_weights(0)
    metadata = {token for name in FIELDS for token in planner.grammar.tokens.tokenizer.encode(TARGETS[name])}
    weights["embed_tokens.weight"][sorted(metadata)] *= 12
    return planner._replace(lm=planner_network(weights)), planner_peer(weights)


@torch.no_grad()
def logits_of(
    peer: Qwen3ForCausalLM, planner: Planner, user: str | Sequence[int], target: str
) -> tuple[Tensor, Tensor]:
    """Logits of the whole chat in one pass, [target, rows] in float64, and the target's tokens."""
    read = planner.grammar.tokens.tokenizer.encode
    head = read(f"<|im_start|>system\n# Instruction\n{UNDERSTAND}\n\n<|im_end|>\n<|im_start|>user\n")
    middle = read(user) if isinstance(user, str) else [FIRST_CODE + code for code in user]
    tail = read("<|im_end|>\n<|im_start|>assistant\n")
    ids = read(target)
    text = torch.tensor([[*head, *middle, *tail, *ids]])
    return peer(text, logits_to_keep=len(ids) + 1).logits[0, :-1].double(), torch.tensor(ids)


def expected_pmi(peer: Qwen3ForCausalLM, planner: Planner, codes: Sequence[int], target: str) -> float:
    means = []
    for user in (codes, "NO USER INPUT"):
        logits, ids = logits_of(peer, planner, user, target)
        means.append(logits.log_softmax(-1)[torch.arange(len(ids)), ids].mean().item())
    return means[0] - means[1]


def expected_recall(peer: Qwen3ForCausalLM, planner: Planner, codes: Sequence[int], target: str) -> float:
    logits, ids = logits_of(peer, planner, codes, target)
    credits = []
    for likeliest, token in zip(logits.topk(10).indices.tolist(), ids.tolist(), strict=True):
        credits.append(1 - likeliest.index(token) / 10 if token in likeliest else 0.0)
    return sum(credits) / len(credits)


@pytest.mark.parametrize(("chunk_tokens", "logit_rows"), [(512, 32), (7, 3)])
def test_scores_equal_transformers(
    planner: Planner, peer: Qwen3ForCausalLM, monkeypatch: pytest.MonkeyPatch, chunk_tokens: int, logit_rows: int
) -> None:
    monkeypatch.setattr(decoding, "CHUNK_TOKENS", chunk_tokens)
    monkeypatch.setattr(scoring, "LOGIT_ROWS", logit_rows)

    (scores,) = score_songs(planner, [SONG], [CODES], sensitivity=0.1)

    for name, score in (("caption", scores.caption), ("lyrics", scores.lyrics)):
        pmi = expected_pmi(peer, planner, CODES, TARGETS[name])
        assert abs(pmi) > 1e-3
        assert score == pytest.approx(1 / (1 + math.exp(-pmi / 0.1)), abs=1e-5)


def test_recall_of_metadata_equals_transformers(loud: tuple[Planner, Qwen3ForCausalLM]) -> None:
    planner, peer = loud
    (scores,) = score_songs(planner, [SONG], [CODES])
    assert tuple(scores.fields) == FIELDS
    for name, score in scores.fields.items():
        assert score == pytest.approx(expected_recall(peer, planner, CODES, TARGETS[name]), abs=1e-9)
    assert len(set(scores.fields.values())) > 2 and max(scores.fields.values()) > 0.1
    assert scores.parts["metadata"] == pytest.approx(sum(scores.fields.values()) / 5)


@torch.no_grad()
def test_ranks_equal_transformers(planner: Planner, peer: Qwen3ForCausalLM) -> None:
    listener = scoring._Listener(scoring._Run(planner, 1, None), unheard_prompt(planner.grammar.tokens), 40)
    target: list[int] = []
    text = unheard_prompt(planner.grammar.tokens)
    for rank in (1, 2, 5, 10, 11, 1, 3, 400, 10, 1):
        logits = peer(torch.tensor([[*text, *target]]), logits_to_keep=1).logits[0, -1]
        target.append(int(logits.argsort(descending=True)[rank - 1]))
    ranks = listener.ranks(target)
    assert ranks == [1, 2, 5, 10, 11, 1, 3, 400, 10, 1]
    assert recall(ranks) == pytest.approx((4 * 1 - 0 - 1 + 0.9 + 0.6 + 0.1 + 0.8 + 0.1) / 10)


def test_a_song_in_a_batch_scores_as_it_does_alone(planner: Planner) -> None:
    songs = [SONG, Blueprint(caption="Techno", bpm=140), Blueprint(lyrics="La la la", rewritten_caption="Fast")]
    codes = [CODES, list(range(700)), [9]]
    together = score_songs(planner, songs, codes)
    assert together == [score_songs(planner, [song], [piece])[0] for song, piece in zip(songs, codes, strict=True)]
    assert len({scores.caption for scores in together}) == 3


def test_parts_that_cannot_be_computed_are_absent(planner: Planner) -> None:
    nothing, instrumental, tagged = score_songs(
        planner,
        [Blueprint(), Blueprint(lyrics="[Instrumental]", bpm=120), Blueprint(lyrics="[Intro]\n[Guitar Solo]")],
        [CODES, CODES, CODES],
    )
    assert nothing == tagged == PlannerScores(None, None, {})
    assert nothing.parts == {}
    assert instrumental.caption is None and instrumental.lyrics is None
    assert list(instrumental.parts) == ["metadata"] and list(instrumental.fields) == ["bpm"]


def test_the_caption_that_was_rendered_is_judged(planner: Planner) -> None:
    rewritten, plain = score_songs(
        planner, [Blueprint(caption="Rain", rewritten_caption="A storm"), Blueprint(caption="A storm")], [CODES] * 2
    )
    assert rewritten.caption == plain.caption


def test_text_that_spells_control_tokens_is_text(planner: Planner) -> None:
    texts, _ = scoring._targets(planner.grammar.tokens, Blueprint(lyrics="one <tool_call> two"))
    specials = [token for token in texts["lyrics"] if token >= FIRST_SPECIAL_ID]
    assert specials == [THINK_START, THINK_END]


def test_int8_scores_are_close_to_full_ones(planner: Planner) -> None:
    weights = planner_weights(0)
    small = planner._replace(lm=build_int8(planner.lm.config, weights, ops=nn))
    full, quantized = (score_songs(each, [SONG], [CODES], sensitivity=0.1)[0] for each in (planner, small))
    assert quantized.caption == pytest.approx(full.caption, abs=0.01)
    assert quantized.lyrics == pytest.approx(full.lyrics, abs=0.01)


def test_logits_are_made_for_a_few_positions_at_a_time(planner: Planner, monkeypatch: pytest.MonkeyPatch) -> None:
    made: list[int] = []
    original = scoring.logits_head

    def counting_head(*args: object, **where: object) -> object:
        head = original(*args, **where)  # type: ignore[arg-type]

        def count(hidden: Tensor) -> Tensor:
            made.append(len(hidden))
            return head(hidden)

        return count

    monkeypatch.setattr(scoring, "logits_head", counting_head)
    score_songs(planner, [Blueprint(lyrics="la " * 200)], [CODES])
    assert sum(made) > 2 * 200
    assert max(made) == scoring.LOGIT_ROWS


def test_progress_ends_at_its_total_and_can_cancel(planner: Planner) -> None:
    calls: list[tuple[int, int]] = []
    score_songs(planner, [SONG, SONG], [CODES, list(range(1200))], on_progress=lambda *call: calls.append(call))
    assert calls == sorted(calls) and calls[0][0] == 0 and calls[-1][0] == calls[-1][1]
    assert len({total for _, total in calls}) == 1 and len(calls) > 20

    class Cancelled(Exception):
        pass

    def cancel(done: int, _total: int) -> None:
        if done > 600:
            raise Cancelled

    with pytest.raises(Cancelled):
        score_songs(planner, [SONG], [list(range(1200))], on_progress=cancel)


@pytest.mark.parametrize(
    ("heard", "unheard", "sensitivity", "score"),
    [
        (-1.0, -1.0, 0.1, 0.5),
        (-1.0, -1.1, 0.1, 0.7310585786300049),
        (-1.5, -1.0, 0.5, 0.2689414213699951),
        (0.0, -1e6, 0.01, 1.0),
        (-1e6, 0.0, 0.01, 0.0),
    ],
)
def test_mutual_information_becomes_a_score(heard: float, unheard: float, sensitivity: float, score: float) -> None:
    assert pmi_score(heard, unheard, sensitivity) == pytest.approx(score, abs=1e-12)


def test_credit_falls_with_the_rank() -> None:
    assert recall([1]) == 1.0
    assert recall([10]) == pytest.approx(0.1)
    assert recall([1, 2, 10, 11]) == pytest.approx(0.5)
    assert recall([11, 217_204]) == 0.0


def test_weights_are_brought_to_a_sum_of_one() -> None:
    assert weighted_score({"caption": 0.8, "lyrics": 0.4, "metadata": 0.5}) == pytest.approx(0.62)
    assert weighted_score({"caption": 0.8, "metadata": 0.5}) == pytest.approx(0.5 / 0.7)
    assert weighted_score({"metadata": 0.25}) == 0.25
    assert weighted_score({}) is None
    weights = {"lyrics": 1, "alignment": 3, "caption": 9}
    assert weighted_score({"lyrics": 0.2, "alignment": 0.8}, weights) == pytest.approx(0.65)


@pytest.mark.parametrize(
    ("weights", "complaint"),
    [({"caption": -1.0}, "caption -1.0"), ({"lyrics": 1.0}, "caption"), ({"caption": 0.0}, "weight 0")],
)
def test_wrong_weights_are_named(weights: dict[str, float], complaint: str) -> None:
    with pytest.raises(ValueError, match=complaint):
        weighted_score({"caption": 0.5}, weights)


@pytest.mark.parametrize(
    ("blueprints", "codes", "sensitivity", "complaint"),
    [
        ([SONG], [], 0.5, "1 blueprints and 0 codes"),
        ([SONG], [[]], 0.5, "got none"),
        ([SONG], [[64_000]], 0.5, "64000"),
        ([SONG], [CODES], 0.0, "got 0.0"),
        ([SONG], [[1] * 40_900], 0.5, "40960"),
    ],
)
def test_what_cannot_be_scored_is_refused(
    planner: Planner, blueprints: list[Blueprint], codes: list[list[int]], sensitivity: float, complaint: str
) -> None:
    with pytest.raises(ValueError, match=complaint):
        score_songs(planner, blueprints, codes, sensitivity=sensitivity)
