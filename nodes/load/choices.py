"""Which files and folders the loader offers, and where a choice leads.

A place is "<model folder>/<name>": a weight file of one of the host's folders, or a folder in the official or the
diffusers layout below `models/ace_step`. What is shown of it is its name as ComfyUI's own loaders show it, of a folder
its last part: the page offers downloads only for a value that equals a file's name. Where two places of one list would
look the same, both are shown whole. The music box, which the pack brings, comes last. Only names are looked at here,
because the host asks for the lists several times a prompt; what is inside is left to `ace_core/checkpoints`.

Trap: workflows of the first versions hold whole places, and a name may become ambiguous after it was saved. Both stay
valid; an ambiguous name means the first place of the list.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Collection, Sequence
from pathlib import Path, PurePosixPath

from ...ace_core import checks
from ...ace_core.checkpoints.inspection import TEXT_ENCODER_FOLDERS, VAE_FOLDERS, ModelFiles, component_beside
from ...ace_core.checkpoints.kinds import PUBLISHED_TEXT_ENCODER, PUBLISHED_VAE
from ...ace_core.music_box import files as music_box
from ..host import folders

AUTO = "auto"
TEXT_ENCODER_FILE = f"text_encoders/{PUBLISHED_TEXT_ENCODER}"
PLANNER_MARK = "5hz"  # in the names of the official folders, acestep-5Hz-lm-1.7B and so on
ALL_IN_ONE_MARK = "_aio"
VAE_FILE = f"vae/{PUBLISHED_VAE}"
MUSIC_BOX = "music box"  # in the place of a model folder
MUSIC_BOX_NAME = f"{MUSIC_BOX} (built in)"
NAMELESS = ("text_encoder", "vae")  # folders whose names do not say what they belong to
_COMPONENTS = (
    "transformer",
    "condition_encoder",
    "audio_tokenizer",
    "audio_token_detokenizer",
    "scheduler",
    "tokenizer",
)
_ADVICE = "choose one of these, or add the missing file and refresh the page (R)"
WITHOUT_MODELS = "The template ACE-Step 00 Try it without models plays without any."
_PLANNER_NAME = re.compile(rf"{PLANNER_MARK}|planner|(?<![a-z])lm(?![a-z])|qwen_(1\.7b|4b)_ace15", re.IGNORECASE)


def model_places() -> list[str]:
    """Places of the model: single files, all-in-one checkpoints, official and diffusers folders."""
    others = (*TEXT_ENCODER_FOLDERS, *VAE_FOLDERS, *_COMPONENTS)
    folders = [
        name
        for name, last, files in _ace_step_folders()
        if files and last not in others and PLANNER_MARK not in last.lower()
    ]
    return [*_weight_files("diffusion_models"), *_weight_files("checkpoints"), *folders, f"{MUSIC_BOX}/model"]


def text_encoder_places() -> list[str]:
    """Places of the text encoder."""
    folders = [name for name, last, _ in _ace_step_folders() if last in TEXT_ENCODER_FOLDERS]
    return [*_weight_files("text_encoders"), *_weight_files("checkpoints"), *folders]


def vae_places() -> list[str]:
    """Places of the VAE."""
    folders = [name for name, last, _ in _ace_step_folders() if last in VAE_FOLDERS]
    return [*_weight_files("vae"), *_weight_files("checkpoints"), *folders]


def planner_places() -> list[str]:
    """Places of the 5 Hz language model: single files, all-in-one checkpoints, official folders.

    The first choice is the default, so names of planners come first, then those of all-in-one checkpoints.
    """
    folders = [name for name, last, files in _ace_step_folders() if files and PLANNER_MARK in last.lower()]
    choices = [*_weight_files("text_encoders"), *_weight_files("checkpoints"), *folders]
    choices.sort(key=lambda choice: (not _PLANNER_NAME.search(choice), ALL_IN_ONE_MARK not in choice))
    return [*choices, f"{MUSIC_BOX}/planner"]


def check_offered(name: str, choice: str, options: Collection[str]) -> None:
    """Refuse what is not in the list of a widget; ComfyUI 0.3.75 leaves that to the node.

    Raises:
        ValueError: it is not there, or is no file for this widget.
    """
    if choice not in options:
        raise ValueError(f"{name}: {checks.shown(choice)} not in {list(options)}: {_ADVICE}")


def shown(places: Sequence[str]) -> list[str]:
    """What a widget lists of some places, in their order."""
    counts = Counter(map(_name, places))
    return [name if counts[name] == 1 and name != AUTO else place for place in places for name in (_name(place),)]


def refusal(name: str, choice: str | None, places: Sequence[str]) -> str | None:
    """Why the host should not run a loader; None for a value that is there, or linked (None)."""
    if choice is None or _place(choice, places) is not None:
        return None
    return f"{name}: {checks.shown(choice)} not in {shown(places)}: {_ADVICE}. {WITHOUT_MODELS}"


def chosen_path(name: str, choice: str, places: Sequence[str]) -> Path:
    """Where the choice of a widget leads.

    Raises:
        ValueError: it is not there (any more).
    """
    place = _place(choice, places)
    if place is None:
        raise ValueError(refusal(name, choice, places))
    return _path(place)


def _place(choice: str, places: Sequence[str]) -> str | None:
    return choice if choice in places else next((place for place in places if _name(place) == choice), None)


def _name(place: str) -> str:
    """What is shown of a place where nothing else has this name."""
    folder, _, name = place.partition("/")
    if folder == MUSIC_BOX:
        return MUSIC_BOX_NAME
    if folder != folders.ACE_STEP_FOLDER:
        return name
    last = PurePosixPath(name).name
    return place if last in NAMELESS else last


def _path(place: str) -> Path:
    folder, _, name = place.partition("/")
    if folder == MUSIC_BOX:
        path: Path = getattr(music_box.built_in(), name)
        return path
    return folders.model_path(folder, name)


def text_encoder_path(choice: str, model: ModelFiles) -> Path:
    """Where the text encoder is; *auto* looks into the model's own checkpoint or bundle, then for the published name.

    Raises:
        ValueError: the choice is not there.
        FileNotFoundError: *auto* found none.
    """
    if choice != AUTO:
        return chosen_path("text_encoder", choice, text_encoder_places())
    return _component_path(model, TEXT_ENCODER_FOLDERS, TEXT_ENCODER_FILE, "text encoder")


def vae_path(choice: str, model: ModelFiles) -> Path:
    """Where the VAE is; see `text_encoder_path`."""
    if choice != AUTO:
        return chosen_path("vae", choice, vae_places())
    return _component_path(model, VAE_FOLDERS, VAE_FILE, "VAE")


def _component_path(model: ModelFiles, folders: tuple[str, ...], published: str, what: str) -> Path:
    beside = component_beside(model, folders)
    if beside is not None:
        return beside
    try:
        return _path(published)
    except FileNotFoundError as error:
        raise FileNotFoundError(
            f"no {what} belongs to {model.path.name}, and {error}. Choose one in the node, or put the published file "
            f"there and refresh the page (R). {WITHOUT_MODELS}"
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
