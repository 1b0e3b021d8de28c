"""Adapters on the host's networks: backup, streaming and restoring of weights is the host's patching.

The host's own LoRA loading reads no `adapter_config.json` and no LoKr metadata, divides by the norms of the base where
DoRA wants those of the changed weight, and reports a wrong shape in the log only. So adapters here are a class of their
own, computed by the engine.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any
from weakref import WeakKeyDictionary

import comfy.weight_adapter
from torch import Tensor, nn

from ...ace_core.checkpoints.inspection import Network
from ...ace_core.lora.adapters import Adapter, AdapterWeights, AppliedAdapter, weight_change
from ...ace_core.lora.formats import AdapterFiles, adapter_key, load_adapter
from ...ace_core.lora.merging import holds_int8
from ...ace_core.lora.side_paths import with_side_paths
from ...ace_core.runtime import Part
from .networks import NETWORKS, Patched, new_patcher, patcher_of

KEPT_ADAPTERS = 8

_kept_adapters: WeakKeyDictionary[nn.Module, dict[Path, AdapterWeights]] = WeakKeyDictionary()  # last used last


class _PatchAdapter(comfy.weight_adapter.WeightAdapterBase):
    """An adapter of one weight as the host patches it; newer hosts make copies from its two attributes."""

    name = "ace_composer"

    def __init__(self, loaded_keys: set[str], weights: tuple[Any, ...]) -> None:
        self.loaded_keys = loaded_keys
        self.weights = weights

    def calculate_weight(self, weight: Tensor, key: str, strength: float, *_: object, **__: object) -> Tensor:
        """The changed weight; the arguments left out are about parts of weights and about no change of this kind."""
        return (weight.float() + weight_change(weight, Adapter(*self.weights), strength)).to(weight.dtype)


def adapter_weights(files: AdapterFiles, part: Part[nn.Module]) -> AdapterWeights:
    """An adapter's tensors, shared by all that use the file.

    The host forgets a node's outputs before it runs the node again, so the last few adapters put on a network stay in
    memory as long as the network: another strength reads nothing.
    """
    loaded = NETWORKS.registry.get(adapter_key(files), lambda: load_adapter(files))
    kept = _kept_adapters.setdefault(part.network, {})
    kept.pop(files.path, None)
    kept[files.path] = loaded
    if len(kept) > KEPT_ADAPTERS:
        del kept[next(iter(kept))]
    return loaded


def with_adapter(part: Part[Network], applied: AppliedAdapter) -> Patched[Network]:
    """The same network behind a clone of its patcher, which adds an adapter to its weights while it is loaded.

    Int8 weights cannot be patched: a copy of the network, which shares them, has the adapter beside its layers.
    """
    patcher = patcher_of(part)
    if holds_int8(part.network):
        network = with_side_paths(part.network, applied)
        return Patched(new_patcher(network, patcher.load_device, patcher.offload_device), part.dtype)
    patches: dict[float, dict[str, _PatchAdapter]] = {}
    for name, weights in applied.adapter.weights.items():
        patches.setdefault(applied.strengths.of(name), {})[name] = _PatchAdapter(set(), weights)
    clone = patcher.clone()
    for strength, adapters in patches.items():
        if strength != 0:
            clone.add_patches(adapters, strength)
    return Patched(clone, part.dtype)


def base_weights(part: Part[nn.Module]) -> dict[str, Tensor]:
    """A network's parameters by name without what adapters add, wherever each lies; not to be changed."""
    return {name: patches[0][0] for name, patches in patcher_of(part).get_key_patches().items()}
