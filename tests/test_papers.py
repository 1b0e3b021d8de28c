"""The papers of the project agree with it and with one another: maps, versions, pins."""

from __future__ import annotations

import ast
import re
import tomllib
from pathlib import Path
from typing import Any

import pytest
import yaml

ROOT = Path(__file__).parents[1]
PAPERS = ("ARCHITECTURE.md", "CONTRIBUTING.md")
MADE_LATER = {"nodes/deprecated.py"}


def read(name: str) -> str:
    return (ROOT / name).read_text(encoding="utf-8")


def project() -> dict[str, Any]:
    return tomllib.loads(read("pyproject.toml"))


def listed(heading: str) -> list[str]:
    """The first column of the table below a heading of ARCHITECTURE.md."""
    section = read("ARCHITECTURE.md").split(f"{heading}\n", 1)[1].split("\n#", 1)[0]
    return [line.split("`")[1].rstrip("/") for line in section.splitlines() if line.startswith("| `")]


@pytest.mark.parametrize("paper", PAPERS)
def test_files_that_the_papers_name_exist(paper: str) -> None:
    named = {name for name in re.findall(r"`([\w./-]*[/.][\w./-]*)`", read(paper)) if not re.search("[A-Z]{4}", name)}
    paths = {name for name in named if "/" in name or re.search(r"\w\.(py|md|toml)$", name)} - MADE_LATER
    places = (ROOT, ROOT / "ace_core", ROOT / "nodes")
    missing = sorted(name for name in paths if not any((place / name).exists() for place in places))
    assert len(paths) > 10
    assert not missing


@pytest.mark.parametrize("paper", PAPERS)
def test_names_that_the_papers_use_are_in_the_code(paper: str) -> None:
    files = [path for house in ("ace_core", "nodes", "automation") for path in (ROOT / house).rglob("*.py")]
    files += [ROOT / "dev.py", *(ROOT / "js").glob("*.*js"), ROOT / "locales" / "en" / "main.json"]
    known = set(re.findall(r"\w+", "\n".join(path.read_text(encoding="utf-8") for path in files)))
    named = set(re.findall(r"`([A-Z]?[a-z]+(?:_[a-z0-9]+|[A-Z][a-z]+)+)`", read(paper)))
    assert sorted(named - known) == []


@pytest.mark.parametrize(("heading", "house"), [("### The engine", "ace_core"), ("### The nodes", "nodes")])
def test_every_room_is_on_the_map(heading: str, house: str) -> None:
    rooms = {path.parent.name for path in (ROOT / house).glob("*/__init__.py")}
    assert set(listed(heading)) == rooms


def test_rooms_of_the_engine_import_only_rooms_below_them() -> None:
    order = listed("### The engine")
    upwards = {
        f"{room} -> {imported}"
        for room in order
        for path in (ROOT / "ace_core" / room).rglob("*.py")
        for imported in imported_rooms(path)
        if imported in order and order.index(imported) < order.index(room)
    }
    assert not upwards


def imported_rooms(path: Path) -> set[str]:
    """Rooms that a file directly in a room imports from, with `from ..room.module import name`."""
    nodes = ast.walk(ast.parse(path.read_text(encoding="utf-8")))
    modules = [node.module for node in nodes if isinstance(node, ast.ImportFrom) and node.level == 2 and node.module]
    return {module.split(".")[0] for module in modules}


def test_every_wire_is_on_the_map() -> None:
    assert set(listed("## Wires")) == set(re.findall(r'io\.Custom\("(\w+)"\)', read("nodes/wires.py")))


def test_the_version_has_the_newest_section_of_the_changelog() -> None:
    versions = re.findall(r"^## \[(\d+\.\d+\.\d+)\] - \d{4}-\d\d-\d\d$", read("CHANGELOG.md"), re.MULTILINE)
    assert versions[0] == project()["project"]["version"]


def test_requirements_are_the_dependencies_that_the_registry_installs() -> None:
    lines = [line for line in read("requirements.txt").splitlines() if line and not line.startswith("#")]
    assert lines == project()["project"]["dependencies"]


def test_one_oldest_python_is_promised_checked_and_tested() -> None:
    promised = project()["project"]["requires-python"].removeprefix(">=")
    matrix = yaml.safe_load(read(".github/workflows/test.yml"))["jobs"]["unit"]["strategy"]["matrix"]["python"]
    tools = project()["tool"]
    assert matrix[0] == promised
    assert tools["mypy"]["python_version"] == promised
    assert tools["ruff"]["target-version"] == f"py{promised.replace('.', '')}"
    assert f"MINIMUM_PYTHON = ({promised.replace('.', ', ')})" in read("dev.py")


def test_pre_commit_runs_the_ruff_of_the_tests() -> None:
    (repository,) = yaml.safe_load(read(".pre-commit-config.yaml"))["repos"]
    assert f"ruff=={repository['rev'].removeprefix('v')}" in read("requirements-dev.txt").splitlines()


@pytest.mark.parametrize("name", ["test.yml", "publish.yml"])
def test_actions_are_pinned_to_a_commit(name: str) -> None:
    used = re.findall(r"uses: (\S+)", read(f".github/workflows/{name}"))
    assert used
    assert [action for action in used if not re.fullmatch(r"[\w-]+/[\w-]+@[0-9a-f]{40}", action)] == []


def test_the_archive_of_the_registry_has_what_users_need() -> None:
    omitted = [line for line in read(".comfyignore").splitlines() if line and not line.startswith("#")]
    tops = {path.name for path in ROOT.iterdir()}
    assert {name.strip("/") for name in omitted} <= tops
    kept = ("LICENSE", "NOTICE", "README.md", "__init__.py", "ace_core", "js", "locales", "nodes", "workflows")
    assert not {name.strip("/") for name in omitted} & set(kept)
