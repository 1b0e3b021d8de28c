"""Adapter files in every style, and files that cannot be used."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import torch
from adapter_files import STYLES, RandomLora, attention_shapes, random_lora, write_peft_folder
from safetensors.torch import load_file, save_file
from tiny_checkpoints import dit_config
from torch import Tensor, nn

from ace_core.checkpoints.files import CheckpointError
from ace_core.lora.adapters import Adapter, adapter_matrix
from ace_core.lora.formats import (
    AdapterFiles,
    AdapterScaling,
    adapter_key,
    check_fits,
    describe_adapter,
    inspect_adapter,
    load_adapter,
)
from ace_core.lora.saving import save_adapter
from ace_core.models.dit import DiT

Q = "layers.0.self_attn.q_proj"
Shapes = dict[str, tuple[int, ...]]


@pytest.fixture(scope="module")
def lora(weights: dict[str, Tensor]) -> RandomLora:
    return random_lora(attention_shapes(weights))


def written(path: Path, tensors: dict[str, Tensor], metadata: dict[str, str] | None = None) -> Path:
    save_file(tensors, path, metadata=metadata)
    return path


def one_lora(prefix: str = "base_model.model.", rank: int = 4) -> dict[str, Tensor]:
    module = f"{prefix}{Q}"
    return {f"{module}.lora_A.weight": torch.ones(rank, 64), f"{module}.lora_B.weight": torch.ones(64, rank)}


def scale(path: Path) -> float:
    return load_adapter(inspect_adapter(path)).weights[f"{Q}.weight"].scale


@pytest.mark.parametrize("style", STYLES)
def test_every_style_of_one_lora_gives_the_same_deltas_to_the_bit(
    tmp_path: Path, lora: RandomLora, shapes: Shapes, style: str
) -> None:
    files = inspect_adapter(STYLES[style](tmp_path / "lora.safetensors", lora))
    assert files.unmatched == ()
    assert check_fits(files, shapes, "the model", "turbo") == ()
    loaded = load_adapter(files).weights
    assert loaded.keys() == {f"{module}.weight" for module in lora.matrices}
    for module in lora.matrices:
        assert torch.equal(adapter_matrix(loaded[f"{module}.weight"]), lora.delta(module))


@pytest.mark.parametrize("style", ["comfyui", "peft"])
def test_what_is_saved_gives_the_same_deltas_to_the_bit(
    tmp_path: Path, lora: RandomLora, style: str, generator: torch.Generator
) -> None:
    magnitude = torch.rand(64, 1, generator=generator)
    adapters = {
        f"{module}.weight": Adapter("lora", lora.alpha / lora.rank, (matrices,), magnitude if module == Q else None)
        for module, matrices in lora.matrices.items()
    }
    path = save_adapter(
        tmp_path / "new" / "style", adapters, style, base_model="acestep-v15-turbo", metadata={}, dtype=torch.float32
    )
    loaded = load_adapter(inspect_adapter(path)).weights
    assert loaded.keys() == adapters.keys()
    for module in lora.matrices:
        assert torch.equal(adapter_matrix(loaded[f"{module}.weight"]), lora.delta(module))
    assert torch.equal(loaded[f"{Q}.weight"].magnitude, magnitude)
    assert sum(adapter.magnitude is not None for adapter in loaded.values()) == 1


def test_inspection_reads_no_tensor(tmp_path: Path, lora: RandomLora, monkeypatch: pytest.MonkeyPatch) -> None:
    path = write_peft_folder(tmp_path / "style", lora)

    def read(*_: object, **__: object) -> None:
        raise AssertionError("a tensor was read")

    monkeypatch.setattr("ace_core.lora.formats.tensor_reader", read)
    assert describe_adapter(inspect_adapter(path)) == f"LoRA, rank 4, {len(lora.matrices)} weights"


def test_a_rank_stabilised_lora_is_scaled_by_the_root(tmp_path: Path) -> None:
    (tmp_path / "a").mkdir()
    path = written(tmp_path / "a" / "adapter_model.safetensors", one_lora(rank=16))
    config = {"peft_type": "LORA", "r": 16, "lora_alpha": 8, "use_rslora": True}
    (tmp_path / "a" / "adapter_config.json").write_text(json.dumps(config), encoding="utf-8")
    assert scale(path) == scale(path.parent) == 2.0


@pytest.mark.parametrize(
    ("pattern", "expected"),
    [
        ({"q_proj": 12}, 3.0),
        ({r"self_attn\.q_proj": 12}, 3.0),
        ({f"^base_model.model.{Q}": 12}, 3.0),
        ({f"^{Q}": 12}, 2.0),
        ({"^q_proj": 12}, 2.0),
        ({"proj": 12}, 2.0),
        ({"k_proj": 12}, 2.0),
        ({"layers.1": 12}, 2.0),
    ],
)
def test_single_modules_may_have_another_alpha(tmp_path: Path, pattern: dict[str, int], expected: float) -> None:
    (tmp_path / "a").mkdir()
    path = written(tmp_path / "a" / "adapter_model.safetensors", one_lora())
    config = {"peft_type": "LORA", "r": 9, "lora_alpha": 8, "alpha_pattern": pattern, "rank_pattern": {"q_proj": 4}}
    (tmp_path / "a" / "adapter_config.json").write_text(json.dumps(config), encoding="utf-8")
    assert scale(path) == expected


def test_a_config_belongs_to_the_file_of_peft_only(tmp_path: Path) -> None:
    path = written(tmp_path / "other.safetensors", one_lora())
    (tmp_path / "adapter_config.json").write_text('{"peft_type": "LORA", "r": 4, "lora_alpha": 8}', encoding="utf-8")
    assert scale(path) == 1.0


@pytest.mark.parametrize(
    ("metadata", "expected"), [({}, 1.0), ({"lokr_config": '{"linear_dim": 64, "linear_alpha": 128}'}, 2.0)]
)
def test_the_rank_of_a_whole_lokr_is_in_its_metadata(tmp_path: Path, metadata: dict[str, str], expected: float) -> None:
    module = f"lycoris_{Q}".replace(".", "_")
    tensors = {f"{module}.lokr_w1": torch.ones(8, 8), f"{module}.lokr_w2": torch.ones(8, 8)}
    tensors[f"{module}.alpha"] = torch.tensor(128.0)
    assert scale(written(tmp_path / "lokr.safetensors", tensors, metadata)) == expected


def test_a_file_without_alpha_says_so(tmp_path: Path, shapes: Shapes) -> None:
    tensors = one_lora("diffusion_model.decoder.")
    (remark,) = check_fits(inspect_adapter(written(tmp_path / "a.safetensors", tensors)), shapes, "m", "turbo")
    assert "alpha = rank is assumed" in remark


def test_what_did_not_match_is_named(tmp_path: Path, shapes: Shapes) -> None:
    others = {"lora_te_layers_0_mlp_fc1.alpha": torch.ones(()), "strange": torch.ones(2)}
    files = inspect_adapter(written(tmp_path / "a.safetensors", {**one_lora(), **others, "x.alpha": torch.ones(())}))
    assert set(files.unmatched) == {*others, "x.alpha"}
    remarks = check_fits(files, shapes, "the model", "turbo")
    assert all(name in remarks[1] for name in files.unmatched)


def test_an_adapter_of_the_other_size_is_refused(tmp_path: Path, lora: RandomLora) -> None:
    xl = DiT(dit_config("xl"), ops=nn, device="meta").state_dict()
    shapes = {name: tuple(tensor.shape) for name, tensor in xl.items()}
    files = inspect_adapter(write_peft_folder(tmp_path / "a", lora))
    with pytest.raises(CheckpointError, match="made for a model that is 64 wide, this one is 80 wide.*Choose"):
        check_fits(files, shapes, "the model", "turbo")


def test_published_widths_are_named(tmp_path: Path) -> None:
    module = f"base_model.model.{Q.replace('q_proj', 'o_proj')}"
    tensors = {f"{module}.lora_A.weight": torch.ones(1, 4096), f"{module}.lora_B.weight": torch.ones(2560, 1)}
    files = inspect_adapter(written(tmp_path / "a.safetensors", tensors))
    with pytest.raises(CheckpointError, match=r"2560 wide \(XL\), this one is 2048 wide \(2B\)"):
        check_fits(files, {f"{Q.replace('q_proj', 'o_proj')}.weight": (2048, 2048)}, "the model", "turbo")


def test_an_adapter_for_more_layers_is_refused(tmp_path: Path, shapes: Shapes) -> None:
    tensors = {**one_lora(), **{name.replace("layers.0", "layers.9"): tensor for name, tensor in one_lora().items()}}
    files = inspect_adapter(written(tmp_path / "a.safetensors", tensors))
    with pytest.raises(CheckpointError, match=r"this one is without layers\.9\.self_attn"):
        check_fits(files, shapes, "the model", "turbo")


@pytest.mark.parametrize(
    ("field", "name", "kind"),
    [
        ("base_model", "acestep-v15-turbo", "turbo"),
        ("ss_sd_model_name", "acestep_v1.5_base.safetensors", "base"),
        ("base_model_name_or_path", "C:\\models\\base\\acestep-v15-xl-sft", "sft"),
        ("modelspec.architecture", "acestep-v15-sft/lora", "sft"),
        ("base_model", "/home/base/somewhere", None),
        ("base_model", "/ACE-Step/base/model", None),
    ],
)
def test_the_base_model_is_known_by_its_name(tmp_path: Path, field: str, name: str, kind: str | None) -> None:
    files = inspect_adapter(written(tmp_path / "a.safetensors", one_lora(), {field: name}))
    assert files.base.variant == kind


def test_an_adapter_of_another_variant_is_remarked_on(tmp_path: Path, shapes: Shapes) -> None:
    (tmp_path / "a").mkdir()
    path = written(tmp_path / "a" / "adapter_model.safetensors", one_lora())
    config = {"peft_type": "LORA", "r": 4, "lora_alpha": 4, "base_model_name_or_path": "ACE-Step/acestep-v15-base"}
    (tmp_path / "a" / "adapter_config.json").write_text(json.dumps(config), encoding="utf-8")
    files = inspect_adapter(path)
    assert check_fits(files, shapes, "the model", "base") == ()
    (remark,) = check_fits(files, shapes, "the model", "turbo")
    assert "trained on a base model and this one is turbo" in remark


def refused(tmp_path: Path, tensors: dict[str, Tensor]) -> str:
    with pytest.raises(CheckpointError) as caught:
        load_adapter(inspect_adapter(written(tmp_path / "a.safetensors", tensors)))
    return str(caught.value)


def test_files_that_are_not_whole_are_refused(tmp_path: Path) -> None:
    whole = one_lora()
    down, up = whole
    assert "no whole LoRA" in refused(tmp_path, {down: whole[down]})
    assert "Tucker core" in refused(tmp_path, {**whole, f"{Q}.lora_mid.weight": torch.ones(4, 4)})
    assert "bias of the adapter" in refused(tmp_path, {**whole, f"{Q}.lora_B.bias": torch.ones(64)})
    assert "do not fit together" in refused(tmp_path, {**whole, up: torch.ones(64, 5)})
    assert "do not fit together" in refused(tmp_path, {**whole, up: torch.ones(64, 4, 1)})
    assert "do not fit together" in refused(tmp_path, {**whole, f"{Q}.dora_scale": torch.ones(63, 1)})
    hada = {f"{Q}.hada_{name}": torch.ones(4, 4) for name in ("w1_a", "w1_b", "w2_a")}
    assert "do not fit together" in refused(tmp_path, {**hada, f"{Q}.hada_w2_b": torch.ones(4, 5)})
    assert "which are the same" in refused(tmp_path, {**whole, f"{Q}.lora_A.second.weight": torch.ones(4, 64)})
    rotation = {f"{Q}.oft_blocks": torch.ones(8, 8, 8)}
    assert "do not fit together" in refused(tmp_path, {**rotation, f"{Q}.rescale": torch.ones(63, 1)})
    assert "do not fit together" in refused(tmp_path, {f"{Q}.oft_blocks": torch.ones(8, 8, 7)})
    assert "no whole LoRA" in refused(tmp_path, {**rotation, f"{Q}.dora_scale": torch.ones(64, 1)})
    assert "is a BOFT adapter" in refused(tmp_path, {f"{Q}.oft_blocks": torch.ones(2, 8, 8, 8)})
    assert "as I8" in refused(tmp_path, {**whole, up: torch.ones(64, 4, dtype=torch.int8)})
    assert "NaN" in refused(tmp_path, {**whole, up: torch.full((64, 4), torch.nan)})


@pytest.mark.parametrize(
    ("config", "message"),
    [
        ({"peft_type": "BOFT"}, "of the kind 'BOFT' of peft, which is not supported. Choose one of LORA"),
        ({"peft_type": "OFT", "num_cayley_neumann_terms": 10**9}, "damaged"),
        ({"peft_type": "OFT", "coft": True, "eps": "much"}, "damaged"),
        ({"lora_alpha": float("nan")}, "damaged"),
        ({"lora_alpha": "many"}, "damaged"),
        ({"lora_alpha": 1, "rank_pattern": [1]}, "damaged"),
        ({"lora_alpha": 10**400}, "a number has 401 digits"),
        ({"lora_alpha": 1, "r": float("inf")}, "damaged"),
    ],
)
def test_configs_that_cannot_be_used_are_refused(tmp_path: Path, config: dict[str, object], message: str) -> None:
    written(tmp_path / "adapter_model.safetensors", one_lora())
    (tmp_path / "adapter_config.json").write_text(json.dumps(config), encoding="utf-8")
    with pytest.raises(CheckpointError, match=message):
        inspect_adapter(tmp_path)


@pytest.mark.parametrize("pattern", [r"layers\.0\..*", "(([a-z0-9_.]+)+)+X", "("])
def test_no_regular_expression_of_a_file_is_run(tmp_path: Path, pattern: str) -> None:
    written(tmp_path / "adapter_model.safetensors", one_lora())
    config = {"lora_alpha": 8, "alpha_pattern": {pattern: 1}}
    (tmp_path / "adapter_config.json").write_text(json.dumps(config), encoding="utf-8")
    with pytest.raises(CheckpointError, match="a regular expression; only names of modules are read"):
        scale(tmp_path)


@pytest.mark.parametrize("metadata", [{"lokr_config": "["}, {"lora_adapter_metadata": "[1]"}])
def test_damaged_metadata_is_refused(tmp_path: Path, metadata: dict[str, str]) -> None:
    with pytest.raises(CheckpointError, match="damaged metadata"):
        inspect_adapter(written(tmp_path / "a.safetensors", one_lora(), metadata))


def test_a_pickle_of_older_peft_is_not_opened(tmp_path: Path) -> None:
    torch.save(one_lora(), tmp_path / "adapter_model.bin")
    (tmp_path / "adapter_config.json").write_text("{}", encoding="utf-8")
    with pytest.raises(CheckpointError, match=r"adapter_model\.bin is a PyTorch pickle, which can run code"):
        inspect_adapter(tmp_path)


def test_a_changed_config_is_another_adapter(tmp_path: Path, lora: RandomLora) -> None:
    path = write_peft_folder(tmp_path / "a", lora)
    before = adapter_key(inspect_adapter(path))
    assert adapter_key(inspect_adapter(path)) == before
    (path / "adapter_config.json").write_text('{"peft_type": "LORA", "r": 4, "lora_alpha": 4.25}', encoding="utf-8")
    assert adapter_key(inspect_adapter(path)) != before


def test_what_is_loaded_does_not_follow_the_file(tmp_path: Path, lora: RandomLora) -> None:
    path = write_peft_folder(tmp_path / "a", lora)
    loaded = load_adapter(inspect_adapter(path)).weights[f"{Q}.weight"]
    before = adapter_matrix(loaded)
    file = path / "adapter_model.safetensors"
    zeros = {name: torch.zeros_like(tensor) for name, tensor in load_file(file).items()}
    file.write_bytes(b"\0" * file.stat().st_size)
    save_file(zeros, file)
    assert torch.equal(adapter_matrix(loaded), before)


def test_settings_do_not_outweigh_an_alpha_in_the_file(tmp_path: Path) -> None:
    written(tmp_path / "adapter_model.safetensors", {**one_lora(), f"{Q}.alpha": torch.tensor(2.0)})
    (tmp_path / "adapter_config.json").write_text('{"lora_alpha": 8, "use_rslora": true}', encoding="utf-8")
    files = inspect_adapter(tmp_path)
    assert isinstance(files, AdapterFiles) and isinstance(files.settings, AdapterScaling)
    assert scale(tmp_path) == 0.5
