"""Hashes of everything that the API workflows give with small checkpoints, to show that a change leaves results alone.

    python automation/workflow_hashes.py before.json --pack ../another-checkout --models DIR
    python automation/workflow_hashes.py after.json --models DIR
    python automation/workflow_hashes.py --compare before.json after.json

Each workflow runs with few steps, short songs and its own seeds on a ComfyUI that holds the pack under test. Recorded
are SHA-256 of samples, latents, written texts and trained weights, and what a workflow may rely on of every node. Texts
on nodes stand apart: they may change on purpose. Both runs need the same models folder, so that inputs are the same;
`--make-models DIR` writes one.
"""

from __future__ import annotations

import argparse
import hashlib
import importlib
import json
import shutil
import sys
import tempfile
import wave
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import av
import host_process
import numpy as np
from comfyui_client import ComfyUIClient, run_failure
from contract import own_nodes, projection
from host_process import HostProcess
from hosts import find_comfyui
from numpy.typing import NDArray
from safetensors.numpy import load as load_safetensors
from stand_in_models import write_stand_in_models

RATE = 48_000
SECONDS = 10.24
STEPS = 2
RUN_TIMEOUT_SECONDS = 600.0
RECORDINGS = ("song", "guitar", "reference", "voice")
BLUEPRINT = "plan_with_codes.json"
SHORT: Mapping[str, Mapping[str, Any]] = {  # inputs by class, where a workflow has them
    "AceComposerSample": {"steps": STEPS},
    "AceComposerBlueprint": {"duration_seconds": 10.0},
    "AceComposerWriteSong": {"instrumental": True, "seed": 8},
    "AceComposerExtend": {"before_seconds": 1.5, "after_seconds": 3.0},
    "AceComposerRepaint": {"start": 4.0, "end": 6.5},
    "AceComposerLoadBlueprint": {"file": BLUEPRINT},
    "AceComposerDataset": {"folder": "input/my_songs", "name": "songs"},
    "AceComposerTrainLora": {"name": "hashed/style", "rank": 4, "steps": 6, "sample_every": 6, "learning_rate": 0.01},
}

Prompt = dict[str, dict[str, Any]]


def make_models(folder: Path) -> None:
    """The small checkpoints, with a planner whose answers are short: random weights write without end."""
    write_stand_in_models(folder)
    sys.path[:0] = [str(host_process.PACK_ROOT), str(host_process.PACK_ROOT / "tests" / "support")]
    write_tiny_planner = importlib.import_module("tiny_planner").write_tiny_planner
    write_tiny_planner(folder / "text_encoders", "comfyui", short_answers=True)


def digest(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()


def recording(number: int) -> NDArray[np.int16]:
    """A melody with some noise, 16 bit [samples, 2]."""
    time = np.arange(round(SECONDS * RATE)) / RATE
    pitch = 110 * 2 ** (np.floor(time * 2 + number) % 7 / 12)
    noise = np.random.default_rng(number).standard_normal((len(time), 2)) * 0.02
    sound = 0.3 * np.sin(2 * np.pi * np.cumsum(pitch) / RATE)[:, None] + noise
    return np.round(sound.clip(-1, 1) * 32767).astype(np.int16)


def write_wav(path: Path, samples: NDArray[np.int16]) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    with wave.open(str(path), "wb") as file:
        file.setnchannels(2)
        file.setsampwidth(2)
        file.setframerate(RATE)
        file.writeframes(samples.tobytes())


def write_inputs(folder: Path) -> None:
    """What the workflows read: recordings, songs to learn from, and a plan with audio codes."""
    for number, name in enumerate(RECORDINGS):
        write_wav(folder / f"{name}.wav", recording(number))
    for number in (7, 8):
        write_wav(folder / "my_songs" / f"{number}.wav", recording(number))
        (folder / "my_songs" / f"{number}.lyrics.txt").write_text("[Verse]\nHold on\n", encoding="utf-8")
    song = {
        "caption": "slow rock",
        "duration_seconds": 10.0,
        "audio_codes": [number * 997 % 64000 for number in range(50)],
    }
    document = {"format": "ace_composer.blueprint", "version": 1, "songs": [song]}
    (folder / BLUEPRINT).write_text(json.dumps(document), encoding="utf-8")


def shortened(prompt: Prompt, saved_song: str) -> Prompt:
    """A workflow with few steps, short songs, our files, and the latents of every sampler saved."""
    samplers = []
    for name, node in prompt.items():
        kind, inputs = node["class_type"], node["inputs"]
        inputs.update(
            {key: value for key, value in SHORT.get(kind, {}).items() if not isinstance(inputs.get(key), list)}
        )
        if kind == "LoadAudio":
            inputs["audio"] = inputs["audio"].replace(".flac", ".wav")
        elif kind == "AceComposerLoadSong":
            inputs["audio"] = saved_song
        elif kind == "AceComposerSample":
            samplers.append(name)
    for name in samplers:
        inputs = {"samples": [name, 0], "filename_prefix": f"latents/{name}"}
        prompt[f"latents of {name}"] = {"class_type": "SaveLatent", "inputs": inputs}
    return prompt


def song_to_replay(client: ComfyUIClient, workflows: Path) -> str:
    """Save a song with its record, for the workflow that replays one; returns what Load Song calls it."""
    prompt = shortened(json.loads((workflows / "text_to_music.json").read_text(encoding="utf-8")), "")
    by_class = {node["class_type"]: name for name, node in prompt.items()}
    inputs = {
        "audio": [by_class["AceComposerDecode"], 0],
        "blueprint": [by_class["AceComposerBlueprint"], 0],
        "latent": [by_class["AceComposerSample"], 0],
        "filename_prefix": "songs/to_replay",
        "encoding": "flac 16 bit",
        "title": "",
    }
    prompt["saved"] = {"class_type": "AceComposerSaveSong", "inputs": inputs}
    item = run(client, prompt)["outputs"]["saved"]["audio"][0]
    return f"{item['subfolder']}/{item['filename']} [output]"


def run(client: ComfyUIClient, prompt: Prompt) -> Mapping[str, Any]:
    entry = client.run(prompt, on_event=lambda event: None, timeout_seconds=RUN_TIMEOUT_SECONDS)
    failure = run_failure(entry, prompt)
    if failure is not None:
        raise SystemExit(f"a workflow failed: {failure}")
    return entry


def samples_digest(content: bytes) -> str:
    """Hash of the decoded samples: a container holds dates and the graph."""
    with tempfile.NamedTemporaryFile(suffix=".audio") as file:
        file.write(content)
        file.flush()
        with av.open(file.name) as container:
            blocks = [frame.to_ndarray() for frame in container.decode(container.streams.audio[0])]
    return digest(np.concatenate(blocks, axis=-1).tobytes())


def tensors_digest(content: bytes) -> str:
    tensors = load_safetensors(content)
    return digest(b"".join(name.encode() + tensors[name].tobytes() for name in sorted(tensors)))


def results(client: ComfyUIClient, entry: Mapping[str, Any], loras: Path) -> tuple[dict[str, str], dict[str, str]]:
    """Hashes of what a run gave, and the texts on its nodes."""
    hashes, texts = {}, {}
    for node, output in sorted(entry["outputs"].items()):
        for number, item in enumerate(output.get("audio", [])):
            hashes[f"sound {node} {number}"] = samples_digest(client.view(item))
        for number, item in enumerate(output.get("latents", [])):
            hashes[f"{node} {number}"] = tensors_digest(client.view(item))
        for item in output.get("files", []):
            hashes[f"file {node} {item['filename']}"] = digest(client.view(item))
        if "text" in output:
            texts[node] = "\n".join(output["text"])
    for path in sorted(loras.glob("hashed/**/*.safetensors")):
        hashes[f"trained {path.name}"] = tensors_digest(path.read_bytes())
    return hashes, texts


def record(pack: Path, models: Path, chosen: list[str]) -> dict[str, Any]:
    """Run the workflows of a checkout."""
    comfyui = find_comfyui()
    if comfyui is None:
        raise SystemExit("there is no ComfyUI yet: run 'python dev.py setup'")
    host_process.PACK_ROOT = pack
    workflows = pack / "workflows" / "api"
    found: dict[str, Any] = {"contract": {}, "results": {}, "texts": {}}
    with tempfile.TemporaryDirectory(prefix="ace-composer-hashes-") as scratch:
        copied = Path(scratch) / "models"
        shutil.copytree(models, copied)
        base = Path(scratch) / "base"
        write_inputs(base / "input")
        with HostProcess(comfyui, base, models=copied) as host, ComfyUIClient(host.url) as client:
            found["contract"] = {
                node_id: {**projection(node_id, node), "category": ""} for node_id, node in own_nodes(client).items()
            }
            saved_song = song_to_replay(client, workflows)
            for path in sorted(workflows.glob("*.json")):
                if chosen and path.stem not in chosen:
                    continue
                prompt = shortened(json.loads(path.read_text(encoding="utf-8")), saved_song)
                hashes, texts = results(client, run(client, prompt), copied / "loras")
                found["results"][path.stem], found["texts"][path.stem] = hashes, texts
                print(f"{path.stem}: {len(hashes)} hashes", file=sys.stderr, flush=True)
    return found


def compare(before: Mapping[str, Any], after: Mapping[str, Any]) -> int:
    """Print what differs; 1 where results or the contract do."""
    differences = 0
    for part in ("contract", "results", "texts"):
        for name in sorted(before[part].keys() | after[part].keys()):
            old, new = before[part].get(name, {}), after[part].get(name, {})
            for key in sorted(old.keys() | new.keys()):
                if old.get(key) != new.get(key):
                    print(f"{part} {name} {key}:\n  - {old.get(key)}\n  + {new.get(key)}")
                    differences += part != "texts"
    count = sum(map(len, after["results"].values()))
    print(f"{count} hashes of {len(after['results'])} workflows, {len(after['contract'])} nodes: {differences} differ")
    return 1 if differences else 0


def main() -> int:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("files", nargs="*", type=Path, metavar="FILE", help="the result, or two with --compare")
    parser.add_argument("--pack", type=Path, default=host_process.PACK_ROOT, help="the checkout to test")
    parser.add_argument("--models", type=Path, help="a models folder that --make-models wrote")
    parser.add_argument("--make-models", type=Path, metavar="DIR", help="write a models folder and end")
    parser.add_argument("--workflows", nargs="+", default=[], metavar="NAME")
    parser.add_argument("--compare", action="store_true")
    options = parser.parse_args()
    if options.make_models:
        make_models(options.make_models)
        return 0
    if options.compare:
        first, second = (json.loads(path.read_text(encoding="utf-8")) for path in options.files)
        return compare(first, second)
    if len(options.files) != 1 or options.models is None:
        parser.error("give the result's FILE and --models")
    found = record(options.pack.resolve(), options.models, options.workflows)
    options.files[0].write_text(json.dumps(found, indent=1, sort_keys=True) + "\n", encoding="utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main())
