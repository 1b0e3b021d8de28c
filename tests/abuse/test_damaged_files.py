"""Damaged files of every kind: each gives a result or a sentence, in bounded time and memory.

`ACE_COMPOSER_DAMAGED_FILES=20000` tries more than the usual 1000, `ACE_COMPOSER_SEED` others.
"""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from pathlib import Path

from readers import ATTACKS, KINDS, MODULES

ROOT = Path(__file__).resolve().parents[2]
SCRIPT = ROOT / "tests" / "support" / "mutated_files.py"
READS = re.compile(
    r"(?<![\w.])open\([^)]*\"r?b\"|\.open\(\"r?b\"|\.read_(?:text|bytes)\(|torch\.load\(|safe_open\(|\bload_file\("
    r"|\.from_file\("
)


def test_damaged_files_give_sentences(tmp_path: Path) -> None:
    count = os.environ.get("ACE_COMPOSER_DAMAGED_FILES", "1000")
    seed = os.environ.get("ACE_COMPOSER_SEED", "0")
    command = [sys.executable, str(SCRIPT), seed, count, str(tmp_path)]
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    done = subprocess.run(command, cwd=SCRIPT.parent, env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr[-2000:]
    report = json.loads(done.stdout)
    sys.stdout.write(f"{report}\n")
    assert report["wrong"] == []
    assert report["cases"] == int(count) + len(KINDS) + len(ATTACKS)


def test_every_module_that_reads_files_has_its_kind_of_damaged_file() -> None:
    sources = [*(ROOT / "ace_core").rglob("*.py"), *(ROOT / "nodes").rglob("*.py")]
    reading = {path.relative_to(ROOT).as_posix() for path in sources if READS.search(path.read_text(encoding="utf-8"))}
    assert reading == set(MODULES)
