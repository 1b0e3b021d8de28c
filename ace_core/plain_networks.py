"""Networks without a host: kept on their device, or moved there one at a time.

Trap: weights are memory-mapped. On a CPU, moving a network is free; from a GPU back to the CPU it copies.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Generic, NamedTuple, TypeVar, cast

import psutil
import torch
from torch import nn

from .checkpoints.inspection import Network, WeightSource
from .checkpoints.loading import build_network, load_state_dict, weight_key
from .checkpoints.registry import WeightRegistry
from .planner.linear import decoding_ops
from .planner.quantized import build_int8
from .progress import Progress
from .runtime import OutOfMemory, Part, Place, Precision, Runtime

Held = TypeVar("Held", bound=nn.Module, covariant=True)


class PlainPart(NamedTuple, Generic[Held]):
    """A network, and the dtype it computes in."""

    network: Held
    dtype: torch.dtype


def best_device() -> torch.device:
    """A GPU where there is one."""
    if torch.cuda.is_available():
        return torch.device("cuda")
    return torch.device("mps" if torch.backends.mps.is_available() else "cpu")


def device_dtype(precision: Precision, device: torch.device) -> torch.dtype:
    """What networks compute in on a device: "auto" is bfloat16 on a GPU and float32 on a CPU."""
    if precision == "auto":
        return torch.float32 if device.type == "cpu" else torch.bfloat16
    return torch.bfloat16 if precision == "bfloat16" else torch.float32


def silent_progress() -> Progress:
    """A progress callback that shows nothing."""
    return lambda done, total: None


class PlainNetworks:
    """`runtime.Networks` on one device.

    Args:
        keep: leave every network on the device; else one at a time, which takes less memory and more time.
        progress: makes a progress bar; its callbacks may raise to cancel.
    """

    out_of_memory: OutOfMemory = torch.OutOfMemoryError

    def __init__(
        self,
        device: torch.device | None = None,
        *,
        keep: bool = True,
        progress: Callable[[], Progress] = silent_progress,
    ) -> None:
        self.device = best_device() if device is None else device
        self.registry = WeightRegistry()
        self._keep = keep
        self._progress = progress
        self._resident: nn.Module | None = None

    def load(
        self, source: WeightSource[Network], precision: Precision, place: Place, *, int8: bool = False
    ) -> PlainPart[Network]:
        """See `runtime.Networks.load`; float8 weights are kept in what they compute in."""
        dtype = device_dtype(precision, self.device)
        if int8:
            if self.device.type != "cpu":
                raise ValueError(f"int8 weights are for a CPU, but the device is {self.device}: use full weights")
            key = weight_key(source, torch.int8)

            def build() -> nn.Module:
                return build_int8(source.config, load_state_dict(source), ops=nn)

            return PlainPart(cast("Network", self.registry.get(key, build)), dtype)
        ops = decoding_ops(nn) if place == "planner" else nn
        network = self.registry.get(weight_key(source, dtype), lambda: build_network(source, ops=ops, dtype=dtype))
        return PlainPart(network, dtype)

    def use(self, part: Part[Network], bytes_above_weights: int = 0, *, whole: bool = False) -> tuple[Network, Runtime]:
        """See `runtime.Networks.use`."""
        network = part.network
        if not self._keep and self._resident is not None and self._resident is not network:
            self._resident.to("cpu")
        self._resident = network
        return network.to(self.device), Runtime(self.device, part.dtype)

    def identity(self, part: Part[nn.Module]) -> str:
        """See `runtime.Networks.identity`."""
        return repr(self.registry.key_of(part.network))

    def device_of(self, part: Part[nn.Module]) -> torch.device:
        """The one device."""
        return self.device

    def device_bytes(self, part: Part[nn.Module]) -> int:
        """Its memory, used or not."""
        if self.device.type == "cuda":
            return int(torch.cuda.get_device_properties(self.device).total_memory)
        return int(psutil.virtual_memory().total)

    def device_name(self, device: torch.device) -> str:
        """What a device is, in words."""
        return f"{device} {torch.cuda.get_device_name(device)}" if device.type == "cuda" else str(device)

    def progress(self) -> Progress:
        """A new progress bar."""
        return self._progress()
