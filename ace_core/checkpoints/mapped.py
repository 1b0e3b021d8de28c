"""A weight file as memory, without a copy, for as long as nobody writes to it. Linux only.

A mapped file is the memory of this process: whoever writes over it changes the weights in use, and whoever shortens it
kills the process with SIGBUS. Linux lends a lease on a file: who opens it for writing, or shortens it, waits until the
lease is given back, 45 s at the most. Before that a copy is put in the place of the mapping, at the same addresses,
which takes a second or less for a gigabyte. Files that are replaced by renaming need no copy.

Where there are no leases (network file systems, files of another user, a file that somebody is writing) there is no
mapping, and `tensors.py` copies what it reads.

Trap: the copy has to lie at the old addresses, since running layers read from them. `mremap` puts it there at once.
"""

from __future__ import annotations

import ctypes
import fcntl
import mmap
import os
import signal
import threading
import time
import weakref
from functools import cache
from typing import NamedTuple

import torch
from torch import Tensor

SECONDS_BETWEEN_LOOKS = 0.2

_MREMAP_MAYMOVE, _MREMAP_FIXED = 1, 2
_FAILED = ctypes.c_void_p(-1).value


class _Lease(NamedTuple):
    """A lease, and the mapping of its file."""

    descriptor: int
    pages: weakref.ref[mmap.mmap]
    address: int
    size: int


_leases: dict[int, _Lease] = {}
_lock = threading.RLock()  # the garbage collector may end a mapping wherever one is looked at


def map_file(opened: int) -> Tensor | None:
    """The bytes of a file that is open for reading, which stay as they are; None where that cannot be promised."""
    descriptor = os.dup(opened)
    try:
        fcntl.fcntl(descriptor, fcntl.F_SETSIG, signal.SIGURG)  # sent for a writer; SIGIO would end the process
        fcntl.fcntl(descriptor, fcntl.F_SETLEASE, fcntl.F_RDLCK)
        pages = mmap.mmap(descriptor, 0, access=mmap.ACCESS_COPY)
    except (OSError, ValueError):
        os.close(descriptor)
        return None
    content = torch.frombuffer(pages, dtype=torch.uint8)
    with _lock:
        _leases[descriptor] = _Lease(descriptor, weakref.ref(pages), content.data_ptr(), len(pages))
    weakref.finalize(pages, _close, descriptor)
    _watcher()
    return content


@cache
def _watcher() -> threading.Thread:
    """The thread that looks for writers; it runs from the first mapping on."""
    thread = threading.Thread(target=_watch, name="writers of weight files", daemon=True)
    thread.start()
    return thread


def _watch() -> None:
    while True:
        time.sleep(SECONDS_BETWEEN_LOOKS)
        with _lock:
            for lease in [*_leases.values()]:
                if lease.descriptor in _leases and fcntl.fcntl(lease.descriptor, fcntl.F_GETLEASE) != fcntl.F_RDLCK:
                    _replace_by_copy(lease)


def _replace_by_copy(lease: _Lease) -> None:
    """Put a copy in the place of a mapping, and let the writer of its file go on."""
    pages = lease.pages()  # keeps the mapping in place meanwhile
    if pages is not None:
        libc = _libc()
        protection, kind = mmap.PROT_READ | mmap.PROT_WRITE, mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS
        copy = libc.mmap(None, lease.size, protection, kind, -1, 0)
        if copy == _FAILED:
            return  # no memory: the lease is kept as long as the system lets it
        ctypes.memmove(copy, lease.address, lease.size)
        libc.mremap(copy, lease.size, lease.size, _MREMAP_MAYMOVE | _MREMAP_FIXED, lease.address)
    del _leases[lease.descriptor]
    fcntl.fcntl(lease.descriptor, fcntl.F_SETLEASE, fcntl.F_UNLCK)


def _close(descriptor: int) -> None:
    with _lock:
        _leases.pop(descriptor, None)
        os.close(descriptor)


@cache
def _libc() -> ctypes.CDLL:
    libc = ctypes.CDLL(None)
    number, size, address = ctypes.c_int, ctypes.c_size_t, ctypes.c_void_p
    libc.mmap.restype, libc.mmap.argtypes = address, [address, size, number, number, number, ctypes.c_long]
    libc.mremap.restype, libc.mremap.argtypes = address, [address, size, size, number, address]
    return libc
