"""The planner's grammar and prompts on the real Qwen vocabulary that ComfyUI bundles: published token ids."""

from __future__ import annotations

import random
from pathlib import Path

import pytest
from torch import Tensor

from ace_core.checkpoints.tokenizer import load_tokenizer
from ace_core.planner.chat_prompts import codes_prompt, negative_codes_prompt, understand_prompt
from ace_core.planner.grammar import Grammar, build_grammar, plan_constraint
from ace_core.planner.metadata import song_values
from ace_core.planner.requests import read_answer
from ace_core.planner.vocabulary import THINK_END
from ace_core.song.blueprint import Blueprint


@pytest.fixture(scope="module")
def grammar(comfyui_path: Path) -> Grammar:
    return build_grammar(load_tokenizer(comfyui_path / "comfy" / "text_encoders" / "qwen25_tokenizer"))


@pytest.mark.parametrize(
    ("text", "ids"),
    [
        ("bpm:", [65, 5187, 25]),
        ("caption:", [23347, 25]),
        ("duration:", [17021, 25]),
        ("genres:", [63911, 25]),
        ("keyscale:", [10563, 2246, 25]),
        ("language:", [11528, 25]),
        ("timesignature:", [15136, 622, 1568, 25]),
        ("assistant\n", [77091, 198]),
        ("NO USER INPUT", [8996, 13872, 26149]),
        (" G major\n", [479, 3598, 198]),
        (" F# minor", [434, 2, 8922]),
        ("\u266d", [145761]),
        ("\u266f", [145346]),
        (" en", [662]),
        (" unknown", [9788]),
        (" yue", [379, 361]),
        (" 95\n", [220, 24, 20, 198]),
        ("\n\n", [271]),
        (".\n", [624]),
        ("`", [63]),
    ],
)
def test_published_token_ids(grammar: Grammar, text: str, ids: list[int]) -> None:
    assert list(grammar.tokens.encode(text)) == ids
    assert grammar.tokens.decode(ids) == text


def test_prompts_end_in_the_published_ids(grammar: Grammar) -> None:
    tokens = grammar.tokens
    assert negative_codes_prompt(tokens)[-4:] == [151667, 271, 151668, 271]
    metadata = "bpm: 95\ncaption: Soft.\ntimesignature: 4"
    thought = [151667, 198, 65, 5187, 25, 220, 24, 20, 198, 23347, 25, 24079, 624]
    thought += [15136, 622, 1568, 25, 220, 19, 198, 151668, 271]
    assert codes_prompt(tokens, "pop", "la", metadata)[-len(thought) :] == thought
    assert [token for token in understand_prompt(tokens, [0, 123, 63_999]) if token > 151_668] == [
        151669,
        151792,
        215668,
    ]


def test_a_value_continues_from_its_field_name(grammar: Grammar) -> None:
    constraint = plan_constraint(grammar, skipped=["caption", "genres"])
    for token in [151667, 198, 65, 5187, 25, 220, 24]:
        constraint.advance(token)
    assert set(constraint.allowed()) == set(range(15, 25))
    constraint.advance(20)
    assert constraint.allowed() == (198,)
    constraint.advance(198)
    assert constraint.allowed() == (17021,)


def test_captions_mask_backticks_control_tokens_and_codes(grammar: Grammar) -> None:
    constraint = plan_constraint(grammar, fixed={"bpm": 95})
    for token in grammar.tokens.tokenizer.encode("<think>\nbpm: 95\ncaption: Soft pop"):
        constraint.advance(token)
    allowed = constraint.allowed()
    assert isinstance(allowed, Tensor)
    assert not allowed[63] and not allowed[271] and not allowed[151_643:].any()
    assert allowed[198] and allowed[624] and allowed[11]
    assert int(allowed.sum()) > 147_000
    constraint.advance(624)
    after = constraint.allowed()
    assert isinstance(after, Tensor)
    assert after[220] and after[17021] and not after[198] and not after[11]


def test_random_plans_are_legal(grammar: Grammar) -> None:
    rng = random.Random(0)
    ids_of: dict[int, list[int]] = {}
    for _ in range(200):
        constraint = plan_constraint(grammar, with_lyrics=rng.random() < 0.02)
        ids: list[int] = []
        while not constraint.finished:
            allowed = constraint.allowed()
            if isinstance(allowed, Tensor):
                if id(allowed) not in ids_of:
                    ids_of[id(allowed)] = allowed.nonzero().flatten().tolist()
                allowed = ids_of[id(allowed)]  # type: ignore[assignment]
            ids.append(rng.choice(allowed))
            constraint.advance(ids[-1])
        text = grammar.tokens.decode(ids)
        assert "\ufffd" not in text and max(ids) <= THINK_END
        song = Blueprint(**song_values(read_answer(grammar.tokens, ids).metadata))
        assert song.bpm and song.caption and song.duration_seconds and song.key and song.language
