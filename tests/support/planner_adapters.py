"""Adapters of the small planner, made by peft around transformers' model of the same weights, and in other forms."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from pathlib import Path

import torch
from peft import LoraConfig, OFTConfig, PeftConfig, PeftModel, get_peft_model
from safetensors.torch import save_file
from tiny_planner import planner_peer
from torch import Tensor

TARGETS = ["q_proj", "k_proj", "v_proj", "o_proj", "gate_proj", "up_proj", "down_proj"]
BASE_NAME = "ACE-Step/acestep-5Hz-lm-0.6B"
CONFIGS: dict[str, Callable[[], PeftConfig]] = {
    "LoRA": lambda: LoraConfig(r=4, lora_alpha=8, target_modules=TARGETS, task_type="CAUSAL_LM"),
    "DoRA": lambda: LoraConfig(r=4, lora_alpha=8, target_modules=TARGETS, task_type="CAUSAL_LM", use_dora=True),
    "OFT": lambda: OFTConfig(oft_block_size=4, target_modules=TARGETS, task_type="CAUSAL_LM"),
}


def peft_planner(weights: Mapping[str, Tensor], kind: str = "LoRA", *, seed: int = 0, size: float = 0.3) -> PeftModel:
    """transformers' planner with an adapter whose numbers are random."""
    torch.manual_seed(0)  # peft's initial values
    model = get_peft_model(planner_peer(weights), CONFIGS[kind]())
    model.peft_config["default"].base_model_name_or_path = None  # peft would look for it on the web
    generator = torch.Generator().manual_seed(seed)
    for name, parameter in model.named_parameters():
        if parameter.requires_grad:
            noise = size * torch.randn(parameter.shape, generator=generator)
            parameter.data = parameter * (1 + noise) if "magnitude" in name else noise
    model.eval()
    return model


def write_planner_lora(folder: Path, weights: Mapping[str, Tensor], kind: str = "LoRA", *, seed: int = 0) -> Path:
    """The folder that Side-Step's trainer writes: what peft saves, with the name of the base model."""
    peft_planner(weights, kind, seed=seed).save_pretrained(str(folder))
    path = folder / "adapter_config.json"
    config = json.loads(path.read_text(encoding="utf-8")) | {"base_model_name_or_path": BASE_NAME}
    path.write_text(json.dumps(config), encoding="utf-8")
    return folder


def write_planner_lokr(path: Path, weights: Mapping[str, Tensor], *, seed: int = 0) -> Path:
    """The file that HOT-Step's trainer writes: LyCORIS' names, which a LoKr of the decoder has too, and a mark."""
    generator = torch.Generator().manual_seed(seed)
    tensors = {}
    for name, weight in weights.items():
        if name.startswith("layers.") and weight.ndim == 2:
            rows, columns = weight.shape
            stem = "lycoris_" + name.removesuffix(".weight").replace(".", "_")
            tensors[f"{stem}.lokr_w1"] = torch.randn(4, 4, generator=generator)
            tensors[f"{stem}.lokr_w2_a"] = 0.2 * torch.randn(rows // 4, 2, generator=generator)
            tensors[f"{stem}.lokr_w2_b"] = 0.2 * torch.randn(2, columns // 4, generator=generator)
            tensors[f"{stem}.alpha"] = torch.tensor([4.0])
    header = {"format": "lycoris", "algo": "lokr", "hot_step_lm_lokr": "v1", "lokr_config": '{"linear_dim":2}'}
    save_file(tensors, path, metadata=header)
    return path
