"""Damaged files of every kind: each gives a result or a sentence, in bounded time and memory.

`ACE_COMPOSER_DAMAGED_FILES=20000` tries more than the usual 150, `ACE_COMPOSER_DAMAGED_SEED` others.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

SCRIPT = Path(__file__).resolve().parents[1] / "support" / "mutated_files.py"


@pytest.mark.slow
@pytest.mark.skipif(sys.platform != "linux", reason="needs fork, limits and /proc")
def test_damaged_files_give_sentences(tmp_path: Path) -> None:
    count = os.environ.get("ACE_COMPOSER_DAMAGED_FILES", "150")
    seed = os.environ.get("ACE_COMPOSER_DAMAGED_SEED", "0")
    command = [sys.executable, str(SCRIPT), seed, count, str(tmp_path)]
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    done = subprocess.run(command, cwd=SCRIPT.parent, env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr[-2000:]
    assert json.loads(done.stdout) == []
