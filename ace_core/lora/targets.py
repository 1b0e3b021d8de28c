"""Whose weights the tensors of an adapter file belong to: the model's decoder, the planner, or something else.

Decided by names first: only the decoder has cross-attention and time embeddings, and most prefixes belong to one of the
two. Where names fit both, what the file says of itself decides: the base model, peft's task, the class it wrapped, and
marks of trainers. Shapes never decide, since a planner of 1.7B and a decoder of 2B have the same.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from ..checkpoints import kinds
from ..checkpoints.adapter_parts import other_method
from ..checkpoints.files import CheckpointError, WeightFiles, name_some
from .names import AdapterName, Target

BASE_FIELDS = (  # of the header and of a peft config; what trainers write the base model's name or path into
    "base_model",
    "base_model_name_or_path",
    "modelspec.architecture",
    "ss_base_model_version",
    "ss_sd_model_name",
)
TARGET_NAMES: Mapping[Target, str] = {"model": "the model's decoder", "planner": "the planner"}
OTHER_TARGET: Mapping[Target, Target] = {"model": "planner", "planner": "model"}
_ADVICE: Mapping[Target, str] = {
    "model": "Put it on the model: Load LoRA, or --lora.",
    "planner": "Put it on the planner, the 5 Hz language model: Load Planner LoRA, or --planner-lora.",
}
_TRAINER_MARKS: Mapping[str, Target] = {
    "hot_step_lm_trainer": "planner",
    "hot_step_lm_lokr": "planner",
    "hot_step_dit_trainer": "model",
}
_PLANNER_NAME = re.compile(r"5hz[-_ .]?lm|qwen[-_ ]?(1\.7|4)b[-_ ]ace", re.IGNORECASE)
_MODEL_NAME = re.compile(r"ace[-_ .]?step", re.IGNORECASE)
_PLANNER_CLASSES = ("Qwen3ForCausalLM", "Qwen3Model")
_MODEL_CLASSES = ("AceStep",)
_LANGUAGE_TASK = "CAUSAL_LM"

_FOREIGN = (
    (
        re.compile(
            r"genre_embedder|speaker_embedder|lyric_embs|lyric_encoder[._]encoders|transformer_blocks.*cross_attn"
        ),
        "an adapter of ACE-Step 1.0, which is another network",
    ),
    (
        re.compile(r"lyric_encoder|timbre_encoder|text_projector|attention_pooler|detokenizer|quantizer"),
        "an adapter of the condition encoder or audio tokenizer of ACE-Step 1.5; only decoder and planner are adapted",
    ),
    (
        re.compile(r"lora_te\d?_|text_encoders?[._]"),
        "an adapter of a text encoder; only decoder and planner are adapted",
    ),
    (re.compile(r"embed_tokens|lm_head"), "an adapter of a language model's token embedding, which is not adapted"),
    (
        re.compile(
            r"(down|up|mid)_blocks?[._]|(input|output)_blocks[._]|middle_block|(double|single|joint)_blocks[._]"
            r"|single_transformer_blocks[._]|(^|\.|lora_unet_)blocks[._]\d"
        ),
        "an adapter of an image or video model",
    ),
    (re.compile(r"transformer_blocks[._]"), "an adapter of ACE-Step 1.0 or of an image or video model"),
)


def said_target(sources: Iterable[Mapping[str, Any]]) -> Target | None:
    """What a header and a config say about whose adapter it is; None if they say nothing."""
    found = [target for source in sources for target in _said(source)]
    return found[0] if found else None


def targets_of(names: Iterable[AdapterName], said: Target | None) -> dict[str, Target | None]:
    """Whose weights stand behind each prefix of a file; None where nothing says it."""
    targets: dict[str, Target | None] = {}
    for name in names:
        if name.is_decoders:
            targets[name.prefix] = "model"
        else:
            targets.setdefault(name.prefix, name.target or said)
    return targets


def refuse_other_target(path: Path, target: Target, reason: str) -> CheckpointError:
    """The error for an adapter of the planner on the model, or the reverse."""
    other = OTHER_TARGET[target]
    return CheckpointError(
        f"{path} is an adapter of {TARGET_NAMES[other]} ({reason}), not of {TARGET_NAMES[target]}. {_ADVICE[other]}"
    )


def refuse_foreign(header: WeightFiles, target: Target) -> CheckpointError:
    """The error for a file in which no tensor belongs to an adapter of decoder or planner."""
    names: Sequence[str] = sorted(header.tensors)
    what = _foreign_kind(header, names)
    return CheckpointError(
        f"{header.path} is {what}: it holds {name_some(names, 3) or 'no tensors'}. Choose a LoRA, LoHa, LoKr or OFT of "
        f"{TARGET_NAMES[target]} of ACE-Step 1.5."
    )


def _said(source: Mapping[str, Any]) -> Iterable[Target]:
    for mark, target in _TRAINER_MARKS.items():
        if mark in source:
            yield target
    for field in BASE_FIELDS:
        name = str(source.get(field) or "").replace("\\", "/").rstrip("/")
        if _PLANNER_NAME.search(name):
            yield "planner"
        elif _MODEL_NAME.search(name.rpartition("/")[2]):
            yield "model"
    mapping = source.get("auto_mapping")
    wrapped = str(mapping.get("base_model_class") or "") if isinstance(mapping, dict) else ""
    if wrapped.startswith(_MODEL_CLASSES):
        yield "model"
    elif wrapped in _PLANNER_CLASSES or source.get("task_type") == _LANGUAGE_TASK:
        yield "planner"


def _foreign_kind(header: WeightFiles, names: Sequence[str]) -> str:
    """What such a file is, in words."""
    methods = sorted({method for method in map(other_method, names) if method is not None})
    if methods:
        return f"an adapter of the kind {' and '.join(methods)}, which is not supported"
    kind = kinds.identify(header.tensors)
    if kind in kinds.DESCRIPTIONS:
        return f"{kinds.DESCRIPTIONS[kind]}, no adapter"
    for pattern, what in _FOREIGN:
        if any(map(pattern.search, names)):
            return what
    return "no adapter that this pack knows"
