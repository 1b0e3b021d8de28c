"""From a folder of songs to training data in a real ComfyUI: found, labelled, encoded once, and nothing else read."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest
from comfyui_client import ComfyUIClient
from host_process import HostProcess
from recordings_of_kinds import write_recording
from song_folders import write_song
from song_runs import (
    MOST_LATE_REPORTS,
    Prompt,
    cancel,
    clear_cache,
    published_prompt,
    refusal,
    succeed,
    text_of,
)

from ace_core.dataset.samples import read_manifest, read_sample

NAME = "test songs"
FACTS = {"caption": "slow guitar", "bpm": 90, "keyscale": "Am", "timesignature": "4/4", "language": "English"}


def dataset_prompt(**changes: Any) -> Prompt:
    inputs = {
        "folder": f"input/{NAME}",
        "name": "",
        "activation_tag": "zukkel",
        "tag_position": "prepend",
        "genre_ratio": 0,
        "all_instrumental": False,
    }
    return {"dataset": {"class_type": "AceComposerDataset", "inputs": inputs | changes}}


def label_prompt(*, dataset: Mapping[str, Any] = {}, **changes: Any) -> Prompt:
    wires = {"dataset": ["dataset", 0], "planner": ["planner", 0], "model": ["load", 0], "vae": ["load", 2]}
    label = {**wires, "seed": 3, "overwrite": False, "write_lyrics": False}
    return {
        **dataset_prompt(**dataset),
        "load": published_prompt("text_to_music")["load"],
        "planner": published_prompt("plan_and_render")["planner"],
        "label": {"class_type": "AceComposerLabelDataset", "inputs": label | changes},
    }


def preprocess_prompt(*, source: str = "dataset", **changes: Any) -> Prompt:
    inputs = {"dataset": [source, 0], "model": ["load", 0], "text_encoder": ["load", 1], "vae": ["load", 2]}
    before = label_prompt(dataset=changes) if source == "label" else dataset_prompt(**changes)
    load = published_prompt("text_to_music")["load"]
    return {**before, "load": load, "preprocess": {"class_type": "AceComposerPreprocess", "inputs": inputs}}


@pytest.fixture
def songs(host: HostProcess) -> Iterator[Path]:
    """A folder in the server's input folder with two songs and one broken file; what is made of it is removed."""
    folder = host.base_directory / "input" / NAME
    write_song(folder / "one.flac", pitch=200.0)
    write_song(folder / "two.mp3", 7.0, pitch=300.0)
    (folder / "one.txt").write_text("[Verse]\nla la", encoding="utf-8")
    (folder / "one.json").write_text(json.dumps(FACTS), encoding="utf-8")
    (folder / "broken.wav").write_bytes(b"RIFF")
    yield folder
    shutil.rmtree(folder)
    for made in ("ace_step_training", "ace_step_datasets"):
        shutil.rmtree(host.base_directory / "output" / made, ignore_errors=True)


def labels(host: HostProcess) -> Path:
    return host.base_directory / "output" / "ace_step_datasets" / f"{NAME}.json"


def training(host: HostProcess) -> Path:
    return host.base_directory / "output" / "ace_step_training" / NAME


def test_a_folder_is_offered_and_shown(client: ComfyUIClient, songs: Path) -> None:
    inputs = client.get_json("/object_info/AceComposerDataset")["AceComposerDataset"]["input"]["required"]
    folder = inputs["folder"]
    assert f"input/{NAME}" in (folder[1]["options"] if folder[0] == "COMBO" else folder[0])
    shown = text_of(succeed(client, dataset_prompt()), "dataset")
    assert shown.startswith(f"dataset {NAME}: 2 songs, 0.2 min; caption of 1, lyrics of 1, bpm of 1")
    assert "1 skipped:\nbroken.wav cannot be read as wav" in shown
    assert "two.mp3: no lyrics, so trained as an instrumental" in shown


def test_a_changed_file_beside_a_song_is_seen(client: ComfyUIClient, songs: Path) -> None:
    succeed(client, dataset_prompt())
    assert succeed(client, dataset_prompt()).executed == []
    (songs / "two.txt").write_text("words", encoding="utf-8")
    assert "lyrics of 2" in text_of(succeed(client, dataset_prompt()), "dataset")


def test_surround_is_skipped_or_mixed_down(client: ComfyUIClient, host: HostProcess, songs: Path) -> None:
    write_recording(songs / "surround.opus", "ogg", "libopus", "5.1")
    shown = text_of(succeed(client, dataset_prompt()), "dataset")
    assert "surround.opus has 6 channels: mix it down to stereo, or switch downmix on" in shown
    run = succeed(client, preprocess_prompt(downmix=True, name="mixed down"))
    assert text_of(run, "dataset").startswith("dataset mixed down: 3 songs")
    assert "encoded 3 recordings" in text_of(run, "preprocess")


def test_settings_that_files_name_are_said_where_they_are_others(client: ComfyUIClient, songs: Path) -> None:
    settings = {"custom_tag": "ZX", "tag_position": "append", "genre_ratio": 0, "all_instrumental": True}
    samples = [{"audio_path": "one.flac", "caption": "slow", "custom_tag": ""}]
    (songs / "all.json").write_text(json.dumps({"metadata": settings, "samples": samples}), encoding="utf-8")
    shown = text_of(succeed(client, dataset_prompt()), "dataset").splitlines()
    assert "the files say activation tag 'ZX'; 'zukkel' counts" in shown
    assert "the files say tag position 'append'; 'prepend' counts" in shown
    same = text_of(succeed(client, dataset_prompt(activation_tag="ZX", tag_position="append")), "dataset")
    assert "the files say" not in same


@pytest.mark.parametrize(
    "folder",
    [
        "input/../output",
        "../input",
        "/etc",
        "input//etc",
        "input/link",
        "output",
        "C:\\Windows",
        "input\\..\\models",
        "x",
    ],
)
def test_no_other_folder_is_read(client: ComfyUIClient, host: HostProcess, songs: Path, folder: str) -> None:
    link = host.base_directory / "input" / "link"
    link.symlink_to("/usr/share")
    try:
        assert "there is no dataset folder" in refusal(client, dataset_prompt(folder=folder))
    finally:
        link.unlink()


@pytest.mark.parametrize("name", ["../escape", "a/b", "/tmp/x", "..", "NUL"])
def test_a_name_cannot_lead_out_of_the_output_folder(client: ComfyUIClient, songs: Path, name: str) -> None:
    assert "the dataset's name" in refusal(client, dataset_prompt(name=name))


@pytest.mark.parametrize("file", ["../secret.json [output]", "/etc/passwd", "no.json"])
def test_labels_come_from_the_input_and_output_folders(client: ComfyUIClient, songs: Path, file: str) -> None:
    assert "there is no file" in refusal(client, dataset_prompt(labels=file))


def test_a_folder_without_songs_is_an_error(client: ComfyUIClient, songs: Path) -> None:
    for path in songs.iterdir():
        path.unlink()
    assert "there is no song to learn from" in refusal(client, dataset_prompt())


def test_labels_are_filled_in_and_read_again(client: ComfyUIClient, host: HostProcess, songs: Path) -> None:
    clear_cache(client)
    run = succeed(client, label_prompt())
    assert f"output/ace_step_datasets/{NAME}.json" in text_of(run, "label")
    assert "listened to 2 of 2 songs" in text_of(run, "label")  # of the first only the genre is missing
    first, second = json.loads(labels(host).read_text(encoding="utf-8"))["samples"]
    assert (first["caption"], first["bpm"], first["keyscale"], first["lyrics"]) == (
        "slow guitar",
        90,
        "A minor",
        "[Verse]\nla la",
    )
    assert second["caption"] and 30 <= second["bpm"] <= 300 and second["keyscale"] and second["lyrics"] == ""
    assert second["timesignature"] in ("2", "3", "4", "6") and second["labeled"] is True

    labels(host).write_text(labels(host).read_text(encoding="utf-8").replace("slow guitar", "loud guitar"), "utf-8")
    chosen = label_prompt(dataset={"labels": f"ace_step_datasets/{NAME}.json [output]"})
    again = succeed(client, chosen)
    assert "listened to 0 of 2 songs" in text_of(again, "label")
    assert json.loads(labels(host).read_text(encoding="utf-8"))["samples"] == [
        first | {"caption": "loud guitar"},
        second,
    ]
    renewed = succeed(client, label_prompt(overwrite=True))
    assert "listened to 2 of 2 songs" in text_of(renewed, "label")
    samples = json.loads(labels(host).read_text(encoding="utf-8"))["samples"]
    assert samples[0]["caption"] not in ("slow guitar", "loud guitar") and samples[0]["lyrics"] == "[Verse]\nla la"


def test_broken_labels_are_not_written_over(client: ComfyUIClient, host: HostProcess, songs: Path) -> None:
    labels(host).parent.mkdir(parents=True, exist_ok=True)
    labels(host).write_text('{"samples": [', encoding="utf-8")
    assert "is not valid JSON" in refusal(client, label_prompt(seed=4))
    assert labels(host).read_text(encoding="utf-8") == '{"samples": ['


def test_cancelling_keeps_the_labels_that_are_there(client: ComfyUIClient, host: HostProcess, songs: Path) -> None:
    for number in range(6):
        write_song(songs / f"more {number}.flac")
    assert cancel(client, label_prompt(seed=5, write_lyrics=True), "label") <= MOST_LATE_REPORTS
    if labels(host).exists():
        json.loads(labels(host).read_text(encoding="utf-8"))
    run = succeed(client, label_prompt(seed=6))
    assert all(sample["labeled"] for sample in json.loads(labels(host).read_text(encoding="utf-8"))["samples"])
    assert "of 8 songs" in text_of(run, "label")


def test_training_data_is_made_once(client: ComfyUIClient, host: HostProcess, songs: Path) -> None:
    clear_cache(client)
    run = succeed(client, preprocess_prompt(source="label"))
    shown = text_of(run, "preprocess")
    assert shown.startswith(f"training data {NAME}: 2 clips, 0.2 min\noutput/ace_step_training/{NAME}, for ")
    assert "acestep-v15-turbo\nencoded 2 recordings and 2 texts" in shown
    manifest = read_manifest(training(host))
    assert (manifest.name, manifest.base_model, manifest.activation_tag) == (NAME, "acestep-v15-turbo", "zukkel")
    assert [(entry.audio, entry.seconds) for entry in manifest.samples] == [("one.flac", 6.0), ("two.mp3", 7.0)]
    assert manifest.samples[0].caption == "zukkel, slow guitar"
    for entry in manifest.samples:
        sample = read_sample(training(host) / entry.file)
        assert sample.latents.shape == (int(entry.seconds * 25), 64) and sample.latents.std() > 0

    clear_cache(client)
    again = text_of(succeed(client, preprocess_prompt(source="label")), "preprocess")
    assert "encoded 0 recordings and 0 texts" in again
    assert read_manifest(training(host)) == manifest
    other = text_of(succeed(client, preprocess_prompt(source="label", activation_tag="other")), "preprocess")
    assert "encoded 0 recordings and 2 texts" in other


def test_another_model_has_conditions_of_its_own(client: ComfyUIClient, host: HostProcess, songs: Path) -> None:
    succeed(client, preprocess_prompt())
    prompt = preprocess_prompt()
    prompt["load"]["inputs"]["model"] = "diffusion_models/acestep_v1.5_base.safetensors"
    assert "encoded 0 recordings and 2 texts" in text_of(succeed(client, prompt), "preprocess")
    assert read_manifest(training(host)).base_model == "acestep-v15-base"


def test_cancelling_keeps_the_samples_that_are_there(client: ComfyUIClient, host: HostProcess, songs: Path) -> None:
    for number in range(10):
        write_song(songs / f"more {number}.flac", 6.0, pitch=100.0 + number)
    prompt = preprocess_prompt(activation_tag="cancelled")
    assert cancel(client, prompt, "preprocess") <= MOST_LATE_REPORTS
    assert not list(training(host).glob("*.unfinished"))
    there = len(list(training(host).glob("*.safetensors")))
    shown = text_of(succeed(client, prompt), "preprocess")
    assert f"encoded {12 - there} recordings" in shown


def test_a_configured_root_is_a_place_for_datasets(
    start_host: Callable[..., HostProcess], models_directory: Path, tmp_path: Path
) -> None:
    root = tmp_path / "my music"
    write_song(root / "album" / "song.flac")
    write_song(tmp_path / "private" / "song.flac")
    (root / "out").symlink_to(tmp_path / "private")
    paths = tmp_path / "extra.yaml"
    paths.write_text(f"here:\n  ace_step_datasets: {json.dumps(str(root))}\n", encoding="utf-8")
    started = start_host(models=models_directory, extra_arguments=[f"--extra-model-paths-config={paths}"])
    with ComfyUIClient(started.url) as client:
        for folder in ("my music/album", "my music"):
            assert "1 songs" in text_of(succeed(client, dataset_prompt(folder=folder)), "dataset")
        for folder in ("my music/out", "my music/../private", str(root)):
            assert "there is no dataset folder" in refusal(client, dataset_prompt(folder=folder))
