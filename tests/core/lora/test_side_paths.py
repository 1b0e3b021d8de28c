"""Adapters beside layers: what they give is what the changed weight gives, for every kind, and for int8 weights too."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor, nn

from ace_core.lora.adapters import Adapter, AdapterKind, AdapterWeights, AppliedAdapter, Strengths, weight_change
from ace_core.lora.merging import adapted_network, holds_int8
from ace_core.lora.side_paths import SidePath, with_side_paths
from ace_core.planner.quantized import Int8Linear, quantize_rows

OUT, IN = 48, 96
STRENGTHS = (1.0, 0.3, -1.5)


def noise(*shape: int) -> Tensor:
    return 0.3 * torch.randn(shape, generator=torch.Generator().manual_seed(sum(shape)))


def adapter(kind: AdapterKind, *factors: tuple[Tensor, ...], magnitude: Tensor | None = None) -> Adapter:
    return Adapter(kind, 1.0 if kind.startswith("oft") else 0.7, factors, magnitude)


OVER_INPUTS = 1 + noise(OUT, 1)
OVER_OUTPUTS = 1 + noise(1, IN)
LORA = (noise(OUT, 4), noise(4, IN))
ADAPTERS: dict[str, Adapter] = {
    "LoRA": adapter("lora", LORA),
    "whole LoKr": adapter("lokr", (noise(6, 8),), (noise(8, 12),)),
    "LoKr": adapter("lokr", (noise(6, 8),), (noise(8, 3), noise(3, 12))),
    "LoKr, both factored": adapter("lokr", (noise(6, 2), noise(2, 8)), (noise(8, 3), noise(3, 12))),
    "DoRA": adapter("lora", LORA, magnitude=OVER_INPUTS),
    "DoRA over the outputs": adapter("lora", LORA, magnitude=OVER_OUTPUTS),
    "LoKr with DoRA": adapter("lokr", (noise(6, 8),), (noise(8, 12),), magnitude=OVER_INPUTS),
    "OFT over the outputs": adapter("oft", (noise(6, 8, 8),)),
    "OFT over the inputs": adapter("oft_inputs", (noise(12, 8, 8),)),
    "OFT of one block": adapter("oft_inputs", (noise(1, 8, 8),)),
}


def int8_layer(weight: Tensor) -> Int8Linear:
    layer = Int8Linear(IN, OUT)
    layer.weight.data, layer.scale.data = quantize_rows(weight)
    return layer


def weight_of(layer: nn.Module) -> Tensor:
    """What a layer without bias multiplies with."""
    weight: Tensor = layer(torch.eye(IN)).T
    return weight


@pytest.mark.parametrize("strength", STRENGTHS)
@pytest.mark.parametrize("name", ADAPTERS)
def test_a_side_path_gives_what_the_changed_weight_gives(name: str, strength: float) -> None:
    layer = nn.Linear(IN, OUT, bias=False).requires_grad_(False)
    layer.weight.data = noise(OUT, IN)
    x = noise(2, 5, IN)
    change = weight_change(layer.weight, ADAPTERS[name], strength)
    found = SidePath(layer, ADAPTERS[name], strength, (OUT, IN))(x)
    expected = x @ (layer.weight + change).T
    assert change.abs().max() > 0.02
    assert (found - expected).abs().max() <= 1e-4 * expected.abs().max()
    assert (found - layer(x)).abs().max() > 100 * (found - expected).abs().max()


@pytest.mark.parametrize("name", ADAPTERS)
def test_int8_weights_stay_and_lose_nothing_of_the_change(name: str) -> None:
    layer = int8_layer(noise(OUT, IN))
    weight = layer.weight.float() * layer.scale[:, None]
    kept = layer.weight.clone()
    path = SidePath(layer, ADAPTERS[name], 1.0, (OUT, IN))
    expected = weight + weight_change(weight, ADAPTERS[name], 1.0)
    assert torch.equal(layer.weight, kept)
    assert (weight_of(path) - expected).abs().max() <= 1e-4 * expected.abs().max()


class Block(nn.Module):
    """Layers at the names that the published networks give theirs."""

    def __init__(self, layer: nn.Module) -> None:
        super().__init__()
        self.layers = nn.ModuleList([nn.ModuleDict({"self_attn": nn.ModuleDict({"q_proj": layer, "k_proj": layer})})])

    def forward(self, x: Tensor) -> Tensor:
        out: Tensor = self.q_proj(x)
        return out

    @property
    def q_proj(self) -> nn.Module:
        return self.get_submodule(Q)


Q = "layers.0.self_attn.q_proj"
NAME = f"{Q}.weight"


def applied(name: str, strength: float = 1.0) -> AppliedAdapter:
    return AppliedAdapter(name, AdapterWeights({NAME: ADAPTERS[name]}), Strengths(strength))


def test_branches_share_the_weights_and_know_nothing_of_one_another() -> None:
    network = Block(int8_layer(noise(OUT, IN)))
    x, expected = noise(3, IN), {}
    expected["base"] = network(x)
    one, two = (with_side_paths(network, applied(name)) for name in ("LoRA", "LoKr"))
    stacked = with_side_paths(one, applied("DoRA", 0.5))
    found = [one(x), two(x), stacked(x)]
    assert torch.equal(network(x), expected["base"])
    assert torch.equal(with_side_paths(network, applied("LoRA"))(x), found[0])
    assert min((a - b).abs().max() for a in found for b in (expected["base"], *found) if a is not b) > 0.01
    inner = network.q_proj
    assert isinstance(inner, Int8Linear)
    assert one.get_submodule(f"{Q}.layer").weight is inner.weight
    assert one.get_submodule(Q.replace("q_proj", "k_proj")).weight is inner.weight
    weight = inner.weight.float() * inner.scale[:, None]
    for item in (applied("LoRA"), applied("DoRA", 0.5)):
        weight = weight + weight_change(weight, item.adapter.weights[NAME], item.strengths.overall)
    assert (weight_of(stacked.q_proj) - weight).abs().max() <= 1e-4 * weight.abs().max()


def test_a_loha_is_refused() -> None:
    factors = ((noise(OUT, 3), noise(3, IN)), (noise(OUT, 2), noise(2, IN)))
    loha = AppliedAdapter("artist", AdapterWeights({NAME: adapter("loha", *factors)}), Strengths())
    with pytest.raises(
        ValueError, match="artist is a LoHa, which int8 weights cannot take: load the planner with full"
    ):
        adapted_network(Block(int8_layer(noise(OUT, IN))), loha)


def test_a_strength_of_zero_changes_no_layer() -> None:
    network = Block(int8_layer(noise(OUT, IN)))
    adapted = with_side_paths(network, applied("LoRA", 0.0))
    assert isinstance(adapted.q_proj, Int8Linear)


def test_full_weights_are_changed_and_int8_ones_are_not() -> None:
    full, small = Block(nn.Linear(IN, OUT, bias=False)), Block(int8_layer(noise(OUT, IN)))
    assert (holds_int8(full), holds_int8(small)) == (False, True)
    merged, beside = (adapted_network(network, applied("LoRA")) for network in (full, small))
    assert isinstance(merged.q_proj, nn.Linear)
    assert isinstance(beside.q_proj, SidePath)
    assert holds_int8(beside)
