"""Whose weights an adapter file is for: what names and files say, at the published shapes, and other files."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import save_file
from torch import Tensor

from ace_core.checkpoints.files import CheckpointError
from ace_core.lora.formats import check_fits, inspect_adapter

KEYS = Path(__file__).parents[2] / "data" / "keys"
SIZES = (("2B", "dit_2b_official.json", "1.7B"), ("XL", "dit_xl_official.json", "4B"))
SITES = ("self_attn.q_proj", "self_attn.v_proj", "self_attn.o_proj", "mlp.up_proj")
Q = "layers.0.self_attn.q_proj"


def published(name: str, prefix: str = "") -> dict[str, tuple[int, ...]]:
    shapes = json.loads((KEYS / name).read_text(encoding="utf-8"))
    return {key.removeprefix(prefix): tuple(shape) for key, shape in shapes.items() if key.startswith(prefix)}


def lora(shapes: Mapping[str, tuple[int, ...]], prefix: str, layers: Iterable[int]) -> dict[str, Tensor]:
    """A LoRA of rank 1 on some sites of some layers."""
    tensors = {}
    for layer in layers:
        for site in SITES:
            rows, columns = shapes[f"layers.{layer}.{site}.weight"]
            name = f"{prefix}layers.{layer}.{site}"
            tensors[f"{name}.lora_A.weight"] = torch.zeros(1, columns)
            tensors[f"{name}.lora_B.weight"] = torch.zeros(rows, 1)
    return tensors


def lokr(modules: Iterable[str], rows: int = 64, columns: int = 64) -> dict[str, Tensor]:
    """A LoKr in the names that decoder and planner share."""
    tensors = {}
    for module in modules:
        name = f"lycoris_{module}".replace(".", "_")
        tensors[f"{name}.lokr_w1"], tensors[f"{name}.alpha"] = torch.ones(4, 4), torch.ones(1)
        tensors[f"{name}.lokr_w2_a"], tensors[f"{name}.lokr_w2_b"] = (
            torch.ones(rows // 4, 2),
            torch.ones(2, columns // 4),
        )
    return tensors


def peft_folder(path: Path, tensors: dict[str, Tensor], config: Mapping[str, Any]) -> Path:
    path.mkdir(parents=True)
    save_file(tensors, path / "adapter_model.safetensors")
    complete = {"peft_type": "LORA", "r": 1, "lora_alpha": 2, **config}
    (path / "adapter_config.json").write_text(json.dumps(complete), encoding="utf-8")
    return path


def one(path: Path, tensors: Mapping[str, Tensor], metadata: dict[str, str] | None = None) -> Path:
    save_file(dict(tensors), path, metadata=metadata)
    return path


def refusal(path: Path, target: Any = "model") -> str:
    with pytest.raises(CheckpointError) as caught:
        inspect_adapter(path, target)
    return str(caught.value)


@pytest.mark.parametrize("layers", ["some", "all"])
@pytest.mark.parametrize(("size", "decoder_keys", "planner_size"), SIZES)
def test_a_planner_adapter_never_lands_in_a_decoder_of_its_shapes(
    tmp_path: Path, size: str, decoder_keys: str, planner_size: str, layers: str
) -> None:
    """koda-dernet/Side-Step pull 64; planners of 1.7B and 4B have the shapes of decoders of 2B and XL."""
    planner = published(f"lm_{planner_size}.json")
    count = 20 if layers == "some" else 1 + max(int(name.split(".")[1]) for name in planner if "layers." in name)
    config = {"task_type": "CAUSAL_LM", "base_model_name_or_path": f"ACE-Step/acestep-5Hz-lm-{planner_size}"}
    path = peft_folder(tmp_path / "artist", lora(planner, "base_model.model.model.", range(count)), config)
    message = refusal(path)
    assert "is an adapter of the planner (its file says so), not of the model's decoder" in message
    assert "Load Planner LoRA, or --planner-lora" in message
    files = inspect_adapter(path, "planner")
    assert check_fits(files, planner, "the planner") == ()
    decoder = published(decoder_keys, "decoder.")
    if layers == "some":  # shapes alone would let it through
        assert all(stored.fits(decoder[name], shared=False) for name, stored in files.weights.items())
    own = peft_folder(tmp_path / "own", lora(decoder, "base_model.model.decoder.", range(20)), {})
    assert check_fits(inspect_adapter(own, "model"), decoder, f"DiT {size}", "turbo") == ()
    assert "is an adapter of the model's decoder (it holds base_model.model.decoder.layers.0" in refusal(own, "planner")
    assert "Load LoRA, or --lora" in refusal(own, "planner")


CONFIGS_OF_PLANNERS: dict[str, dict[str, Any]] = {
    "the base model": {"base_model_name_or_path": "/models/acestep-5Hz-lm-4B"},
    "a GGUF of HOT-Step": {"base_model_name_or_path": "models\\acestep-5Hz-lm-4B-BF16.gguf"},
    "ComfyUI's file": {"base_model_name_or_path": "text_encoders/qwen_1.7b_ace15.safetensors"},
    "peft's task": {"task_type": "CAUSAL_LM"},
    "the class": {"auto_mapping": {"base_model_class": "Qwen3Model", "parent_library": "transformers"}},
}


@pytest.mark.parametrize("said", CONFIGS_OF_PLANNERS)
def test_names_that_fit_both_are_whose_the_file_says(tmp_path: Path, said: str) -> None:
    tensors = lora({f"layers.0.{site}.weight": (8, 8) for site in SITES}, "base_model.model.", [0])
    path = peft_folder(tmp_path / "a", tensors, CONFIGS_OF_PLANNERS[said])
    assert inspect_adapter(path).target == "planner"
    assert inspect_adapter(path, "planner").is_said
    assert "its file says so" in refusal(path)


CONFIGS_OF_MODELS: dict[str, dict[str, Any]] = {
    "the base model": {"base_model_name_or_path": "ACE-Step/acestep-v15-turbo"},
    "the class": {"task_type": "FEATURE_EXTRACTION", "auto_mapping": {"base_model_class": "AceStepDiTModel"}},
}


@pytest.mark.parametrize("said", CONFIGS_OF_MODELS)
def test_a_self_attention_lora_of_the_decoder_says_whose_it_is(tmp_path: Path, said: str) -> None:
    tensors = lora({f"layers.0.{site}.weight": (8, 8) for site in SITES}, "base_model.model.", [0])
    path = peft_folder(tmp_path / "a", tensors, CONFIGS_OF_MODELS[said])
    assert inspect_adapter(path, "model").is_said
    assert "is an adapter of the model's decoder (its file says so)" in refusal(path, "planner")


@pytest.mark.parametrize(
    ("metadata", "target"),
    [
        ({"hot_step_lm_lokr": "v1"}, "planner"),
        ({"hot_step_lm_trainer": "v1"}, "planner"),
        ({"hot_step_dit_trainer": "v1"}, "model"),
        ({"base_model": "acestep-v15-xl-sft"}, "model"),
    ],
)
def test_a_lokr_of_the_same_names_is_whose_its_header_says(
    tmp_path: Path, metadata: dict[str, str], target: str
) -> None:
    """scragnog/HOT-Step-CPP writes LoKr of planner and decoder under the same names, marked in the header."""
    path = one(tmp_path / "lokr_weights.safetensors", lokr([Q, "layers.1.mlp.gate_proj"]), metadata)
    files = inspect_adapter(path)
    assert (files.target, files.is_said) == (target, True)
    assert "not of" in refusal(path, "planner" if target == "model" else "model")


@pytest.mark.parametrize("target", ["model", "planner"])
def test_what_nothing_says_is_used_as_asked_and_said(tmp_path: Path, target: Any) -> None:
    path = one(tmp_path / "lokr.safetensors", lokr([Q]))
    files = inspect_adapter(path, target)
    assert (files.target, files.is_said) == (target, False)
    variant: Any = "turbo" if target == "model" else None
    (remark,) = check_fits(files, {f"{Q}.weight": (64, 64)}, "m", variant)
    assert "nothing in the file says whether it was made for the model or the planner" in remark
    assert ("used as one of the planner" if target == "planner" else "used as one of the model's decoder") in remark
    with pytest.raises(CheckpointError, match=r"Or it is one for .*: its file does not say\."):
        check_fits(files, {}, "m", variant)
    with pytest.raises(CheckpointError, match=r"\(as it was asked for\), not of"):
        check_fits(files, {}, "m", None if variant else "turbo")


def test_cross_attention_is_the_decoders_whatever_the_file_says(tmp_path: Path) -> None:
    tensors = lora({f"layers.0.{site}.weight": (8, 8) for site in SITES}, "base_model.model.model.", [0])
    cross = {name.replace("self_attn", "cross_attn"): tensor.clone() for name, tensor in tensors.items()}
    path = peft_folder(tmp_path / "a", tensors | cross, {"task_type": "CAUSAL_LM"})
    files = inspect_adapter(path, "model")
    assert files.is_said and len(files.weights) == 7
    assert "it holds base_model.model.model" in refusal(path, "planner") or "its file" in refusal(path, "planner")


def test_a_file_with_both_is_read_by_both(tmp_path: Path) -> None:
    shapes = {f"layers.0.{site}.weight": (8, 8) for site in SITES}
    both = lora(shapes, "diffusion_model.decoder.", [0]) | lora(
        shapes, "text_encoders.qwen3_2b.transformer.model.", [0]
    )
    path = one(tmp_path / "both.safetensors", both, {"lora_alpha": "1"})
    (remark,) = check_fits(inspect_adapter(path, "model"), shapes, "m", "turbo")
    assert remark == "the file also adapts 4 weights of the planner: load it there too"
    (remark,) = check_fits(inspect_adapter(path, "planner"), shapes, "m")
    assert remark == "the file also adapts 4 weights of the model's decoder: load it there too"


def test_what_a_planner_cannot_use_is_named(tmp_path: Path) -> None:
    shapes = {f"layers.0.{site}.weight": (8, 8) for site in SITES}
    others = {"base_model.model.lm_head.lora_A.weight": torch.ones(1, 8)}
    path = peft_folder(tmp_path / "a", lora(shapes, "base_model.model.model.", [0]) | others, {})
    (remark,) = check_fits(inspect_adapter(path, "planner"), shapes, "the planner")
    assert remark == f"not used, because the planner has nothing of that name: {next(iter(others))}"


@pytest.mark.parametrize(("size", "width"), [("0.6B", 1024), ("1.7B", 2048), ("4B", 2560)])
def test_an_adapter_of_another_planner_is_refused_by_size(tmp_path: Path, size: str, width: int) -> None:
    shapes = published(f"lm_{size}.json")
    path = one(tmp_path / "a.safetensors", lora(shapes, "base_model.model.model.", [0]))
    other = published("lm_1.7B.json" if size != "1.7B" else "lm_4B.json")
    with pytest.raises(CheckpointError, match=rf"made for a planner that is {width} wide \({size}\), this one is"):
        check_fits(inspect_adapter(path, "planner"), other, "the planner")


LORA = ".lora_A.weight"
FOREIGN: dict[str, tuple[str, str]] = {
    "ACE-Step 1.0": (
        f"transformer_blocks.0.cross_attn.to_q{LORA}",
        "an adapter of ACE-Step 1.0, which is another network",
    ),
    "1.0's lyrics": (f"lyric_encoder.encoders.0.self_attn.linear_q{LORA}", "an adapter of ACE-Step 1.0"),
    "the condition encoder": (
        f"diffusion_model.encoder.lyric_encoder.layers.0.self_attn.q_proj{LORA}",
        "an adapter of the condition encoder or audio tokenizer of ACE-Step 1.5",
    ),
    "a text encoder": ("lora_te_layers_0_mlp_up_proj.lora_up.weight", "an adapter of a text encoder"),
    "a token embedding": (f"base_model.model.lm_head{LORA}", "an adapter of a language model's token embedding"),
    "SDXL": ("lora_unet_down_blocks_1_attentions_0_proj_in.lora_up.weight", "an adapter of an image or video model"),
    "Flux": (f"transformer.single_transformer_blocks.0.attn.to_q{LORA}", "an adapter of an image or video model"),
    "Wan": (f"diffusion_model.blocks.0.self_attn.q{LORA}", "an adapter of an image or video model"),
    "SD3": (f"transformer_blocks.0.attn.to_q{LORA}", "of ACE-Step 1.0 or of an image or video model"),
    "VeRA": ("base_model.model.layers.0.self_attn.q_proj.vera_lambda_b", "of the kind VeRA, which is not supported"),
    "IA3": ("base_model.model.layers.0.self_attn.q_proj.ia3_l", "of the kind IA3"),
    "IA3 of LyCORIS": ("lycoris_layers_0_self_attn_q_proj.on_input", "of the kind IA3"),
    "BOFT of peft": ("base_model.model.layers.0.self_attn.q_proj.boft_R", "of the kind BOFT"),
    "OFT of old peft": ("base_model.model.layers.0.self_attn.q_proj.oft_r", "of the kind OFT of peft before 0.16"),
    "GLoRA": ("lycoris_layers_0_self_attn_q_proj.a1.weight", "of the kind GLoRA"),
    "full": ("diffusion_model.decoder.layers.0.self_attn.q_proj.diff", "of the kind whole differences of weights"),
    "HRA": ("base_model.model.layers.0.self_attn.q_proj.hra_u", "of the kind another method of peft"),
    "a model": ("decoder.layers.0.self_attn.q_proj.weight", "the ACE-Step 1.5 model itself"),
    "a VAE": ("decoder.block.0.snake1.alpha", "the ACE-Step 1.5 VAE, no adapter"),
    "anything": ("strange", "no adapter that this pack knows"),
}


@pytest.mark.parametrize("what", FOREIGN)
def test_everything_else_is_refused_by_name(tmp_path: Path, what: str) -> None:
    name, sentence = FOREIGN[what]
    others = {"encoder.lyric_encoder.norm.weight": torch.ones(2)} if what == "a model" else {}
    if what == "a VAE":
        others = {"encoder.block.0.conv1.bias": torch.ones(2), "decoder.snake1.alpha": torch.ones(2)}
    path = one(tmp_path / "a.safetensors", {name: torch.ones(2, 2), **others})
    for target, owner in (("model", "the model's decoder"), ("planner", "the planner")):
        message = refusal(path, target)
        assert sentence in message and (name in message or others)
        assert message.endswith(f"Choose a LoRA, LoHa, LoKr or OFT of {owner} of ACE-Step 1.5.")


def test_an_empty_file_is_no_adapter(tmp_path: Path) -> None:
    assert "it holds no tensors" in refusal(one(tmp_path / "a.safetensors", {}))
