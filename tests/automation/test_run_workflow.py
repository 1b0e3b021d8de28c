"""The workflow runner without a server: editing prompts, queueing jobs, naming results, reporting failures."""

from __future__ import annotations

import io
import json
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import pytest
import run_workflow
from comfyui_client import ComfyUIClient, HostError, run_failure
from run_workflow import Job, ProgressLine, find_input, load_prompt, read_jobs, run_jobs, set_input, set_input_text


def prompt() -> dict[str, Any]:
    return {
        "3": {
            "class_type": "AceComposerBlueprint",
            "inputs": {"caption": "jazz", "bpm": 90, "instrumental": False, "format.quality": "V0"},
            "_meta": {"title": "Song 1.5"},
        },
        "4": {"class_type": "Sample", "inputs": {"song": ["3", 0], "seed": 1}, "_meta": {"title": "Sample"}},
        "5": {"class_type": "Sample", "inputs": {"seed": 2}, "_meta": {"title": "Twin"}},
        "6": {"class_type": "Sample", "inputs": {"seed": 3}, "_meta": {"title": "Twin"}},
        "7": {"class_type": "Save", "inputs": {"seconds": 1.0}},
    }


class FakeClient:
    """Answers as a server does: `entries` holds one history entry, or an exception, per submitted prompt."""

    def __init__(self, *entries: Mapping[str, Any] | BaseException) -> None:
        self.entries = list(entries)
        self.submitted: list[Any] = []
        self.cancelled: list[str] = []

    def submit(self, submitted: Any) -> str:
        self.submitted.append(submitted)
        return f"run-{len(self.submitted)}"

    def wait(self, prompt_id: str, **_: object) -> Mapping[str, Any]:
        entry = self.entries[int(prompt_id.removeprefix("run-")) - 1]
        if isinstance(entry, BaseException):
            raise entry
        return entry

    def view(self, item: Mapping[str, str]) -> bytes:
        return f"content of {item['filename']}".encode()

    def cancel(self, *prompt_ids: str) -> None:
        self.cancelled += prompt_ids


def succeeded(*names: str) -> dict[str, Any]:
    files = [{"filename": name, "subfolder": "", "type": "output"} for name in names]
    return {"outputs": {"7": {"audio": files}}, "status": {"messages": [["execution_success", {}]]}}


def failed_with(kind: str, **details: str) -> dict[str, Any]:
    return {"outputs": {}, "status": {"messages": [["execution_start", {}], [kind, {"node_id": "4", **details}]]}}


FAILED = failed_with("execution_error", exception_type="ValueError", exception_message="steps must be 1..200, got 0\n")


@pytest.mark.parametrize(
    ("address", "expected"),
    [
        ("Song 1.5.caption", ("3", "caption")),
        ("Song 1.5.format.quality", ("3", "format.quality")),
        ("3.bpm", ("3", "bpm")),
        ("6.seed", ("6", "seed")),
    ],
)
def test_addresses_are_titles_or_ids_and_may_hold_dots(address: str, expected: tuple[str, str]) -> None:
    assert find_input(prompt(), address) == expected


@pytest.mark.parametrize(
    ("address", "message"),
    [
        ("Song.caption", r"names no node.*nodes are: Song 1.5 \(node 3\), Sample \(node 4\).*Save \(node 7\)"),
        ("caption", "names no node"),
        ("Sample.steps", r"Sample \(node 4\) has no input 'steps'; its inputs are: seed"),
        ("Twin.seed", "2 nodes are called 'Twin'; use an id: 5, 6"),
        ("Sample.song", r"is connected to Song 1.5 \(node 3\)"),
    ],
)
def test_a_wrong_address_lists_the_choices(address: str, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        find_input(prompt(), address)


@pytest.mark.parametrize(
    ("address", "text", "value"),
    [
        ("3.caption", "warm = piano", "warm = piano"),
        ("3.caption", "120", "120"),
        ("3.bpm", "120", 120),
        ("3.instrumental", "true", True),
        ("7.seconds", "2.5", 2.5),
        ("7.seconds", "2", 2),
    ],
)
def test_typed_values_take_the_type_of_the_input(address: str, text: str, value: object) -> None:
    edited = prompt()
    set_input_text(edited, address, text)
    node_id, name = find_input(prompt(), address)
    assert edited[node_id]["inputs"][name] == value
    assert type(edited[node_id]["inputs"][name]) is type(value)


@pytest.mark.parametrize(("address", "text"), [("3.bpm", "fast"), ("3.bpm", "true"), ("3.instrumental", "False")])
def test_values_that_the_host_would_misread_are_refused(address: str, text: str) -> None:
    with pytest.raises(ValueError, match=f"takes (a number|true or false), got '{text}'"):
        set_input_text(prompt(), address, text)


def test_a_list_is_wrapped_because_a_bare_one_would_be_a_link() -> None:
    edited = prompt()
    set_input(edited, "4.seed", ["3", 0])
    assert edited["4"]["inputs"]["seed"] == {"__value__": ["3", 0]}


def test_jsonl_lines_become_independent_jobs(tmp_path: Path) -> None:
    path = tmp_path / "jobs.jsonl"
    path.write_text('{"Sample.seed": 7}\n\n{"3.caption": "blues", "Sample.seed": 8}\n', encoding="utf-8")
    base = prompt()
    first, second = read_jobs(base, path)
    assert (first.label, second.label) == ("001", "002")
    assert (first.prompt["3"]["inputs"]["caption"], first.prompt["4"]["inputs"]["seed"]) == ("jazz", 7)
    assert (second.prompt["3"]["inputs"]["caption"], second.prompt["4"]["inputs"]["seed"]) == ("blues", 8)
    assert base == prompt()


def test_lyrics_of_a_web_page_do_not_end_a_jsonl_line(tmp_path: Path) -> None:
    path = tmp_path / "jobs.jsonl"
    path.write_text('\ufeff{"3.caption": "one\u2028two\x85"}\r\n{"Sample.seed": 8}\r\n', encoding="utf-8", newline="")
    first, second = read_jobs(prompt(), path)
    assert first.prompt["3"]["inputs"]["caption"] == "one\u2028two\x85"
    assert second.prompt["4"]["inputs"]["seed"] == 8


@pytest.mark.parametrize("line", ['{"Nobody.seed": 1}', "not json", "[1, 2]"])
def test_a_bad_jsonl_line_is_named(tmp_path: Path, line: str) -> None:
    path = tmp_path / "jobs.jsonl"
    path.write_text('{"Sample.seed": 7}\n' + line, encoding="utf-8")
    with pytest.raises(ValueError, match="jobs.jsonl, line 2: "):
        read_jobs(prompt(), path)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ({"nodes": [], "links": []}, r"save it with ComfyUI's 'Export \(API\)'"),
        ({"1": {"inputs": {}}}, "every entry needs a class_type"),
        ([], "not an API-format workflow"),
    ],
)
def test_other_formats_are_refused(tmp_path: Path, content: object, message: str) -> None:
    path = tmp_path / "workflow.json"
    path.write_text(json.dumps(content), encoding="utf-8")
    with pytest.raises(ValueError, match=message):
        load_prompt(path)


def test_results_are_saved_under_safe_unused_names(tmp_path: Path) -> None:
    entry = succeeded("song.flac", "../../etc/passwd", ".hidden")
    entry["outputs"]["4"] = {"text": ["seed 1", "seed 2"], "animated": [True]}
    paths: list[Path] = []
    for _ in range(2):
        assert (
            run_jobs(FakeClient(entry), [Job(prompt(), "")], tmp_path, on_result=paths.append, messages=io.StringIO())
            == 0
        )
    names = ["song.flac", "_.._etc_passwd", "hidden", "Sample_(node_4)_1.txt", "Sample_(node_4)_2.txt"]
    assert [path.name for path in paths[:5]] == names
    assert paths[5].name == "song-2.flac"
    assert all(path.parent == tmp_path for path in paths)
    assert (tmp_path / "song.flac").read_text(encoding="utf-8") == "content of song.flac"
    assert (tmp_path / "Sample_(node_4)_2.txt").read_text(encoding="utf-8") == "seed 2"


def test_a_failed_job_is_reported_and_the_others_run(tmp_path: Path) -> None:
    client = FakeClient(succeeded("a.flac"), FAILED, succeeded("a.flac"))
    messages = io.StringIO()
    jobs = [Job(prompt(), label) for label in ("001", "002", "003")]
    assert run_jobs(client, jobs, tmp_path, on_result=lambda path: None, messages=messages) == 1
    assert messages.getvalue() == "error: 002: Sample (node 4): ValueError: steps must be 1..200, got 0\n"
    assert sorted(path.name for path in tmp_path.iterdir()) == ["001_a.flac", "003_a.flac"]
    assert client.cancelled == []


@pytest.mark.parametrize("error", [KeyboardInterrupt(), TimeoutError(), HostError("gone")])
def test_what_is_left_is_cancelled(tmp_path: Path, error: BaseException) -> None:
    client = FakeClient(succeeded(), error, succeeded())
    with pytest.raises(type(error)):
        run_jobs(client, [Job(prompt(), "")] * 3, tmp_path, on_result=lambda path: None, messages=io.StringIO())
    assert client.cancelled == ["run-2", "run-3"]


def test_an_interrupted_run_is_a_failure() -> None:
    assert run_failure(failed_with("execution_interrupted"), prompt()) == "interrupted at Sample (node 4)"
    assert run_failure(succeeded(), prompt()) is None


def test_progress_counts_the_nodes_that_run() -> None:
    stream = io.StringIO()
    progress = ProgressLine(prompt(), "001", stream)
    progress({"type": "execution_cached", "data": {"nodes": ["3"]}})
    progress({"type": "executing", "data": {"node": "4"}})
    progress({"type": "progress", "data": {"value": 1, "max": 8}})
    progress({"type": "executing", "data": {"node": "7"}})
    progress({"type": "executing", "data": {"node": None}})
    assert stream.getvalue() == "001: 1/4 Sample (node 4)\n001: 2/4 Save (node 7)\n"


def test_progress_draws_a_bar_on_a_terminal() -> None:
    stream = io.StringIO()
    stream.isatty = lambda: True  # type: ignore[method-assign]
    progress = ProgressLine(prompt(), "", stream)
    progress({"type": "executing", "data": {"node": "4"}})
    progress({"type": "progress", "data": {"value": 2, "max": 8}})
    progress.finish()
    assert stream.getvalue().endswith(f"\r\x1b[2K1/5 Sample (node 4) [{'#' * 6}{' ' * 18}] 2/8\n")


@pytest.fixture
def command_line(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[..., tuple[int, FakeClient]]:
    """Runs main() on the sample prompt with a fake server behind it."""
    workflow = tmp_path / "workflow.json"
    workflow.write_text(json.dumps(prompt()), encoding="utf-8")

    def run(*arguments: str, answer: Mapping[str, Any] | BaseException = FAILED) -> tuple[int, FakeClient]:
        fake = FakeClient(answer)
        for name in ("submit", "wait", "view", "cancel"):
            method = getattr(fake, name)
            monkeypatch.setattr(ComfyUIClient, name, lambda self, *a, method=method, **k: method(*a, **k))
        status = run_workflow.main([str(workflow), "--output", str(tmp_path / "results"), *arguments])
        return status, fake

    return run


def test_paths_go_to_standard_output(
    command_line: Callable[..., tuple[int, FakeClient]], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "lyrics.txt").write_text("[Verse]\nla la\n", encoding="utf-8")
    lyrics = tmp_path / "lyrics.txt"
    status, client = command_line("--set=3.bpm=100", f"--set-file=3.caption={lyrics}", answer=succeeded("a.flac"))
    assert status == 0
    assert capsys.readouterr().out == f"{tmp_path / 'results' / 'a.flac'}\n"
    inputs = client.submitted[0]["3"]["inputs"]
    assert (inputs["bpm"], inputs["caption"]) == (100, "[Verse]\nla la\n")


@pytest.mark.parametrize(
    ("arguments", "answer", "status", "error"),
    [
        ((), FAILED, 1, "steps must be 1..200, got 0"),
        ((), HostError("lost the connection"), 1, "lost the connection"),
        ((), TimeoutError("has not ended after 5 seconds"), 1, "has not ended"),
        ((), KeyboardInterrupt(), 130, "cancelled"),
        (("--set=Nobody.seed=1",), FAILED, 2, "names no node"),
        (("--set-file=3.caption=missing.txt",), FAILED, 2, "missing.txt"),
    ],
)
def test_exit_status_and_reason(
    command_line: Callable[..., tuple[int, FakeClient]],
    capsys: pytest.CaptureFixture[str],
    arguments: tuple[str, ...],
    answer: Mapping[str, Any] | BaseException,
    status: int,
    error: str,
) -> None:
    assert command_line(*arguments, answer=answer)[0] == status
    captured = capsys.readouterr()
    assert error in captured.err
    assert captured.out == ""


def test_no_server_is_a_sentence(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = tmp_path / "workflow.json"
    path.write_text(json.dumps(prompt()), encoding="utf-8")
    assert run_workflow.main([str(path), "--server=127.0.0.1:1"]) == 1
    assert "no ComfyUI answers at http://127.0.0.1:1" in capsys.readouterr().err
