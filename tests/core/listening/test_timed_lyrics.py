"""Tokens into words and lines, in scripts with and without spaces."""

from __future__ import annotations

import pytest
from planted_lyrics import Lyrics

from ace_core.listening.timed_lyrics import (
    TimedLine,
    TimedLyrics,
    TimedText,
    TimedToken,
    group_lines,
    timed_texts,
    without_tags,
)


def timed(*texts: str, tags: str = "") -> list[TimedToken]:
    """Tokens of a second each, one after the other; `tags` marks those in a tag with x."""
    marks = tags.ljust(len(texts))
    return [TimedToken(text, float(at), at + 1.0, marks[at] == "x") for at, text in enumerate(texts)]


def line(*texts: str) -> TimedLine:
    (only,) = group_lines(timed(*texts))
    return only


def words(*texts: str) -> list[str]:
    return [word.text for word in timed_texts(line(*texts), "word")]


def tokens(*texts: str) -> list[str]:
    return [token.text for token in timed_texts(line(*texts), "token")]


def test_a_line_ends_with_the_token_that_holds_a_newline() -> None:
    first, second = group_lines(timed("[x", "]\n", "la", " la", ",\n\n", " \n"))
    assert first[:3] == ("[x]", 0, 2)
    assert second[:3] == ("la la,", 2, 5)
    assert [token.text for token in second.tokens] == ["la", " la", ",\n\n"]


def test_nothing_but_blanks_is_no_line() -> None:
    assert group_lines(timed("\n", " \n", "")) == ()
    assert group_lines([]) == ()


def test_times_of_a_line_are_rounded_to_milliseconds() -> None:
    (only,) = group_lines([TimedToken("la", 1.23456, 2.00049)])
    assert only[:3] == ("la", 1.235, 2.0)


def test_tags_can_be_left_out() -> None:
    lyrics = TimedLyrics(group_lines(timed("[x", "]\n", "[y]", " la", " la\n", "la", " [z]", tags="xxx   x")), 10.0)
    assert [line.is_tag for line in lyrics.lines] == [True, False, False]
    kept = without_tags(lyrics)
    assert [line[:3] for line in kept.lines] == [("la la", 3, 5), ("la", 5, 6)]
    assert kept.duration_seconds == 10
    assert without_tags(kept) == kept


def test_words_end_at_spaces_and_last_from_first_to_last_token() -> None:
    assert timed_texts(line("Wal", "king", " ", "down", " the", " str", "eet", ",\n"), "word") == (
        TimedText("Walking ", 0, 2),
        TimedText("down ", 3, 4),
        TimedText("the ", 4, 5),
        TimedText("street,", 5, 8),
    )


def test_tokens_are_texts_of_their_own() -> None:
    assert tokens("Wal", "king", " ", "down", " the", "\n") == ["Wal", "king ", "down ", "the"]


@pytest.mark.parametrize(
    ("texts", "expected"),
    [
        (("\u4f60\u597d", "\uff0c", "\u4e16", "\u754c"), ["\u4f60\u597d\uff0c", "\u4e16", "\u754c"]),  # Chinese
        (("la", "\u4f60", "la", "ti"), ["la", "\u4f60", "lati"]),
        (("\u0e04", "\u0e34", "\u0e14"), ["\u0e04\u0e34", "\u0e14"]),  # a Thai vowel sign stays with its letter
        (("\uc0ac", "\ub791", " \ud574"), ["\uc0ac\ub791 ", "\ud574"]),  # Korean has spaces
        (("cafe", "\u0301", " x"), ["cafe\u0301 ", "x"]),
        (("\u0928", "\u092e\u0938", "\u094d\u0924"), ["\u0928\u092e\u0938\u094d\u0924"]),  # Hindi has spaces
    ],
)
def test_scripts_without_spaces_have_a_word_a_token(texts: tuple[str, ...], expected: list[str]) -> None:
    assert words(*texts) == expected


@pytest.mark.parametrize(
    "texts",
    [
        ("e", "\u0301"),
        ("\U0001f44b", "\U0001f3fd"),
        ("\u2764", "\ufe0f"),
        ("\U0001f468", "\u200d", "\U0001f469"),
        ("\U0001f1f9", "\U0001f1ed"),
        ("\u0e19", "\u0e49"),
    ],
)
def test_no_character_of_a_reader_is_cut(texts: tuple[str, ...]) -> None:
    assert tokens("a", *texts, "b") == ["a", "".join(texts), "b"]


def test_a_token_that_completes_nothing_is_passed_over() -> None:
    assert timed_texts(line("", "", "\u4f60", "", "\u597d"), "token") == (
        TimedText("\u4f60", 2, 3),
        TimedText("\u597d", 4, 5),
    )


def test_words_and_tokens_together_are_the_line(lyrics: Lyrics) -> None:
    for found in group_lines(timed(*lyrics.tokens.texts)):
        for granularity in ("word", "token"):
            texts = timed_texts(found, granularity)  # type: ignore[arg-type]
            assert "".join(text.text for text in texts) == found.text
            assert all(text.text.strip() for text in texts)
            times = [time for text in texts for time in text[1:]]
            assert times == sorted(times)
