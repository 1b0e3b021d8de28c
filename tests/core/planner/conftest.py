"""The grammar of the small test tokenizer, made once."""

from __future__ import annotations

import pytest
from tiny_checkpoints import tiny_tokenizer

from ace_core.checkpoints.tokenizer import TextTokenizer
from ace_core.planner.grammar import Grammar, build_grammar


@pytest.fixture(scope="session")
def grammar() -> Grammar:
    return build_grammar(TextTokenizer(tiny_tokenizer()))
