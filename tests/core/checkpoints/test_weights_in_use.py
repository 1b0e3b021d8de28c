"""Weight files that are written over while their weights are in use: the weights stay, and nobody dies.

In processes of their own, since a mistake here is SIGBUS.
"""

from __future__ import annotations

import shutil
import subprocess
import sys
import threading
from collections.abc import Callable
from pathlib import Path

import pytest
import tiny_checkpoints
import torch
from safetensors.torch import load_file, save_file

from ace_core.checkpoints import tensors
from ace_core.checkpoints.files import CheckpointError, read_header
from ace_core.checkpoints.inspection import inspect_model
from ace_core.checkpoints.loading import load_state_dict

ROOT = Path(__file__).resolve().parents[3]
WRITERS = {
    "cut off": "os.truncate(path, 100)",
    "written over": "open(path, 'r+b').write(bytes(os.path.getsize(path)))",
    "copied over": "shutil.copyfile(sys.executable, path)",
    "replaced": "open(path + '.new', 'wb').write(b'new'); os.replace(path + '.new', path)",
    "deleted": "os.unlink(path)",
}
IN_USE = """
import hashlib, os, shutil, subprocess, sys, threading
from pathlib import Path
from ace_core.checkpoints.inspection import inspect_model
from ace_core.checkpoints.loading import load_state_dict

path, writer = sys.argv[1:]
weights = load_state_dict(inspect_model(Path(path)).dit)

def digest():
    numbers = hashlib.sha256()
    for name, tensor in sorted(weights.items()):
        numbers.update(tensor.view(-1).float().numpy().tobytes())
    return numbers.hexdigest()

before = digest()
addresses = [tensor.data_ptr() for tensor in weights.values()]
subprocess.run([sys.executable, "-c", "import os, shutil, sys; path = sys.argv[1]; " + writer, path], check=True)
assert digest() == before, "the weights have changed"
assert [tensor.data_ptr() for tensor in weights.values()] == addresses
for tensor in weights.values():
    tensor.add_(1)
print("alive")
"""


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tiny_checkpoints.write_tiny(tmp_path_factory.mktemp("model"), "comfyui").model


@pytest.mark.parametrize("writer", WRITERS.values(), ids=WRITERS)
def test_weights_in_use_stay_whatever_is_done_to_their_file(tmp_path: Path, model: Path, writer: str) -> None:
    path = shutil.copy(model, tmp_path / "acestep_v1.5_turbo.safetensors")
    done = subprocess.run([sys.executable, "-c", IN_USE, path, writer], cwd=ROOT, capture_output=True, text=True)
    assert (done.returncode, done.stdout) == (0, "alive\n"), done.stderr


def test_a_writer_goes_on_once_nobody_uses_the_weights(tmp_path: Path, model: Path) -> None:
    path = Path(shutil.copy(model, tmp_path / "acestep_v1.5_turbo.safetensors"))
    weights = load_state_dict(inspect_model(path).dit)
    first = next(iter(weights.values())).clone()
    writer = threading.Thread(target=path.write_bytes, args=(model.read_bytes(),))
    writer.start()
    writer.join(timeout=40)
    assert not writer.is_alive()
    assert torch.equal(next(iter(weights.values())), first)
    del weights
    path.write_bytes(b"")


def without_leases(_: int) -> None:
    return None


def test_where_files_cannot_be_kept_they_are_copied(
    tmp_path: Path, model: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = Path(shutil.copy(model, tmp_path / "acestep_v1.5_turbo.safetensors"))
    mapped = load_state_dict(inspect_model(path).dit)
    monkeypatch.setattr(tensors, "map_file", without_leases)
    copied = load_state_dict(inspect_model(path).dit)
    path.write_bytes(bytes(path.stat().st_size))
    assert copied.keys() == mapped.keys()
    assert all(torch.equal(copied[name], mapped[name]) for name in mapped)


@pytest.mark.parametrize(
    "change",
    [
        lambda path: path.write_bytes(path.read_bytes()[:-1] + b"x"),
        lambda path: path.write_bytes(path.read_bytes()[:-64]),
    ],
    ids=["written over", "cut off"],
)
def test_a_file_that_changes_while_it_is_copied_is_not_taken(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, change: Callable[[Path], object]
) -> None:
    path = tmp_path / "two.safetensors"
    save_file({"a": torch.ones(64), "b": torch.ones(64)}, path)
    stored = read_header(path).tensors
    monkeypatch.setattr(tensors, "map_file", without_leases)
    with (
        pytest.raises(CheckpointError, match="changed while it was being read; try again"),
        tensors.tensor_reader() as read,
    ):
        read(stored["a"])
        change(path)
        read(stored["b"])


def test_a_file_of_other_shapes_in_the_place_of_the_inspected_one(tmp_path: Path) -> None:
    path = tmp_path / "two.safetensors"
    save_file({"a": torch.ones(64)}, path)
    stored = read_header(path).tensors["a"]
    save_file({"a": torch.ones(80)}, path)
    with pytest.raises(CheckpointError, match="changed while it was being read"), tensors.tensor_reader() as read:
        read(stored)


@pytest.mark.parametrize("padding", range(8))
def test_tensors_at_odd_places_are_read(tmp_path: Path, padding: int) -> None:
    """Nothing says that a header has to end at a multiple of 8."""
    path = tmp_path / "odd.safetensors"
    save_file({"a": torch.arange(5.0), "b": torch.arange(3, dtype=torch.bfloat16)}, path)
    content = path.read_bytes()
    size = int.from_bytes(content[:8], "little")
    header = content[8 : 8 + size].rstrip() + b" " * padding
    path.write_bytes(len(header).to_bytes(8, "little") + header + content[8 + size :])
    expected = load_file(path)
    with tensors.tensor_reader() as read:
        found = {name: read(stored) for name, stored in read_header(path).tensors.items()}
    assert all(torch.equal(found[name], expected[name]) for name in expected)
