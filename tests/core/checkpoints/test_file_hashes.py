"""Hashes of weight files: right, read once, never of another content than was loaded."""

from __future__ import annotations

import hashlib
import os
from pathlib import Path

import pytest

from ace_core.checkpoints.file_hashes import FileHashes
from ace_core.checkpoints.registry import stamp

MIB = 1 << 20


def test_hashes_are_sha256_and_files_are_read_once(tmp_path: Path) -> None:
    paths = [tmp_path / "one", tmp_path / "two"]
    for path, size in zip(paths, (20 * MIB + 3, 5), strict=True):
        path.write_bytes(os.urandom(size))
    stamps, hashes = stamp(paths), FileHashes()
    calls: list[tuple[int, int]] = []
    expected = {file: hashlib.sha256(Path(file.path).read_bytes()).hexdigest() for file in stamps}
    assert hashes.get([*stamps, stamps[0]], lambda *call: calls.append(call)) == expected
    assert calls == [(8, 20), (16, 20), (20, 20), (20, 20)]
    assert hashes.get(stamps, lambda *_: pytest.fail("it reads again")) == expected


def test_a_file_that_changed_since_its_stamp_has_no_hash(tmp_path: Path) -> None:
    path = tmp_path / "model"
    path.write_bytes(b"old")
    (old,) = stamp([path])
    path.write_bytes(b"newer")
    hashes = FileHashes()
    assert hashes.get([old]) == {old: None}
    (new,) = stamp([path])
    assert hashes.get([new]) == {new: hashlib.sha256(b"newer").hexdigest()}
    path.unlink()
    assert hashes.get([old, new]) == {old: None, new: hashlib.sha256(b"newer").hexdigest()}


def test_a_file_that_changes_while_it_is_read_has_no_hash(tmp_path: Path) -> None:
    path = tmp_path / "model"
    path.write_bytes(bytes(9 * MIB))
    (file,) = stamp([path])
    assert FileHashes().get([file], lambda *_: os.utime(path, ns=(1, 1))) == {file: None}


def test_hashing_can_be_cancelled(tmp_path: Path) -> None:
    path = tmp_path / "model"
    path.write_bytes(bytes(9 * MIB))
    hashes, files = FileHashes(), stamp([path])

    class Cancelled(Exception):
        pass

    def cancel(*_: int) -> None:
        raise Cancelled

    with pytest.raises(Cancelled):
        hashes.get(files, cancel)
    assert hashes.get(files) == {files[0]: hashlib.sha256(bytes(9 * MIB)).hexdigest()}
