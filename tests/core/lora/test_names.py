"""Tensor names of adapter files, against the names that published checkpoints have."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from ace_core.lora.names import parse_name

KEYS = Path(__file__).parents[2] / "data" / "keys"


@pytest.mark.parametrize("size", ["2b", "xl"])
@pytest.mark.parametrize("layout", ["official", "diffusers"])
def test_every_matrix_of_the_decoder_can_be_adapted(size: str, layout: str) -> None:
    shapes = json.loads((KEYS / f"dit_{size}_{layout}.json").read_text(encoding="utf-8"))
    decoder = {"official": "decoder.", "diffusers": "transformer/"}[layout]
    names = [
        name.removeprefix(decoder).removesuffix(".weight")
        for name, shape in shapes.items()
        if name.startswith(decoder) and name.endswith(".weight") and len(shape) == 2
    ]
    assert len(names) == {"2b": 24, "xl": 32}[size] * 11 + 7
    found = {parse_name(f"{prefix}{name}.alpha") for name in names for prefix in ("", "base_model.model.")}
    flat = {parse_name(f"lycoris_{name.replace('.', '_')}.alpha") for name in names}
    assert None not in found | flat
    assert {adapter.weight for adapter in found if adapter} == {adapter.weight for adapter in flat if adapter}
    assert len({adapter.weight for adapter in flat if adapter}) == len(names)
    if layout == "official":
        assert {adapter.weight for adapter in flat if adapter} == {f"{name}.weight" for name in names}


@pytest.mark.parametrize(
    "name",
    [
        "lora_te_layers_0_self_attn_q_proj.alpha",
        "text_encoder.layers.0.self_attn.q_proj.lora_A.weight",
        "diffusion_model.encoder.lyric_encoder.layers.0.self_attn.q_proj.lora_down.weight",
        "diffusion_model.tokenizer.attention_pooler.layers.0.self_attn.q_proj.lora_down.weight",
        "transformer_blocks.0.attn.to_q.lora_A.weight",
        "base_model.model.layers.0.self_attn.q_norm.lora_A.weight",
        "base_model.model.layers.0.self_attn.q_proj.weight",
        "base_model.model.proj_in.1.lora_A.weight",
        "lora_te1_model_layers_0_self_attn_q_proj.lora_up.weight",
        "text_encoders.qwen3_06b.transformer.model.layers.0.self_attn.q_proj.lora_A.weight",
        "diffusion_model.diffusion_model.layers.0.self_attn.q_proj.lora_A.weight",
        "lora_unet_transformer_layers_0_self_attn_q_proj.alpha",
        "lora_unet_layers.0.self_attn.q_proj.alpha",
        "base_model.model.layers_0_self_attn_q_proj.lora_A.weight",
        "base_model.model.model.model.layers.0.self_attn.q_proj.lora_A.weight",
        "base_model.model.lm_head.lora_A.weight",
        "base_model.model.model.embed_tokens.lora_embedding_A",
        "alpha",
    ],
)
def test_nothing_else_is_taken_for_the_decoders_or_the_planners(name: str) -> None:
    assert parse_name(name) is None


@pytest.mark.parametrize(
    ("prefix", "target"),
    [
        ("diffusion_model.decoder.", "model"),
        ("model.diffusion_model.", "model"),
        ("decoder.", "model"),
        ("decoder.base_model.model.", "model"),
        ("transformer.base_model.model.", "model"),
        ("base_model.model.decoder.", "model"),
        ("lora_unet_decoder_", "model"),
        ("lora_unet_", "model"),
        ("lora_transformer_", "model"),
        ("lycoris_decoder_", "model"),
        ("base_model.model.model.", "planner"),
        ("model.", "planner"),
        ("text_encoders.qwen3_2b.transformer.model.", "planner"),
        ("lycoris_model_", "planner"),
        ("base_model.model.", None),
        ("lycoris_", None),
        ("", None),
    ],
)
def test_a_prefix_says_whose_name_it_is(prefix: str, target: str | None) -> None:
    modules = (
        "layers.11.self_attn.q_proj",
        "layers.3.mlp.down_proj",
        "layers.0.cross_attn.v_proj",
        "condition_embedder",
    )
    for module in modules:
        spelled = module.replace(".", "_") if prefix.endswith("_") else module
        parsed = parse_name(f"{prefix}{spelled}.lora_A.weight")
        assert parsed is not None
        assert (parsed.weight, parsed.prefix, parsed.target) == (f"{module}.weight", prefix, target)
        assert parsed.is_decoders == (module in modules[2:])


def test_every_matrix_of_the_planner_can_be_adapted() -> None:
    shapes = json.loads((KEYS / "lm_1.7B.json").read_text(encoding="utf-8"))
    modules = [
        name.removesuffix(".weight")
        for name, shape in shapes.items()
        if len(shape) == 2 and name != "embed_tokens.weight"
    ]
    assert len(modules) == 28 * 7
    for module in modules:
        peft, flat = (
            parse_name(f"base_model.model.model.{module}.lora_B.weight"),
            parse_name(f"lycoris_{module.replace('.', '_')}.lokr_w1"),
        )
        assert peft is not None and flat is not None
        assert peft.weight == flat.weight == f"{module}.weight" in shapes
        assert peft.target == "planner" and flat.target is None


@pytest.mark.parametrize(
    ("ending", "part"),
    [
        (".lora_A.weight", "down"),
        (".lora_A.style_two.weight", "down"),
        (".lora_B", "up"),
        (".lora_up.weight", "up"),
        (".lora.down.weight", "down"),
        ("_lora.up.weight", "up"),
        (".lora_linear_layer.down.weight", "down"),
        (".lora_magnitude_vector", "magnitude"),
        (".lora_magnitude_vector.default.weight", "magnitude"),
        (".dora_scale", "magnitude"),
        (".lokr_w2_b", "lokr_w2_b"),
        (".lokr_w1.default", "lokr_w1"),
        (".hada_w1_a", "hada_w1_a"),
        (".lora_mid.weight", "Tucker core"),
        (".lokr_t2", "Tucker core"),
        (".lora_B.bias", "bias of the adapter"),
        (".scalar", "scalar"),
        (".oft_R.weight", "oft_R"),
        (".oft_R.default.weight", "oft_R"),
        (".oft_blocks", "oft_blocks"),
        (".rescale", "rescale"),
    ],
)
def test_parts(ending: str, part: str) -> None:
    parsed = parse_name(f"base_model.model.layers.3.cross_attn.o_proj{ending}")
    assert parsed is not None
    assert (parsed.weight, parsed.part) == ("layers.3.cross_attn.o_proj.weight", part)
