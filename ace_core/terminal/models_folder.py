"""Which models a folder holds: a ComfyUI models folder, an official bundle, a diffusers folder, or a single file.

Files are recognised by the tensors in them, never by their names; names only decide which of several is taken first.
"""

from __future__ import annotations

import argparse
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

from ..checkpoints import kinds
from ..checkpoints.components import component_beside, network_kinds
from ..checkpoints.files import CheckpointError, has_weights
from ..checkpoints.inspection import ModelFiles, inspect_model
from ..checkpoints.layouts import is_pipeline
from ..music_box.files import built_in

MUSIC_BOX = "music-box"
WEIGHT_SUFFIXES = (".safetensors", ".sft")
MODELS_LINK = "https://huggingface.co/Comfy-Org/ace_step_1.5_ComfyUI_files"
TAKEN_FIRST = ("acestep_v1.5_turbo.safetensors", kinds.PUBLISHED_TEXT_ENCODER, kinds.PUBLISHED_VAE)
SONG_KINDS = (kinds.MODEL, kinds.TEXT_ENCODER, kinds.VAE)
ALL_KINDS = (*SONG_KINDS, kinds.PLANNER)


class FoundModels(NamedTuple):
    """What a folder holds: paths by kind (see `checkpoints.kinds`), the ones to take first in front."""

    root: Path
    paths: Mapping[str, Sequence[Path]]

    def choose(self, kind: str, chosen: Path | None) -> Path:
        """The path to use: the chosen one, by path or by the name it has in the folder, else the first.

        Raises:
            ValueError: there is none.
        """
        if chosen is not None and chosen.exists():
            return chosen
        paths = self.paths[kind]
        if chosen is None and paths:
            return paths[0]
        if chosen is None:
            raise ValueError(f"{self.root} holds no {kind}: put {kinds.WANTED[kind]} there, from {MODELS_LINK}")
        for path in paths:
            if chosen.name in (path.name, path.stem):
                return path
        offered = ", ".join(path.name for path in paths) or "none"
        raise ValueError(f"there is no {kind} {chosen} in {self.root}: it holds {offered}")

    def beside(self, model: ModelFiles, kind: str, chosen: Path | None) -> Path:
        """The text encoder or the VAE of a model: the one that it brings, else as `choose` says."""
        if chosen is None:
            beside = component_beside(model, kind)
            if beside is not None:
                return beside
        return self.choose(kind, chosen)


def add_models_option(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--models",
        type=Path,
        default=_comfyui_models(),
        metavar="DIR",
        help="ComfyUI's models folder, a folder in the official or the diffusers layout, a file, or "
        f"{MUSIC_BOX}, the small model that comes with the pack; default: that of the ComfyUI around this pack",
    )


def find_models(root: Path | None) -> FoundModels:
    """Look through a folder; only headers are read.

    Raises:
        ValueError: no folder was given, or there is none of that name.
    """
    if root is None:
        raise ValueError(
            f"there are no models: give --models DIR, such as ComfyUI's models folder, or --models {MUSIC_BOX}"
        )
    if str(root) == MUSIC_BOX and not root.exists():
        root = built_in().model.parent
    if not root.exists():
        raise ValueError(f"there is no {root}: --models must be a folder with models, or a model file")
    found: dict[str, list[Path]] = {kind: [] for kind in ALL_KINDS}
    for path in _candidates(root, set()):
        for kind in _kinds_of(path):
            found[kind].append(path)
    for paths in found.values():
        paths.sort(key=lambda path: (path.name not in TAKEN_FIRST, "turbo" not in path.name, str(path)))
    return FoundModels(root, found)


def _comfyui_models() -> Path | None:
    """The models folder of the ComfyUI in whose custom_nodes this pack lies."""
    folder = Path(__file__).absolute().parents[3]
    models = folder.parent / "models"
    return models if folder.name == "custom_nodes" and models.is_dir() else None


def _candidates(root: Path, seen: set[Path]) -> Iterator[Path]:
    """Files and folders that may be networks; a link to a folder that was `seen` leads nowhere."""
    real = root.resolve()
    if real in seen:
        return
    seen.add(real)
    is_one_network = (root / "config.json").is_file() and has_weights(root)
    if root.is_file() or is_one_network or is_pipeline(root):
        yield root
        return
    for path in sorted(root.iterdir()):
        if path.name.startswith("."):
            continue
        if path.is_dir():
            yield from _candidates(path, seen)
        elif path.suffix in WEIGHT_SUFFIXES:
            yield path


def _kinds_of(path: Path) -> Sequence[str]:
    """What is in a candidate; no model of other shapes or with tensors of its own."""
    found = network_kinds(path)
    if kinds.MODEL in found and (len(found) > 1 or is_pipeline(path)):
        try:
            inspect_model(path)
        except CheckpointError:
            return ()
    return found
