"""The editing nodes on a ComfyUI server: files in, files out, the cache, Cancel, masks of the host, refusals."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from comfyui_client import ComfyUIClient
from host_process import PACK_ROOT
from music import Music, band, write_wav
from numpy.typing import NDArray
from PIL import Image
from recordings_of_kinds import LEVEL, PITCHES, level_at, write_recording
from song_runs import STEP_OF_16_BITS, Prompt, cancel, observe, song_prompt, sounds, succeed, text_of, with_nodes

BASE = "diffusion_models/acestep_v1.5_base.safetensors"
RATE = 48_000
SECONDS = 10.0
FADE = 1200  # samples of a balanced repaint
CONTRACT = json.loads((PACK_ROOT / "tests" / "data" / "object_info.json").read_text(encoding="ascii"))


@pytest.fixture(scope="module")
def music() -> Music:
    return band(SECONDS, bpm=120)


@pytest.fixture
def recording(client: ComfyUIClient, music: Music, tmp_path: Path) -> str:
    """The mix as a 16-bit file in the host's input folder; the same for every test, so that the host may cache."""
    return client.upload(write_wav(tmp_path / "band.wav", music.mix, RATE))


def widgets(node: str) -> dict[str, Any]:
    return {widget["name"]: widget["default"] for widget in CONTRACT[node]["inputs"] if "default" in widget}


def edit(node: str, recording: str, *, model: str | None = None, **inputs: Any) -> Prompt:
    """A task node on a file, and the path to a saved song; a base model with few steps."""
    changes: dict[str, Mapping[str, Any]] = {"blueprint": {"duration_seconds": 0.0}}
    if model is not None:
        changes |= {"load": {"model": model}, "sample": {"steps": 4, "guidance": 2.0}}
    task = {"vae": ["load", 2], "audio": ["audio", 0], **widgets(node), **inputs}
    prompt = with_nodes(song_prompt(**changes), audio=("LoadAudio", {"audio": recording}), task=(node, task))
    for name in ("encode", "decode"):
        prompt[name]["inputs"]["task"] = ["task", 0]
    return prompt


def saved(waveform: NDArray[np.float32]) -> NDArray[np.float32]:
    """Samples as a 16-bit file holds them."""
    return np.round(waveform * 32767).astype(np.int16).astype(np.float32) / np.float32(32768)


def failure(client: ComfyUIClient, prompt: Prompt) -> str:
    found = observe(client, prompt).failure
    assert found is not None
    return found


def assert_repainted(result: NDArray[np.float32], source: NDArray[np.float32], start: float, end: float) -> None:
    first, last = round(start * RATE), round(end * RATE)
    assert result.shape == source.shape
    assert np.array_equal(result[:, : first - FADE], source[:, : first - FADE])
    assert np.array_equal(result[:, last + FADE :], source[:, last + FADE :])
    assert np.abs(result[:, first:last] - source[:, first:last]).max() > 0.1


def test_a_repainted_file_is_the_file_outside_the_region(client: ComfyUIClient, recording: str, music: Music) -> None:
    run = succeed(client, edit("AceComposerRepaint", recording, start=3.0, end=5.0))
    (sound,) = sounds(client, run)
    assert_repainted(sound.waveform, saved(music.mix), 3.0, 5.0)
    assert text_of(run, "task") == "repaint of 10 s, new: 3-5 s"
    assert text_of(run, "encode").startswith("repaint of 10 s, new: 3-5 s, caption ")
    assert text_of(run, "decode") == "repaint of 10 s, new: 3-5 s: the rest is the recording, at its own level"


def test_bars_come_from_the_blueprint(client: ComfyUIClient, recording: str, music: Music) -> None:
    prompt = edit("AceComposerRepaint", recording, unit="bars", start=2.0, end=3.0, blueprint=["blueprint", 0])
    prompt["blueprint"]["inputs"] |= {"bpm": 120, "time_signature": "4/4"}
    (sound,) = sounds(client, succeed(client, prompt))
    assert_repainted(sound.waveform, saved(music.mix), 2.0, 4.0)


def test_a_mask_of_the_host_names_the_region(
    client: ComfyUIClient, recording: str, music: Music, tmp_path: Path
) -> None:
    picture = Image.new("RGB", (100, 8))
    picture.paste((255, 255, 255), (60, 0, 80, 8))
    picture.save(tmp_path / "mask.png")
    prompt = edit("AceComposerRepaint", recording, mask=["mask", 0])
    loaded = {"image": client.upload(tmp_path / "mask.png"), "channel": "red"}
    run = succeed(client, with_nodes(prompt, mask=("LoadImageMask", loaded)))
    (sound,) = sounds(client, run)
    assert_repainted(sound.waveform, saved(music.mix), 6.0, 8.0)
    assert "the mask is used" in text_of(run, "task")


def test_only_what_changed_runs_again(client: ComfyUIClient, recording: str) -> None:
    prompt = edit("AceComposerRepaint", recording, start=1.0, end=2.0)
    succeed(client, prompt)
    assert succeed(client, prompt).executed == []
    prompt["sample"]["inputs"]["seed"] = 77
    assert succeed(client, prompt).executed == ["sample", "decode", "save"]
    prompt["task"]["inputs"]["end"] = 2.5
    assert sorted(succeed(client, prompt).executed) == ["decode", "encode", "sample", "save", "task"]


def test_an_extended_file_holds_the_file(client: ComfyUIClient, recording: str, music: Music) -> None:
    run = succeed(client, edit("AceComposerExtend", recording, before_seconds=1.5, after_seconds=2.25))
    (sound,) = sounds(client, run)
    source = saved(music.mix)
    assert sound.waveform.shape == (2, round(13.75 * RATE))
    start, fade = round(1.5 * RATE), 2400
    kept = sound.waveform[:, start + fade : start + source.shape[1] - fade]
    assert np.array_equal(kept, source[:, fade:-fade])
    assert text_of(run, "task").splitlines() == [
        "repaint of 13.75 s, new: 0-1.5 s, 11.5-13.75 s",
        "the model renders 0-13.75 s of it",
    ]


def test_a_cover_is_normalised_and_says_that_nothing_is_kept(client: ComfyUIClient, recording: str) -> None:
    run = succeed(client, edit("AceComposerCover", recording))
    (sound,) = sounds(client, run)
    assert sound.waveform.shape == (2, round(SECONDS * RATE))
    assert np.abs(sound.waveform).max() == pytest.approx(10 ** (-1 / 20), abs=1e-4)
    assert text_of(run, "decode") == "cover keeps nothing of its source as it is: the task changes nothing here"


def test_the_source_decides_the_length_and_the_node_says_so(client: ComfyUIClient, recording: str) -> None:
    prompt = edit("AceComposerCover", recording)
    prompt["blueprint"]["inputs"]["duration_seconds"] = 30.0
    prompt["encode"]["inputs"]["codes_strength"] = 0.5
    shown = text_of(succeed(client, prompt), "encode")
    assert "the source decides the length, 10 s, not the blueprint's 30 s" in shown
    assert "codes_strength does nothing" in shown


def test_three_stems_are_three_files_and_one_can_be_picked_and_mixed(client: ComfyUIClient, recording: str) -> None:
    prompt = edit("AceComposerExtract", recording, model=BASE, drums=True, bass=True)
    audio = {"audio": ["decode", 0], "task": ["task", 0]}
    prompt = with_nodes(
        prompt,
        drums=("AceComposerPickStem", {**audio, "track": "drums", "item": 1}),
        bass=("AceComposerPickStem", {**audio, "track": "bass", "item": 1}),
        mix=(
            "AceComposerMix",
            {**widgets("AceComposerMix"), "audio_1": ["drums", 0], "audio_2": ["bass", 0], "gain_db_1": 20.0},
        ),
        save_bass=("SaveAudio", {"audio": ["bass", 0], "filename_prefix": "bass"}),
        save_mix=("SaveAudio", {"audio": ["mix", 0], "filename_prefix": "mix"}),
    )
    run = succeed(client, prompt)
    vocals, drums, bass = sounds(client, run)
    for stem in (vocals, drums, bass):
        assert stem.waveform.shape == (2, round(SECONDS * RATE))
    assert np.abs(vocals.waveform - drums.waveform).max() > 1e-3
    (picked,), (mixed,) = sounds(client, run, "save_bass"), sounds(client, run, "save_mix")
    assert np.abs(picked.waveform - bass.waveform).max() <= STEP_OF_16_BITS
    together = 10 * drums.waveform + bass.waveform
    assert np.abs(mixed.waveform - together / np.abs(together).max()).max() < 1e-3
    assert text_of(run, "mix").startswith("item 1: lowered by ")
    assert [line.split(",")[0] for line in text_of(run, "task").splitlines()] == [
        "extract (vocals) of 10 s",
        "extract (drums) of 10 s",
        "extract (bass) of 10 s",
    ]


@pytest.mark.parametrize(
    "node", ["AceComposerExtract", "AceComposerLego", "AceComposerComplete", "AceComposerVocalToBacking"]
)
def test_tracks_need_another_model_than_turbo(client: ComfyUIClient, recording: str, node: str) -> None:
    (sound,) = sounds(client, succeed(client, edit(node, recording, model=BASE)))
    assert sound.waveform.shape == (2, round(SECONDS * RATE))
    text = failure(client, edit(node, recording))
    assert text.startswith("Encode") and "needs a base checkpoint" in text and "is turbo" in text


def test_a_band_is_built_layer_by_layer(client: ComfyUIClient, recording: str) -> None:
    """The mix so far is the source of the next layer."""
    prompt = edit("AceComposerLego", recording, model=BASE, track="drums")
    mixed = {**widgets("AceComposerMix"), "audio_1": ["audio", 0], "audio_2": ["decode", 0]}
    lego = {**prompt["task"]["inputs"], "audio": ["mix", 0], "track": "bass", "regions": "2-4"}
    prompt = with_nodes(
        prompt,
        mix=("AceComposerMix", mixed),
        task2=("AceComposerLego", lego),
        encode2=("AceComposerEncode", {**prompt["encode"]["inputs"], "task": ["task2", 0]}),
        sample2=("AceComposerSample", {**prompt["sample"]["inputs"], "conditioning": ["encode2", 0]}),
        decode2=("AceComposerDecode", {"vae": ["load", 2], "latent": ["sample2", 0], "normalize": True}),
    )
    prompt["save"]["inputs"]["audio"] = ["decode2", 0]
    run = succeed(client, prompt)
    assert sounds(client, run)[0].waveform.shape == (2, round(SECONDS * RATE))
    assert text_of(run, "task2") == "lego (bass) of 10 s, new: 2-4 s"


def test_references_and_codes_and_a_retake_together(client: ComfyUIClient, recording: str) -> None:
    reference = {**widgets("AceComposerReferenceAudio"), "vae": ["load", 2], "audio": ["audio", 0]}
    prompt = with_nodes(
        song_prompt(),
        audio=("LoadAudio", {"audio": recording}),
        codes=(
            "AceComposerAudioToCodes",
            {"model": ["load", 0], "vae": ["load", 2], "audio": ["audio", 0], "blueprint": ["blueprint", 0]},
        ),
        timbre=("AceComposerReferenceAudio", reference),
        timbre2=("AceComposerReferenceAudio", {**reference, "windows": "seeded", "timbre": ["timbre", 0]}),
        retake=("AceComposerRetake", {"conditioning": ["encode", 0], "seed": 3, "strength": 0.3}),
    )
    prompt["encode"]["inputs"] |= {"blueprint": ["codes", 0], "timbre": ["timbre2", 0]}
    prompt["sample"]["inputs"]["conditioning"] = ["retake", 0]
    run = succeed(client, prompt)
    assert "with the timbre of 2 reference(s)" in text_of(run, "encode")
    assert "retake with seed 3, strength 0.3" in text_of(run, "sample")
    (sound,) = sounds(client, run)
    prompt["encode"]["inputs"]["timbre"] = ["timbre", 0]
    (one,) = sounds(client, succeed(client, prompt))
    prompt["retake"]["inputs"]["strength"] = 0.0
    (plain,) = sounds(client, succeed(client, prompt))
    assert sound.waveform.shape == one.waveform.shape == plain.waveform.shape == (2, round(SECONDS * RATE))
    assert np.abs(sound.waveform - one.waveform).max() > 1e-3
    assert np.abs(plain.waveform - one.waveform).max() > 1e-3


@pytest.mark.parametrize(
    ("source", "sentence"),
    [
        (("EmptyAudio", {"duration": 12.0, "sample_rate": 44100, "channels": 2}), "item 1 of 1 of the audio is silent"),
        (("TrimAudioDuration", {"audio": ["file", 0], "start_index": 0.0, "duration": 0.5}), "the audio lasts 0.5 s"),
    ],
    ids=["silent", "too short"],
)
def test_audio_that_cannot_be_edited(
    client: ComfyUIClient, recording: str, source: tuple[str, dict[str, Any]], sentence: str
) -> None:
    prompt = with_nodes(edit("AceComposerCover", recording), audio=source, file=("LoadAudio", {"audio": recording}))
    text = failure(client, prompt)
    assert text.startswith("AceComposerCover") and sentence in text


def test_surround_is_refused_with_the_way_out_and_mixed_down(client: ComfyUIClient, tmp_path: Path) -> None:
    name = client.upload(write_recording(tmp_path / "surround.flac", "flac", "flac", "5.1"))
    text = failure(client, edit("AceComposerCover", name))
    assert "audio must be mono or stereo, got 6 channels: put Mix before this node, with its downmix on" in text
    prompt: Prompt = {
        "file": {"class_type": "LoadAudio", "inputs": {"audio": name}},
        "mix": {"class_type": "AceComposerMix", "inputs": widgets("AceComposerMix") | {"audio_1": ["file", 0]}},
        "save": {"class_type": "SaveAudio", "inputs": {"audio": ["mix", 0], "filename_prefix": "mixed down"}},
    }
    assert "audio_1 must be mono or stereo, got 6 channels: switch downmix on" in failure(client, prompt)
    prompt["mix"]["inputs"]["downmix"] = True
    run = succeed(client, prompt)
    assert text_of(run, "mix") == "item 1: level kept\naudio_1: 6 channels are mixed down to stereo"
    (sound,) = sounds(client, run)
    for pitch, left, right in (("FL", 1.0, 0.0), ("FC", 0.5**0.5, 0.5**0.5), ("BR", 0.0, 0.5**0.5), ("LFE", 0.0, 0.0)):
        heard = [level_at(side, PITCHES[pitch]) / LEVEL for side in sound.waveform]
        assert heard == pytest.approx([left, right], abs=0.01), pitch


def test_a_file_with_broken_samples_is_refused(client: ComfyUIClient, music: Music, tmp_path: Path) -> None:
    broken = music.mix.copy()
    broken[:, 4800] = np.nan
    text = failure(client, edit("AceComposerCover", client.upload(write_float_wav(tmp_path / "nan.wav", broken))))
    assert "NaN or infinite samples" in text


def test_a_task_is_cancelled_while_it_hears_and_while_it_renders(
    client: ComfyUIClient, music: Music, recording: str, tmp_path: Path
) -> None:
    long = client.upload(write_wav(tmp_path / "long.wav", np.tile(music.mix, 18), RATE))
    prompt = edit("AceComposerRepaint", long)
    prompt["sample"]["inputs"]["steps"] = 20
    cancel(client, prompt, "task")
    cancel(client, prompt, "sample")
    succeed(client, edit("AceComposerRepaint", recording, start=3.0, end=5.5))


def write_float_wav(path: Path, waveform: NDArray[np.float32]) -> Path:
    """A WAV file of 32-bit floats, which may hold anything."""
    channels, samples = waveform.shape
    data = np.ascontiguousarray(waveform.T, "<f4").tobytes()
    form = b"fmt " + (16).to_bytes(4, "little") + (3).to_bytes(2, "little") + channels.to_bytes(2, "little")
    form += RATE.to_bytes(4, "little") + (RATE * channels * 4).to_bytes(4, "little")
    form += (channels * 4).to_bytes(2, "little") + (32).to_bytes(2, "little")
    body = b"WAVE" + form + b"data" + len(data).to_bytes(4, "little") + data
    path.write_bytes(b"RIFF" + len(body).to_bytes(4, "little") + body)
    return path
