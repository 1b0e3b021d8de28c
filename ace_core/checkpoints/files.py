"""Weight files on disk: names, shapes and dtypes of the tensors in a safetensors file or a sharded set, header only.

The format is the safetensors one (8 bytes of header length, JSON header, data); an index is the Hugging Face
`*.safetensors.index.json`. Nothing here reads tensor data.

Traps:
- Browsers, git and download tools leave files that look right by name: an unfinished download, a git-lfs pointer, a
  saved web page. Each gets its own sentence.
- Shard names in an index are data from the internet. Only plain names inside the index's own folder are followed.
- So is everything in a header. Tensors lie one after the other and have the size of their shape, or the file is
  refused: no number in it asks for more memory than the file is large.
"""

from __future__ import annotations

import math
import os
import struct
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, BinaryIO, NamedTuple

from ..checks import DAMAGE, reason, shown
from ..json_files import checked_json

HEADER_LIMIT = 100_000_000  # bytes; what the safetensors library accepts
INDEX_SUFFIX = ".safetensors.index.json"
STEMS = ("model", "diffusion_pytorch_model")
PICKLE_SUFFIXES = (".pt", ".pth", ".ckpt", ".bin")
MAX_SHARD_NAME = 200
MAX_DTYPE_NAME = 20
MAX_TENSOR_NAME = 250  # messages name several
_MAX_JSON_BYTES = 100_000_000
BYTES_OF = {
    **dict.fromkeys(("BOOL", "U8", "I8", "F8_E4M3", "F8_E5M2", "F8_E8M0"), 1),
    **dict.fromkeys(("I16", "U16", "F16", "BF16"), 2),
    **dict.fromkeys(("I32", "U32", "F32"), 4),
    **dict.fromkeys(("I64", "U64", "F64", "C64"), 8),
}


class CheckpointError(ValueError):
    """A file or folder that cannot be used as what it was chosen for; the message says why and what to do."""

    __module__ = "builtins"  # ComfyUI writes an error's module before its sentence


class StoredTensor(NamedTuple):
    """Where one tensor lies; `dtype` is the format's own name (BF16, F8_E4M3, ...), `begin` and `end` are bytes."""

    file: Path
    name: str
    dtype: str
    shape: tuple[int, ...]
    begin: int = 0
    end: int = 0


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


@contextmanager
def damage_named(path: Path) -> Iterator[None]:
    """Turn whatever a damaged file makes its readers raise into a CheckpointError that names it."""
    try:
        yield
    except CheckpointError:
        raise
    except DAMAGE as error:
        said = str(error) if isinstance(error, OSError) else f"{type(error).__name__}: {reason(error)}"
        raise CheckpointError(f"{path} is damaged and cannot be read ({said}); download it again.") from error


def read_json(path: Path) -> dict[str, Any]:
    """The JSON object in `path`; CheckpointError if there is none."""
    try:
        with path.open("rb") as file:
            encoded = file.read(_MAX_JSON_BYTES + 1)
        if len(encoded) > _MAX_JSON_BYTES:
            raise ValueError(f"it has more than {_MAX_JSON_BYTES} bytes")
        content = checked_json(encoded)
    except (OSError, ValueError) as error:
        raise CheckpointError(f"{path} cannot be read as JSON ({reason(error)}); download it again.") from error
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
    with damage_named(path), path.open("rb") as file:
        return header_of(path, file)


def header_of(path: Path, file: BinaryIO) -> WeightFiles:
    """`read_header` of the open file that `path` is."""
    size = os.fstat(file.fileno()).st_size
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
        header = checked_json(encoded)
        metadata = _metadata(header.pop("__metadata__", {}))
        tensors = {name: _tensor(path, name, entry, 8 + header_size) for name, entry in header.items()}
    except (ValueError, TypeError, LookupError, AttributeError) as error:
        raise CheckpointError(f"{path} has a damaged safetensors header; download it again.") from error
    end = 8 + header_size
    for tensor in sorted(tensors.values(), key=lambda tensor: (tensor.begin, tensor.end)):
        if tensor.begin != end:
            raise CheckpointError(
                f"{path} has a damaged safetensors header: {tensor.name} is misplaced. Download it again."
            )
        end = tensor.end
    if end != size:
        raise _unfinished(path, size, end)
    return WeightFiles(path, tensors, metadata, (path,))


def _metadata(written: Any) -> dict[str, str]:
    if not isinstance(written, dict) or not all(isinstance(value, str) for value in written.values()):
        raise ValueError("metadata must be texts by their names")
    return written


def _tensor(path: Path, name: str, entry: Any, data_begin: int) -> StoredTensor:
    """A tensor as the header describes it, of numbers that can be true."""
    dtype, shape, offsets = entry["dtype"], entry["shape"], entry["data_offsets"]
    begin, end = offsets
    if len(name) > MAX_TENSOR_NAME:
        raise ValueError(f"{shown(name)} is too long for the name of a tensor")
    is_name = isinstance(dtype, str) and len(dtype) <= MAX_DTYPE_NAME
    if not is_name or not all(type(number) is int and number >= 0 for number in (*shape, *offsets)):
        raise ValueError(f"{shown(entry)} is no tensor")
    size = BYTES_OF.get(dtype)
    if begin > end or size is not None and math.prod(shape) * size != end - begin:
        raise ValueError(f"{name} has another size than its shape")
    return StoredTensor(path, name, dtype, tuple(shape), data_begin + begin, data_begin + end)


def read_index(index: Path) -> WeightFiles:
    """The tensors of a sharded checkpoint, from its `*.safetensors.index.json`."""
    weight_map = read_json(index).get("weight_map")
    if not isinstance(weight_map, dict) or not weight_map:
        raise CheckpointError(f"{index} names no shards; download it again.")
    for shard in weight_map.values():
        if not isinstance(shard, str) or Path(shard).name != shard or "\\" in shard or len(shard) > MAX_SHARD_NAME:
            raise CheckpointError(f"{index} names the shard {shown(shard)}, which is not a plain file name.")
    shards = sorted(set(weight_map.values()))
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
        names = name_some([name[:MAX_TENSOR_NAME] for name in lost])
        raise CheckpointError(f"{index} and its shards disagree about {names}; download them again.")
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
