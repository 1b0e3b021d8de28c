"""How adapter files of every style spell the parts of an adapter: the ends of their tensors' names.

Trap: peft's A is the matrix that comes first (down) and B the one after it (up); kohya's names say it.
"""

from __future__ import annotations

import re

_PARTS = (
    (re.compile(r"(.+)\.lora_A(?:(?:\.\w+)?\.weight)?"), "down"),
    (re.compile(r"(.+)\.lora_B(?:(?:\.\w+)?\.weight)?"), "up"),
    (re.compile(r"(.+)(?:\.lora_down|[._]lora\.down|\.lora_linear_layer\.down)\.weight"), "down"),
    (re.compile(r"(.+)(?:\.lora_up|[._]lora\.up|\.lora_linear_layer\.up)\.weight"), "up"),
    (re.compile(r"(.+)\.(?:dora_scale|lora_magnitude_vector(?:\.\w+)?(?:\.weight)?)"), "magnitude"),
    (re.compile(r"(.+)\.alpha"), "alpha"),
    *(
        (re.compile(rf"(.+)\.{part}(?:\.\w+)?"), part)
        for part in ("lokr_w1", "lokr_w1_a", "lokr_w1_b", "lokr_w2", "lokr_w2_a", "lokr_w2_b")
    ),
    *((re.compile(rf"(.+)\.{part}(?:\.\w+)?"), part) for part in ("hada_w1_a", "hada_w1_b", "hada_w2_a", "hada_w2_b")),
    (re.compile(r"(.+)\.oft_R(?:\.\w+)?\.weight"), "oft_R"),
    (re.compile(r"(.+)\.oft_blocks"), "oft_blocks"),
    (re.compile(r"(.+)\.rescale"), "rescale"),
    # Parts that change what the others mean; no file with them can be applied.
    (re.compile(r"(.+)\.lora_[AB](?:\.\w+)?\.bias"), "bias of the adapter"),
    (re.compile(r"(.+)\.(?:lora_mid\.weight|lokr_t[12]|hada_t[12])"), "Tucker core"),
    (re.compile(r"(.+)\.scalar"), "scalar"),
)
_NOT_ADAPTERS_ALONE = ("alpha", "scalar", "rescale")  # other files have such names too

_OTHER_METHODS = (
    (re.compile(r"boft_[RsP]"), "BOFT"),
    (re.compile(r"oft_[rs]"), "OFT of peft before 0.16"),
    (re.compile(r"p?vera_(lambda_[bd]|[AB])"), "VeRA"),
    (re.compile(r"ia3_l|on_input"), "IA3"),
    (re.compile(r"glora_\w+|[ab][12]\.weight"), "GLoRA"),
    (re.compile(r"lora_E|ranknum"), "AdaLoRA"),
    (re.compile(r"lora_embedding_[AB]"), "LoRA of a token embedding"),
    (re.compile(r"lambda_layer|[qp]_layer\.weight"), "T-LoRA"),
    (re.compile(r"diff|diff_b|[wb]_norm"), "whole differences of weights"),
    (re.compile(r"randlora_\w+"), "RandLoRA"),
    (re.compile(r"(bone|miss)_\w+"), "MiSS"),
    (re.compile(r"(gra|tiny|uni)lora_\w+|vblora_\w+|x?lora_router\w*"), "a relative of LoRA"),
    (re.compile(r"(c3a|delora|fourierft|frod|hira|hra|lily|psoft|road|shira|waveft)_\w+"), "another method of peft"),
    (re.compile(r"(trainable_tokens|token_adapter|prompt_embeddings)\w*"), "trained tokens"),
)


def split_part(name: str) -> tuple[str, str] | None:
    """The adapted module as a name spells it, and the part ("up", "down", "lokr_w1", "alpha", ...); or None."""
    for pattern, part in _PARTS:
        match = pattern.fullmatch(name)
        if match is not None:
            return match[1], part
    return None


def other_method(name: str) -> str | None:
    """The method whose adapters have tensors of this name, where it is none that can be applied."""
    tails = name.removesuffix(".weight").split(".")[-2:]
    ends = {*tails, ".".join(name.split(".")[-2:])}
    return next((method for pattern, method in _OTHER_METHODS if any(map(pattern.fullmatch, ends))), None)


def is_adapter_part(name: str) -> bool:
    """Whether only an adapter has a tensor of this name."""
    found = split_part(name)
    return found is not None and found[1] not in _NOT_ADAPTERS_ALONE
