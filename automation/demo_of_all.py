"""Runs every workflow with the music box and prints a line about each: `dev.py demo --models music-box`.

A workflow that the music box cannot do at all says so in the words of the node that stops. It is a failure if any
other node stops.
"""

from __future__ import annotations

import os
import re
import sys
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from comfyui_client import ComfyUIClient, HostError, Prompt, node_name, run_failure
from host_process import HostProcess
from music_box_workflows import FACTS, WORKFLOWS, measured, shortened, with_music_box, workflow_names, write_songs
from run_workflow import Job, load_prompt, save_results

AUDIO_SUFFIXES = {".flac", ".mp3", ".opus", ".wav"}
NOT_LEARNED = {
    "AceComposerComplete",
    "AceComposerLego",
    "AceComposerReferenceAudio",
    "AceComposerVocalToBacking",
}
IMPOSSIBLE = {"AceComposerLyricTiming"}  # it reads the attention of a model that sings
_LENGTH = re.compile(r"^song 1: ([\d.]+ s), ", re.MULTILINE)
_COMPARED = re.compile(r"^song 1: ((?:bpm|key) asked .+), (measured .+): ", re.MULTILINE)


def run_all(comfyui: Path, output: Path) -> int:
    """Run all workflows one after another, print what came of each; returns how many should have run and did not."""
    failed = 0
    os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")  # small networks on a CPU that has other work
    print("starting ComfyUI...", file=sys.stderr)
    with tempfile.TemporaryDirectory(prefix="ace-composer-demo-") as scratch:
        models, base = Path(scratch) / "models", Path(scratch) / "base"
        loras = models / "loras"
        loras.mkdir(parents=True)
        write_songs(base / "input")
        with HostProcess(comfyui, base, models=models, cpu=True) as host, ComfyUIClient(host.url) as client:
            for name in workflow_names():
                prompt = measured(shortened(with_music_box(load_prompt(WORKFLOWS / f"{name}.json")), loras))
                text, succeeded = run_one(client, name, prompt, output)
                failed += not succeeded
                print(f"{name}: {text}", flush=True)
    return failed


def run_one(client: ComfyUIClient, name: str, prompt: Prompt, output: Path) -> tuple[str, bool]:
    """Run a workflow; returns what to say of it, and False where it should have run and did not."""
    try:
        entry = client.run(prompt)
    except HostError as error:
        return f"FAILED: {error}", False
    failure = run_failure(entry, prompt)
    if failure is None:
        outputs = {node: entry["outputs"][node] for node in prompt if node in entry["outputs"]}
        entry = {**entry, "outputs": outputs}  # as they stand in the workflow: the last song is the one measured
        return result_line(entry, prompt, save_results(client, entry, Job(prompt, name), output)), True
    beyond = [node_name(prompt, node) for node in prompt if prompt[node]["class_type"] in IMPOSSIBLE]
    if failure.startswith(tuple(beyond)):
        return f"not for the music box: {failure}", True
    return f"FAILED: {failure}", False


def result_line(entry: Mapping[str, Any], prompt: Prompt, paths: list[Path]) -> str:
    """The last song, or where a workflow makes none its first text, with how long it is and what was measured."""
    songs = [path for path in paths if path.suffix in AUDIO_SUFFIXES]
    facts = "\n".join(entry["outputs"].get(FACTS, {}).get("text", ()))
    words = [str(songs[-1] if songs else paths[0]), *_LENGTH.findall(facts)]
    words += [f"{asked}, {heard}" for asked, heard in _COMPARED.findall(facts)]
    if not NOT_LEARNED.isdisjoint(node["class_type"] for node in prompt.values()):
        words.append("runs; the music box does not know this task")
    return "; ".join(words)
