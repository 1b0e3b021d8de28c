"""Where the weights and the config of a network lie, from whatever path a user chose.

A path may be a weight file, one shard or index of a set, the folder of one network, a diffusers pipeline folder, or the
official bundle that holds all of them in subfolders.
"""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path, PurePosixPath
from typing import Any

from ..json_files import checked_json
from . import configs, keys
from .files import CheckpointError, WeightFiles, has_weights, name_some, read_json
from .variants import MADE_FROM

MODEL_FOLDER = "acestep-v15-*"
TEXT_ENCODER_FOLDERS = ("text_encoder", "Qwen3-Embedding-0.6B")
VAE_FOLDERS = ("vae",)
_LOADER_INPUTS = ("unet_name", "ckpt_name")  # of ComfyUI's loaders of models


def settings_beside(weights: WeightFiles, chosen: Path) -> tuple[dict[str, Any], tuple[Path, ...]]:
    """`config.json` beside weights of a published folder; a flat model directory's belongs to something else.

    Without it, the header of a safetensors file may name the heads that follow the lyrics, as JSON under the name that
    `config.json` has for them: a single file of a size that was never published has no other place to do so.
    """
    folder = weights.path if weights.path.is_dir() else weights.path.parent
    published = weights.path.is_dir() or weights.path.name.startswith(("model.", "diffusion_pytorch_model."))
    config = folder / "config.json"
    if (published or chosen.is_dir()) and config.is_file():
        return read_json(config), (config,)
    title = weights.metadata.get("modelspec.title")  # ComfyUI's Save Model writes the name it was saved under
    settings: dict[str, Any] = {} if title is None else {"model_version": title}
    if sources := _saved_from(weights.metadata.get("prompt", "")):
        settings[MADE_FROM] = sources
    heads = weights.metadata.get(configs.LYRIC_HEADS)
    if heads is None:
        return settings, ()
    try:
        return settings | {configs.LYRIC_HEADS: checked_json(heads)}, ()
    except ValueError as error:
        raise CheckpointError(f"the header of {weights.path} sets {configs.LYRIC_HEADS} to no JSON: {error}") from error


def _saved_from(prompt: str) -> list[str]:
    """Names of the model files in the graph that ComfyUI saved a file by; none in what is no such graph."""
    try:
        nodes = checked_json(prompt)
        inputs = [node["inputs"] for node in nodes.values()]
        chosen = [item[name] for item in inputs for name in _LOADER_INPUTS if isinstance(item.get(name), str)]
    except (ValueError, AttributeError, KeyError, TypeError):
        return []
    return sorted({PurePosixPath(name.replace("\\", "/")).name for name in chosen})


def published_name(path: Path) -> str:
    """The name a variant may be read from: a published folder's own, whatever its files are called."""
    return path.parent.name if path.name.startswith(("model.", "model-")) else path.name


def is_pipeline(path: Path) -> bool:
    """Whether a folder has the diffusers layout."""
    return all((path / component).is_dir() for component in ("transformer", "condition_encoder"))


def model_root(path: Path) -> Path:
    """The file or folder the model is read from: a component leads to its pipeline, a bundle to its one model."""
    if not path.exists():
        raise CheckpointError(f"{path} does not exist.")
    folder = path if path.is_dir() else path.parent
    if folder.name in keys.DIFFUSERS_PREFIXES and is_pipeline(folder.parent):
        return folder.parent
    if not path.is_dir() or is_pipeline(path) or has_weights(path):
        return path
    models = sorted(child for child in path.glob(MODEL_FOLDER) if child.is_dir())
    if len(models) > 1:
        raise CheckpointError(
            f"{path} holds {name_some([model.name for model in models])}. Choose one of these folders."
        )
    return models[0] if models else path


def component_root(path: Path, folders: Iterable[str]) -> Path:
    """`path`, or for a pipeline or bundle its first existing one of `folders`."""
    if not path.exists():
        raise CheckpointError(f"{path} does not exist.")
    if path.is_dir() and not has_weights(path):
        for folder in folders:
            if (path / folder).is_dir():
                return path / folder
    return path
