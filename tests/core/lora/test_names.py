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
        "layers.0.self_attn.q_proj.oft_blocks",
        "alpha",
    ],
)
def test_nothing_else_is_taken_for_the_decoders(name: str) -> None:
    assert parse_name(name) is None


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
    ],
)
def test_parts(ending: str, part: str) -> None:
    parsed = parse_name(f"base_model.model.layers.3.cross_attn.o_proj{ending}")
    assert parsed is not None
    assert (parsed.weight, parsed.part) == ("layers.3.cross_attn.o_proj.weight", part)
