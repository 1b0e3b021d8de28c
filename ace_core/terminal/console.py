"""What a command says: its result on standard output, notes and a progress bar for each stage on standard error."""

from __future__ import annotations

import sys

from tqdm import tqdm  # type: ignore[import-untyped]

from ..progress import Progress


class Console:
    """Where results, notes and progress go; nowhere if `quiet`, which is how `--json` keeps its output clean."""

    def __init__(self, *, quiet: bool = False) -> None:
        self._quiet = quiet
        self._stage = ""

    def result(self, text: str) -> None:
        """Print a part of the result."""
        if not self._quiet:
            sys.stdout.write(text + "\n")
            sys.stdout.flush()

    def note(self, text: str) -> None:
        """Say something beside the result."""
        if not self._quiet:
            sys.stderr.write(text + "\n")

    def stage(self, name: str) -> None:
        """Name the progress bars that follow."""
        self._stage = name

    def progress(self) -> Progress:
        """A new bar, gone when it is full; none where standard error is no terminal."""
        bar = tqdm(desc=self._stage, leave=False, disable=self._quiet or not sys.stderr.isatty(), file=sys.stderr)

        def update(done: int, total: int) -> None:
            bar.total = total
            bar.update(done - bar.n)
            if done >= total:
                bar.close()

        return update
