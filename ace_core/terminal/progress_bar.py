"""What a command says while it works: a bar for each stage and notes, on standard error."""

from __future__ import annotations

import sys

from tqdm import tqdm

from ..progress import Progress


class Say:
    """Where notes and progress go; nowhere if `quiet`."""

    def __init__(self, *, quiet: bool = False) -> None:
        self._quiet = quiet
        self._stage = ""

    def stage(self, name: str) -> None:
        """Name the bars that follow."""
        self._stage = name

    def note(self, text: str) -> None:
        """Say something beside the result."""
        if not self._quiet:
            sys.stderr.write(text + "\n")

    def result(self, text: str) -> None:
        """Print a result; with `--json` the whole of it is printed at the end instead."""
        if not self._quiet:
            sys.stdout.write(text + "\n")
            sys.stdout.flush()

    def progress(self) -> Progress:
        """A new bar, gone when it is full; none where standard error is no terminal."""
        bar = tqdm(desc=self._stage, leave=False, disable=self._quiet or not sys.stderr.isatty(), file=sys.stderr)

        def update(done: int, total: int) -> None:
            bar.total = total
            bar.update(done - bar.n)
            if done >= total:
                bar.close()

        return update
