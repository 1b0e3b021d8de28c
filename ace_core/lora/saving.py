"""Writing adapters: as a peft folder, or as one file with the names ComfyUI knows. All or nothing, safetensors only.

A peft folder loads in peft, in the official application and in diffusers. The single file loads in ComfyUI's own LoRA
loader too. Both load here.

Traps:
- The weight file appears last and under its name only when it is whole, so an interrupted save is never offered.
- ComfyUI does not scale a whole LoKr (w1 and w2 not factored), so its scale goes into w1.
- peft has one alpha for all modules unless its config lists them; alpha = scale * rank, so other scales are listed.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from functools import partial
from pathlib import Path
from typing import Any, Literal

import torch
from torch import Tensor

from ..checkpoints.inspection import Size
from ..checkpoints.variants import Variant
from ..files import Write, write_set_atomically
from ..tensor_files import tensor_writer
from .adapters import Adapter
from .formats import PEFT_CONFIG, PEFT_WEIGHTS

AdapterStyle = Literal["comfyui", "peft"]

_COMFYUI_PARTS = {
    "lora": (("lora_up.weight", "lora_down.weight"),),
    "loha": (("hada_w1_a", "hada_w1_b"), ("hada_w2_a", "hada_w2_b")),
    "lokr": (("lokr_w1_a", "lokr_w1_b"), ("lokr_w2_a", "lokr_w2_b")),
}


def base_model_name(size: Size, variant: Variant) -> str:
    """The name of the official model, such as `acestep-v15-xl-turbo`: what adapters name as their base."""
    return f"acestep-v15-{'xl-' if size == 'xl' else ''}{variant}"


def save_adapter(
    path: Path,
    adapters: Mapping[str, Adapter],
    style: AdapterStyle,
    *,
    base_model: str,
    metadata: Mapping[str, str],
    dtype: torch.dtype,
) -> Path:
    """Write adapters to a new file or folder.

    Args:
        path: without suffix; its folders are made. "comfyui" adds `.safetensors`, "peft" makes it a folder.
        adapters: by the weight's name in the DiT.
        base_model: see `base_model_name`.
        metadata: goes into the header beside the base model, ranks and scales.
        dtype: what matrices are stored in; magnitudes and alphas are fp32.

    Returns:
        The weight file.

    Raises:
        FileExistsError: something is there already. ValueError: LoHa or LoKr in peft's style.
    """
    file = adapter_file(path, style)
    if file.exists():
        raise FileExistsError(f"{file} is there already; choose another name")
    ranks = {str(adapter_rank(adapter)) for adapter in adapters.values()}
    header = {"format": "pt", "base_model": base_model, "rank": ", ".join(sorted(ranks))} | dict(metadata)
    file.parent.mkdir(parents=True, exist_ok=True)
    writes: dict[Path, Write] = {}
    if style == "peft":
        tensors = peft_tensors(adapters, dtype)
        config = json.dumps(peft_config(adapters, base_model), indent=2) + "\n"
        writes[file.with_name(PEFT_CONFIG)] = partial(Path.write_text, data=config, encoding="utf-8")
    else:
        tensors = comfyui_tensors(adapters, dtype)
    write_set_atomically({**writes, file: tensor_writer(tensors, header)})
    return file


def adapter_file(path: Path, style: AdapterStyle) -> Path:
    """Where `save_adapter` puts the weights."""
    return path / PEFT_WEIGHTS if style == "peft" else path.with_name(path.name + ".safetensors")


def adapter_rank(adapter: Adapter) -> int | None:
    """Inner size of the factored matrices; None where all are whole."""
    return next((factor[1].shape[0] for factor in reversed(adapter.factors) if len(factor) == 2), None)


def comfyui_tensors(adapters: Mapping[str, Adapter], dtype: torch.dtype) -> dict[str, Tensor]:
    """Tensors under the names of ComfyUI: `diffusion_model.decoder.layers.0.self_attn.q_proj.lora_up.weight`, ..."""
    tensors: dict[str, Tensor] = {}
    for name, adapter in adapters.items():
        module = f"diffusion_model.decoder.{name.removesuffix('.weight')}"
        rank, factors = adapter_rank(adapter), adapter.factors
        if rank is None:
            factors = ((factors[0][0].float() * adapter.scale,), *factors[1:])
        else:
            tensors[f"{module}.alpha"] = torch.tensor(adapter.scale * rank, dtype=torch.float32)
        for factor, parts in zip(factors, _COMFYUI_PARTS[adapter.kind], strict=True):
            names = parts if len(factor) == 2 else (parts[0].removesuffix("_a"),)
            for part, tensor in zip(names, factor, strict=True):
                tensors[f"{module}.{part}"] = _stored(tensor, dtype)
        if adapter.magnitude is not None:
            tensors[f"{module}.dora_scale"] = _stored(adapter.magnitude, torch.float32)
    return tensors


def peft_tensors(adapters: Mapping[str, Adapter], dtype: torch.dtype) -> dict[str, Tensor]:
    """Tensors under the names of peft: `base_model.model.layers.0.self_attn.q_proj.lora_A.weight`, ...

    Raises:
        ValueError: a LoHa or LoKr, or a magnitude over the outputs, which peft's LoRA does not have.
    """
    tensors: dict[str, Tensor] = {}
    for name, adapter in adapters.items():
        module = f"base_model.model.{name.removesuffix('.weight')}"
        if adapter.kind != "lora" or adapter.magnitude is not None and adapter.magnitude.shape[0] == 1:
            raise ValueError(f"{name} cannot be written in peft's style; choose ComfyUI's")
        ((up, down),) = adapter.factors
        tensors |= {f"{module}.lora_A.weight": _stored(down, dtype), f"{module}.lora_B.weight": _stored(up, dtype)}
        if adapter.magnitude is not None:
            tensors[f"{module}.lora_magnitude_vector"] = _stored(adapter.magnitude[:, 0], torch.float32)
    return tensors


def peft_config(adapters: Mapping[str, Adapter], base_model: str) -> dict[str, Any]:
    """`adapter_config.json` of a LoRA or DoRA."""
    modules = {name.removesuffix(".weight"): adapter for name, adapter in adapters.items()}
    ranks = {module: adapter.factors[0][1].shape[0] for module, adapter in modules.items()}
    alphas = {module: adapter.scale * ranks[module] for module, adapter in modules.items()}
    rank, alpha = next(iter(ranks.values())), next(iter(alphas.values()))
    return {
        "peft_type": "LORA",
        "task_type": "FEATURE_EXTRACTION",
        "base_model_name_or_path": base_model,
        "inference_mode": True,
        "r": rank,
        "lora_alpha": alpha,
        "rank_pattern": {module: other for module, other in ranks.items() if other != rank},
        "alpha_pattern": {module: other for module, other in alphas.items() if other != alpha},
        "target_modules": list(modules),
        "use_dora": any(adapter.magnitude is not None for adapter in modules.values()),
        "use_rslora": False,
        "lora_dropout": 0.0,
        "bias": "none",
        "fan_in_fan_out": False,
    }


def _stored(tensor: Tensor, dtype: torch.dtype) -> Tensor:
    return tensor.detach().to("cpu", dtype).contiguous()
