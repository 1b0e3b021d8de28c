"""Tensors out of weight files, which stay as they are whatever happens to the file.

They are the file's own pages where `mapped.py` can keep writers away, and copies elsewhere.

Trap: a file may be replaced between its inspection and its reading, or while it is read. It is taken only if its header
is the inspected one, and if it stays as it is until all is read.
"""

from __future__ import annotations

import math
import os
import sys
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from io import BufferedReader
from pathlib import Path
from typing import BinaryIO, NamedTuple, TypeAlias, cast

import torch
from torch import Tensor

from .files import CheckpointError, StoredTensor, damage_named, header_of
from .inspection import DTYPES

if sys.platform == "linux":
    from .mapped import map_file
else:

    def map_file(opened: int) -> Tensor | None:
        """Nothing keeps writers away here."""
        return None


FLOAT8 = (torch.float8_e4m3fn, torch.float8_e5m2)

TensorReader: TypeAlias = Callable[[StoredTensor], Tensor]


class _OpenFile(NamedTuple):
    """A file that is being read; `content` is None where it is not mapped."""

    file: BinaryIO
    state: tuple[int, int]
    content: Tensor | None
    tensors: Mapping[str, StoredTensor]


@contextmanager
def tensor_reader() -> Iterator[TensorReader]:
    """What reads tensors, each checked for NaN and infinity; all are read when the block ends.

    Raises:
        CheckpointError: a file is not the inspected one or changes meanwhile, or a tensor holds NaN or infinity.
    """
    files: dict[Path, _OpenFile] = {}
    stack = ExitStack()

    def read(stored: StoredTensor) -> Tensor:
        with damage_named(stored.file):
            if stored.file not in files:
                files[stored.file] = _opened(stored.file, stack.enter_context(stored.file.open("rb")))
            opened = files[stored.file]
            if opened.tensors.get(stored.name) != stored:
                raise _changed(stored.file)
            if opened.content is None:
                content = _copied(opened.file, stored)
            else:
                content = opened.content[stored.begin : stored.end]
            if content.storage_offset() % DTYPES[stored.dtype].itemsize:
                content = content.clone()
            tensor = content.view(DTYPES[stored.dtype]).reshape(stored.shape)
            check_finite(tensor, stored.name, stored.file)
            return tensor

    with stack:
        yield read
        for path, opened in files.items():
            if opened.content is None and _state(opened.file) != opened.state:
                raise _changed(path)


def check_finite(tensor: Tensor, name: str, path: Path) -> None:
    """Raise CheckpointError if `tensor`, the one called `name` in `path`, is empty or holds NaN or infinity."""
    if not tensor.numel():
        raise CheckpointError(f"{path} holds nothing in {name}; the file is damaged. Download it again.")
    if tensor.dtype in FLOAT8:
        largest = 0x7F if tensor.dtype == torch.float8_e4m3fn else 0x7C  # the first bit pattern that is no number
        finite = int(tensor.view(torch.uint8).bitwise_and(0x7F).max()) < largest
    else:
        finite = all(math.isfinite(bound.item()) for bound in torch.aminmax(tensor))
    if not finite:
        raise CheckpointError(f"{path} holds NaN or infinity in {name}; the file is damaged. Download it again.")


def _opened(path: Path, file: BinaryIO) -> _OpenFile:
    """A file with its header as it is once writers are kept away."""
    content = map_file(file.fileno())
    return _OpenFile(file, _state(file), content, header_of(path, file).tensors)


def _state(file: BinaryIO) -> tuple[int, int]:
    status = os.fstat(file.fileno())
    return status.st_size, status.st_mtime_ns


def _copied(file: BinaryIO, stored: StoredTensor) -> Tensor:
    content = torch.empty(stored.end - stored.begin, dtype=torch.uint8)
    file.seek(stored.begin)
    if cast("BufferedReader", file).readinto(content.numpy().data) != len(content):
        raise _changed(stored.file)
    return content


def _changed(path: Path) -> CheckpointError:
    return CheckpointError(f"{path} changed while it was being read; try again.")
