"""The published workflow in a real ComfyUI: what it makes, what it caches, what it repeats."""

from __future__ import annotations

import copy

import numpy as np
import pytest
from comfyui_client import ComfyUIClient
from host_process import HostProcess
from song_runs import (
    NODES,
    STEP_OF_16_BITS,
    Prompt,
    Run,
    Sound,
    audio_files,
    clear_cache,
    latent_prompt,
    latents_of,
    song_prompt,
    sounds,
    succeed,
    text_of,
)

PEAK = 10 ** (-1 / 20)  # -1 dBFS


@pytest.fixture(scope="module")
def published() -> Prompt:
    return song_prompt(blueprint={"duration_seconds": 30.0})


@pytest.fixture(scope="module")
def first_run(host: HostProcess, published: Prompt) -> tuple[Run, list[Sound], str]:
    """The published workflow, run from an empty cache; with its sounds and what the host printed meanwhile."""
    with ComfyUIClient(host.url) as client:
        clear_cache(client)
        before = len(host.log())
        run = succeed(client, published)
        return run, sounds(client, run), host.log()[before:]


def test_the_result_is_30_s_of_stereo_at_48_khz(first_run: tuple[Run, list[Sound], str]) -> None:
    run, (sound,), _ = first_run
    assert run.entry["outputs"]["save"]["audio"][0]["filename"].endswith(".flac")
    assert (sound.codec, sound.sample_rate, sound.waveform.shape) == ("flac", 48000, (2, 30 * 48000))


def test_the_result_is_audible_and_peaks_at_minus_1_dbfs(first_run: tuple[Run, list[Sound], str]) -> None:
    _, (sound,), _ = first_run
    assert np.isfinite(sound.waveform).all()
    assert np.abs(sound.waveform).max() == pytest.approx(PEAK, abs=STEP_OF_16_BITS)
    seconds = sound.waveform.reshape(2, 30, 48000)
    assert seconds.std(axis=2).min() > 0.01  # no second of either channel is silent
    assert np.abs(seconds.mean(axis=2)).max() < 0.1  # and none is an offset


def test_every_node_runs_once_and_nothing_complains(first_run: tuple[Run, list[Sound], str]) -> None:
    run, _, log = first_run
    assert sorted(run.executed) == sorted(NODES) and not run.cached
    complaints = ("Traceback", "ERROR", "WARNING", "memory leak", "not found")
    assert [line for line in log.splitlines() if any(complaint in line for complaint in complaints)] == []


def test_the_nodes_show_what_they_used(first_run: tuple[Run, list[Sound], str]) -> None:
    run, _, _ = first_run
    assert text_of(run, "load").splitlines() == [
        "ACE-Step 1.5 2B turbo (acestep_v1.5_turbo.safetensors), float32",
        "text encoder: text_encoders/qwen_0.6b_ace15.safetensors; VAE: vae/ace_1.5_vae.safetensors",
    ]
    assert text_of(run, "sample").splitlines()[:2] == [
        "8 steps, shift 3, euler, no guidance, wavelet correction",
        "wavelet correction: low 0.05, high 0.02",
    ]
    assert text_of(run, "encode").startswith("30 s, caption ") and "left open: nothing" in text_of(run, "encode")


def test_a_second_run_executes_nothing(client: ComfyUIClient) -> None:
    prompt = song_prompt(sample={"seed": 100})
    succeed(client, prompt)
    second = succeed(client, prompt)
    assert second.executed == []
    assert second.cached == set(NODES)
    assert len(second.entry["outputs"]["save"]["audio"]) == 1


def test_a_changed_seed_runs_only_what_depends_on_it(client: ComfyUIClient) -> None:
    first = succeed(client, song_prompt(sample={"seed": 101}))
    second = succeed(client, song_prompt(sample={"seed": 102}))
    assert second.executed == ["sample", "decode", "save"]
    (one,), (other,) = sounds(client, first), sounds(client, second)
    assert np.abs(one.waveform - other.waveform).max() > 0.1


def test_a_changed_duration_does_not_load_again(client: ComfyUIClient) -> None:
    succeed(client, song_prompt(blueprint={"duration_seconds": 10.0}))
    changed = succeed(client, song_prompt(blueprint={"duration_seconds": 11.5}))
    assert changed.executed == ["blueprint", "encode", "sample", "decode", "save"]
    (sound,) = sounds(client, changed)
    assert sound.waveform.shape[1] == int(11.5 * 25) * 1920  # whole latent frames, rounded down


def test_a_changed_level_only_decodes(client: ComfyUIClient) -> None:
    prompt = song_prompt(sample={"seed": 103})
    succeed(client, prompt)
    changed = copy.deepcopy(prompt)
    changed["decode"]["inputs"]["normalize"] = False
    run = succeed(client, changed)
    assert run.executed == ["decode", "save"]
    (sound,) = sounds(client, run)
    assert STEP_OF_16_BITS < abs(np.abs(sound.waveform).max() - PEAK)


def test_the_same_seed_gives_the_same_file_after_everything_was_forgotten(client: ComfyUIClient) -> None:
    prompt = song_prompt(sample={"seed": 104})
    first = audio_files(client, succeed(client, prompt))
    clear_cache(client)
    again = succeed(client, prompt)
    assert sorted(again.executed) == sorted(NODES)
    assert audio_files(client, again) == first


def test_tiles_do_not_change_the_sound(client: ComfyUIClient) -> None:
    whole = succeed(client, song_prompt(sample={"seed": 105}, decode={"tile_seconds": 600.0}))
    tiled = succeed(client, song_prompt(sample={"seed": 105}, decode={"tile_seconds": 2.0}))
    assert tiled.executed == ["decode", "save"]
    (one,), (other,) = sounds(client, whole), sounds(client, tiled)
    assert np.abs(one.waveform - other.waveform).max() <= STEP_OF_16_BITS


@pytest.mark.parametrize("field", ["caption", "lyrics", "language", "bpm", "key", "time_signature", "instrumental"])
def test_every_field_of_the_blueprint_reaches_the_song(client: ComfyUIClient, field: str) -> None:
    others = {
        "caption": "solo piano",
        "lyrics": "[Verse]\nOther words",
        "language": "zh",
        "bpm": 60,
        "key": "C major",
        "time_signature": "3/4",
        "instrumental": True,
    }
    one = succeed(client, latent_prompt(song_prompt(sample={"steps": 1})))
    other = succeed(client, latent_prompt(song_prompt(sample={"steps": 1}, blueprint={field: others[field]})))
    assert not np.array_equal(latents_of(client, one), latents_of(client, other))


@pytest.mark.parametrize(
    "inputs",
    [
        {"steps": 3},
        {"shift": 1.0},
        {"solver": "heun"},
        {"solver": "sde"},
        {"custom_timesteps": "1, 0.7, 0.2"},
        {"seeds": "7"},
        {"official_precision": True},
    ],
    ids=lambda inputs: next(iter(inputs)),
)
def test_every_option_of_the_sampler_acts(client: ComfyUIClient, inputs: dict[str, object]) -> None:
    usual = latents_of(client, succeed(client, latent_prompt(song_prompt(sample={"steps": 2}))))
    changed = succeed(client, latent_prompt(song_prompt(sample={"steps": 2} | inputs)))
    assert changed.executed == ["sample", "latents"]
    assert np.abs(latents_of(client, changed) - usual).max() > 1e-3


def test_open_fields_are_named(client: ComfyUIClient) -> None:
    open_fields = {"language": "auto", "bpm": 0, "key": "auto", "time_signature": "auto"}
    run = succeed(client, latent_prompt(song_prompt(blueprint=open_fields, sample={"steps": 1})))
    assert "left open: language, bpm, key, time_signature" in text_of(run, "encode")
