"""Starts and stops a real ComfyUI that holds this pack: for the tests, the demo and `dev.py serve`.

Everything the server reads and writes lies in a base directory of the caller's (``--base-directory``): the pack is
linked into its ``custom_nodes``, a models directory into its ``models``. The user's own ComfyUI folders are never
touched, and no other pack is loaded. Standard library only; `dev.py` imports this before anything is installed.
"""

from __future__ import annotations

import os
import random
import re
import signal
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Sequence
from pathlib import Path

from hosts import frontend_root, packages_folder, packages_for

PACK_ROOT = Path(__file__).resolve().parent.parent
PACK_NAME = "ace-composer"
PATIENCE_SECONDS = 300.0  # for whatever must happen at last, on a machine with other work: no test measures time
STOP_TIMEOUT_SECONDS = 10.0  # then the server is killed
LOG_TAIL_CHARACTERS = 4000


class HostStartError(RuntimeError):
    """ComfyUI ended or stayed silent instead of answering; the text carries the end of its log."""


def host_environment(comfyui: Path) -> dict[str, str]:
    """The environment in which a ComfyUI runs: this process's, with the packages that this host needs beside .venv."""
    environment = {**os.environ, "HF_HUB_OFFLINE": "1", "PYTHONIOENCODING": "utf-8", "PYTHONUNBUFFERED": "1"}
    if packages := packages_for(comfyui):
        add_python_path(environment, packages_folder(packages))
    return environment


def add_python_path(environment: dict[str, str], folder: Path) -> None:
    """Let Python look into a folder before all others."""
    environment["PYTHONPATH"] = os.pathsep.join(filter(None, (str(folder), environment.get("PYTHONPATH"))))


def link_directory(link: Path, target: Path) -> None:
    """Make `link` lead to the directory `target`, replacing an older link."""
    link.parent.mkdir(parents=True, exist_ok=True)
    if link.is_symlink():
        link.unlink()
    elif link.exists():
        os.rmdir(link)  # a junction; a real directory with files in it is refused
    try:
        link.symlink_to(target.resolve(), target_is_directory=True)
    except OSError:
        if sys.platform != "win32":
            raise
        import _winapi  # symbolic links need a privilege on Windows, junctions do not

        _winapi.CreateJunction(str(target.resolve()), str(link))


def free_port() -> int:
    """Find a port below the range that outgoing connections use: ComfyUI binds it only seconds later."""
    while True:
        port = random.randint(20000, 30000)
        with socket.socket() as probe:
            try:
                probe.bind(("127.0.0.1", port))
            except OSError:
                continue
            return port


class HostProcess:
    """A ComfyUI in a process of its own; use it as a context manager, or call `start` and `stop`.

    comfyui: a ComfyUI checkout (0.3.75 or newer). base_directory: where this server keeps all its files.
    models: a ComfyUI models directory. extra_arguments: more of ComfyUI's own options, for example ``--lowvram``.
    frontend: the version of the page; by default COMFYUI_FRONTEND, else the one that comes with the packages.
    """

    def __init__(
        self,
        comfyui: Path,
        base_directory: Path,
        *,
        models: Path | None = None,
        port: int | None = None,
        cpu: bool = True,
        frontend: str | None = None,
        extra_arguments: Sequence[str] = (),
    ) -> None:
        frontend = frontend or os.environ.get("COMFYUI_FRONTEND")
        self.base_directory = base_directory.resolve()
        self.port = port or free_port()
        self.url = f"http://127.0.0.1:{self.port}"
        self.log_path = self.base_directory / "host.log"
        self._process: subprocess.Popen[bytes] | None = None
        self._comfyui = comfyui
        self._models = models
        self._command = [
            sys.executable,
            str(Path(__file__).with_name("host_main.py")),
            str(comfyui / "main.py"),
            f"--port={self.port}",
            f"--base-directory={self.base_directory}",
            "--database-url=sqlite:///:memory:",
            "--disable-api-nodes",
            "--disable-auto-launch",
            *(["--cpu"] if cpu else []),
            *([f"--front-end-root={frontend_root(frontend)}"] if frontend else []),
            *extra_arguments,
        ]

    def __enter__(self) -> HostProcess:
        self.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()

    def start(self, timeout_seconds: float = PATIENCE_SECONDS) -> None:
        """Start the server and wait until it answers; raises HostStartError, and leaves nothing running then."""
        link_directory(self.base_directory / "custom_nodes" / PACK_NAME, PACK_ROOT)
        if self._models is not None:
            link_directory(self.base_directory / "models", self._models)
        flags = 0
        if sys.platform == "win32":
            flags = subprocess.CREATE_NEW_PROCESS_GROUP
        with self.log_path.open("wb") as log:
            self._process = process = subprocess.Popen(
                self._command,
                stdin=subprocess.PIPE,  # stays open as long as this process lives: see host_main.py
                stdout=log,
                stderr=subprocess.STDOUT,
                env=host_environment(self._comfyui),
                start_new_session=sys.platform != "win32",
                creationflags=flags,
            )
        try:
            self._wait_until_it_answers(process, time.monotonic() + timeout_seconds)
        except BaseException:
            self.stop()
            raise

    def stop(self) -> None:
        """End the server and whatever it has started; does nothing when it is not running."""
        process, self._process = self._process, None
        if process is None:
            return
        _signal_group(process, signal.SIGTERM)
        try:
            process.wait(STOP_TIMEOUT_SECONDS)
        except subprocess.TimeoutExpired:
            pass
        if sys.platform != "win32":
            _signal_group(process, signal.SIGKILL)
        process.wait(PATIENCE_SECONDS)
        if process.stdin is not None:
            process.stdin.close()

    def is_running(self) -> bool:
        return self._process is not None and self._process.poll() is None

    def log(self) -> str:
        """Everything the server has printed so far, without colours."""
        return re.sub(r"\x1b\[[0-9;]*m", "", self.log_path.read_text(encoding="utf-8", errors="replace"))

    def _wait_until_it_answers(self, process: subprocess.Popen[bytes], deadline: float) -> None:
        opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
        while time.monotonic() < deadline:
            if process.poll() is not None:
                raise HostStartError(f"ComfyUI ended with status {process.returncode}:\n{self._log_tail()}")
            try:
                opener.open(f"{self.url}/system_stats", timeout=5.0).close()
                return
            except OSError:
                time.sleep(0.2)
        raise HostStartError(f"ComfyUI does not answer at {self.url}:\n{self._log_tail()}")

    def _log_tail(self) -> str:
        return self.log()[-LOG_TAIL_CHARACTERS:]


def _signal_group(process: subprocess.Popen[bytes], number: int) -> None:
    if sys.platform == "win32":
        subprocess.run(["taskkill", "/F", "/T", "/PID", str(process.pid)], capture_output=True, check=False)
        return
    try:
        os.killpg(process.pid, number)
    except (ProcessLookupError, PermissionError):
        pass  # the group has ended by itself; macOS answers PermissionError for one that is not yet reaped
