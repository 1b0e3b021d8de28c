"""Which files and folders the loader offers, and where a choice leads.

A choice is "<model folder>/<name>": a weight file of one of the host's folders, or a folder in the official or the
diffusers layout below `models/ace_step`. Only names are looked at here, because the host asks for the lists several
times a prompt; what is inside is left to `ace_core/checkpoints`.
"""

from __future__ import annotations

import re
from collections.abc import Collection
from pathlib import Path, PurePosixPath

from ...ace_core.checkpoints.inspection import TEXT_ENCODER_FOLDERS, VAE_FOLDERS, ModelFiles, component_beside
from ...ace_core.checkpoints.kinds import PUBLISHED_TEXT_ENCODER, PUBLISHED_VAE
from ..host import folders

AUTO = "auto"
TEXT_ENCODER_FILE = f"text_encoders/{PUBLISHED_TEXT_ENCODER}"
PLANNER_MARK = "5hz"  # in the names of the official folders, acestep-5Hz-lm-1.7B and so on
ALL_IN_ONE_MARK = "_aio"
VAE_FILE = f"vae/{PUBLISHED_VAE}"
_COMPONENTS = (
    "transformer",
    "condition_encoder",
    "audio_tokenizer",
    "audio_token_detokenizer",
    "scheduler",
    "tokenizer",
)
_PLANNER_NAME = re.compile(rf"{PLANNER_MARK}|planner|(?<![a-z])lm(?![a-z])|qwen_(1\.7b|4b)_ace15", re.IGNORECASE)


def model_options() -> list[str]:
    """Choices for the model: single files, all-in-one checkpoints, official and diffusers folders."""
    others = (*TEXT_ENCODER_FOLDERS, *VAE_FOLDERS, *_COMPONENTS)
    folders = [
        name
        for name, last, files in _ace_step_folders()
        if files and last not in others and PLANNER_MARK not in last.lower()
    ]
    return [*_weight_files("diffusion_models"), *_weight_files("checkpoints"), *folders]


def text_encoder_options() -> list[str]:
    """Choices for the text encoder, *auto* first."""
    folders = [name for name, last, _ in _ace_step_folders() if last in TEXT_ENCODER_FOLDERS]
    return [AUTO, *_weight_files("text_encoders"), *_weight_files("checkpoints"), *folders]


def vae_options() -> list[str]:
    """Choices for the VAE, *auto* first."""
    folders = [name for name, last, _ in _ace_step_folders() if last in VAE_FOLDERS]
    return [AUTO, *_weight_files("vae"), *_weight_files("checkpoints"), *folders]


def planner_options() -> list[str]:
    """Choices for the 5 Hz language model: single files, all-in-one checkpoints, official folders.

    The first choice is the default, so names of planners come first, then those of all-in-one checkpoints.
    """
    folders = [name for name, last, files in _ace_step_folders() if files and PLANNER_MARK in last.lower()]
    choices = [*_weight_files("text_encoders"), *_weight_files("checkpoints"), *folders]
    return sorted(choices, key=lambda choice: (not _PLANNER_NAME.search(choice), ALL_IN_ONE_MARK not in choice))


def check_offered(name: str, choice: str, options: Collection[str]) -> None:
    """Refuse what is not in the list of a widget; ComfyUI 0.3.75 leaves that to the node.

    Raises:
        ValueError: it is not there, or is no file for this widget.
    """
    if choice not in options:
        raise ValueError(
            f"{name}: {choice!r} not in {list(options)}: choose one of these, or add the missing file and refresh the "
            "page (R)"
        )


def chosen_path(choice: str) -> Path:
    """Where a choice leads.

    Raises:
        FileNotFoundError: it is not there (any more).
    """
    folder, _, name = choice.partition("/")
    return folders.model_path(folder, name)


def text_encoder_path(choice: str, model: ModelFiles) -> Path:
    """Where the text encoder is; *auto* looks into the model's own checkpoint or bundle, then for the published name.

    Raises:
        FileNotFoundError: *auto* found none.
    """
    return _component_path(choice, model, TEXT_ENCODER_FOLDERS, TEXT_ENCODER_FILE, "text encoder")


def vae_path(choice: str, model: ModelFiles) -> Path:
    """Where the VAE is; see `text_encoder_path`."""
    return _component_path(choice, model, VAE_FOLDERS, VAE_FILE, "VAE")


def _component_path(choice: str, model: ModelFiles, folders: tuple[str, ...], published: str, what: str) -> Path:
    if choice != AUTO:
        return chosen_path(choice)
    beside = component_beside(model, folders)
    if beside is not None:
        return beside
    try:
        return chosen_path(published)
    except FileNotFoundError as error:
        raise FileNotFoundError(
            f"no {what} belongs to {model.path.name}, and {error}. Choose one in the node, or put the published file "
            f"there and refresh the page (R)."
        ) from error


def _weight_files(folder: str) -> list[str]:
    return [f"{folder}/{name}" for name in folders.model_files(folder)]


def _ace_step_folders() -> list[tuple[str, str, bool]]:
    """Choice, last part of the path and "is a model" of every folder below `models/ace_step` that holds a config."""
    names = [PurePosixPath(name.replace("\\", "/")) for name in folders.model_files(folders.ACE_STEP_FOLDER)]
    weights = {name.parent for name in names if name.suffix == ".safetensors"}
    indexed = {name.parent for name in names if name.name in ("config.json", "model_index.json")}
    indexed |= {name.parent.parent for name in names if name.parent.name == "transformer"}
    return [
        (f"{folders.ACE_STEP_FOLDER}/{folder}", folder.name, folder in weights or folder / "transformer" in weights)
        for folder in sorted(indexed)
        if folder != PurePosixPath(".")
    ]
