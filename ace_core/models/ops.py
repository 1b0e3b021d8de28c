"""The layer classes a network is built from.

Every network takes an `ops` namespace instead of naming `torch.nn` itself, so that a host can pass layers that keep
their weights in another dtype or on another device and cast them inside `forward` (ComfyUI's
`comfy.ops.manual_cast`). `torch.nn` itself satisfies the protocol.

Traps: a layer's `weight` and `bias` may be on another device and in another dtype than its input, so a network
calls the layer and never reads them; raw parameters are not covered by `ops` at all and are cast where they are used.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Protocol

from torch import nn


class Ops(Protocol):
    """A namespace with `torch.nn`'s layers: same keywords (`dtype`, `device` included), same parameter names."""

    @property
    def Linear(self) -> Callable[..., nn.Linear]: ...

    @property
    def Conv1d(self) -> Callable[..., nn.Conv1d]: ...

    @property
    def ConvTranspose1d(self) -> Callable[..., nn.ConvTranspose1d]: ...

    @property
    def RMSNorm(self) -> Callable[..., nn.RMSNorm]: ...

    @property
    def Embedding(self) -> Callable[..., nn.Embedding]: ...
