"""The small tokenizer, and lyrics in each script."""

from __future__ import annotations

import pytest
from planted_lyrics import LYRICS, Lyrics, prompted
from tiny_checkpoints import tiny_tokenizer

from ace_core.checkpoints.tokenizer import TextTokenizer


@pytest.fixture(scope="session")
def tokenizer() -> TextTokenizer:
    return TextTokenizer(tiny_tokenizer())


@pytest.fixture(params=list(LYRICS))
def lyrics(request: pytest.FixtureRequest, tokenizer: TextTokenizer) -> Lyrics:
    """Each of `LYRICS` in turn."""
    language, text = LYRICS[request.param]
    return prompted(tokenizer, language, text)
