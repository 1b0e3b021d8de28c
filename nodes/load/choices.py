"""Which files and folders the loader offers, and where a choice leads.

A place is "<model folder>/<name>": a weight file of one of the host's folders, or a folder in the official or the
diffusers layout below `models/ace_step`. What is shown of it is its name as ComfyUI's own loaders show it, of a folder
its last part: the page offers downloads only for a value that equals a file's name. Where two places of one list would
look the same, both are shown whole. The music box, which the pack brings, comes last. Lists are made of names and of
what the configs of folders say, because the host asks for them several times a prompt; only *auto* looks into files.

Trap: workflows of the first versions hold whole places, and a name may become ambiguous after it was saved. Both stay
valid; an ambiguous name means the first place of the list.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Collection, Sequence
from pathlib import Path, PurePosixPath
from typing import NamedTuple

from ...ace_core import checks
from ...ace_core.checkpoints import kinds
from ...ace_core.checkpoints.components import component_beside, folder_kind, holders_of
from ...ace_core.checkpoints.inspection import ModelFiles
from ...ace_core.checkpoints.layouts import TEXT_ENCODER_FOLDERS, VAE_FOLDERS
from ...ace_core.music_box import files as music_box
from ..host import folders

AUTO = "auto"
TEXT_ENCODER_FILE = f"text_encoders/{kinds.PUBLISHED_TEXT_ENCODER}"
PLANNER_MARK = "5hz"  # in the names of the official folders, acestep-5Hz-lm-1.7B and so on
ALL_IN_ONE_MARK = "_aio"
VAE_FILE = f"vae/{kinds.PUBLISHED_VAE}"
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
    return [
        *_weight_files("diffusion_models"),
        *_weight_files("checkpoints"),
        *_ace_step_folders(kinds.MODEL),
        f"{MUSIC_BOX}/model",
    ]


def text_encoder_places() -> list[str]:
    """Places of the text encoder."""
    return [*_weight_files("text_encoders"), *_weight_files("checkpoints"), *_ace_step_folders(kinds.TEXT_ENCODER)]


def vae_places() -> list[str]:
    """Places of the VAE."""
    return [*_weight_files("vae"), *_weight_files("checkpoints"), *_ace_step_folders(kinds.VAE)]


def planner_places() -> list[str]:
    """Places of the 5 Hz language model: single files, all-in-one checkpoints, official folders.

    The first choice is the default, so names of planners come first, then those of all-in-one checkpoints.
    """
    choices = [*_weight_files("text_encoders"), *_weight_files("checkpoints"), *_ace_step_folders(kinds.PLANNER)]
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


class Component(NamedTuple):
    """A text encoder or a VAE, and how the node names it: its place, or where it comes with the model."""

    path: Path
    label: str


def text_encoder(choice: str, model: ModelFiles) -> Component:
    """The text encoder of a choice. *auto* looks into the model's own checkpoint or bundle, then for the published
    name, then into the files of the list: those of its own folder, folders of `ace_step`, checkpoints.

    Raises:
        ValueError: the choice is not there.
        FileNotFoundError: *auto* found none, or several.
    """
    return _component("text_encoder", choice, model, kinds.TEXT_ENCODER, text_encoder_places(), TEXT_ENCODER_FILE)


def vae(choice: str, model: ModelFiles) -> Component:
    """The VAE of a choice; see `text_encoder`."""
    return _component("vae", choice, model, kinds.VAE, vae_places(), VAE_FILE)


def _component(
    widget: str, choice: str, model: ModelFiles, kind: str, places: Sequence[str], published: str
) -> Component:
    if choice != AUTO:
        return Component(chosen_path(widget, choice, places), _place(choice, places) or choice)
    beside = component_beside(model, kind)
    if beside is not None:
        return Component(beside, "in the model's file" if beside == model.path else f"{beside.name}, beside the model")
    if published in places:
        return Component(_path(published), published)
    for folder in (published.partition("/")[0], folders.ACE_STEP_FOLDER, "checkpoints"):
        paths = {_path(place): place for place in places if place.startswith(f"{folder}/")}
        found = holders_of(kind, paths)
        if len(found) == 1:
            return Component(found[0], f"{paths[found[0]]}, found by what is in it")
        if found:
            names = ", ".join(paths[path] for path in found)
            raise FileNotFoundError(f"several hold a {kinds.spoken(kind)}: {names}. Choose one of them in {widget}.")
    raise FileNotFoundError(
        f"no {kinds.spoken(kind)} belongs to {model.path.name}, there is no {published}, and no other file of the list "
        f"holds one. Choose one in the node, or put the published file there and refresh the page (R). {WITHOUT_MODELS}"
    )


def _weight_files(folder: str) -> list[str]:
    return [f"{folder}/{name}" for name in folders.model_files(folder)]


def _ace_step_folders(kind: str) -> list[str]:
    """Folders below `models/ace_step` of a network, by what their config says, else by their names."""
    names = [PurePosixPath(name.replace("\\", "/")) for name in folders.model_files(folders.ACE_STEP_FOLDER)]
    weights = {name.parent for name in names if name.suffix == ".safetensors"}
    configs = {name.parent for name in names if name.name == "config.json"}
    indexed = configs | {name.parent for name in names if name.name == "model_index.json"}
    indexed |= {name.parent.parent for name in names if name.parent.name == "transformer"}
    found = []
    for folder in sorted(indexed - {PurePosixPath(".")}):
        is_network = folder in weights or folder / "transformer" in weights
        said = _said_kind(folder) if is_network and folder in configs else None
        named = _named_kind(folder.name) if is_network else _named_component(folder.name)
        if (said or named) == kind:
            found.append(f"{folders.ACE_STEP_FOLDER}/{folder}")
    return found


def _said_kind(folder: PurePosixPath) -> str | None:
    try:
        return folder_kind(folders.model_path(folders.ACE_STEP_FOLDER, f"{folder}/config.json"))
    except FileNotFoundError:
        return None


def _named_kind(name: str) -> str | None:
    """What a folder of this name holds whose config does not say it."""
    if name in _COMPONENTS:
        return None
    return _named_component(name) or (kinds.PLANNER if PLANNER_MARK in name.lower() else kinds.MODEL)


def _named_component(name: str) -> str | None:
    named = {kinds.TEXT_ENCODER: TEXT_ENCODER_FOLDERS, kinds.VAE: VAE_FOLDERS}
    return next((kind for kind, names in named.items() if name in names), None)
