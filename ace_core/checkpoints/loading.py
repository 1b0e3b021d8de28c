"""Tensors of a `WeightSource` -> a network that holds them.

Where the system keeps writers away, tensors are memory-mapped (`mapped.py`): where the dtype stays the same, the
network's parameters *are* the file's pages (mapped copy-on-write), shared with every other process and dropped by the
system when memory is short. Where it changes, tensors are converted one at a time.

Traps:
- Weights made while inference mode is on are inference tensors, which training cannot use. Everything here runs with
  it off, whatever the caller does.
- One NaN in a weight file gives noise or silence without an error. Each tensor is checked while it is paged in anyway:
  minimum and maximum see NaN and infinity, in one pass at memory speed.
- The host's layers may allocate nothing before they are loaded, so shapes are checked against `torch.nn`.
- Networks declare some parameters in fp32 whatever the rest is (the quantiser); they stay fp32.
"""

from __future__ import annotations

from collections.abc import Iterator

import torch
from torch import Tensor, nn

from ..models.ops import Ops
from .inspection import DTYPES, Network, Uninitialised, WeightSource, other_output_head, parameters
from .registry import WeightKey, stamp
from .tensors import FLOAT8, tensor_reader


def weight_key(source: WeightSource[Network], dtype: torch.dtype) -> WeightKey:
    """The registry key of this source in this dtype; a changed file gives another key."""
    return WeightKey(source.role, stamp(source.files), str(dtype))


def load_state_dict(source: WeightSource[Network], dtype: torch.dtype | None = None) -> dict[str, Tensor]:
    """Read all tensors of a source under the network's parameter names.

    Args:
        dtype: what to convert to, except parameters the network declares in fp32. None keeps what is stored. Float8
            keeps stored float8 in the matrices that casting layers multiply with; everything else becomes bf16.

    Returns:
        CPU tensors, maybe memory-mapped where nothing had to be computed. Weight norms are fused in fp32.

    Raises:
        CheckpointError: a tensor holds NaN or infinity, or a file changed since it was inspected.
    """
    declared = parameters(source.network, source.config, _storage_dtype(dtype or source.dtype))
    weights = {}
    with torch.inference_mode(False), torch.no_grad():
        for name, tensor in _stored_tensors(source):
            if dtype is None:
                target = DTYPES[source.entries[name].tensor.dtype]
            elif dtype in FLOAT8 and tensor.dtype in FLOAT8 and _is_matrix(name, tensor):
                target = tensor.dtype
            else:
                target = declared[name].dtype
            weights[name] = tensor.to(target)
    return weights


def build_network(source: WeightSource[Network], *, ops: Ops, dtype: torch.dtype) -> Network:
    """Construct the source's network and load its weights.

    Args:
        ops: the layer classes: `torch.nn`, or a host's casting layers.
        dtype: what the parameters are kept in; `source.dtype` needs no copy.

    Returns:
        The network on the CPU, in evaluation mode, without gradients.

    Raises:
        CheckpointError: see `load_state_dict`.
        ValueError: float8 weights with layers that do not cast them at use.
    """
    if dtype in FLOAT8 and ops is nn:
        raise ValueError(
            f"{dtype} weights need layers that cast at use (the host's); pass dtype=torch.bfloat16 instead"
        )
    with torch.inference_mode(False):
        layers = Uninitialised if ops is nn else ops
        network = source.network(source.config, ops=layers, dtype=_storage_dtype(dtype), device="meta")
        modules = dict(network.named_modules())
        for name, tensor in load_state_dict(source, dtype).items():  # the inspection has matched all names and shapes
            path, _, leaf = name.rpartition(".")
            setattr(modules[path], leaf, nn.Parameter(tensor, requires_grad=False))
        return network.eval()


def fuse_weight_norm(direction: Tensor, gain: Tensor) -> Tensor:
    """gain * direction / ||direction|| in fp32, the norm over all dimensions but the first."""
    direction = direction.float()
    norm: Tensor = torch.linalg.vector_norm(direction.flatten(1), dim=1).view_as(gain)
    return direction * (gain.float() / norm)


def _stored_tensors(source: WeightSource[Network]) -> Iterator[tuple[str, Tensor]]:
    """Every parameter's tensor as stored, checked and in its final shape; weight norms are fused."""
    with tensor_reader() as read:
        for name, entry in source.entries.items():
            tensor = read(entry.tensor)
            if entry.gain is not None:
                tensor = fuse_weight_norm(tensor, read(entry.gain))
            yield name, tensor if tensor.shape == entry.shape else tensor.reshape(entry.shape)
        for one, other in source.equal:
            if not torch.equal(read(one), read(other)):
                raise other_output_head(source.path)


def _storage_dtype(dtype: torch.dtype) -> torch.dtype:
    """What a network is declared in: layers cast float8 matrices, but nothing computes in float8."""
    return torch.bfloat16 if dtype in FLOAT8 else dtype


def _is_matrix(name: str, tensor: Tensor) -> bool:
    return tensor.ndim == 2 and name != "embed_tokens.weight"
