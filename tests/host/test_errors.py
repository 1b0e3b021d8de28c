"""Everything a user can get wrong: each gets a sentence, and the host renders the next song."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
import torch
from comfyui_client import ComfyUIClient, PromptRejected
from host_process import PACK_ROOT, HostProcess
from safetensors.torch import load_file, save_file
from song_runs import Prompt, clear_cache, latent_prompt, latents_of, observe, song_prompt, succeed, text_of

TURBO = "diffusion_models/acestep_v1.5_turbo.safetensors"
TEXT_ENCODER = "text_encoders/qwen_0.6b_ace15.safetensors"
VAE = "vae/ace_1.5_vae.safetensors"
WITHOUT_MODELS = "ACE-Step 00 Try it without models"
WRONG = "diffusion_models/wrong_turbo.safetensors"


@pytest.fixture(scope="module", autouse=True)
def the_host_goes_on(host: HostProcess) -> Iterator[None]:
    """After all the errors the same server still renders what it rendered before."""
    with ComfyUIClient(host.url) as client:
        prompt = latent_prompt(song_prompt())
        before = latents_of(client, succeed(client, prompt))
        yield
        clear_cache(client)
        assert np.array_equal(latents_of(client, succeed(client, prompt)), before)


def bare(place: str) -> str:
    """How a loader shows a file."""
    return place.partition("/")[2]


def rejection(client: ComfyUIClient, prompt: Prompt) -> str:
    """What the host says to a prompt that it must not even queue."""
    with pytest.raises(PromptRejected) as refusal:
        client.submit(prompt)
    return str(refusal.value)


def failure(client: ComfyUIClient, prompt: Prompt) -> str:
    """What the host says to a prompt that fails while it runs; the same when it is tried again."""
    first, second = observe(client, prompt).failure, observe(client, prompt).failure
    assert first is not None and first == second
    return first


def refusal(client: ComfyUIClient, prompt: Prompt) -> str:
    """`rejection` or `failure`: ComfyUI 0.3.75 compares no lists of V3 nodes, so there the node itself refuses."""
    try:
        return failure(client, prompt)
    except PromptRejected as rejected:
        return str(rejected)


# Values that no run gets to use.


@pytest.mark.parametrize(
    "name",
    [
        "diffusion_models/missing.safetensors",
        "../../x",
        "diffusion_models/../../x",
        "diffusion_models/../text_encoders/qwen_0.6b_ace15.safetensors",
        "/etc/passwd",
        "configs/x.yaml",
        "",
    ],
)
def test_a_model_that_is_not_offered(client: ComfyUIClient, name: str) -> None:
    text = refusal(client, song_prompt(load={"model": name}))
    assert "Load Models" in text and f"model: '{name}' not in [" in text and f"'{bare(TURBO)}'" in text


def test_the_template_that_needs_no_models_is_named(client: ComfyUIClient) -> None:
    assert (PACK_ROOT / "workflows" / f"{WITHOUT_MODELS}.json").is_file()
    assert WITHOUT_MODELS in refusal(client, song_prompt(load={"model": "gone.safetensors"}))
    planner = {"class_type": "AceComposerLoadPlanner", "inputs": {"planner": "gone", "precision": "auto"}}
    prompt = song_prompt() | {"planner": planner}
    prompt["plan"] = {"class_type": "PreviewAny", "inputs": {"source": ["planner", 0]}}
    assert WITHOUT_MODELS in refusal(client, prompt)


@pytest.mark.parametrize("widget, offered", [("text_encoder", TEXT_ENCODER), ("vae", VAE)])
def test_another_file_that_is_not_offered(client: ComfyUIClient, widget: str, offered: str) -> None:
    text = refusal(client, song_prompt(load={widget: "../../x"}))
    assert "Load Models" in text and f"{widget}: '../../x' not in [" in text and f"'{bare(offered)}'" in text


@pytest.mark.parametrize("load", [{"variant": "magic"}, {"precision": "float16"}], ids=["variant", "precision"])
def test_a_loader_option_that_does_not_exist(client: ComfyUIClient, load: dict[str, str]) -> None:
    ((name, value),) = load.items()
    text = refusal(client, song_prompt(load=load))
    assert name in text and value in text
    assert "must be one of auto, " in text or "Value not in list" in text  # newer hosts look before the node does


@pytest.mark.parametrize(
    "inputs, sentence",
    [
        ({"bpm": 20}, "30 to 300"),
        ({"bpm": 301}, "30 to 300"),
        ({"bpm": -1}, "30 to 300"),
        ({"key": "H minor"}, "H minor"),
        ({"language": "klingon"}, "klingon"),
        ({"time_signature": "5/4"}, "5/4"),
        ({"duration_seconds": 9.0}, "10 to 600"),
        ({"duration_seconds": 601.0}, "10 to 600"),
        ({"duration_seconds": "ten"}, "duration_seconds"),
    ],
    ids=lambda value: "-".join(map(str, *value.items())) if isinstance(value, dict) else "",
)
def test_a_value_outside_its_domain(client: ComfyUIClient, inputs: dict[str, object], sentence: str) -> None:
    text = rejection(client, song_prompt(blueprint=inputs))
    assert "Blueprint" in text and sentence in text


@pytest.mark.parametrize(
    "inputs",
    [
        {"batch_size": 0},
        {"batch_size": 9},
        {"steps": 201},
        {"seed": -1},
        {"shift": 10.5},
        {"guidance": 16},
        {"denoise": 0},
        {"seed": 2**64},
    ],
    ids=lambda inputs: "-".join(map(str, *inputs.items())),
)
def test_a_sampler_value_outside_its_range(client: ComfyUIClient, inputs: dict[str, object]) -> None:
    assert next(iter(inputs)) in rejection(client, latent_prompt(song_prompt(sample=inputs)))


@pytest.mark.parametrize("name", ["solver", "guidance_method"])
def test_a_sampler_choice_that_does_not_exist(client: ComfyUIClient, name: str) -> None:
    text = refusal(client, latent_prompt(song_prompt(sample={name: "magic"})))
    assert name.replace("_", " ") in text.replace("_", " ") and "'magic'" in text


def test_a_missing_input(client: ComfyUIClient) -> None:
    prompt = song_prompt()
    del prompt["sample"]["inputs"]["conditioning"]
    assert "conditioning" in rejection(client, prompt)


def test_wires_of_other_types(client: ComfyUIClient) -> None:
    assert "ACE_VAE" in rejection(client, song_prompt(decode={"vae": ["load", 0]}))


# Spellings of people.


def test_human_spellings(client: ComfyUIClient) -> None:
    formal = {"key": "A minor", "time_signature": "6/8", "language": "en"}
    human = {"key": "Am", "time_signature": "6", "language": "English"}
    sampler = {"steps": 1}
    expected = succeed(client, latent_prompt(song_prompt(blueprint=formal, sample=sampler)))
    found = succeed(client, latent_prompt(song_prompt(blueprint=human, sample=sampler)))
    assert "encode" in found.executed
    assert np.array_equal(latents_of(client, found), latents_of(client, expected))


# What only shows while the prompt runs.


@pytest.mark.parametrize(
    "inputs, sentences",
    [
        ({"lyrics": "[Verse]\n" + "la " * 3000}, ("Encode", "2048")),
        ({"caption": "bright " * 300}, ("Encode", "256")),
        ({"caption": "a <|im_end|> b"}, ("Blueprint", "<|im_end|>")),
        ({"lyrics": "bad \x01 byte"}, ("Blueprint", "unprintable")),
    ],
    ids=["long lyrics", "long caption", "control token", "control character"],
)
def test_words_that_cannot_be_sung(
    client: ComfyUIClient, inputs: dict[str, object], sentences: tuple[str, str]
) -> None:
    text = failure(client, song_prompt(blueprint=inputs))
    assert all(sentence in text for sentence in (*sentences, "ValueError")), text


def test_a_prompt_that_is_too_long_is_reported_with_its_count(client: ComfyUIClient) -> None:
    """A word more is a token more in the report."""
    texts = [failure(client, song_prompt(blueprint={"caption": "piano " * words})) for words in (300, 301)]
    counts = [int(text.split(" tokens")[0].split()[-1]) for text in texts]
    assert counts[1] == counts[0] + 1


@pytest.mark.parametrize(
    "inputs, sentence",
    [
        ({"seeds": "1, 2", "batch_size": 3}, "2 seeds"),
        ({"seeds": "1; 2"}, "whole numbers"),
        ({"denoise": 0.5}, "no latents to start from"),
        ({"guidance": 0.5}, "guidance must be 1"),
        ({"custom_timesteps": "1, x"}, "x"),
        ({"guidance_start": 0.8, "guidance_end": 0.2}, "ascending"),
    ],
    ids=lambda value: "" if isinstance(value, str) else "-".join(value),
)
def test_sampler_settings_that_contradict_each_other(
    client: ComfyUIClient, inputs: dict[str, object], sentence: str
) -> None:
    text = failure(client, latent_prompt(song_prompt(sample=inputs)))
    assert "Sample" in text and sentence in text


def test_guidance_on_turbo_is_refused_with_a_note(client: ComfyUIClient) -> None:
    usual = succeed(client, latent_prompt(song_prompt()))
    guided = succeed(client, latent_prompt(song_prompt(sample={"guidance": 7.0})))
    assert "no guidance" in text_of(guided, "sample") and "Guidance 7 was refused" in text_of(guided, "sample")
    assert np.array_equal(latents_of(client, guided), latents_of(client, usual))


def test_a_save_prefix_cannot_leave_the_output_folder(client: ComfyUIClient, host: HostProcess) -> None:
    text = failure(client, song_prompt(sample={"steps": 1}, save={"filename_prefix": "../../escaped"}))
    assert "Save Song" in text and "leads out of" in text
    assert not list(host.base_directory.parent.glob("escaped*"))


# Files that are not what they were chosen for.


@pytest.fixture
def wrong_file(models_directory: Path) -> Iterator[Path]:
    """A place for a file in diffusion_models; whatever is put there is offered under the name `WRONG`."""
    path = models_directory / WRONG
    yield path
    path.unlink(missing_ok=True)


def wrong_file_failure(client: ComfyUIClient, **load: str) -> str:
    text = failure(client, latent_prompt(song_prompt(load={"model": WRONG, **load})))
    assert text.startswith("Load Models"), text
    return text


def test_a_truncated_download(client: ComfyUIClient, wrong_file: Path, models_directory: Path) -> None:
    whole = (models_directory / TURBO).read_bytes()
    wrong_file.write_bytes(whole[: len(whole) // 2])
    assert "is cut off" in wrong_file_failure(client)


def test_the_head_of_an_error_names_no_module(client: ComfyUIClient, wrong_file: Path, models_directory: Path) -> None:
    """The page shows three lines of it: what kind of error, then its sentence."""
    wrong_file.write_bytes((models_directory / TURBO).read_bytes()[:2000])
    assert ": CheckpointError: /" in failure(client, song_prompt(load={"model": WRONG}))


def test_a_lora(client: ComfyUIClient, wrong_file: Path) -> None:
    name = "base_model.model.layers.0.self_attn.q_proj.lora_{}.weight"
    save_file({name.format("A"): torch.zeros(4, 64), name.format("B"): torch.zeros(64, 4)}, wrong_file)
    assert "is a LoRA" in wrong_file_failure(client)


def test_a_text_encoder(client: ComfyUIClient, wrong_file: Path, models_directory: Path) -> None:
    shutil.copyfile(models_directory / TEXT_ENCODER, wrong_file)
    text = wrong_file_failure(client)
    assert "is the text encoder Qwen3-Embedding-0.6B" in text and "Choose an ACE-Step 1.5 model" in text


def test_a_language_model_as_text_encoder(client: ComfyUIClient, models_directory: Path) -> None:
    weights = load_file(models_directory / TEXT_ENCODER)
    weights["model.embed_tokens.weight"] = torch.zeros(217_204, 8, dtype=torch.bfloat16)
    path = models_directory / "text_encoders" / "planner.safetensors"
    save_file(weights, path)
    try:
        text = failure(client, latent_prompt(song_prompt(load={"text_encoder": f"text_encoders/{path.name}"})))
    finally:
        path.unlink()
    assert "5 Hz language model" in text and "Choose the text encoder" in text


def test_an_all_in_one_checkpoint_of_another_model(client: ComfyUIClient, wrong_file: Path) -> None:
    save_file({"model.diffusion_model.input_blocks.0.0.weight": torch.zeros(4)}, wrong_file)
    assert "checkpoint of another model" in wrong_file_failure(client)


def test_a_file_with_nan(client: ComfyUIClient, wrong_file: Path, models_directory: Path) -> None:
    weights = load_file(models_directory / TURBO)
    weights["decoder.layers.1.mlp.up_proj.weight"][0, 0] = torch.nan
    save_file(weights, wrong_file)
    assert "NaN or infinity in decoder.layers.1.mlp.up_proj.weight" in wrong_file_failure(client)


def test_a_missing_tensor(client: ComfyUIClient, wrong_file: Path, models_directory: Path) -> None:
    weights = load_file(models_directory / TURBO)
    del weights["decoder.layers.1.mlp.up_proj.weight"]
    save_file(weights, wrong_file)
    assert "layers.1.mlp.up_proj.weight" in wrong_file_failure(client)


def test_a_model_that_vanishes_after_it_was_queued_once(
    client: ComfyUIClient, wrong_file: Path, models_directory: Path
) -> None:
    shutil.copyfile(models_directory / TURBO, wrong_file)
    prompt = latent_prompt(song_prompt(load={"model": WRONG}, sample={"steps": 1}))
    succeed(client, prompt)
    wrong_file.unlink()
    assert f"'{WRONG}' not in" in refusal(client, prompt)


def test_auto_does_not_guess_between_several_files(
    client: ComfyUIClient, models_directory: Path, tmp_path: Path
) -> None:
    path = models_directory / TEXT_ENCODER
    clear_cache(client)
    shutil.move(path, tmp_path / path.name)
    try:
        text = failure(client, latent_prompt(song_prompt(load={"text_encoder": "auto"})))
    finally:
        shutil.move(tmp_path / path.name, path)
    assert "several hold a text encoder: ace_step/Qwen3-Embedding-0.6B, " in text
    assert "Choose one of them in text_encoder" in text
