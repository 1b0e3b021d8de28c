"""Which text encoder and which VAE go with a model where the user did not choose: by what is inside the files.

First what the model brings: in its own checkpoint or pipeline, or beside it in an official bundle. Then, of others, the
files that hold such a network, whatever their names are.
"""

from __future__ import annotations

from collections.abc import Iterable
from functools import lru_cache
from pathlib import Path

from . import kinds
from .files import CheckpointError, read_json, read_weights
from .inspection import ModelFiles
from .layouts import TEXT_ENCODER_FOLDERS, VAE_FOLDERS, is_pipeline
from .leftovers import own_weights
from .registry import FileStamp, stamp

COMPONENT_FOLDERS = {kinds.TEXT_ENCODER: TEXT_ENCODER_FOLDERS, kinds.VAE: VAE_FOLDERS}
_REMEMBERED = 512


def component_beside(model: ModelFiles, kind: str) -> Path | None:
    """Where a model brings its text encoder or its VAE; None where it brings none.

    Args:
        kind: `kinds.TEXT_ENCODER` or `kinds.VAE`.
    """
    if model.layout == "all_in_one":
        return model.path if kind in network_kinds(model.path) else None
    if model.layout == "comfyui":
        return None
    root = model.path if model.layout == "diffusers" else model.path.parent
    found = next((path for path in (root / folder for folder in COMPONENT_FOLDERS[kind]) if path.is_dir()), None)
    return root if found is not None and model.layout == "diffusers" else found


def holders_of(kind: str, paths: Iterable[Path]) -> list[Path]:
    """Those of some files and folders that hold such a network; only headers are read, each once."""
    return [path for path in paths if kind in network_kinds(path)]


def folder_kind(config: Path) -> str | None:
    """What the folder of a `config.json` holds, by what the config says; None where it says nothing that is known."""
    try:
        return _said_kind(config, *stamp([config]))
    except (CheckpointError, OSError):
        return None


@lru_cache(maxsize=_REMEMBERED)
def _said_kind(config: Path, _: FileStamp) -> str | None:
    settings = read_json(config)
    names = settings.get("architectures")
    name = str(settings.get("_class_name") or (names[0] if isinstance(names, list) and names else ""))
    if name.startswith("Qwen3"):
        rows = settings.get("vocab_size")
        if rows == kinds.CHAT_MODEL_ROWS:
            return None
        return kinds.PLANNER if isinstance(rows, int) and rows >= kinds.PLANNER_ROWS else kinds.TEXT_ENCODER
    return {"AutoencoderOobleck": kinds.VAE, "AceStepConditionGenerationModel": kinds.MODEL}.get(name)


def network_kinds(path: Path) -> tuple[str, ...]:
    """The networks in a file or a folder of one (see `kinds`); none in what is damaged or of another system."""
    try:
        if is_pipeline(path):
            return (kinds.MODEL, *(kind for kind, names in COMPONENT_FOLDERS.items() if _has_one(path, names)))
        return _kinds_in(path) if path.is_dir() else _kinds_in_file(path, *stamp([path]))
    except (CheckpointError, OSError):
        return ()


@lru_cache(maxsize=_REMEMBERED)
def _kinds_in_file(path: Path, _: FileStamp) -> tuple[str, ...]:
    return _kinds_in(path)


def _kinds_in(path: Path) -> tuple[str, ...]:
    return kinds.held_kinds(own_weights(read_weights(path)).weights.tensors)


def _has_one(folder: Path, names: Iterable[str]) -> bool:
    return any((folder / name).is_dir() for name in names)
