"""`python -m ace_core` makes the songs and plans that the nodes make, to the bit."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from comfyui_client import ComfyUIClient
from host_process import PACK_ROOT
from song_runs import SHORT_SECONDS, Prompt, blueprints_of, decode_sound, published_prompt, succeed, with_nodes

from ace_core.song.blueprint import Blueprint
from ace_core.song.blueprint_json import blueprints_from_json, blueprints_to_json

MODEL = "acestep_v1.5_turbo.safetensors"
SONG = Blueprint(
    caption="indie folk, fingerpicked guitar",
    lyrics="[Verse]\nMorning frost",
    language="en",
    bpm=96,
    duration_seconds=SHORT_SECONDS,
)


def terminal(*arguments: str | Path) -> Any:
    """What a command prints as JSON."""
    command = [sys.executable, "-m", "ace_core", *map(str, arguments), "--json"]
    result = subprocess.run(command, cwd=PACK_ROOT, env=os.environ, capture_output=True, text=True, check=False)
    assert result.returncode == 0, result.stderr
    return json.loads(result.stdout)


def saved_songs(client: ComfyUIClient, prompt: Prompt) -> list[np.ndarray[Any, np.dtype[np.float32]]]:
    """The samples of the songs of a prompt, in full precision."""
    wanted = {
        "audio": ["decode", 0],
        "blueprint": prompt["encode"]["inputs"]["blueprint"],
        "filename_prefix": "songs/terminal",
        "encoding": "wav 32 bit float",
        "title": "",
    }
    kept = {name: node for name, node in prompt.items() if name != "save"}
    run = succeed(client, with_nodes(kept, song=("AceComposerSaveSong", wanted)))
    return [decode_sound(client.view(item)).waveform for item in run.entry["outputs"]["song"]["audio"]]


@pytest.mark.parametrize(
    ("sampler", "plan", "adapters"),
    [
        ({"seed": 5, "batch_size": 2}, SONG, {}),
        ({"seed": 6, "solver": "heun", "steps": 3, "shift": 2.0}, SONG, {}),
        ({"seed": 7, "steps": 4}, Blueprint(caption="a march", duration_seconds=12.0), {"my_style.safetensors": 0.5}),
        (
            {"seed": 8, "steps": 2},
            Blueprint(caption="a waltz", audio_codes=tuple(range(0, 64_000, 1280)), duration_seconds=SHORT_SECONDS),
            {"my_style.safetensors": 1.0, "my_singer.safetensors": 0.75},
        ),
    ],
    ids=["batch", "heun", "LoRA", "codes and two LoRAs"],
)
def test_songs_are_those_of_the_nodes(
    client: ComfyUIClient,
    models_directory: Path,
    tmp_path: Path,
    sampler: Mapping[str, Any],
    plan: Blueprint,
    adapters: Mapping[str, float],
) -> None:
    (tmp_path / "plan.json").write_text(blueprints_to_json((plan,)), encoding="utf-8")
    uploaded = client.upload(tmp_path / "plan.json")
    prompt = published_prompt("replay_codes", file={"file": uploaded}, sample={"wavelet_correction": "auto", **sampler})
    loras = []
    for name, strength in adapters.items():
        choice = {"model": prompt["sample"]["inputs"]["model"], "lora": name, "strength": strength}
        prompt = with_nodes(prompt, **{name: ("AceComposerLoadLora", choice)})
        prompt["sample"]["inputs"]["model"] = [name, 0]
        loras.append(f"--lora={models_directory / 'loras' / name}={strength}")
    songs = saved_songs(client, prompt)
    options = [f"--{name.replace('_size', '')}={value}" for name, value in sampler.items()]
    where = ("--models", models_directory, "--model", MODEL, "--out", tmp_path / "song.wav")
    made = terminal("render", tmp_path / "plan.json", *options, *loras, *where)
    assert len(made["files"]) == len(songs) == sampler.get("batch_size", 1)
    for path, song in zip(made["files"], songs, strict=True):
        assert np.array_equal(decode_sound(Path(path).read_bytes()).waveform, song)
        assert np.abs(song).max() > 0.5


def test_plans_are_those_of_the_nodes(client: ComfyUIClient, models_directory: Path, tmp_path: Path) -> None:
    fields = {"caption": SONG.caption, "lyrics": SONG.lyrics, "language": "auto", "duration_seconds": SHORT_SECONDS}
    plan = {"seed": 11, "batch_size": 2, "rewrite_caption": False}
    prompt = published_prompt("plan_and_render", blueprint={**fields, "bpm": 96}, plan=plan)
    prompt = {name: prompt[name] for name in ("planner", "blueprint", "plan", "keep")}
    planned = blueprints_of(client, succeed(client, prompt))
    (tmp_path / "lyrics.txt").write_text(fields["lyrics"], encoding="utf-8")
    options = ("--caption", SONG.caption, "--lyrics", tmp_path / "lyrics.txt", "--bpm", "96")
    length = ("--duration", str(SHORT_SECONDS), "--seed", "11", "--batch", "2")
    written = terminal("plan", *options, *length, "--models", models_directory)
    assert blueprints_from_json(json.dumps(written)) == planned
