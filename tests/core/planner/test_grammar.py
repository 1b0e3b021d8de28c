"""The grammar: what it allows at each step, and that nothing it allows can end in a malformed plan."""

from __future__ import annotations

import random
from collections.abc import Callable, Sequence

import pytest
from torch import Tensor

from ace_core.planner import grammar as grammar_module
from ace_core.planner.grammar import Grammar, PlanConstraint, plan_constraint
from ace_core.planner.metadata import METADATA_FIELDS, song_values
from ace_core.planner.prefix_trees import Node
from ace_core.planner.requests import read_answer
from ace_core.planner.vocabulary import THINK_END, THINK_START, TURN_END
from ace_core.song.blueprint import Blueprint
from ace_core.song.fields import KEYS
from ace_core.song.languages import LANGUAGES

Choice = Callable[[Sequence[int]], int]


class Chooser:
    """A model without a network: one preference over the whole vocabulary, so that it can be as wrong as it likes."""

    def __init__(self, choose: Choice) -> None:
        self._choose = choose
        self._ids: dict[int, list[int]] = {}

    def write(self, constraint: PlanConstraint) -> list[int]:
        ids: list[int] = []
        while not constraint.finished:
            token = self._choose(self._legal(constraint.allowed()))
            constraint.advance(token)
            ids.append(token)
        return ids

    def _legal(self, allowed: tuple[int, ...] | Tensor) -> Sequence[int]:
        if not isinstance(allowed, Tensor):
            return allowed
        if id(allowed) not in self._ids:
            self._ids[id(allowed)] = allowed.nonzero().flatten().tolist()
        return self._ids[id(allowed)]


def write_text(grammar: Grammar, constraint: PlanConstraint, text: str) -> list[int]:
    """Lead the grammar along a text, which must be legal and complete."""
    ids = grammar.tokens.tokenizer.encode(text)
    for token in ids:
        assert not constraint.finished
        allowed = constraint.allowed()
        legal = bool(allowed[token]) if isinstance(allowed, Tensor) else token in allowed
        assert legal, f"{grammar.tokens.decode(ids)!r}: {grammar.tokens.decode([token])!r} is not allowed"
        constraint.advance(token)
    assert constraint.finished
    return ids


def values_of(tree: Node, so_far: tuple[int, ...] = ()) -> list[tuple[int, ...]]:
    if not tree.children:
        return [so_far]
    return [value for token, child in tree.children.items() for value in values_of(child, (*so_far, token))]


CAPTION = (
    "A gentle folk ballad led by fingerpicked acoustic guitar and a warm, breathy\n"
    "  female vocal. It grows.\n"
    "  \u4e2d\u6587 'n' \U0001f3b8 #1: 90s"
)
PLAN = f"<think>\nbpm: 95\ncaption: {CAPTION}\nduration: 184\nkeyscale: G major\nlanguage: en\ntimesignature: 4\n"


def test_a_published_plan_is_legal(grammar: Grammar) -> None:
    ids = write_text(grammar, plan_constraint(grammar, skipped=["genres"]), PLAN)
    answer = read_answer(grammar.tokens, ids)
    assert answer.metadata == {
        "bpm": "95",
        "caption": CAPTION.replace("\n  ", " "),
        "duration": "184",
        "keyscale": "G major",
        "language": "en",
        "timesignature": "4",
    }
    assert answer.lyrics == ""


def test_a_whole_answer_is_legal(grammar: Grammar) -> None:
    text = (
        "<think>\nbpm: 300\ncaption: 'Pop: bright'\nduration: 10\ngenres: Chinese folk\nkeyscale: F\u266f minor\n"
        "language: 'no'\ntimesignature: 6\n</think>\n\n# Lyric\n[Verse]\nLa \u96e8\n\n\n[Outro]\n<|im_end|>"
    )
    answer = read_answer(grammar.tokens, write_text(grammar, plan_constraint(grammar, with_lyrics=True), text))
    assert answer.lyrics == "[Verse]\nLa \u96e8\n\n\n[Outro]"
    assert answer.metadata["genres"] == "Chinese folk"
    assert song_values(answer.metadata) == {
        "bpm": "300",
        "caption": "Pop: bright",
        "duration_seconds": "10",
        "key": "F\u266f minor",
        "language": "no",
        "time_signature": "6",
    }
    assert answer.is_whole


@pytest.mark.parametrize(
    ("field", "count"), [("bpm", 271), ("duration", 591), ("keyscale", 70), ("language", 52), ("timesignature", 4)]
)
def test_the_trees_hold_the_legal_values(grammar: Grammar, field: str, count: int) -> None:
    values = [grammar.tokens.decode(ids) for ids in values_of(grammar.trees[field])]
    assert len(set(values)) == len(values) == count
    legal = {
        "bpm": range(30, 301),
        "duration": range(10, 601),
        "keyscale": KEYS,
        "language": [*LANGUAGES, "'no'"],
        "timesignature": (2, 3, 4, 6),
    }[field]
    assert set(values) == {f" {value}\n" for value in legal}
    for value, ids in zip(values, values_of(grammar.trees[field]), strict=True):
        assert list(ids) == grammar.tokens.tokenizer.encode(value)


def test_30_may_end_or_become_300(grammar: Grammar) -> None:
    constraint = plan_constraint(grammar)
    for token in grammar.tokens.encode("bpm: 30"):
        while token not in (allowed := constraint.allowed()):
            constraint.advance(allowed[0])
        constraint.advance(token)
    assert set(constraint.allowed()) == {grammar.tokens.newline, *grammar.tokens.encode("0")}


def test_the_language_alone_is_not_sampled(grammar: Grammar) -> None:
    constraint = plan_constraint(grammar, skipped=["caption", "genres"])
    greedy = []
    while not constraint.finished:
        allowed = constraint.allowed()
        if len(allowed) > 1 and constraint.greedy:
            greedy.append(allowed)
        constraint.advance(allowed[0])
    assert greedy and greedy[0] == grammar.trees["language"].allowed
    assert len(greedy) < 4  # the tokens of one language code, in a vocabulary that has it in pieces


FIXED: dict[str, str | int] = {
    "bpm": 77,
    "caption": "My own: long caption, quoted, and folded because it does not fit into eighty columns of text",
    "duration": 33,
    "genres": "jazz",
    "keyscale": "B\u266d minor",
    "language": "no",
    "timesignature": 3,
}


@pytest.mark.parametrize("field", METADATA_FIELDS)
def test_what_is_fixed_is_forced(grammar: Grammar, field: str) -> None:
    for seed in range(5):
        chooser = Chooser(random.Random(seed).choice)
        constraint = plan_constraint(grammar, fixed={field: FIXED[field]})
        metadata = read_answer(grammar.tokens, chooser.write(constraint)).metadata
        assert metadata[field] == str(FIXED[field])
        assert tuple(metadata) == METADATA_FIELDS


def test_a_plan_without_open_fields_has_no_choices(grammar: Grammar) -> None:
    constraint = plan_constraint(grammar, fixed=FIXED, with_lyrics=False)
    while not constraint.finished:
        (token,) = constraint.allowed()
        constraint.advance(token)


@pytest.mark.parametrize("skipped", [[], ["caption"], ["genres", "language"], ["caption", "genres", "language"]])
@pytest.mark.parametrize("with_lyrics", [False, True])
def test_fields_can_be_skipped(grammar: Grammar, skipped: list[str], with_lyrics: bool) -> None:
    constraint = plan_constraint(grammar, skipped=skipped, with_lyrics=with_lyrics)
    ids = Chooser(random.Random(0).choice).write(constraint)
    assert tuple(read_answer(grammar.tokens, ids).metadata) == tuple(
        name for name in METADATA_FIELDS if name not in skipped
    )
    assert ids[:2] == [THINK_START, grammar.tokens.newline]
    assert (THINK_END in ids) == with_lyrics


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"skipped": ["bpm"]}, "only caption, genres, language can be skipped, got bpm"),
        ({"max_duration_seconds": 9}, "must be 10 to 600 seconds, got 9"),
        ({"max_duration_seconds": 601}, "must be 10 to 600 seconds, got 601"),
    ],
)
def test_wrong_options_are_refused(grammar: Grammar, options: dict[str, object], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        plan_constraint(grammar, **options)  # type: ignore[arg-type]


def test_the_longest_duration_can_be_lowered(grammar: Grammar) -> None:
    rng = random.Random(0)
    constraints = (plan_constraint(grammar, skipped=["caption", "genres"], max_duration_seconds=24) for _ in range(200))
    answers = (read_answer(grammar.tokens, Chooser(rng.choice).write(constraint)) for constraint in constraints)
    assert {int(answer.metadata["duration"]) for answer in answers} == set(range(10, 25))


def start_caption(grammar: Grammar, text: str) -> PlanConstraint:
    constraint = plan_constraint(grammar, fixed={"bpm": 95}, skipped=["genres"])
    for token in grammar.tokens.tokenizer.encode(f"<think>\nbpm: 95\ncaption:{text}"):
        constraint.advance(token)
    return constraint


def test_after_a_newline_a_caption_goes_on_indented_or_ends(grammar: Grammar) -> None:
    constraint = start_caption(grammar, " Soft pop.\n")
    allowed = constraint.allowed()
    assert isinstance(allowed, Tensor)
    first, *rest = grammar.names["duration"]
    spelled = {grammar.tokens.spelled[token] for token in allowed.nonzero().flatten().tolist()}
    assert {spelling for spelling in spelled if not spelling.startswith(b" ")} == {grammar.tokens.spelled[first]}
    assert b" " in spelled and not any(b"\n" in spelling for spelling in spelled)
    constraint.advance(first)
    for token in rest:
        assert constraint.allowed() == (token,)
        constraint.advance(token)
    assert constraint.allowed() == grammar.trees["duration"].allowed


@pytest.mark.parametrize("text", ["", " ", " \u2014", " '", " Soft\n  "])
def test_a_line_needs_a_word_before_it_can_end(grammar: Grammar, text: str) -> None:
    allowed = start_caption(grammar, text).allowed()
    assert isinstance(allowed, Tensor)
    assert not allowed[grammar.tokens.newline]


def test_a_newline_cannot_cut_a_character(grammar: Grammar) -> None:
    constraint = start_caption(grammar, " Soft")
    constraint.advance(grammar.tokens.tokenizer.encode("\u4e2d")[0])
    allowed = constraint.allowed()
    assert isinstance(allowed, Tensor)
    assert not allowed[grammar.tokens.newline]
    assert not allowed[grammar.tokens.tokenizer.encode("a")[0]]


def test_states_with_the_same_rule_share_their_mask(grammar: Grammar) -> None:
    assert start_caption(grammar, " Soft").allowed() is start_caption(grammar, " Hard\n  rock").allowed()
    assert start_caption(grammar, " Soft\n").allowed() is start_caption(grammar, " Hard\n  rock\n").allowed()


def check_answer(grammar: Grammar, ids: list[int], fields: Sequence[str]) -> Blueprint:
    assert THINK_END not in ids[:2] and max(ids) <= THINK_END
    text = grammar.tokens.decode(ids)
    assert "\ufffd" not in text and "`" not in text and "\r" not in text
    answer = read_answer(grammar.tokens, ids)
    assert tuple(answer.metadata) == tuple(fields)
    values = song_values(answer.metadata)
    assert values.keys() >= {"bpm", "duration_seconds", "key", "time_signature"}
    return Blueprint(**values, lyrics=answer.lyrics)


def test_ten_thousand_random_plans_are_legal(grammar: Grammar, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(grammar_module, "CAPTION_TOKENS", 12)
    monkeypatch.setattr(grammar_module, "GENRES_TOKENS", 6)
    monkeypatch.setattr(grammar_module, "LYRICS_TOKENS", 12)
    rng = random.Random(0)
    chooser = Chooser(rng.choice)
    captions = 0
    for _ in range(10_000):
        skipped = [name for name in ("caption", "genres", "language") if rng.random() < 0.3]
        fixed = {name: FIXED[name] for name in METADATA_FIELDS if rng.random() < 0.1 and name not in skipped}
        constraint = plan_constraint(grammar, fixed=fixed, skipped=skipped, with_lyrics=rng.random() < 0.5)
        longest = constraint.max_tokens
        ids = chooser.write(constraint)
        assert len(ids) <= longest
        song = check_answer(grammar, ids, [name for name in METADATA_FIELDS if name not in skipped])
        captions += song.caption is not None
    assert captions > 6_000


def newlines_first(grammar: Grammar) -> Choice:
    return lambda legal: grammar.tokens.newline if grammar.tokens.newline in legal else legal[0]


def spaces_first(grammar: Grammar) -> Choice:
    (space,) = grammar.tokens.encode(" ")
    return lambda legal: space if space in legal else legal[-1]


def broken_characters(grammar: Grammar) -> Choice:
    first, *_ = grammar.tokens.encode("\U0001f3b8")
    return lambda legal: first if first in legal else legal[len(legal) // 2]


def longest_tokens(grammar: Grammar) -> Choice:
    return lambda legal: max(legal, key=lambda token: (len(grammar.tokens.spelled[token]), token))


def never_ends(_grammar: Grammar) -> Choice:
    return lambda legal: min((token for token in legal if token != TURN_END), default=TURN_END)


@pytest.mark.parametrize("policy", [newlines_first, spaces_first, broken_characters, longest_tokens, never_ends])
def test_a_stubborn_model_still_ends_with_a_legal_plan(grammar: Grammar, policy: Callable[[Grammar], Choice]) -> None:
    constraint = plan_constraint(grammar, with_lyrics=True)
    longest = constraint.max_tokens
    ids = Chooser(policy(grammar)).write(constraint)
    assert len(ids) <= longest
    check_answer(grammar, ids, METADATA_FIELDS)


def test_lyrics_stop_at_their_limit(grammar: Grammar) -> None:
    ids = Chooser(never_ends(grammar)).write(plan_constraint(grammar, fixed=FIXED, with_lyrics=True))
    assert len(ids) - ids.index(THINK_END) - 1 == grammar_module.LYRICS_TOKENS
    assert not read_answer(grammar.tokens, ids).is_whole


def test_an_illegal_token_is_an_error(grammar: Grammar) -> None:
    constraint = start_caption(grammar, " Soft")
    with pytest.raises(ValueError, match="not one of the allowed tokens"):
        constraint.advance(grammar.tokens.tokenizer.encode("\u4e2d")[-1])
