"""Tensor names of adapter files in every style -> the DiT's weight and the part of its adapter.

A name is a prefix, a module of the decoder and a part:

    base_model.model. + layers.0.self_attn.q_proj + .lora_A.weight           peft
    diffusion_model.decoder. + layers.0.self_attn.q_proj + .lora_down.weight  ComfyUI
    lora_unet_ + layers_0_self_attn_q_proj + .alpha                           kohya
    lycoris_ + layers_0_self_attn_q_proj + .lokr_w1                           LyCORIS
    transformer. + layers.0.self_attn.to_q + .lora_A.weight                   diffusers

Traps:
- The lyric and timbre encoders and the planner have `layers.N.self_attn.q_proj` too. Only the prefixes below may stand
  before `layers.`, so a text encoder's adapter never lands in the decoder.
"""

from __future__ import annotations

import re
from typing import NamedTuple

from ..checkpoints.adapter_parts import split_part

DIFFUSERS_SPELLING = {"q_proj": "to_q", "k_proj": "to_k", "v_proj": "to_v", "o_proj": "to_out.0"}

_PREFIX = re.compile(
    r"^(?:base_model_model_|model_|diffusion_model_|transformer_|decoder_|lora_unet_|lora_transformer_|lycoris_)*"
)
_ATTENTION = re.compile(r"layers_(\d+)_(self|cross)_attn_(q_proj|k_proj|v_proj|o_proj|to_q|to_k|to_v|to_out_0)")
_PROJECTIONS = {spelling.replace(".", "_"): name for name, spelling in DIFFUSERS_SPELLING.items()}
_OTHERS = (
    (re.compile(r"layers_(\d+)_mlp_(gate|up|down)_proj"), r"layers.\1.mlp.\2_proj"),
    (re.compile(r"(time_embed|time_embed_r)_(linear_1|linear_2|time_proj)"), r"\1.\2"),
    (re.compile(r"(condition_embedder)"), r"\1"),
)


class AdapterName(NamedTuple):
    """What a tensor's name says.

    Attributes:
        weight: the DiT's name of the adapted weight, `layers.0.self_attn.q_proj.weight`.
        part: "up", "down", "lokr_w1", "hada_w2_b", "alpha", "magnitude", ...
        spelled: the module as the file spells it, with its prefix.
    """

    weight: str
    part: str
    spelled: str


def parse_name(name: str) -> AdapterName | None:
    """What a tensor's name says; None if it is not a part of an adapter of the decoder."""
    found = split_part(name)
    module = None if found is None else _decoder_module(found[0])
    return None if found is None or module is None else AdapterName(f"{module}.weight", found[1], found[0])


def _decoder_module(spelled: str) -> str | None:
    """The decoder's module `spelled` stands for, in any spelling; matrices only, no norms and no convolutions."""
    flat = _PREFIX.sub("", spelled.replace(".", "_"))
    attention = _ATTENTION.fullmatch(flat)
    if attention is not None:
        layer, kind, projection = attention.groups()
        return f"layers.{layer}.{kind}_attn.{_PROJECTIONS.get(projection, projection)}"
    for pattern, module in _OTHERS:
        match = pattern.fullmatch(flat)
        if match is not None:
            return match.expand(module)
    return None
