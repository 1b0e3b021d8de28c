"""Workflows made ready for the music box, the line about each, and the committed songs that it rendered."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import demo
import demo_of_all
import music_box_workflows
import pytest
import songs
from comfyui_client import HostError
from music_box_workflows import FACTS, MUSIC_BOX, SAMPLE, WORKFLOWS, measured, shortened, with_music_box, workflow_names
from run_workflow import load_prompt

from ace_core.song_files.encoding import read_sound
from ace_core.song_files.files import read_record

NAMES = workflow_names()


def ready(name: str, loras: Path) -> dict[str, Any]:
    return measured(shortened(with_music_box(load_prompt(WORKFLOWS / f"{name}.json")), loras))


def values(prompt: dict[str, Any], kind: str, name: str) -> list[Any]:
    return [node["inputs"][name] for node in prompt.values() if node["class_type"] == kind]


@pytest.mark.parametrize("name", NAMES)
def test_a_workflow_has_the_music_box_and_files_that_are_there(name: str, tmp_path: Path) -> None:
    (tmp_path / "ace_step").mkdir()
    (tmp_path / "ace_step" / "my_style_00001_.safetensors").touch()
    prompt = ready(name, tmp_path)
    assert values(prompt, "AceComposerLoadModels", "model") == [MUSIC_BOX]
    assert set(values(prompt, "AceComposerLoadPlanner", "planner")) <= {MUSIC_BOX}
    assert set(values(prompt, "AceComposerLoadSong", "audio")) <= {SAMPLE}
    assert set(values(prompt, "AceComposerLoadLora", "lora")) <= {"ace_step/my_style_00001_.safetensors"}
    assert "LoadAudio" not in {node["class_type"] for node in prompt.values()}
    assert (FACTS in prompt) == bool(values(prompt, "AceComposerSaveSong", "audio"))


def test_a_recording_comes_out_of_the_audio_output_of_load_song(tmp_path: Path) -> None:
    prompt = ready("repaint", tmp_path)
    (audio,) = values(prompt, "AceComposerRepaint", "audio")
    assert prompt[audio[0]]["class_type"] == "AceComposerLoadSong" and audio[1] == 1
    assert ready("replay_song", tmp_path)["4"]["inputs"]["codes_strength"] == ["3", 3]  # Load Song all along


def test_tasks_of_base_get_base(tmp_path: Path) -> None:
    variants = {name: values(ready(name, tmp_path), "AceComposerLoadModels", "variant") for name in NAMES}
    base = {name for name, found in variants.items() if found == ["base"]}
    assert base == {"build_a_band", "complete", "extract_stems", "vocal_to_backing"}


def test_workflows_that_others_need_run_first() -> None:
    assert set(NAMES[:2]) == {"plan_and_render", "train_lora"} and NAMES[2:] == sorted(NAMES[2:])


class Running:
    """A server on which every run ends like this."""

    def __init__(self, result: dict[str, Any] | HostError) -> None:
        self._result = result

    def run(self, prompt: object) -> dict[str, Any]:
        if isinstance(self._result, HostError):
            raise self._result
        return self._result

    def view(self, item: object) -> bytes:
        return b""


def finished(**outputs: Any) -> dict[str, Any]:
    return {"status": {"messages": []}, "outputs": outputs}


def failed(node: str) -> dict[str, Any]:
    error = {"node_id": node, "exception_type": "ValueError", "exception_message": "it cannot"}
    return {"status": {"messages": [("execution_error", error)]}, "outputs": {}}


def node_of(prompt: dict[str, Any], kind: str) -> str:
    return next(name for name, node in prompt.items() if node["class_type"] == kind)


def test_a_line_says_where_the_song_is_and_what_was_measured(tmp_path: Path) -> None:
    prompt = ready("text_to_music", tmp_path)
    file = {"filename": "song.flac", "subfolder": "", "type": "output"}
    facts = "song 1: 16.00 s, 48000 Hz stereo\nsong 1: duration asked 16 s, measured 16.00 s: as asked\n"
    facts += "song 1: bpm asked 112, measured 110.0: as asked\nsong 1: key asked A minor, measured C major: differs"
    result = finished(**{node_of(prompt, "AceComposerSaveSong"): {"audio": [file]}, FACTS: {"text": [facts]}})
    text, succeeded = demo_of_all.run_one(Running(result), "text_to_music", prompt, tmp_path)
    assert succeeded
    assert text.split("; ") == [
        str(tmp_path / "text_to_music_song.flac"),
        "16.00 s",
        "bpm asked 112, measured 110.0",
        "key asked A minor, measured C major",
    ]
    stems = ready("extract_stems", tmp_path)
    savers = [name for name, node in stems.items() if node["class_type"] == "AceComposerSaveSong"]
    outputs = {name: {"audio": [{**file, "filename": f"{name}.flac"}]} for name in reversed(savers)}
    text, _ = demo_of_all.run_one(Running(finished(**outputs)), "extract_stems", stems, tmp_path)
    assert text == str(tmp_path / f"extract_stems_{savers[-1]}.flac")
    text, _ = demo_of_all.run_one(Running(result), "complete", ready("complete", tmp_path), tmp_path)
    assert text.endswith("runs; the music box does not know this task")


def test_only_what_the_music_box_cannot_do_may_stop(tmp_path: Path) -> None:
    prompt = ready("lyrics_timing", tmp_path)
    ends = {
        "its task": Running(failed(node_of(prompt, "AceComposerLyricTiming"))),
        "another node": Running(failed(node_of(prompt, "AceComposerLoadModels"))),
        "refused": Running(HostError("no")),
    }
    said = {name: demo_of_all.run_one(server, "lyrics_timing", prompt, tmp_path) for name, server in ends.items()}
    assert said["its task"][1] and said["its task"][0].startswith("not for the music box: Lyric Timing")
    assert [said[name][1] for name in ("another node", "refused")] == [False, False]
    assert said["another node"][0].startswith("FAILED: Load Models") and said["refused"][0] == "FAILED: no"


def test_the_demo_takes_a_folder_or_the_music_box(tmp_path: Path) -> None:
    assert demo.models_choice("music-box") == "music-box"
    assert demo.models_choice(str(tmp_path)) == tmp_path


def test_a_dataset_is_there_for_training(tmp_path: Path) -> None:
    music_box_workflows.write_songs(tmp_path)
    (folder,) = values(ready("train_lora", tmp_path), "AceComposerDataset", "folder")
    assert [*(tmp_path / folder.removeprefix("input/")).iterdir()]


@pytest.mark.parametrize("song", [songs.SAMPLE_SONG, *songs.SONGS], ids=lambda song: song.path.stem)
def test_a_committed_song_is_the_one_of_its_recipe(song: songs.Song) -> None:
    plan = read_record(song.path).blueprint
    asked = song.changes.get(songs.BLUEPRINT, {})
    assert {name: getattr(plan, name) for name in ("caption", "bpm", "key") if name in asked} == {
        name: asked[name] for name in ("caption", "bpm", "key") if name in asked
    }
    sound = read_sound(song.path)
    seconds = songs.SAMPLE_SONG.changes[songs.BLUEPRINT]["duration_seconds"]
    if song.workflow == "text_to_music":
        seconds = asked["duration_seconds"]
    assert sound.waveform.shape == (2, seconds * 48_000) and sound.waveform.abs().max() > 0.1


def test_committed_songs_are_small() -> None:
    assert songs.SAMPLE_SONG.path.stat().st_size < 400_000
    assert sum(song.path.stat().st_size for song in songs.SONGS) < 2_000_000


def test_readme_links_every_song() -> None:
    readme = (songs.PACK_ROOT / "README.md").read_text(encoding="utf-8")
    assert [song.path.name for song in songs.SONGS if f"(docs/{song.path.name}?raw=true)" not in readme] == []
