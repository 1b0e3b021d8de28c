"""Training in a real ComfyUI: in its modules (tests/inside/inside_train.py), and from a folder of songs."""

from __future__ import annotations

import re
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from comfyui_client import ComfyUIClient
from host_process import HostProcess
from safetensors.torch import load_file
from song_folders import write_song
from song_runs import (
    MOST_LATE_REPORTS,
    Prompt,
    cancel,
    decode_sound,
    latent_prompt,
    latents_of,
    observe,
    published_prompt,
    song_prompt,
    sounds,
    succeed,
    text_of,
    with_nodes,
)

Report = dict[str, dict[str, Any]]
STEPS = 40
SONGS = "songs to learn"


def case(report: Report, name: str) -> dict[str, Any]:
    found = report[name]
    assert "error" not in found or "Traceback" not in str(found["error"]), found["error"]
    return found


@pytest.fixture(scope="module", autouse=True)
def loras(models_directory: Path) -> Iterator[Path]:
    """`models/loras`; what these tests train is removed from it."""
    folder = models_directory / "loras"
    before = {*folder.iterdir()}
    yield folder
    for path in {*folder.iterdir()} - before:
        shutil.rmtree(path) if path.is_dir() else path.unlink()


@pytest.fixture(scope="module")
def report(run_inside: Callable[[str], Report]) -> Report:
    return run_inside("inside_train.py")


def test_training_leaves_a_lora_a_curve_and_songs(report: Report) -> None:
    training = case(report, "training")
    assert training["name"] == "styles/one_00001_.safetensors"
    assert training["text"].startswith("loras/styles/one_00001_.safetensors\n6 steps, loss ")
    assert training["files"] == ["one_step000003_00001_.flac", "one_step000006_00001_.flac"]
    assert training["files exist"]
    assert training["heard"] == [[1, 2, 480000], 48000, True]
    shape, lowest, highest = training["curve"]
    assert shape == [1, 384, 768, 3] and 0 <= lowest < highest <= 1
    wanted = {"base_model": "acestep-v15-turbo", "rank": "4", "activation_tag": "zukkelpop", "steps": "6"}
    wanted |= {"dataset_hash": "hash of songs", "adapter": "dora", "seed": "1"}
    assert wanted.items() <= training["metadata"].items()


def test_the_output_is_what_load_lora_gives(report: Report) -> None:
    training = case(report, "training")
    assert training["shown"] == "one_00001_.safetensors x 1"
    assert training["change"] > 0.1 and training["loaded"] == 0


def test_other_branches_and_the_base_stay_the_same_to_the_bit(report: Report) -> None:
    training = case(report, "training")
    assert training["base weights"] and training["other branch"] and training["base branch"]
    assert training["gradients on"] == [] and training["peft in the shared network"] == []


def test_nothing_is_left_of_a_finished_training(report: Report) -> None:
    training = case(report, "training")
    assert training["trees left"] == 0
    assert training["states left"] == training["files"]


def test_a_cancelled_training_goes_on_to_the_same_lora(report: Report) -> None:
    cancelling = case(report, "cancelling")
    assert cancelling["error"] == "InterruptProcessingException"
    assert cancelling["steps in the checkpoint"] == 3
    assert cancelling["said"] == ["step 4 of 6", "step 5 of 6", "step 6 of 6"]
    assert cancelling["first"] == ["starting", "going on"]
    assert cancelling["equal"] and cancelling["states left"] == 0


@pytest.mark.parametrize(
    ("adapter", "name"),
    [("LoRA", "kinds/LoRA_00001_"), ("DoRA", "kinds/DoRA_00001_"), ("LoKr", "kinds/LoKr_00001_.safetensors")],
)
def test_every_kind_of_adapter_loads_as_it_was_trained(report: Report, adapter: str, name: str) -> None:
    found = case(report, "kinds")[adapter]
    assert found["name"] == name
    assert found["change"] > 0.1 and found["loaded"] == 0


@pytest.mark.parametrize(
    ("attempt", "said"),
    [
        ("adapters", "has adapters already"),
        ("other base", "was made with acestep-v15-xl-sft and the model is acestep-v15-turbo"),
        ("sample", "connect both, or set it to 0"),
        ("style", "a LoKr cannot be saved as a PEFT folder"),
        ("optimizer", "needs the package bitsandbytes"),
        ("memory", "this training needs about"),
        ("outside", "leads out of"),
        ("diverged", "training has diverged"),
    ],
)
def test_what_cannot_be_trained_is_said(report: Report, attempt: str, said: str) -> None:
    assert case(report, "refusals")[attempt].startswith("ValueError: ")
    assert said in case(report, "refusals")[attempt]


@pytest.fixture(scope="module")
def songs(host: HostProcess) -> Iterator[Path]:
    """A folder with two songs in the server's input folder; what is made of it is removed."""
    folder = host.base_directory / "input" / SONGS
    write_song(folder / "one.flac", pitch=200.0)
    write_song(folder / "two.flac", pitch=300.0)
    yield folder
    shutil.rmtree(folder)
    for made in ("ace_step_training", "ace_step_training_runs"):
        shutil.rmtree(host.base_directory / "output" / made, ignore_errors=True)


def training_prompt(name: str) -> Prompt:
    tag = {"activation_tag": "zukkel", "tag_position": "prepend"}
    dataset = {"folder": f"input/{SONGS}", "name": "", **tag, "genre_ratio": 0, "all_instrumental": True}
    encoders = {"model": ["load", 0], "text_encoder": ["load", 1], "vae": ["load", 2]}
    training = {"adapter": "LoRA", "preset": "auto", "rank": 4, "steps": STEPS, "learning_rate": 0.01, "seed": 1}
    training |= {"sample_every": 0, "batch_size": 1, "accumulation": 1, "max_seconds": 3.0, "name": name}
    return {
        "load": song_prompt()["load"],
        "dataset": {"class_type": "AceComposerDataset", "inputs": dataset},
        "data": {"class_type": "AceComposerPreprocess", "inputs": {"dataset": ["dataset", 0], **encoders}},
        "train": {
            "class_type": "AceComposerTrainLora",
            "inputs": {**training, "model": ["load", 0], "data": ["data", 0]},
        },
    }


def test_before_and_after_in_one_prompt(client: ComfyUIClient, songs: Path, loras: Path) -> None:
    """Sampled with the trained model and without; then the file with Load LoRA, and the model alone again."""
    alone = latent_prompt(song_prompt(sample={"seed": 3}))
    base = latents_of(client, succeed(client, alone))
    both = {**alone, **training_prompt("api/one")}
    after = {"model": ["train", 0]}
    both = with_nodes(
        both,
        after=("AceComposerSample", alone["sample"]["inputs"] | after),
        after_latents=("SaveLatent", {"samples": ["after", 0], "filename_prefix": "latents/after"}),
        curve=("SaveImage", {"images": ["train", 2], "filename_prefix": "curve"}),
    )
    events: list[dict[str, Any]] = []
    run = observe(client, both, on_event=lambda event: events.append(dict(event)))
    assert run.failure is None, run.failure
    assert np.array_equal(latents_of(client, run), base)
    trained = latents_of(client, run, "after_latents")
    assert np.abs(trained - base).max() > 0.1
    assert run.entry["outputs"]["curve"]["images"]
    reports = [
        event["data"]["value"] for event in events if event["type"] == "progress" and event["data"]["node"] == "train"
    ]
    assert reports and reports[-1] == STEPS and reports == sorted(reports)
    lora = text_of(run, "train").splitlines()[0].removeprefix("loras/")
    assert (loras / lora).is_file()
    loaded = with_nodes(alone, lora=("AceComposerLoadLora", {"model": ["load", 0], "lora": lora, "strength": 1.0}))
    loaded["sample"]["inputs"]["model"] = ["lora", 0]
    assert np.array_equal(latents_of(client, succeed(client, loaded)), trained)


def test_a_training_is_cancelled_and_goes_on(
    host: HostProcess, client: ComfyUIClient, songs: Path, loras: Path
) -> None:
    assert cancel(client, training_prompt("api/part"), "train") <= MOST_LATE_REPORTS
    states = host.base_directory / "output" / "ace_step_training_runs" / "api" / "part"
    assert len(list(states.iterdir())) == 1
    trained = []
    for name in ("api/part", "api/whole"):
        run = succeed(client, training_prompt(name))
        trained.append(load_file(loras.parent / text_of(run, "train").splitlines()[0]))
    assert list(states.iterdir()) == []
    part, whole = trained
    assert part.keys() == whole.keys()
    assert all(torch.equal(part[name], whole[name]) for name in whole)


def test_the_workflow_labels_prepares_trains_and_renders_before_and_after(
    host: HostProcess, client: ComfyUIClient, songs: Path, loras: Path
) -> None:
    changes: dict[str, dict[str, Any]] = {
        "dataset": {"folder": f"input/{SONGS}", "name": "workflow"},
        "label": {"seed": 2},
        "blueprint": {"duration_seconds": 10.0},
        "train": {
            "name": "workflow/%date:yyyy%/style %Train LoRA.rank%",
            "rank": 4,
            "steps": STEPS,
            "learning_rate": 0.01,
            "sample_every": STEPS,
        },
    }
    run = succeed(client, published_prompt("train_lora", **changes))
    (before,), (after,) = sounds(client, run), sounds(client, run, "save_2")
    assert np.abs(before.waveform - after.waveform).max() > 0.01
    assert text_of(run, "label").startswith("output/ace_step_datasets/workflow.json\nlistened to 2 of 2 songs")
    assert "encoded 2 recordings and 2 texts" in text_of(run, "preprocess")
    assert re.match(r"loras/workflow/\d{4}/style 4_00001_\.safetensors\n40 steps, loss ", text_of(run, "train"))
    assert run.entry["outputs"]["picture"]["images"]
    (sample,) = run.entry["outputs"]["train"]["audio"]
    assert re.fullmatch(r"style 4_step000040_\d+_\.flac", sample["filename"])
    assert np.abs(decode_sound(client.view(sample)).waveform).max() > 0.01
    again = succeed(client, published_prompt("train_lora", **changes))
    assert again.executed == []
    (host.base_directory / "output" / "ace_step_datasets" / "workflow.json").unlink()
