"""Words and names from elsewhere through real nodes: of language models, of players, in any script."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import mutagen
import pytest
from comfyui_client import ComfyUIClient
from host_process import HostProcess
from song_runs import Prompt, Run, song_prompt, succeed, text_of, with_nodes

NAMES = "%date:yyyy-MM-dd%/x: %AceComposerSample.seed% %Nobody.here%"
NAMED = r"x_ \d+ %Nobody\.here%"
UNFILLED = "%Nobody.here% in the file name stays as it is"


def planned(changes: str, **blueprint: Any) -> Prompt:
    """A plan that text from another node changes, and what became of it."""
    prompt = song_prompt(blueprint={"lyrics": "[Verse]\nla", **blueprint})
    return with_nodes(
        {"blueprint": prompt["blueprint"]},
        words=("PrimitiveStringMultiline", {"value": changes}),
        edit=("AceComposerEditBlueprint", {"blueprint": ["blueprint", 0], "changes": ["words", 0]}),
        text=("PreviewAny", {"source": ["edit", 1]}),
    )


@pytest.mark.parametrize(
    "changes",
    [
        '{"bpm": 96, "key": "Am", "time_signature": "3/4", "language": "English"}',
        '{"bpm": 96, "keyscale": "A minor", "timesignature": "3", "vocal_language": "en"}',
        '```json\n{"bpm": 96, "key": "Am", "time_signature": 3, "language": "en"}\n```',
        '{"bpm": "96 BPM", "key": "A minor", "timesignature": "3/4", "language": "en-US"}',
        '<think>{"bpm": 1}</think>Here is your plan:\n{"bpm": 96.0, "keyscale": "a moll", "timesignature": "3",'
        ' "language": "en"}\nEnjoy!',
        '\ufeff{"bpm": 96,\u2028 "key": "Am", "time_signature": "3/4", "language": "en"}',
    ],
    ids=["own names", "official names", "code fence", "numbers as text", "thoughts", "invisible marks"],
)
def test_the_text_of_a_language_model_changes_a_plan(client: ComfyUIClient, changes: str) -> None:
    (song,) = json.loads(text_of(succeed(client, planned(changes)), "text"))["songs"]
    assert (song["bpm"], song["key"], song["time_signature"], song["language"]) == (96, "A minor", 3, "en")
    assert song["lyrics"] == "[Verse]\nla"


def test_lyrics_in_changes_are_read_like_all_others(client: ComfyUIClient) -> None:
    changes = json.dumps({"lyrics": "[00:12.00]\u6df1[00:12.50]\u3044\n[00:14.00]next"})
    run = succeed(client, planned(changes))
    (song,) = json.loads(text_of(run, "text"))["songs"]
    assert song["lyrics"] == "\u6df1\u3044\nnext"
    assert "lyrics with times, which are not sung" in text_of(run, "edit")


def test_lyrics_that_nobody_sings_are_said(client: ComfyUIClient) -> None:
    prompt = planned("{}", instrumental=True)
    run = succeed(client, prompt)
    assert text_of(run, "blueprint") == "nobody sings the lyrics: instrumental is on"
    assert json.loads(text_of(run, "text"))["songs"][0]["lyrics"] == "[Instrumental]"


SONGS = {
    "tags only, in one line": (
        "[Intro \u2013 Sustained Synth Note & Minimal Percussion] [Verse 1 - Subtle Texture] [Outro]",
        [],
    ),
    "spaced Chinese": (
        "[verse]\n\u541b \u4e0d \u89c1\n\u9ec4 \u6cb3 \u4e4b \u6c34 \n",
        ["\u541b \u4e0d \u89c1", "\u9ec4 \u6cb3 \u4e4b \u6c34"],
    ),
    "Japanese from Windows": (
        "[Verse]\r\n\u591c\u306b\u99c6\u3051\u308b \u307c\u304f\u3089\u306e\u6b4c\r\n"
        "\u304d\u307f\u304c\uff08\u597d\u304d\uff09",
        [
            "\u591c\u306b\u99c6\u3051\u308b \u307c\u304f\u3089\u306e\u6b4c",
            "\u304d\u307f\u304c\uff08\u597d\u304d\uff09",
        ],
    ),
    "Arabic": (
        "[Verse]\n\u064a\u0627 \u0644\u064a\u0644 \u064a\u0627 \u0639\u064a\u0646",
        ["\u064a\u0627 \u0644\u064a\u0644 \u064a\u0627 \u0639\u064a\u0646"],
    ),
    "emoji with joiners": (
        "[Verse]\n\U0001f3b5 la la\n\U0001f468\u200d\U0001f469\u200d\U0001f467 family \U0001f1ef\U0001f1f5",
        ["\U0001f3b5 la la", "\U0001f468\u200d\U0001f469\u200d\U0001f467 family \U0001f1ef\U0001f1f5"],
    ),
}


def timed(lyrics: str) -> Prompt:
    prompt = song_prompt(blueprint={"lyrics": lyrics}, sample={"steps": 1})
    for node in ("decode", "save"):
        del prompt[node]
    inputs = {
        "model": ["load", 0],
        "text_encoder": ["load", 1],
        "structure_tags": False,
        "parts": "word",
        "save": "all",
        "filename_prefix": f"lyrics/{NAMES}",
        "latent": ["sample", 0],
        "conditioning": ["encode", 0],
        "steps": 0,
    }
    return with_nodes(prompt, lrc=("AceComposerLyricTiming", inputs))


def written(client: ComfyUIClient, run: Run) -> Mapping[str, str]:
    files = run.entry["outputs"]["lrc"]["files"]
    assert all(re.fullmatch(r"lyrics/\d{4}-\d\d-\d\d", file["subfolder"]) for file in files)
    assert all(re.match(NAMED, file["filename"]) for file in files)
    return {file["filename"].partition("_.")[2]: client.view(file).decode("utf-8") for file in files}


@pytest.mark.parametrize(("lyrics", "lines"), SONGS.values(), ids=SONGS)
def test_every_sung_line_is_timed_once_as_it_was_written(client: ComfyUIClient, lyrics: str, lines: list[str]) -> None:
    run = succeed(client, timed(lyrics))
    files = written(client, run)
    assert [line.split("]", 1)[1] for line in files.get("lrc", "").splitlines()] == lines
    if lines:
        assert set(files) == {"lrc", "words.lrc", "srt", "vtt", "json"} and UNFILLED in text_of(run, "lrc")
    else:
        assert files == {} and "a song without lines gets no files" in text_of(run, "lrc")


def saved(client: ComfyUIClient, folder: Path, lrc: str) -> tuple[mutagen.FileType, str]:
    """The tags of an MP3 that was saved with timed lyrics, and what the node says."""
    prompt = song_prompt(sample={"steps": 1})
    del prompt["save"]
    inputs = {"audio": ["decode", 0], "blueprint": ["blueprint", 0], "filename_prefix": f"songs/{NAMES}"}
    inputs |= {"encoding": "mp3 128k", "title": "", "lrc": ["words", 0]}
    prompt = with_nodes(
        prompt, words=("PrimitiveStringMultiline", {"value": lrc}), save_song=("AceComposerSaveSong", inputs)
    )
    run = succeed(client, prompt)
    (file,) = run.entry["outputs"]["save_song"]["audio"]
    assert re.fullmatch(r"songs/\d{4}-\d\d-\d\d", file["subfolder"]) and re.match(NAMED, file["filename"])
    (folder / "song.mp3").write_bytes(client.view(file))
    return mutagen.File(folder / "song.mp3"), text_of(run, "save_song")


@pytest.mark.parametrize(
    "lrc",
    [
        "[ar:me]\n[00:01.00]la [00:01.50]la\n[00:02.00][00:05.00]lo",
        "1\n00:00:01,000 --> 00:00:02,000\n<i>la</i> la\n\n2\n00:00:02,000 --> 00:00:03,000\nlo\n\n"
        "3\n00:00:05,000 --> 00:00:06,000\nlo\n",
        "[1000,900]la (1000,400)la(1500,300)\n[2000,500]lo(2000,500)\n[5000,500]lo(5000,500)",
    ],
    ids=["karaoke LRC", "SubRip", "QRC"],
)
def test_timed_lyrics_of_any_program_are_saved_for_players(client: ComfyUIClient, tmp_path: Path, lrc: str) -> None:
    tags, said = saved(client, tmp_path, lrc)
    assert tags["SYLT::und"].text == [("la la", 1000), ("lo", 2000), ("lo", 5000)]
    assert UNFILLED in said and "no times" not in said


def test_timed_lyrics_without_times_are_named(client: ComfyUIClient, tmp_path: Path) -> None:
    tags, said = saved(client, tmp_path, "la la\nlo")
    assert "SYLT::und" not in tags and "the timed lyrics have no times" in said


def test_a_plan_of_the_official_examples_is_loaded_and_saved(client: ComfyUIClient, host: HostProcess) -> None:
    example = {"think": True, "caption": "pop", "lyrics": "[Verse]\nla", "bpm": 100, "duration": 160}
    example |= {"keyscale": "B minor", "language": "zh", "timesignature": "4"}
    path = host.base_directory / "input" / "example_01.json"
    path.write_text(json.dumps(example), encoding="utf-8")
    prompt = {
        "load": {"class_type": "AceComposerLoadBlueprint", "inputs": {"file": path.name}},
        "keep": {
            "class_type": "AceComposerSaveBlueprint",
            "inputs": {
                "blueprint": ["load", 0],
                "filename_prefix": "plans/%date:yyyy-MM-dd%/%AceComposerLoadBlueprint.file%",
            },
        },
    }
    (file,) = succeed(client, prompt).entry["outputs"]["keep"]["files"]
    path.unlink()
    assert re.fullmatch(r"plans/\d{4}-\d\d-\d\d", file["subfolder"])
    assert file["filename"] == "example_01.json_00001_.json"
    (song,) = json.loads(client.view(file))["songs"]
    assert (song["bpm"], song["key"], song["duration_seconds"], song["language"]) == (100, "B minor", 160.0, "zh")
