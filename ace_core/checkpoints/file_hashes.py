"""SHA-256 of weight files, each read once as long as it stays the same.

The whole content is hashed. A hash of the header, the size and some samples would be quicker and is no identity: a
fine-tuned or merged model has the same header and size and may differ anywhere. And the sum over everything is the one
that is published with the files, so a model can be found by it. It costs a second for every one to two gigabytes that
the system still has in memory, and the time to read the file from the disk otherwise.

Trap: a file may have been replaced since its weights were loaded. Its hash would then be that of other weights, so a
file is hashed as what it was when its stamp was taken, or not at all.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable
from pathlib import Path

from ..progress import Progress
from .registry import FileStamp, stamp

_BLOCK_BYTES = 1 << 23
_PROGRESS_UNIT = 1 << 20


class FileHashes:
    """Hashes by stamp; a stamp is hashed once."""

    def __init__(self) -> None:
        self._hashes: dict[FileStamp, str] = {}

    def get(self, files: Iterable[FileStamp], on_progress: Progress | None = None) -> dict[FileStamp, str | None]:
        """The SHA-256 of each file in hex; None where the file is gone or no longer what its stamp says.

        Args:
            on_progress: called with (MiB read, MiB in all) of what has to be read.
        """
        wanted = [*dict.fromkeys(files)]
        unread = [file for file in wanted if file not in self._hashes and _is_unchanged(file)]
        total = sum(file.size for file in unread)
        done = 0
        for file in unread:
            digest = hashlib.sha256()
            with open(file.path, "rb") as content:
                while block := content.read(_BLOCK_BYTES):
                    digest.update(block)
                    done += len(block)
                    if on_progress is not None:
                        on_progress(done // _PROGRESS_UNIT, max(total // _PROGRESS_UNIT, 1))
            if _is_unchanged(file):
                self._hashes[file] = digest.hexdigest()
        return {file: self._hashes.get(file) for file in wanted}


def _is_unchanged(file: FileStamp) -> bool:
    path = Path(file.path)
    return path.is_file() and stamp([path]) == (file,)
