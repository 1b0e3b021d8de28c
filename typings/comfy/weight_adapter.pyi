from typing import Any

from torch import Tensor

class WeightAdapterBase:
    name: str
    loaded_keys: set[str]
    weights: tuple[Any, ...]
    def calculate_weight(self, weight: Tensor, key: str, strength: float, *args: Any, **kwargs: Any) -> Tensor: ...
