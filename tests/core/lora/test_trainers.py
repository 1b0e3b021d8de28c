"""Adapters as trainers of others write them, at the published shapes: every tensor of each is used, and its scale."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import NamedTuple

import pytest
import torch
from safetensors.torch import save_file
from torch import Tensor

from ace_core.lora.formats import check_fits, inspect_adapter, load_adapter

KEYS = Path(__file__).parents[2] / "data" / "keys"
Shapes = Mapping[str, tuple[int, ...]]
Tensors = dict[str, Tensor]


class Trainer(NamedTuple):
    """How a trainer spells a module, what it stores of it, what it writes into the header, and the scale it means."""

    spell: Callable[[str], str]
    store: Callable[[str, int, int], Tensors]
    metadata: Mapping[str, str] = {}
    scale: float = 2.0


def flat(prefix: str) -> Callable[[str], str]:
    return lambda module: prefix + module.replace(".", "_")


def dotted(prefix: str) -> Callable[[str], str]:
    return lambda module: prefix + module


def lora(up: str, down: str, *, alpha: bool = True, magnitude: str = "") -> Callable[[str, int, int], Tensors]:
    def store(name: str, rows: int, columns: int) -> Tensors:
        tensors = {name + down: torch.ones(4, columns), name + up: torch.ones(rows, 4)}
        if alpha:
            tensors[f"{name}.alpha"] = torch.tensor(8.0)
        if magnitude:
            tensors[name + magnitude] = torch.ones(rows)
        return tensors

    return store


def lokr(name: str, rows: int, columns: int) -> Tensors:
    return {
        f"{name}.lokr_w1": torch.ones(8, 8),
        f"{name}.lokr_w2_a": torch.ones(rows // 8, 4),
        f"{name}.lokr_w2_b": torch.ones(4, columns // 8),
        f"{name}.alpha": torch.tensor(8.0),
    }


def loha(name: str, rows: int, columns: int) -> Tensors:
    factors = {f"{name}.hada_w{n}_a": torch.ones(rows, 4) for n in (1, 2)}
    return (
        factors | {f"{name}.hada_w{n}_b": torch.ones(4, columns) for n in (1, 2)} | {f"{name}.alpha": torch.tensor(8.0)}
    )


def oft(name: str, rows: int, columns: int) -> Tensors:
    return {f"{name}.oft_blocks": torch.zeros(rows // 4, 4, 4), f"{name}.alpha": torch.tensor(0.001)}


KOHYA = lora(".lora_up.weight", ".lora_down.weight")
PEFT = lora(".lora_B.weight", ".lora_A.weight", alpha=False)
NO_ALPHA = {"lora_alpha": "8"}
DECODER_TRAINERS = {
    "musubi-tuner": Trainer(flat("lora_unet_decoder_"), KOHYA),
    "kohya": Trainer(flat("lora_unet_"), KOHYA),
    "kohya OFT": Trainer(flat("lora_unet_decoder_"), oft, scale=1.0),
    "ai-toolkit": Trainer(dotted("diffusion_model.decoder."), PEFT, scale=1.0),
    "ai-toolkit LoKr": Trainer(dotted("diffusion_model.decoder."), lokr),
    "LyCORIS LoKr": Trainer(flat("lycoris_"), lokr, {"lokr_config": '{"linear_dim": 4}'}),
    "LyCORIS LoHa": Trainer(flat("lycoris_"), loha),
    "LyCORIS OFT": Trainer(flat("lycoris_"), oft, scale=1.0),
    "LyCORIS around the whole model": Trainer(flat("lycoris_decoder_"), lokr),
    "Side-Step": Trainer(dotted("base_model.model."), PEFT, NO_ALPHA),
    "Side-Step DoRA": Trainer(
        dotted("base_model.model."),
        lora(".lora_B.weight", ".lora_A.weight", alpha=False, magnitude=".lora_magnitude_vector"),
        NO_ALPHA,
    ),
    "Side-Step for ComfyUI": Trainer(dotted("base_model.model."), KOHYA),
    "SimpleTuner of 2024": Trainer(
        dotted("transformer.base_model.model."), lora(".lora.up.weight", ".lora.down.weight")
    ),
    "Lightning": Trainer(
        dotted("decoder.base_model.model."),
        lora(".lora_B.default.weight", ".lora_A.default.weight", alpha=False),
        NO_ALPHA,
    ),
    "peft around the whole model": Trainer(
        dotted("base_model.model.decoder."),
        lora(".lora_B.default.weight", ".lora_A.default.weight", alpha=False),
        NO_ALPHA,
    ),
    "OneTrainer": Trainer(flat("lora_transformer_decoder_"), KOHYA),
    "bare names": Trainer(dotted(""), lora(".lora_B.weight", ".lora_A.weight")),
}
PLANNER_TRAINERS = {
    "Side-Step": Trainer(dotted("base_model.model.model."), PEFT, NO_ALPHA),
    "HOT-Step": Trainer(dotted("base_model.model.model."), PEFT, {**NO_ALPHA, "hot_step_lm_trainer": "v1"}),
    "HOT-Step LoKr": Trainer(
        flat("lycoris_"), lokr, {"hot_step_lm_lokr": "v1", "lokr_config": '{"linear_dim":4,"linear_alpha":8}'}
    ),
    "ComfyUI's names": Trainer(dotted("text_encoders.qwen3_2b.transformer.model."), KOHYA),
    "transformers' names": Trainer(dotted("model."), lora(".lora_B.weight", ".lora_A.weight")),
}


def published(name: str, prefix: str = "") -> Shapes:
    shapes = json.loads((KEYS / name).read_text(encoding="utf-8"))
    return {key.removeprefix(prefix): tuple(shape) for key, shape in shapes.items() if key.startswith(prefix)}


def write(path: Path, trainer: Trainer, shapes: Shapes, modules: list[str]) -> Path:
    tensors: Tensors = {}
    for module in modules:
        tensors |= trainer.store(trainer.spell(module), *shapes[f"{module}.weight"])
    save_file(tensors, path, metadata=dict(trainer.metadata))
    return path


def assert_all_is_used(path: Path, trainer: Trainer, target: str, shapes: Shapes, modules: list[str]) -> None:
    files = inspect_adapter(path)
    assert (files.target, files.unmatched, files.others) == (target, (), 0)
    assert files.weights.keys() == {f"{module}.weight" for module in modules}
    remarks = check_fits(files, shapes, "the network", "turbo" if target == "model" else None)
    assert [remark for remark in remarks if "alpha" not in remark] == []
    assert {adapter.scale for adapter in load_adapter(files).weights.values()} == {trainer.scale}


@pytest.mark.parametrize("name", DECODER_TRAINERS)
def test_adapters_of_the_decoder(tmp_path: Path, name: str) -> None:
    shapes = published("dit_2b_official.json", "decoder.")
    sites = ("self_attn.q_proj", "cross_attn.v_proj", "self_attn.o_proj", "mlp.gate_proj")
    modules = [f"layers.{layer}.{site}" for layer in (0, 23) for site in sites]
    trainer = DECODER_TRAINERS[name]
    path = write(tmp_path / "style.safetensors", trainer, shapes, modules)
    assert_all_is_used(path, trainer, "model", shapes, modules)


@pytest.mark.parametrize("name", PLANNER_TRAINERS)
def test_adapters_of_the_planner(tmp_path: Path, name: str) -> None:
    shapes = published("lm_1.7B.json")
    sites = ("self_attn.q_proj", "self_attn.k_proj", "self_attn.o_proj", "mlp.down_proj")
    modules = [f"layers.{layer}.{site}" for layer in (0, 27) for site in sites]
    trainer = PLANNER_TRAINERS[name]
    path = write(tmp_path / "artist.safetensors", trainer, shapes, modules)
    assert_all_is_used(path, trainer, "planner", shapes, modules)
