"""Writing files all or nothing: they get their names when all of them are complete and on the disk.

Until then a file is called `.NAME.unfinished`, and whoever writes it holds a lock on it. What a killed process left is
not locked: the next write into its folder removes it. Windows has no such locks; there it is removed after a day.

Trap: libraries that write through a file of their own with another name (safetensors does) leave that one when they are
killed, and give it a mode that keeps others from reading it. `write` has to fill the very file it is given.
"""

from __future__ import annotations

import os
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path
from typing import BinaryIO, TypeAlias

if sys.platform != "win32":
    import fcntl

UNFINISHED = ".unfinished"
Write: TypeAlias = Callable[[Path], object]  # is given the path to write to, in the folder of the file

_ABANDONED_SECONDS = 86_400


def write_atomically(path: Path, write: Write) -> None:
    """Let `write` fill a file that then takes the place of `path`; see `write_set_atomically`."""
    write_set_atomically({path: write})


def write_text_atomically(path: Path, text: str) -> None:
    """`write_atomically` for text, as UTF-8."""
    write_atomically(path, lambda unfinished: unfinished.write_text(text, encoding="utf-8"))


def write_set_atomically(writes: Mapping[Path, Write]) -> None:
    """Write files that belong together: none of them gets its name before all are written.

    Raises:
        OSError: the disk is full or not writable. The sentence names the file; what was there before is unchanged.
    """
    for folder in {path.parent for path in writes}:
        remove_abandoned(folder)
    with ExitStack() as stack:
        for path, write in writes.items():
            with _named(path):
                unfinished = _unfinished(path)
                stack.enter_context(_begun(unfinished))
                write(unfinished)
                with unfinished.open("rb+") as file:
                    os.fsync(file.fileno())
        for path in writes:
            with _named(path):
                os.replace(_unfinished(path), path)


def remove_abandoned(folder: Path) -> None:
    """Remove what killed processes left unfinished in a folder."""
    for unfinished in folder.glob(f".*{UNFINISHED}"):
        with suppress(OSError):  # it is being written, or is somebody else's
            if sys.platform == "win32":
                if time.time() - unfinished.stat().st_mtime > _ABANDONED_SECONDS:
                    unfinished.unlink()
            else:
                with unfinished.open("rb") as file:
                    fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
                    unfinished.unlink()


def _unfinished(path: Path) -> Path:
    return path.with_name(f".{path.name}{UNFINISHED}")


@contextmanager
def _named(path: Path) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        raise OSError(f"{path} cannot be written: {error.strerror or error}") from error


@contextmanager
def _begun(unfinished: Path) -> Iterator[None]:
    """An empty file, locked; after an error there is none of the name."""
    with ExitStack() as stack:
        try:
            if sys.platform != "win32":
                stack.enter_context(_locked(unfinished))
            yield
        except BaseException:
            unfinished.unlink(missing_ok=True)
            raise


def _locked(unfinished: Path) -> BinaryIO:
    """The file, made if it is not there, once nobody else writes it."""
    while True:
        file = unfinished.open("ab")
        with suppress(OSError):  # a file system without locks: nothing is removed as abandoned there either
            fcntl.flock(file, fcntl.LOCK_EX)
        if unfinished.exists() and os.path.samestat(os.fstat(file.fileno()), unfinished.stat()):
            return file
        file.close()  # somebody has finished it or removed it before it was locked
