"""Which module may import what: the engine stays free of ComfyUI, and sources stay readable everywhere."""

from __future__ import annotations

import ast
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from ace_core.terminal.doctor_command import PACKAGES

ROOT = Path(__file__).resolve().parents[2]
ENGINE_FILES = sorted((ROOT / "ace_core").rglob("*.py"))
NODE_FILES = sorted((ROOT / "nodes").rglob("*.py"))
SOURCE_ROOMS = ("ace_core", "automation", "benchmarks", "nodes", "tests")
ENGINE_PACKAGES = {"PIL", "av", "numpy", "psutil", "safetensors", "tokenizers", "torch", "torchaudio", "tqdm", "yaml"}
# What training needs beyond that, imported where it is used: peft always, the others where they are asked for.
TRAINING_PACKAGES = {"bitsandbytes", "peft", "prodigyopt"}
HOST_PACKAGES = {"comfy", "comfy_execution", "execution", "folder_paths", "server"}
TEST_PACKAGES = {"accelerate", "comfy", "diffusers", "lycoris", "mutagen", "transformers"}


def imported_modules(path: Path) -> Iterator[tuple[int, str]]:
    """Every import in a file, wherever it stands: (number of leading dots, module name)."""
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            yield from ((0, alias.name) for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            yield node.level, node.module or ""


def relative(path: Path) -> str:
    return path.relative_to(ROOT).as_posix()


@pytest.mark.parametrize("path", ENGINE_FILES, ids=relative)
def test_engine_imports_only_what_comfyui_brings(path: Path) -> None:
    allowed = ENGINE_PACKAGES | sys.stdlib_module_names
    if path.parent.name in ("training", "dataset"):
        allowed |= TRAINING_PACKAGES
    foreign = {name for dots, name in imported_modules(path) if dots == 0 and name.split(".")[0] not in allowed}
    assert not foreign
    depth = len(path.relative_to(ROOT).parts) - 1
    assert all(dots <= depth for dots, _ in imported_modules(path)), "an import leaves ace_core"


@pytest.mark.parametrize("path", NODE_FILES, ids=relative)
def test_only_the_host_room_touches_the_host(path: Path) -> None:
    touched = {name for dots, name in imported_modules(path) if dots == 0 and name.split(".")[0] in HOST_PACKAGES}
    assert not touched or path.is_relative_to(ROOT / "nodes" / "host")


def test_importing_the_whole_engine_loads_no_host_and_no_test_dependency() -> None:
    modules = [relative(path).removesuffix(".py").removesuffix("/__init__").replace("/", ".") for path in ENGINE_FILES]
    program = f"import importlib, sys\nfor name in {modules!r}: importlib.import_module(name)\nprint(*sys.modules)"
    result = subprocess.run([sys.executable, "-c", program], cwd=ROOT, capture_output=True, text=True, check=True)
    loaded = {name.split(".")[0] for name in result.stdout.split()}
    assert "ace_core" in loaded
    assert not loaded & (TEST_PACKAGES | TRAINING_PACKAGES | HOST_PACKAGES)


def test_doctor_and_the_readme_know_every_package_of_the_engine() -> None:
    (command,) = re.findall(r"`pip install (torch [^`]*)`", (ROOT / "README.md").read_text(encoding="utf-8"))
    modules = {"Pillow": "PIL", "PyYAML": "yaml"}
    assert {modules.get(package, package) for package in PACKAGES} == ENGINE_PACKAGES | {"peft"}
    assert set(command.split()) == set(PACKAGES)


def test_sources_are_ascii() -> None:
    paths = [*ROOT.glob("*.py"), *(path for room in SOURCE_ROOMS for path in (ROOT / room).rglob("*.py"))]
    assert len(paths) > 20
    assert [relative(path) for path in paths if not path.read_bytes().isascii()] == []
