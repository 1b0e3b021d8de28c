"""Training data on disk: what is written comes back, what is broken is named."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import torch

from ace_core.dataset.samples import (
    MANIFEST,
    Manifest,
    SampleEntry,
    TrainingSample,
    read_manifest,
    read_sample,
    write_manifest,
    write_sample,
)

SAMPLE = TrainingSample(torch.rand(50, 64), torch.rand(9, 32), torch.rand(50, 64))
DATA = Manifest("songs", "acestep-v15-turbo", "zukkelpop", "abc", (SampleEntry("a.safetensors", "a.wav", 2.0, "pop"),))


def test_a_sample_comes_back_to_the_bit(tmp_path: Path) -> None:
    write_sample(tmp_path / "a.safetensors", SAMPLE)
    for written, read in zip(SAMPLE, read_sample(tmp_path / "a.safetensors"), strict=True):
        assert torch.equal(written, read)
    assert [path.name for path in tmp_path.iterdir()] == ["a.safetensors"]


@pytest.mark.parametrize(
    "content", [b"", b"\x08\x00\x00\x00\x00\x00\x00\x00{}      ", b"RIFF" + bytes(100)], ids=["empty", "none", "wav"]
)
def test_a_broken_sample_is_named(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "a.safetensors"
    path.write_bytes(content)
    with pytest.raises(ValueError, match=r"a\.safetensors is not a training sample .* preprocess again"):
        read_sample(path)


def test_a_sample_of_wrong_shapes_is_named(tmp_path: Path) -> None:
    write_sample(tmp_path / "a.safetensors", SAMPLE._replace(source=torch.rand(49, 64)))
    with pytest.raises(ValueError, match=r"its shapes are latents \[50, 64\], packed \[9, 32\], source \[49, 64\]"):
        read_sample(tmp_path / "a.safetensors")


def test_a_manifest_comes_back(tmp_path: Path) -> None:
    write_manifest(tmp_path, DATA)
    assert read_manifest(tmp_path) == DATA


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"version": 2}, "version 2"),
        ({"samples": []}, "names no samples"),
        ({"samples": [{"file": "../a", "audio": "a", "seconds": 1, "caption": ""}]}, "files elsewhere"),
        ({"samples": [{"file": "a"}]}, "preprocess first"),
    ],
    ids=["newer", "empty", "elsewhere", "broken"],
)
def test_a_manifest_that_cannot_be_used_is_refused(tmp_path: Path, change: dict[str, object], said: str) -> None:
    write_manifest(tmp_path, DATA)
    document = json.loads((tmp_path / MANIFEST).read_text(encoding="utf-8"))
    (tmp_path / MANIFEST).write_text(json.dumps(document | change), encoding="utf-8")
    with pytest.raises(ValueError, match=said):
        read_manifest(tmp_path)


def test_a_folder_without_manifest_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="holds no training data"):
        read_manifest(tmp_path)
