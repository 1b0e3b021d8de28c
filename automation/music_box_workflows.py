"""Workflows with the music box: their loaders pointed to it, short songs, files that every host has.

A workflow that reads a recording gets the sample of Load Song. What others need a file for is made by workflows that
run before: `write_songs` for the dataset, train_lora for its LoRA, plan_and_render for its plan.
"""

from __future__ import annotations

import copy
import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from comfyui_client import Prompt
from host_process import PACK_ROOT

WORKFLOWS = PACK_ROOT / "workflows" / "api"
MUSIC_BOX_OPTION = "music-box"  # as a program takes it
MUSIC_BOX = "music box (built in)"
SAMPLE = "sample (built in)"
SAMPLE_PATH = PACK_ROOT / "js" / "sample_song.mp3"
FACTS = "facts"  # id of the node that measures
LOADER = "AceComposerLoadModels"
SAVER = "AceComposerSaveSong"
SONGS_FOLDER = "my_songs"  # that of train_lora
LORA = "ace_step/my_style"  # which train_lora writes
SONG_AUDIO = 1  # the output of Load Song that is Load Audio's only one
MADE_FIRST = ("plan_and_render", "train_lora")
NEED_BASE = {
    "AceComposerExtract",
    "AceComposerLego",
    "AceComposerComplete",
    "AceComposerVocalToBacking",
}
STEPS = 8  # of base too: the notes are the same
SHORT: Mapping[str, Mapping[str, Any]] = {
    "AceComposerBlueprint": {"duration_seconds": 16.0},
    "AceComposerSample": {"steps": STEPS},
    "AceComposerExtend": {"before_seconds": 0.0, "after_seconds": 8.0},
    "AceComposerRepaint": {"start": 8.0, "end": 12.0},
    "AceComposerTrainLora": {"name": LORA, "rank": 4, "steps": 4, "sample_every": 4},
    "AceComposerLoadSong": {"audio": SAMPLE},
    "AceComposerLoadPlanner": {"planner": MUSIC_BOX},
}


def workflow_names() -> list[str]:
    """All workflows, those first that others need a file of."""
    names = sorted(path.stem for path in WORKFLOWS.glob("*.json"))
    return sorted(names, key=lambda name: name not in MADE_FIRST)


def write_songs(inputs: Path) -> None:
    """A dataset in the input folder."""
    folder = inputs / SONGS_FOLDER
    folder.mkdir(parents=True)
    shutil.copy(SAMPLE_PATH, folder)


def with_music_box(prompt: Prompt) -> dict[str, Any]:
    """The workflow with the music box and the sample in it, at its own length."""
    changed: dict[str, Any] = copy.deepcopy(dict(prompt))
    variant = "auto" if NEED_BASE.isdisjoint(node["class_type"] for node in changed.values()) else "base"
    recordings = {name for name, node in changed.items() if node["class_type"] == "LoadAudio"}
    for name in recordings:
        changed[name] |= {"class_type": "AceComposerLoadSong", "inputs": {"audio": SAMPLE}}
    for node in changed.values():
        inputs = node["inputs"]
        if node["class_type"] == LOADER:
            inputs |= {"model": MUSIC_BOX, "text_encoder": "auto", "vae": "auto", "variant": variant}
        elif node["class_type"] == "AceComposerLoadPlanner":
            inputs["planner"] = MUSIC_BOX
        node["inputs"] = {
            name: [value[0], SONG_AUDIO] if isinstance(value, list) and value[0] in recordings else value
            for name, value in inputs.items()
        }
    return changed


def shortened(prompt: Prompt, loras: Path) -> dict[str, Any]:
    """The workflow with short songs and few steps, and with the files that it can have."""
    changed: dict[str, Any] = copy.deepcopy(dict(prompt))
    trained = sorted(path.relative_to(loras).as_posix() for path in loras.rglob("*.safetensors"))
    for node in changed.values():
        short = SHORT.get(node["class_type"], {})
        node["inputs"] |= {name: value for name, value in short.items() if not isinstance(node["inputs"][name], list)}
        if node["class_type"] == "AceComposerLoadLora" and trained:
            node["inputs"]["lora"] = trained[0]
    return changed


def measured(prompt: Prompt) -> dict[str, Any]:
    """The workflow with its last song measured beside its plan; unchanged where it saves none."""
    saved = [node["inputs"] for node in prompt.values() if node["class_type"] == SAVER]
    if not saved:
        return dict(prompt)
    facts = {"audio": saved[-1]["audio"], "blueprint": saved[-1]["blueprint"]}
    node = {"class_type": "AceComposerAudioFacts", "inputs": facts, "_meta": {"title": "Audio Facts"}}
    return {**prompt, FACTS: node}
