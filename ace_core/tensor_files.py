"""Tensors to a safetensors file, with no more memory than the largest of them.

The safetensors library writes the same, but through a file of its own beside the target, which only its owner may read
and which stays for ever when the process is killed.
"""

from __future__ import annotations

import json
import struct
from collections.abc import Mapping
from functools import partial
from pathlib import Path

import torch
from torch import Tensor

from .files import Write, write_atomically

STORED_DTYPES: Mapping[torch.dtype, str] = {
    torch.float64: "F64",
    torch.float32: "F32",
    torch.float16: "F16",
    torch.bfloat16: "BF16",
    torch.float8_e4m3fn: "F8_E4M3",
    torch.float8_e5m2: "F8_E5M2",
    torch.int64: "I64",
    torch.int32: "I32",
    torch.int16: "I16",
    torch.int8: "I8",
    torch.uint8: "U8",
    torch.bool: "BOOL",
}
_ALIGNMENT = 8


def write_tensors(path: Path, tensors: Mapping[str, Tensor], metadata: Mapping[str, str] | None = None) -> None:
    """Write a file of tensors, all of it or nothing."""
    write_atomically(path, tensor_writer(tensors, metadata))


def tensor_writer(tensors: Mapping[str, Tensor], metadata: Mapping[str, str] | None = None) -> Write:
    """What `write_set_atomically` calls for a file of tensors."""
    return partial(_write, tensors, metadata)


def _write(tensors: Mapping[str, Tensor], metadata: Mapping[str, str] | None, path: Path) -> None:
    ordered = sorted(tensors.items(), key=lambda item: (-item[1].element_size(), item[0]))  # keeps all of them aligned
    header: dict[str, object] = {} if metadata is None else {"__metadata__": dict(metadata)}
    end = 0
    for name, tensor in ordered:
        begin, end = end, end + tensor.numel() * tensor.element_size()
        header[name] = {
            "dtype": STORED_DTYPES[tensor.dtype],
            "shape": list(tensor.shape),
            "data_offsets": [begin, end],
        }
    encoded = json.dumps(header, separators=(",", ":"), ensure_ascii=False).encode()
    encoded += b" " * (-len(encoded) % _ALIGNMENT)
    with path.open("wb") as file:
        file.write(struct.pack("<Q", len(encoded)))
        file.write(encoded)
        for _, tensor in ordered:
            content = tensor.detach().to("cpu").contiguous().reshape(-1).view(torch.uint8).numpy()
            file.write(content.data)
