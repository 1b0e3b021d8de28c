"""The map of the code: which room may import which, and one meaning for every name.

A row of the tables below names rooms of rows above it only, so there can be no circle. An arrow that is missing here is
a question to answer, not a line to add: does the function belong into a lower room?
"""

from __future__ import annotations

import ast
from collections import defaultdict
from collections.abc import Collection, Iterator, Mapping
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
ENGINE = ROOT / "ace_core"
NODES = ROOT / "nodes"

# Modules that lie beside the folders are rooms too.
ENGINE_ARROWS: Mapping[str, Collection[str]] = {
    "checks": (),
    "files": (),
    "tensor_files": ("files",),
    "progress": (),
    "json_files": ("checks",),
    "file_names": ("checks",),
    "audio": (),
    "models": (),
    "song": ("audio", "checks", "json_files"),
    "checkpoints": ("audio", "checks", "json_files", "models", "progress"),
    "runtime": ("checkpoints", "models", "progress"),
    "lora": ("checkpoints", "checks", "files", "json_files", "tensor_files"),
    "sampling": ("audio", "checkpoints", "checks"),
    "analysis": ("audio", "json_files", "progress", "song"),
    "planner": ("audio", "checkpoints", "checks", "models", "progress", "runtime", "song"),
    "tasks": ("audio", "checkpoints", "checks", "song"),
    "render": ("audio", "checkpoints", "models", "progress", "runtime", "sampling", "song", "tasks"),
    "music_box": ("audio", "checkpoints", "models", "planner", "render", "song", "tasks", "tensor_files"),
    "listening": (
        *("audio", "checkpoints", "checks", "json_files", "models", "planner", "progress", "render", "runtime"),
        *("sampling", "song"),
    ),
    "song_files": ("audio", "checks", "files", "json_files", "progress", "sampling", "song"),
    "dataset": (
        *("audio", "checkpoints", "checks", "files", "json_files", "planner", "progress", "render", "song", "tasks"),
        "tensor_files",
    ),
    "training": (
        *("audio", "checkpoints", "checks", "dataset", "files", "json_files", "lora", "models", "progress"),
        *("runtime", "sampling", "tensor_files"),
    ),
    "loaded": ("checkpoints", "lora", "models", "planner", "runtime"),
    "plain_networks": ("checkpoints", "planner", "progress", "runtime"),
    "stages": (
        *("analysis", "audio", "checkpoints", "checks", "dataset", "listening", "loaded", "lora", "models"),
        *("music_box", "planner", "progress", "render", "runtime", "sampling", "song", "song_files", "tasks"),
    ),
    "terminal": (
        *(
            "audio",
            "checkpoints",
            "checks",
            "files",
            "loaded",
            "lora",
            "music_box",
            "plain_networks",
            "planner",
            "progress",
            "runtime",
        ),
        *("runtime", "sampling", "song", "song_files", "stages", "training"),
    ),
    "__main__": ("terminal",),
}
# Any room of the nodes may use the engine, and the host's room alone may touch the host (test_imports).
NODE_ARROWS: Mapping[str, Collection[str]] = {
    "compat": (),
    "changes": (),
    "wires": (),
    "host": (),
    "node": (),
    "karaoke": (),
    "takes": ("host",),
    "song_page": ("host",),
    "load": ("compat", "host", "node", "wires"),
    "render": ("changes", "compat", "host", "node", "wires"),
    "graph_inputs": ("render",),
    "edit": ("compat", "host", "node", "render", "takes", "wires"),
    "files": ("compat", "host", "karaoke", "load", "node", "render", "song_page", "takes", "wires"),
    "plan": ("changes", "compat", "edit", "host", "node", "wires"),
    "review": ("compat", "edit", "host", "karaoke", "node", "render", "takes", "wires"),
    "train": ("compat", "host", "load", "node", "plan", "wires"),
    "__init__": ("edit", "files", "graph_inputs", "host", "load", "plan", "render", "review", "song_page", "train"),
}
SAME_FILE_NAMES = {"__init__.py", "__main__.py", "files.py"}


def room_of(top: Path, path: Path) -> str:
    parts = path.relative_to(top).parts
    return parts[0] if len(parts) > 1 else path.stem


def targets(top: Path, path: Path) -> Iterator[str]:
    """Rooms below `top` that a file imports from, its own included."""
    package = path.relative_to(top.parent).parts[:-1]
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.ImportFrom) and node.level:
            base = package[: len(package) - node.level + 1]
            module = (*base, *(node.module.split(".") if node.module else ()))
            for full in [(*module, alias.name) for alias in node.names] if len(module) == 1 else [module]:
                if full[:1] == (top.name,):
                    yield full[1]


def arrows(top: Path) -> dict[str, set[str]]:
    found: dict[str, set[str]] = {}
    for path in sorted(top.rglob("*.py")):
        room = room_of(top, path)
        found.setdefault(room, set()).update(target for target in targets(top, path) if target != room)
    return found


@pytest.mark.parametrize(("top", "allowed"), [(ENGINE, ENGINE_ARROWS), (NODES, NODE_ARROWS)], ids=["engine", "nodes"])
def test_rooms_import_from_the_rooms_below_them(top: Path, allowed: Mapping[str, Collection[str]]) -> None:
    rooms = list(allowed)
    upward = {room: set(below) - set(rooms[: rooms.index(room)]) for room, below in allowed.items()}
    assert not any(upward.values()), f"the table itself has arrows that run up: {upward}"
    found = {room: below for room, below in arrows(top).items() if below or room != "__init__"}
    assert set(found) <= set(allowed), "a new room needs a row in the table"
    wrong = {room: below - set(allowed[room]) for room, below in found.items() if below - set(allowed[room])}
    assert not wrong, "these imports are not in the table"
    unused = {room: set(allowed[room]) - below for room, below in found.items()}
    assert not any(unused.values()), f"no import uses these arrows any more: {unused}"


def public_names(path: Path) -> Iterator[str]:
    """What a module defines on its first level for others."""
    for node in ast.parse(path.read_text(encoding="utf-8")).body:
        match node:
            case ast.FunctionDef(name=name) | ast.ClassDef(name=name) | ast.AnnAssign(target=ast.Name(id=name)):
                names = [name]
            case ast.Assign(targets=targets):
                names = [part.id for target in targets for part in ast.walk(target) if isinstance(part, ast.Name)]
            case _:
                names = []
        yield from (name for name in names if not name.startswith("_"))


def test_no_public_name_has_two_meanings_in_the_engine() -> None:
    # Commands have the names they have on the command line; nothing imports them by these.
    paths = [path for path in ENGINE.rglob("*.py") if path.stem != "__main__" and room_of(ENGINE, path) != "terminal"]
    places = defaultdict(set)
    for path in paths:
        for name in public_names(path):
            places[name].add(path.relative_to(ENGINE).as_posix())
    assert len(places) > 500
    assert {name: sorted(files) for name, files in places.items() if len(files) > 1} == {}


def test_no_file_name_occurs_twice_in_the_engine() -> None:
    names = [path.name for path in ENGINE.rglob("*.py") if path.name not in SAME_FILE_NAMES]
    assert {name for name in names if names.count(name) > 1} == set()
