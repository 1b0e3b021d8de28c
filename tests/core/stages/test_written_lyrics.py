"""Lyrics that a planner wrote fit the renderer's prompt, whatever their tokens become when they are split anew."""

from __future__ import annotations

import pytest
from tiny_checkpoints import tiny_tokenizer

from ace_core.checkpoints.tokenizer import TextTokenizer
from ace_core.loaded import AcePlanner
from ace_core.planner.grammar import build_grammar
from ace_core.planner.requests import PlannedSongs
from ace_core.render.prompts import LYRIC_TOKEN_LIMIT, lyric_prompt
from ace_core.song.blueprint import Blueprint
from ace_core.stages.plan import with_fitting_lyrics


@pytest.fixture(scope="module")
def planner() -> AcePlanner:
    grammar = build_grammar(TextTokenizer(tiny_tokenizer()))
    return AcePlanner("small", None, grammar)  # type: ignore[arg-type]


def written(lyrics: str, *, by_planner: bool = True) -> Blueprint:
    return Blueprint(lyrics=lyrics, language="en", planned=frozenset({"lyrics"} if by_planner else ()))


def tokens(planner: AcePlanner, song: Blueprint) -> int:
    return len(planner.grammar.tokens.tokenizer.encode_prompt(lyric_prompt(song)))


@pytest.mark.parametrize(
    "lyrics",
    [
        "\n".join(f"[Verse {number}]\nqxz wvk {number}" for number in range(900)),
        "qxzw " * 2000,
        "\u96e8" * 3000,
    ],
    ids=["lines", "one line", "one word"],
)
def test_too_long_lyrics_lose_their_end(planner: AcePlanner, lyrics: str) -> None:
    song = written(lyrics)
    assert tokens(planner, song) > LYRIC_TOKEN_LIMIT
    (cut,), notes = with_fitting_lyrics(planner, PlannedSongs((song,), ("a note",)))
    assert cut.lyrics is not None and lyrics.startswith(cut.lyrics)
    assert LYRIC_TOKEN_LIMIT - 40 < tokens(planner, cut) <= LYRIC_TOKEN_LIMIT
    assert notes == ("a note", "the lyrics lost their end: the renderer reads 2048 tokens")
    assert cut.origin("lyrics") == "planner"


def test_lines_stay_whole(planner: AcePlanner) -> None:
    lines = [f"qxz wvk {number}" for number in range(1500)]
    (cut,), _ = with_fitting_lyrics(planner, PlannedSongs((written("\n".join(lines)),), ()))
    assert cut.lyrics is not None and cut.lyrics.splitlines() == lines[: len(cut.lyrics.splitlines())]


def test_lyrics_that_fit_or_are_the_users_stay(planner: AcePlanner) -> None:
    songs = (written("[Verse]\nla la"), written("qxzw " * 2000, by_planner=False), Blueprint())
    assert with_fitting_lyrics(planner, PlannedSongs(songs, ())) == (songs, ())
