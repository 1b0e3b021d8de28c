"""Every published file layout and kind of model, through the loader node to latents or sound.

The checkpoints are one model in several layouts. What may differ is the tokenizer (ComfyUI's files bring none, so the
host's own is used) and the silence latent (stored in fp32, stored in bf16, or computed with the VAE).
"""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from comfyui_client import ComfyUIClient
from song_runs import Run, latent_prompt, latents_of, observe, song_prompt, sounds, succeed, text_of

SPLIT = "diffusion_models/acestep_v1.5_turbo.safetensors"
BASE = "diffusion_models/acestep_v1.5_base.safetensors"
XL = "diffusion_models/acestep_v1.5_xl_turbo_bf16.safetensors"
ALL_IN_ONE = "checkpoints/ace_step_1.5_turbo_aio.safetensors"
OFFICIAL = "ace_step/acestep-v15-turbo"
DIFFUSERS = "ace_step/acestep-v15-turbo-diffusers"
SPLIT_TEXT_ENCODER = "text_encoders/qwen_0.6b_ace15.safetensors"
OFFICIAL_TEXT_ENCODER = "ace_step/Qwen3-Embedding-0.6B"
DIFFUSERS_TEXT_ENCODER = f"{DIFFUSERS}/text_encoder"
AUTO = "auto"


def render(client: ComfyUIClient, model: str, text_encoder: str = AUTO, vae: str = AUTO, **sampler: object) -> Run:
    load = {"model": model, "text_encoder": text_encoder, "vae": vae}
    return succeed(client, latent_prompt(song_prompt(load=load, sample=sampler)))


def latents(client: ComfyUIClient, *choices: str, **sampler: object) -> np.ndarray:
    return latents_of(client, render(client, *choices, **sampler))


def test_split_files_and_the_all_in_one_checkpoint_give_the_same_sound(client: ComfyUIClient) -> None:
    (split,) = sounds(client, succeed(client, song_prompt(load={"model": SPLIT})))
    (joined,) = sounds(client, succeed(client, song_prompt(load={"model": ALL_IN_ONE})))
    assert np.array_equal(split.waveform, joined.waveform)


def test_auto_takes_what_belongs_to_the_model(client: ComfyUIClient) -> None:
    assert np.array_equal(latents(client, SPLIT), latents(client, SPLIT, SPLIT_TEXT_ENCODER))
    assert np.array_equal(latents(client, ALL_IN_ONE), latents(client, ALL_IN_ONE, ALL_IN_ONE, ALL_IN_ONE))
    assert np.array_equal(latents(client, OFFICIAL), latents(client, OFFICIAL, OFFICIAL_TEXT_ENCODER, "ace_step/vae"))
    assert np.array_equal(
        latents(client, DIFFUSERS), latents(client, DIFFUSERS, DIFFUSERS_TEXT_ENCODER, f"{DIFFUSERS}/vae")
    )


@pytest.mark.parametrize("model", [SPLIT, ALL_IN_ONE, DIFFUSERS])
def test_the_same_words_give_the_same_song_in_every_layout(client: ComfyUIClient, model: str) -> None:
    """With one tokenizer for all; what is left is the silence latent (bf16 in diffusers folders)."""
    expected = latents(client, OFFICIAL, OFFICIAL_TEXT_ENCODER)
    found = latents(client, model, OFFICIAL_TEXT_ENCODER)
    relative_error = np.linalg.norm(found - expected) / np.linalg.norm(expected)
    assert relative_error <= (1e-2 if model == DIFFUSERS else 1e-5)


def test_parts_of_different_layouts_work_together(client: ComfyUIClient) -> None:
    choices = {"model": SPLIT, "text_encoder": DIFFUSERS_TEXT_ENCODER, "vae": ALL_IN_ONE}
    (sound,) = sounds(client, succeed(client, song_prompt(load=choices)))
    (expected,) = sounds(client, succeed(client, song_prompt(load={**choices, "text_encoder": OFFICIAL_TEXT_ENCODER})))
    assert np.array_equal(sound.waveform, expected.waveform)


def test_xl(client: ComfyUIClient) -> None:
    run = succeed(client, song_prompt(load={"model": XL}))
    assert text_of(run, "load").startswith("ACE-Step 1.5 XL turbo")
    (sound,) = sounds(client, run)
    assert sound.waveform.std() > 0.01


def test_bfloat16(client: ComfyUIClient) -> None:
    expected = latents(client, SPLIT)
    prompt = latent_prompt(song_prompt(load={"model": SPLIT, "precision": "bfloat16"}))
    run = succeed(client, prompt)
    assert text_of(run, "load").splitlines()[0].endswith("bfloat16")
    found = latents_of(client, run)
    assert found.dtype == np.float32
    assert 0 < np.linalg.norm(found - expected) / np.linalg.norm(expected) < 0.2


def test_base_uses_guidance_by_default(client: ComfyUIClient) -> None:
    run = render(client, BASE, steps=3)
    assert text_of(run, "sample") == "3 steps, shift 1, euler, guidance 7 (apg)"
    assert "50 steps" in text_of(render(client, BASE), "sample")


@pytest.mark.parametrize(
    "change",
    [
        {"guidance": 1.0},
        {"guidance": 4.0},
        {"guidance_method": "cfg"},
        {"guidance_method": "adg"},
        {"guidance_end": 0.6},
        {"guidance_start": 0.6},
    ],
    ids=lambda change: "-".join(f"{name}-{value}" for name, value in change.items()),
)
def test_every_guidance_option_acts(client: ComfyUIClient, change: dict[str, object]) -> None:
    usual = latents(client, BASE, steps=4)
    changed = latents(client, BASE, steps=4, **change)
    assert np.isfinite(changed).all()
    assert np.abs(changed - usual).max() > 1e-3


@pytest.fixture
def renamed_base(models_directory: Path) -> Iterator[str]:
    """A base checkpoint whose name does not say so."""
    path = models_directory / "diffusion_models" / "mystery.safetensors"
    shutil.copyfile(models_directory / BASE, path)
    yield f"diffusion_models/{path.name}"
    path.unlink()


def test_a_renamed_file_asks_for_its_variant(client: ComfyUIClient, renamed_base: str) -> None:
    prompt = latent_prompt(song_prompt(load={"model": renamed_base}, sample={"steps": 3}))
    failure = observe(client, prompt).failure
    assert failure is not None and "Load Models" in failure and "choose it in 'variant'" in failure
    prompt["load"]["inputs"]["variant"] = "base"
    assert np.array_equal(latents_of(client, succeed(client, prompt)), latents(client, BASE, steps=3))
