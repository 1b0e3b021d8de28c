"""The variants of ACE-Step 1.5 checkpoints: how one was trained decides what it wants of the sampler."""

from __future__ import annotations

from typing import Literal, TypeAlias, get_args

Variant: TypeAlias = Literal["turbo", "base", "sft"]
VARIANTS: tuple[Variant, ...] = get_args(Variant)
