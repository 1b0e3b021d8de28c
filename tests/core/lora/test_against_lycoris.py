"""LoKr, LoHa, LoRA and their DoRA forms, against the forward pass of LyCORIS' modules on the same numbers.

The forward pass is what was trained. LyCORIS' own merge differs from it for LoKr: it applies the scale twice.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import torch
from lycoris.modules.locon import LoConModule
from lycoris.modules.loha import LohaModule
from lycoris.modules.lokr import LokrModule
from safetensors.torch import save_file
from torch import Tensor, nn

from ace_core.lora.adapters import weight_change
from ace_core.lora.formats import inspect_adapter, load_adapter

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
