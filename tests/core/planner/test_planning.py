"""Planning and codes: which prompt and grammar they ask with, and what they make of the answer."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from ace_core.planner import grammar as grammar_module
from ace_core.planner import planning as tasks
from ace_core.planner.chat_prompts import codes_prompt, negative_codes_prompt, plan_prompt
from ace_core.planner.grammar import Grammar
from ace_core.planner.planning import plan, plan_codes
from ace_core.planner.requests import PlannedSongs, Planner
from ace_core.planner.token_choice import SamplingParameters
from ace_core.render.prompts import lyric_prompt
from ace_core.song.blueprint import Blueprint, with_planned_values

INSTRUMENTAL = "[Instrumental]"
FULL = "<think>\nbpm: 95\ncaption: Soft pop\nduration: 184\nkeyscale: G major\nlanguage: en\ntimesignature: 4\n"
METAS = Blueprint(bpm=95, key="G major", time_signature=4, duration_seconds=184, language="en")


def without(text: str, *fields: str) -> str:
    lines = text.splitlines(keepends=True)
    return "".join(line for line in lines if not line.startswith(tuple(f"{field}:" for field in fields)))


def test_everything_open_is_planned(script: Callable[..., Any]) -> None:
    model = script(FULL)
    song = Blueprint(caption="pop", lyrics="[Verse]\nla")
    planned, notes = plan(model.planner, [song], [5])
    assert planned == (
        with_planned_values(
            song,
            bpm=95,
            rewritten_caption="Soft pop",
            duration_seconds=184,
            key="G major",
            language="en",
            time_signature=4,
        ),
    )
    assert planned[0].planned == {"bpm", "rewritten_caption", "duration_seconds", "key", "language", "time_signature"}
    assert model.prompts == [plan_prompt(model.planner.grammar.tokens, "pop", "[Verse]\nla")]
    assert model.seeds == [5] and notes == ()
    assert model.parameters == SamplingParameters(temperature=0.85, top_p=0.9, top_k=0, min_p=0, repetition_penalty=1)


def test_what_the_user_set_is_forced_and_kept(script: Callable[..., Any]) -> None:
    song = Blueprint(
        caption="pop", lyrics="la", bpm=77, duration_seconds=33.7, language="no", rewritten_caption="mine: all of it"
    )
    model = script(
        "<think>\nbpm: 77\ncaption: 'mine: all of it'\nduration: 33\n"
        "keyscale: C major\nlanguage: 'no'\ntimesignature: 3\n"
    )
    ((planned,), _) = plan(model.planner, [song], [0])
    assert planned == with_planned_values(song, key="C major", time_signature=3)
    assert planned.planned == {"key", "time_signature"}


def test_what_was_planned_before_is_kept(script: Callable[..., Any]) -> None:
    written = with_planned_values(
        Blueprint(), caption="Soft pop", lyrics="la", bpm=95, duration_seconds=12.5, language="en"
    )
    model = script(
        "<think>\nbpm: 95\ncaption: Soft pop\nduration: 12\nkeyscale: C major\nlanguage: en\ntimesignature: 3\n"
    )
    ((planned,), _) = plan(model.planner, [written], [0])
    assert planned == with_planned_values(written, key="C major", time_signature=3)
    assert model.prompts == [plan_prompt(model.planner.grammar.tokens, "Soft pop", "la")]


def test_an_open_caption_is_written_even_without_rewriting(script: Callable[..., Any]) -> None:
    model = script(FULL)
    ((planned,), _) = plan(model.planner, [Blueprint(lyrics="la")], [0], rewrite_caption=False)
    assert planned.caption == "Soft pop" and planned.rewritten_caption is None
    assert planned.origin("caption") == "planner"
    assert model.prompts == [plan_prompt(model.planner.grammar.tokens, "", "la")]


def test_captions_and_languages_can_be_left_alone(script: Callable[..., Any]) -> None:
    model = script(without(FULL, "caption", "language"))
    song = Blueprint(caption="pop", lyrics="la")
    ((planned,), _) = plan(model.planner, [song], [0], rewrite_caption=False, detect_language=False)
    assert planned == with_planned_values(song, bpm=95, duration_seconds=184, key="G major", time_signature=4)


@pytest.mark.parametrize(
    "values",
    [
        {"caption": "pop", "rewritten_caption": "mine"},
        {"caption": "pop", "rewrite_caption": False},
        {"caption": "pop", "rewrite_caption": False, "language": None, "detect_language": False},
    ],
)
def test_nothing_open_asks_nothing(script: Callable[..., Any], values: dict[str, Any]) -> None:
    options = {name: values.pop(name) for name in ("rewrite_caption", "detect_language") if name in values}
    song = Blueprint(
        **{name: getattr(METAS, name) for name in ("bpm", "key", "time_signature", "duration_seconds", "language")}
        | {"lyrics": "la"}
        | values
    )
    model = script("")
    assert plan(model.planner, [song], [0], **options) == PlannedSongs((song,), ())
    assert model.groups == []


def test_the_detected_language_reaches_the_lyric_header(script: Callable[..., Any]) -> None:
    model = script(FULL)
    song = Blueprint(caption="pop", lyrics="la")
    assert lyric_prompt(song).startswith("# Languages\nunknown\n")
    ((planned,), _) = plan(model.planner, [song], [0])
    assert lyric_prompt(planned).startswith("# Languages\nen\n\n# Lyric\nla")


def test_a_cut_caption_is_noted(script: Callable[..., Any], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(grammar_module, "CAPTION_TOKENS", 4)
    cut, whole = FULL.replace("Soft pop", "123"), FULL.replace("Soft pop", "12")
    model = script(whole, cut)
    songs, notes = plan(model.planner, [Blueprint(lyrics="la")], [0, 1])
    assert [song.caption for song in songs] == ["12", "123"]
    assert notes == ("song 2: the caption is cut: it reached 184 tokens, the most the renderer reads",)


def test_open_lyrics_are_planned_as_an_instrumental(script: Callable[..., Any]) -> None:
    model = script(FULL.replace("language: en", "language: unknown"))
    ((first, second), notes) = plan(
        model.planner, [Blueprint(caption="pop"), Blueprint(caption="pop", lyrics="[inst]")], [0, 1]
    )
    assert first.lyrics == second.lyrics == INSTRUMENTAL
    assert first.language == second.language == "unknown"
    assert first.origin("lyrics") == "planner" and second.origin("lyrics") == "user"
    assert notes == ("song 1: the lyrics are open, so this is planned as an instrumental",)
    assert model.prompts[0] == plan_prompt(model.planner.grammar.tokens, "pop", INSTRUMENTAL)


def test_a_plan_of_its_own_for_each_seed_or_one_for_all(script: Callable[..., Any]) -> None:
    slow, fast = FULL, FULL.replace("95", "180")
    song = Blueprint(caption="pop", lyrics="la")
    model = script(slow, fast)
    assert [planned.bpm for planned in plan(model.planner, [song], [7, 8, 9]).blueprints] == [95, 180, 95]
    assert model.seeds == [7, 8, 9]
    model = script(slow, fast)
    assert [planned.bpm for planned in plan(model.planner, [song], [7, 8, 9], share_plan=True).blueprints] == [95] * 3
    assert model.seeds == [7]
    model = script(slow, fast)
    songs = [song, Blueprint(caption="rock", lyrics="la"), song]
    assert [planned.bpm for planned in plan(model.planner, songs, [7, 8, 9], share_plan=True).blueprints] == [
        95,
        180,
        95,
    ]
    assert model.seeds == [7, 8]


def test_more_than_eight_songs_keep_their_own_plans(script: Callable[..., Any]) -> None:
    answers = [FULL.replace("95", str(100 + index)) for index in range(19)]
    model = script(*answers)
    reports: list[tuple[int, int]] = []
    result = plan(
        model.planner,
        [Blueprint(caption="pop", lyrics="la")],
        range(19),
        on_progress=lambda *report: reports.append(report),
    )
    assert [planned.bpm for planned in result.blueprints] == list(range(100, 119))
    assert model.groups == [8, 8, 3]
    assert [done for done, _ in reports] == sorted(done for done, _ in reports)
    assert reports[-1][0] == reports[-1][1] and len({total for _, total in reports}) == 1


@pytest.mark.parametrize("blueprints", [0, 2, 4])
def test_counts_that_do_not_agree_are_refused(script: Callable[..., Any], blueprints: int) -> None:
    model = script("")
    for task in (plan, plan_codes):
        with pytest.raises(ValueError, match=f"got {blueprints} blueprints for 3 songs"):
            task(model.planner, [METAS] * blueprints, [1, 2, 3])  # type: ignore[operator]


def test_text_beyond_the_positions_is_refused_with_the_counts(script: Callable[..., Any]) -> None:
    model = script("")
    song = Blueprint(caption="pop", lyrics="0 " * 25_000)
    with pytest.raises(ValueError, match="has 50.* tokens .* 40960 positions"):
        plan(model.planner, [song], [0])
    with pytest.raises(ValueError, match="has 50.* tokens .* 40960 positions"):
        plan_codes(model.planner, [song], [0])


class Codes:
    """Stands in for `generate_codes`: code i of a song is its seed."""

    def __init__(self, missing: int = 0) -> None:
        self.calls: list[dict[str, Any]] = []
        self._missing = missing

    def __call__(self, _lm: object, *arguments: Any, **options: Any) -> list[list[int]]:
        names = ("prompts", "negative_prompts", "counts", "parameters", "seeds")
        self.calls.append(dict(zip(names, arguments, strict=True)) | options)
        return [[seed] * (count - self._missing) for seed, count in zip(arguments[4], arguments[2], strict=True)]


@pytest.fixture
def codes(monkeypatch: pytest.MonkeyPatch) -> Codes:
    stand_in = Codes()
    monkeypatch.setattr(tasks, "generate_codes", stand_in)
    return stand_in


SONG = with_planned_values(
    Blueprint(caption="pop", lyrics="la", bpm=95, duration_seconds=10.9), rewritten_caption="Soft: pop", language="no"
)


def test_codes_are_asked_for_with_the_published_prompts(grammar: Grammar, codes: Codes) -> None:
    ((song,), notes) = plan_codes(Planner(None, grammar), [SONG], [3])  # type: ignore[arg-type]
    assert song == with_planned_values(SONG, audio_codes=(3,) * 54)
    assert song.origin("audio_codes") == "planner" and notes == ()
    (call,) = codes.calls
    metadata = "bpm: 95\ncaption: 'Soft: pop'\nduration: 10\nlanguage: 'no'"
    assert call["prompts"] == [codes_prompt(grammar.tokens, "pop", "la", metadata)]
    assert call["negative_prompts"] == [negative_codes_prompt(grammar.tokens)]
    assert (call["guidance_scale"], call["ending_codes"], call["counts"], call["seeds"]) == (2.0, 0, [54], [3])


def test_codes_options(grammar: Grammar, codes: Codes) -> None:
    planner = Planner(None, grammar)  # type: ignore[arg-type]
    plan_codes(planner, [SONG], [3], negative_prompt="noise", natural_ending=True, legacy_prompts=True)
    plan_codes(planner, [SONG], [3], guidance_scale=1)
    legacy, unguided = codes.calls
    assert legacy["prompts"][0][-2:] == [151_645, grammar.tokens.newline]
    assert legacy["negative_prompts"] == [negative_codes_prompt(grammar.tokens, "noise", legacy_song=("pop", "la"))]
    assert legacy["ending_codes"] == 20
    assert unguided["negative_prompts"] is None and unguided["guidance_scale"] == 1
    with pytest.raises(ValueError, match="a negative prompt needs guidance"):
        plan_codes(planner, [SONG], [3], guidance_scale=1, negative_prompt="noise")


def test_codes_of_the_user_are_kept(grammar: Grammar, codes: Codes) -> None:
    planner = Planner(None, grammar)  # type: ignore[arg-type]
    given = Blueprint(caption="pop", audio_codes=(1, 2, 3))
    planned = with_planned_values(SONG, audio_codes=(9,) * 5)
    songs, notes = plan_codes(planner, [given, planned], [3, 4])
    assert songs == (given, with_planned_values(SONG, audio_codes=(4,) * 54))
    assert notes == ("songs that have audio codes of yours keep them; clear the codes to have them written",)
    assert codes.calls[0]["seeds"] == [4]


def test_an_open_duration_is_120_seconds(grammar: Grammar, codes: Codes) -> None:
    ((song,), (note,)) = plan_codes(Planner(None, grammar), [Blueprint(caption="pop")], [3])  # type: ignore[arg-type]
    assert len(song.audio_codes or ()) == 600 and "120 s" in note
    assert codes.calls[0]["prompts"] == [codes_prompt(grammar.tokens, "pop", INSTRUMENTAL, "duration: 120")]


def test_a_song_that_ends_by_itself_is_noted(grammar: Grammar, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tasks, "generate_codes", Codes(missing=5))
    ((song,), (note,)) = plan_codes(Planner(None, grammar), [SONG], [3], natural_ending=True)  # type: ignore[arg-type]
    assert len(song.audio_codes or ()) == 49
    assert note == "the music ends by itself after 9.8 of 10.8 s"


def test_codes_of_more_than_eight_songs(grammar: Grammar, codes: Codes) -> None:
    songs, _ = plan_codes(Planner(None, grammar), [SONG], range(11))  # type: ignore[arg-type]
    assert [song.audio_codes for song in songs] == [(seed,) * 54 for seed in range(11)]
    assert [call["seeds"] for call in codes.calls] == [list(range(8)), [8, 9, 10]]


def test_a_song_is_the_same_alone_and_in_a_batch(planner: Planner, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(grammar_module, "CAPTION_TOKENS", 6)
    quick = SamplingParameters(top_p=1)
    songs = [Blueprint(caption="pop"), Blueprint(lyrics="la", bpm=90), Blueprint(caption="rock", duration_seconds=11)]
    planned, _ = plan(planner, songs, [1, 2, 3], quick, max_duration_seconds=10)
    assert all(song.bpm and song.key and song.time_signature and song.duration_seconds for song in planned)
    finished, _ = plan_codes(planner, planned, [1, 2, 3], quick)
    assert [len(song.audio_codes or ()) for song in finished] == [50, 50, 55]
    for index in (1, 2):
        (alone,), _ = plan(planner, [songs[index]], [index + 1], quick, max_duration_seconds=10)
        assert alone == planned[index]
    (alone,), _ = plan_codes(planner, [alone], [3], quick)
    assert alone == finished[2]
