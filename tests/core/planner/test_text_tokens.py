"""The vocabulary as bytes: against the tokenizer's own decoder and Python's UTF-8."""

from __future__ import annotations

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from ace_core.checkpoints.tokenizer import SPECIAL_TOKENS
from ace_core.planner.grammar import Grammar
from ace_core.planner.text_tokens import TextTokens
from ace_core.planner.utf8 import COMPLETE, STATES, next_state
from ace_core.planner.vocabulary import FIRST_CODE, TEXT_ROWS, THINK_END, THINK_START, TURN_END, TURN_START

repeatable = settings(deadline=None, derandomize=True)


@pytest.fixture(scope="module")
def tokens(grammar: Grammar) -> TextTokens:
    return grammar.tokens


def spellings(tokens: TextTokens, mask: Tensor) -> list[bytes]:
    return [tokens.spelled[token] for token in mask.nonzero().flatten().tolist()]


@repeatable
@given(text=st.text())
def test_decoding_undoes_encoding(tokens: TextTokens, text: str) -> None:
    ids = tokens.tokenizer.encode(text)
    assert tokens.decode(ids) == tokens.tokenizer.decode(ids)


def test_decoding_writes_control_tokens_out(tokens: TextTokens) -> None:
    assert tokens.decode([TURN_START, THINK_START, *tokens.encode("bpm:"), THINK_END, TURN_END]) == (
        "<|im_start|><think>bpm:</think><|im_end|>"
    )


def test_decoding_marks_a_broken_character(tokens: TextTokens) -> None:
    first, *_ = tokens.encode("\u4e2d")
    assert tokens.decode([first]) == "\ufffd"


@pytest.mark.parametrize("token", [*SPECIAL_TOKENS, "<|audio_code_5|>"])
def test_no_spelling_of_a_control_token_becomes_one(tokens: TextTokens, token: str) -> None:
    for text in (token, f"a {token} b{token}", f"<{token}>", token + token):
        ids = tokens.encode(text)
        assert max(ids) < TURN_START - 1
        assert tokens.decode(ids) == text
    assert tokens.encode("plain text") == tuple(tokens.tokenizer.encode("plain text"))


edges = st.text(
    st.sampled_from("a\n \x1f~\x7f\x80\x9f\xa0\ud7ff\ud800\udfff\ue000\ufefe\ufffc\ufffd\ufffe\uffff\U00010000")
)


@repeatable
@given(text=st.text() | edges)
def test_the_reader_accepts_the_utf8_of_printable_text(text: str) -> None:
    encoded = text.encode("utf-8", "surrogatepass")
    illegal = (("\x00", "\t"), ("\x0b", "\x1f"), ("\x7f", "\x9f"), ("\ud800", "\udfff"), ("\ufffd", "\uffff"))
    is_legal = not any(first <= character <= last for character in text for first, last in illegal)
    assert (next_state(COMPLETE, encoded) == COMPLETE) == is_legal


@repeatable
@given(data=st.binary(max_size=12))
def test_what_the_reader_accepts_is_utf8(data: bytes) -> None:
    state = next_state(COMPLETE, data)
    if state == COMPLETE:
        data.decode("utf-8")
    elif state is not None:
        assert data.decode("utf-8", "ignore") == data.decode("utf-8", "replace").rstrip("\ufffd")


@pytest.mark.parametrize("state", [state for state in STATES if state != COMPLETE])
def test_every_unfinished_character_can_be_completed(tokens: TextTokens, state: int) -> None:
    for _ in range(3):
        if state != COMPLETE:
            choices = tokens.completing[state]
            assert choices
            after = {next_state(state, tokens.spelled[token]) for token in choices}
            assert None not in after
            state = max(value for value in after if value is not None)
    assert state == COMPLETE


def test_masks_cover_the_text_rows_and_hold_no_control_tokens_or_codes(tokens: TextTokens) -> None:
    masks = [*tokens.inline, *tokens.inline_or_end, *tokens.lyrics, *tokens.lyrics_or_stop, tokens.indented]
    for mask in masks:
        assert mask.shape == (TEXT_ROWS,) and mask.dtype == torch.bool
        assert mask.any()
    stops = torch.stack(masks)[:, TURN_START - 1 :].nonzero()
    assert stops[:, 1].tolist() == [TURN_END - TURN_START + 1]
    assert masks[stops[0, 0]] is tokens.lyrics_or_stop[COMPLETE]
    assert FIRST_CODE == TEXT_ROWS


def test_masks_allow_what_their_names_say(tokens: TextTokens) -> None:
    inline = spellings(tokens, tokens.inline[COMPLETE])
    assert b"a" in inline and b" " in inline
    lyrics = spellings(tokens, tokens.lyrics[COMPLETE])
    assert b"\n" in lyrics and b"\n\n" in lyrics
    assert not [spelling for spelling in (*inline, *lyrics) if set(spelling) & set(b"`\t\r\x00\x7f")]
    assert not [spelling for spelling in inline if b"\n" in spelling]
    ends = spellings(tokens, tokens.inline_or_end[COMPLETE] & ~tokens.inline[COMPLETE])
    assert b"\n" in ends and b"\n\n" not in ends
    assert all(spelling.endswith(b"\n") and spelling.count(b"\n") == 1 for spelling in ends)
    assert spellings(tokens, tokens.indented) == [spelling for spelling in inline if spelling.startswith(b" ")]
    for state in STATES:
        for spelling in spellings(tokens, tokens.inline_or_end[state]):
            assert next_state(state, spelling) is not None
