"""What the editing nodes make of recordings, sample for sample: see tests/inside/inside_editing.py."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

SAMPLES = 6 * 48_000
TRACK_TASKS = ("AceComposerExtract", "AceComposerLego", "AceComposerComplete", "AceComposerVocalToBacking")
HEARD = 1e-3  # a change of this size is no rounding
Report = dict[str, dict[str, Any]]


@pytest.fixture(scope="module")
def report(run_inside: Callable[[str], Report]) -> Report:
    return run_inside("inside_editing.py")


def case(report: Report, name: str) -> dict[str, Any]:
    found = report[name]
    assert "error" not in found, found["error"]
    return found


def test_a_repaint_changes_its_regions_and_not_one_sample_else(report: Report) -> None:
    repaint = case(report, "repaint")
    assert repaint["shape"] == [[2, SAMPLES]] * 3
    assert repaint["kept"] == dict.fromkeys(("conservative", "balanced", "aggressive"), [True] * 3)
    assert min(repaint["inside"]) > 0.1
    assert min(repaint["modes"]) > HEARD


def test_the_strength_of_a_repaint_leads_from_conservative_to_aggressive(report: Report) -> None:
    strength = case(report, "repaint_strength")
    assert strength["0"] and strength["1"]
    assert strength["0.5"] > HEARD


def test_a_recording_of_another_rate_is_kept_as_resampled(report: Report) -> None:
    repaint = case(report, "repaint_of_other_rates")
    assert repaint["shape"] == repaint["wanted"] and repaint["kept"] == [True]
    assert repaint["end"] > 0.1


def test_a_recording_above_full_scale_keeps_its_level(report: Report) -> None:
    assert case(report, "loud_recordings_keep_their_level")["kept"] == [True, True]


def test_seconds_bars_and_masks_name_the_same_part(report: Report) -> None:
    regions = case(report, "regions")
    assert regions["frames"] == dict.fromkeys(("seconds", "bars", "mask"), [[50, 100]])
    assert regions["a mask for each"] == [[[50, 100]], [[75, 125]]]
    assert regions["text"] == "repaint of 6 s, new: 2-4 s\nthe mask is used, not start, end and more_regions"


def test_an_extended_recording_has_its_length_to_the_sample_and_holds_the_recording(report: Report) -> None:
    sides = case(report, "extend")
    assert {name: side["seconds"] for name, side in sides.items()} == {
        "1.5 and 0.0": 7.5,
        "0.0 and 2.33": 8.33,
        "1.0 and 1.0": 8.0,
    }
    for side in sides.values():
        assert side["kept"] and min(side["new"]) > 0.01


def test_a_recording_beyond_600_s_is_extended_by_what_its_end_sounds_like(report: Report) -> None:
    extend = case(report, "extend_beyond_600_s")
    assert (extend["rendered"], extend["seconds"], extend["kept"]) == (32.0, 603.5, True)
    assert extend["new"] > 0.01


def test_every_option_of_a_cover_changes_it(report: Report) -> None:
    cover = case(report, "cover")
    assert cover["shape"] == [1, 64, SAMPLES // 1920]
    assert set(cover["changed"]) == {"strength", "noise", "latents"}
    assert min(cover["changed"].values()) > HEARD
    assert cover["another recording"] > HEARD
    assert cover["another recording at strength 0"] == 0
    assert cover["peak"] == pytest.approx(10 ** (-1 / 20))  # normalised, though the task is connected to Decode


def test_stems_and_tasks_with_tracks_differ(report: Report) -> None:
    tracks = case(report, "tracks")
    assert min(*tracks["stems differ"], *tracks["tasks differ"], tracks["lego in part"]) > HEARD
    assert tracks["alone"] <= 1e-5


@pytest.mark.parametrize("node", TRACK_TASKS)
def test_tasks_with_tracks_need_another_model_than_turbo(report: Report, node: str) -> None:
    task = {"AceComposerExtract": "extract", "AceComposerLego": "lego"}.get(node, "complete")
    sentence = case(report, "tracks")["turbo"][node]
    assert sentence.startswith(f"{task} needs a base checkpoint and acestep_v1.5_turbo.safetensors is turbo")


def test_a_stem_is_picked_by_its_track_and_recording(report: Report) -> None:
    stems = case(report, "picked_stems")
    assert stems["tracks"] == [["vocals"], ["drums"], ["bass"]] * 2
    assert stems["picked"] == [0.0, 2.0, 4.0, 5.0]
    assert stems["not extracted"] == ("the audio has no stem 'guitar', only vocals, drums, bass: extract it too")
    assert stems["no such item"] == "item 3 was asked for and drums was extracted from 2"
    assert stems["another batch"] == "got 6 tasks for 5 songs: give 1 or as many"


def test_a_reference_changes_every_kind_of_song_and_no_length(report: Report) -> None:
    timbre = case(report, "timbre")
    songs = {"text", "codes", "cover", "repaint", "extend", *TRACK_TASKS}
    assert set(timbre["changed"]) == set(timbre["same length"]) == songs
    assert min(timbre["changed"].values()) > HEARD
    assert all(timbre["same length"].values())


def test_several_references_come_from_a_batch_or_a_chain(report: Report) -> None:
    timbre = case(report, "timbre")
    assert timbre["a second reference"] > HEARD
    assert timbre["as a batch"] == 0


def test_windows_of_a_long_reference_follow_the_seed(report: Report) -> None:
    same, other, fixed = case(report, "timbre")["seeds"]
    assert same == 0 and other > HEARD and fixed > HEARD


def test_a_retake_leads_from_one_seed_to_another(report: Report) -> None:
    retake = case(report, "retake")
    assert retake["0"] == 0 and retake["1"] == 0
    assert retake["0.3"] > HEARD and retake["of a repaint"] > HEARD
    assert retake["of a batch"] <= 1e-5
    assert "connect one only" in retake["twice"]


def test_recordings_and_plans_in_batches_equal_each_alone(report: Report) -> None:
    batches = case(report, "batches")
    assert set(batches["differences"]) == {"recordings", "plans", "one of each"}
    assert max(max(pair) for pair in batches["differences"].values()) <= 1e-5
    assert batches["repeated"] <= 1e-5
    assert batches["kept"] == [[True, True]] * 2
    assert batches["2 and 3"].startswith("got 3 blueprints for a task with 2 songs")


def test_a_mix_is_the_sum_of_its_stems_and_never_clips(report: Report) -> None:
    mixed = case(report, "mixed")
    assert mixed["sum"] <= 1e-6 and mixed["text"] == "item 1: level kept"
    peak, text = mixed["loud"]
    assert peak == pytest.approx(1.0) and text.startswith("item 1: lowered by 1") and text.endswith("dB to full scale")
    assert mixed["without the second"] <= 1e-6
    assert mixed["left"][0] > 0.1 and mixed["left"][1] == 0
    assert mixed["other rates"] == [1, 2, 96_000]
    assert mixed["all muted"].startswith("nothing to mix")
    assert mixed["none"].startswith("there is no audio: it may come from")
    assert mixed["pan"].startswith("pan must be -1 (left) to 1 (right)")


@pytest.mark.parametrize(
    ("what", "sentence"),
    [
        ("silent", "item 2 of 2 of the audio is silent"),
        ("short", "the audio lasts 0.0208 s: give 1 s or more"),
        ("NaN", "the audio holds NaN or infinite samples"),
        ("surround", "audio must be mono or stereo, got 6 channels"),
        ("empty", "the audio is empty"),
        ("none", "there is no audio: it may come from"),
        ("no tracks", "every track is switched off"),
        ("no tracks to add", "every track is switched off"),
        ("end before start", "a region must end after it starts, got 3 to 2"),
        ("start after the end", "a region starts at 7 s and the audio ends at 6 s"),
        ("regions", "a region is written as start-end, such as 10-20 or 35.5-40; got '3 and 4'"),
        ("bars without a plan", "bars need a blueprint with bpm and time signature"),
        ("bars without a tempo", "bars need the song's bpm and time signature"),
        ("empty mask", "the mask marks nothing"),
        ("masks", "got 3 masks for 1 songs: give 1 or as many"),
        ("unit", "the unit must be one of seconds, bars, got 'beats'"),
        ("mode", "the mode must be one of balanced, conservative, aggressive, got 'magic'"),
        ("structure", "the structure must be one of codes, latents, got 'magic'"),
        ("windows", "the windows must be one of fixed, seeded, got 'magic'"),
        ("genre", "the genre must be one of pop, rock,"),
        ("more tracks", "track must be one of"),
        ("lego's track", "track must be one of"),
        ("lego's regions", "a region starts at 7 s and the audio ends at 6 s"),
        ("nothing to add", "there is nothing to add"),
        ("too much to add", "600 s are too much for one extension"),
        ("codes and a task", "the blueprint has 60 audio codes and the task cover takes its source from audio"),
        ("no audio tokenizer", "audio codes are needed, and acestep_v1.5_turbo.safetensors has no audio tokenizer"),
        ("another task", "WARNING: the connected task is not used: song 1 of 1 lasts 8 s and the task's window 6 s"),
        ("another number", "WARNING: the connected task is not used: the latents hold 3 songs and the task 2"),
    ],
)
def test_what_cannot_be_done_gets_a_sentence(report: Report, what: str, sentence: str) -> None:
    assert case(report, "refusals")[what].startswith(sentence)


def test_a_recording_shorter_than_the_model_renders(report: Report) -> None:
    short = case(report, "short_sources")
    assert short["samples"] == short["wanted"]
    assert short["frames"] == [128, 128]
