"""Load Planner LoRA through a real ComfyUI's server: codes, branches, refusals, and the record of a song."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from comfyui_client import ComfyUIClient
from song_runs import (
    SHORT_SECONDS,
    Prompt,
    audio_files,
    blueprints_of,
    observe,
    published_prompt,
    succeed,
    text_of,
    with_nodes,
)

from ace_core.song.blueprint import Blueprint
from ace_core.song_files.files import read_record

SONG = {
    "caption": "indie folk",
    "lyrics": "[Instrumental]",
    "language": "unknown",
    "bpm": 96,
    "key": "A minor",
    "time_signature": "4",
    "duration_seconds": SHORT_SECONDS,
}


def planned_song(**planner: Any) -> Prompt:
    """plan_and_render for one song whose codes alone are open."""
    plan = {"seed": 11, "batch_size": 1, "rewrite_caption": False}
    return published_prompt(
        "plan_and_render", blueprint=SONG, plan=plan, sample={"seed": 5, "steps": 1}, planner=planner
    )


def only_plan(prompt: Prompt) -> Prompt:
    kept = ("planner", "lora", "blueprint", "plan", "keep")
    return {name: node for name, node in prompt.items() if name in kept}


def with_lora(prompt: Prompt, lora: str, strength: float = 1.0) -> Prompt:
    adapter = {"planner": ["planner", 0], "lora": lora, "strength": strength}
    adapted = with_nodes(prompt, lora=("AceComposerLoadPlannerLora", adapter))
    adapted["plan"]["inputs"]["planner"] = ["lora", 0]
    return adapted


def codes(client: ComfyUIClient, prompt: Prompt) -> tuple[int, ...]:
    (song,) = blueprints_of(client, succeed(client, only_plan(prompt)))
    assert song.audio_codes is not None and len(song.audio_codes) == 5 * SHORT_SECONDS
    return song.audio_codes


@pytest.mark.parametrize("weights", ["full", "int8"])
def test_adapters_write_other_codes_and_branches_stay_apart(
    client: ComfyUIClient, planner_loras: Path, weights: str
) -> None:
    prompt = planned_song(weights=weights)
    base = codes(client, prompt)
    artist, lokr = (codes(client, with_lora(prompt, name)) for name in ("artist", "artist_lokr.safetensors"))
    assert len({base, artist, lokr}) == 3
    assert codes(client, with_lora(prompt, "artist", 0.0)) == base
    both = with_lora(only_plan(prompt), "artist")
    plan, keep = both["plan"]["inputs"], both["keep"]["inputs"]
    both = with_nodes(
        both,
        plain=("AceComposerPlan", {**plan, "planner": ["planner", 0], "seed": 11}),
        keep_plain=("AceComposerSaveBlueprint", {**keep, "blueprint": ["plain", 0]}),
    )
    run = succeed(client, both)
    (adapted,), (plain,) = blueprints_of(client, run), blueprints_of(client, run, "keep_plain")
    assert (adapted.audio_codes, plain.audio_codes) == (artist, base)


def test_the_node_says_what_it_did(client: ComfyUIClient, planner_loras: Path) -> None:
    run = succeed(client, only_plan(with_lora(planned_song(), "artist", 0.0)))
    assert text_of(run, "lora").splitlines() == [
        "artist x 0: LoRA, rank 4, 14 weights",
        "strength 0: the planner stays as it is",
    ]
    run = succeed(client, only_plan(with_lora(planned_song(), "artist_lokr.safetensors", -0.5)))
    assert text_of(run, "lora") == "artist_lokr.safetensors x -0.5: LoKr, rank 2, 14 weights"


def test_each_node_refuses_the_others_adapters_and_names_it(client: ComfyUIClient, planner_loras: Path) -> None:
    run = observe(client, only_plan(with_lora(planned_song(), "my_style.safetensors")))
    assert run.failure is not None
    assert "is an adapter of the model's decoder" in run.failure and "Load LoRA" in run.failure
    assert "plan" not in run.executed
    for name in ("artist", "artist_lokr.safetensors"):
        prompt = published_prompt("use_lora", lora={"lora": name})
        run = observe(client, prompt)
        assert run.failure is not None
        assert "is an adapter of the planner (its file says so)" in run.failure
        assert "Load Planner LoRA" in run.failure
        assert "sample" not in run.executed


def test_a_song_names_the_planner_and_its_adapter(client: ComfyUIClient, planner_loras: Path, tmp_path: Path) -> None:
    prompt = with_lora(planned_song(), "artist", 0.75)
    prompt["save"]["inputs"]["planner"] = ["lora", 0]
    run = succeed(client, prompt)
    path = tmp_path / "song.flac"
    path.write_bytes(audio_files(client, run)[0])
    record = read_record(path)
    assert record.settings["planner"] == "qwen_1.7b_ace15.safetensors + artist x 0.75"
    assert {"text_encoders/qwen_1.7b_ace15.safetensors", "artist/adapter_model.safetensors"} <= set(record.models)

    name = client.upload(path)
    replay = {"song": ("AceComposerLoadSong", {"audio": name, "planner": ["lora", 0]})}
    again = with_nodes({name: prompt[name] for name in ("planner", "lora")}, **replay)
    again = with_nodes(again, text=("PreviewAny", {"source": ["song", 5]}))
    assert "2 of 2 connected weight files are the song's." in text_of(succeed(client, again), "song")
    rendered = published_prompt("replay_song", song={"audio": name})
    run = succeed(client, rendered)
    assert "The same latents as in the file, to the bit." in text_of(run, "sample")
    path.write_bytes(audio_files(client, run)[0])
    assert read_record(path).settings["planner"] == record.settings["planner"]


def test_without_a_planner_a_song_names_none(client: ComfyUIClient, tmp_path: Path) -> None:
    prompt = planned_song()
    prompt["encode"]["inputs"]["blueprint"] = ["blueprint", 0]
    prompt["save"]["inputs"] |= {"blueprint": ["blueprint", 0]}
    run = succeed(client, {name: node for name, node in prompt.items() if name not in ("plan", "planner", "keep")})
    path = tmp_path / "song.flac"
    path.write_bytes(audio_files(client, run)[0])
    record = read_record(path)
    assert "planner" not in record.settings and isinstance(record.blueprint, Blueprint)
