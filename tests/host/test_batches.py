"""Batches, and the host's own nodes before and after ours."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from comfyui_client import ComfyUIClient
from safetensors.numpy import save_file
from song_runs import (
    STEP_OF_16_BITS,
    Prompt,
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

from ace_core.song.blueprint import Blueprint
from ace_core.song.blueprint_json import blueprints_to_json

AMPLIFIED_DECIBELS = 60  # the host saves 16 bits; this brings differences of 3e-8 above them
FRAMES = 250  # of the shortest song


@pytest.fixture
def start_latents(client: ComfyUIClient, tmp_path: Path) -> str:
    """Latents of a 10 s song, in the host's input folder; every frame is different."""
    path = tmp_path / "start.latent"
    values = np.random.default_rng(0).standard_normal((1, 64, FRAMES), dtype=np.float32)
    save_file({"latent_tensor": values, "latent_format_version_0": np.zeros(0, np.float32)}, path)
    return client.upload(path)


def starting_from(name: str, **sampler: object) -> Prompt:
    prompt = latent_prompt(song_prompt(sample={"latent": ["start", 0], **sampler}))
    return with_nodes(prompt, start=("LoadLatent", {"latent": name}))


def test_each_latent_of_a_batch_equals_its_seed_alone(client: ComfyUIClient) -> None:
    batch = latents_of(client, succeed(client, latent_prompt(song_prompt(sample={"seed": 7, "batch_size": 3}))))
    assert batch.shape == (3, 64, FRAMES)
    for item in range(3):
        alone = latents_of(client, succeed(client, latent_prompt(song_prompt(sample={"seed": 7 + item}))))
        assert np.abs(batch[item] - alone[0]).max() <= 1e-5
    assert np.abs(batch[0] - batch[1]).max() > 0.1


def test_each_waveform_of_a_batch_equals_its_seed_alone(client: ComfyUIClient) -> None:
    """Their difference before normalisation, amplified by the host's own audio nodes."""
    prompt = song_prompt(sample={"seed": 7, "batch_size": 3}, decode={"normalize": False})
    alone = {"model": ["load", 0], "conditioning": ["encode", 0]}
    sampler = prompt["sample"]["inputs"]
    for item in range(3):
        prompt = with_nodes(
            prompt,
            **{
                f"sample{item}": ("AceComposerSample", {**sampler, **alone, "seed": 7 + item, "batch_size": 1}),
                f"decode{item}": (
                    "AceComposerDecode",
                    {"vae": ["load", 2], "latent": [f"sample{item}", 0], "normalize": False},
                ),
                f"differ{item}": (
                    "AudioMerge",
                    {"audio1": ["decode", 0], "audio2": [f"decode{item}", 0], "merge_method": "subtract"},
                ),
                f"amplify{item}": ("AudioAdjustVolume", {"audio": [f"differ{item}", 0], "volume": AMPLIFIED_DECIBELS}),
                f"save{item}": ("SaveAudio", {"audio": [f"amplify{item}", 0], "filename_prefix": "difference"}),
            },
        )
    run = succeed(client, prompt)
    for item in range(3):
        differences = [np.abs(sound.waveform).max() for sound in sounds(client, run, f"save{item}")]
        assert len(differences) == 3
        assert differences[item] <= 1e-5 * 10 ** (AMPLIFIED_DECIBELS / 20)
        assert min(differences[other] for other in range(3) if other != item) > 0.1


def test_a_batch_gives_one_file_for_each_item(client: ComfyUIClient) -> None:
    run = succeed(client, song_prompt(sample={"batch_size": 2, "steps": 2}))
    one, other = sounds(client, run)
    assert one.waveform.shape == other.waveform.shape == (2, FRAMES * 1920)
    peaks = [np.abs(sound.waveform).max() for sound in (one, other)]
    assert peaks == pytest.approx([10 ** (-1 / 20)] * 2, abs=STEP_OF_16_BITS)


def test_seeds_name_each_item(client: ComfyUIClient) -> None:
    named = latent_prompt(song_prompt(sample={"seeds": "9, 7", "batch_size": 2}))
    batch = latents_of(client, succeed(client, named))
    counted = latents_of(client, succeed(client, latent_prompt(song_prompt(sample={"seed": 7, "batch_size": 3}))))
    assert np.abs(batch - counted[[2, 0]]).max() <= 1e-5


def test_the_largest_seed_wraps_around(client: ComfyUIClient) -> None:
    largest = 0xFFFFFFFFFFFFFFFF
    batch = latents_of(client, succeed(client, latent_prompt(song_prompt(sample={"seed": largest, "batch_size": 2}))))
    zero = latents_of(client, succeed(client, latent_prompt(song_prompt(sample={"seed": 0}))))
    assert np.abs(batch[1] - zero[0]).max() <= 1e-5


def test_a_run_starts_from_existing_latents(client: ComfyUIClient, start_latents: str) -> None:
    fresh = latents_of(client, succeed(client, latent_prompt(song_prompt())))
    slightly = succeed(client, starting_from(start_latents, denoise=0.1))
    largely = succeed(client, starting_from(start_latents, denoise=0.9))
    assert "denoise 0.1" in text_of(slightly, "sample")
    given = np.random.default_rng(0).standard_normal((1, 64, FRAMES), dtype=np.float32)
    near, far = (np.linalg.norm(latents_of(client, run) - given) for run in (slightly, largely))
    assert near < 0.5 * far
    assert np.abs(latents_of(client, largely) - fresh).max() > 1e-3

    unused = succeed(client, starting_from(start_latents, denoise=1.0))
    assert "latents to start from are not used" in text_of(unused, "sample")
    assert np.array_equal(latents_of(client, unused), fresh)


def test_one_start_serves_a_batch(client: ComfyUIClient, start_latents: str) -> None:
    batch = latents_of(client, succeed(client, starting_from(start_latents, denoise=0.5, seed=7, batch_size=2)))
    second = latents_of(client, succeed(client, starting_from(start_latents, denoise=0.5, seed=8)))
    assert np.abs(batch[1] - second[0]).max() <= 1e-5


@pytest.mark.parametrize("start_is_longer", [False, True])
def test_a_start_of_another_length_is_refused(client: ComfyUIClient, start_is_longer: bool) -> None:
    prompt = latent_prompt(song_prompt(sample={"steps": 1}))
    prompt = with_nodes(
        prompt,
        blueprint2=("AceComposerBlueprint", {**prompt["blueprint"]["inputs"], "duration_seconds": 12.0}),
        encode2=("AceComposerEncode", {**prompt["encode"]["inputs"], "blueprint": ["blueprint2", 0]}),
        sample2=("AceComposerSample", {**prompt["sample"]["inputs"], "conditioning": ["encode2", 0]}),
    )
    start, restarted = ("sample2", "sample") if start_is_longer else ("sample", "sample2")
    prompt[restarted]["inputs"] |= {"latent": [start, 0], "denoise": 0.5}
    prompt["latents"]["inputs"]["samples"] = [restarted, 0]
    failure = observe(client, prompt).failure
    given, wanted = ("300 frames (12 s)", "250 (10 s)") if start_is_longer else ("250 frames (10 s)", "300 (12 s)")
    assert failure is not None
    assert f"have {given}, but the song has {wanted}: give both the same duration" in failure


@pytest.fixture
def two_songs(client: ComfyUIClient, tmp_path: Path) -> list[str]:
    """Blueprint files in the host's input folder: two songs of different words and lengths, then each alone."""
    songs = (
        Blueprint(caption="slow piano", lyrics="[Verse]\nOne line", language="en", bpm=70, duration_seconds=10.0),
        Blueprint(caption="fast drums and a very long bass line", duration_seconds=12.0),
    )
    names = []
    for name, chosen in (("both", songs), ("first", songs[:1]), ("second", songs[1:])):
        path = tmp_path / f"{name}.json"
        path.write_text(blueprints_to_json(chosen), encoding="utf-8")
        names.append(client.upload(path))
    return names


def from_file(name: str, **sampler: object) -> Prompt:
    return latent_prompt(published_prompt("replay_codes", file={"file": name}, sample=sampler))


def test_songs_of_different_words_and_lengths_in_a_batch_equal_each_alone(
    client: ComfyUIClient, two_songs: list[str]
) -> None:
    batch, *alone = (
        latents_of(client, succeed(client, from_file(name, seed=seed)))
        for name, seed in zip(two_songs, (7, 7, 8), strict=True)
    )
    assert [latents.shape for latents in (batch, *alone)] == [(2, 64, 300), (1, 64, 250), (1, 64, 300)]
    for item, song in enumerate(alone):
        assert np.abs(batch[item, :, : song.shape[2]] - song[0]).max() <= 1e-5


def test_each_song_of_a_batch_starts_from_latents_of_its_own_length(
    client: ComfyUIClient, two_songs: list[str]
) -> None:
    """A batch of two lengths starts from latents of these lengths; a batch of one length cannot."""
    prompt = from_file(two_songs[0], seed=7, steps=2)
    again = {**prompt["sample"]["inputs"], "latent": ["sample", 0], "denoise": 0.5, "batch_size": 2}
    prompt = with_nodes(
        prompt,
        again=("AceComposerSample", again),
        file2=("AceComposerLoadBlueprint", {"file": two_songs[2]}),
        encode2=("AceComposerEncode", {**prompt["encode"]["inputs"], "blueprint": ["file2", 0]}),
    )
    prompt["latents"]["inputs"]["samples"] = ["again", 0]
    assert latents_of(client, succeed(client, prompt)).shape == (2, 64, 300)

    prompt["again"]["inputs"]["conditioning"] = ["encode2", 0]
    failure = observe(client, prompt).failure
    assert failure is not None
    assert "start song 1 of 2 from have 250 frames (10 s), but the song has 300 (12 s)" in failure


def test_the_hosts_batch_nodes_may_pick_and_repeat_our_latents(client: ComfyUIClient) -> None:
    prompt = song_prompt(sample={"seed": 7, "batch_size": 2, "steps": 2}, decode={"latent": ["repeat", 0]})
    prompt = with_nodes(
        prompt,
        pick=("LatentFromBatch", {"samples": ["sample", 0], "batch_index": 1, "length": 1}),
        repeat=("RepeatLatentBatch", {"samples": ["pick", 0], "amount": 3}),
    )
    files = sounds(client, succeed(client, prompt))
    assert [sound.waveform.shape for sound in files] == [(2, FRAMES * 1920)] * 3
    (alone,) = sounds(client, succeed(client, song_prompt(sample={"seed": 8, "steps": 2})))
    for sound in files:
        assert np.abs(sound.waveform - alone.waveform).max() <= STEP_OF_16_BITS


def test_the_hosts_nodes_may_cut_and_join_our_latents(client: ComfyUIClient) -> None:
    """A joined song must not be cut back to the length of its first part."""
    prompt = song_prompt(sample={"steps": 2}, decode={"latent": ["join", 0]})
    prompt = with_nodes(
        prompt,
        cut=("LatentCut", {"samples": ["sample", 0], "dim": "x", "index": 0, "amount": 100}),
        join=("LatentConcat", {"samples1": ["sample", 0], "samples2": ["cut", 0], "dim": "x"}),
        decode_cut=("AceComposerDecode", {"vae": ["load", 2], "latent": ["cut", 0], "normalize": True}),
        save_cut=("SaveAudio", {"audio": ["decode_cut", 0], "filename_prefix": "cut"}),
    )
    run = succeed(client, prompt)
    (joined,), (cut,) = sounds(client, run), sounds(client, run, "save_cut")
    assert joined.waveform.shape[1] == (FRAMES + 100) * 1920
    assert cut.waveform.shape[1] == 100 * 1920


def test_the_hosts_audio_nodes_follow_ours(client: ComfyUIClient) -> None:
    prompt = song_prompt(sample={"steps": 2})
    prompt = with_nodes(
        prompt,
        trim=("TrimAudioDuration", {"audio": ["decode", 0], "start_index": 1.0, "duration": 2.5}),
        trimmed=("PreviewAudio", {"audio": ["trim", 0]}),
        mp3=("SaveAudioMP3", {"audio": ["decode", 0], "filename_prefix": "audio/mp3", "quality": "V0"}),
    )
    run = succeed(client, prompt)
    (whole,), (part,), (compressed,) = (sounds(client, run, node) for node in ("save", "trimmed", "mp3"))
    assert np.abs(part.waveform - whole.waveform[:, 48000 : 48000 + 120000]).max() <= STEP_OF_16_BITS
    assert compressed.codec.startswith("mp3") and abs(compressed.waveform.shape[1] - whole.waveform.shape[1]) < 4800


def test_the_hosts_empty_latents_can_be_decoded_and_started_from(client: ComfyUIClient) -> None:
    """Where the host knows ACE-Step 1.5 (0.12 and later); its empty latents are zeros, [B, 64, frames]."""
    if "EmptyAceStep1.5LatentAudio" not in client.get_json("/object_info"):
        prompt = latent_prompt(song_prompt(sample={"latent": ["start", 0], "denoise": 0.5}))
        prompt = with_nodes(prompt, start=("EmptyAceStepLatentAudio", {"seconds": 10.0, "batch_size": 1}))
        failure = observe(client, prompt).failure
        assert failure is not None and "they come from another model" in failure
        return
    prompt = latent_prompt(song_prompt(sample={"latent": ["start", 0], "denoise": 0.5, "batch_size": 2}))
    prompt = with_nodes(prompt, start=("EmptyAceStep1.5LatentAudio", {"seconds": 10.0, "batch_size": 2}))
    assert latents_of(client, succeed(client, prompt)).shape == (2, 64, FRAMES)


def test_latents_of_another_model_are_refused(client: ComfyUIClient) -> None:
    prompt = with_nodes(
        song_prompt(decode={"latent": ["image", 0]}),
        image=("EmptyLatentImage", {"width": 64, "height": 64, "batch_size": 1}),
    )
    failure = observe(client, prompt).failure
    assert failure is not None and "Decode" in failure and "they come from another model" in failure
