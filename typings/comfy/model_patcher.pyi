from collections.abc import Mapping

import torch
from torch import Tensor, nn

from .weight_adapter import WeightAdapterBase

class ModelPatcher:
    model: nn.Module
    load_device: torch.device
    offload_device: torch.device
    def __init__(self, model: nn.Module, load_device: torch.device, offload_device: torch.device) -> None: ...
    def clone(self) -> ModelPatcher: ...
    def add_patches(self, patches: Mapping[str, WeightAdapterBase], strength_patch: float = ...) -> list[str]: ...
    def get_key_patches(self) -> dict[str, list[tuple[Tensor, object]]]: ...
