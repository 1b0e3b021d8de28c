"""The text phases under scripted grammars: against transformers step by step, in batches, with stops and cancel."""

from __future__ import annotations

from collections.abc import Sequence

import pytest
import torch
from tiny_planner import planner_network, planner_peer, planner_weights
from torch import Tensor
from transformers import Qwen3ForCausalLM, RepetitionPenaltyLogitsProcessor

from ace_core.models.qwen3 import Qwen3
from ace_core.planner.text_generation import generate_text
from ace_core.planner.token_choice import SamplingParameters
from ace_core.planner.vocabulary import TEXT_ROWS, TURN_END

GREEDY = SamplingParameters(temperature=0)
SAMPLED = SamplingParameters(temperature=0.9, top_p=0.95)
FREE = torch.ones(TEXT_ROWS, dtype=torch.bool)
FREE[100:120_000] = False
ODD = torch.arange(TEXT_ROWS) % 2 == 1
Rule = tuple[int, ...] | Tensor


class Script:
    """A grammar that allows what a list says, one entry a token; the end token ends it early."""

    def __init__(self, rules: Sequence[Rule], *, greedy: bool = False) -> None:
        self.rules = list(rules)
        self.greedy = greedy
        self.taken: list[int] = []

    @property
    def finished(self) -> bool:
        return len(self.taken) == len(self.rules) or TURN_END in self.taken

    def allowed(self) -> Rule:
        return self.rules[len(self.taken)]

    def advance(self, token_id: int) -> None:
        allowed = self.allowed()
        assert allowed[token_id] if isinstance(allowed, Tensor) else token_id in allowed
        self.taken.append(token_id)


SCRIPTS: tuple[tuple[Rule, ...], ...] = (
    ((7, 8, 9), *[(token,) for token in range(50, 60)], FREE, FREE, (15, 16), FREE, (198,), ODD, (1, 2, 3)),
    ((11,), (12,), (13,)),
    (*[(token,) for token in range(600)], FREE, (4, 5), FREE),
    (FREE, ODD, FREE),
    ((300,), FREE, FREE, FREE, (5, 6, 7, 8), (9,), ODD, ODD, (3, 4), (20,), (21,), FREE, FREE),
)


@pytest.fixture(scope="module")
def weights() -> dict[str, Tensor]:
    return planner_weights(3)


@pytest.fixture(scope="module")
def lm(weights: dict[str, Tensor]) -> Qwen3:
    return planner_network(weights)


@pytest.fixture(scope="module")
def peer(weights: dict[str, Tensor]) -> Qwen3ForCausalLM:
    return planner_peer(weights)


def prompt(length: int, seed: int = 0) -> list[int]:
    ids: list[int] = torch.randint(TEXT_ROWS, (length,), generator=torch.Generator().manual_seed(seed)).tolist()
    return ids


@torch.no_grad()
def reference(peer: Qwen3ForCausalLM, prompt: Sequence[int], rules: Sequence[Rule], penalty: float = 1.0) -> list[int]:
    """The most probable legal token, with everything read from the start for each of them."""
    new: list[int] = []
    for rule in rules:
        logits = peer(torch.tensor([[*prompt, *new]]), logits_to_keep=1).logits[0, -1]
        logits = RepetitionPenaltyLogitsProcessor(penalty)(torch.tensor([new], dtype=torch.int64), logits[None])[0]
        legal = rule.nonzero()[:, 0] if isinstance(rule, Tensor) else torch.tensor(rule)
        new.append(int(legal[logits[legal].argmax()]))
    return new


@pytest.mark.parametrize("length", [1, 60, 700])
def test_greedy_text_equals_transformers(lm: Qwen3, peer: Qwen3ForCausalLM, length: int) -> None:
    for rules in (SCRIPTS[0], SCRIPTS[4]):
        expected = reference(peer, prompt(length), rules)
        assert generate_text(lm, [prompt(length)], [Script(rules)], GREEDY, [0], 1000) == [expected]


def test_the_repetition_penalty_counts_generated_tokens(lm: Qwen3, peer: Qwen3ForCausalLM) -> None:
    rules = [*[(5, 6, 7)] * 4, FREE, ODD, FREE, *[(5, 6, 7)] * 3]
    text = [5, 6, *prompt(20)]
    expected = reference(peer, text, rules, penalty=2.5)
    parameters = SamplingParameters(temperature=0, repetition_penalty=2.5)
    assert generate_text(lm, [text], [Script(rules)], parameters, [0], 20) == [expected]
    assert expected != reference(peer, text, rules)


def test_a_greedy_grammar_takes_the_most_probable_token(lm: Qwen3, peer: Qwen3ForCausalLM) -> None:
    rules: list[Rule] = [(5, 6, 7, 8), (100, 200, 300), (7, 9), (5, 6, 7, 8)]
    expected = reference(peer, prompt(20), rules)
    hot = SamplingParameters(temperature=2, top_p=1, repetition_penalty=9)
    for seed in range(5):
        assert generate_text(lm, [prompt(20)], [Script(rules, greedy=True)], hot, [seed], 9) == [expected]
    assert any(generate_text(lm, [prompt(20)], [Script(rules)], hot, [seed], 9) != [expected] for seed in range(5))


@pytest.mark.parametrize("parameters", [GREEDY, SAMPLED, SamplingParameters(repetition_penalty=1.5)])
def test_a_batch_is_its_sequences_alone(lm: Qwen3, parameters: SamplingParameters) -> None:
    prompts = [prompt(30), prompt(3, seed=1), prompt(30), prompt(80, seed=2), prompt(30)]
    scripts = [Script(rules) for rules in SCRIPTS]

    together = generate_text(lm, prompts, scripts, parameters, range(5), 1000)

    assert together == [script.taken for script in scripts]
    assert [len(tokens) for tokens in together] == [len(rules) for rules in SCRIPTS]
    for index, rules in enumerate(SCRIPTS):
        alone = generate_text(lm, [prompts[index]], [Script(rules)], parameters, [index], 700)
        assert alone == [together[index]]


def test_seeds_matter_and_repeat(lm: Qwen3) -> None:
    rules = [FREE] * 6
    first, second, third = generate_text(
        lm, [prompt(9)] * 3, [Script(rules) for _ in range(3)], SAMPLED, [5, 6, 5], 100
    )
    assert first == third != second


def test_tokens_end_with_the_grammar_or_the_limit(lm: Qwen3) -> None:
    rules = [FREE, (TURN_END,), FREE, FREE]
    ended, cut, cut_while_forced = generate_text(
        lm, [prompt(5)] * 3, [Script(rules), Script([FREE] * 9), Script([FREE, *[(7,)] * 9])], SAMPLED, [1, 2, 3], 4
    )
    assert ended[1:] == [TURN_END]
    assert len(cut) == 4
    assert cut_while_forced[1:] == [7, 7, 7]


def test_forced_tokens_run_no_network_of_their_own(lm: Qwen3) -> None:
    fed: list[torch.Size] = []
    hook = lm.embed_tokens.register_forward_hook(lambda _module, inputs, _output: fed.append(inputs[0].shape))
    try:
        forced = [(token,) for token in range(40)]
        tokens = generate_text(lm, [prompt(9)], [Script([*forced, FREE, *forced])], GREEDY, [0], 100)
    finally:
        hook.remove()
    assert len(tokens[0]) == 81
    assert fed == [(1, 9), (1, 40)]  # the prompt; the forced tokens before the only choice, in one chunk


class Cancelled(Exception):
    pass


def test_cancel_flies_through_and_progress_grows(lm: Qwen3) -> None:
    seen: list[tuple[int, int]] = []
    generate_text(lm, [prompt(3)], [Script([FREE] * 5)], GREEDY, [0], 30, on_progress=lambda *pair: seen.append(pair))
    assert seen == [*((done, 30) for done in range(5)), (30, 30)]

    def cancel(done: int, _total: int) -> None:
        if done == 3:
            raise Cancelled

    script = Script([FREE] * 5)
    with pytest.raises(Cancelled):
        generate_text(lm, [prompt(3)], [script], GREEDY, [0], 30, on_progress=cancel)
    assert len(script.taken) == 3


@pytest.mark.parametrize(
    ("prompts", "seeds", "max_new_tokens", "message"),
    [
        ([], [], 5, "one constraint and one seed for each prompt, got 0"),
        ([[1], [2]], [0, 1], 5, "got 2 prompts, 1 constraints and 2 seeds"),
        ([[1]], [0, 1], 5, "got 1 prompts, 1 constraints and 2 seeds"),
        ([[]], [0], 5, "prompt is empty"),
        ([[1]], [0], 0, "max_new_tokens must be at least 1, got 0"),
        ([[1]], [0], 50_000, "50001, but the planner has only 40960 positions"),
    ],
)
def test_wrong_arguments_are_refused(
    lm: Qwen3, prompts: list[list[int]], seeds: list[int], max_new_tokens: int, message: str
) -> None:
    with pytest.raises(ValueError, match=message):
        generate_text(lm, prompts, [Script([FREE])], GREEDY, seeds, max_new_tokens)
