"""Damaged files of every kind for every reader: python tests/support/mutated_files.py SEED COUNT FOLDER.

Each case runs in a process of its own, which the system ends after `SECONDS` and refuses more than `BYTES` of new
memory. Prints a JSON list of the cases that did not end in a result or in a sentence.
"""

from __future__ import annotations

import copy
import json
import os
import random
import resource
import shutil
import signal
import struct
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

if __name__ == "__main__":  # run as a script: the repository is not on the path
    sys.path.insert(0, str(Path(__file__).resolve().parents[2]))

import tiny_checkpoints
import torch
from safetensors.torch import save_file
from training_data import write_random_data

from ace_core.checkpoints.inspection import inspect_model, inspect_text_encoder, inspect_vae
from ace_core.checkpoints.loading import load_state_dict
from ace_core.checkpoints.silence import load_silence
from ace_core.checkpoints.tokenizer import find_planner_tokenizer, load_tokenizer
from ace_core.dataset.samples import read_manifest, read_sample
from ace_core.dataset.scanning import scan_folder
from ace_core.lora.formats import inspect_adapter, load_adapter
from ace_core.song.blueprint import Blueprint
from ace_core.song.blueprint_json import blueprints_to_json
from ace_core.song.official_params import plans_from_json
from ace_core.song_files.encoding import ENCODINGS, Sound, read_sound
from ace_core.song_files.files import read_record, write_song
from ace_core.song_files.record import SongRecord
from ace_core.training.run_state import RunState, load_state, save_state

SECONDS = 30
BYTES = 3_000_000_000
ERROR_CHARACTERS = 3000
RESULT, SENTENCE = "a result", "a sentence"
VALUES: tuple[Any, ...] = (
    *(None, True, -1, 0, 1, 2**31, 2**63, 10**19, 10**400, 1e308, float("inf"), float("nan"), 0.5, "", "x", "../x"),
    *("\ud800", "\0", "x" * 10_000, [], {}, [[]], [None], {"": None}, ["x"] * 1000),
)


class Kind(NamedTuple):
    """A kind of file: the place of the one to damage below the folder, and what reads it."""

    place: str
    read: Callable[[Path], object]


def read_all(path: Path, inspect: Callable[[Path], Any]) -> None:
    found = inspect(path)
    for source in (found.dit, found.condition_encoder, found.audio_tokenizer) if hasattr(found, "dit") else (found,):
        if source is not None:
            load_state_dict(source)
    if hasattr(found, "dit"):
        load_silence(found)


def in_folder(read: Callable[[Path], object]) -> Callable[[Path], object]:
    return lambda path: read(path.parent)


def models(inspect: Callable[[Path], Any]) -> Callable[[Path], object]:
    return lambda path: read_all(path, inspect)


KINDS: dict[str, Kind] = {
    "model": Kind("comfyui/acestep_v1.5_turbo.safetensors", models(inspect_model)),
    "text encoder": Kind("comfyui/qwen_0.6b_ace15.safetensors", models(inspect_text_encoder)),
    "vae": Kind("comfyui/ace_1.5_vae.safetensors", models(inspect_vae)),
    "config": Kind("official/acestep-v15-turbo/config.json", in_folder(models(inspect_model))),
    "silence": Kind("official/acestep-v15-turbo/silence_latent.pt", in_folder(models(inspect_model))),
    "index": Kind("sharded/acestep-v15-turbo/model.safetensors.index.json", in_folder(models(inspect_model))),
    "tokenizer": Kind("official/Qwen3-Embedding-0.6B/tokenizer.json", in_folder(load_tokenizer)),
    "planner tokenizer": Kind(
        "official/Qwen3-Embedding-0.6B/tokenizer.json", lambda path: find_planner_tokenizer(path.parent, 1000)
    ),
    "lora": Kind("lora/adapter_model.safetensors", lambda path: load_adapter(inspect_adapter(path))),
    "lora config": Kind("lora/adapter_config.json", lambda path: load_adapter(inspect_adapter(path.parent))),
    "blueprint": Kind("plans/plan.json", lambda path: plans_from_json(path.read_text("utf-8", "replace"))),
    **{
        f"song {suffix}": Kind(f"songs/song.{suffix}", lambda path: (read_record(path), read_sound(path)))
        for suffix in ("flac", "wav", "mp3", "opus", "m4a")
    },
    **{
        f"dataset {name}": Kind(f"dataset/{name}", lambda path: scan_folder(path.parent, path.parent))
        for name in ("a.txt", "a.lrc", "a.json", "table.csv", "all.json", "a.flac")
    },
    "state": Kind("state/state.safetensors", load_state),
    "sample": Kind("data/SAMPLE", read_sample),
    "manifest": Kind("data/manifest.json", in_folder(read_manifest)),
}


def write_originals(folder: Path) -> None:
    """One good file of each kind."""
    tiny_checkpoints.write_tiny(folder / "comfyui", "comfyui")
    for layout in ("official", "official_sharded"):
        tiny_checkpoints.write_tiny(folder / layout.removeprefix("official_"), layout)
    for name in ("lora", "plans", "songs", "dataset", "state"):
        (folder / name).mkdir()
    module = "base_model.model.layers.0.self_attn.q_proj"
    tensors = {f"{module}.lora_A.weight": torch.ones(4, 64), f"{module}.lora_B.weight": torch.ones(64, 4)}
    save_file(tensors, folder / "lora" / "adapter_model.safetensors", {"lora_adapter_metadata": '{"transformer.r": 4}'})
    config = {"peft_type": "LORA", "r": 4, "lora_alpha": 8, "alpha_pattern": {"q_proj": 2}, "rank_pattern": {"k": 2}}
    (folder / "lora" / "adapter_config.json").write_text(json.dumps(config), encoding="utf-8")
    plan = Blueprint(caption="rock", lyrics="[Verse]\nla", bpm=120, key="A minor", duration_seconds=10.0)
    (folder / "plans" / "plan.json").write_text(blueprints_to_json([plan]), encoding="utf-8")
    record = SongRecord(plan, seeds={"render": 1}, settings={"steps": 8}, scores={"total": 0.5}, lrc="[00:01.00]la")
    noise = 0.1 * torch.randn(2, 6 * 48_000, generator=torch.Generator().manual_seed(0))
    encodings = {"flac": "flac 16 bit", "wav": "wav 16 bit", "mp3": "mp3 128k", "opus": "opus 64k", "m4a": "aac 128k"}
    for suffix, encoding in encodings.items():
        path = folder / "songs" / f"song.{suffix}"
        write_song(path, Sound(noise, 48_000), ENCODINGS[encoding], record, title="song")
    shutil.copy(folder / "songs" / "song.flac", folder / "dataset" / "a.flac")
    samples = [{"audio_path": "a.flac", "caption": "rock", "bpm": 120, "lyrics": "la"}]
    for name, text in {
        "a.txt": "[Verse]\nla",
        "a.lrc": "[ti:x]\n[00:01.00]la\n[00:02.00]lo",
        "a.json": json.dumps(samples[0]),
        "table.csv": "File,BPM,Key,Caption\na.flac,120,A minor,rock\n",
        "all.json": json.dumps({"metadata": {}, "samples": samples}),
    }.items():
        (folder / "dataset" / name).write_text(text, encoding="utf-8")
    save_state(folder / "state" / "state.safetensors", RunState(1, [1.0], {"a": torch.ones(3)}))
    write_random_data(folder / "data")
    next((folder / "data").glob("*.safetensors")).rename(folder / "data" / "SAMPLE")


def damaged(content: bytes, place: str, chance: random.Random) -> bytes:
    """A damaged copy: of its JSON where it has some and the dice say so, else of its bytes."""
    if chance.random() < 0.6:
        if place.endswith(".json"):
            return _damaged_json(content, chance)
        if place.endswith(".safetensors"):
            size = int.from_bytes(content[:8], "little")
            header = _damaged_json(content[8 : 8 + size], chance)
            return struct.pack("<Q", len(header)) + header + content[8 + size :]
    return _damaged_bytes(content, chance)


def _damaged_json(content: bytes, chance: random.Random) -> bytes:
    document = json.loads(content)
    for _ in range(chance.randint(1, 3)):
        document = _changed(document, chance)
    if chance.random() < 0.05:
        return b"[" * 100_000
    return json.dumps(document).encode()


def _changed(value: Any, chance: random.Random) -> Any:
    if not value or not isinstance(value, dict | list) or chance.random() < 0.1:
        return copy.deepcopy(chance.choice(VALUES))
    keys = list(value) if isinstance(value, dict) else range(len(value))
    key = chance.choice(list(keys))
    action = chance.random()
    if action < 0.15:
        del value[key]
    elif action < 0.25 and isinstance(value, dict):
        value[f"{key}{chance.choice(('x', '.999999999', '0'))}"] = value.pop(key)
    else:
        value[key] = _changed(value[key], chance)
    return value


def _damaged_bytes(content: bytes, chance: random.Random) -> bytes:
    data = bytearray(content)
    for _ in range(chance.choice((1, 2, 8, 64))):
        at = chance.randrange(len(data) + 1)
        if chance.random() < 0.7:
            at = min(at, chance.randrange(1, 4096))  # where headers are
        action = chance.randrange(5)
        if action == 0:
            del data[at:]
        elif action == 1:
            data[at:at] = chance.randbytes(chance.choice((1, 4, 100)))
        elif action == 2:
            data[at : at + 8] = chance.choice((b"\xff" * 8, b"\0" * 8, b"9" * 400, b"\x7f" + b"\xff" * 7))
        elif at < len(data):
            data[at] = chance.randrange(256)
    return bytes(data)


def outcome(kind: Kind, path: Path) -> str:
    """How reading a file ends in a process of its own: `RESULT`, `SENTENCE`, or what else it raised."""
    receiving, sending = os.pipe()
    child = os.fork()
    if child == 0:
        signal.alarm(SECONDS)
        used = int(Path("/proc/self/statm").read_text().split()[0]) * os.sysconf("SC_PAGE_SIZE")
        resource.setrlimit(resource.RLIMIT_AS, (used + BYTES, used + BYTES))
        said = RESULT
        try:
            kind.read(path)
        except (ValueError, FileNotFoundError) as error:
            raw = isinstance(error, UnicodeError | json.JSONDecodeError) or not 20 < len(str(error)) < ERROR_CHARACTERS
            said = f"{type(error).__name__}: {str(error)[:300]}" if raw else SENTENCE
        except BaseException as error:
            said = f"{type(error).__name__}: {str(error)[:300]}"
        os.write(sending, said.encode("utf-8", "replace"))
        os._exit(0)
    os.close(sending)
    with open(receiving, "rb") as file:
        said = file.read().decode()
    _, status = os.waitpid(child, 0)
    return said if os.WIFEXITED(status) else f"ended by signal {os.WTERMSIG(status)}"


def main() -> None:
    torch.set_num_threads(1)
    seed, count, folder = int(sys.argv[1]), int(sys.argv[2]), Path(sys.argv[3])
    write_originals(folder)
    outcomes = {name: outcome(kind, folder / kind.place) for name, kind in KINDS.items()}
    wrong: list[dict[str, object]] = [
        {"kind": name, "case": "undamaged", "said": said} for name, said in outcomes.items() if said != RESULT
    ]
    names = list(KINDS)
    for case in range(seed, seed + count):
        chance = random.Random(case)
        name = names[case % len(names)]
        path = folder / KINDS[name].place
        content = path.read_bytes()
        path.write_bytes(damaged(content, KINDS[name].place, chance))
        if (said := outcome(KINDS[name], path)) not in (RESULT, SENTENCE):
            wrong.append({"kind": name, "case": str(case), "said": said})
        path.write_bytes(content)
    sys.stdout.write(json.dumps(wrong) + "\n")


if __name__ == "__main__":
    main()
