"""Which ComfyUI is used, and what it needs besides .venv: newer packages for newer hosts, another frontend.

Both are wheels that `dev.py` installs into folders of .host/. The packages come before those of .venv on the host's
PYTHONPATH; a frontend is a folder that the host gets with --front-end-root. Trap: they are installed without what they
depend on, so an entry of `PACKAGES` names the parts of a package too (`-core`, `-json`).
Standard library only, and no other module of this folder: `dev.py` and the benchmarks import it.
"""

from __future__ import annotations

import hashlib
import os
import re
from pathlib import Path

PACK_ROOT = Path(__file__).resolve().parent.parent
FOLDER = PACK_ROOT / ".host"
PREPARED_HOST = FOLDER / "ComfyUI-0.3.75"  # made by dev.py
OLDEST_VERSION = (0, 3, 75)

# By the first release that needs them, as it was started and tested. Hosts before need nothing beside .venv.
PACKAGES: dict[tuple[int, ...], tuple[str, ...]] = {
    (0, 33, 0): (
        "comfy-aimdo==0.4.13",
        "comfy-kitchen==0.2.31",
        "comfyui-embedded-docs==0.5.10",
        "comfyui-frontend-package==1.49.6",
        "comfyui-workflow-templates==0.11.44",
        "comfyui-workflow-templates-core==0.3.315",
        "comfyui-workflow-templates-json==0.1.50",
    ),
}

# What the nodes must work on. The installed one (requirements-dev.txt) takes every test, the oldest host's own and the
# newest a smoke test in each run; raise the newest by hand.
SMOKE_FRONTENDS = ("1.32.9", "1.58.1")


def find_comfyui() -> Path | None:
    """Say which ComfyUI to use: COMFYUI_PATH, the one whose custom_nodes hold this pack, or the prepared one.

    Returns None when there is none yet (`dev.py setup` prepares one); raises ValueError for a wrong COMFYUI_PATH.
    """
    if configured := os.environ.get("COMFYUI_PATH"):
        path = Path(configured).expanduser().resolve()
        if not (path / "main.py").is_file():
            raise ValueError(f"COMFYUI_PATH must name a ComfyUI checkout; there is no {path / 'main.py'}")
        return path
    if PACK_ROOT.parent.name == "custom_nodes" and (PACK_ROOT.parent.parent / "main.py").is_file():
        return PACK_ROOT.parent.parent
    return PREPARED_HOST if (PREPARED_HOST / "main.py").is_file() else None


def host_version(comfyui: Path) -> tuple[int, ...]:
    """Read the version of a ComfyUI checkout, for example (0, 3, 75)."""
    text = (comfyui / "comfyui_version.py").read_text(encoding="utf-8")
    found = re.search(r'__version__ = "(\d+(?:\.\d+)*)', text)
    if found is None:
        raise ValueError(f"{comfyui / 'comfyui_version.py'} names no version")
    return tuple(int(part) for part in found[1].split("."))


def packages_for(comfyui: Path) -> tuple[str, ...]:
    """Say what has to be installed for a host beside .venv."""
    version = host_version(comfyui)
    since = max((first for first in PACKAGES if first <= version), default=None)
    return PACKAGES[since] if since is not None else ()


def packages_folder(packages: tuple[str, ...]) -> Path:
    """Where these packages are installed; others have another folder."""
    return FOLDER / "packages" / hashlib.sha256("\n".join(packages).encode("ascii")).hexdigest()[:12]


def frontend_package(version: str) -> str:
    return f"comfyui-frontend-package=={version}"


def frontend_folder(version: str) -> Path:
    """Where a frontend is installed."""
    return FOLDER / "frontends" / version


def frontend_root(version: str) -> Path:
    """The folder of an installed frontend for the host's --front-end-root; ValueError when it is not there yet."""
    root = frontend_folder(version) / "comfyui_frontend_package" / "static"
    if not root.is_dir():
        raise ValueError(f"frontend {version} is not installed; run: python dev.py setup --frontend {version}")
    return root
