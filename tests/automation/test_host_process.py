"""Starting and stopping a server process, with a few lines of http.server in ComfyUI's place."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
import time
import urllib.request
from pathlib import Path

import host_process
import hosts
import psutil
import pytest
from host_process import PACK_NAME, PACK_ROOT, PATIENCE_SECONDS, HostProcess, HostStartError, link_directory

SERVER = """
import http.server, os, subprocess, sys
options = dict(argument.lstrip("-").partition("=")[::2] for argument in sys.argv[1:])
helper = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(600)"])
print("\\x1b[32mserving\\x1b[0m", os.getpid(), helper.pid, sys.path[0], flush=True)
class Handler(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        self.send_response(200)
        self.end_headers()
http.server.HTTPServer(("127.0.0.1", int(options["port"])), Handler).serve_forever()
"""


def write_server(directory: Path, source: str) -> Path:
    (directory / "main.py").write_text(source, encoding="utf-8")
    (directory / "comfyui_version.py").write_text('__version__ = "0.3.75"\n', encoding="utf-8")
    return directory


def runs(process_id: int) -> bool:
    """Whether a process is alive; one that has ended but has no parent to reap it is not."""
    return psutil.pid_exists(process_id) and psutil.Process(process_id).status() != psutil.STATUS_ZOMBIE


def wait_until_gone(process_ids: list[int]) -> list[int]:
    """The processes that are still alive after a fair time."""
    deadline = time.monotonic() + PATIENCE_SECONDS
    while (left := [number for number in process_ids if runs(number)]) and time.monotonic() < deadline:
        time.sleep(0.05)
    return left


def test_start_and_stop_with_every_child(tmp_path: Path) -> None:
    comfyui = write_server(tmp_path, SERVER)
    models = tmp_path / "some models"
    models.mkdir()
    host = HostProcess(comfyui, tmp_path / "base", models=models)
    with host:
        assert urllib.request.urlopen(host.url).status == 200
        word, *process_ids, path = host.log().splitlines()[0].split()
        assert word == "serving"
        assert path == str(comfyui)
        assert (tmp_path / "base" / "custom_nodes" / PACK_NAME).resolve() == PACK_ROOT
        assert (tmp_path / "base" / "models").resolve() == models
        assert host.is_running()
    assert not host.is_running()
    assert wait_until_gone([int(number) for number in process_ids]) == []
    host.stop()


def test_the_server_ends_with_a_starter_that_was_killed(tmp_path: Path) -> None:
    comfyui = write_server(tmp_path, SERVER)
    program = (
        "import sys, time; from pathlib import Path; from host_process import HostProcess\n"
        "host = HostProcess(Path(sys.argv[1]), Path(sys.argv[2])); host.start(); print(host.log(), flush=True)\n"
        "time.sleep(600)"
    )
    starter = subprocess.Popen(
        [sys.executable, "-c", program, str(comfyui), str(tmp_path / "base")],
        cwd=Path(host_process.__file__).parent,
        stdout=subprocess.PIPE,
        text=True,
    )
    assert starter.stdout is not None
    process_ids = [int(number) for number in starter.stdout.readline().split()[1:3]]
    assert all(runs(number) for number in process_ids)
    starter.kill()
    starter.wait()
    starter.stdout.close()
    assert wait_until_gone(process_ids) == []


def test_a_server_that_ends_is_reported_with_its_log(tmp_path: Path) -> None:
    host = HostProcess(write_server(tmp_path, "raise SystemExit('no such module: torch')"), tmp_path / "base")
    with pytest.raises(HostStartError, match="status 1(.|\n)*no such module: torch"):
        host.start()
    assert not host.is_running()


def test_a_silent_server_is_stopped(tmp_path: Path) -> None:
    source = "import os, time; print(os.getpid(), flush=True); time.sleep(600)"
    host = HostProcess(write_server(tmp_path, source), tmp_path / "base")
    with pytest.raises(HostStartError, match="does not answer"):
        host.start(timeout_seconds=1.0)
    assert wait_until_gone([int(host.log())]) == []


def test_a_link_is_replaced_and_its_target_kept(tmp_path: Path) -> None:
    first, second, link = tmp_path / "first", tmp_path / "second", tmp_path / "base" / "models"
    for directory in (first, second):
        directory.mkdir()
        (directory / "file").touch()
    link_directory(link, first)
    link_directory(link, second)
    assert link.resolve() == second
    assert (first / "file").exists()


def test_a_directory_with_files_is_never_replaced_by_a_link(tmp_path: Path) -> None:
    (tmp_path / "models").mkdir()
    (tmp_path / "models" / "weights").touch()
    with pytest.raises(OSError):
        link_directory(tmp_path / "models", tmp_path)
    assert (tmp_path / "models" / "weights").exists()


def test_free_port_can_be_bound() -> None:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", host_process.free_port()))


def test_a_newer_host_gets_its_packages_and_the_frontend(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(hosts, "FOLDER", tmp_path / "prepared")
    monkeypatch.setattr(hosts, "PACKAGES", {(0, 30): ("newer==1",)})
    monkeypatch.setenv("PYTHONPATH", "before")
    source = "import os, sys; print(os.environ['PYTHONPATH'], sys.argv); raise SystemExit(1)"
    comfyui = write_server(tmp_path, source)
    (comfyui / "comfyui_version.py").write_text('__version__ = "0.33.0"', encoding="utf-8")
    with pytest.raises(ValueError, match="run: python dev.py setup --frontend 9.9"):
        HostProcess(comfyui, tmp_path / "base", frontend="9.9")
    root = tmp_path / "prepared" / "frontends" / "9.9" / "comfyui_frontend_package" / "static"
    root.mkdir(parents=True)
    monkeypatch.setenv("COMFYUI_FRONTEND", "9.9")
    host = HostProcess(comfyui, tmp_path / "base")
    with pytest.raises(HostStartError):
        host.start()
    packages = hosts.packages_folder(("newer==1",))
    assert host.log().startswith(f"{os.pathsep.join((str(packages), 'before'))} ")
    assert f"--front-end-root={root}" in host.log()
