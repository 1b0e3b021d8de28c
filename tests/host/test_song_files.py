"""Songs saved with Save Song in a real ComfyUI: what other programs read in them, and replays that are the same song to
the bit."""

from __future__ import annotations

import hashlib
import json
import re
import shutil
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, NamedTuple

import av
import mutagen
import mutagen.id3
import mutagen.mp3
import mutagen.wave
import numpy as np
import pytest
from comfyui_client import ComfyUIClient, PromptRejected
from comfyui_readers import dropped_workflow
from host_process import PACK_ROOT, HostProcess
from music import write_wav
from song_runs import (
    Prompt,
    Run,
    clear_cache,
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
from ace_core.song_files.files import read_record

TURBO = "diffusion_models/acestep_v1.5_turbo.safetensors"
XL = "diffusion_models/acestep_v1.5_xl_turbo_bf16.safetensors"
BASE = "diffusion_models/acestep_v1.5_base.safetensors"
SAMPLE = "sample (built in)"
CONTAINERS = {"flac": "flac 24 bit", "mp3": "mp3 V0", "opus": "opus 128k", "wav": "wav 16 bit"}
EXACT = "The same latents as in the file, to the bit"
LRC = "[00:01.50]Morning frost\n[00:04.00]on the wire"
BLUEPRINT = {"caption": "indie folk", "lyrics": "[Verse]\nMorning frost\non the wire", "bpm": 96, "key": "F# minor"}


def saved_prompt(container: str = "flac", save: Mapping[str, Any] = {}, **changes: Mapping[str, Any]) -> Prompt:
    """A short song to latents (node "latents") and to a song file (node "save_song")."""
    changes = {**changes, "sample": {"steps": 2, "seed": 5, **changes.get("sample", {})}}
    prompt = song_prompt(**changes | {"blueprint": {**BLUEPRINT, **changes.get("blueprint", {})}})
    del prompt["save"]
    inputs = {
        "audio": ["decode", 0],
        "blueprint": ["blueprint", 0],
        "latent": ["sample", 0],
        "filename_prefix": f"audio/song_{container}",
        "encoding": CONTAINERS[container],
        "title": "Morning frost",
        **save,
    }
    return with_nodes(
        prompt,
        latents=("SaveLatent", {"samples": ["sample", 0], "filename_prefix": "latents/song"}),
        save_song=("AceComposerSaveSong", inputs),
    )


def replay_prompt(song: str, load: Mapping[str, Any] = {}, **encode: Any) -> Prompt:
    """Load Song to latents, with nothing of the song set anywhere else."""
    models = {"model": ["load", 0], "text_encoder": ["load", 1]}
    plan = {"blueprint": ["song", 0], "codes_strength": ["song", 3]}
    widgets = {"seed": 99, "batch_size": 1, "steps": 0, "shift": 0.0, "guidance": 0.0, "solver": "euler"}
    return with_nodes(
        {"load": {**song_prompt(load=load)["load"]}},
        song=("AceComposerLoadSong", {"audio": song}),
        encode=("AceComposerEncode", {**models, **plan, **encode}),
        sample=(
            "AceComposerSample",
            {"model": ["load", 0], "conditioning": ["encode", 0], "replay": ["song", 2], **widgets},
        ),
        latents=("SaveLatent", {"samples": ["sample", 0], "filename_prefix": "latents/replay"}),
    )


class Saved(NamedTuple):
    run: Run
    path: Path
    latents: np.ndarray
    name: str


def saved_song(client: ComfyUIClient, folder: Path, prompt: Prompt, item: int = 0) -> Saved:
    run = succeed(client, prompt)
    result = run.entry["outputs"]["save_song"]["audio"][item]
    path = folder / result["filename"]
    path.write_bytes(client.view(result))
    name = f"{result['subfolder']}/{result['filename']} [output]"
    return Saved(run, path, latents_of(client, run)[item], name)


def replayed(client: ComfyUIClient, prompt: Prompt) -> tuple[np.ndarray, str]:
    """Latents of a replay and what Sample said."""
    run = succeed(client, prompt)
    (latents,) = latents_of(client, run)
    return latents, text_of(run, "sample")


@pytest.mark.parametrize("container", CONTAINERS)
def test_a_replay_has_the_same_latents_to_the_bit(client: ComfyUIClient, tmp_path: Path, container: str) -> None:
    saved = saved_song(client, tmp_path, saved_prompt(container, sample={"steps": 3, "shift": 2.0, "solver": "sde"}))
    clear_cache(client)
    latents, text = replayed(client, replay_prompt(saved.name))
    assert np.array_equal(latents, saved.latents)
    assert EXACT in text and "Replay of the seed 5" in text


@pytest.mark.parametrize(
    ("load", "changes"),
    [
        ({"model": BASE}, {"guidance": 3.0, "guidance_method": "cfg", "guidance_end": 0.8}),
        ({"model": BASE}, {"solver": "heun", "official_precision": True}),
        ({}, {"custom_timesteps": "1, 0.7, 0.2", "steps": 5}),
        ({"model": "ace_step/acestep-v15-turbo-diffusers"}, {"steps": 0}),
    ],
    ids=["guidance", "official precision", "custom time steps", "the checkpoint's own steps"],
)
def test_every_setting_of_the_sampler_is_in_the_file(
    client: ComfyUIClient, tmp_path: Path, load: Mapping[str, Any], changes: Mapping[str, Any]
) -> None:
    saved = saved_song(client, tmp_path, saved_prompt(load=load, sample=changes))
    latents, text = replayed(client, replay_prompt(saved.name, load))
    assert np.array_equal(latents, saved.latents) and EXACT in text


def test_a_retake_is_replayed_and_can_be_made_of_a_replay(client: ComfyUIClient, tmp_path: Path) -> None:
    retake = ("AceComposerRetake", {"conditioning": ["encode", 0], "seed": 8, "strength": 0.4})
    prompt = with_nodes(saved_prompt(), retake=retake)
    prompt["sample"]["inputs"]["conditioning"] = ["retake", 0]
    saved = saved_song(client, tmp_path, prompt)
    latents, text = replayed(client, replay_prompt(saved.name))
    assert np.array_equal(latents, saved.latents) and EXACT in text

    other = with_nodes(replay_prompt(saved.name), retake=(retake[0], retake[1] | {"strength": 0.1}))
    other["sample"]["inputs"]["conditioning"] = ["retake", 0]
    latents, text = replayed(client, other)
    assert not np.array_equal(latents, saved.latents)
    assert "NOT the same" in text and "variation_strength: 0.4 in the file, 0.1 now" in text


def test_codes_and_their_strength_are_replayed(client: ComfyUIClient, tmp_path: Path) -> None:
    plan = Blueprint(caption="rock", duration_seconds=10, audio_codes=tuple(range(0, 50_000, 1000)))
    (tmp_path / "codes.json").write_text(blueprints_to_json([plan]), encoding="utf-8")
    file = ("AceComposerLoadBlueprint", {"file": client.upload(tmp_path / "codes.json")})
    prompt = with_nodes(saved_prompt(sample={"steps": 4}), blueprint=file)
    prompt["encode"]["inputs"]["codes_strength"] = 0.5
    saved = saved_song(client, tmp_path, prompt)
    assert read_record(saved.path).blueprint == plan
    latents, text = replayed(client, replay_prompt(saved.name))
    assert np.array_equal(latents, saved.latents) and EXACT in text
    latents, text = replayed(client, replay_prompt(saved.name, codes_strength=1.0))
    assert not np.array_equal(latents, saved.latents) and "codes_strength: 0.5 in the file, 1.0 now" in text


def test_each_song_of_a_batch_is_replayed_as_it_was(client: ComfyUIClient, tmp_path: Path) -> None:
    prompt = saved_prompt(sample={"batch_size": 3})
    for item in range(3):
        saved = saved_song(client, tmp_path, prompt, item)
        assert read_record(saved.path).seeds == {"render": 5 + item}
        latents, text = replayed(client, replay_prompt(saved.name))
        assert np.array_equal(latents, saved.latents)
        assert EXACT in text and f"Rendered as number {item + 1} of 3" in text


def test_a_replay_with_adapters(client: ComfyUIClient, tmp_path: Path) -> None:
    lora = ("AceComposerLoadLora", {"model": ["load", 0], "lora": "my_style.safetensors", "strength": 0.7})
    prompt = with_nodes(saved_prompt(save={"model": ["lora", 0]}), lora=lora)
    prompt["sample"]["inputs"]["model"] = ["lora", 0]
    saved = saved_song(client, tmp_path, prompt)
    again = with_nodes(replay_prompt(saved.name), lora=lora)
    again["sample"]["inputs"]["model"] = again["song"]["inputs"]["model"] = ["lora", 0]
    run = succeed(client, again)
    assert np.array_equal(latents_of(client, run)[0], saved.latents)
    assert "2 of 2 connected weight files are the song's." in text_of(run, "song")

    again["sample"]["inputs"]["model"] = ["load", 0]
    latents, text = replayed(client, again)
    assert not np.array_equal(latents, saved.latents)
    assert "adapters: my_style.safetensors x 0.7 in the file, none now" in text


def test_another_model_is_named(client: ComfyUIClient, tmp_path: Path) -> None:
    saved = saved_song(client, tmp_path, saved_prompt(save={"model": ["load", 0], "vae": ["load", 2]}))
    prompt = replay_prompt(saved.name, {"model": XL})
    prompt["song"]["inputs"] |= {"model": ["load", 0], "vae": ["load", 2]}
    run = succeed(client, prompt)
    assert not np.array_equal(latents_of(client, run)[0], saved.latents)
    assert "model: acestep_v1.5_turbo.safetensors in the file, acestep_v1.5_xl" in text_of(run, "sample")
    text = text_of(run, "song")
    assert "1 of 2 connected weight files are the song's." in text
    assert f"Not the song's: {XL}." in text and f"The song's, not connected: {TURBO}." in text


def test_a_changed_plan_is_no_replay(client: ComfyUIClient, tmp_path: Path) -> None:
    saved = saved_song(client, tmp_path, saved_prompt())
    edit = ("AceComposerEditBlueprint", {"blueprint": ["song", 0], "changes": '{"caption": "polka"}'})
    prompt = with_nodes(replay_prompt(saved.name, blueprint=["edit", 0]), edit=edit)
    latents, text = replayed(client, prompt)
    assert not np.array_equal(latents, saved.latents)
    assert "NOT the same" in text and "every setting is the same, so the song plan" in text


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"batch_size": 2}, "a replay renders one song, got conditions of 1 songs and a batch size of 2"),
        ({"replay": None}, "does not say how its song was rendered"),
    ],
)
def test_a_replay_that_cannot_be_is_refused(
    client: ComfyUIClient, tmp_path: Path, changes: Mapping[str, Any], words: str
) -> None:
    prompt = saved_prompt()
    if "replay" in changes:
        del prompt["save_song"]["inputs"]["latent"]
    saved = saved_song(client, tmp_path, prompt)
    again = replay_prompt(saved.name)
    again["sample"]["inputs"] |= {name: value for name, value in changes.items() if value is not None}
    failure = observe(client, again).failure
    assert failure is not None and words in failure
    assert ("no latent is connected" in text_of(saved.run, "save_song")) == ("replay" in changes)


# What is in the files


def tags_of(path: Path) -> dict[str, Any]:
    """Title, lyrics, timed lyrics, bpm and key, as mutagen reads them."""
    file = mutagen.File(path)
    if isinstance(file, mutagen.mp3.MP3 | mutagen.wave.WAVE):
        tags: Any = file.tags
        (lyrics,), (timed,) = tags.getall("USLT"), tags.getall("SYLT")
        timed_lines = [(milliseconds, text) for text, milliseconds in timed.text]
        texts = {"bpm": str(tags["TBPM"]), "key": str(tags["TKEY"]), "title": str(tags["TIT2"])}
        return texts | {"lyrics": lyrics.text, "timed": timed_lines}
    comments = {name: file[name][0] for name in ("bpm", "key", "title", "lyrics")}
    return comments | {"timed": file["syncedlyrics"][0]}


@pytest.mark.parametrize("container", CONTAINERS)
def test_players_show_the_song(client: ComfyUIClient, tmp_path: Path, container: str) -> None:
    saved = saved_song(client, tmp_path, saved_prompt(container, {"lrc": LRC}))
    assert saved.path.suffix == f".{container}"
    timed = LRC if container in ("flac", "opus") else [(1500, "Morning frost"), (4000, "on the wire")]
    assert tags_of(saved.path) == {
        "title": "Morning frost",
        "lyrics": BLUEPRINT["lyrics"],
        "timed": timed,
        "bpm": "96",
        "key": "F#m",
    }
    (sound,) = sounds(client, saved.run, "save_song")
    assert sound.waveform.shape == (2, 480_000) and sound.waveform.std() > 0.01
    assert sound.codec == {"wav": "pcm_s16le", "mp3": "mp3float"}.get(container, container)
    assert text_of(saved.run, "save_song").splitlines()[0] == f"output/audio/{saved.path.name}"


@pytest.mark.parametrize("container", CONTAINERS)
def test_ffmpeg_reads_the_tags(client: ComfyUIClient, tmp_path: Path, container: str) -> None:
    saved = saved_song(client, tmp_path, saved_prompt(container))
    with av.open(str(saved.path)) as file:
        found = file.metadata | file.streams.audio[0].metadata  # where FFmpeg puts those of Opus
    tags = {name.lower(): text for name, text in found.items()}
    assert tags["title"] == "Morning frost"
    assert json.loads(tags["ace_composer"])["seeds"] == {"render": 5}


@pytest.mark.parametrize("container", ["flac", "mp3", "opus"])
def test_a_dropped_file_brings_the_prompt(client: ComfyUIClient, tmp_path: Path, container: str) -> None:
    prompt = saved_prompt(container)
    saved = saved_song(client, tmp_path, prompt)
    found = dropped_workflow(container, saved.path.read_bytes())
    assert found.keys() == {"prompt"}
    # the host adds to its nodes what it remembers them by
    for name, node in found["prompt"].items():
        assert (node["class_type"], node["inputs"]) == (prompt[name]["class_type"], prompt[name]["inputs"])


def test_a_saved_song_holds_no_paths_of_the_machine(
    client: ComfyUIClient, host: HostProcess, models_directory: Path, tmp_path: Path
) -> None:
    saved = saved_song(client, tmp_path, saved_prompt())
    found = json.dumps(dropped_workflow("flac", saved.path.read_bytes()))
    assert "is_changed" in found
    for folder in (models_directory, host.base_directory, PACK_ROOT):
        assert str(folder) not in found


def test_the_record_says_how_the_song_was_made(client: ComfyUIClient, tmp_path: Path) -> None:
    models = {"model": ["load", 0], "text_encoder": ["load", 1], "vae": ["load", 2]}
    saved = saved_song(client, tmp_path, saved_prompt(save={"lrc": LRC} | models))
    record = read_record(saved.path)
    assert record.blueprint.caption == "indie folk" and record.lrc == LRC and record.seeds == {"render": 5}
    expected = {
        "steps": 2,
        "shift": 3.0,
        "guidance": 1.0,
        "solver": "euler",
        "variant": "turbo",
        "precision": "float32",
    }
    assert record.settings.items() >= (expected | {"device": "cpu"}).items()
    assert set(record.models) == {
        "diffusion_models/acestep_v1.5_turbo.safetensors",
        "text_encoders/qwen_0.6b_ace15.safetensors",
        "vae/ace_1.5_vae.safetensors",
    }


def test_hashes_are_of_the_whole_files_and_can_be_left_out(
    client: ComfyUIClient, tmp_path: Path, models_directory: Path
) -> None:
    saved = saved_song(client, tmp_path, saved_prompt(save={"model": ["load", 0]}))
    digest = hashlib.sha256((models_directory / TURBO).read_bytes()).hexdigest()
    assert read_record(saved.path).models == {TURBO: digest[:16]}
    saved = saved_song(client, tmp_path, saved_prompt(save={"model": ["load", 0], "hash_models": False}))
    assert read_record(saved.path).models == {}


def test_a_batch_gives_a_file_for_each_song(client: ComfyUIClient, tmp_path: Path) -> None:
    prompt = saved_prompt(save={"lrc": "[00:01.00]one\f[00:02.00]two"}, sample={"batch_size": 2})
    records = [read_record(saved_song(client, tmp_path, prompt, item).path) for item in range(2)]
    assert [record.lrc for record in records] == ["[00:01.00]one", "[00:02.00]two"]
    assert [record.seeds["render"] for record in records] == [5, 6]
    prompt["save_song"]["inputs"]["lrc"] = "[00:01.00]one"
    failure = observe(client, prompt).failure
    assert failure is not None and "got timed lyrics of 1 songs for 2 pieces of audio" in failure


def test_timed_lyrics_scores_and_the_best_of_a_batch_are_kept(client: ComfyUIClient, tmp_path: Path) -> None:
    models = {"model": ["load", 0], "text_encoder": ["load", 1]}
    timing = {
        **models,
        "structure_tags": False,
        "parts": "word",
        "save": "nothing",
        "filename_prefix": "x",
        "latent": ["best", 0],
        "conditioning": ["encode", 0],
    }
    weights = {f"weight_{name}": 0.25 for name in ("caption", "lyrics", "metadata", "alignment")}
    score = {
        **models,
        **weights,
        "blueprint": ["blueprint", 0],
        "sensitivity": 0.1,
        "latent": ["sample", 0],
        "conditioning": ["encode", 0],
    }
    best = {"scores": ["score", 0], "keep": 2, "rank_by": "total", "latent": ["sample", 0]}
    prompt = with_nodes(
        saved_prompt(
            save={"latent": ["best", 0], "lrc": ["timing", 0], "scores": ["best", 3]}, sample={"batch_size": 3}
        ),
        timing=("AceComposerLyricTiming", timing),
        score=("AceComposerScore", score),
        best=("AceComposerBestOfN", best),
    )
    prompt["decode"]["inputs"]["latent"] = ["best", 0]
    run = succeed(client, prompt)
    records = []
    for item in run.entry["outputs"]["save_song"]["audio"]:
        path = tmp_path / item["filename"]
        path.write_bytes(client.view(item))
        records.append(read_record(path))
        assert tags_of(path)["timed"] == records[-1].lrc
    one, other = records
    assert one.seeds != other.seeds and {record.seeds["render"] for record in records} <= {5, 6, 7}
    assert one.scores["total"] >= other.scores["total"] and "alignment" in one.scores
    for record in records:
        assert "Morning frost" in record.lrc and "\f" not in record.lrc


def test_songs_of_different_lengths_end_where_they_do(client: ComfyUIClient, tmp_path: Path) -> None:
    plans = [Blueprint(caption="rock", duration_seconds=seconds) for seconds in (12, 10)]
    (tmp_path / "two.json").write_text(blueprints_to_json(plans), encoding="utf-8")
    file = ("AceComposerLoadBlueprint", {"file": client.upload(tmp_path / "two.json")})
    prompt = with_nodes(saved_prompt(), blueprint=file)
    for item, seconds in enumerate((12, 10)):
        saved = saved_song(client, tmp_path, prompt, item)
        record = read_record(saved.path)
        assert record.blueprint == plans[item] and record.settings["rendered_with"] == "1 other song(s)"
        assert sounds(client, saved.run, "save_song")[item].waveform.shape[1] == seconds * 48_000


def test_latents_are_recognised_wherever_they_went(client: ComfyUIClient, tmp_path: Path) -> None:
    """One taken out of a batch is known by its content; one that was changed is not said to be known."""
    pick = ("LatentFromBatch", {"samples": ["sample", 0], "batch_index": 2, "length": 1})
    louder = ("LatentMultiply", {"samples": ["sample", 0], "multiplier": 1.1})
    for between, seeds in ((pick, {"render": 7}), (louder, {})):
        prompt = with_nodes(saved_prompt(save={"latent": ["between", 0]}, sample={"batch_size": 3}), between=between)
        prompt["decode"]["inputs"]["latent"] = ["between", 0]
        saved = saved_song(client, tmp_path, prompt)
        assert read_record(saved.path).seeds == seeds
        text = text_of(saved.run, "save_song")
        assert ("are not as Sample made them: its file has no seed" in text) == (not seeds)


def test_latents_of_another_batch_are_not_recorded(client: ComfyUIClient, tmp_path: Path) -> None:
    """And the sound is saved all the same."""
    more = ("AceComposerSample", saved_prompt(sample={"batch_size": 2})["sample"]["inputs"])
    prompt = with_nodes(saved_prompt(), more=more)
    prompt["save_song"]["inputs"]["latent"] = ["more", 0]
    saved = saved_song(client, tmp_path, prompt)
    assert read_record(saved.path).seeds == {}
    assert "WARNING: the audio holds 1 songs and the latents 2" in text_of(saved.run, "save_song")


@pytest.mark.parametrize("source", ["task", "timbre", "latents"])
def test_what_the_file_cannot_hold_is_said(client: ComfyUIClient, tmp_path: Path, source: str) -> None:
    """And with the same source connected again, the replay is exact."""
    noise = np.random.default_rng(0).standard_normal((2, 480_000)).astype(np.float32) * 0.1
    audio = ("LoadAudio", {"audio": client.upload(write_wav(tmp_path / f"{source}.wav", noise, 48_000))})
    heard = {"vae": ["load", 2], "audio": ["audio", 0]}
    cover = {**heard, "strength": 1.0, "noise_strength": 0.0, "structure": "latents"}
    reference = {**heard, "windows": "fixed", "seed": 0}
    nodes: dict[str, tuple[tuple[str, dict[str, Any]], dict[str, Any], dict[str, Any], str]] = {
        "task": (("AceComposerCover", cover), {"task": ["source", 0]}, {}, "a task (cover-nofsq of 10 s)"),
        "timbre": (
            ("AceComposerReferenceAudio", reference),
            {"timbre": ["source", 0]},
            {},
            "a timbre (1 reference(s))",
        ),
        "latents": (
            ("AceComposerSample", {**saved_prompt()["sample"]["inputs"], "seed": 77}),
            {},
            {"latent": ["source", 0], "denoise": 0.6},
            "latents to start from (connected to Sample)",
        ),
    }
    node, encode, sample, words = nodes[source]
    prompt = with_nodes(saved_prompt(), audio=audio, source=node)
    prompt["encode"]["inputs"] |= encode
    prompt["sample"]["inputs"] |= sample
    saved = saved_song(client, tmp_path, prompt)
    sentence = f"Not in the file: {words}. A replay needs the same again."
    assert sentence in text_of(saved.run, "save_song")

    again = with_nodes(replay_prompt(saved.name), audio=audio, source=node)
    if source == "latents":  # which were made of the plan as it was
        again = with_nodes(again, blueprint=("AceComposerBlueprint", prompt["blueprint"]["inputs"]))
    alone = observe(client, again)
    assert sentence in text_of(alone, "song")
    if source == "latents":
        assert alone.failure is not None and "there are no latents to start from" in alone.failure
    else:
        assert "NOT the same" in text_of(alone, "sample") and f"{source}: " in text_of(alone, "sample")
    again["encode"]["inputs"] |= encode
    again["sample"]["inputs"] |= {name: value for name, value in sample.items() if name == "latent"}
    latents, text = replayed(client, again)
    assert np.array_equal(latents, saved.latents) and EXACT in text


# Files and folders


def test_a_prefix_cannot_lead_out_of_the_output_folder(client: ComfyUIClient, host: HostProcess) -> None:
    run = observe(client, saved_prompt(save={"filename_prefix": "../outside/song"}))
    assert run.failure is not None and "outside" in run.failure
    assert not (host.base_directory / "outside").exists()


def test_files_are_numbered_whatever_they_are(client: ComfyUIClient) -> None:
    names = [
        succeed(client, saved_prompt(container, {"filename_prefix": "audio/numbered"})).entry["outputs"]["save_song"][
            "audio"
        ][0]["filename"]
        for container in ("flac", "wav", "mp3")
    ]
    assert names == ["numbered_00001_.flac", "numbered_00002_.wav", "numbered_00003_.mp3"]


def test_saved_and_uploaded_songs_are_offered(client: ComfyUIClient, tmp_path: Path) -> None:
    saved = saved_song(client, tmp_path, saved_prompt("opus"))
    (tmp_path / "notes.txt").write_text("no song", encoding="utf-8")
    uploaded = [client.upload(path) for path in (saved.path, tmp_path / "notes.txt")]
    described = client.get_json("/object_info/AceComposerLoadSong")["AceComposerLoadSong"]
    kind, details = described["input"]["required"]["audio"]
    options = details["options"]
    assert {saved.name, uploaded[0]} <= set(options) and uploaded[1] not in options
    assert details["audio_upload"] is True
    latents, text = replayed(client, replay_prompt(uploaded[0]))
    assert np.array_equal(latents, saved.latents) and EXACT in text


def test_the_sample_is_the_last_choice_and_a_song(client: ComfyUIClient, host: HostProcess) -> None:
    described = client.get_json("/object_info/AceComposerLoadSong")["AceComposerLoadSong"]
    assert described["input"]["required"]["audio"][1]["options"][-1] == SAMPLE
    files = sorted(path for name in ("input", "output") for path in (host.base_directory / name).rglob("*"))
    prompt = published_prompt("repaint", sample={"steps": 1}, repaint={"start": 4.0, "end": 8.0})
    prompt["audio"] = {"class_type": "AceComposerLoadSong", "inputs": {"audio": SAMPLE}}
    prompt["repaint"]["inputs"]["audio"] = ["audio", 1]
    del prompt["save"]
    prompt = with_nodes(prompt, preview=("PreviewAudio", {"audio": ["decode", 0]}))
    run = succeed(client, prompt)
    assert "pop" in text_of(run, "audio") and "seed 1" in text_of(run, "audio")
    assert text_of(run, "repaint") == "repaint of 24 s, new: 4-8 s"
    assert succeed(client, prompt).executed == []
    assert files == sorted(path for name in ("input", "output") for path in (host.base_directory / name).rglob("*"))


@pytest.mark.parametrize("name", ["gone.flac", "../../models/vae/ace_1.5_vae.safetensors", "/etc/hostname"])
def test_a_file_elsewhere_is_refused(client: ComfyUIClient, name: str) -> None:
    with pytest.raises(PromptRejected, match="there is no file"):
        client.submit(replay_prompt(name))


def test_songs_of_others_are_refused_in_words(client: ComfyUIClient, tmp_path: Path) -> None:
    foreign = client.upload(write_wav(tmp_path / "foreign.wav", np.ones((2, 48_000), np.float32) * 0.1, 48_000))
    failure = observe(client, replay_prompt(foreign)).failure
    assert failure is not None and "foreign.wav holds no plan of ACE Composer" in failure


def test_a_replaced_song_is_read_again(client: ComfyUIClient, host: HostProcess, tmp_path: Path) -> None:
    for seed in (5, 6):
        saved = saved_song(client, tmp_path, saved_prompt(sample={"seed": seed}))
        shutil.copyfile(saved.path, host.base_directory / "input" / "replaced.flac")
        _, text = replayed(client, replay_prompt("replaced.flac"))
        assert f"Replay of the seed {seed}" in text and EXACT in text


def test_the_graph_is_left_out_where_the_user_wants_no_metadata(
    start_host: Callable[..., HostProcess], models_directory: Path, tmp_path: Path
) -> None:
    host = start_host(models=models_directory, extra_arguments=["--disable-metadata"])
    with ComfyUIClient(host.url) as client:
        saved = saved_song(client, tmp_path, saved_prompt())
        assert "prompt" not in mutagen.File(saved.path)
        assert replayed(client, replay_prompt(saved.name))[0].shape == saved.latents.shape


# The published workflow


def test_the_published_workflow_replays_a_song(client: ComfyUIClient, tmp_path: Path) -> None:
    saved = saved_song(client, tmp_path, saved_prompt("mp3", {"lrc": LRC, "model": ["load", 0]}))
    prompt = published_prompt("replay_song", song={"audio": saved.name})
    run = succeed(
        client, with_nodes(prompt, latents=("SaveLatent", {"samples": ["sample", 0], "filename_prefix": "x"}))
    )
    assert np.array_equal(latents_of(client, run)[0], saved.latents)
    assert EXACT in text_of(run, "sample")
    again = tmp_path / "again.flac"
    again.write_bytes(client.view(run.entry["outputs"]["save"]["audio"][0]))
    first, second = read_record(saved.path), read_record(again)
    assert (second.blueprint, second.seeds, second.settings, second.lrc, second.latents) == (
        first.blueprint,
        first.seeds,
        first.settings,
        first.lrc,
        first.latents,
    )


def test_dates_and_values_of_nodes_in_every_prefix(client: ComfyUIClient) -> None:
    prefix = "%date:yyyy-MM-dd%/x: %AceComposerSample.seed%"
    run = succeed(client, saved_prompt(save={"filename_prefix": prefix}))
    (saved,) = run.entry["outputs"]["save_song"]["audio"]
    assert re.fullmatch(r"\d{4}-\d\d-\d\d", saved["subfolder"]) and saved["filename"] == "x_ 5_00001_.flac"
    plan = {"blueprint": ["blueprint", 0], "filename_prefix": f"plans/{prefix}"}
    timed = {"lyrics": "[ar:me]\n[00:01.00]la\n[00:02.00]lo"}
    keep = with_nodes(song_prompt(blueprint=timed), keep=("AceComposerSaveBlueprint", plan))
    for node in ("save", "decode"):
        del keep[node]
    (file,) = succeed(client, keep).entry["outputs"]["keep"]["files"]
    assert re.fullmatch(r"plans/\d{4}-\d\d-\d\d", file["subfolder"])
    assert json.loads(client.view(file))["songs"][0]["lyrics"] == "la\nlo"
