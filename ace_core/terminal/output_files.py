"""Files that a command writes: none is replaced unless the user says so."""

from __future__ import annotations

import argparse
from collections.abc import Iterable
from pathlib import Path


def add_overwrite_option(parser: argparse._ActionsContainer) -> None:
    parser.add_argument("--overwrite", action="store_true", help="replace a file that is there")


def prepare_outputs(paths: Iterable[Path], *, overwrite: bool) -> None:
    """Make the folders of new files, before any work is done for them.

    Raises:
        ValueError: one is there already.
    """
    for path in paths:
        if path.exists() and not overwrite:
            raise ValueError(f"{path} is there already: choose another --out, or --overwrite it")
        path.parent.mkdir(parents=True, exist_ok=True)
