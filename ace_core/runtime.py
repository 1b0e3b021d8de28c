"""Where networks run, and how a stage gets one: all that the engine knows of memory management.

A stage never moves a network itself. It asks `Networks` for a `Part` with room for its work above the weights, and gets
the network on its device and the `Runtime` to call it with. ComfyUI's memory management is one implementation
(`nodes/host/networks.py`), `plain_networks` the other.

Traps:
- `use` may move every other network away. What a stage holds of one network is no use after it asked for the next.
- A network's `config` and shapes can be read from `Part.network` at any time; only `use` makes it ready to run.
"""

from __future__ import annotations

from typing import Literal, NamedTuple, Protocol, TypeAlias, TypeVar

import torch
from torch import Tensor, nn

from .checkpoints.inspection import Network, WeightSource
from .checkpoints.registry import WeightRegistry
from .models.layers import AttentionFunction, scaled_dot_product_attention
from .progress import Progress

NetworkOut = TypeVar("NetworkOut", bound=nn.Module, covariant=True)
OutOfMemory: TypeAlias = type[BaseException] | tuple[type[BaseException], ...]

Precision: TypeAlias = Literal["auto", "bfloat16", "float32"]
Place: TypeAlias = Literal["diffusion", "text", "vae", "planner"]  # which of a host's devices a network uses


class Runtime(NamedTuple):
    """What travels with every call of a network: its device, what it computes in, and the attention to use."""

    device: torch.device = torch.device("cpu")
    dtype: torch.dtype = torch.float32
    attention: AttentionFunction = scaled_dot_product_attention

    def take(self, tensor: Tensor) -> Tensor:
        """`tensor` where and as the network computes."""
        return tensor.to(self.device, self.dtype)


CPU_RUNTIME = Runtime()


class Part(Protocol[NetworkOut]):
    """A loaded network: the module, wherever its weights lie now, and the dtype it computes in."""

    @property
    def network(self) -> NetworkOut: ...

    @property
    def dtype(self) -> torch.dtype: ...


class Networks(Protocol):
    """Loads networks, and brings them onto their device."""

    @property
    def registry(self) -> WeightRegistry:
        """One copy of each weight file, for all users."""

    @property
    def out_of_memory(self) -> OutOfMemory:
        """What a device raises that has no memory left."""

    def load(
        self, source: WeightSource[Network], precision: Precision, place: Place, *, int8: bool = False
    ) -> Part[Network]:
        """The one copy of a network, reading its weights if nobody holds them yet.

        Args:
            precision: "auto" follows the device.
            int8: keep the matrices of a planner as int8, whatever it computes in.

        Raises:
            ValueError: int8 weights for another device than a CPU.
        """

    def use(self, part: Part[Network], bytes_above_weights: int = 0, *, whole: bool = False) -> tuple[Network, Runtime]:
        """Bring a network onto its device, moving others away as needed.

        Args:
            bytes_above_weights: what the work will need.
            whole: all of it, even where a host would rather stream a part.
        """

    def identity(self, part: Part[nn.Module]) -> str:
        """Changes with the files of a network, and with what its weights are kept in."""

    def device_of(self, part: Part[nn.Module]) -> torch.device:
        """The device that a network runs on."""

    def device_bytes(self, part: Part[nn.Module]) -> int:
        """Memory of that device, used or not."""

    def device_name(self, device: torch.device) -> str:
        """What a device is, such as "cpu", or "cuda:0" with the name of the card."""

    def progress(self) -> Progress:
        """A new progress bar; its calls raise when the user cancels."""
