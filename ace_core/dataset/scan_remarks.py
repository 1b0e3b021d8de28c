"""Remarks of a scan that do not drown: the same one about many files is one line."""

from __future__ import annotations

SHOWN_FILES = 3


class Remarks:
    """Sentences with the files that they are about, in the order in which each was first made."""

    def __init__(self) -> None:
        self._files: dict[str, list[str]] = {}

    def add(self, sentence: str, file: str) -> None:
        """Note what is to be said about a file."""
        self._files.setdefault(sentence, []).append(file)

    def lines(self) -> tuple[str, ...]:
        """`a.json, b.json, c.json and 4 more: what is to be said`."""
        found = []
        for sentence, files in self._files.items():
            more = len(files) - SHOWN_FILES
            names = ", ".join(files[:SHOWN_FILES]) + (f" and {more} more" if more > 0 else "")
            found.append(f"{names}: {sentence}")
        return tuple(found)
