"""Files that the makers of texts write: whole or not at all, and only where they change."""

from __future__ import annotations

import os
from pathlib import Path

from host_process import PACK_ROOT


def write(path: Path, text: str) -> None:
    """Write a file if that changes it, all of it or nothing, and print its name."""
    if path.is_file() and path.read_text(encoding="utf-8") == text:
        return
    unfinished = path.with_name(path.name + ".unfinished")
    unfinished.write_text(text, encoding="utf-8", newline="\n")
    os.replace(unfinished, path)
    print(path.relative_to(PACK_ROOT))
