"""LoKr, LoHa, LoRA and their DoRA forms, against the forward pass of LyCORIS' modules on the same numbers.

The forward pass is what was trained. LyCORIS' own merge differs from it for LoKr: it applies the scale twice.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import torch
from lycoris.modules.diag_oft import DiagOFTModule
from lycoris.modules.locon import LoConModule
from lycoris.modules.loha import LohaModule
from lycoris.modules.lokr import LokrModule
from safetensors.torch import save_file
from torch import Tensor, nn

from ace_core.lora.adapters import weight_change
from ace_core.lora.formats import check_fits, inspect_adapter, load_adapter

NAME = "layers.1.cross_attn.q_proj"
DIMENSION = 4
CASES: dict[str, tuple[type[nn.Module], dict[str, Any]]] = {
    "LoRA": (LoConModule, {}),
    "LoRA, rank-stabilised": (LoConModule, {"rs_lora": True}),
    "LoHa": (LohaModule, {}),
    "LoHa, rank-stabilised": (LohaModule, {"rs_lora": True}),
    "LoKr": (LokrModule, {}),
    "LoKr, rank-stabilised": (LokrModule, {"rs_lora": True}),
    "LoKr, both factored": (LokrModule, {"decompose_both": True, "factor": 12}),
    "LoKr of another factor": (LokrModule, {"factor": 4}),
    "LoKr, unbalanced": (LokrModule, {"factor": 4, "unbalanced_factorization": True}),
    "whole LoKr": (LokrModule, {"full_matrix": True}),
    "whole LoKr, rank-stabilised": (LokrModule, {"full_matrix": True, "rs_lora": True}),
}
DORA: dict[str, dict[str, Any]] = {
    "": {},
    "DoRA": {"weight_decompose": True},
    "DoRA over the outputs": {"weight_decompose": True, "wd_on_out": False},
}


@pytest.mark.parametrize("dora", DORA)
@pytest.mark.parametrize("case", CASES)
def test_the_change_equals_that_of_the_forward_pass(
    tmp_path: Path, case: str, dora: str, generator: torch.Generator
) -> None:
    module_class, settings = CASES[case]
    linear = nn.Linear(96, 144, bias=False)
    linear.weight.data = torch.randn(144, 96, generator=generator) / 96**0.5
    module: Any = module_class("", linear, lora_dim=DIMENSION, alpha=6, **settings, **DORA[dora])
    for name, parameter in module.named_parameters():
        if "dora" in name:
            parameter.data = parameter * (1 + 0.2 * torch.randn(parameter.shape, generator=generator))
        elif "org_module" not in name:
            parameter.data = 0.3 * torch.randn(parameter.shape, generator=generator)
    flat = f"lycoris_{NAME}".replace(".", "_")
    tensors: dict[str, Tensor] = {
        f"{flat}.{name}": tensor.detach().clone() for name, tensor in module.state_dict().items()
    }
    metadata = {"algo": "lokr", "format": "lycoris", "lokr_config": json.dumps({"linear_dim": DIMENSION})}
    save_file(tensors, tmp_path / "lokr_weights.safetensors", metadata=metadata)

    with torch.no_grad():
        expected = module(torch.eye(96)).T - linear.weight
    ((name, adapter),) = load_adapter(inspect_adapter(tmp_path / "lokr_weights.safetensors")).weights.items()
    assert name == f"{NAME}.weight"
    assert (adapter.magnitude is not None) == bool(dora)
    found = weight_change(linear.weight.detach(), adapter, 1.0)
    assert expected.abs().max() > 0.05
    assert (found - expected).abs().max() <= 1e-5 * expected.abs().max()


OFT_CASES: dict[str, dict[str, Any]] = {
    "OFT": {"lora_dim": 8},
    "OFT of large blocks": {"lora_dim": -1},
    "OFT within its constraint": {"lora_dim": 8, "constraint": 0.2},
    "OFT at its constraint": {"lora_dim": 8, "constraint": 0.01},
    "OFT, rescaled": {"lora_dim": 8, "rescaled": True},
    "OFT at its constraint, rescaled": {"lora_dim": 8, "constraint": 0.01, "rescaled": True},
}


@pytest.mark.parametrize("case", OFT_CASES)
def test_the_rotation_equals_that_of_the_forward_pass(tmp_path: Path, case: str, generator: torch.Generator) -> None:
    linear = nn.Linear(96, 144, bias=False)
    linear.weight.data = torch.randn(144, 96, generator=generator) / 96**0.5
    module: Any = DiagOFTModule("", linear, **{"constraint": 0.0, **OFT_CASES[case]})
    module.oft_blocks.data = 0.2 * torch.randn(module.oft_blocks.shape, generator=generator)
    if module.rescaled:
        module.rescale.data = 1 + 0.2 * torch.randn(module.rescale.shape, generator=generator)
    flat = f"lycoris_{NAME}".replace(".", "_")
    tensors = {f"{flat}.{name}": tensor.detach().clone() for name, tensor in module.state_dict().items()}
    save_file(tensors, tmp_path / "oft.safetensors")

    with torch.no_grad():
        expected = module(torch.eye(96)).T - linear.weight
    files = inspect_adapter(tmp_path / "oft.safetensors")
    assert files.unmatched == () and check_fits(files, {f"{NAME}.weight": (144, 96)}, "m", "turbo") == ()
    ((name, adapter),) = load_adapter(files).weights.items()
    assert name == f"{NAME}.weight"
    found = weight_change(linear.weight.detach(), adapter, 1.0)
    assert expected.abs().max() > 0.03
    assert (found - expected).abs().max() <= 2e-5 * expected.abs().max()
    assert torch.allclose(weight_change(linear.weight.detach(), adapter, -0.5), -0.5 * found)


@pytest.mark.parametrize("constraint", [0.0, 0.004])
def test_the_rotation_equals_its_formula_block_by_block(
    tmp_path: Path, constraint: float, generator: torch.Generator
) -> None:
    """Kohya's and LyCORIS' formula in float64, written out: every block of outputs turned, and scaled."""
    weight = torch.randn(24, 10, generator=generator)
    blocks, rescale = torch.randn(4, 6, 6, generator=generator), 1 + torch.rand(24, 1, generator=generator)
    flat = f"lora_unet_decoder_{NAME}".replace(".", "_")
    tensors = {
        f"{flat}.oft_blocks": blocks,
        f"{flat}.rescale": rescale,
        f"{flat}.alpha": torch.tensor(constraint),
    }
    save_file(tensors, tmp_path / "oft.safetensors")
    skew = (blocks - blocks.transpose(1, 2)).double()
    if constraint:
        skew = skew * (constraint * 24 / skew.norm())
    rows = []
    for number, q in enumerate(skew):
        rotation = (torch.eye(6).double() + q) @ torch.linalg.inv(torch.eye(6).double() - q)
        assert torch.allclose(rotation @ rotation.T, torch.eye(6).double())
        rows.append(rotation.T @ weight[6 * number : 6 * number + 6].double())
    expected = rescale.double() * torch.cat(rows) - weight.double()
    (adapter,) = load_adapter(inspect_adapter(tmp_path / "oft.safetensors")).weights.values()
    assert (weight_change(weight, adapter, 1.0) - expected).abs().max() <= 1e-5 * expected.abs().max()
