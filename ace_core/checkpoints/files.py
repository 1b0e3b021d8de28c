"""Weight files on disk: names, shapes and dtypes of the tensors in a safetensors file or a sharded set, header only.

The format is the safetensors one (8 bytes of header length, JSON header, data); an index is the Hugging Face
`*.safetensors.index.json`. Nothing here reads tensor data.

Traps:
- Browsers, git and download tools leave files that look right by name: an unfinished download, a git-lfs pointer, a
  saved web page. Each gets its own sentence.
- Shard names in an index are data from the internet. Only plain names inside the index's own folder are followed.
"""

from __future__ import annotations

import json
import struct
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

HEADER_LIMIT = 100_000_000  # bytes; what the safetensors library accepts
INDEX_SUFFIX = ".safetensors.index.json"
STEMS = ("model", "diffusion_pytorch_model")
PICKLE_SUFFIXES = (".pt", ".pth", ".ckpt", ".bin")


class CheckpointError(ValueError):
    """A file or folder that cannot be used as what it was chosen for; the message says why and what to do."""


class StoredTensor(NamedTuple):
    """Where one tensor lies; `dtype` is the format's own name (BF16, F8_E4M3, ...)."""

    file: Path
    name: str
    dtype: str
    shape: tuple[int, ...]


class WeightFiles(NamedTuple):
    """The tensors of one file or one sharded set; `path` is what an error names."""

    path: Path
    tensors: Mapping[str, StoredTensor]
    metadata: Mapping[str, str]
    files: tuple[Path, ...]


def name_some(names: Sequence[str], limit: int = 8) -> str:
    """`names` as text: the first ones and how many there are."""
    shown = ", ".join(names[:limit])
    return shown if len(names) <= limit else f"{shown}, ... ({len(names)} in all)"


def read_json(path: Path) -> dict[str, Any]:
    """The JSON object in `path`; CheckpointError if there is none."""
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise CheckpointError(f"{path} cannot be read as JSON ({error}); download it again.") from error
    if not isinstance(content, dict):
        raise CheckpointError(f"{path} should hold a JSON object but holds {type(content).__name__}.")
    return content


def read_header(path: Path) -> WeightFiles:
    """Names, dtypes and shapes of the tensors in one safetensors file.

    Raises:
        CheckpointError: the file is missing, unfinished, or of another kind (GGUF, pickle, git-lfs pointer, web page).
    """
    if not path.is_file():
        raise CheckpointError(f"{path} does not exist.")
    size = path.stat().st_size
    with path.open("rb") as file:
        start = file.read(512)
        _refuse_other_formats(path, start, size)
        (header_size,) = struct.unpack("<Q", start[:8])
        if header_size > HEADER_LIMIT or start[8:9] != b"{":
            raise CheckpointError(f"{path} is not a safetensors file; download it again.")
        if 8 + header_size > size:
            raise _unfinished(path, size, 8 + header_size)
        file.seek(8)
        encoded = file.read(header_size)
    try:
        header = json.loads(encoded)
        metadata = header.pop("__metadata__", {})
        tensors = {
            name: StoredTensor(path, name, entry["dtype"], tuple(entry["shape"])) for name, entry in header.items()
        }
        data_size = max((entry["data_offsets"][1] for entry in header.values()), default=0)
    except (ValueError, TypeError, KeyError, AttributeError) as error:
        raise CheckpointError(f"{path} has a damaged safetensors header; download it again.") from error
    if 8 + header_size + data_size != size:
        raise _unfinished(path, size, 8 + header_size + data_size)
    return WeightFiles(path, tensors, metadata, (path,))


def read_index(index: Path) -> WeightFiles:
    """The tensors of a sharded checkpoint, from its `*.safetensors.index.json`."""
    weight_map = read_json(index).get("weight_map")
    if not isinstance(weight_map, dict) or not weight_map:
        raise CheckpointError(f"{index} names no shards; download it again.")
    shards = sorted(set(weight_map.values()))
    for shard in shards:
        if Path(shard).name != shard or "\\" in shard:
            raise CheckpointError(f"{index} names the shard {shard!r}, which is not a plain file name.")
    absent = [shard for shard in shards if not (index.parent / shard).is_file()]
    if absent:
        raise CheckpointError(
            f"{index.parent} is incomplete: {index.name} names {name_some(absent)}, which is not there. "
            "Download the missing file."
        )
    headers = [read_header(index.parent / shard) for shard in shards]
    tensors = {name: tensor for header in headers for name, tensor in header.tensors.items()}
    lost = [name for name, shard in weight_map.items() if name not in tensors or tensors[name].file.name != shard]
    if lost:
        raise CheckpointError(f"{index} and its shards disagree about {name_some(lost)}; download them again.")
    metadata = {key: value for header in headers for key, value in header.metadata.items()}
    return WeightFiles(index.parent, tensors, metadata, (index, *(header.path for header in headers)))


def read_weights(path: Path) -> WeightFiles:
    """The tensors of a file, of the sharded set a shard or index belongs to, or of a folder's weights."""
    if path.is_dir():
        return _read_folder(path)
    if path.name.endswith(INDEX_SUFFIX):
        return read_index(path)
    stem, _, part = path.name.partition("-0")
    index = path.with_name(stem + INDEX_SUFFIX)
    if part.endswith(".safetensors") and "-of-" in part:
        if not index.is_file():
            raise CheckpointError(f"{path.name} is one part of several, but {index} is missing. Download it too.")
        return read_index(index)
    return read_header(path)


def has_weights(folder: Path) -> bool:
    """Whether a folder holds safetensors files (or an index of them) itself."""
    return any(folder.glob("*.safetensors")) or any(folder.glob("*" + INDEX_SUFFIX))


def _read_folder(folder: Path) -> WeightFiles:
    for stem in STEMS:
        if (folder / f"{stem}.safetensors").is_file():
            return read_header(folder / f"{stem}.safetensors")
        if (folder / (stem + INDEX_SUFFIX)).is_file():
            return read_index(folder / (stem + INDEX_SUFFIX))
    found = sorted(folder.glob("*.safetensors"))
    if len(found) == 1:
        return read_weights(found[0])
    if found:
        raise CheckpointError(
            f"{folder} holds several weight files ({name_some([file.name for file in found])}) and none of the names "
            f"of a published folder ({', '.join(f'{stem}.safetensors' for stem in STEMS)}). Choose one of the files."
        )
    for other in sorted(folder.iterdir()):
        if other.suffix == ".gguf" or other.suffix in PICKLE_SUFFIXES and other.name != "silence_latent.pt":
            raise _other_format(other, "GGUF" if other.suffix == ".gguf" else "pickle")
    raise CheckpointError(f"{folder} holds no weights (no .safetensors file). Download the model into it.")


def _refuse_other_formats(path: Path, start: bytes, size: int) -> None:
    if start.startswith(b"version https://git-lfs"):
        raise CheckpointError(
            f"{path} is a git-lfs pointer of {size} bytes, not the weights. Run `git lfs pull` there, or download the "
            "file itself."
        )
    if start.startswith(b"GGUF"):
        raise _other_format(path, "GGUF")
    if start.startswith((b"PK\x03\x04", b"\x80\x02", b"\x80\x04")):
        raise _other_format(path, "pickle")
    if start.lstrip()[:9].lower().startswith((b"<!doctype", b"<html")):
        raise CheckpointError(f"{path} is a web page, saved in place of the weights. Download the file itself.")
    if size < 9:
        raise CheckpointError(f"{path} is empty or cut off ({size} bytes); download it again.")


def _other_format(path: Path, kind: str) -> CheckpointError:
    reason = {
        "GGUF": "a GGUF file; those belong to acestep.cpp and other GGML programs",
        "pickle": "a PyTorch pickle, which can run code when it is opened",
    }[kind]
    return CheckpointError(f"{path} is {reason}. Use the .safetensors file of the same model.")


def _unfinished(path: Path, size: int, announced: int) -> CheckpointError:
    return CheckpointError(
        f"{path} is {'cut off' if size < announced else 'too long'}: it has {size} bytes where its header announces "
        f"{announced}. Download it again."
    )
