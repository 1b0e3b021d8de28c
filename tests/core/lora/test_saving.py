"""Saved adapters as other programs see them, and saves that fail."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import torch
from safetensors import safe_open
from safetensors.torch import load_file
from torch import Tensor

from ace_core.lora.adapters import Adapter, adapter_matrix
from ace_core.lora.formats import inspect_adapter, load_adapter
from ace_core.lora.saving import AdapterStyle, base_model_name, save_adapter

Q = "layers.0.self_attn.q_proj"


def noise(*shape: int, seed: int = 0) -> Tensor:
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed))


def save(
    path: Path, adapter: Adapter, style: AdapterStyle = "comfyui", dtype: torch.dtype = torch.float32, **metadata: str
) -> Path:
    adapters = {f"{Q}.weight": adapter}
    return save_adapter(path, adapters, style, base_model="acestep-v15-xl-base", metadata=metadata, dtype=dtype)


LORA = Adapter("lora", 0.5, ((noise(8, 2), noise(2, 6)),), None)


def test_the_header_tells_what_it_is(tmp_path: Path) -> None:
    path = save(tmp_path / "a", LORA, tags="lo-fi, piano")
    with safe_open(path, framework="pt") as file:
        assert file.metadata() == {
            "format": "pt",
            "base_model": "acestep-v15-xl-base",
            "rank": "2",
            "tags": "lo-fi, piano",
        }
    assert inspect_adapter(path).base == ("xl", "base")


@pytest.mark.parametrize("size", ["2b", "xl"])
@pytest.mark.parametrize("kind", ["turbo", "base", "sft"])
def test_the_base_model_is_found_again(tmp_path: Path, size: str, kind: str) -> None:
    adapters = {f"{Q}.weight": LORA}
    name = base_model_name(size, kind)
    path = save_adapter(tmp_path / "a", adapters, "peft", base_model=name, metadata={}, dtype=torch.float32)
    assert inspect_adapter(path).base == (size, kind)
    path = save_adapter(tmp_path / "b", adapters, "comfyui", base_model=name, metadata={}, dtype=torch.float32)
    assert inspect_adapter(path).base == (size, kind)


@pytest.mark.parametrize(
    "adapter",
    [
        Adapter("lora", 1.5, ((noise(8, 2), noise(2, 6)),), noise(8, 1)),
        Adapter("lora", 1.5, ((noise(8, 2), noise(2, 6)),), noise(1, 6)),
        Adapter("loha", 1.5, ((noise(8, 2), noise(2, 6)), (noise(8, 2, seed=1), noise(2, 6, seed=1))), None),
        Adapter("lokr", 1.5, ((noise(2, 3),), (noise(4, 1), noise(1, 2))), None),
        Adapter("lokr", 1.5, ((noise(2, 1), noise(1, 3)), (noise(4, 2),)), noise(8, 1)),
        Adapter("lokr", 1.5, ((noise(2, 3),), (noise(4, 2),)), None),
    ],
    ids=["DoRA", "DoRA over the outputs", "LoHa", "LoKr", "LoKr, first factored", "whole LoKr"],
)
def test_every_kind_is_kept_in_the_names_of_comfyui(tmp_path: Path, adapter: Adapter) -> None:
    loaded = load_adapter(inspect_adapter(save(tmp_path / "a", adapter))).weights[f"{Q}.weight"]
    assert loaded.kind == adapter.kind
    assert torch.allclose(adapter_matrix(loaded), adapter_matrix(adapter), rtol=1e-6)
    if adapter.magnitude is None:
        assert loaded.magnitude is None
    else:
        assert torch.equal(loaded.magnitude, adapter.magnitude)


def test_matrices_are_stored_in_the_asked_dtype_and_scales_in_fp32(tmp_path: Path) -> None:
    adapter = LORA._replace(magnitude=noise(8, 1))
    tensors = load_file(save(tmp_path / "a", adapter, dtype=torch.bfloat16))
    dtypes = {name.removeprefix(f"diffusion_model.decoder.{Q}."): tensor.dtype for name, tensor in tensors.items()}
    assert dtypes == {
        "lora_up.weight": torch.bfloat16,
        "lora_down.weight": torch.bfloat16,
        "alpha": torch.float32,
        "dora_scale": torch.float32,
    }


def test_nothing_is_written_over(tmp_path: Path) -> None:
    for style in ("comfyui", "peft"):
        save(tmp_path / style, LORA, style)
        with pytest.raises(FileExistsError, match="is there already"):
            save(tmp_path / style, LORA, style)


def test_a_failed_save_leaves_no_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def half(path: Path) -> None:
        path.write_bytes(b"half")
        raise OSError("disk full")

    monkeypatch.setattr("ace_core.lora.saving.tensor_writer", lambda *_: half)
    for style in ("comfyui", "peft"):
        with pytest.raises(OSError, match=r"\.safetensors cannot be written: disk full"):
            save(tmp_path / style, LORA, style)
    assert [path.name for path in tmp_path.rglob("*") if path.is_file()] == []


def test_what_peft_does_not_have_is_refused(tmp_path: Path) -> None:
    lokr = Adapter("lokr", 1.0, ((noise(2, 3),), (noise(4, 2),)), None)
    for adapter in (lokr, LORA._replace(magnitude=noise(1, 6))):
        with pytest.raises(ValueError, match="choose ComfyUI's"):
            save(tmp_path / "a", adapter, "peft")
    assert list(tmp_path.rglob("*.json")) == []


def test_the_config_is_the_one_of_the_official_application(tmp_path: Path) -> None:
    path = save(tmp_path / "a", LORA, "peft")
    config = json.loads(path.with_name("adapter_config.json").read_text(encoding="utf-8"))
    assert config["peft_type"] == "LORA" and config["task_type"] == "FEATURE_EXTRACTION"
    assert (config["r"], config["lora_alpha"], config["use_dora"]) == (2, 1.0, False)
    assert config["target_modules"] == [Q]
