"""Which models a folder holds: a ComfyUI models folder, an official bundle, a diffusers folder, or a single file.

Files are recognised by the tensors in them, never by their names; names only decide which of several is taken first.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

from ..checkpoints import kinds
from ..checkpoints.files import CheckpointError, has_weights, read_weights
from ..checkpoints.inspection import ModelFiles, inspect_model

COMFYUI_FOLDERS = ("diffusion_models", "unet", "checkpoints", "text_encoders", "clip", "vae", "ace_step")
WEIGHT_SUFFIXES = (".safetensors", ".sft")
PIPELINE_PARTS = ("transformer", "condition_encoder")
LINKS = {
    kinds.MODEL: "https://huggingface.co/Comfy-Org/ace_step_1.5_ComfyUI_files",
    kinds.TEXT_ENCODER: "https://huggingface.co/Comfy-Org/ace_step_1.5_ComfyUI_files",
    kinds.VAE: "https://huggingface.co/Comfy-Org/ace_step_1.5_ComfyUI_files",
    kinds.PLANNER: "https://huggingface.co/Comfy-Org/ace_step_1.5_ComfyUI_files",
}


class FoundModels(NamedTuple):
    """Paths by what they hold: models, text encoders, VAEs and planners, the ones to take first in front."""

    models: tuple[Path, ...]
    text_encoders: tuple[Path, ...]
    vaes: tuple[Path, ...]
    planners: tuple[Path, ...]

    def of(self, kind: str) -> tuple[Path, ...]:
        """The paths of a kind of `checkpoints.kinds`."""
        return dict(zip((kinds.MODEL, kinds.TEXT_ENCODER, kinds.VAE, kinds.PLANNER), self, strict=True))[kind]


def find_models(root: Path) -> FoundModels:
    """Look through a folder; only headers are read.

    Raises:
        ValueError: there is no such file or folder.
    """
    if not root.exists():
        raise ValueError(f"there is no {root}: --models must be a folder with models, or a model file")
    found: dict[str, list[Path]] = {kind: [] for kind in (kinds.MODEL, kinds.TEXT_ENCODER, kinds.VAE, kinds.PLANNER)}
    for path in _candidates(root):
        for kind in _kinds_of(path):
            found[kind].append(path)
    models = sorted(found[kinds.MODEL], key=lambda path: ("turbo" not in path.name, str(path)))
    return FoundModels(tuple(models), *(tuple(found[kind]) for kind in (kinds.TEXT_ENCODER, kinds.VAE, kinds.PLANNER)))


def choose(found: FoundModels, kind: str, chosen: Path | None, root: Path) -> Path:
    """The path to use: the chosen one, by path or by the name it has in the folder, else the first.

    Raises:
        ValueError: there is none.
    """
    paths = found.of(kind)
    if chosen is None:
        if not paths:
            raise ValueError(f"{root} holds no {kind}: put {kinds.WANTED[kind]} there, from {LINKS[kind]}")
        return paths[0]
    if chosen.exists():
        return chosen
    named = [path for path in paths if chosen.name in (path.name, path.stem)]
    if not named:
        offered = ", ".join(path.name for path in paths) or "none"
        raise ValueError(f"there is no {kind} {chosen} in {root}: it holds {offered}")
    return named[0]


def beside_model(found: FoundModels, kind: str, chosen: Path | None, model: ModelFiles, root: Path) -> Path:
    """The text encoder or the VAE of a model: in its own checkpoint or pipeline, else as `choose` says."""
    if chosen is None and model.layout in ("all_in_one", "diffusers"):
        return model.path
    return choose(found, kind, chosen, root)


def _candidates(root: Path) -> Iterator[Path]:
    """Files and folders that may be networks."""
    if root.is_file() or has_weights(root) and not _is_models_folder(root):
        yield root
        return
    if all((root / part).is_dir() for part in PIPELINE_PARTS):
        yield root
        return
    for path in sorted(root.iterdir()):
        if path.name.startswith("."):
            continue
        if path.is_dir():
            yield from _candidates(path)
        elif path.suffix in WEIGHT_SUFFIXES:
            yield path


def _is_models_folder(root: Path) -> bool:
    return root.name in COMFYUI_FOLDERS


def _kinds_of(path: Path) -> tuple[str, ...]:
    """What is in a candidate; nothing for what is no file of this system."""
    if path.is_dir() and all((path / part).is_dir() for part in PIPELINE_PARTS):
        return (kinds.MODEL, kinds.TEXT_ENCODER, kinds.VAE)
    try:
        kind = kinds.identify(read_weights(path).tensors)
        if kind == kinds.ALL_IN_ONE:
            inspect_model(path)
            return (kinds.MODEL, kinds.TEXT_ENCODER, kinds.VAE)
    except CheckpointError:
        return ()
    return (kind,) if kind in (kinds.MODEL, kinds.TEXT_ENCODER, kinds.VAE, kinds.PLANNER) else ()
