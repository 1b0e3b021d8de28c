"""Listening back in a real ComfyUI: timed lyrics, scores, the best of a batch, facts of a recording."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pytest
from comfyui_client import ComfyUIClient
from host_process import HostProcess
from music import band, write_wav
from song_runs import (
    MOST_LATE_REPORTS,
    Prompt,
    Run,
    cancel,
    clear_cache,
    observe,
    published_prompt,
    refusal,
    song_prompt,
    sounds,
    succeed,
    text_of,
    with_nodes,
)

from ace_core.song_files.files import read_record

SONGS = 3
SEED = 11
LYRICS = "[Verse]\nHello my friend\nGoodbye my foe\n\n[Chorus]\nWe sing"
PLAN = {"caption": "pop", "lyrics": LYRICS, "bpm": 120, "key": "A minor", "language": "en"}
WEIGHTS = {"weight_caption": 0.5, "weight_lyrics": 0.3, "weight_metadata": 0.2, "weight_alignment": 1.0}
MODELS = {"model": ["load", 0], "text_encoder": ["load", 1]}
SAMPLED = {"latent": ["sample", 0], "conditioning": ["encode", 0]}
DECODED = {"audio": ["decode", 0], "vae": ["load", 2], "blueprint": ["blueprint", 0]}
SUFFIXES = (".lrc", ".words.lrc", ".srt", ".vtt", ".json")
PLANNER = {"planner": "text_encoders/qwen_1.7b_ace15.safetensors", "precision": "auto", "weights": "full"}


def timing(**inputs: object) -> tuple[str, dict[str, Any]]:
    settings = {"structure_tags": False, "parts": "word", "save": "nothing", "filename_prefix": "lyrics/test"}
    return "AceComposerLyricTiming", {**MODELS, **settings, **inputs}


def score(**inputs: object) -> tuple[str, dict[str, Any]]:
    return "AceComposerScore", {**MODELS, **WEIGHTS, "blueprint": ["blueprint", 0], "sensitivity": 0.5, **inputs}


def best(**inputs: object) -> tuple[str, dict[str, Any]]:
    return "AceComposerBestOfN", {"scores": ["score", 0], "keep": 1, "rank_by": "total", **inputs}


def shown(node: str, output: int) -> tuple[str, dict[str, Any]]:
    return "PreviewAny", {"source": [node, output]}


def songs(**changes: Mapping[str, Any]) -> Prompt:
    """The songs of a batch as latents; changes as in `song_prompt`."""
    plan = PLAN | dict(changes.pop("blueprint", {}))
    sample = {"seed": SEED, "batch_size": SONGS} | dict(changes.pop("sample", {}))
    prompt = song_prompt(blueprint=plan, sample=sample, **changes)
    return {name: node for name, node in prompt.items() if name not in ("decode", "save")}


def decoded(**changes: Mapping[str, Any]) -> Prompt:
    prompt = song_prompt(**changes)
    return with_nodes(songs(**changes), decode=("AceComposerDecode", prompt["decode"]["inputs"]))


def scored(*, planner: bool = True, **inputs: object) -> Prompt:
    prompt = with_nodes(songs(), score=score(**SAMPLED, **inputs), scores=shown("score", 1))
    if planner:
        prompt["score"]["inputs"]["planner"] = ["planner", 0]
        prompt = with_nodes(prompt, planner=("AceComposerLoadPlanner", PLANNER))
    return prompt


def scores_of(run: Run) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = json.loads(text_of(run, "scores"))["songs"]
    return found


class Judged(NamedTuple):
    """A run that samples three songs, scores them and decodes the best two."""

    run: Run
    scores: list[dict[str, Any]]
    sounds: list[np.ndarray]


@pytest.fixture(scope="module")
def judged(host: HostProcess) -> Judged:
    prompt = with_nodes(
        scored(plan_alignment=True),
        best=best(keep=2, latent=["sample", 0], blueprint=["blueprint", 0]),
        decode=("AceComposerDecode", {"vae": ["load", 2], "latent": ["best", 0], "normalize": True}),
        save=("SaveAudio", {"audio": ["decode", 0], "filename_prefix": "audio/best"}),
        ranking=shown("best", 5),
    )
    with ComfyUIClient(host.url) as client:
        clear_cache(client)
        run = succeed(client, prompt)
        return Judged(run, scores_of(run), [sound.waveform for sound in sounds(client, run)])


def test_every_part_of_every_song_is_scored(judged: Judged) -> None:
    assert len(judged.scores) == SONGS
    for song in judged.scores:
        assert list(song["parts"]) == ["caption", "lyrics", "metadata", "alignment"]
        assert set(song["details"]) == {
            *("bpm", "duration", "keyscale", "language", "timesignature"),
            *("coverage", "monotonicity", "confidence", "plan alignment"),
        }
        parts = song["parts"]
        weighted = 0.5 * parts["caption"] + 0.3 * parts["lyrics"] + 0.2 * parts["metadata"] + parts["alignment"]
        assert song["total"] == pytest.approx(weighted / 2)
    for name in ("caption", "lyrics", "metadata", "alignment"):  # each song is heard, not the plan they share
        assert len({song["parts"][name] for song in judged.scores}) > 1, name


def test_the_node_shows_the_scores(judged: Judged) -> None:
    lines = text_of(judged.run, "score").splitlines()
    assert lines[0].split() == ["song", "total", "caption", "lyrics", "metadata", "alignment"]
    assert lines[1].split()[:2] == ["1", f"{judged.scores[0]['total']:.3f}"]
    assert lines[1 + SONGS].startswith("song 1: bpm ")


def test_a_song_is_scored_as_if_it_were_alone(client: ComfyUIClient, judged: Judged) -> None:
    prompt = scored(plan_alignment=True)
    prompt["sample"]["inputs"].update(seed=SEED + 1, batch_size=1)
    (alone,) = scores_of(succeed(client, prompt))
    for name, value in alone["parts"].items():
        assert judged.scores[1]["parts"][name] == pytest.approx(value, abs=2e-4), name


def test_only_the_best_songs_are_decoded(client: ComfyUIClient, judged: Judged) -> None:
    totals = [song["total"] for song in judged.scores]
    order = sorted(range(SONGS), key=totals.__getitem__, reverse=True)
    assert judged.run.executed.count("sample") == 1 and len(judged.sounds) == 2
    for place in (0, 1):
        alone = song_prompt(blueprint=PLAN, sample={"seed": SEED + order[place], "batch_size": 1})
        ((expected, _, _),) = sounds(client, succeed(client, alone))
        assert np.abs(judged.sounds[place] - expected).max() < 1e-3
    rows = text_of(judged.run, "ranking").splitlines()
    assert [int(row.split()[1]) for row in rows[1:]] == [index + 1 for index in order]


def test_the_ranking_is_shown_with_a_chart(client: ComfyUIClient, judged: Judged) -> None:
    output = judged.run.entry["outputs"]["best"]
    assert text_of(judged.run, "best") == text_of(judged.run, "ranking")
    (image,) = output["images"]
    assert client.view(image).startswith(b"\x89PNG")


def test_without_a_planner_only_the_alignment_is_scored(client: ComfyUIClient, judged: Judged) -> None:
    run = succeed(client, scored(planner=False))
    found = scores_of(run)
    assert [song["parts"] for song in found] == [{"alignment": song["parts"]["alignment"]} for song in judged.scores]
    assert "no planner is connected" in text_of(run, "score")


def test_an_instrumental_has_no_alignment(client: ComfyUIClient) -> None:
    prompt = scored(planner=False)
    prompt["blueprint"]["inputs"]["instrumental"] = True
    run = succeed(client, prompt)
    assert scores_of(run) == [{"total": None, "parts": {}, "details": {}}] * SONGS
    assert "there is no alignment" in text_of(run, "score")
    text = refusal(client, with_nodes(prompt, best=best(), ranking=shown("best", 5)))
    assert "BestOfN" in text and "no song has a score 'total'" in text


def test_audio_is_scored_like_latents(client: ComfyUIClient) -> None:
    prompt = with_nodes(decoded(), score=score(audio=["decode", 0], vae=["load", 2]), scores=shown("score", 1))
    found = scores_of(succeed(client, prompt))
    assert len(found) == SONGS and all(0 < song["parts"]["alignment"] <= 1 for song in found)


def test_timed_lyrics_of_what_was_sampled(client: ComfyUIClient) -> None:
    prompt = with_nodes(
        songs(),
        lrc=timing(**SAMPLED, save="all"),
        **{f"text_{number}": shown("lrc", number) for number in range(5)},
    )
    run = succeed(client, prompt)
    texts = [text_of(run, f"text_{number}") for number in range(5)]
    for text in texts[:-1]:
        assert len(text.split("\f")) == SONGS
    for song in texts[0].split("\f"):
        assert [line.split("]", 1)[1] for line in song.splitlines()] == ["Hello my friend", "Goodbye my foe", "We sing"]
    files = run.entry["outputs"]["lrc"]["files"]
    assert [file["subfolder"] for file in files] == ["lyrics"] * len(SUFFIXES) * SONGS
    for number, suffix in enumerate(SUFFIXES):
        written = [client.view(file).decode("utf-8") for file in files[number :: len(SUFFIXES)]]
        assert all(file["filename"].endswith(suffix) for file in files[number :: len(SUFFIXES)])
        if suffix == ".json":
            assert [json.loads(text) for text in written] == json.loads(texts[number])
        else:
            assert "\f".join(written) == texts[number]
    assert len({file["filename"].split(".")[0] for file in files}) == SONGS
    assert f"output/lyrics/{files[-1]['filename']}" in text_of(run, "lrc")
    assert text_of(run, "lrc").count("alignment 0.") == SONGS


def test_the_workflow_times_a_recording(client: ComfyUIClient, tmp_path: Path) -> None:
    music = band(12.0, bpm=96, key="D minor", sample_rate=48_000)
    file = client.upload(write_wav(tmp_path / "workflow_timed.wav", music.mix, 48_000))
    prompt = published_prompt("lyrics_timing", audio={"audio": file})
    run = succeed(client, prompt)
    lines = [line for line in prompt["blueprint"]["inputs"]["lyrics"].splitlines() if line and line[0] != "["]
    assert [line.split("]", 1)[1] for line in text_of(run, "text").splitlines()] == lines
    assert text_of(run, "text_2").count(" --> ") == len(lines)
    assert [file["filename"][-4:] for file in run.entry["outputs"]["lrc"]["files"]][2:4] == [".srt", ".vtt"]


def test_the_best_of_eight_is_saved_with_its_scores_and_times(client: ComfyUIClient, host: HostProcess) -> None:
    short = {"lyrics": "[Verse]\nHold on", "duration_seconds": 10.0}
    run = succeed(client, published_prompt("best_of_8", blueprint=short, plan={"seed": 3, "rewrite_caption": False}))
    (item,) = run.entry["outputs"]["save"]["audio"]
    record = read_record(host.base_directory / "output" / item["subfolder"] / item["filename"])
    rows = [line.split() for line in text_of(run, "best").splitlines()]
    assert len(rows) == 9 and run.executed.count("sample") == run.executed.count("decode") == 1
    winner = dict(zip(rows[0][2:], map(float, rows[1][2:]), strict=True))
    assert {name: record.scores[name] for name in winner} == pytest.approx(winner, abs=0.0006)
    assert record.lrc.endswith("]Hold on") and len(record.blueprint.audio_codes or ()) == 50
    assert record.seeds["render"] == 42 + int(rows[1][1]) - 1
    assert len(record.models) == 4 and record.latents
    assert "song 1: duration asked 10 s, measured 10.00 s: as asked" in text_of(run, "facts")


def test_tags_and_tokens_where_they_are_asked_for(client: ComfyUIClient) -> None:
    prompt = with_nodes(
        songs(sample={"batch_size": 1}),
        lrc=timing(**SAMPLED, structure_tags=True, parts="token"),
        line=shown("lrc", 0),
        words=shown("lrc", 1),
    )
    run = succeed(client, prompt)
    lines = [line.split("]", 1)[1] for line in text_of(run, "line").splitlines()]
    assert lines == ["[Verse]", "Hello my friend", "Goodbye my foe", "[Chorus]", "We sing"]
    assert text_of(run, "words").count("<") > len(" ".join(lines).split()) + len(lines)
    assert "files" not in run.entry["outputs"]["lrc"] or run.entry["outputs"]["lrc"]["files"] == []


@pytest.mark.parametrize("seconds", [3.27, 10.03])
def test_lyrics_of_any_script_on_any_recording(client: ComfyUIClient, tmp_path: Path, seconds: float) -> None:
    music = band(seconds, bpm=96, key="D minor", sample_rate=44_100)
    file = client.upload(write_wav(tmp_path / f"timed_{seconds}.wav", music.mix, 44_100))
    lyrics = ["\u4f60\u597d\u4e16\u754c", "\u0e2a\u0e27\u0e31\u0e2a\u0e14\u0e35", "love \U0001f468\u200d\U0001f467 you"]
    prompt = with_nodes(
        {name: songs()[name] for name in ("load", "blueprint")},
        audio=("LoadAudio", {"audio": file}),
        lrc=timing(audio=["audio", 0], vae=["load", 2], blueprint=["blueprint", 0]),
        json=shown("lrc", 4),
    )
    prompt["blueprint"]["inputs"].update(lyrics="\n".join(lyrics), language="zh")
    (song,) = json.loads(text_of(succeed(client, prompt), "json"))
    assert [line["text"] for line in song["lines"]] == lyrics
    assert song["duration_seconds"] == pytest.approx(seconds, abs=0.001)
    starts = [line["start_seconds"] for line in song["lines"]]
    assert starts == sorted(starts) and all(0 <= line["end_seconds"] <= seconds for line in song["lines"])


def test_a_song_without_words_has_nothing_to_time(client: ComfyUIClient) -> None:
    prompt = with_nodes(songs(sample={"batch_size": 1}), lrc=timing(**SAMPLED, save="all"), text=shown("lrc", 0))
    prompt["blueprint"]["inputs"]["instrumental"] = True
    run = succeed(client, prompt)
    assert run.entry["outputs"]["lrc"].get("files", []) == []
    assert text_of(run, "text") == "" and "no words to sing" in text_of(run, "lrc")


def test_facts_of_music_that_is_known(client: ComfyUIClient, tmp_path: Path) -> None:
    music = band(20.0, bpm=96, key="D minor", sample_rate=48_000)
    prompt = with_nodes(
        {"blueprint": songs()["blueprint"]},
        audio=("LoadAudio", {"audio": client.upload(write_wav(tmp_path / "facts.wav", music.mix, 48_000))}),
        facts=("AceComposerAudioFacts", {"audio": ["audio", 0], "blueprint": ["blueprint", 0]}),
        json=shown("facts", 3),
        picture=("PreviewImage", {"images": ["facts", 1]}),
    )
    prompt["blueprint"]["inputs"].update(bpm=96, key="D minor", duration_seconds=30.0)
    run = succeed(client, prompt)
    (song,) = json.loads(text_of(run, "json"))["songs"]
    assert song["bpm"] == pytest.approx(96, abs=1) and song["key"] == "D minor"
    assert [(item["field"], item["verdict"]) for item in song["plan"]] == [
        ("duration", "differs"),
        ("bpm", "as asked"),
        ("key", "as asked"),
    ]
    assert "song 1: duration asked 30 s, measured 20.00 s: differs" in text_of(run, "facts")
    assert len(run.entry["outputs"]["facts"]["images"]) == 2


@pytest.mark.parametrize(
    ("inputs", "words"),
    [
        ({}, "connect the songs as latent or as audio: neither is connected"),
        ({**SAMPLED, **DECODED}, "connect the songs as latent or as audio: both are connected"),
        ({"audio": ["decode", 0], "blueprint": ["blueprint", 0]}, "connect vae too"),
        ({"latent": ["sample", 0]}, "the conditioning they were sampled with, or a blueprint"),
    ],
    ids=["nothing", "both", "no vae", "no plan"],
)
def test_what_is_missing_is_said(client: ComfyUIClient, inputs: Mapping[str, Any], words: str) -> None:
    text = refusal(client, with_nodes(decoded(sample={"batch_size": 1}), lrc=timing(**inputs)))
    assert "LyricTiming" in text and words in text


def test_other_latents_than_the_conditioning_are_refused(client: ComfyUIClient) -> None:
    longer = with_nodes(songs(sample={"batch_size": 1}), other=("AceComposerBlueprint", {}))
    longer["other"]["inputs"] = {**longer["blueprint"]["inputs"], "duration_seconds": 20.0}
    encode = {**longer["encode"]["inputs"], "blueprint": ["other", 0]}
    prompt = with_nodes(longer, encode_2=("AceComposerEncode", encode))
    wrong = {"latent": ["sample", 0], "conditioning": ["encode_2", 0]}
    text = refusal(client, with_nodes(prompt, lrc=timing(**wrong)))
    assert "the latents have 250 frames (10 s), but the conditioning is of a song of 500 (20 s)" in text


def test_a_model_whose_heads_nobody_knows(client: ComfyUIClient) -> None:
    prompt = with_nodes(songs(sample={"batch_size": 1}), lrc=timing(**SAMPLED))
    prompt["load"]["inputs"]["model"] = "ace_step/acestep-v15-turbo"
    text = refusal(client, prompt)
    assert "it has 4 layers" in text and "lyric_alignment_layers_config" in text


@pytest.mark.parametrize(
    ("inputs", "words"),
    [
        ({"keep": 4}, "4 songs are to be kept and 3 were scored"),
        ({"latent": ["other", 0]}, "got 1 latents for 3 scores"),
        ({"rank_by": "lyrics"}, "no song has a score 'lyrics', only total, alignment"),
    ],
    ids=["too many", "others", "no such score"],
)
def test_what_cannot_be_ranked(client: ComfyUIClient, inputs: Mapping[str, Any], words: str) -> None:
    prompt = with_nodes(scored(planner=False), best=best(**inputs), ranking=shown("best", 5))
    other = {**prompt["sample"]["inputs"], "batch_size": 1}
    text = refusal(client, with_nodes(prompt, other=("AceComposerSample", other)))
    assert "BestOfN" in text and words in text


def test_an_output_without_its_input_says_so(client: ComfyUIClient) -> None:
    prompt = with_nodes(
        scored(planner=False),
        best=best(latent=["sample", 0]),
        save=("SaveAudio", {"audio": ["best", 1], "filename_prefix": "audio/none"}),
    )
    errors = []
    run = observe(client, prompt, on_event=lambda event: errors.extend([event] * (event["type"] == "execution_error")))
    assert "save" not in run.entry["outputs"]
    (error,) = errors
    assert "connect audio to this node's input first" in error["data"]["exception_message"]


def test_scoring_is_cancelled(client: ComfyUIClient) -> None:
    prompt = scored()
    prompt["sample"]["inputs"].update(seed=900, batch_size=8, steps=1)
    prompt["blueprint"]["inputs"]["duration_seconds"] = 60.0
    assert cancel(client, prompt, "score") <= MOST_LATE_REPORTS
