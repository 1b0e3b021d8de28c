"""The planner's tasks: which prompt and grammar they ask with, and what they make of the answer.

The scripted language model answers with a given text, token by token as the grammar demands; the last tests run a small
network of random weights instead.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import Any

import pytest
import torch
from tiny_planner import planner_network, planner_weights
from torch import Tensor

from ace_core.blueprint import Blueprint, with_planned_values
from ace_core.planner import asking, tasks
from ace_core.planner import grammar as grammar_module
from ace_core.planner.asking import PlannedSongs, Planner
from ace_core.planner.constraint import Constraint
from ace_core.planner.grammar import Grammar
from ace_core.planner.prompts import (
    codes_prompt,
    negative_codes_prompt,
    plan_prompt,
    rewrite_prompt,
    understand_prompt,
    write_prompt,
)
from ace_core.planner.sampling import SamplingParameters
from ace_core.planner.tasks import plan, plan_codes
from ace_core.planner.writing import rewrite, understand, write_song

INSTRUMENTAL = "[Instrumental]"
FULL = (
    "<think>\nbpm: 95\ncaption: Soft pop\nduration: 184\ngenres: pop\n"
    "keyscale: G major\nlanguage: en\ntimesignature: 4\n"
)
METAS = Blueprint(bpm=95, key="G major", time_signature=4, duration_seconds=184, language="en")


class Script:
    """Stands in for the language model: answers in turn, and what was asked."""

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
        return ids


@pytest.fixture
def script(grammar: Grammar, monkeypatch: pytest.MonkeyPatch) -> Callable[..., Script]:
    def start(*answers: str) -> Script:
        started = Script(grammar, *answers)
        monkeypatch.setattr(asking, "generate_text", started.generate_text)
        return started

    return start


def without(text: str, *fields: str) -> str:
    lines = text.splitlines(keepends=True)
    return "".join(line for line in lines if not line.startswith(tuple(f"{field}:" for field in fields)))


# plan


def test_everything_open_is_planned(script: Callable[..., Script]) -> None:
    model = script(without(FULL, "genres"))
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


def test_what_the_user_set_is_forced_and_kept(script: Callable[..., Script]) -> None:
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


def test_what_was_planned_before_is_kept(script: Callable[..., Script]) -> None:
    written = with_planned_values(
        Blueprint(), caption="Soft pop", lyrics="la", bpm=95, duration_seconds=12.5, language="en"
    )
    model = script(
        "<think>\nbpm: 95\ncaption: Soft pop\nduration: 12\nkeyscale: C major\nlanguage: en\ntimesignature: 3\n"
    )
    ((planned,), _) = plan(model.planner, [written], [0])
    assert planned == with_planned_values(written, key="C major", time_signature=3)
    assert model.prompts == [plan_prompt(model.planner.grammar.tokens, "Soft pop", "la")]


def test_an_open_caption_is_written_even_without_rewriting(script: Callable[..., Script]) -> None:
    model = script(without(FULL, "genres"))
    ((planned,), _) = plan(model.planner, [Blueprint(lyrics="la")], [0], rewrite_caption=False)
    assert planned.caption == "Soft pop" and planned.rewritten_caption is None
    assert planned.origin("caption") == "planner"
    assert model.prompts == [plan_prompt(model.planner.grammar.tokens, "", "la")]


def test_captions_and_languages_can_be_left_alone(script: Callable[..., Script]) -> None:
    model = script(without(FULL, "genres", "caption", "language"))
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
def test_nothing_open_asks_nothing(script: Callable[..., Script], values: dict[str, Any]) -> None:
    options = {name: values.pop(name) for name in ("rewrite_caption", "detect_language") if name in values}
    song = Blueprint(
        **{name: getattr(METAS, name) for name in ("bpm", "key", "time_signature", "duration_seconds", "language")}
        | {"lyrics": "la"}
        | values
    )
    model = script("")
    assert plan(model.planner, [song], [0], **options) == PlannedSongs((song,), ())
    assert model.groups == []


def test_open_lyrics_are_planned_as_an_instrumental(script: Callable[..., Script]) -> None:
    model = script(without(FULL, "genres").replace("language: en", "language: unknown"))
    ((first, second), notes) = plan(
        model.planner, [Blueprint(caption="pop"), Blueprint(caption="pop", lyrics="[inst]")], [0, 1]
    )
    assert first.lyrics == second.lyrics == INSTRUMENTAL
    assert first.language == second.language == "unknown"
    assert first.origin("lyrics") == "planner" and second.origin("lyrics") == "user"
    assert notes == ("song 1: the lyrics are open, so this is planned as an instrumental",)
    assert model.prompts[0] == plan_prompt(model.planner.grammar.tokens, "pop", INSTRUMENTAL)


def test_a_plan_of_its_own_for_each_seed_or_one_for_all(script: Callable[..., Script]) -> None:
    slow, fast = without(FULL, "genres"), without(FULL, "genres").replace("95", "180")
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


def test_more_than_eight_songs_keep_their_own_plans(script: Callable[..., Script]) -> None:
    answers = [without(FULL, "genres").replace("95", str(100 + index)) for index in range(19)]
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
def test_counts_that_do_not_agree_are_refused(script: Callable[..., Script], blueprints: int) -> None:
    model = script("")
    for task in (plan, plan_codes, rewrite):
        with pytest.raises(ValueError, match=f"3 seeds and {blueprints} blueprints"):
            task(model.planner, [METAS] * blueprints, [1, 2, 3])  # type: ignore[operator]
    with pytest.raises(ValueError, match="3 seeds for 1"):
        understand(model.planner, [[5]], [1, 2, 3])


def test_text_beyond_the_positions_is_refused_with_the_counts(script: Callable[..., Script]) -> None:
    model = script("")
    song = Blueprint(caption="pop", lyrics="0 " * 25_000)
    with pytest.raises(ValueError, match="has 50.* tokens .* 40960 positions"):
        plan(model.planner, [song], [0])
    with pytest.raises(ValueError, match="has 50.* tokens .* 40960 positions"):
        plan_codes(model.planner, [song], [0])


# codes


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


# write, rewrite, understand


def test_a_song_is_written_from_an_idea(script: Callable[..., Script]) -> None:
    model = script(FULL + "</think>\n\n# Lyric\n[Verse]\nRain\n<|im_end|>")
    ((song,), notes) = write_song(model.planner, "a sad ballad", [5])
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


def test_a_song_is_written_around_what_is_decided(script: Callable[..., Script]) -> None:
    model = script(FULL.replace("95", "77") + "</think>la<|im_end|>")
    ((song,), _) = write_song(model.planner, "", [5], decided=Blueprint(bpm=77, language="en", caption="mine"))
    assert (song.bpm, song.caption, song.rewritten_caption, song.lyrics) == (77, "mine", "Soft pop", "la")
    assert song.origin("bpm") == song.origin("language") == "user"
    model = script(FULL)
    ((song,), notes) = write_song(model.planner, "", [5], decided=Blueprint(lyrics="my words"))
    assert song.lyrics == "my words" and notes == ()


@pytest.mark.parametrize(
    ("written", "lyrics"),
    [
        ("[Intro]\n[Guitar Solo]\n", "[Intro]\n[Guitar Solo]"),
        ("[Instrumental]", INSTRUMENTAL),
        ("[Verse]\nwords", INSTRUMENTAL),
        ("", INSTRUMENTAL),
    ],
)
@pytest.mark.parametrize("options", [{"instrumental": True}, {"decided": Blueprint(bpm=95), "instrumental": True}])
def test_an_instrumental_has_no_words(
    script: Callable[..., Script], written: str, lyrics: str, options: dict[str, Any]
) -> None:
    model = script(FULL.replace("language: en", "language: unknown") + f"</think>\n\n{written}<|im_end|>")
    ((song,), notes) = write_song(model.planner, "piano", [5], **options)
    assert (song.lyrics, song.language, notes) == (lyrics, "unknown", ())
    assert model.prompts == [write_prompt(model.planner.grammar.tokens, "piano", instrumental=True)]


def test_words_in_an_instrumental_are_refused(script: Callable[..., Script]) -> None:
    model = script("")
    with pytest.raises(ValueError, match="an instrumental has no words"):
        write_song(model.planner, "", [5], instrumental=True, decided=Blueprint(lyrics="la"))


def test_missing_lyrics_are_noted(script: Callable[..., Script]) -> None:
    model = script(FULL + "</think><|im_end|>")
    ((song, _), notes) = write_song(model.planner, "", [5, 6])
    assert song.lyrics is None
    assert len(notes) == 2 and notes[0].startswith("song 1: the planner wrote no lyrics")


def test_cut_lyrics_are_noted(script: Callable[..., Script], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(grammar_module, "LYRICS_TOKENS", 3)
    model = script(FULL + "</think>1234"[:-1])
    ((song,), notes) = write_song(model.planner, "", [5])
    assert song.lyrics == "123"
    assert "the lyrics are cut" in notes[0]


def test_a_rewrite_keeps_the_caption_and_formats_the_lyrics(script: Callable[..., Script]) -> None:
    model = script(FULL.replace("95", "77") + "</think>\n\n# Lyric\n[Verse]\nla la\n<|im_end|>")
    song = with_planned_values(Blueprint(caption="pop", lyrics="la la", bpm=77), rewritten_caption="old")
    ((rewritten,), notes) = rewrite(model.planner, [song], [5])
    assert (rewritten.caption, rewritten.rewritten_caption) == ("pop", "Soft pop")
    assert (rewritten.lyrics, rewritten.origin("lyrics")) == ("[Verse]\nla la", "planner")
    assert (rewritten.bpm, rewritten.origin("bpm"), rewritten.key) == (77, "user", "G major")
    assert model.prompts == [rewrite_prompt(model.planner.grammar.tokens, "pop", "la la")] and notes == ()


def test_a_rewrite_can_leave_the_lyrics(script: Callable[..., Script]) -> None:
    model = script(FULL)
    song = Blueprint(caption="pop", lyrics="la la")
    ((rewritten,), _) = rewrite(model.planner, [song], [5], rewrite_lyrics=False)
    assert (rewritten.lyrics, rewritten.origin("lyrics")) == ("la la", "user")


@pytest.mark.parametrize("lyrics", [None, "[inst]", "[Intro]\n[Solo]"])
def test_a_rewritten_instrumental_stays_one(script: Callable[..., Script], lyrics: str | None) -> None:
    model = script(FULL.replace("language: en", "language: unknown"))
    ((rewritten,), _) = rewrite(model.planner, [Blueprint(lyrics=lyrics)], [5])
    assert (rewritten.lyrics, rewritten.language) == (Blueprint(lyrics=lyrics).lyrics or INSTRUMENTAL, "unknown")
    assert (rewritten.caption, rewritten.rewritten_caption) == ("Soft pop", None)


@pytest.mark.parametrize(("answer", "reason"), [("<|im_end|>", "were empty"), ("1234", "did not end within")])
def test_lyrics_survive_a_failed_rewrite(
    script: Callable[..., Script], monkeypatch: pytest.MonkeyPatch, answer: str, reason: str
) -> None:
    monkeypatch.setattr(grammar_module, "LYRICS_TOKENS", 4)
    model = script(FULL + "</think>" + answer)
    ((rewritten,), (note,)) = rewrite(model.planner, [Blueprint(caption="pop", lyrics="mine")], [5])
    assert rewritten.lyrics == "mine" and reason in note


@pytest.mark.parametrize(("count", "seconds"), [(600, 120), (607, 121), (5, 10), (3_000, 600), (3_100, 600)])
def test_audio_is_understood_with_its_duration(script: Callable[..., Script], count: int, seconds: int) -> None:
    model = script(FULL.replace("184", str(seconds)) + "</think>\n\nla\n<|im_end|>")
    ((song,), notes) = understand(model.planner, [[7] * count], [5])
    assert (song.duration_seconds, song.caption, song.lyrics, song.language) == (seconds, "Soft pop", "la", "en")
    assert notes == ("genres: pop",)
    assert model.prompts == [understand_prompt(model.planner.grammar.tokens, [7] * count)]
    assert model.parameters == SamplingParameters(temperature=0.3, top_p=1.0)


def test_audio_without_lyrics(script: Callable[..., Script]) -> None:
    model = script(FULL.replace("184", "10") + "</think><|im_end|>")
    ((song,), notes) = understand(model.planner, [[7]], [5])
    assert song.lyrics is None
    assert notes == ("the planner heard no lyrics", "genres: pop")


# with a network


@pytest.fixture(scope="module")
def planner(grammar: Grammar) -> Iterator[Planner]:
    threads = torch.get_num_threads()
    torch.set_num_threads(1)  # the network is so small that sharing its work out takes longer than doing it
    yield Planner(planner_network(planner_weights(0)), grammar)
    torch.set_num_threads(threads)


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


def test_random_weights_write_legal_songs(planner: Planner, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(grammar_module, "CAPTION_TOKENS", 6)
    monkeypatch.setattr(grammar_module, "GENRES_TOKENS", 4)
    monkeypatch.setattr(grammar_module, "LYRICS_TOKENS", 6)
    hot = SamplingParameters(temperature=2, top_p=1)
    written, _ = write_song(planner, "", [1, 2], hot)
    understood, _ = understand(planner, [[5] * 60, [6] * 50], [1, 2], hot)
    assert [song.duration_seconds for song in understood] == [12, 10]
    rewritten, _ = rewrite(planner, written, [3, 4], hot)
    for song in (*written, *understood, *rewritten):
        assert song.bpm and song.key and song.language and song.time_signature and song.duration_seconds
