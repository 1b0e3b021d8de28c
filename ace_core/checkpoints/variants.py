"""The variants of ACE-Step 1.5 checkpoints: how one was trained decides what it wants of the sampler.

Names of files and configs say it: acestep-v15-turbo-shift1, acestep_v1.5_xl_sft_bf16, acestep-v15-sftturbo50,
acestep_v1.5_merge_sft_turbo_ta_0.5. A merge is named after its parents. What ComfyUI saves has in its header the graph
it was made by, whatever the file is called: there are the names of the models it was made from.

Trap: a merge of turbo with another model says `is_turbo` false in its config, or has the config of either parent.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Literal, NamedTuple, TypeAlias, get_args

Variant: TypeAlias = Literal["turbo", "base", "sft", "turbo-shift1", "turbo-shift3", "turbo-continuous", "sft-turbo"]
VARIANTS: tuple[Variant, ...] = get_args(Variant)

MADE_FROM = "made_from"
_PARENTS: tuple[Variant, ...] = ("turbo", "base", "sft")
_TURBO_KINDS: Mapping[str, Variant] = {
    "shift1": "turbo-shift1",
    "shift3": "turbo-shift3",
    "continuous": "turbo-continuous",
}


class VariantReading(NamedTuple):
    """What a name says; `note` where that is a guess, for the user."""

    variant: Variant | None
    note: str | None = None


def is_distilled(variant: Variant) -> bool:
    """Whether guidance is built in: all turbo checkpoints, but no merge of one."""
    return variant.startswith("turbo")


def read_variant(name: str, settings: Mapping[str, Any]) -> VariantReading:
    """The variant of a model, from its config, its header or its name.

    Args:
        name: of a published folder or a file.
        settings: `is_turbo` and `model_version` of config.json; a file's title may stand for the latter. `MADE_FROM`:
            names of the models that a saved one was made from.
    """
    named = _named_variant(name, settings)
    sources = " and ".join(map(str, settings.get(MADE_FROM) or ()))
    made = _named_variant(sources, {}).variant
    if made in (None, named.variant) or named == VariantReading("sft-turbo"):
        return named
    return VariantReading(
        made, f"{name} was saved from {sources}: it is used like {made}. Choose another variant if it sounds wrong."
    )


def _named_variant(name: str, settings: Mapping[str, Any]) -> VariantReading:
    """What a name, a config and a title say."""
    texts = (str(settings.get("model_version") or "").lower(), name.lower())
    named = [[parent for parent in _PARENTS if parent in text] for text in texts]
    for text, parents in zip(texts, named, strict=True):
        if len(parents) > 1 or ("merge" in text and not any(named)):
            return _merge_of(parents, name)
    if settings.get("is_turbo"):
        family: Variant | None = "turbo"
    else:
        possible = _PARENTS if settings.get("is_turbo") is None else ("base", "sft")
        family = next((parent for parents in named for parent in parents if parent in possible), None)
    if family != "turbo":
        return VariantReading(family)
    kinds = (kind for word, kind in _TURBO_KINDS.items() if any(word in text for text in texts))
    return VariantReading(next(kinds, family))


def _merge_of(parents: Sequence[Variant], name: str) -> VariantReading:
    """What a merge is used like; a guess for all but the published kind."""
    if set(parents) == {"sft", "turbo"}:
        return VariantReading("sft-turbo")
    variant: Variant = "sft" if set(parents) == {"base", "sft"} else "sft-turbo"
    return VariantReading(
        variant,
        f"{name} is a merge ({' and '.join(parents) or 'of unnamed models'}) without published settings: it is used "
        f"like {variant}. Choose another variant if it sounds wrong.",
    )
