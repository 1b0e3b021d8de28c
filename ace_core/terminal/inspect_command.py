"""`inspect FILE`: what a weight file or folder is, its variant and size, and what it lacks."""

from __future__ import annotations

import argparse
import math
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from ..checkpoints import kinds
from ..checkpoints.files import CheckpointError, read_weights
from ..checkpoints.inspection import (
    ModelFiles,
    WeightSource,
    inspect_model,
    inspect_planner,
    inspect_text_encoder,
    inspect_vae,
)
from ..checkpoints.layouts import is_pipeline
from ..checkpoints.leftovers import own_weights
from ..lora.formats import describe_adapter, inspect_adapter
from .console import Console


def add_options(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("file", type=Path, help="a weight file, or a folder in the official or the diffusers layout")


def run(options: argparse.Namespace, console: Console) -> dict[str, Any]:
    """Print what a file is, a line a fact.

    Raises:
        ValueError: it is not there, damaged, or nothing that this program knows.
    """
    facts = facts_of(options.file)
    for name, value in facts.items():
        console.result(f"{name.replace('_', ' ')}: {', '.join(value) if isinstance(value, list) else value}")
    return facts


def facts_of(path: Path) -> dict[str, Any]:
    """What a file or folder is, by name."""
    if is_pipeline(path):
        return _model_facts(inspect_model(path))
    weights = own_weights(read_weights(path)).weights
    kind, held = kinds.identify(weights.tensors), kinds.held_kinds(weights.tensors)
    if kinds.MODEL in held:
        facts = _model_facts(inspect_model(path))
        return facts if kind == kinds.MODEL else facts | {"holds": [*held]}
    inspectors: dict[str, Callable[[Path], WeightSource[Any]]] = {
        kinds.TEXT_ENCODER: inspect_text_encoder,
        kinds.PLANNER: inspect_planner,
        kinds.VAE: inspect_vae,
    }
    if kind in inspectors:
        return {"path": str(path), "kind": kind, **_source_facts(inspectors[kind](path))}
    if held:
        return {"path": str(path), "kind": kind, "holds": [*held]}
    if kind == kinds.ADAPTER:
        adapter = inspect_adapter(path)
        base = " ".join(filter(None, (adapter.base.size, adapter.base.variant))) or "not said"
        owner = adapter.target if adapter.is_said else "not said"
        facts = {"path": str(path), "kind": "adapter", "of": owner, "adapter": describe_adapter(adapter), "base": base}
        return facts if not adapter.unmatched else facts | {"not used": [*adapter.unmatched]}
    raise CheckpointError(f"{path} is {kind}, which this program does not use")


def _model_facts(model: ModelFiles) -> dict[str, Any]:
    lacks = [
        what
        for what, present in (
            ("the audio tokenizer (no audio codes, no cover)", model.audio_tokenizer is not None),
            ("the silence latent (computed with the VAE)", model.silence is not None),
            ("its variant (choose turbo, base or sft)", model.variant is not None),
        )
        if not present
    ]
    return {
        "path": str(model.path),
        "kind": "model",
        "size": model.size,
        "variant": model.variant or "not said",
        **_source_facts(model.dit),
        "lacks": lacks or ["nothing"],
    }


def _source_facts(source: WeightSource[Any]) -> Mapping[str, Any]:
    parameters = sum(math.prod(entry.shape) for entry in source.entries.values())
    dtype = str(source.dtype).removeprefix("torch.")
    return {
        "layout": source.layout,
        "parameters": parameters,
        "dtype": dtype,
        "files": [str(file) for file in source.files],
        **({"notes": [*source.notes]} if source.notes else {}),
    }
