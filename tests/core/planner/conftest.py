"""The grammar of the small test tokenizer, a scripted language model, and a small one of random weights."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence

import pytest
import torch
from tiny_checkpoints import tiny_tokenizer
from tiny_planner import planner_network, planner_weights
from torch import Tensor

from ace_core.checkpoints.tokenizer import TextTokenizer
from ace_core.planner import requests as asking
from ace_core.planner.constraint import Constraint
from ace_core.planner.grammar import Grammar, build_grammar
from ace_core.planner.requests import Planner
from ace_core.planner.token_choice import SamplingParameters


@pytest.fixture(scope="session")
def grammar() -> Grammar:
    return build_grammar(TextTokenizer(tiny_tokenizer()))


class Script:
    """Stands in for the language model: answers in turn, as the grammar lets it, and keeps what was asked."""

    def __init__(self, grammar: Grammar, *answers: str) -> None:
        self.planner = Planner(lm=None, grammar=grammar)  # type: ignore[arg-type]
        self.prompts: list[list[int]] = []
        self.seeds: list[int] = []
        self.groups: list[int] = []
        self.parameters: SamplingParameters | None = None
        self._answers = answers
        self._grammar = grammar

    def generate_text(
        self,
        _lm: object,
        prompts: Sequence[Sequence[int]],
        constraints: Sequence[Constraint],
        parameters: SamplingParameters,
        seeds: Sequence[int],
        max_new_tokens: int,
        *,
        on_progress: Callable[[int, int], None] | None = None,
        **_where: object,
    ) -> list[list[int]]:
        outputs = []
        for constraint in constraints:
            text = self._answers[(len(self.prompts) + len(outputs)) % len(self._answers)]
            outputs.append(self._answer(constraint, text))
            assert len(outputs[-1]) <= max_new_tokens
        self.prompts += [list(prompt) for prompt in prompts]
        self.seeds += seeds
        self.groups.append(len(prompts))
        self.parameters = parameters
        if on_progress:
            on_progress(0, max_new_tokens)
            on_progress(max_new_tokens, max_new_tokens)
        return outputs

    def _answer(self, constraint: Constraint, text: str) -> list[int]:
        ids = []
        for token in self._grammar.tokens.tokenizer.encode(text):
            allowed = constraint.allowed()
            legal = bool(allowed[token]) if isinstance(allowed, Tensor) else token in allowed
            assert legal, (
                f"not legal after {self._grammar.tokens.decode(ids)!r}: {self._grammar.tokens.decode([token])!r}"
            )
            constraint.advance(token)
            ids.append(token)
        assert constraint.finished, f"the grammar wants more after {text!r}"
        return ids


@pytest.fixture
def script(grammar: Grammar, monkeypatch: pytest.MonkeyPatch) -> Callable[..., Script]:
    def start(*answers: str) -> Script:
        started = Script(grammar, *answers)
        monkeypatch.setattr(asking, "generate_text", started.generate_text)
        return started

    return start


@pytest.fixture(scope="module")
def planner(grammar: Grammar) -> Iterator[Planner]:
    threads = torch.get_num_threads()
    torch.set_num_threads(1)  # the network is so small that sharing its work out takes longer than doing it
    yield Planner(planner_network(planner_weights(0)), grammar)
    torch.set_num_threads(threads)
