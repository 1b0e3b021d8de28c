"""What the official application saves, read as a song plan: its names, its ways to leave a field open, its planner."""

from __future__ import annotations

import json

import pytest

from ace_core.song.blueprint import Blueprint
from ace_core.song.blueprint_json import blueprints_to_json
from ace_core.song.lyric_reader import TIMES_NOTE
from ace_core.song.official_params import in_our_names, plans_from_json

SAVED = {  # a song as the application of June 2026 saves it, shortened
    "task_type": "text2music",
    "instruction": "Fill the audio semantic mask based on the given conditions:",
    "reference_audio": None,
    "src_audio": None,
    "audio_codes": "<|audio_code_12|><|audio_code_63999|>" * 30,
    "caption": "warm lo-fi piano",
    "lyrics": "[Verse]\nRain again",
    "instrumental": False,
    "vocal_language": "en",
    "bpm": None,
    "keyscale": "",
    "timesignature": "",
    "duration": -1.0,
    "inference_steps": 8,
    "seed": 7,
    "shift": 3.0,
    "use_cot_caption": True,
    "cot_bpm": 84,
    "cot_keyscale": "A minor",
    "cot_timesignature": "4",
    "cot_duration": 12,
    "cot_caption": "A warm lo-fi piano piece with vinyl crackle.",
    "cot_vocal_language": "en",
    "cot_lyrics": "",
}


def test_a_saved_song_is_a_plan() -> None:
    (plan,), notes = plans_from_json(json.dumps(SAVED))
    assert plan == Blueprint(
        caption="warm lo-fi piano",
        lyrics="[Verse]\nRain again",
        language="en",
        bpm=84,
        key="A minor",
        time_signature=4,
        duration_seconds=12.0,
        audio_codes=(12, 63999) * 30,
        rewritten_caption="A warm lo-fi piano piece with vinyl crackle.",
        planned=frozenset({"bpm", "key", "time_signature", "duration_seconds", "rewritten_caption"}),
    )
    assert notes[0] == "a song of the official application"
    assert "seed 7" in notes[1] and "inference_steps 8" in notes[1] and "shift 3.0" in notes[1]


EXAMPLE = {  # of the official examples/text2music
    "think": True,
    "caption": "pop-rock",
    "lyrics": "[Verse 1]\nla",
    "bpm": 100,
    "duration": 160,
    "keyscale": "E\u266d minor",
    "language": "zh",
    "timesignature": "4",
}
REQUEST = {
    "caption": "pop-rock",
    "lyrics": "",
    "bpm": None,
    "keyscale": "",
    "timesignature": "",
    "vocal_language": "unknown",
}


def test_an_official_example_and_a_request_to_the_server_are_plans() -> None:
    (plan,), notes = plans_from_json(json.dumps(EXAMPLE))
    assert (plan.bpm, plan.key, plan.language, plan.duration_seconds) == (100, "E\u266d minor", "zh", 160.0)
    assert notes == ("a song of the official application",)
    (open_plan,), _ = plans_from_json(json.dumps(REQUEST))
    assert open_plan == Blueprint(caption="pop-rock")
    with pytest.raises(ValueError, match="not a blueprint file"):  # an idea for Write Song, and no plan
        plans_from_json('{"description": "a love song", "instrumental": false, "vocal_language": "bn"}')


def test_lyrics_are_read_like_all_others() -> None:
    (plan,), notes = plans_from_json(json.dumps(EXAMPLE | {"lyrics": "[00:01.00]la\n[00:02.00]lo\n[00:03.00]by: me"}))
    assert plan.lyrics == "la\nlo\nby: me" and notes[1:] == (TIMES_NOTE,)
    assert in_our_names({"lyrics": "```\n[Verse]\nla\n```"}).values == {"lyrics": "[Verse]\nla"}


def test_what_the_user_wrote_counts_before_the_planner() -> None:
    (plan,), _ = plans_from_json(json.dumps(SAVED | {"bpm": 120, "use_cot_caption": False, "keyscale": "Cm"}))
    assert (plan.bpm, plan.key, plan.rewritten_caption) == (120, "C minor", None)
    assert plan.origin("bpm") == plan.origin("key") == "user"


def test_open_fields_stay_open_and_instrumentals_have_no_words() -> None:
    bare = {"task_type": "text2music", "caption": "drums", "lyrics": "la la", "instrumental": True, "duration": -1}
    (plan,), _ = plans_from_json(json.dumps(bare | {"vocal_language": "unknown", "audio_codes": ""}))
    assert plan == Blueprint(caption="drums", lyrics="[Instrumental]")


def test_source_audio_is_named() -> None:
    _, notes = plans_from_json(json.dumps(SAVED | {"task_type": "cover", "src_audio": "/music/a.wav"}))
    assert "task_type 'cover'" in notes[1] and notes[2] == "made from audio that is not in the file: src_audio"


def test_our_own_files_are_read_as_before() -> None:
    plan = Blueprint(caption="jazz", bpm=90)
    assert plans_from_json(blueprints_to_json([plan])) == ((plan,), ())
    for text in ("{", "[]", '{"caption": "x"}', '{"format": "other", "caption": "x", "task_type": "cover"}'):
        with pytest.raises(ValueError, match="this is not a blueprint file"):
            plans_from_json(text)


def test_a_value_outside_its_domain_is_named() -> None:
    with pytest.raises(ValueError, match="bpm"):
        plans_from_json(json.dumps(SAVED | {"bpm": 9000}))


def test_both_names_of_a_field_are_known() -> None:
    assert in_our_names({"keyscale": "Am", "vocal_language": "de", "duration": 30, "bpm": 96}).values == {
        "key": "Am",
        "language": "de",
        "duration_seconds": 30,
        "bpm": 96,
    }
    assert in_our_names({"duration": -1, "timesignature": ""}).values == {
        "duration_seconds": None,
        "time_signature": None,
    }
    with pytest.raises(ValueError, match="key is given twice, the second time as 'keyscale'"):
        in_our_names({"key": "Am", "keyscale": "C"})
