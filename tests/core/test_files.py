"""Files are written whole or not at all, whatever happens meanwhile."""

from __future__ import annotations

import errno
import os
import signal
import stat
import subprocess
import sys
import threading
from pathlib import Path

import pytest
import torch
from safetensors import safe_open
from safetensors.torch import load_file, save

from ace_core.files import write_atomically, write_set_atomically, write_text_atomically
from ace_core.tensor_files import STORED_DTYPES, write_tensors

ROOT = Path(__file__).resolve().parents[2]
WRITES_FOR_EVER = """
import sys, time
from pathlib import Path
from ace_core.files import write_atomically

def write(path):
    path.write_bytes(b"half")
    print("writing", flush=True)
    time.sleep(600)

write_atomically(Path(sys.argv[1]), write)
"""


def full(path: Path) -> None:
    path.write_bytes(b"half")
    raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))


def names(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


def writing(path: Path) -> subprocess.Popen[bytes]:
    """A process in the middle of writing `path`."""
    process = subprocess.Popen([sys.executable, "-c", WRITES_FOR_EVER, path], cwd=ROOT, stdout=subprocess.PIPE)
    assert process.stdout is not None and process.stdout.readline() == b"writing\n"
    return process


def test_a_full_disk_names_the_file_and_leaves_what_was_there(tmp_path: Path) -> None:
    (tmp_path / "song").write_text("before")
    with pytest.raises(OSError, match=r"song cannot be written: No space left on device$"):
        write_atomically(tmp_path / "song", full)
    assert names(tmp_path) == ["song"] and (tmp_path / "song").read_text() == "before"


def test_a_set_is_written_whole_or_not_at_all(tmp_path: Path) -> None:
    good = {tmp_path / name: lambda path: path.write_text("after") for name in ("a", "b")}
    with pytest.raises(OSError, match="c cannot be written"):
        write_set_atomically({**good, tmp_path / "c": full})
    assert names(tmp_path) == []
    write_set_atomically(good)
    assert names(tmp_path) == ["a", "b"]


@pytest.mark.skipif(sys.platform == "win32", reason="Windows has no such locks")
def test_what_a_killed_process_left_is_removed_by_the_next_write(tmp_path: Path) -> None:
    process = writing(tmp_path / "killed")
    write_text_atomically(tmp_path / "other", "text")
    assert names(tmp_path) == [".killed.unfinished", "other"]
    process.send_signal(signal.SIGKILL)
    process.communicate()
    write_text_atomically(tmp_path / "other", "text")
    assert names(tmp_path) == ["other"]


@pytest.mark.skipif(sys.platform == "win32", reason="Windows has no such locks")
def test_two_writers_of_one_file_do_not_mix(tmp_path: Path) -> None:
    first_writes, second_may_write = threading.Event(), threading.Event()

    def slowly(path: Path) -> None:
        path.write_text("first")
        first_writes.set()
        second_may_write.wait()

    first = threading.Thread(target=write_atomically, args=(tmp_path / "song", slowly))
    first.start()
    first_writes.wait()
    second = threading.Thread(target=write_text_atomically, args=(tmp_path / "song", "second"))
    second.start()
    second_may_write.set()
    first.join()
    second.join()
    assert names(tmp_path) == ["song"] and (tmp_path / "song").read_text() == "second"


@pytest.mark.skipif(sys.platform == "win32", reason="Windows has no umask")
@pytest.mark.parametrize("umask", [0o022, 0o002, 0o077])
def test_modes_are_those_of_the_user(tmp_path: Path, umask: int) -> None:
    before = os.umask(umask)
    try:
        write_text_atomically(tmp_path / "text", "text")
        write_tensors(tmp_path / "tensors", {"a": torch.zeros(1)})
    finally:
        os.umask(before)
    modes = {stat.S_IMODE(path.stat().st_mode) for path in tmp_path.iterdir()}
    assert modes == {0o666 & ~umask}


def test_tensors_are_written_as_the_library_does(tmp_path: Path) -> None:
    generator = torch.Generator().manual_seed(0)
    tensors = {
        f"{index}.{dtype}": torch.randint(0, 2, (index, 3), generator=generator).to(dtype)
        for index, dtype in enumerate(STORED_DTYPES)
    }
    tensors["scalar"] = torch.tensor(2.5)
    tensors["transposed"] = torch.rand(3, 5, generator=generator).T
    path = tmp_path / "tensors.safetensors"
    write_tensors(path, tensors, {"name": "value \u00e9"})
    assert {name: tensor.dtype for name, tensor in load_file(path).items()} == {
        name: tensor.dtype for name, tensor in tensors.items()
    }
    assert all(torch.equal(tensor.double(), tensors[name].double()) for name, tensor in load_file(path).items())
    with safe_open(path, framework="pt") as file:
        assert file.metadata() == {"name": "value \u00e9"}
    contiguous = {name: tensor.contiguous() for name, tensor in tensors.items()}
    assert path.stat().st_size == len(save(contiguous, {"name": "value \u00e9"}))
