"""Runs an API-format workflow on a ComfyUI server and fetches its results.

    python automation/run_workflow.py workflows/api/text_to_music.json --output songs --set "Blueprint.bpm=120"

Standard library only. In ComfyUI, "Export (API)" writes the format. Result files go to --output and their paths to
standard output, one a line; progress and errors go to standard error. The exit status is 0 when every run succeeded,
1 when the server refused or failed one, 2 for a mistake on the command line, 130 after Ctrl-C (which also cancels the
runs on the server).
"""

from __future__ import annotations

import argparse
import copy
import json
import re
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple, TextIO

from comfyui_client import DEFAULT_SERVER, ComfyUIClient, Event, HostError, Prompt, node_name, run_failure

BAR_WIDTH = 24
MAX_NAME_BYTES, MAX_SUFFIX = 180, 10

_WINDOWS_DEVICE = re.compile(r"(?:con|prn|aux|nul|com\d|lpt\d)(?:\..*)?", re.IGNORECASE)


class Job(NamedTuple):
    """One run: the prompt to queue, and the label on its messages and result files ("" for a single run)."""

    prompt: Prompt
    label: str


def load_prompt(path: Path) -> dict[str, Any]:
    """Read an API-format workflow; raises ValueError with the remedy for anything else."""
    try:
        prompt = json.loads(path.read_text(encoding="utf-8"))
    except ValueError as error:
        raise ValueError(f"{path} is not JSON: {error}") from error
    if isinstance(prompt, dict) and isinstance(prompt.get("nodes"), list):
        raise ValueError(f"{path} is a workflow for the browser; save it with ComfyUI's 'Export (API)' and use that")
    if not isinstance(prompt, dict) or not all(isinstance(x, dict) and "class_type" in x for x in prompt.values()):
        raise ValueError(f"{path} is not an API-format workflow: every entry needs a class_type")
    return prompt


def find_input(prompt: Prompt, address: str) -> tuple[str, str]:
    """Resolve ``NODE_TITLE.input`` (or ``NODE_ID.input``) to a node id and an input name.

    Titles and input names may contain dots, so every split is tried. Raises ValueError that lists the choices.
    """
    dots = [index for index, character in enumerate(address) if character == "."]
    for dot in dots:
        node_ids = _nodes_called(prompt, address[:dot])
        if not node_ids:
            continue
        if len(node_ids) > 1:
            raise ValueError(f"{len(node_ids)} nodes are called {address[:dot]!r}; use an id: {', '.join(node_ids)}")
        node_id, name = node_ids[0], address[dot + 1 :]
        inputs = prompt[node_id]["inputs"]
        if name not in inputs:
            choices = ", ".join(key for key, value in inputs.items() if not _is_link(value)) or "none"
            raise ValueError(f"{node_name(prompt, node_id)} has no input {name!r}; its inputs are: {choices}")
        if _is_link(inputs[name]):
            source = node_name(prompt, inputs[name][0])
            raise ValueError(f"{address} is connected to {source}; set an input of that node instead")
        return node_id, name
    choices = ", ".join(node_name(prompt, node_id) for node_id in prompt)
    raise ValueError(f"{address!r} names no node of this workflow (NODE_TITLE.input); its nodes are: {choices}")


def set_input(prompt: dict[str, Any], address: str, value: Any) -> None:
    """Change one input in place. `value` is any JSON value; a list is wrapped, since a bare one would be a link."""
    node_id, name = find_input(prompt, address)
    prompt[node_id]["inputs"][name] = {"__value__": value} if isinstance(value, list) else value


def set_input_text(prompt: dict[str, Any], address: str, text: str) -> None:
    """Change one input to what was typed: where it holds text that is the value, anywhere else it is read as JSON.

    Raises ValueError when a number or a boolean would become something else: the host would coerce "False" to true.
    """
    node_id, name = find_input(prompt, address)
    before = prompt[node_id]["inputs"][name]
    if isinstance(before, str):
        set_input(prompt, address, text)
        return
    try:
        value = json.loads(text)
    except ValueError:
        value = text
    kind = _kind(before)
    if kind and _kind(value) != kind:
        raise ValueError(f"{address} takes {kind}, got {text!r}")
    set_input(prompt, address, value)


def read_jobs(prompt: Prompt, path: Path) -> list[Job]:
    """Read a JSONL file: each line is an object of ``{"NODE_TITLE.input": value}`` and becomes one run.

    Trap: lyrics of web pages hold U+2028, which ends a line for `str.splitlines` and not in JSON lines.
    """
    jobs: list[Job] = []
    for number, line in enumerate(path.read_text(encoding="utf-8-sig").split("\n"), start=1):
        if not line.strip():
            continue
        job_prompt = copy.deepcopy(dict(prompt))
        try:
            for address, value in json.loads(line).items():
                set_input(job_prompt, address, value)
        except (ValueError, AttributeError) as error:
            raise ValueError(f"{path}, line {number}: {error}") from error
        jobs.append(Job(job_prompt, f"{len(jobs) + 1:03}"))
    if not jobs:
        raise ValueError(f"{path} holds no jobs")
    return jobs


def printable(text: str) -> str:
    """A text of the server without what a terminal would obey: control characters other than ends of lines."""
    return "".join(character if character.isprintable() or character == "\n" else " " for character in text)


def result_files(entry: Mapping[str, Any], prompt: Prompt) -> list[tuple[str, Mapping[str, str] | str]]:
    """List the results of a run as (file name, where to download it, or the text itself).

    Raises HostError when the history entry is none.
    """
    try:
        return [*_result_files(entry, prompt)]
    except (AttributeError, LookupError, TypeError) as error:
        raise HostError(f"the server's list of results is not ComfyUI's ({type(error).__name__}: {error})") from error


def _result_files(entry: Mapping[str, Any], prompt: Prompt) -> Iterator[tuple[str, Mapping[str, str] | str]]:
    for node_id, outputs in entry["outputs"].items():
        for kind, items in outputs.items():
            for index, item in enumerate(items or ()):
                if isinstance(item, dict) and "filename" in item:
                    yield _safe_name(item["filename"]), item
                elif kind == "text" and isinstance(item, str):
                    yield _safe_name(f"{node_name(prompt, node_id)}_{index + 1}.txt"), item


def save_results(client: ComfyUIClient, entry: Mapping[str, Any], job: Job, directory: Path) -> list[Path]:
    """Download every result of a run into `directory`; existing files are kept and the new ones get a number."""
    directory.mkdir(parents=True, exist_ok=True)
    paths = []
    for name, source in result_files(entry, job.prompt):
        path = _unused_path(directory / (f"{job.label}_{name}" if job.label else name))
        path.write_bytes(source.encode("utf-8") if isinstance(source, str) else client.view(source))
        paths.append(path)
    return paths


class ProgressLine:
    """Shows a run on a terminal as one changing line, elsewhere as one line per node. Call it with each event."""

    def __init__(self, prompt: Prompt, label: str, stream: TextIO) -> None:
        self._prompt, self._stream = prompt, stream
        self._prefix = f"{label}: " if label else ""
        self._terminal = stream.isatty()
        self._total, self._started, self._node_id = len(prompt), 0, ""

    def __call__(self, event: Event) -> None:
        try:
            self._note(event)
        except (AttributeError, LookupError, TypeError) as error:
            raise HostError(f"an event of the server is not ComfyUI's ({type(error).__name__}: {error})") from error

    def _note(self, event: Event) -> None:
        data = event["data"]
        if event["type"] == "execution_cached":
            self._total -= len(data["nodes"])
        elif event["type"] == "executing" and data["node"] is not None:
            self._started, self._node_id = self._started + 1, data["node"]
            self._show("")
        elif event["type"] == "progress" and data["max"]:
            filled = BAR_WIDTH * data["value"] // data["max"]
            if self._terminal:
                self._show(f" [{'#' * filled:<{BAR_WIDTH}}] {data['value']}/{data['max']}")

    def finish(self) -> None:
        if self._terminal and self._started:
            self._stream.write("\n")

    def _show(self, bar: str) -> None:
        text = printable(f"{self._prefix}{self._started}/{self._total} {node_name(self._prompt, self._node_id)}{bar}")
        self._stream.write(f"\r\x1b[2K{text}" if self._terminal else f"{text}\n")
        self._stream.flush()


def run_jobs(
    client: ComfyUIClient,
    jobs: Sequence[Job],
    output: Path,
    *,
    on_result: Callable[[Path], None],
    messages: TextIO,
    timeout_seconds: float | None = None,
) -> int:
    """Queue every job, wait for each, save the results; returns how many failed.

    `on_result` gets each saved file; progress and the reasons of failures go to `messages`. An exception, Ctrl-C
    included, takes what is left off the server's queue before it goes on.
    """
    failed = 0
    waiting: dict[str, Job] = {}
    try:
        for job in jobs:
            try:
                waiting[client.submit(job.prompt)] = job
            except HostError as error:
                failed += 1
                messages.write(_error_line(job, str(error)))
        for prompt_id, job in list(waiting.items()):
            progress = ProgressLine(job.prompt, job.label, messages)
            entry = client.wait(prompt_id, on_event=progress, timeout_seconds=timeout_seconds)
            progress.finish()
            del waiting[prompt_id]
            if failure := run_failure(entry, job.prompt):
                failed += 1
                messages.write(_error_line(job, failure))
                continue
            for path in save_results(client, entry, job, output):
                on_result(path)
    except BaseException:
        if waiting:
            client.cancel(*waiting)
        raise
    return failed


def parse_arguments(arguments: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="run_workflow.py", description="Run a workflow on a ComfyUI server.")
    parser.add_argument("workflow", type=Path, help="workflow saved with 'Export (API)'")
    parser.add_argument("--server", default=DEFAULT_SERVER, help="host:port or URL (default: %(default)s)")
    parser.add_argument("--output", type=Path, default=Path("output"), help="folder for the results (default: output)")
    parser.add_argument(
        "--set", action="append", default=[], metavar="NODE_TITLE.INPUT=VALUE", help="change an input; may be repeated"
    )
    parser.add_argument(
        "--set-file", action="append", default=[], metavar="NODE_TITLE.INPUT=FILE", help="set an input to a file's text"
    )
    parser.add_argument(
        "--upload", action="append", default=[], metavar="NODE_TITLE.INPUT=FILE", help="upload a file and select it"
    )
    parser.add_argument("--jsonl", type=Path, help='one run a line: {"NODE_TITLE.input": value, ...}')
    parser.add_argument("--timeout", type=float, metavar="SECONDS", help="give up on a run after this long")
    options = parser.parse_args(arguments)
    for assignment in (*options.set, *options.set_file, *options.upload):
        if "=" not in assignment:
            parser.error(f"expected NODE_TITLE.INPUT=VALUE, got {assignment!r}")
    return options


def prepare_jobs(options: argparse.Namespace, client: ComfyUIClient) -> list[Job]:
    prompt = load_prompt(options.workflow)
    for address, text in _assignments(options.set):
        set_input_text(prompt, address, text)
    for address, path in _assignments(options.set_file):
        set_input(prompt, address, Path(path).read_text(encoding="utf-8"))
    for address, path in _assignments(options.upload):
        find_input(prompt, address)
        set_input(prompt, address, client.upload(Path(path)))
    return read_jobs(prompt, options.jsonl) if options.jsonl else [Job(prompt, "")]


def main(arguments: Sequence[str] | None = None) -> int:
    options = parse_arguments(arguments)
    with ComfyUIClient(options.server) as client:
        try:
            jobs = prepare_jobs(options, client)
        except (ValueError, OSError) as error:
            print(printable(f"error: {error}"), file=sys.stderr)
            return 2
        except HostError as error:
            print(printable(f"error: {error}"), file=sys.stderr)
            return 1
        try:
            failed = run_jobs(
                client, jobs, options.output, on_result=print, messages=sys.stderr, timeout_seconds=options.timeout
            )
        except (HostError, OSError) as error:  # a run that takes too long, a disk that is full
            print(printable(f"error: {error}"), file=sys.stderr)
            return 1
        except KeyboardInterrupt:
            print("\ncancelled", file=sys.stderr)
            return 130
    return 1 if failed else 0


def _assignments(texts: Sequence[str]) -> Iterator[tuple[str, str]]:
    for text in texts:
        address, _, value = text.partition("=")
        yield address, value


def _error_line(job: Job, text: str) -> str:
    return printable(f"error: {job.label}: {text}\n" if job.label else f"error: {text}\n")


def _nodes_called(prompt: Prompt, name: str) -> list[str]:
    if name in prompt:
        return [name]
    return [node_id for node_id, node in prompt.items() if node.get("_meta", {}).get("title") == name]


def _kind(value: Any) -> str | None:
    if isinstance(value, bool):
        return "true or false"
    return "a number" if isinstance(value, (int, float)) else None


def _is_link(value: Any) -> bool:
    return isinstance(value, list) and len(value) == 2 and isinstance(value[0], str)


def _safe_name(name: str) -> str:
    """A file name from the server, reduced to characters and a length that no file system or shell minds."""
    name = re.sub(r"[^\w.()+-]+", "_", name).lstrip(".-")
    stem, _, suffix = name.rpartition(".")
    ending = f".{suffix}" if stem and len(suffix) <= MAX_SUFFIX else ""
    name = name.removesuffix(ending).encode()[:MAX_NAME_BYTES].decode(errors="ignore") + ending
    return f"_{name}" if _WINDOWS_DEVICE.fullmatch(name) else name or "result"


def _unused_path(path: Path) -> Path:
    candidate, number = path, 2
    while candidate.exists():
        candidate, number = path.with_name(f"{path.stem}-{number}{path.suffix}"), number + 1
    return candidate


if __name__ == "__main__":
    sys.exit(main())
