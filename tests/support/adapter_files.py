"""One LoRA of random numbers, written in every style that is found on the web.

The writers spell the names out for themselves, so that they can disagree with the reader.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import NamedTuple

import torch
from safetensors.torch import save_file
from torch import Tensor

Tensors = dict[str, Tensor]
PEER_PROJECTIONS = ("to_q", "to_k", "to_v", "to_out.0")


class RandomLora(NamedTuple):
    """For each module of the decoder its matrices up [out, rank] and down [rank, in]."""

    matrices: Mapping[str, tuple[Tensor, Tensor]]
    rank: int
    alpha: float

    def delta(self, module: str) -> Tensor:
        up, down = self.matrices[module]
        return (self.alpha / self.rank) * (up @ down)


def attention_shapes(state: Mapping[str, Tensor]) -> dict[str, tuple[int, int]]:
    """Module -> (out, in) of the attention matrices in a DiT's state."""
    return {
        name.removesuffix(".weight"): (tensor.shape[0], tensor.shape[1])
        for name, tensor in state.items()
        if "_attn." in name and name.endswith("_proj.weight")
    }


def random_lora(
    shapes: Mapping[str, tuple[int, int]], *, rank: int = 4, alpha: float = 8.0, seed: int = 0, size: float = 0.1
) -> RandomLora:
    generator = torch.Generator().manual_seed(seed)
    matrices = {
        module: (
            size * torch.randn(rows, rank, generator=generator),
            size * torch.randn(rank, columns, generator=generator),
        )
        for module, (rows, columns) in shapes.items()
    }
    return RandomLora(matrices, rank, alpha)


def to_diffusers(module: str) -> str:
    for official, theirs in (("q_proj", "to_q"), ("k_proj", "to_k"), ("v_proj", "to_v"), ("o_proj", "to_out.0")):
        module = module.replace(official, theirs)
    return module


def _named(lora: RandomLora, spell: Callable[[str], str], up: str, down: str, *, alpha: bool) -> Tensors:
    tensors: Tensors = {}
    for module, matrices in lora.matrices.items():
        spelled = spell(module)
        tensors[spelled + up], tensors[spelled + down] = matrices
        if alpha:
            tensors[f"{spelled}.alpha"] = torch.tensor(lora.alpha)
    return tensors


def _peft_config(lora: RandomLora, *targets: str) -> dict[str, object]:
    return {"peft_type": "LORA", "r": lora.rank, "lora_alpha": lora.alpha, "target_modules": targets}


def write_peft_folder(path: Path, lora: RandomLora) -> Path:
    path.mkdir(parents=True)
    tensors = _named(lora, lambda name: f"base_model.model.{name}", ".lora_B.weight", ".lora_A.weight", alpha=False)
    save_file(tensors, path / "adapter_model.safetensors")
    config = _peft_config(lora, "q_proj", "k_proj", "v_proj", "o_proj")
    (path / "adapter_config.json").write_text(json.dumps(config), encoding="utf-8")
    return path


def write_diffusers_file(path: Path, lora: RandomLora) -> Path:
    """As diffusers' `save_lora_weights`: alpha is only in the header."""
    tensors = _named(
        lora, lambda name: f"transformer.{to_diffusers(name)}", ".lora_B.weight", ".lora_A.weight", alpha=False
    )
    config = {f"transformer.{key}": value for key, value in _peft_config(lora, *PEER_PROJECTIONS).items()}
    save_file(tensors, path, metadata={"format": "pt", "lora_adapter_metadata": json.dumps(config)})
    return path


def _file_with_alphas(spell: Callable[[str], str], up: str, down: str) -> Callable[[Path, RandomLora], Path]:
    def write(path: Path, lora: RandomLora) -> Path:
        save_file(_named(lora, spell, up, down, alpha=True), path)
        return path

    return write


STYLES: dict[str, Callable[[Path, RandomLora], Path]] = {
    "peft folder": write_peft_folder,
    "diffusers": write_diffusers_file,
    "peft names": _file_with_alphas(lambda name: f"base_model.model.{name}", ".lora_B.weight", ".lora_A.weight"),
    "peft names with the adapter's": _file_with_alphas(
        lambda name: f"base_model.model.{name}", ".lora_B.default.weight", ".lora_A.default.weight"
    ),
    "bare names": _file_with_alphas(lambda name: name, ".lora_B", ".lora_A"),
    "comfyui": _file_with_alphas(
        lambda name: f"diffusion_model.decoder.{name}", ".lora_up.weight", ".lora_down.weight"
    ),
    "comfyui without decoder": _file_with_alphas(
        lambda name: f"diffusion_model.{name}", ".lora_up.weight", ".lora_down.weight"
    ),
    "kohya": _file_with_alphas(
        lambda name: f"lora_unet_decoder_{name}".replace(".", "_"), ".lora_up.weight", ".lora_down.weight"
    ),
    "lycoris": _file_with_alphas(
        lambda name: f"lycoris_{name}".replace(".", "_"), ".lora_up.weight", ".lora_down.weight"
    ),
    "diffusers with underscores": _file_with_alphas(
        lambda name: f"lora_transformer_{to_diffusers(name)}".replace(".", "_"), ".lora_up.weight", ".lora_down.weight"
    ),
    "older diffusers": _file_with_alphas(
        lambda name: f"transformer.{to_diffusers(name)}", ".lora.up.weight", ".lora.down.weight"
    ),
}
