from collections.abc import Callable

from torch import nn

class _Layers:
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

manual_cast: _Layers
