"""The shared weight cache: one copy of each weight file in memory, for all users.

The registry holds what was loaded weakly, under a key of role, files (path, size, modification time) and dtype. Two
loaders of the same files get the same object; when the last user lets go of it, it is freed. A replaced file has
another key, so it is read again while users of the old weights keep them.

Traps:
- What is cached must be what the users hold. Inside a host that is the patcher, not the bare module.
- `build` runs outside the lock, so different keys load in parallel. It must not ask for its own key.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import NamedTuple, TypeVar, cast
from weakref import WeakValueDictionary

Kept = TypeVar("Kept")


class FileStamp(NamedTuple):
    """Identity of a file's content, as far as the file system tells."""

    path: str
    size: int
    mtime_ns: int


class WeightKey(NamedTuple):
    """What a cached value was built from."""

    role: str
    files: tuple[FileStamp, ...]
    dtype: str


def stamp(files: Iterable[Path]) -> tuple[FileStamp, ...]:
    """Stamps of `files`, in their order; links are followed."""
    stamps = []
    for file in files:
        status = file.stat()
        stamps.append(FileStamp(str(file.resolve()), status.st_size, status.st_mtime_ns))
    return tuple(stamps)


class WeightRegistry:
    """Weak, thread-safe cache of what `build` returns."""

    def __init__(self) -> None:
        self._values: WeakValueDictionary[WeightKey, object] = WeakValueDictionary()
        self._building: dict[WeightKey, threading.Event] = {}
        self._lock = threading.Lock()

    def get(self, key: WeightKey, build: Callable[[], Kept]) -> Kept:
        """The value under `key`, built on the first request.

        Other threads that ask for the key meanwhile wait and share the result. If `build` raises, the caller gets the
        exception, nothing is kept, and one of the waiting threads builds for itself.

        Args:
            build: makes the value; it must support weak references. Every caller of one key passes the same kind.
        """
        while True:
            with self._lock:
                value = self._values.get(key)
                if value is not None:
                    return cast("Kept", value)
                building = self._building.get(key)
                if building is None:
                    done = self._building[key] = threading.Event()
                    break
            building.wait()
        try:
            built = build()
            with self._lock:
                self._values[key] = built
            return built
        finally:
            with self._lock:
                del self._building[key]
            done.set()

    def key_of(self, value: object) -> WeightKey:
        """The key of a value that came from here.

        Raises:
            KeyError: it did not.
        """
        with self._lock:
            for key, held in self._values.items():
                if held is value:
                    return key
        raise KeyError(f"{type(value).__name__} is none of the registry's values")

    def __contains__(self, key: WeightKey) -> bool:
        """Whether the value under `key` is in memory."""
        return key in self._values
