"""The host's memory management as `ace_core.runtime.Networks`: every network is one patcher, shared by all.

Traps:
- The patcher class is looked up at call time: ComfyUI rebinds it when dynamic VRAM starts.
- One network has one patcher for all users: the registry keeps patchers, not modules. Two patchers over one module
  would each take the other's LoRA weights for the base.
- On a CPU everything runs in float32 (bfloat16 is many times slower there), and weights are kept in what they run in.
- The planner runs where the diffusion model runs, not where the host puts text encoders: that may be the CPU although
  there is a GPU, and writing codes there takes minutes.
- Attention back ends of the host cannot share key heads (`enable_gqa` is silently wrong on some), so heads are repeated
  here. On a CPU the host's default is the slow sub-quadratic one; PyTorch's own attention is used instead.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Generic, NamedTuple, TypeVar, cast

import comfy.model_management
import comfy.model_patcher
import comfy.ops
import torch
from comfy.ldm.modules.attention import optimized_attention
from comfy.model_patcher import ModelPatcher
from torch import Tensor, nn

from ...ace_core.checkpoints.file_hashes import FileHashes
from ...ace_core.checkpoints.inspection import Network, WeightSource
from ...ace_core.checkpoints.loading import FLOAT8, build_network, load_state_dict, weight_key
from ...ace_core.checkpoints.registry import WeightRegistry
from ...ace_core.models.layers import AttentionFunction, scaled_dot_product_attention
from ...ace_core.models.ops import Ops
from ...ace_core.planner.linear import decoding_ops
from ...ace_core.planner.quantized import build_int8
from ...ace_core.progress import Progress
from ...ace_core.runtime import OutOfMemory, Part, Place, Precision, Runtime
from . import feedback

CASTING_OPS: Ops = comfy.ops.manual_cast

file_hashes = FileHashes()

Held = TypeVar("Held", bound=nn.Module, covariant=True)


class Patched(NamedTuple, Generic[Held]):
    """A network behind its patcher, and the dtype it computes in."""

    patcher: ModelPatcher
    dtype: torch.dtype

    @property
    def network(self) -> Held:
        """The module, wherever the host keeps its weights now."""
        return cast("Held", self.patcher.model)


def new_patcher(network: nn.Module, load_device: torch.device, offload_device: torch.device) -> ModelPatcher:
    """The host's patcher around a network that has none yet."""
    patcher_class: type[ModelPatcher] = getattr(
        comfy.model_patcher, "CoreModelPatcher", comfy.model_patcher.ModelPatcher
    )
    return patcher_class(network, load_device=load_device, offload_device=offload_device)


def patcher_of(part: Part[nn.Module]) -> ModelPatcher:
    """The host's patcher of a part that `NETWORKS` loaded."""
    return cast("Patched[nn.Module]", part).patcher


class ComfyNetworks:
    """See `ace_core.runtime.Networks`."""

    out_of_memory: OutOfMemory = comfy.model_management.OOM_EXCEPTION

    def __init__(self) -> None:
        self.registry = WeightRegistry()

    def load(
        self, source: WeightSource[Network], precision: Precision, place: Place, *, int8: bool = False
    ) -> Patched[Network]:
        """The one patcher of a network; float8 weights stay float8 on an accelerator and are cast at use."""
        load_device, offload_device = _devices(place)
        dtype = _compute_dtype(precision, place)
        stored = source.dtype in FLOAT8 and load_device.type != "cpu"
        storage = source.dtype if stored else dtype
        if int8:
            if load_device.type != "cpu":
                raise ValueError(
                    f"int8 weights are for a CPU, but this ComfyUI uses {load_device}: choose full weights"
                )
            storage = torch.int8
        ops = decoding_ops(CASTING_OPS) if place == "planner" else CASTING_OPS

        def build() -> ModelPatcher:
            if int8:
                network: nn.Module = build_int8(source.config, load_state_dict(source), ops=CASTING_OPS)
            else:
                network = build_network(source, ops=ops, dtype=storage)
            return new_patcher(network, load_device, offload_device)

        return Patched(self.registry.get(weight_key(source, storage), build), dtype)

    def use(self, part: Part[Network], bytes_above_weights: int = 0, *, whole: bool = False) -> tuple[Network, Runtime]:
        """Bring a network onto its device, evicting others as needed."""
        patcher = patcher_of(part)
        comfy.model_management.load_models_gpu([patcher], memory_required=bytes_above_weights, force_full_load=whole)
        device = patcher.load_device
        return part.network, Runtime(device, part.dtype, attention(device))

    def identity(self, part: Part[nn.Module]) -> str:
        """Changes with the files of a network, and with what its weights are kept in."""
        return repr(self.registry.key_of(patcher_of(part)))

    def device_of(self, part: Part[nn.Module]) -> torch.device:
        """The device that a network runs on."""
        return patcher_of(part).load_device

    def device_bytes(self, part: Part[nn.Module]) -> int:
        """Memory of that device, used or not."""
        return int(comfy.model_management.get_total_memory(self.device_of(part)))

    def device_name(self, device: torch.device) -> str:
        """What a device is, such as "cpu", or "cuda:0" with the name of the card."""
        return str(comfy.model_management.get_torch_device_name(device))

    def progress(self) -> Progress:
        """A progress bar on the running node."""
        return feedback.progress()


NETWORKS = ComfyNetworks()


def make_room(device: torch.device, memory_bytes: int) -> None:
    """Evict models until there is this much memory on a device."""
    comfy.model_management.free_memory(memory_bytes, device)


def give_memory_back() -> None:
    """Return memory that nothing uses any more to the device; for after a big piece of work."""
    comfy.model_management.soft_empty_cache()


def attention(device: torch.device) -> AttentionFunction:
    """The attention function for a device: the back end the user chose, or PyTorch's on a CPU."""
    return scaled_dot_product_attention if device.type == "cpu" else _host_attention


def _host_attention(query: Tensor, key: Tensor, value: Tensor, mask: Tensor | None) -> Tensor:
    heads = query.shape[1]
    repeats = heads // key.shape[1]
    if repeats > 1:
        key, value = key.repeat_interleave(repeats, dim=1), value.repeat_interleave(repeats, dim=1)
    out: Tensor = optimized_attention(query, key, value, heads, mask=mask, skip_reshape=True, skip_output_reshape=True)
    return out


def _devices(place: Place) -> tuple[torch.device, torch.device]:
    """Where a network runs, and where it waits."""
    management = comfy.model_management
    diffusion = (management.get_torch_device, management.unet_offload_device)
    devices: dict[Place, tuple[Callable[[], torch.device], Callable[[], torch.device]]] = {
        "diffusion": diffusion,
        "planner": diffusion,
        "text": (management.text_encoder_device, management.text_encoder_offload_device),
        "vae": (management.vae_device, management.vae_offload_device),
    }
    load_device, offload_device = devices[place]
    return load_device(), offload_device()


def _compute_dtype(precision: Precision, place: Place) -> torch.dtype:
    """ "auto" follows the device and the host's options; never float16, which is too small for the lyric encoder."""
    management = comfy.model_management
    if precision != "auto":
        return torch.bfloat16 if precision == "bfloat16" else torch.float32
    if place == "vae":
        return management.vae_dtype(management.vae_device(), [torch.bfloat16, torch.float32])
    wanted = management.unet_dtype(
        device=management.get_torch_device(), supported_dtypes=[torch.bfloat16, torch.float32]
    )
    return torch.float32 if wanted == torch.float32 else torch.bfloat16
