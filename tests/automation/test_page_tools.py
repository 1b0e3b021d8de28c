"""The checks of the page: which Node will do, and that js/vendor/ is what it says, of the pinned version."""

from __future__ import annotations

import hashlib
import json
import re
import shutil
from pathlib import Path

import page_tools
import pytest
from page_tools import LIBRARY_FILES, PACK_ROOT, VENDOR

JS = PACK_ROOT / "js"
MOST_BYTES = 40_000  # of scripts and styles before anything is used
STATIC_IMPORT = re.compile(r'^import .*?from "(\./[^"]+)"', re.MULTILINE | re.DOTALL)


@pytest.mark.parametrize(("version", "expected"), [((20, 18, 1), False), ((21, 7, 0), False), ((24, 19, 0), True)])
def test_an_old_or_odd_node_will_not_do(version: tuple[int, ...], expected: bool) -> None:
    assert page_tools.new_enough(version) is expected


def test_node_is_fetched_where_there_is_none(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    installed: list[list[str]] = []

    def run(command: list[str], **_: object) -> None:
        installed.append(command)
        Path(command[command.index("--target") + 1]).mkdir()

    monkeypatch.setattr(shutil, "which", lambda _: None)
    monkeypatch.setattr(page_tools, "FOLDER", tmp_path)
    monkeypatch.setattr(page_tools.subprocess, "run", run)
    node, npm = page_tools.find_node()
    assert page_tools.find_node() == (node, npm)
    assert [command[-1] for command in installed] == [page_tools.NODE_WHEEL]
    assert node == npm[:1] and node[0].startswith(str(tmp_path))


def test_the_libraries_are_unchanged_and_of_the_pinned_version() -> None:
    origin = json.loads((VENDOR / "origin.json").read_text(encoding="ascii"))
    pinned = json.loads((PACK_ROOT / "package.json").read_text(encoding="utf-8"))["devDependencies"]
    assert pinned[origin["package"]] == origin["version"]
    assert f"{origin['package']} {origin['version']}" in (PACK_ROOT / "NOTICE").read_text(encoding="utf-8")
    found = {name: hashlib.sha256((VENDOR / name).read_bytes()).hexdigest() for name in LIBRARY_FILES}
    assert found == {name: file["sha256"] for name, file in origin["files"].items()}
    assert {path.name for path in VENDOR.iterdir()} == {*LIBRARY_FILES, "origin.json"}


def loaded_at_start() -> set[Path]:
    """The scripts that ComfyUI loads by itself, and what they import at once."""
    found = {*JS.glob("*.js")}
    while (
        more := {
            (path.parent / name).resolve()
            for path in found
            for name in STATIC_IMPORT.findall(path.read_text(encoding="utf-8"))
        }
        - found
    ):
        found |= more
    return found


def test_little_is_loaded_before_anything_is_used() -> None:
    loaded = loaded_at_start()
    assert {"host.mjs", "takes.js"} <= {path.name for path in loaded}
    assert not any(path.is_relative_to(VENDOR) for path in loaded)
    assert sum(path.stat().st_size for path in (*loaded, *JS.glob("*.css"))) <= MOST_BYTES


def test_only_scripts_that_register_something_are_loaded_by_themselves() -> None:
    """ComfyUI imports every .js file below js/ at its start."""
    assert {path.parent for path in JS.rglob("*.js")} == {JS}
