"""Fixtures of the tests that need a real ComfyUI or a browser, and the markers that go with their folders."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from chromium import INSTALL_COMMAND, find_chromium
from comfyui_client import ComfyUIClient
from host_process import HostProcess, add_python_path, host_environment, link_directory
from hosts import find_comfyui

# PyTorch's threads, here and in every server the tests start, sleep while they wait for one another. Spinning, as they
# do otherwise, makes small networks four times slower as soon as another program uses one of two cores.
os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")
if "PYTEST_XDIST_WORKER" in os.environ:  # several processes: a thread each
    os.environ.setdefault("OMP_NUM_THREADS", "1")

TESTS = Path(__file__).parent
MARKED_FOLDERS = ("host", "browser", "abuse", "gpu")


@pytest.hookimpl(tryfirst=True)
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    for item in items:
        folder = item.path.relative_to(TESTS).parts[0]
        if folder in MARKED_FOLDERS:
            item.add_marker(folder)


@pytest.fixture(scope="session")
def comfyui_path() -> Path:
    path = find_comfyui()
    if path is None:
        pytest.fail("there is no ComfyUI to test with: run 'python dev.py setup', or set COMFYUI_PATH")
    return path


@pytest.fixture(scope="session")
def models_directory(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A ComfyUI models folder with the small seeded checkpoints and a small planner."""
    from tiny_checkpoints import write_host_models
    from tiny_planner import write_tiny_planner

    directory = tmp_path_factory.mktemp("models")
    write_host_models(directory)
    write_tiny_planner(directory / "text_encoders", "comfyui", short_answers=True)
    return directory


@pytest.fixture(scope="session")
def planner_loras(models_directory: Path) -> Path:
    """`models/loras` with adapters of the small planner: the folder artist (Side-Step) and artist_lokr (HOT-Step)."""
    from planner_adapters import write_planner_lokr, write_planner_lora
    from tiny_planner import planner_weights

    folder, weights = models_directory / "loras", planner_weights(0)
    write_planner_lora(folder / "artist", weights, seed=1)
    write_planner_lokr(folder / "artist_lokr.safetensors", weights, seed=2)
    return folder


@pytest.fixture(scope="session")
def start_host(comfyui_path: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Callable[..., HostProcess]]:
    """Starts further servers, with HostProcess's keywords: ``start_host(models=..., extra_arguments=["--novram"])``."""
    started: list[HostProcess] = []

    def start(**keywords: object) -> HostProcess:
        host = HostProcess(comfyui_path, tmp_path_factory.mktemp("host"), **keywords)
        started.append(host)
        host.start()
        return host

    yield start
    for host in started:
        host.stop()


@pytest.fixture(scope="session")
def host(start_host: Callable[..., HostProcess], models_directory: Path) -> HostProcess:
    """The server that all host and browser tests share, with the pack and the small checkpoints."""
    return start_host(models=models_directory)


@pytest.fixture(scope="session")
def run_inside(
    comfyui_path: Path, models_directory: Path, tmp_path_factory: pytest.TempPathFactory
) -> Callable[[str], dict[str, dict[str, Any]]]:
    """Runs a script of tests/inside inside ComfyUI's own Python modules and returns its report."""

    def run(script: str) -> dict[str, dict[str, Any]]:
        base_directory = tmp_path_factory.mktemp("inside")
        link_directory(base_directory / "models", models_directory)
        command = [sys.executable, str(TESTS / "inside" / script), str(comfyui_path), str(base_directory)]
        environment = host_environment(comfyui_path)
        add_python_path(environment, TESTS / "support")
        result = subprocess.run(
            command, cwd=base_directory, env=environment, capture_output=True, text=True, check=False
        )
        assert result.returncode == 0, f"{script} ended with status {result.returncode}:\n{result.stderr[-4000:]}"
        return json.loads(result.stdout.splitlines()[-1])

    return run


@pytest.fixture
def client(host: HostProcess) -> Iterator[ComfyUIClient]:
    """A client of its own for each test, connected to the shared server."""
    with ComfyUIClient(host.url) as connected:
        yield connected


@pytest.fixture(scope="session")
def chromium_path() -> Path:
    path = find_chromium()
    if path is None:
        pytest.fail(f"there is no Chromium for the browser tests: {INSTALL_COMMAND}, or set CHROMIUM_PATH")
    return path
