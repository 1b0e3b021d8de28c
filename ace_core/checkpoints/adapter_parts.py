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
    # Parts that change what the others mean; no file with them can be applied.
    (re.compile(r"(.+)\.lora_[AB](?:\.\w+)?\.bias"), "bias of the adapter"),
    (re.compile(r"(.+)\.(?:lora_mid\.weight|lokr_t[12]|hada_t[12])"), "Tucker core"),
    (re.compile(r"(.+)\.scalar"), "scalar"),
)
_NOT_ADAPTERS_ALONE = ("alpha", "scalar")  # other files have such names too


def split_part(name: str) -> tuple[str, str] | None:
    """The adapted module as a name spells it, and the part ("up", "down", "lokr_w1", "alpha", ...); or None."""
    for pattern, part in _PARTS:
        match = pattern.fullmatch(name)
        if match is not None:
            return match[1], part
    return None


def is_adapter_part(name: str) -> bool:
    """Whether only an adapter has a tensor of this name."""
    found = split_part(name)
    return found is not None and found[1] not in _NOT_ADAPTERS_ALONE
