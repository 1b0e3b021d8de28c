"""Songs from ideas, rewriting and understanding: what is asked, and what becomes of the answer."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from ace_core.planner import grammar as grammar_module
from ace_core.planner.chat_prompts import rewrite_prompt, understand_prompt, write_prompt
from ace_core.planner.requests import Planner
from ace_core.planner.token_choice import SamplingParameters
from ace_core.planner.understanding import describe_codes, understand
from ace_core.planner.writing import rewrite, write_plans
from ace_core.song.blueprint import Blueprint, fields_left_auto, with_planned_values

INSTRUMENTAL = "[Instrumental]"
FULL = (
    "<think>\nbpm: 95\ncaption: Soft pop\nduration: 184\ngenres: pop\n"
    "keyscale: G major\nlanguage: en\ntimesignature: 4\n"
)


def test_a_song_is_written_from_an_idea(script: Callable[..., Any]) -> None:
    model = script(FULL + "</think>\n\n# Lyric\n[Verse]\nRain\n<|im_end|>")
    ((song,), notes) = write_plans(model.planner, "a sad ballad", [5])
    assert song == with_planned_values(
        Blueprint(),
        caption="Soft pop",
        lyrics="[Verse]\nRain",
        bpm=95,
        duration_seconds=184,
        key="G major",
        language="en",
        time_signature=4,
    )
    assert notes == () and song.origin("caption") == "planner"
    assert model.prompts == [write_prompt(model.planner.grammar.tokens, "a sad ballad", instrumental=False)]
    assert model.parameters == SamplingParameters(temperature=0.85, top_p=1.0)


def test_a_song_is_written_around_what_is_decided(script: Callable[..., Any]) -> None:
    model = script(FULL.replace("95", "77") + "</think>la<|im_end|>")
    ((song,), _) = write_plans(model.planner, "", [5], decided=Blueprint(bpm=77, language="en", caption="mine"))
    assert (song.bpm, song.caption, song.rewritten_caption, song.lyrics) == (77, "mine", "Soft pop", "la")
    assert song.origin("bpm") == song.origin("language") == "user"
    model = script(FULL)
    ((song,), notes) = write_plans(model.planner, "", [5], decided=Blueprint(lyrics="my words"))
    assert song.lyrics == "my words" and notes == ()


@pytest.mark.parametrize(
    ("options", "lyrics"),
    [
        ({"instrumental": True}, INSTRUMENTAL),
        ({"instrumental": True, "decided": Blueprint(bpm=95)}, INSTRUMENTAL),
        ({"instrumental": True, "decided": Blueprint(lyrics="[Intro]\n[Solo]")}, "[Intro]\n[Solo]"),
        ({"decided": Blueprint(lyrics="[inst]")}, INSTRUMENTAL),
    ],
)
def test_an_instrumental_needs_no_lyrics(script: Callable[..., Any], options: dict[str, Any], lyrics: str) -> None:
    model = script(FULL.replace("language: en", "language: unknown"))
    ((song, other), notes) = write_plans(model.planner, "piano", [5, 6], **options)
    assert (song.lyrics, song.language, notes) == (lyrics, "unknown", ())
    assert fields_left_auto(song) == fields_left_auto(other) == ()
    assert model.prompts == [write_prompt(model.planner.grammar.tokens, "piano", instrumental=True)] * 2


def test_words_in_an_instrumental_are_refused(script: Callable[..., Any]) -> None:
    model = script("")
    with pytest.raises(ValueError, match="an instrumental has no words"):
        write_plans(model.planner, "", [5], instrumental=True, decided=Blueprint(lyrics="la"))


def test_missing_lyrics_are_noted(script: Callable[..., Any]) -> None:
    model = script(FULL + "</think><|im_end|>")
    ((song, _), notes) = write_plans(model.planner, "", [5, 6])
    assert song.lyrics is None
    assert len(notes) == 2 and notes[0].startswith("song 1: the planner wrote no lyrics")


def test_cut_lyrics_are_noted(script: Callable[..., Any], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(grammar_module, "LYRICS_TOKENS", 3)
    model = script(FULL + "</think>1234"[:-1])
    ((song,), notes) = write_plans(model.planner, "", [5])
    assert song.lyrics == "123"
    assert "the lyrics are cut" in notes[0]


def test_a_rewrite_keeps_the_caption_and_formats_the_lyrics(script: Callable[..., Any]) -> None:
    model = script(FULL.replace("95", "77") + "</think>\n\n# Lyric\n[Verse]\nla la\n<|im_end|>")
    song = with_planned_values(
        Blueprint(caption="pop", lyrics="la la", bpm=77), rewritten_caption="old", duration_seconds=184.5
    )
    ((rewritten,), notes) = rewrite(model.planner, [song], [5])
    assert (rewritten.caption, rewritten.rewritten_caption) == ("pop", "Soft pop")
    assert (rewritten.lyrics, rewritten.origin("lyrics")) == ("[Verse]\nla la", "planner")
    assert (rewritten.bpm, rewritten.origin("bpm"), rewritten.key) == (77, "user", "G major")
    assert (rewritten.duration_seconds, rewritten.origin("duration_seconds")) == (184.5, "planner")
    assert model.prompts == [rewrite_prompt(model.planner.grammar.tokens, "pop", "la la")] and notes == ()


def test_a_rewrite_can_leave_the_lyrics(script: Callable[..., Any]) -> None:
    model = script(FULL)
    song = Blueprint(caption="pop", lyrics="la la")
    ((rewritten,), _) = rewrite(model.planner, [song], [5], rewrite_lyrics=False)
    assert (rewritten.lyrics, rewritten.origin("lyrics")) == ("la la", "user")


@pytest.mark.parametrize("lyrics", [None, "[inst]", "[Intro]\n[Solo]"])
def test_a_rewritten_instrumental_stays_one(script: Callable[..., Any], lyrics: str | None) -> None:
    model = script(FULL.replace("language: en", "language: unknown"))
    ((rewritten,), _) = rewrite(model.planner, [Blueprint(lyrics=lyrics)], [5])
    assert (rewritten.lyrics, rewritten.language) == (Blueprint(lyrics=lyrics).lyrics or INSTRUMENTAL, "unknown")
    assert (rewritten.caption, rewritten.rewritten_caption) == ("Soft pop", None)


@pytest.mark.parametrize(("answer", "reason"), [("<|im_end|>", "were empty"), ("1234", "did not end within")])
def test_lyrics_survive_a_failed_rewrite(
    script: Callable[..., Any], monkeypatch: pytest.MonkeyPatch, answer: str, reason: str
) -> None:
    monkeypatch.setattr(grammar_module, "LYRICS_TOKENS", 4)
    model = script(FULL + "</think>" + answer)
    ((rewritten,), (note,)) = rewrite(model.planner, [Blueprint(caption="pop", lyrics="mine")], [5])
    assert rewritten.lyrics == "mine" and reason in note


@pytest.mark.parametrize(("count", "seconds"), [(600, 120), (607, 121), (5, 10), (3_000, 600), (3_100, 600)])
def test_audio_is_understood_with_its_duration(script: Callable[..., Any], count: int, seconds: int) -> None:
    model = script(FULL.replace("184", str(seconds)) + "</think>\n\nla\n<|im_end|>")
    ((song,), notes) = understand(model.planner, [[7] * count], [5])
    assert (song.duration_seconds, song.caption, song.lyrics, song.language) == (seconds, "Soft pop", "la", "en")
    assert notes == ("genres: pop",)
    assert model.prompts == [understand_prompt(model.planner.grammar.tokens, [7] * count)]
    assert model.parameters == SamplingParameters(temperature=0.3, top_p=1.0)


def test_audio_without_lyrics(script: Callable[..., Any]) -> None:
    model = script(FULL.replace("184", "10") + "</think><|im_end|>")
    ((song,), notes) = understand(model.planner, [[7]], [5])
    assert song.lyrics is None
    assert notes == ("the planner heard no lyrics", "genres: pop")


def test_audio_is_heard_with_its_genres_and_without_lyrics(script: Callable[..., Any]) -> None:
    model = script(FULL.replace("184", "10"))
    (heard,) = describe_codes(model.planner, [[7]], [5], with_lyrics=False)
    assert (heard.song.caption, heard.song.lyrics, heard.genres) == ("Soft pop", None, "pop")


def test_counts_that_do_not_agree_are_refused(script: Callable[..., Any]) -> None:
    model = script("")
    with pytest.raises(ValueError, match="got 2 blueprints for 3 songs"):
        rewrite(model.planner, [Blueprint()] * 2, [1, 2, 3])
    with pytest.raises(ValueError, match="3 seeds for 1"):
        understand(model.planner, [[5]], [1, 2, 3])
    with pytest.raises(ValueError, match="got none"):
        write_plans(model.planner, "", [])


def test_random_weights_write_legal_songs(planner: Planner, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(grammar_module, "CAPTION_TOKENS", 6)
    monkeypatch.setattr(grammar_module, "GENRES_TOKENS", 4)
    monkeypatch.setattr(grammar_module, "LYRICS_TOKENS", 6)
    hot = SamplingParameters(temperature=2, top_p=1)
    written, _ = write_plans(planner, "", [1, 2], hot)
    understood, _ = understand(planner, [[5] * 60, [6] * 50], [1, 2], hot)
    assert [song.duration_seconds for song in understood] == [12, 10]
    rewritten, _ = rewrite(planner, written, [3, 4], hot)
    for song in (*written, *understood, *rewritten):
        assert song.bpm and song.key and song.language and song.time_signature and song.duration_seconds
