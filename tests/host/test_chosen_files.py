"""Files of users in Load Models: merges that ComfyUI saved, renamed ones, community VAEs, leftovers of training."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from comfyui_client import ComfyUIClient
from host_process import HostProcess
from safetensors.torch import load_file, save_file
from song_runs import Prompt, latent_prompt, latents_of, observe, song_prompt, sounds, succeed, text_of

TURBO = "diffusion_models/acestep_v1.5_turbo.safetensors"
TEXT_ENCODER = "text_encoders/qwen_0.6b_ace15.safetensors"
VAE = "vae/ace_1.5_vae.safetensors"


def latent_song(**load: str) -> Prompt:
    automatic = {"text_encoder": "auto", "vae": "auto"}
    return latent_prompt(song_prompt(load=automatic | load, sample={"steps": 1}))


@pytest.fixture(scope="module")
def merge(models_directory: Path) -> Iterator[str]:
    """A file of ComfyUI's Save Model: the diffusion model alone, under the names of a checkpoint."""
    path = models_directory / "diffusion_models" / "my_merge_turbo_00001_.safetensors"
    weights = load_file(models_directory / TURBO)
    save_file({f"model.diffusion_model.{name}": tensor for name, tensor in weights.items()}, path)
    yield f"diffusion_models/{path.name}"
    path.unlink()


def test_auto_finds_what_a_saved_merge_does_not_bring(client: ComfyUIClient, merge: str) -> None:
    """Comfy-Org/ComfyUI issue 13637."""
    run = succeed(client, latent_song(model=merge))
    _, components, *_ = text_of(run, "load").splitlines()
    assert components == f"text encoder: {TEXT_ENCODER}; VAE: {VAE}"
    by_hand = succeed(client, latent_song(model=merge, text_encoder=TEXT_ENCODER, vae=VAE))
    assert np.array_equal(latents_of(client, run), latents_of(client, by_hand))
    assert text_of(by_hand, "load") == text_of(run, "load")


@pytest.fixture
def scrag_vae(models_directory: Path) -> Iterator[str]:
    """A community VAE: the official file names in a folder of its own, and other weights."""
    folder = models_directory / "ace_step" / "Ace-Step-1.5-ScragVAE"
    shutil.copytree(models_directory / "ace_step" / "vae", folder)
    file = folder / "diffusion_pytorch_model.safetensors"
    weights = load_file(file)
    weights["decoder.conv2.weight_g"] *= 0.5
    save_file(weights, file)
    yield folder.name
    shutil.rmtree(folder)


def test_a_community_vae_is_listed_and_shown_by_its_name(client: ComfyUIClient, scrag_vae: str) -> None:
    lists = client.get_json("/object_info/AceComposerLoadModels")["AceComposerLoadModels"]["input"]["required"]
    assert scrag_vae in lists["vae"][1]["options"] and scrag_vae not in lists["model"][1]["options"]
    usual = succeed(client, song_prompt(load={"model": TURBO}, decode={"normalize": False}))
    run = succeed(client, song_prompt(load={"model": TURBO, "vae": scrag_vae}, decode={"normalize": False}))
    assert text_of(run, "load").splitlines()[1].endswith(f"VAE: ace_step/{scrag_vae}")
    (sound,), (usual_sound,) = sounds(client, run), sounds(client, usual)
    assert np.abs(sound.waveform).max() < np.abs(usual_sound.waveform).max()


@pytest.fixture
def bare(start_host: object, models_directory: Path, tmp_path: Path) -> HostProcess:
    """A ComfyUI whose text encoder and VAE have other names, among files of other things."""
    for folder in ("diffusion_models", "text_encoders", "vae", "loras"):
        (tmp_path / folder).mkdir()
    shutil.copyfile(models_directory / TURBO, tmp_path / TURBO)
    shutil.copyfile(models_directory / TEXT_ENCODER, tmp_path / "text_encoders" / "my_qwen.safetensors")
    shutil.copyfile(
        models_directory / "text_encoders/qwen_1.7b_ace15.safetensors", tmp_path / "text_encoders/lm.safetensors"
    )
    shutil.copyfile(models_directory / VAE, tmp_path / "vae" / "wiedergabe.safetensors")
    (tmp_path / "text_encoders" / "t5.safetensors").write_bytes(b"GGUF" + bytes(60))
    host: HostProcess = start_host(models=tmp_path)  # type: ignore[operator]
    return host


def test_auto_looks_at_what_is_inside_the_files(bare: HostProcess, models_directory: Path, tmp_path: Path) -> None:
    with ComfyUIClient(bare.url) as client:
        run = succeed(client, latent_song(model=TURBO))
        assert text_of(run, "load").splitlines()[1] == (
            "text encoder: text_encoders/my_qwen.safetensors, found by what is in it; "
            "VAE: vae/wiedergabe.safetensors, found by what is in it"
        )
        shutil.copyfile(models_directory / VAE, tmp_path / "vae" / "another.safetensors")
        failure = observe(client, latent_song(model=TURBO)).failure
        assert failure is not None
        assert "several hold a VAE: vae/another.safetensors, vae/wiedergabe.safetensors" in failure
        (tmp_path / "vae" / "another.safetensors").unlink()
        (tmp_path / "text_encoders" / "my_qwen.safetensors").unlink()
        failure = observe(client, latent_song(model=TURBO)).failure
        assert failure is not None and "no text encoder belongs to acestep_v1.5_turbo.safetensors" in failure
        assert (
            "there is no text_encoders/qwen_0.6b_ace15.safetensors" in failure and "Choose one in the node" in failure
        )
        assert "ACE-Step 00 Try it without models" in failure


def test_leftovers_of_training_are_named_on_the_node(client: ComfyUIClient, models_directory: Path) -> None:
    weights = load_file(models_directory / TURBO)
    twins = {f"ema.{name}": tensor + 1 for name, tensor in weights.items()}
    path = models_directory / "diffusion_models" / "run_turbo_step900.safetensors"
    states = {"optimizer.state.0.exp_avg": weights["null_condition_emb"].clone()}
    save_file({**weights, **twins, **states}, path)
    try:
        run = succeed(client, latent_song(model=path.name))
        _, _, averaged, left = text_of(run, "load").splitlines()
        assert f"holds {len(weights)} weights a second time, averaged over training (EMA: ema." in averaged
        assert averaged.endswith("the plain ones are used")
        assert left == "not used: 1 tensors that training left in the file (optimizer.state.0.exp_avg)"
        assert np.array_equal(latents_of(client, run), latents_of(client, succeed(client, latent_song(model=TURBO))))
    finally:
        path.unlink()
