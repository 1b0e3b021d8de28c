"""Training in a real ComfyUI: in its modules (tests/inside_train.py) and through its server.

Preprocessed songs come from a node of the test's own: a tiny pack beside this one, which reads a folder.
"""

from __future__ import annotations

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
from song_runs import (
    MOST_LATE_REPORTS,
    Prompt,
    cancel,
    latent_prompt,
    latents_of,
    observe,
    song_prompt,
    succeed,
    text_of,
    with_nodes,
)
from training_data import write_random_data

Report = dict[str, dict[str, Any]]
STEPS = 40
DATA_NODE = """
import sys
from pathlib import Path


class TestTrainingData:
    INPUT_TYPES = classmethod(lambda cls: {"required": {"folder": ("STRING", {})}})
    RETURN_TYPES = ("ACE_TRAINING_DATA",)
    FUNCTION = "read"
    CATEGORY = "test"

    def read(self, folder):
        types = next(module for name, module in sys.modules.items() if name.endswith(".nodes.types"))
        samples = next(module for name, module in sys.modules.items() if name.endswith("ace_core.training.samples"))
        return (types.AceTrainingData(Path(folder), samples.read_manifest(Path(folder))),)


NODE_CLASS_MAPPINGS = {"TestTrainingData": TestTrainingData}
"""


def case(report: Report, name: str) -> dict[str, Any]:
    found = report[name]
    assert "error" not in found or "Traceback" not in str(found["error"]), found["error"]
    return found


@pytest.fixture(scope="module")
def report(run_inside: Callable[[str], Report], models_directory: Path) -> Iterator[Report]:
    yield run_inside("inside_train.py")
    remove_loras(models_directory)


def remove_loras(models_directory: Path) -> None:
    shutil.rmtree(models_directory / "loras", ignore_errors=True)


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
        ("optimiser", "needs the package bitsandbytes"),
        ("memory", "this training needs about"),
        ("outside", "leads out of"),
        ("diverged", "training has diverged"),
    ],
)
def test_what_cannot_be_trained_is_said(report: Report, attempt: str, said: str) -> None:
    assert case(report, "refusals")[attempt].startswith("ValueError: ")
    assert said in case(report, "refusals")[attempt]


@pytest.fixture(scope="module")
def training_host(
    comfyui_path: Path, models_directory: Path, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[HostProcess]:
    base = tmp_path_factory.mktemp("training_host")
    pack = base / "custom_nodes" / "training_data_for_tests"
    pack.mkdir(parents=True)
    (pack / "__init__.py").write_text(DATA_NODE, encoding="ascii")
    write_random_data(base / "data")
    with HostProcess(comfyui_path, base, models=models_directory) as host:
        yield host
    remove_loras(models_directory)


@pytest.fixture
def training_client(training_host: HostProcess) -> Iterator[ComfyUIClient]:
    with ComfyUIClient(training_host.url) as client:
        yield client


def training_prompt(host: HostProcess, name: str) -> Prompt:
    inputs = {"adapter": "LoRA", "preset": "auto", "rank": 4, "steps": STEPS, "learning_rate": 0.01, "seed": 1}
    inputs |= {"sample_every": 0, "batch_size": 1, "accumulation": 1, "name": name}
    return {
        "load": song_prompt()["load"],
        "data": {"class_type": "TestTrainingData", "inputs": {"folder": str(host.base_directory / "data")}},
        "train": {
            "class_type": "AceComposerTrainLora",
            "inputs": {**inputs, "model": ["load", 0], "data": ["data", 0]},
        },
    }


def test_before_and_after_in_one_prompt(
    training_host: HostProcess, training_client: ComfyUIClient, models_directory: Path
) -> None:
    """Sampled with the trained model and without; then the file with Load LoRA, and the model alone again."""
    alone = latent_prompt(song_prompt(sample={"seed": 3}))
    base = latents_of(training_client, succeed(training_client, alone))
    both = {**alone, **training_prompt(training_host, "api/one")}
    after = {"model": ["train", 0]}
    both = with_nodes(
        both,
        after=("AceComposerSample", alone["sample"]["inputs"] | after),
        after_latents=("SaveLatent", {"samples": ["after", 0], "filename_prefix": "latents/after"}),
        curve=("SaveImage", {"images": ["train", 2], "filename_prefix": "curve"}),
    )
    events: list[dict[str, Any]] = []
    run = observe(training_client, both, on_event=lambda event: events.append(dict(event)))
    assert run.failure is None, run.failure
    assert np.array_equal(latents_of(training_client, run), base)
    trained = latents_of(training_client, run, "after_latents")
    assert np.abs(trained - base).max() > 0.1
    assert run.entry["outputs"]["curve"]["images"]
    reports = [
        event["data"]["value"] for event in events if event["type"] == "progress" and event["data"]["node"] == "train"
    ]
    assert reports and reports[-1] == STEPS and reports == sorted(reports)
    lora = text_of(run, "train").splitlines()[0].removeprefix("loras/")
    assert (models_directory / "loras" / lora).is_file()
    loaded = with_nodes(alone, lora=("AceComposerLoadLora", {"model": ["load", 0], "lora": lora, "strength": 1.0}))
    loaded["sample"]["inputs"]["model"] = ["lora", 0]
    assert np.array_equal(latents_of(training_client, succeed(training_client, loaded)), trained)


def test_a_training_is_cancelled_and_goes_on(
    training_host: HostProcess, training_client: ComfyUIClient, models_directory: Path
) -> None:
    assert cancel(training_client, training_prompt(training_host, "api/part"), "train") <= MOST_LATE_REPORTS
    states = training_host.base_directory / "output" / "ace_step_training_runs" / "api" / "part"
    assert len(list(states.iterdir())) == 1
    loras = []
    for name in ("api/part", "api/whole"):
        run = succeed(training_client, training_prompt(training_host, name))
        loras.append(load_file(models_directory / text_of(run, "train").splitlines()[0]))
    assert list(states.iterdir()) == []
    part, whole = loras
    assert part.keys() == whole.keys()
    assert all(torch.equal(part[name], whole[name]) for name in whole)
