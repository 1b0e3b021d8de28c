"""The workflow runner against a real ComfyUI, on nodes of ComfyUI itself: load a sound, save it."""

from __future__ import annotations

import json
import math
import struct
import subprocess
import sys
import wave
from pathlib import Path

import pytest
from comfyui_client import ComfyUIClient, PromptRejected, RequestRefused, run_failure
from host_process import PACK_ROOT, HostProcess

WORKFLOW = {
    "1": {"class_type": "LoadAudio", "inputs": {"audio": "none.wav"}, "_meta": {"title": "Source"}},
    "2": {
        "class_type": "SaveAudio",
        "inputs": {"audio": ["1", 0], "filename_prefix": "audio/runner"},
        "_meta": {"title": "Save"},
    },
}
TEXT_WORKFLOW = {
    "1": {"class_type": "PreviewAny", "inputs": {"source": "hello"}, "_meta": {"title": "Show"}},
}


@pytest.fixture
def sound(tmp_path: Path) -> Path:
    """A quarter of a second of a sine."""
    path = tmp_path / "sine.wav"
    with wave.open(str(path), "wb") as file:
        file.setnchannels(1)
        file.setsampwidth(2)
        file.setframerate(48000)
        samples = [int(9000 * math.sin(2 * math.pi * 440 * index / 48000)) for index in range(12000)]
        file.writeframes(struct.pack(f"<{len(samples)}h", *samples))
    return path


def run_script(directory: Path, host: HostProcess, workflow: object, *options: str) -> subprocess.CompletedProcess[str]:
    """Run the script as a user does, in a Python without any installed package (-S)."""
    (directory / "workflow.json").write_text(json.dumps(workflow), encoding="utf-8")
    script = PACK_ROOT / "automation" / "run_workflow.py"
    command = [sys.executable, "-S", str(script), "workflow.json", f"--server={host.url}", "--output=results"]
    return subprocess.run([*command, *options], cwd=directory, capture_output=True, text=True, check=False)


def test_upload_run_and_download(tmp_path: Path, host: HostProcess, sound: Path) -> None:
    arguments = ("--upload", f"Source.audio={sound}", "--set", "Save.filename_prefix=songs/take")
    result = run_script(tmp_path, host, WORKFLOW, *arguments)
    assert result.returncode == 0, result.stderr
    paths = [tmp_path / line for line in result.stdout.splitlines()]
    assert len(paths) == 1 and paths[0].parent.name == "results" and paths[0].name.startswith("take_")
    assert paths[0].read_bytes()[:4] == b"fLaC"
    assert "2/2 Save (node 2)" in result.stderr


def test_each_jsonl_line_is_a_run_of_its_own(tmp_path: Path, host: HostProcess) -> None:
    (tmp_path / "jobs.jsonl").write_text('{"Show.source": "one"}\n{"Show.source": "two"}\n', encoding="utf-8")
    result = run_script(tmp_path, host, TEXT_WORKFLOW, "--jsonl", "jobs.jsonl")
    assert result.returncode == 0, result.stderr
    names = [Path(line).name for line in result.stdout.splitlines()]
    assert names == ["001_Show_(node_1)_1.txt", "002_Show_(node_1)_1.txt"]
    assert [(tmp_path / "results" / name).read_text(encoding="utf-8") for name in names] == ["one", "two"]


def test_a_refused_prompt_ends_with_the_words_of_the_host(tmp_path: Path, host: HostProcess) -> None:
    result = run_script(tmp_path, host, WORKFLOW)
    assert result.returncode == 1
    assert "Source (node 1)" in result.stderr and "Invalid audio file: none.wav" in result.stderr


def test_a_failed_run_ends_with_the_words_of_the_host(tmp_path: Path, host: HostProcess) -> None:
    (tmp_path / "text.wav").write_text("this is no sound", encoding="utf-8")
    result = run_script(tmp_path, host, WORKFLOW, "--upload", f"Source.audio={tmp_path / 'text.wav'}")
    assert result.returncode == 1
    assert "error: Source (node 1): " in result.stderr and "Invalid data found" in result.stderr


def test_a_prompt_that_is_valid_in_part_is_refused_as_a_whole(client: ComfyUIClient) -> None:
    workflow = {**WORKFLOW, "3": {"class_type": "PreviewAny", "inputs": {"source": "hello"}}}
    with pytest.raises(PromptRejected, match="Source") as refusal:
        client.submit(workflow)
    assert set(refusal.value.node_errors) == {"1"}
    queue = client.get_json("/queue")
    assert queue["queue_pending"] == []


def test_a_second_run_is_answered_from_the_cache_with_its_results(client: ComfyUIClient) -> None:
    events: list[str] = []
    first = client.run(TEXT_WORKFLOW)
    second = client.run(TEXT_WORKFLOW, on_event=lambda event: events.append(event["type"]))
    assert run_failure(second, TEXT_WORKFLOW) is None
    assert second["outputs"] == first["outputs"] == {"1": {"text": ["hello"]}}
    assert "execution_cached" in events and "execution_success" in events


def test_a_run_can_be_awaited_after_it_has_ended(client: ComfyUIClient) -> None:
    prompt_id = client.submit(TEXT_WORKFLOW)
    assert client.wait(prompt_id, timeout_seconds=60.0) == client.wait(prompt_id, timeout_seconds=60.0)


def test_an_unknown_address_is_refused_with_its_status(client: ComfyUIClient) -> None:
    with pytest.raises(RequestRefused, match="404") as refusal:
        client.get("/no/such/address")
    assert refusal.value.status == 404
