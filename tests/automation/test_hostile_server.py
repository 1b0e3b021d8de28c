"""run_workflow.py against servers that are no ComfyUI, or a hostile one: one sentence, and no file elsewhere."""

from __future__ import annotations

import base64
import contextlib
import hashlib
import json
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread
from typing import Any

import comfyui_client
import pytest
from run_workflow import main
from websocket_receiver import HANDSHAKE_SUFFIX

ESCAPES = "\x1b]0;title\x07\x1b[2J"
FAILED = [["execution_error", {"node_id": "1", "exception_type": "E", "exception_message": f"no {ESCAPES}"}]]
FILES = [
    "../../up.txt",
    "..\\..\\up.txt",
    "/tmp/up.txt",
    ".bashrc",
    "-rf",
    "a\0b",
    "CON",
    "nul.txt",
    "x" * 5000 + ".flac",
]


def outputs(*names: object, **more: object) -> dict[str, Any]:
    files = [{"filename": name, "subfolder": "", "type": "output"} | more for name in names]
    return {"status": {"messages": []}, "outputs": {"1": {"audio": files}}}


class Answers(BaseHTTPRequestHandler):
    """Answers as a ComfyUI would; `changes` replaces some."""

    protocol_version = "HTTP/1.1"
    changes: dict[str, Any] = {}
    prompt_id = ""

    def log_message(self, *_: object) -> None:
        """Nothing."""

    def send(self, content: bytes) -> None:
        self.send_response(200)
        self.send_header("Content-Length", str(len(content)))
        self.end_headers()
        with contextlib.suppress(OSError):
            self.wfile.write(content)

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers["Content-Length"]))
        if self.path == "/prompt":
            Answers.prompt_id = json.loads(body)["prompt_id"]
            self.send(self.changes.get("prompt", json.dumps({"prompt_id": Answers.prompt_id}).encode()))
        else:
            self.send(b"{}")

    def do_GET(self) -> None:
        if self.path.startswith("/ws"):
            key = self.headers["Sec-WebSocket-Key"] + HANDSHAKE_SUFFIX
            accept = base64.b64encode(hashlib.sha1(key.encode()).digest()).decode()
            self.wfile.write(f"HTTP/1.1 101 x\r\nSec-WebSocket-Accept: {accept}\r\n\r\n".encode())
            self.wfile.write(self.changes.get("event", b""))
            self.rfile.read(1)
            self.close_connection = True
        elif self.path.startswith("/history"):
            entry = self.changes.get("entry", outputs("a.flac"))
            self.send(self.changes.get("history", json.dumps({Answers.prompt_id: entry}).encode()))
        else:
            self.send(self.changes.get("view", b"data"))


@pytest.fixture
def server() -> Iterator[str]:
    listening = ThreadingHTTPServer(("127.0.0.1", 0), Answers)
    Thread(target=listening.serve_forever, daemon=True).start()
    yield f"127.0.0.1:{listening.server_port}"
    listening.shutdown()
    listening.server_close()


def run(server: str, tmp_path: Path, changes: dict[str, Any]) -> int:
    Answers.changes = changes
    workflow = tmp_path / "workflow.json"
    workflow.write_text(json.dumps({"1": {"class_type": "X", "inputs": {}}}), encoding="utf-8")
    return main([str(workflow), "--server", server, "--output", str(tmp_path / "deep" / "out"), "--timeout", "20"])


@pytest.mark.parametrize(
    "changes",
    [
        {"prompt": b"<html>login</html>"},
        {"prompt": b"[1]"},
        {"prompt": b"{}"},
        {"prompt": b'{"error": 5}'},
        {"history": b"\xff\xfe"},
        {"history": b"[]"},
        {"entry": {"status": {}, "outputs": None}},
        {"entry": {"status": {"messages": []}, "outputs": {"1": {"audio": 5}}}},
        {"entry": outputs(5)},
        {"event": b"\x81\x03abc"},
        {"event": b"\x81\x02\xff\xfe"},
        {"event": b"\x81\x02[]"},
        {"event": b"\x81\x7f\x7f\xff\xff\xff\xff\xff\xff\xff"},
    ],
    ids=str,
)
def test_what_no_comfyui_answers_is_one_sentence(
    tmp_path: Path, server: str, capsys: pytest.CaptureFixture[str], changes: dict[str, Any]
) -> None:
    assert run(server, tmp_path, changes) == 1
    said = capsys.readouterr().err
    assert said.startswith("error: ") and said.count("\n") == 1


def test_names_lead_nowhere_else(tmp_path: Path, server: str) -> None:
    assert run(server, tmp_path, {"entry": outputs(*FILES)}) == 0
    written = [path.relative_to(tmp_path) for path in tmp_path.rglob("*") if path.is_file()]
    assert {path.parent for path in written if path.name != "workflow.json"} == {Path("deep/out")}
    assert len(written) == len(FILES) + 1
    assert not {path.stem.lower() for path in written} & {"con", "nul"}
    assert all(not path.name.startswith((".", "-")) and len(path.name) < 255 for path in written)


def test_a_terminal_obeys_nothing_of_the_server(
    tmp_path: Path, server: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(server, tmp_path, {"entry": {"status": {"messages": FAILED}, "outputs": {}}}) == 1
    said = capsys.readouterr().err
    assert "E: no" in said and not any(character in said for character in "\x1b\x07\r")


def test_downloads_have_a_limit(
    tmp_path: Path, server: str, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(comfyui_client, "MAX_RESULT_BYTES", 100)
    assert run(server, tmp_path, {"view": b"x" * 101}) == 1
    assert "more than 100 bytes" in capsys.readouterr().err
    assert not [path for path in (tmp_path / "deep").rglob("*") if path.is_file()]
