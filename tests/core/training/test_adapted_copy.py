"""The private tree: peft's adapters over the very tensors of the shared network, which stays as it is."""

from __future__ import annotations

import copy
from pathlib import Path

import pytest
import torch
from peft import LoKrConfig, LoraConfig, PeftModel, inject_adapter_in_model
from torch import Tensor
from training_runs import random_tree, weights_hash

from ace_core.lora.adapters import weight_change
from ace_core.lora.formats import inspect_adapter, load_adapter
from ace_core.lora.saving import save_adapter
from ace_core.models.dit import DiT
from ace_core.runtime import Runtime
from ace_core.training.adapted_copy import (
    AdapterSettings,
    TrainedKind,
    adapted_layers,
    adapter_parameters,
    attach_weights,
    build_copy,
    detach_weights,
    trained_adapters,
)
from ace_core.training.adapted_layers import SeededDropout, seed_dropout

KINDS: tuple[TrainedKind, ...] = ("lora", "dora", "lokr")


def velocity(dit: DiT, guided: bool = False) -> Tensor:
    generator = torch.Generator().manual_seed(0)
    x, context, packed = (torch.randn(size, generator=generator) for size in ((1, 300, 64), (1, 300, 128), (9, 64)))
    with torch.no_grad():
        run = dit.prepare([packed], [750.0], 300, guided=guided)
        both = dit(x, context, 0, run, guided=guided)
    return torch.cat(both) if guided else both[0]


@pytest.mark.parametrize("kind", KINDS)
def test_the_tree_holds_the_shared_tensors_and_leaves_them_alone(dit: DiT, kind: TrainedKind) -> None:
    before, names, state = weights_hash(dit), [name for name, _ in dit.named_modules()], torch.get_rng_state()
    tree = build_copy(dit, AdapterSettings(kind, 4, 8.0), 0)
    attach_weights(tree, dit, Runtime())
    storages = {parameter.data_ptr() for parameter in dit.parameters()}
    frozen = [parameter for parameter in tree.parameters() if not parameter.requires_grad]
    assert {parameter.data_ptr() for parameter in frozen} == storages
    assert not {id(parameter) for parameter in frozen} & {id(parameter) for parameter in dit.parameters()}
    assert torch.equal(torch.get_rng_state(), state)
    detach_weights(tree)
    assert {parameter.device.type for parameter in tree.parameters() if not parameter.requires_grad} == {"meta"}
    assert {parameter.device.type for parameter in adapter_parameters(tree).values()} == {"cpu"}
    assert [name for name, _ in dit.named_modules()] == names
    assert weights_hash(dit) == before


@pytest.mark.parametrize("kind", KINDS)
def test_a_fresh_adapter_changes_nothing(dit: DiT, kind: TrainedKind) -> None:
    tree = build_copy(dit, AdapterSettings(kind, 4, 8.0), 0)
    attach_weights(tree, dit, Runtime())
    assert (velocity(tree.eval()) - velocity(dit)).abs().max() <= 1e-5


@pytest.mark.parametrize("kind", KINDS)
def test_initial_values_are_those_of_peft(dit: DiT, kind: TrainedKind) -> None:
    """Zero where peft's are zero; elsewhere uniform with the same bound; magnitudes the norms of the base."""
    torch.manual_seed(0)
    targets = ["q_proj", "k_proj", "v_proj", "o_proj"]
    config = LoKrConfig(r=4, alpha=8, target_modules=targets) if kind == "lokr" else None
    config = config or LoraConfig(r=4, lora_alpha=8, target_modules=targets, use_dora=kind == "dora")
    peer = inject_adapter_in_model(config, copy.deepcopy(dit))
    tree = build_copy(dit, AdapterSettings(kind, 4, 8.0), 0)
    attach_weights(tree, dit, Runtime())
    ours, theirs = adapter_parameters(tree), adapter_parameters(peer)
    assert ours.keys() == theirs.keys()
    for name, value in ours.items():
        assert value.shape == theirs[name].shape
        if "magnitude" in name:
            assert torch.allclose(value, theirs[name], rtol=1e-5)
        else:
            assert bool(value.any()) == bool(theirs[name].any())
            assert value.detach().abs().max() <= 1.05 * theirs[name].detach().abs().max() + 0.05


def test_attention_can_be_chosen(dit: DiT) -> None:
    for attention, count in (("self", 16), ("cross", 16), ("both", 32)):
        tree = build_copy(dit, AdapterSettings("lora", 4, 8.0, attention=attention), 0)
        names = [name for name, _ in adapted_layers(tree)]
        assert len(names) == count
        assert attention == "both" or all(f".{attention}_attn." in name for name in names)


@pytest.mark.parametrize("kind", KINDS)
def test_layers_compute_what_pefts_own_do_with_the_same_gradients(xl: DiT, kind: TrainedKind) -> None:
    tree = random_tree(xl, kind)
    generator = torch.Generator().manual_seed(2)
    for name, layer in adapted_layers(tree):
        x = torch.randn(2, 7, layer.base_layer.in_features, generator=generator, requires_grad=True)
        parameters = [parameter for parameter in layer.parameters() if parameter.requires_grad]
        ours, theirs = layer(x), type(layer).forward(layer, x)
        assert (ours - theirs).abs().max() <= 1e-5, name
        weights = torch.randn(ours.shape, generator=generator)
        gradients = [torch.autograd.grad((out * weights).sum(), [x, *parameters]) for out in (ours, theirs)]
        for our, their in zip(*gradients, strict=True):
            assert (our - their).norm() <= 1e-4 * their.norm() + 1e-6, name


@pytest.mark.parametrize("size", ["dit", "xl"])
@pytest.mark.parametrize("kind", KINDS)
def test_what_is_exported_is_what_the_tree_computes(
    request: pytest.FixtureRequest, size: str, kind: TrainedKind
) -> None:
    dit: DiT = request.getfixturevalue(size)
    tree = random_tree(dit, kind)
    adapters = trained_adapters(tree)
    generator = torch.Generator().manual_seed(2)
    for name, layer in adapted_layers(tree):
        weight = dit.get_parameter(f"{name}.weight")
        x = torch.randn(5, weight.shape[1], generator=generator)
        changed = weight + weight_change(weight, adapters[f"{name}.weight"], 1.0)
        assert (layer(x) - x @ changed.T).abs().max() <= 1e-5, name
    merged = copy.deepcopy(dit)
    for name, adapter in adapters.items():
        parameter = merged.get_parameter(name)
        parameter.data = parameter + weight_change(parameter, adapter, 1.0)
    assert (velocity(tree, guided=True) - velocity(merged, guided=True)).abs().max() <= 1e-4


@pytest.mark.parametrize("kind", ["lora", "dora"])
def test_a_saved_adapter_is_the_same_for_our_loader_and_for_peft(tmp_path: Path, dit: DiT, kind: TrainedKind) -> None:
    adapters = trained_adapters(random_tree(dit, kind))
    path = save_adapter(
        tmp_path / "style", adapters, "peft", base_model="acestep-v15-turbo", metadata={}, dtype=torch.float32
    )
    loaded = load_adapter(inspect_adapter(path)).weights
    merged = PeftModel.from_pretrained(copy.deepcopy(dit), path.parent).merge_and_unload()
    assert loaded.keys() == adapters.keys()
    for name, adapter in loaded.items():
        weight = dit.get_parameter(name)
        ours = weight_change(weight, adapter, 1.0)
        assert torch.equal(ours, weight_change(weight, adapters[name], 1.0))
        assert (ours - (merged.get_parameter(name) - weight)).abs().max() <= 1e-5, name


def test_weights_moved_in_inference_mode_can_be_trained_on(dit: DiT) -> None:
    with torch.inference_mode():
        moved = copy.deepcopy(dit)
        for parameter in moved.parameters():
            parameter.data = parameter.data.clone()
        host_like = [parameter for parameter in moved.parameters() if parameter.is_inference()]
        tree = build_copy(moved, AdapterSettings("dora", 4, 8.0, dropout=0.0), 0)
        attach_weights(tree, moved, Runtime())
    assert host_like
    for _, layer in adapted_layers(tree):
        layer(torch.randn(3, layer.base_layer.in_features, requires_grad=True)).sum().backward()
        assert layer.lora_magnitude_vector["default"].weight.grad is not None


def test_float8_weights_are_converted(dit: DiT) -> None:
    stored = copy.deepcopy(dit)
    for parameter in stored.layers.parameters():
        if parameter.ndim == 2:
            parameter.data = parameter.data.to(torch.float8_e4m3fn)
    tree = build_copy(stored, AdapterSettings("lora", 4, 8.0), 0)
    attach_weights(tree, stored, Runtime())
    assert {parameter.dtype for parameter in tree.parameters()} == {torch.float32}
    assert velocity(tree.eval()).isfinite().all()


def test_dropout_follows_from_its_seed() -> None:
    dropout, x = SeededDropout(0.25, "layer"), torch.ones(401, 33)
    seed_dropout(dropout, "one")
    first, again = dropout(x), dropout(x)
    assert torch.equal(first, again)
    assert abs(float((first == 0).float().mean()) - 0.25) < 0.02
    assert abs(float(first.mean()) - 1) < 0.02
    seed_dropout(dropout, "two")
    assert not torch.equal(dropout(x), first)
    other = SeededDropout(0.25, "other")
    seed_dropout(other, "one")
    assert not torch.equal(other(x), first)
    assert torch.equal(dropout.eval()(x), x)


def test_dropout_in_a_layer_is_that_of_its_mask(dit: DiT) -> None:
    """With and without the fused operation, gradients included."""
    tree = random_tree(dit, "lora", dropout=0.3).train()
    seed_dropout(tree, "batch")
    for _, layer in list(adapted_layers(tree))[:4]:
        x = torch.randn(5, layer.base_layer.in_features, requires_grad=True)
        down, up = layer.lora_A["default"].weight, layer.lora_B["default"].weight
        dropped = layer.lora_dropout["default"](x)
        plain = layer.base_layer(x) + 2.0 * (dropped @ down.T @ up.T)
        fused = layer(x)
        assert (fused - plain).abs().max() <= 1e-5
        ours, theirs = (torch.autograd.grad(out.square().sum(), [x, down, up]) for out in (fused, plain))
        for our, their in zip(ours, theirs, strict=True):
            assert (our - their).norm() <= 1e-4 * their.norm()
