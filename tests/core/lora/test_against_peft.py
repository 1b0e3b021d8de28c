"""What adapters change in the decoder's weights, against peft's merge and diffusers' loader on the same weights."""

from __future__ import annotations

import copy
import itertools
import json
from collections.abc import Callable
from functools import partial
from pathlib import Path

import pytest
import torch
from adapter_files import attention_shapes, random_lora, write_diffusers_file, write_peft_folder
from diffusers.loaders import AceStepLoraLoaderMixin
from diffusers.models.transformers.ace_step_transformer import AceStepTransformer1DModel
from diffusers.training_utils import _collate_lora_metadata
from networks import PEER_NAMES, diffusers_dit
from peft import LoHaConfig, LoKrConfig, LoraConfig, OFTConfig, PeftConfig, PeftModel, get_peft_model
from peft.utils import get_peft_model_state_dict
from safetensors.torch import load_file
from torch import Tensor

from ace_core.checkpoints.files import CheckpointError
from ace_core.lora.adapters import Adapter, AppliedAdapter, Strengths, joined_change, weight_change
from ace_core.lora.formats import check_fits, inspect_adapter, load_adapter
from ace_core.lora.saving import save_adapter
from ace_core.models.dit import DiT

TOLERANCE = 1e-5
AS_TRAINED = Strengths()
TARGETS = ["q_proj", "k_proj", "v_proj", "o_proj"]
CONFIGS: dict[str, Callable[[], PeftConfig]] = {
    "LoRA": lambda: LoraConfig(r=4, lora_alpha=8, target_modules=TARGETS, init_lora_weights=False),
    "rank-stabilised": lambda: LoraConfig(
        r=4, lora_alpha=8, target_modules=TARGETS, init_lora_weights=False, use_rslora=True
    ),
    "patterns": lambda: LoraConfig(
        r=4,
        lora_alpha=8,
        target_modules=TARGETS,
        init_lora_weights=False,
        rank_pattern={"q_proj": 2, r"layers\.1\..*v_proj": 6},
        alpha_pattern={"self_attn.q_proj": 3, "layers.2.cross_attn.o_proj": 16},
    ),
    "every matrix": lambda: LoraConfig(
        r=4,
        lora_alpha=8,
        target_modules=[*TARGETS, "gate_proj", "up_proj", "down_proj", "linear_1", "time_proj", "condition_embedder"],
        init_lora_weights=False,
    ),
    "DoRA": lambda: LoraConfig(r=4, lora_alpha=8, target_modules=TARGETS, init_lora_weights=False, use_dora=True),
    "LoHa": lambda: LoHaConfig(r=4, alpha=8, target_modules=TARGETS, init_weights=False),
    "LoKr": lambda: LoKrConfig(r=2, alpha=8, target_modules=TARGETS, init_weights=False),
    "LoKr, both factored": lambda: LoKrConfig(
        r=2, alpha=8, target_modules=TARGETS, init_weights=False, decompose_both=True
    ),
    "whole LoKr": lambda: LoKrConfig(r=64, alpha=8, target_modules=TARGETS, init_weights=False),
    "OFT": lambda: OFTConfig(oft_block_size=8, target_modules=TARGETS),
    "OFT by the number of blocks": lambda: OFTConfig(r=4, oft_block_size=0, target_modules=TARGETS),
    "OFT of every matrix": lambda: OFTConfig(
        oft_block_size=4,
        target_modules=[*TARGETS, "gate_proj", "up_proj", "down_proj", "linear_1", "time_proj", "condition_embedder"],
    ),
    "OFT with the inverse": lambda: OFTConfig(oft_block_size=8, target_modules=TARGETS, use_cayley_neumann=False),
    **{
        f"OFT of {terms} terms": partial(
            OFTConfig, oft_block_size=8, target_modules=TARGETS, num_cayley_neumann_terms=terms
        )
        for terms in (2, 3, 4, 9)
    },
    "OFT of one block for all": lambda: OFTConfig(oft_block_size=8, target_modules=TARGETS, block_share=True),
    "COFT": lambda: OFTConfig(oft_block_size=8, target_modules=TARGETS, coft=True, eps=1.5),
}


def peft_model(dit: DiT, config: PeftConfig) -> PeftModel:
    """peft around a copy of the decoder, every number of the adapter random."""
    torch.manual_seed(0)  # peft's initial values
    model = get_peft_model(copy.deepcopy(dit), config)
    generator = torch.Generator().manual_seed(1)
    for name, parameter in model.named_parameters():
        if parameter.requires_grad:
            noise = torch.randn(parameter.shape, generator=generator)
            parameter.data = parameter * (1 + 0.3 * noise) if "magnitude" in name else 0.2 * noise
    return model


def changes_of(path: Path, weights: dict[str, Tensor], strengths: Strengths = AS_TRAINED) -> dict[str, Tensor]:
    files = inspect_adapter(path)
    assert files.unmatched == ()
    check_fits(files, {name: tuple(tensor.shape) for name, tensor in weights.items()}, "the model", "turbo")
    applied = [AppliedAdapter("adapter", load_adapter(files), strengths)]
    return {name: joined_change(name, weights[name], applied) for name in applied[0].adapter.weights}


def assert_same_changes(found: dict[str, Tensor], expected: dict[str, Tensor]) -> None:
    assert found.keys() == {name for name, tensor in expected.items() if tensor.any()}
    for name, change in found.items():
        assert change.abs().max() > 1e-3
        assert (change - expected[name]).abs().max() <= TOLERANCE, name


@pytest.mark.parametrize("kind", CONFIGS)
def test_changes_equal_the_merge_of_peft(tmp_path: Path, dit: DiT, weights: dict[str, Tensor], kind: str) -> None:
    model = peft_model(dit, CONFIGS[kind]())
    model.save_pretrained(tmp_path)
    found = changes_of(tmp_path, weights)
    merged = model.merge_and_unload().state_dict()
    assert_same_changes(found, {name: merged[name] - tensor for name, tensor in weights.items()})


@pytest.mark.parametrize(("version", "last"), [(None, 2), ("0.17.1", 2), ("0.18.0.dev0@1f3a", 1), ("1.0", 1)])
def test_the_series_of_an_oft_is_that_of_its_version(
    tmp_path: Path, dit: DiT, weights: dict[str, Tensor], version: str | None, last: int
) -> None:
    """Against the sum written out: peft 0.16 and 0.17 counted the last of the terms in full."""
    peft_model(dit, CONFIGS["OFT"]()).save_pretrained(tmp_path)
    path = tmp_path / "adapter_config.json"
    config = json.loads(path.read_text(encoding="utf-8")) | {"peft_version": version}
    path.write_text(json.dumps(config), encoding="utf-8")
    name = "layers.1.self_attn.q_proj.weight"
    packed = load_file(tmp_path / "adapter_model.safetensors")[
        f"base_model.model.{name.removesuffix('.weight')}.oft_R.weight"
    ]
    turned = weights[name].clone()
    for number, triangle in enumerate(packed):
        q = torch.zeros(8, 8)
        for value, (row, column) in zip(triangle, itertools.combinations(range(8), 2), strict=True):
            q[row, column], q[column, row] = value, -value
        rotation = torch.eye(8) + 2 * q + 2 * q @ q + 2 * q @ q @ q + last * q @ q @ q @ q
        inputs = slice(8 * number, 8 * number + 8)
        turned[:, inputs] = weights[name][:, inputs] @ rotation.T
    found = changes_of(tmp_path, weights)[name]
    assert found.abs().max() > 0.1
    assert torch.allclose(found, turned - weights[name], rtol=1e-4, atol=1e-4)


def test_an_oft_of_peft_needs_its_config(tmp_path: Path, dit: DiT) -> None:
    peft_model(dit, CONFIGS["OFT"]()).save_pretrained(tmp_path)
    (tmp_path / "adapter_config.json").unlink()
    with pytest.raises(CheckpointError, match=r"mean nothing without its adapter_config.json"):
        inspect_adapter(tmp_path)


@pytest.mark.parametrize("block_size", [7, 64])
def test_an_oft_of_another_size_is_refused(
    tmp_path: Path, dit: DiT, weights: dict[str, Tensor], block_size: int
) -> None:
    wide = copy.deepcopy(dit)
    wide.layers[0].self_attn.q_proj = torch.nn.Linear(block_size * 3, 64, bias=False)
    config = OFTConfig(oft_block_size=block_size, target_modules=["layers.0.self_attn.q_proj"])
    peft_model(wide, config).save_pretrained(tmp_path)
    shapes = {name: tuple(tensor.shape) for name, tensor in weights.items()}
    with pytest.raises(CheckpointError, match=rf"a model that is {3 * block_size} wide, this one is 64 wide"):
        check_fits(inspect_adapter(tmp_path), shapes, "the model", "turbo")


def test_a_folder_saved_here_is_read_by_peft(
    tmp_path: Path, dit: DiT, weights: dict[str, Tensor], generator: torch.Generator
) -> None:
    """Ranks, scales and magnitudes of its own for each weight, and only some weights."""
    adapters = {}
    for index, name in enumerate(("layers.0.self_attn.q_proj.weight", "layers.3.mlp.down_proj.weight")):
        rows, columns = weights[name].shape
        up, down = (0.2 * torch.randn(size, generator=generator) for size in ((rows, 2 + index), (2 + index, columns)))
        magnitude = weights[name].norm(dim=1, keepdim=True) * (1 + 0.1 * torch.rand(rows, 1, generator=generator))
        adapters[name] = Adapter("lora", 0.5 + index, ((up, down),), magnitude)
    path = save_adapter(
        tmp_path / "style", adapters, "peft", base_model="acestep-v15-base", metadata={}, dtype=torch.float32
    )
    merged = PeftModel.from_pretrained(copy.deepcopy(dit), path.parent).merge_and_unload().state_dict()
    wanted = {name: weight_change(weights[name], adapter, 1.0) for name, adapter in adapters.items()}
    assert_same_changes(wanted, {name: merged[name] - tensor for name, tensor in weights.items()})
    assert_same_changes(changes_of(path, weights), wanted)


@pytest.fixture
def peer(dit: DiT) -> AceStepTransformer1DModel:
    return copy.deepcopy(diffusers_dit(dit))  # adapters are put into it


def peer_changes(peer: AceStepTransformer1DModel, weights: dict[str, Tensor]) -> dict[str, Tensor]:
    """What the adapters loaded into diffusers' transformer change, under our names."""
    peer.fuse_lora()
    peer.unload_lora()
    fused = peer.state_dict()
    changes = {}
    for name, tensor in weights.items():
        peer_name = name
        for ours, theirs in PEER_NAMES:
            peer_name = peer_name.replace(ours, theirs)
        if peer_name in fused:
            changes[name] = fused[peer_name] - tensor
    return changes


@pytest.mark.parametrize("write", [write_diffusers_file, write_peft_folder], ids=["diffusers", "official"])
def test_changes_equal_those_of_diffusers_loader(
    tmp_path: Path,
    peer: AceStepTransformer1DModel,
    weights: dict[str, Tensor],
    write: Callable[[Path, object], Path],
) -> None:
    """diffusers reads alpha from its own header only, so the official file has alpha = rank."""
    alpha = 8.0 if write is write_diffusers_file else 4.0
    path = write(tmp_path / "lora.safetensors", random_lora(attention_shapes(weights), rank=4, alpha=alpha))
    file = path / "adapter_model.safetensors" if path.is_dir() else path
    state, metadata = AceStepLoraLoaderMixin.lora_state_dict(str(file), return_lora_metadata=True)
    AceStepLoraLoaderMixin.load_lora_into_transformer(state, peer, metadata=metadata)
    assert_same_changes(changes_of(path, weights), peer_changes(peer, weights))


def test_what_diffusers_saves_is_read(
    tmp_path: Path, peer: AceStepTransformer1DModel, weights: dict[str, Tensor]
) -> None:
    config = LoraConfig(
        r=4,
        lora_alpha=8,
        target_modules=["to_q", "to_k", "to_v", "to_out.0"],
        init_lora_weights=False,
        alpha_pattern={"self_attn.to_q": 3},
    )
    torch.manual_seed(0)
    peer.add_adapter(config)
    AceStepLoraLoaderMixin.save_lora_weights(
        tmp_path,
        transformer_lora_layers=get_peft_model_state_dict(peer),
        transformer_lora_adapter_metadata=_collate_lora_metadata({"transformer": peer})[
            "transformer_lora_adapter_metadata"
        ],
    )
    found = changes_of(tmp_path / "pytorch_lora_weights.safetensors", weights)
    assert_same_changes(found, peer_changes(peer, weights))


def test_strengths_multiply_the_change(tmp_path: Path, dit: DiT, weights: dict[str, Tensor]) -> None:
    for kind in ("LoRA", "DoRA", "OFT"):
        path = tmp_path / kind
        peft_model(dit, CONFIGS[kind]()).save_pretrained(path)
        whole = changes_of(path, weights)
        for name, change in changes_of(path, weights, Strengths(0.5, -1.0, 3.0)).items():
            factor = -0.5 if ".self_attn." in name else 1.5
            assert torch.allclose(change, factor * whole[name], rtol=1e-6, atol=1e-8)
