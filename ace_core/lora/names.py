"""Tensor names of adapter files in every style -> the weight, the part of its adapter, and whose weight it is.

A name is a prefix, a module and a part; every published prefix is listed, and no other is read:

    base_model.model. + layers.0.self_attn.q_proj + .lora_A.weight           peft, around the decoder
    diffusion_model.decoder. + layers.0.self_attn.q_proj + .lora_down.weight  ComfyUI
    lora_unet_ + layers_0_self_attn_q_proj + .alpha                           kohya
    lycoris_ + layers_0_self_attn_q_proj + .lokr_w1                           LyCORIS
    transformer. + layers.0.self_attn.to_q + .lora_A.weight                   diffusers
    base_model.model.model. + layers.0.self_attn.q_proj + .lora_A.weight     peft, around the planner (Side-Step)

Traps:
- Decoder and planner both have `layers.N.self_attn.q_proj` and `layers.N.mlp.up_proj`, of the same shapes at the sizes
  of 2B and 1.7B. Bare names and those of LyCORIS fit both: there the rest of the file decides (`targets.py`).
- The lyric and timbre encoders and the text encoder have such layers too, behind prefixes that are not listed.
"""

from __future__ import annotations

import re
from typing import Literal, NamedTuple

from ..checkpoints.adapter_parts import split_part

Target = Literal["model", "planner"]

DIFFUSERS_SPELLING = {"q_proj": "to_q", "k_proj": "to_k", "v_proj": "to_v", "o_proj": "to_out.0"}

_PREFIXES: tuple[tuple[re.Pattern[str], Target | None], ...] = (  # whose names they stand before; None for either's
    (re.compile(r"(?:model\.)?diffusion_model\.(?:decoder\.)?"), "model"),
    (re.compile(r"(?:model\.)?decoder\.(?:base_model\.model\.)?"), "model"),
    (re.compile(r"transformer\.(?:decoder\.)?(?:base_model\.model\.)?"), "model"),
    (re.compile(r"base_model\.model\.(?:diffusion_model\.)?decoder\."), "model"),
    (re.compile(r"(?:lora_unet|lora_transformer)_(?:decoder_)?"), "model"),
    (re.compile(r"lycoris_(?:decoder_|transformer_(?:decoder_)?)"), "model"),
    (re.compile(r"(?:base_model\.model\.)?model\."), "planner"),  # transformers' Qwen3ForCausalLM
    (re.compile(r"text_encoders\.qwen3_[24]b\.transformer\.model\."), "planner"),  # ComfyUI
    (re.compile(r"lycoris_model_"), "planner"),
    (re.compile(r"(?:base_model\.model\.)?"), None),
    (re.compile(r"lycoris_"), None),
)
_ATTENTION = re.compile(r"layers\.(\d+)\.(self|cross)_attn\.(q_proj|k_proj|v_proj|o_proj|to_q|to_k|to_v|to_out\.0)")
_MLP = re.compile(r"layers\.(\d+)\.mlp\.(gate|up|down)_proj")
_DECODER_ALONE = re.compile(r"(time_embed|time_embed_r)\.(linear_1|linear_2|time_proj)|condition_embedder")
_DIFFUSERS = re.compile(r".*[._]to_(?:q|k|v|out[._]0)")  # which spells planners as transformers does
_PROJECTIONS = {spelling: name for name, spelling in DIFFUSERS_SPELLING.items()}
_FLAT = re.compile(
    r"layers_(?P<layer>\d+)_(?P<group>self_attn|cross_attn|mlp)_(?P<leaf>\w+)"
    r"|(?P<embedder>time_embed|time_embed_r)_(?P<linear>linear_1|linear_2|time_proj)|(?P<alone>condition_embedder)"
)


class AdapterName(NamedTuple):
    """What a tensor's name says.

    Attributes:
        weight: the network's name of the adapted weight, `layers.0.self_attn.q_proj.weight`.
        part: "up", "down", "lokr_w1", "hada_w2_b", "alpha", "magnitude", ...
        spelled: the module as the file spells it, with its prefix.
        prefix: what stands before the module.
        target: whose names have this prefix, or such a module; None where both have.
        is_decoders: whether only the decoder has such a module, or such a spelling.
    """

    weight: str
    part: str
    spelled: str
    prefix: str
    target: Target | None
    is_decoders: bool


def parse_name(name: str) -> AdapterName | None:
    """What a tensor's name says; None if it is not a part of an adapter of the decoder or the planner."""
    found = split_part(name)
    if found is None:
        return None
    spelled, part = found
    for pattern, target in _PREFIXES:
        match = pattern.match(spelled)
        module = None if match is None else _module(spelled[match.end() :], flat=match[0].endswith("_"))
        if match is not None and module is not None:
            is_decoders = not module.startswith("layers.") or ".cross_attn." in module
            is_decoders = is_decoders or _DIFFUSERS.fullmatch(spelled) is not None
            return AdapterName(f"{module}.weight", part, spelled, match[0], target, is_decoders)
    return None


def _module(spelled: str, *, flat: bool) -> str | None:
    """The network's module, in any spelling; matrices only, no norms and no convolutions."""
    name = _with_dots(spelled) if flat else spelled
    attention = _ATTENTION.fullmatch(name)
    if attention is not None:
        layer, kind, projection = attention.groups()
        return f"layers.{layer}.{kind}_attn.{_PROJECTIONS.get(projection, projection)}"
    return name if _MLP.fullmatch(name) or _DECODER_ALONE.fullmatch(name) else None


def _with_dots(flat: str) -> str:
    """A module's name whose dots were replaced by underscores; "" if it is none."""
    match = _FLAT.fullmatch(flat)
    if match is None:
        return ""
    if match["layer"] is not None:
        leaf = "to_out.0" if match["leaf"] == "to_out_0" else match["leaf"]
        return f"layers.{match['layer']}.{match['group']}.{leaf}"
    return match["alone"] or f"{match['embedder']}.{match['linear']}"
