"""Writes the small, untrained checkpoints that stand in for the published ones in the demo and in `dev.py serve`."""

from __future__ import annotations

import argparse
import subprocess
import sys
from pathlib import Path

from host_process import PACK_ROOT

NOTICE = """\
The weights are an untrained stand-in of a few megabytes, so this is noise shaped by the real pipeline, not music.
With ACE-Step 1.5 checkpoints in a ComfyUI models folder: python dev.py {command} --models DIR"""


def models_folder(text: str) -> Path:
    """The type of a --models option."""
    path = Path(text).expanduser()
    if not path.is_dir():
        raise argparse.ArgumentTypeError(f"there is no folder {path}")
    return path


def write_stand_in_models(directory: Path) -> Path:
    """Fill `directory` as a ComfyUI models folder; returns it."""
    for script in ("tiny_checkpoints.py", "tiny_planner.py"):
        command = [sys.executable, str(PACK_ROOT / "tests" / "support" / script), str(directory)]
        subprocess.run(command, check=True, stdout=sys.stderr)
    return directory
