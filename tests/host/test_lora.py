"""Adapters in a real ComfyUI: in its modules (tests/inside/inside_lora.py) and through its server."""

from __future__ import annotations

import re
import shutil
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from adapter_files import RandomLora, attention_shapes, random_lora, write_diffusers_file, write_peft_folder
from comfyui_client import ComfyUIClient
from music import write_wav
from safetensors.torch import load_file, save_file
from song_runs import (
    SHORT_SECONDS,
    Prompt,
    audio_files,
    latent_prompt,
    latents_of,
    observe,
    published_prompt,
    song_prompt,
    succeed,
    text_of,
    with_nodes,
)

from ace_core.lora.adapters import Adapter
from ace_core.lora.saving import save_adapter
from ace_core.song_files.files import read_record

Report = dict[str, dict[str, Any]]


def decoder_shapes(model: Path) -> dict[str, tuple[int, int]]:
    state = {name.removeprefix("decoder."): tensor for name, tensor in load_file(model).items() if "decoder." in name}
    return attention_shapes(state)


def write_dora(path: Path, lora: RandomLora) -> None:
    adapters = {
        f"{module}.weight": Adapter("lora", 2.0, ((up, down),), 1 + 0.2 * torch.rand(up.shape[0], 1))
        for module, (up, down) in lora.matrices.items()
    }
    save_adapter(path, adapters, "peft", base_model="acestep-v15-base", metadata={}, dtype=torch.float32)


def write_oft(path: Path, shapes: Mapping[str, tuple[int, int]]) -> None:
    generator = torch.Generator().manual_seed(6)
    blocks = {module: torch.randn(rows // 8, 8, 8, generator=generator) for module, (rows, _) in shapes.items()}
    save_file({f"diffusion_model.decoder.{module}.oft_blocks": 0.1 * block for module, block in blocks.items()}, path)


@pytest.fixture(scope="module")
def loras(models_directory: Path) -> Iterator[Path]:
    """`models/loras` with one and the folder two (LoRA), the folder dora, oft, xl, a model, and pickles."""
    folder = models_directory / "loras"
    before = {*folder.iterdir()}
    models = models_directory / "diffusion_models"
    shapes = decoder_shapes(models / "acestep_v1.5_turbo.safetensors")
    write_diffusers_file(folder / "one.safetensors", random_lora(shapes, seed=1))
    write_peft_folder(folder / "two", random_lora(shapes, seed=2))
    write_dora(folder / "dora", random_lora(shapes, seed=3))
    write_oft(folder / "oft.safetensors", shapes)
    xl = decoder_shapes(models / "acestep_v1.5_xl_turbo_bf16.safetensors")
    write_diffusers_file(folder / "xl.safetensors", random_lora(xl))
    shutil.copyfile(models / "acestep_v1.5_turbo.safetensors", folder / "model.safetensors")
    (folder / "old").mkdir()
    for pickle in ("old/adapter_model.bin", "two/training_state.pt", "style.pt"):
        torch.save({"layers.0.self_attn.q_proj.lora_A.weight": torch.ones(2, 2)}, folder / pickle)
    yield folder
    for path in {*folder.iterdir()} - before:
        shutil.rmtree(path) if path.is_dir() else path.unlink()


@pytest.fixture(scope="module")
def report(run_inside: Callable[[str], Report], loras: Path) -> Report:
    return run_inside("inside_lora.py")


def case(report: Report, name: str) -> dict[str, Any]:
    found = report[name]
    assert "error" not in found, found["error"]
    return found


def test_each_branch_gives_what_its_adapters_give_alone(report: Report) -> None:
    branches = case(report, "branches")
    assert branches["equal to each alone"] == [True] * 15
    assert branches["one network"] == [True] * 6
    assert min(branches["distances from the base"].values()) > 0.01
    assert branches["order"] <= 1e-5


def test_the_base_weights_stay_the_same_to_the_bit(report: Report) -> None:
    branches = case(report, "branches")
    assert branches["base unchanged"] and branches["base unchanged while loaded"]


def test_a_model_shows_its_adapters(report: Report) -> None:
    assert case(report, "branches")["shown"] == [
        "",
        "one.safetensors x 1",
        "one.safetensors x 1 + two x -1.5 (self-attention x 0.5, cross-attention x 2)",
    ]


def test_adapters_survive_unloading(report: Report) -> None:
    unloading = case(report, "unloading")
    assert unloading["after unloading"] and unloading["after unloading a part"]


def test_adapters_are_added_to_streamed_weights(report: Report) -> None:
    unloading = case(report, "unloading")
    assert unloading["partially loaded"] and unloading["streamed layers"] > 0
    assert unloading["distance when streamed"] == 0


def test_adapters_are_added_from_the_buffers_of_newer_hosts(report: Report) -> None:
    loading = case(report, "dynamic_loading")
    exact, rounded = loading["largest distances"]
    assert loading["weights"] == 32
    assert exact == 0 and rounded <= 0.01


def test_the_host_may_load_a_part_of_an_adapted_decoder(report: Report) -> None:
    steps = case(report, "partial_loading")["steps"]
    for step in steps:
        assert step["resident"] + step["offloaded"] == step["size"]
        assert step["resident"] == step["counted by the host"]
        assert step["resident"] <= step["allowed"]
        assert step["ran on"] == "meta"
    assert steps[0]["offloaded"] > 0 and steps[-1]["resident"] == steps[-1]["size"]


def test_another_strength_reads_nothing(report: Report) -> None:
    reading = case(report, "reading")
    assert reading["strengths"] == ["one.safetensors", "adapter_model.safetensors"]
    assert reading["after it was replaced"] == ["one.safetensors"]
    assert reading["kept while the model is, and afterwards"] == [1, 0]
    assert reading["registry entries afterwards"] == 0


@pytest.mark.parametrize("task", ["text2music", "cover", "repaint", "extract", "lego", "complete"])
def test_no_task_drops_the_adapters(report: Report, task: str) -> None:
    distances = case(report, "tasks")[task]
    assert distances["from the merged"] <= 1e-4
    assert distances["from the base"] > 100 * distances["from the merged"]
    assert distances["from the base"] > 0.01


def test_joined_adapters_are_saved_in_both_styles(report: Report) -> None:
    saving = case(report, "saving")
    assert saving["base"] > 0.01
    assert saving["ComfyUI file"]["text"].startswith("loras/saved/ComfyUI file_00001_.safetensors\nrank 8, 32 weights")
    assert saving["PEFT folder"]["text"].startswith("loras/saved/PEFT folder_00001_\nrank 8, 32 weights")
    for style in ("ComfyUI file", "PEFT folder"):
        assert "100.0 % of the difference" in saving[style]["text"]
        assert saving[style]["distance"] <= 1e-4


def test_the_difference_of_two_models_is_saved(report: Report) -> None:
    saving = case(report, "saving")
    assert saving["two models"]["text"].startswith("loras/saved/tuned_00001_.safetensors\nrank 8, 32 weights")
    assert saving["two models"]["distance"] <= 1e-3
    assert saving["norms"].splitlines()[-1] == "also different, but no part of a LoRA: norm_out.weight"


def test_a_lower_rank_says_what_it_keeps(report: Report) -> None:
    _, line = case(report, "saving")["resized"].splitlines()
    kept = float(line.removeprefix("rank 2, 32 weights, ").partition(" %")[0])
    assert 30 < kept < 95


def test_a_cancelled_save_leaves_nothing(report: Report) -> None:
    saving = case(report, "saving")
    assert saving["cancelled"] == "InterruptProcessingException"
    assert saving["files of the cancelled"] == []


def test_comfyuis_own_loader_reads_what_is_saved_in_its_names(report: Report) -> None:
    stock = case(report, "saving")["stock"]
    assert stock["same weights"] and stock["distance"] <= 1e-6


def test_what_cannot_be_used_is_refused_in_words(report: Report) -> None:
    refusals = case(report, "refusals")
    assert "made for a model that is 80 wide, this one is 64 wide" in refusals["other size"]
    assert "'gone.safetensors' not in ['dora'" in refusals["not there"]
    assert "not in [" in refusals["outside"]
    assert "the ACE-Step 1.5 model itself" in refusals["a model"] and "no adapter" in refusals["a model"]
    assert "has no adapters: put Load LoRA before this node" in refusals["no adapters"]
    assert "both models have the same weights" in refusals["same model"]
    assert "leads out of" in refusals["name outside"]
    assert "only models of one size" in refusals["sizes"]


# Through the server


def with_lora(lora: str, **inputs: object) -> Prompt:
    """The text-to-music workflow, ending in latents, with one adapter between the loader and the sampler."""
    prompt = latent_prompt(song_prompt(sample={"steps": 2, "model": ["lora", 0]}))
    adapter = {"model": ["load", 0], "lora": lora, "strength": 1.0, **inputs}
    return with_nodes(prompt, lora=("AceComposerLoadLora", adapter))


def test_files_and_peft_folders_are_offered(client: ComfyUIClient, loras: Path) -> None:
    described = client.get_json("/object_info/AceComposerLoadLora")["AceComposerLoadLora"]
    options = described["input"]["required"]["lora"][1]["options"]
    assert {"one.safetensors", "two", "dora", "xl.safetensors"} <= set(options)
    assert not any("adapter_model" in option for option in options)
    assert {"old", "style.pt"} <= set(options) and not any("training_state" in option for option in options)


def test_pickles_are_offered_and_not_opened(client: ComfyUIClient, loras: Path) -> None:
    for name in ("old", "style.pt"):
        failure = observe(client, with_lora(name)).failure
        assert failure is not None and "is a PyTorch pickle, which can run code when it is opened" in failure


def test_branches_of_one_graph(client: ComfyUIClient, loras: Path) -> None:
    alone = {name: latents_of(client, succeed(client, with_lora(name))) for name in ("one.safetensors", "two")}
    base = latents_of(client, succeed(client, latent_prompt(song_prompt(sample={"steps": 2}))))
    prompt = with_lora("one.safetensors")
    sampler = prompt["sample"]["inputs"]
    prompt = with_nodes(
        prompt,
        lora2=("AceComposerLoadLora", {**prompt["lora"]["inputs"], "lora": "two"}),
        sample2=("AceComposerSample", {**sampler, "model": ["lora2", 0]}),
        latents2=("SaveLatent", {"samples": ["sample2", 0], "filename_prefix": "latents/two"}),
        sample0=("AceComposerSample", {**sampler, "model": ["load", 0]}),
        latents0=("SaveLatent", {"samples": ["sample0", 0], "filename_prefix": "latents/base"}),
    )
    run = succeed(client, prompt)
    assert np.array_equal(latents_of(client, run), alone["one.safetensors"])
    assert np.array_equal(latents_of(client, run, "latents2"), alone["two"])
    assert np.array_equal(latents_of(client, run, "latents0"), base)
    assert np.abs(alone["two"] - base).max() > 0.01


def test_another_strength_runs_only_what_follows(client: ComfyUIClient, loras: Path) -> None:
    succeed(client, with_lora("two", strength=0.25))
    run = succeed(client, with_lora("two", strength=0.5))
    assert run.executed == ["lora", "sample", "latents"]


def test_the_node_says_what_it_did_and_what_is_odd(client: ComfyUIClient, loras: Path) -> None:
    run = succeed(client, with_lora("dora", strength=0.0))
    text = text_of(run, "lora")
    assert "dora x 0: LoRA (DoRA), rank 4, 32 weights" in text
    assert "strength 0: the model stays as it is" in text
    assert "trained on a base model and this one is turbo" in text
    base = latents_of(client, succeed(client, latent_prompt(song_prompt(sample={"steps": 2}))))
    assert np.array_equal(latents_of(client, run), base)


def test_an_oft_turns_the_weights(client: ComfyUIClient, loras: Path) -> None:
    run, half, off = (succeed(client, with_lora("oft.safetensors", strength=strength)) for strength in (1.0, 0.5, 0.0))
    assert text_of(run, "lora") == "oft.safetensors x 1: OFT, block size 8, 32 weights"
    latents, nearer, base = (latents_of(client, item) for item in (run, half, off))
    assert 0.01 < np.abs(nearer - base).max() < np.abs(latents - base).max()


def test_a_replaced_file_is_read_again(client: ComfyUIClient, loras: Path) -> None:
    path = loras / "mine.safetensors"
    shapes = {"layers.0.cross_attn.q_proj": (64, 64)}
    write_diffusers_file(path, random_lora(shapes, seed=4, size=0.5))
    before = latents_of(client, succeed(client, with_lora(path.name)))
    write_diffusers_file(path, random_lora(shapes, seed=5, size=0.5, rank=5))
    run = succeed(client, with_lora(path.name))
    assert np.abs(latents_of(client, run) - before).max() > 1e-4
    assert succeed(client, with_lora(path.name)).executed == []


def test_an_adapter_of_the_other_size_stops_the_run_before_it_samples(client: ComfyUIClient, loras: Path) -> None:
    run = observe(client, with_lora("xl.safetensors"))
    assert run.failure is not None and "this one is 64 wide" in run.failure
    assert "sample" not in run.executed


def test_a_saved_lora_can_be_loaded(client: ComfyUIClient, loras: Path) -> None:
    prompt = with_lora("two", strength=0.5)
    name = "kept/%date:yyyy-MM-dd%/two: %AceComposerLoadLora.strength% %seed%"
    saver = {"model": ["lora", 0], "name": name, "rank": 4, "style": "PEFT folder", "precision": "float32"}
    run = succeed(client, with_nodes(prompt, keep=("AceComposerSaveLora", saver)))
    place, *_, note = text_of(run, "keep").splitlines()
    assert re.fullmatch(r"loras/kept/\d{4}-\d\d-\d\d/two_ 0\.5 %seed%_00001_", place)
    assert note.startswith("%seed% in the file name stays as it is")
    again = succeed(client, with_lora(place.removeprefix("loras/")))
    assert np.abs(latents_of(client, again) - latents_of(client, run)).max() <= 1e-4


# The published workflows


def published_song(workflow: str, **changes: Mapping[str, Any]) -> Prompt:
    """A published workflow, its song short and its samplers quick, with their latents kept too."""
    prompt = published_prompt(workflow, **changes)
    if "blueprint" in prompt and "duration_seconds" in prompt["blueprint"]["inputs"]:
        prompt["blueprint"]["inputs"]["duration_seconds"] = SHORT_SECONDS
    samplers = [name for name in prompt if name.startswith("sample")]
    for name in samplers:
        prompt[name]["inputs"]["steps"] = 2
    savers = {
        f"latents_of_{name}": ("SaveLatent", {"samples": [name, 0], "filename_prefix": f"latents/{name}"})
        for name in samplers
    }
    return with_nodes(prompt, **savers)


def test_use_lora_changes_the_song_and_names_the_adapter_in_the_file(client: ComfyUIClient, tmp_path: Path) -> None:
    run = succeed(client, published_song("use_lora"))
    without = succeed(client, published_song("use_lora", lora={"strength": 0.0}))
    difference = latents_of(client, run, "latents_of_sample") - latents_of(client, without, "latents_of_sample")
    assert np.abs(difference).max() > 0.01
    path = tmp_path / "song.flac"
    path.write_bytes(*audio_files(client, run, "save"))
    record = read_record(path)
    assert record.settings["adapters"] == "my_style.safetensors x 1"
    assert "loras/my_style.safetensors" in record.models


def test_lora_stack_compares_with_the_base(client: ComfyUIClient) -> None:
    run = succeed(client, published_song("lora_stack"))
    stacked, base = (latents_of(client, run, f"latents_of_{name}") for name in ("sample", "sample_2"))
    assert np.abs(stacked - base).max() > 0.01
    alone = succeed(client, published_song("lora_stack", lora_2={"strength": 0.0}))
    assert np.abs(latents_of(client, alone, "latents_of_sample") - stacked).max() > 1e-3
    assert np.array_equal(latents_of(client, alone, "latents_of_sample_2"), base)
    plain = latent_prompt(
        song_prompt(
            blueprint=published_prompt("lora_stack")["blueprint"]["inputs"] | {"duration_seconds": SHORT_SECONDS},
            sample={"steps": 2, "seed": 42},
        )
    )
    assert np.array_equal(latents_of(client, succeed(client, plain)), base)


@pytest.mark.parametrize("workflow", ["cover", "repaint"])
def test_a_lora_acts_in_the_editing_workflows(client: ComfyUIClient, tmp_path: Path, workflow: str) -> None:
    noise = np.random.default_rng(0).standard_normal((2, 480_000)).astype(np.float32) * 0.1
    song = client.upload(write_wav(tmp_path / f"lora_{workflow}.wav", noise, 48_000))
    changes = {"audio": {"audio": song}, "sample": {"seed": 5}}
    if workflow == "repaint":
        changes["repaint"] = {"start": 3.0, "end": 7.0}
    prompt = published_song(workflow, **changes)
    lora = ("AceComposerLoadLora", {"model": ["load", 0], "lora": "my_style.safetensors", "strength": 1.0})
    adapted = with_nodes(prompt, lora=lora)
    adapted["sample"]["inputs"]["model"] = ["lora", 0]
    base, changed = (succeed(client, item) for item in (prompt, adapted))
    latents = [latents_of(client, run, "latents_of_sample")[0] for run in (base, changed)]
    difference = np.abs(latents[1] - latents[0]).max(axis=0)
    assert difference.max() > 0.01
    if workflow == "repaint":  # what is kept has no trace of it
        assert difference[:50].max() == difference[200:].max() == 0
