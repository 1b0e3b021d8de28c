"""A private module tree around the tensors of a shared network, with peft's adapters injected.

peft renames the modules it adapts, so it never touches the shared network: a DiT of torch.nn layers is built on the
meta device, peft injects its layers there, and then the tree gets the very tensors of the shared network, frozen and
not copied. Only the adapter's parameters are its own.

Traps:
- A host may have moved the weights while inference mode was on. Such tensors cannot be saved for a backward pass, so
  the tree holds ordinary tensors over the same storage.
- A host may also move the weights later on (it evicts them): `attach_weights` is to be called again then, and
  `detach_weights` before, or the old storage stays in memory.
- peft draws its initial values from the global random numbers, but on the meta device nothing is drawn. The values come
  from here: those of peft (A uniform, B zero; w1 zero, w2 uniform; magnitudes the norms of the base), seeded.
- A DoRA's magnitudes need the base weights: they get their values when those are lent for the first time.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from importlib.util import find_spec
from typing import Any, Literal

import torch
from torch import Tensor, nn

from ..lora.adapters import Adapter
from ..models.dit import DiT
from ..runtime import Runtime
from .adapted_layers import PEFT_ADAPTER, changed_norms, replace_forward
from .frozen_layers import lighten
from .seeds import seeded

TrainedKind = Literal["lora", "dora", "lokr"]
AttentionBlocks = Literal["both", "self", "cross"]
PROJECTIONS = ("q_proj", "k_proj", "v_proj", "o_proj")
META = torch.device("meta")


@dataclass(frozen=True)
class AdapterSettings:
    """What to train; `dropout` is for LoRA and DoRA."""

    kind: TrainedKind = "lora"
    rank: int = 64
    alpha: float = 128.0
    dropout: float = 0.1
    attention: AttentionBlocks = "both"


def build_copy(shared: DiT, settings: AdapterSettings, seed: int, *, fill: bool = True) -> DiT:
    """A DiT like `shared` with fresh adapters on the CPU, and without weights: see `attach_weights`.

    Args:
        fill: whether adapters get their initial values; without, they take no memory.

    Raises:
        ValueError: peft is not installed.
    """
    if find_spec("peft") is None:
        raise ValueError(
            "training needs the package peft, which is not installed: run 'python -m pip install peft' with the "
            "Python of this program"
        )
    from peft import LoKrConfig, LoraConfig, PeftConfig, inject_adapter_in_model

    kinds = ("self", "cross") if settings.attention == "both" else (settings.attention,)
    targets = rf"layers\.\d+\.({'|'.join(kinds)})_attn\.({'|'.join(PROJECTIONS)})"
    config: PeftConfig
    if settings.kind == "lokr":
        config = LoKrConfig(r=settings.rank, alpha=settings.alpha, target_modules=targets)  # type: ignore[arg-type]
    else:
        config = LoraConfig(
            r=settings.rank,
            lora_alpha=settings.alpha,  # type: ignore[arg-type]
            lora_dropout=settings.dropout,
            target_modules=targets,
            use_dora=settings.kind == "dora",
        )
    with torch.inference_mode(False), META:
        tree = DiT(shared.config, ops=nn, device=META)
        inject_adapter_in_model(config, tree)
    with torch.inference_mode(False):
        lighten(tree)
        for name, layer in adapted_layers(tree):
            replace_forward(layer, name)
        for name, parameter in adapter_parameters(tree).items() if fill else ():
            module, _, leaf = name.rpartition(".")
            value = _initial_value(name, parameter, seed)
            _put(tree.get_submodule(module), leaf, nn.Parameter(value))
    return tree


def attach_weights(tree: DiT, shared: DiT, runtime: Runtime) -> None:
    """Give a tree the tensors of the shared network; what lies elsewhere or is of another dtype is copied.

    The adapters move to its device too.
    """
    lent = {name: tensor for name, tensor in shared.named_parameters()}
    with torch.inference_mode(False), torch.no_grad():
        for module_name, module in tree.named_modules():
            for leaf, parameter in list(module.named_parameters(recurse=False)):
                if parameter.requires_grad:
                    if parameter.device.type != META.type:
                        parameter.data = parameter.data.to(runtime.device)
                    continue
                name = f"{module_name}.{leaf}".lstrip(".").replace(".base_layer.", ".")
                tensor = runtime.take(_ordinary(lent[name]))
                _put(module, leaf, nn.Parameter(tensor, requires_grad=False))
        for _, layer in adapted_layers(tree):
            magnitude = getattr(layer, "lora_magnitude_vector", {})
            if PEFT_ADAPTER in magnitude and magnitude[PEFT_ADAPTER].weight.device.type == META.type:
                down, up = layer.lora_A[PEFT_ADAPTER].weight, layer.lora_B[PEFT_ADAPTER].weight
                norms = changed_norms(layer.base_layer.weight, down, up, layer.scaling[PEFT_ADAPTER])
                magnitude[PEFT_ADAPTER].weight = nn.Parameter(norms)


def detach_weights(tree: DiT) -> None:
    """Let go of the shared network's tensors; the adapters stay."""
    for module in tree.modules():
        for leaf, parameter in list(module.named_parameters(recurse=False)):
            if not parameter.requires_grad:
                _put(module, leaf, nn.Parameter(parameter.data.to(META), requires_grad=False))


def adapter_parameters(tree: DiT) -> dict[str, nn.Parameter]:
    """What is trained, by its name in the tree."""
    return {name: parameter for name, parameter in tree.named_parameters() if parameter.requires_grad}


def adapted_layers(tree: DiT) -> Iterator[tuple[str, Any]]:
    """The layers that peft has put into a tree, by the name of the module each stands for."""
    from peft.tuners.tuners_utils import BaseTunerLayer

    for name, module in tree.named_modules():
        if isinstance(module, BaseTunerLayer):
            yield name, module


def trained_adapters(tree: DiT, values: Mapping[str, Tensor] | None = None) -> dict[str, Adapter]:
    """The adapters of a tree by the weight's name in the DiT, copied to the CPU.

    Args:
        values: of the trained parameters by their name in the tree, in place of those in it.
    """
    parameters = adapter_parameters(tree) if values is None else values

    def taken(name: str) -> Tensor:
        return parameters[name].detach().to("cpu", torch.float32, copy=True)

    adapters = {}
    for name, layer in adapted_layers(tree):
        scale = float(layer.scaling[PEFT_ADAPTER])
        if hasattr(layer, "lokr_w1"):
            factors = tuple(
                tuple(
                    taken(f"{name}.{part}.{PEFT_ADAPTER}")
                    for part in ((whole,) if PEFT_ADAPTER in getattr(layer, whole) else (f"{whole}_a", f"{whole}_b"))
                )
                for whole in ("lokr_w1", "lokr_w2")
            )
            adapters[f"{name}.weight"] = Adapter("lokr", scale, factors, None)
            continue
        up, down = (taken(f"{name}.lora_{part}.{PEFT_ADAPTER}.weight") for part in "BA")
        magnitude = None
        if PEFT_ADAPTER in layer.lora_magnitude_vector:
            magnitude = taken(f"{name}.lora_magnitude_vector.{PEFT_ADAPTER}.weight")[:, None]
        adapters[f"{name}.weight"] = Adapter("lora", scale, ((up, down),), magnitude)
    return adapters


def _initial_value(name: str, parameter: Tensor, seed: int) -> Tensor:
    """peft's initial values, from a seed; a magnitude stays without."""
    if ".lora_magnitude_vector." in name:
        return torch.empty_like(parameter, device=META, dtype=torch.float32)
    value = torch.zeros(parameter.shape)
    if any(part in name for part in (".lora_A.", ".lokr_w2", ".lokr_w1_b.")):
        bound = 1 / math.sqrt(parameter.shape[1])  # kaiming_uniform_(a=sqrt(5))
        value.uniform_(-bound, bound, generator=seeded(seed, "adapter", name))
    return value


def _ordinary(tensor: Tensor) -> Tensor:
    """A tensor over the same storage that is no inference tensor and no parameter."""
    ordinary = torch.empty(0, dtype=tensor.dtype, device=tensor.device)
    return ordinary.set_(tensor.untyped_storage(), tensor.storage_offset(), tensor.shape, tensor.stride())


def _put(module: nn.Module, leaf: str, parameter: nn.Parameter) -> None:
    if isinstance(module, nn.ParameterDict):
        module[leaf] = parameter
    else:
        setattr(module, leaf, parameter)
