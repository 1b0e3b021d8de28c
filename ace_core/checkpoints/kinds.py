"""What a set of tensors is, and the sentences for files that are not what they were chosen for.

Recognised by tensor names alone, so the answer does not depend on file names. Quantised files are refused here: their
integers or scaled float8 values would otherwise be read as plain weights.

Traps:
- The text encoder and the 5 Hz planner are the same network; only the number of rows of the embedding tells them apart.
  Qwen3-0.6B (the chat model) differs from Qwen3-Embedding-0.6B in that number too.
- Plain float8 without scales is a plain cast and allowed; the same dtype with scales beside it is not.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import Any, NamedTuple

from .adapter_parts import is_adapter_part, other_method
from .files import CheckpointError, StoredTensor, WeightFiles, name_some
from .keys import (
    ALL_IN_ONE_MODEL,
    ALL_IN_ONE_PLANNERS,
    ALL_IN_ONE_TEXT,
    ALL_IN_ONE_TEXT_ENCODERS,
    ALL_IN_ONE_VAE,
    strip_prefix,
)

CHAT_MODEL_ROWS = 151_936
PLANNER_ROWS = 217_204

MODEL = "model"
TEXT_ENCODER = "text encoder"
PLANNER = "planner"
VAE = "vae"
ALL_IN_ONE = "all in one"
SAVED_TEXT_ENCODERS = "text encoders as ComfyUI saves them"  # its Save CLIP puts the planner in too
SEVERAL_NETWORKS = (ALL_IN_ONE, SAVED_TEXT_ENCODERS)
ADAPTER = "a LoRA or LoKr adapter"

PUBLISHED_TEXT_ENCODER = "qwen_0.6b_ace15.safetensors"
PUBLISHED_VAE = "ace_1.5_vae.safetensors"
WANTED = {
    MODEL: "an ACE-Step 1.5 model: acestep_v1.5_turbo.safetensors, ace_step_1.5_turbo_aio.safetensors, a folder "
    "acestep-v15-*, or a diffusers folder",
    TEXT_ENCODER: f"the text encoder Qwen3-Embedding-0.6B: {PUBLISHED_TEXT_ENCODER}, or the folder "
    "Qwen3-Embedding-0.6B",
    PLANNER: "an ACE-Step 5 Hz language model: qwen_1.7b_ace15.safetensors, qwen_4b_ace15.safetensors, or a folder "
    "acestep-5Hz-lm-*",
    VAE: f"the ACE-Step 1.5 VAE: {PUBLISHED_VAE}, or the folder vae",
}
PREFIXES = {  # of the networks in an all-in-one checkpoint
    MODEL: (ALL_IN_ONE_MODEL,),
    TEXT_ENCODER: ALL_IN_ONE_TEXT_ENCODERS,
    PLANNER: ALL_IN_ONE_PLANNERS,
    VAE: (ALL_IN_ONE_VAE,),
}
DESCRIPTIONS = {
    MODEL: "the ACE-Step 1.5 model itself (diffusion transformer and condition encoder)",
    TEXT_ENCODER: "the text encoder Qwen3-Embedding-0.6B",
    PLANNER: f"an ACE-Step 5 Hz language model (the planner, {PLANNER_ROWS} tokens)",
    VAE: "the ACE-Step 1.5 VAE",
    ALL_IN_ONE: "a ComfyUI all-in-one checkpoint",
    SAVED_TEXT_ENCODERS: "a file of ComfyUI's Save CLIP",
}

PLAIN_DTYPES = ("BF16", "F16", "F32", "F8_E4M3", "F8_E5M2")
_INTEGER_BUFFERS = ("_levels", "_basis", "implicit_codebook")
_QUANTISED_NAME = re.compile(
    r".*(scaled_fp8|\.scale_weight|\.scale_input|\.weight_scale(_2|_inv)?|\.input_scale|\.pre_quant_scale|\.comfy_quant"
    r"|\.absmax|\.nested_absmax|\.quant_map|\.quant_state\..*|\.SCB|\.qweight|\.qzeros|\.g_idx)"
)


class _Rule(NamedTuple):
    kind: str
    matches: Callable[[Mapping[str, StoredTensor]], bool]


def _has(*fragments: str) -> Callable[[Mapping[str, StoredTensor]], bool]:
    return lambda tensors: all(any(fragment in name for name in tensors) for fragment in fragments)


def _starts(*prefixes: str) -> Callable[[Mapping[str, StoredTensor]], bool]:
    return lambda tensors: all(any(name.startswith(prefix) for name in tensors) for prefix in prefixes)


_QWEN3_NAMES = ("embed_tokens.weight", "layers.0.self_attn.q_norm.weight", "layers.0.mlp.gate_proj.weight")
_RULES = (
    _Rule(ADAPTER, lambda tensors: any(map(is_adapter_part, tensors))),
    _Rule("an ACE-Step 1.0 checkpoint", _has("genre_embedder.weight")),
    _Rule("an ACE-Step 1.0 checkpoint", _has("lyric_embs.weight")),
    _Rule("the VAE of ACE-Step 1.0", _has("vocoder.backbone.")),
    _Rule(ALL_IN_ONE, _starts(ALL_IN_ONE_MODEL + "encoder.lyric_encoder.")),
    _Rule("a checkpoint of another model", _starts(ALL_IN_ONE_MODEL)),
    *(
        _Rule(SAVED_TEXT_ENCODERS, _starts(prefix.removeprefix(ALL_IN_ONE_TEXT)))
        for prefix in (*ALL_IN_ONE_TEXT_ENCODERS, *ALL_IN_ONE_PLANNERS)
    ),
    _Rule(MODEL, _starts("encoder.lyric_encoder.", "decoder.layers.")),
    _Rule(
        "only the decoder of an ACE-Step 1.5 model, without its condition encoder",
        _starts("decoder.layers.0.cross_attn."),
    ),
    _Rule("only the transformer of a diffusers folder", _starts("proj_in_conv.", "condition_embedder.")),
    _Rule("only the condition encoder of a diffusers folder", _starts("lyric_encoder.", "timbre_encoder.")),
    _Rule("only the audio tokenizer of a diffusers folder", _starts("attention_pooler.", "quantizer.")),
    _Rule("only the detokenizer of a diffusers folder", _starts("special_tokens", "proj_out.")),
    _Rule(VAE, _starts("encoder.block.", "decoder.block.", "decoder.snake1.")),
    _Rule(VAE, _starts("encoder.layers.", "decoder.layers.1.layers.")),
    _Rule("a T5 text encoder (ACE-Step 1.0 used one)", _has("layer.0.SelfAttention.")),
    _Rule(ADAPTER, lambda tensors: any(other_method(name) is not None for name in tensors)),
    *(_Rule("Qwen3", _starts(*(prefix + name for name in _QWEN3_NAMES))) for prefix in ("", "model.")),
)


def spoken(kind: str) -> str:
    """A network's kind in a sentence."""
    return kind.upper() if kind == VAE else kind


def identify(tensors: Mapping[str, StoredTensor]) -> str:
    """What the tensors are: one of the constants above, or a description of something else."""
    for rule in _RULES:
        if rule.matches(tensors):
            return _qwen3_kind(tensors) if rule.kind == "Qwen3" else rule.kind
    return f"a file of tensors this pack does not know ({name_some(sorted(tensors), 3)})"


def held_kinds(tensors: Mapping[str, StoredTensor]) -> tuple[str, ...]:
    """The networks that a file holds: none, one, or several of an all-in-one checkpoint."""
    kind = identify(tensors)
    if kind not in SEVERAL_NETWORKS:
        return (kind,) if kind in WANTED else ()
    parts = {held: part_prefix(tensors, prefixes) for held, prefixes in PREFIXES.items()}
    return tuple(
        held
        for held, prefix in parts.items()
        if prefix is not None and (held == MODEL or identify(strip_prefix(tensors, prefix)) == held)
    )


def part_prefix(tensors: Mapping[str, StoredTensor], prefixes: Iterable[str]) -> str | None:
    """The first of `prefixes` that a file of several networks has, as it spells it."""
    spelled = (spelling for prefix in prefixes for spelling in (prefix, prefix.removeprefix(ALL_IN_ONE_TEXT)))
    return next((prefix for prefix in spelled if any(name.startswith(prefix) for name in tensors)), None)


def refuse(path: Path, kind: str, wanted: str) -> CheckpointError:
    """The error for a file that is `kind` where `wanted` was asked for."""
    return CheckpointError(f"{path} is {DESCRIPTIONS.get(kind, kind)}. Choose {WANTED[wanted]}.")


def refuse_quantised(weights: WeightFiles, settings: Mapping[str, Any]) -> None:
    """Raise CheckpointError if the weights are integers or come with scales (int8, nf4, nvfp4, scaled float8)."""
    scales = sorted(name for name in weights.tensors if _QUANTISED_NAME.fullmatch(name))
    others = sorted(
        f"{name} is {tensor.dtype}"
        for name, tensor in weights.tensors.items()
        if tensor.dtype not in PLAIN_DTYPES and not name.endswith(_INTEGER_BUFFERS)
    )
    if "_quantization_metadata" in weights.metadata:
        reason = "_quantization_metadata in its header"
    elif "quantization_config" in settings:
        reason = "quantization_config in its config.json"
    elif scales or others:
        reason = name_some(scales or others, 3)
    else:
        return
    raise CheckpointError(
        f"{weights.path} is quantised ({reason}) and cannot be read as plain weights. Use the bf16 file of the same "
        "model, or one in float8 without scales."
    )


def _qwen3_kind(tensors: Mapping[str, StoredTensor]) -> str:
    shapes = [tensor.shape for name, tensor in tensors.items() if name.endswith("embed_tokens.weight")]
    rows = shapes[0][0] if shapes[0] else 0
    if rows == CHAT_MODEL_ROWS:
        return f"a Qwen3 chat model ({rows} tokens)"
    return PLANNER if rows >= PLANNER_ROWS else TEXT_ENCODER
