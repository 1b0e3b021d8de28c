"""Song plans: spellings, domains, who wrote which field, durations, JSON."""

from __future__ import annotations

import dataclasses
import json

import pytest

from ace_core.song.blueprint import (
    Blueprint,
    fields_left_auto,
    resolved_duration,
    with_planned_values,
    with_user_values,
)
from ace_core.song.blueprint_json import (
    MAX_BLUEPRINT_CHARACTERS,
    MAX_SONGS_PER_FILE,
    blueprints_from_json,
    blueprints_to_json,
)
from ace_core.song.fields import (
    ASCII_KEYS,
    AUTO_FIELDS,
    KEYS,
    MAX_CAPTION_CHARACTERS,
    MAX_CODE_COUNT,
    MAX_LYRICS_CHARACTERS,
    SONG_FIELDS,
    normalize_audio_codes,
    normalize_bpm,
    normalize_duration,
    normalize_key,
    normalize_language,
    normalize_time_signature,
    normalize_track,
)
from ace_core.song.languages import LANGUAGE_NAMES, LANGUAGES, find_language

PUBLISHED_LANGUAGES = (
    "ar az bg bn ca cs da de el en es fa fi fr he hi hr ht hu id is it ja ko la lt ms ne nl no pa pl pt ro ru sa sk sr "
    "sv sw ta te th tl tr uk ur vi yue zh unknown"
)


def test_domains_are_the_published_ones() -> None:
    assert list(LANGUAGES) == PUBLISHED_LANGUAGES.split()
    assert len(LANGUAGES) == 51
    assert len(KEYS) == len(set(KEYS)) == 70
    assert len(ASCII_KEYS) == 42
    assert {"C major", "F# minor", "B\u266d major", "E\u266f minor"} <= set(KEYS)


@pytest.mark.parametrize(
    ("spelling", "key"),
    [
        ("Am", "A minor"),
        ("F#m", "F# minor"),
        ("Bb", "Bb major"),
        ("c sharp minor", "C# minor"),
        ("  C   Sharp  MINOR ", "C# minor"),
        ("A-flat major", "Ab major"),
        ("Aflat", "Ab major"),
        ("abm", "Ab minor"),
        ("bm", "B minor"),
        ("bbm", "Bb minor"),
        ("B", "B major"),
        ("CM", "C major"),
        ("C:maj", "C major"),
        ("E_min", "E minor"),
        ("D-Dur", "D major"),
        ("d moll", "D minor"),
        ("G\u266fm", "G\u266f minor"),
        ("E\u266d major", "E\u266d major"),
        ("a\u5c0f\u8c03", "A minor"),
        ("\uff26\uff03 minor", "F# minor"),
        ("F# minor", "F# minor"),
    ],
)
def test_key_spellings(spelling: str, key: str) -> None:
    assert normalize_key(spelling) == key
    assert Blueprint(key=spelling).key == key


@pytest.mark.parametrize(
    "wrong", ["H minor", "c", "bb", "Cmaj7", "C## major", "C dorian", "minor", "7", 5, True, "A\nB"]
)
def test_a_wrong_key_names_the_domain_and_the_value(wrong: object) -> None:
    with pytest.raises(ValueError, match="key must be auto or a note A-G") as caught:
        normalize_key(wrong)
    assert repr(wrong) in str(caught.value)


@pytest.mark.parametrize(
    ("spelling", "code"),
    [
        ("English", "en"),
        (" ENGLISH ", "en"),
        ("English (US)", "en"),
        ("en_US", "en"),
        ("Deutsch", "de"),
        ("espa\u00f1ol", "es"),
        ("espanol", "es"),
        ("Ti\u1ebfng Vi\u1ec7t", "vi"),
        ("tieng viet", "vi"),
        ("zh-CN", "zh"),
        ("zh-Hant-TW", "zh"),
        ("zh-yue", "yue"),
        ("Chinese (Simplified)", "zh"),
        ("\u4e2d\u6587\uff08\u7b80\u4f53\uff09", "zh"),
        ("Mandarin", "zh"),
        ("Cantonese", "yue"),
        ("\u65e5\u672c\u8a9e", "ja"),
        ("\ud55c\uad6d\uc5b4", "ko"),
        ("\u0420\u0423\u0421\u0421\u041a\u0418\u0419", "ru"),
        ("pt-BR", "pt"),
        ("nb-NO", "no"),
        ("no", "no"),
        ("iw", "he"),
        ("Unknown", "unknown"),
    ],
)
def test_language_spellings(spelling: str, code: str) -> None:
    assert normalize_language(spelling) == code


def test_every_language_is_found_by_its_code_and_by_each_of_its_names() -> None:
    for code, names in LANGUAGE_NAMES.items():
        assert [find_language(spelling) for spelling in (code, code.upper(), *names)] == [code] * (2 + len(names))


@pytest.mark.parametrize("wrong", ["Klingon", "xx", "e", "xx-US", False, 3, "english french"])
def test_a_wrong_language_names_the_domain_and_the_value(wrong: object) -> None:
    with pytest.raises(ValueError, match="language must be auto or one of ar, az, .* zh, unknown") as caught:
        normalize_language(wrong)
    assert repr(wrong) in str(caught.value)


@pytest.mark.parametrize(("spelling", "bpm"), [(120, 120), ("120 bpm", 120), (" 96BPM ", 96), ("96.0", 96), (30.0, 30)])
def test_bpm_spellings(spelling: object, bpm: int) -> None:
    normalized = normalize_bpm(spelling)
    assert normalized == bpm
    assert type(normalized) is int


@pytest.mark.parametrize("wrong", [29, 301, 0, -5, 119.6, "fast", "12 0", True, float("nan"), float("inf")])
def test_a_wrong_bpm_names_the_domain_and_the_value(wrong: object) -> None:
    with pytest.raises(ValueError, match="bpm must be auto or a whole number from 30 to 300, got") as caught:
        normalize_bpm(wrong)
    assert repr(wrong) in str(caught.value)


@pytest.mark.parametrize(
    ("spelling", "beats"), [("6/8", 6), ("4/4", 4), ("3 / 4", 3), ("2/4", 2), ("4", 4), (3, 3), (6.0, 6)]
)
def test_time_signature_spellings(spelling: object, beats: int) -> None:
    normalized = normalize_time_signature(spelling)
    assert normalized == beats
    assert type(normalized) is int


@pytest.mark.parametrize("wrong", ["7/8", "5", 5, "4/8", "6/4", True, 4.5, "waltz"])
def test_a_wrong_time_signature_names_the_domain_and_the_value(wrong: object) -> None:
    with pytest.raises(ValueError, match=r"one of 2 \(2/4\), 3 \(3/4\), 4 \(4/4\), 6 \(6/8\); got") as caught:
        normalize_time_signature(wrong)
    assert repr(wrong) in str(caught.value)


@pytest.mark.parametrize(
    ("spelling", "seconds"),
    [(10, 10.0), (600, 600.0), (33.3, 33.3), ("90 s", 90.0), ("90 seconds", 90.0), ("3:30", 210.0), ("2.5 min", 150.0)],
)
def test_duration_spellings(spelling: object, seconds: float) -> None:
    normalized = normalize_duration(spelling)
    assert normalized == seconds
    assert type(normalized) is float


@pytest.mark.parametrize("wrong", [9.99, 600.01, -1, 0, "1:75", "long", True, float("nan"), float("inf"), "9999999999"])
def test_a_wrong_duration_names_the_domain(wrong: object) -> None:
    with pytest.raises(ValueError, match="duration must be auto or 10 to 600 seconds, got"):
        normalize_duration(wrong)


@pytest.mark.parametrize(
    "spelling", ["<|audio_code_1|><|audio_code_63999|>", "1, 63999", "1 63999", [1, 63999], (1, 63999)]
)
def test_audio_code_spellings(spelling: object) -> None:
    assert normalize_audio_codes(spelling) == (1, 63999)


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        ([64000], "from 0 to 63999, number 0 is 64000"),
        ([5, -1], "from 0 to 63999, number 1 is -1"),
        ([True], "number 0 is True"),
        ([1.0], "number 0 is 1.0"),
        ("1;2", "got '1;2'"),
        ("<|audio_code_x|>", "got '<|audio_code_x|>'"),
        ("123456", "got '123456'"),
        (7, "must be a list of whole numbers, got 7"),
        ([0] * (MAX_CODE_COUNT + 1), "at most 3000 audio codes fit into 600 seconds, got 3001"),
    ],
)
def test_wrong_audio_codes_are_named(wrong: object, message: str) -> None:
    with pytest.raises(ValueError) as caught:
        normalize_audio_codes(wrong)
    assert message in str(caught.value)


@pytest.mark.parametrize("nothing", [None, "", "  ", "auto", "Auto", "N/A"])
def test_auto_has_one_value(nothing: str | None) -> None:
    for normalize in (normalize_bpm, normalize_key, normalize_language, normalize_time_signature, normalize_duration):
        assert normalize(nothing) is None
    assert normalize_audio_codes(nothing) is None
    assert normalize_audio_codes([]) is None


def test_track_spellings() -> None:
    assert normalize_track("Backing Vocals") == "backing_vocals"
    with pytest.raises(ValueError, match="track must be one of woodwinds, .* vocals; got 'banjo'"):
        normalize_track("banjo")


def test_long_wrong_values_are_cut_in_messages() -> None:
    with pytest.raises(ValueError) as caught:
        normalize_key("x" * 100_000)
    assert len(str(caught.value)) < 300


def test_text_is_trimmed_and_empty_text_is_auto() -> None:
    blueprint = Blueprint(caption="  sad piano \r\n", lyrics="\r\n[Verse]\r\nrain\rfalls\n")
    assert blueprint.caption == "sad piano"
    assert blueprint.lyrics == "[Verse]\nrain\nfalls"
    assert Blueprint(caption=" \n").caption is None


@pytest.mark.parametrize("lyrics", ["[inst]", " [INSTRUMENTAL] ", "[Instrumental]"])
def test_an_instrumental_has_one_spelling(lyrics: str) -> None:
    blueprint = Blueprint(lyrics=lyrics)
    assert blueprint.lyrics == "[Instrumental]"
    assert blueprint.is_instrumental


def test_tags_without_words_and_open_lyrics_are_not_the_instrumental_mark() -> None:
    assert not Blueprint(lyrics="[Intro]\n[Guitar Solo]").is_instrumental
    assert not Blueprint().is_instrumental


@pytest.mark.parametrize(
    ("field", "text", "message"),
    [
        ("caption", "rock<|im_end|>", r"caption contains the control token '<\|im_end\|>'"),
        ("lyrics", "<think>x", "lyrics contains the control token '<think>'"),
        ("lyrics", "a\x00b", r"lyrics contains the unprintable character '\\x00' at position 1"),
        ("rewritten_caption", "\ud800", "rewritten caption contains the unprintable character"),
        ("caption", "x" * (MAX_CAPTION_CHARACTERS + 1), "caption must have at most 8192 characters, got 8193"),
        ("lyrics", "x" * (MAX_LYRICS_CHARACTERS + 1), "lyrics must have at most 65536 characters, got 65537"),
        ("caption", 5, "caption must be text, got 5"),
    ],
)
def test_text_that_would_break_a_prompt_is_refused(field: str, text: str, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        Blueprint(**{field: text})


def test_the_planner_fills_what_is_open_and_never_changes_what_the_user_wrote() -> None:
    user = Blueprint(caption="ballad", bpm=95)
    planned = with_planned_values(user, bpm=140, key="Am", caption="epic", duration_seconds=184, language=None)
    assert (planned.caption, planned.bpm, planned.key, planned.duration_seconds) == ("ballad", 95, "A minor", 184.0)
    assert planned.planned == {"key", "duration_seconds"}
    assert [planned.origin(name) for name in ("bpm", "key", "language")] == ["user", "planner", "auto"]
    assert fields_left_auto(planned) == ("lyrics", "language", "time_signature")


def test_planning_again_replaces_the_earlier_plan() -> None:
    first = with_planned_values(Blueprint(), key="Am", bpm=90)
    second = with_planned_values(first, key="C")
    assert (second.key, second.bpm) == ("C major", 90)
    assert second.planned == {"key", "bpm"}


def test_a_user_value_takes_a_field_over_from_the_planner_and_none_opens_it() -> None:
    planned = with_planned_values(Blueprint(), key="Am", bpm=90)
    edited = with_user_values(planned, key="A minor", bpm=None)
    assert edited.origin("key") == "user"
    assert edited.origin("bpm") == "auto"
    assert with_planned_values(edited, key="C", bpm=100).key == "A minor"


def test_empty_text_of_a_plan_leaves_a_field_open() -> None:
    planned = with_planned_values(Blueprint(), caption=" \n", bpm=90)
    assert planned.origin("caption") == "auto"
    assert planned.planned == {"bpm"}


def test_a_new_caption_drops_the_rewrite_of_the_old_one() -> None:
    planned = with_planned_values(Blueprint(caption="old"), rewritten_caption="old, but better", bpm=90)
    edited = with_user_values(planned, caption="new")
    assert (edited.caption, edited.rewritten_caption, edited.planned) == ("new", None, {"bpm"})
    by_hand = with_user_values(Blueprint(), caption="a", rewritten_caption="b")
    assert with_user_values(by_hand, caption="c").rewritten_caption == "b"


def test_everything_is_left_auto_in_an_empty_blueprint() -> None:
    expected = ("caption", "lyrics", "language", "bpm", "key", "time_signature", "duration_seconds")
    assert fields_left_auto(Blueprint()) == expected


def test_wrong_field_names_and_wrong_planned_names_are_errors() -> None:
    with pytest.raises(ValueError, match="a blueprint has no field 'tempo'; the fields are caption, "):
        with_user_values(Blueprint(), tempo=3)
    with pytest.raises(ValueError, match="no field 'planned'"):
        with_planned_values(Blueprint(), planned={"bpm"})
    with pytest.raises(ValueError, match="'planned' names 'bpm'"):
        Blueprint(planned=frozenset({"bpm"}))
    with pytest.raises(ValueError, match="no field 'tempo'"):
        Blueprint().origin("tempo")


def test_the_repr_is_short() -> None:
    blueprint = Blueprint(lyrics="la " * 5_000, audio_codes=tuple(range(3_000)), bpm=90)
    assert len(repr(blueprint)) < 300
    assert repr(Blueprint(bpm=90, key="Am")) == "Blueprint(bpm=90, key='A minor')"


@pytest.mark.parametrize(
    ("blueprint", "seconds", "note"),
    [
        (Blueprint(), 120.0, "the duration is auto and nothing has planned it: rendering 120 s"),
        (Blueprint(duration_seconds=33.3), 33.3, None),
        (Blueprint(audio_codes=(1,) * 300), 60.0, "the duration is auto: rendering 60 s for 300 audio codes"),
        (Blueprint(audio_codes=(1,) * 20), 10.0, "the duration is auto: rendering 10 s for 20 audio codes"),
        (Blueprint(audio_codes=(1,) * 54, duration_seconds=10.9), 10.9, None),
        (
            Blueprint(audio_codes=(1,) * 50, duration_seconds=20),
            20.0,
            "50 audio codes last 10 s, the duration is 20 s: the end has no codes",
        ),
        (
            Blueprint(audio_codes=(1,) * 150, duration_seconds=20),
            20.0,
            "150 audio codes last 30 s, the duration is 20 s: the codes after that are not used",
        ),
    ],
)
def test_resolved_duration(blueprint: Blueprint, seconds: float, note: str | None) -> None:
    assert resolved_duration(blueprint) == (seconds, note)


def test_json_layout_is_stable() -> None:
    planned = with_planned_values(Blueprint(caption="caf\u00e9", bpm=95), key="Am", audio_codes=[1, 2])
    text = blueprints_to_json([planned])
    assert json.loads(text) == {
        "format": "ace_composer.blueprint",
        "version": 1,
        "songs": [
            {
                "caption": "caf\u00e9",
                "lyrics": None,
                "language": None,
                "bpm": 95,
                "key": "A minor",
                "time_signature": None,
                "duration_seconds": None,
                "audio_codes": [1, 2],
                "rewritten_caption": None,
                "planned": ["audio_codes", "key"],
            }
        ],
    }
    assert '\n  "caption": "caf\u00e9",\n' in text
    assert text.endswith("}\n")
    assert blueprints_from_json(text) == (planned,)


def test_the_largest_file_that_can_be_written_can_be_read() -> None:
    largest = Blueprint(
        caption="\t" + '"' * (MAX_CAPTION_CHARACTERS - 2) + "\t.",
        lyrics='"' * MAX_LYRICS_CHARACTERS,
        rewritten_caption='"' * MAX_CAPTION_CHARACTERS,
        audio_codes=(63_999,) * MAX_CODE_COUNT,
    )
    text = blueprints_to_json([largest] * MAX_SONGS_PER_FILE)
    assert len(text) <= MAX_BLUEPRINT_CHARACTERS
    assert blueprints_from_json(text) == (largest,) * MAX_SONGS_PER_FILE
    with pytest.raises(ValueError, match="holds 1 to 64 songs, got 65"):
        blueprints_to_json([largest] * (MAX_SONGS_PER_FILE + 1))


def test_a_hand_edited_file_may_use_human_spellings_and_leave_fields_out() -> None:
    text = '{"format": "ace_composer.blueprint", "version": 1, "songs": [{"key": "F#m", "duration_seconds": "2:00"}]}'
    assert blueprints_from_json(text) == (Blueprint(key="F# minor", duration_seconds=120),)


def document(songs: str, version: str = "1") -> str:
    return f'{{"format": "ace_composer.blueprint", "version": {version}, "songs": {songs}}}'


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "not valid JSON"),
        ("[]", 'must be an object with "format"'),
        ('{"format": "x"}', 'must be an object with "format"'),
        (document("[{}]", "2"), "blueprint file version 2 cannot be read, only 1"),
        (document("[]"), '"songs" must be a list of 1 to 64 songs'),
        (document("[" + ",".join(["{}"] * 65) + "]"), '"songs" must be a list of 1 to 64 songs'),
        (document("{}"), '"songs" must be a list of 1 to 64 songs'),
        (document("[3]"), "song 1 must be an object with fields, got 3"),
        (document('[{}, {"tempo": 3}]'), "song 2 has no field 'tempo'"),
        (document('[{"bpm": 95, "bpm": 96}]'), "repeats the field 'bpm'"),
        (document('[{"bpm": NaN}]'), "holds NaN"),
        (document('[{"duration_seconds": -Infinity}]'), "holds -Infinity"),
        (document('[{"duration_seconds": 1e999}]'), "song 1: duration must be auto or 10 to 600 seconds, got inf"),
        (document('[{"language": false}]'), "song 1: language must be auto or one of"),
        (document('[{"audio_codes": [70000]}]'), "song 1: audio codes must be whole numbers from 0 to 63999"),
        (document('[{"planned": "bpm"}]'), '"planned" must be a list of field names'),
        (document('[{"planned": [["bpm"]]}]'), '"planned" must be a list of field names'),
        (document('[{"planned": ["bpm"]}]'), "song 1: 'planned' names 'bpm'"),
        (document('[{}], "extra": 1'), "blueprint file has no field 'extra'"),
    ],
)
def test_a_wrong_file_says_what_is_wrong(text: str, message: str) -> None:
    with pytest.raises(ValueError) as caught:
        blueprints_from_json(text)
    assert message in str(caught.value)


def test_a_hostile_file_is_refused() -> None:
    with pytest.raises(ValueError, match="not valid JSON"):
        blueprints_from_json("[" * 200_000)
    with pytest.raises(ValueError, match="at most 16000000 characters, got 16000001"):
        blueprints_from_json(" " * (MAX_BLUEPRINT_CHARACTERS + 1))


def test_the_field_table_and_blueprint_agree() -> None:
    names = [field.name for field in dataclasses.fields(Blueprint)]
    assert (*SONG_FIELDS, "planned", "planner") == tuple(names)
    assert AUTO_FIELDS == ("caption", "lyrics", "language", "bpm", "key", "time_signature", "duration_seconds")


def test_the_planner_is_named_as_long_as_it_wrote_something() -> None:
    planned = dataclasses.replace(with_planned_values(Blueprint(caption="pop"), bpm=90, key="C major"), planner="4B")
    assert planned.planner == "4B"
    assert planned == dataclasses.replace(planned, planner="1.7B")
    assert with_user_values(planned, bpm=100).planner == "4B"
    assert with_user_values(planned, bpm=100, key=None).planner == ""
    assert Blueprint(caption="pop", planner="4B").planner == ""
    assert "planner" not in blueprints_to_json([planned])
