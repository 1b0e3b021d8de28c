"""Model files over time, in one server: replaced, shared by loaders, forgotten."""

from __future__ import annotations

import os
import re
import shutil
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from comfyui_client import ComfyUIClient
from host_process import HostProcess
from song_runs import Prompt, clear_cache, latent_prompt, latents_of, song_prompt, succeed, with_nodes
from tiny_checkpoints import write_tiny

TURBO = "diffusion_models/acestep_v1.5_turbo.safetensors"
OWN = "diffusion_models/own_turbo.safetensors"
NANOSECONDS = 1_000_000_000


@pytest.fixture(scope="module")
def another_model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A turbo checkpoint of other weights, of the same size to the byte."""
    return write_tiny(tmp_path_factory.mktemp("another"), "comfyui", seed=1).model


@pytest.fixture
def own_file(models_directory: Path) -> Iterator[Path]:
    """A copy of the turbo checkpoint, offered as `OWN`."""
    path = models_directory / OWN
    shutil.copyfile(models_directory / TURBO, path)
    yield path
    path.unlink()


def own_prompt(**sampler: object) -> Prompt:
    return latent_prompt(song_prompt(load={"model": OWN}, sample={"steps": 2, **sampler}))


def test_a_replaced_file_is_loaded_again(client: ComfyUIClient, own_file: Path, another_model: Path) -> None:
    before = latents_of(client, succeed(client, own_prompt()))
    unchanged = succeed(client, own_prompt(seed=1))
    assert unchanged.executed == ["sample", "latents"]

    status = own_file.stat()
    assert another_model.stat().st_size == status.st_size
    shutil.copyfile(another_model, own_file)
    os.utime(own_file, ns=(status.st_atime_ns, status.st_mtime_ns + NANOSECONDS))  # the clock may not have moved on
    replaced = succeed(client, own_prompt())
    assert "load" in replaced.executed
    after = latents_of(client, replaced)
    assert np.abs(after - before).max() > 0.01

    assert succeed(client, own_prompt(seed=1)).executed == ["sample", "latents"]


@pytest.mark.parametrize(
    ("file", "load"),
    [
        ("text_encoders/qwen_0.6b_ace15.safetensors", {}),
        ("vae/ace_1.5_vae.safetensors", {}),
        ("ace_step/acestep-v15-turbo/silence_latent.pt", {"model": "ace_step/acestep-v15-turbo"}),
        ("ace_step/Qwen3-Embedding-0.6B/tokenizer.json", {"text_encoder": "ace_step/Qwen3-Embedding-0.6B"}),
        (
            "ace_step/acestep-v15-turbo-diffusers/tokenizer/tokenizer.json",
            {"text_encoder": "ace_step/acestep-v15-turbo-diffusers/text_encoder"},
        ),
    ],
    ids=["text encoder", "VAE", "silence", "tokenizer", "tokenizer of a pipeline"],
)
def test_every_file_that_is_replaced_is_loaded_again(
    client: ComfyUIClient, models_directory: Path, file: str, load: dict[str, str]
) -> None:
    prompt = latent_prompt(song_prompt(load=load, sample={"steps": 1}))
    succeed(client, prompt)
    assert succeed(client, prompt).executed == []
    path = models_directory / file
    status = path.stat()
    os.utime(path, ns=(status.st_atime_ns, status.st_mtime_ns + NANOSECONDS))
    assert "load" in succeed(client, prompt).executed


def test_a_tokenizer_put_beside_the_text_encoder_is_used_and_a_removed_one_is_not(
    client: ComfyUIClient, models_directory: Path
) -> None:
    prompt = latent_prompt(song_prompt(sample={"steps": 1}))
    path = models_directory / "text_encoders" / "tokenizer.json"
    bundled = latents_of(client, succeed(client, prompt))
    shutil.copyfile(models_directory / "ace_step" / "Qwen3-Embedding-0.6B" / path.name, path)
    try:
        own = latents_of(client, succeed(client, prompt))
    finally:
        path.unlink()
    assert np.abs(own - bundled).max() > 1e-3
    assert np.array_equal(latents_of(client, succeed(client, prompt)), bundled)


def requested_loads(log: str) -> list[str]:
    """Networks that the host moved to their device, by class: each of its patchers appears once."""
    return re.findall(r"Requested to load (\w+)", log)


def test_two_loaders_of_one_file_share_one_copy(client: ComfyUIClient, host: HostProcess) -> None:
    clear_cache(client)
    prompt = song_prompt(sample={"steps": 1})
    prompt = with_nodes(
        prompt,
        load2=("AceComposerLoadModels", {**prompt["load"]["inputs"], "variant": "base"}),
        encode2=(
            "AceComposerEncode",
            {"model": ["load2", 0], "text_encoder": ["load2", 1], "blueprint": ["blueprint", 0]},
        ),
        sample2=(
            "AceComposerSample",
            {**prompt["sample"]["inputs"], "model": ["load2", 0], "conditioning": ["encode2", 0]},
        ),
        decode2=("AceComposerDecode", {"vae": ["load2", 2], "latent": ["sample2", 0], "normalize": True}),
        save2=("SaveAudio", {"audio": ["decode2", 0], "filename_prefix": "audio/second"}),
    )
    before = len(host.log())
    run = succeed(client, prompt)
    assert {"load", "load2", "sample", "sample2", "decode", "decode2"} <= set(run.executed)
    assert sorted(requested_loads(host.log()[before:])) == ["ConditionEncoder", "DiT", "Oobleck", "Qwen3"]


def test_models_that_nothing_uses_any_more_are_forgotten(client: ComfyUIClient, host: HostProcess) -> None:
    """After the cache is cleared they are loaded anew, and the host finds no leak."""
    prompt = song_prompt(sample={"steps": 1})
    succeed(client, prompt)
    clear_cache(client)
    before = len(host.log())
    succeed(client, prompt)
    log = host.log()[before:]
    assert sorted(requested_loads(log)) == ["ConditionEncoder", "DiT", "Oobleck", "Qwen3"]
    assert "memory leak" not in log.lower()


def test_a_deleted_model_folder_takes_no_node_away(client: ComfyUIClient, models_directory: Path) -> None:
    def offered() -> list[str]:
        node = client.get_json("/object_info")["AceComposerLoadModels"]
        return node["input"]["required"]["model"][1]["options"]

    folder = models_directory / "diffusion_models" / "deleted_later"
    folder.mkdir()
    shutil.copyfile(models_directory / TURBO, folder / "turbo.safetensors")
    choice = "deleted_later/turbo.safetensors"
    assert choice in offered()
    shutil.rmtree(folder)
    assert choice not in offered()
