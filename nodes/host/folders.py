"""Folders of the host: where models, datasets, inputs and outputs lie, and names that must stay inside them.

Trap: a name from a workflow may be anything. `below` is the one way from a name to a path that stays inside a folder.
"""

from __future__ import annotations

import os
from collections.abc import Collection
from pathlib import Path

import folder_paths

from ...ace_core.checks import shown

ACE_STEP_FOLDER = "ace_step"
DATASETS_FOLDER = "ace_step_datasets"  # key of further dataset roots, and the folder of their labels in the output
TRAINING_FOLDER = "ace_step_training"
INPUT_ROOT = "input"
LISTED_LEVELS = 2
LONGEST_NAME = 255  # bytes, on every common file system
ROOM_IN_NAMES = 75  # for number, suffix and the mark of an unfinished file


def below(root: str | Path, name: str, *, links_may_leave: bool = False) -> Path | None:
    """Absolute path of `name` below `root`; None where it leads out of it.

    Args:
        links_may_leave: for model folders, whose links often lead to other disks. Elsewhere links are resolved first.
    """
    if not _can_be_a_path(name):
        return None
    resolve = os.path.abspath if links_may_leave else os.path.realpath
    start = Path(resolve(root))
    path = Path(resolve(start / name))
    return path if path.is_relative_to(start) else None


def _can_be_a_path(name: str) -> bool:
    """Whether a file system takes a name: no NUL, no half of a character, no part of more than 255 bytes."""
    try:
        return "\0" not in name and all(len(os.fsencode(part)) <= LONGEST_NAME for part in name.split("/"))
    except UnicodeEncodeError:
        return False


def new_file_names(root: str, prefix: str) -> tuple[str, str, int, str, str]:
    """The host's `get_save_image_path`: where new files of a name go, and the next number.

    Raises:
        ValueError: the name leads out of `root`, or is none that a file can have.
    """
    if below(root, prefix, links_may_leave=True) is None:
        raise ValueError(f"the name {shown(prefix)} leads out of {root}, or no file can be called so: choose another")
    if len(os.fsencode(os.path.basename(prefix))) > LONGEST_NAME - ROOM_IN_NAMES:
        longest = LONGEST_NAME - ROOM_IN_NAMES
        raise ValueError(f"the name {shown(prefix)} is too long: choose one of {longest} bytes at most")
    return folder_paths.get_save_image_path(prefix, root)


def register_model_folder() -> None:
    """Make `models/ace_step` known, for folders in the official and the diffusers layout."""
    folder_paths.add_model_folder_path(ACE_STEP_FOLDER, str(Path(folder_paths.models_dir) / ACE_STEP_FOLDER))
    paths, extensions = folder_paths.folder_names_and_paths[ACE_STEP_FOLDER]
    folder_paths.folder_names_and_paths[ACE_STEP_FOLDER] = (paths, set(extensions) | {".safetensors", ".json"})


def register_dataset_folder() -> None:
    """Make `models/ace_step_datasets` known as a root of datasets, beside those of extra_model_paths.yaml."""
    folder_paths.add_model_folder_path(DATASETS_FOLDER, str(Path(folder_paths.models_dir) / DATASETS_FOLDER))


def dataset_roots() -> dict[str, Path]:
    """Folders that datasets may lie in, by the names that choices begin with: `input`, then those configured."""
    roots = {INPUT_ROOT: Path(os.path.realpath(folder_paths.get_input_directory()))}
    for configured in folder_paths.get_folder_paths(DATASETS_FOLDER):
        root = Path(os.path.realpath(configured))
        if root.is_dir() and root not in roots.values():
            names = (root.name, *(f"{root.name} ({number})" for number in range(2, 100)))
            roots[next(name for name in names if name not in roots)] = root
    return roots


def dataset_folders() -> list[str]:
    """Folders of the dataset roots, two levels deep, and the configured roots themselves."""
    choices: list[str] = []
    for name, root in dataset_roots().items():
        if name != INPUT_ROOT:
            choices.append(name)
        choices += (f"{name}/{below}" for below in _folders_below(root, LISTED_LEVELS))
    return choices


def _folders_below(folder: Path, levels: int) -> list[str]:
    """Names of folders, without hidden ones and links."""
    try:
        with os.scandir(folder) as entries:
            names = sorted(
                entry.name
                for entry in entries
                if not entry.name.startswith(".") and entry.is_dir(follow_symlinks=False)
            )
    except OSError:  # not readable: nothing to choose there
        return []
    found = []
    for name in names:
        found.append(name)
        if levels > 1:
            found += (f"{name}/{below}" for below in _folders_below(folder / name, levels - 1))
    return found


def dataset_folder(choice: str) -> tuple[Path, Path]:
    """The dataset root and the folder that a choice such as `input/my songs` leads to; links are resolved.

    Raises:
        FileNotFoundError: there is none of this name; a name cannot lead out of the roots.
    """
    roots = dataset_roots()
    root_name, _, rest = choice.replace("\\", "/").partition("/")
    if root_name in roots and ".." not in rest.split("/"):
        root = roots[root_name]
        folder = below(root, rest.lstrip("/"))
        if folder is not None and folder.is_dir():
            return root, folder
    raise FileNotFoundError(
        f"there is no dataset folder {shown(choice)}: it must be one below {', '.join(roots)}, and no link that leads "
        f"out of it (more roots: {DATASETS_FOLDER} in extra_model_paths.yaml)"
    )


def label_files() -> list[str]:
    """Dataset files that labelling wrote into the output folder, marked as the host marks them."""
    folder = Path(folder_paths.get_output_directory()) / DATASETS_FOLDER
    return [f"{DATASETS_FOLDER}/{path.name} [output]" for path in sorted(folder.glob("*.json"))]


def model_files(folder: str) -> list[str]:
    """Relative paths of the files in one of the host's model folders; cached by the host.

    The host looks at every folder of its last list and raises for one that was deleted since, so that the node that
    asked is missing from the page; it then has to list again.
    """
    try:
        return folder_paths.get_filename_list(folder)
    except FileNotFoundError:
        folder_paths.filename_list_cache.pop(folder, None)
        return folder_paths.get_filename_list(folder)


def model_path(folder: str, name: str) -> Path:
    """Absolute path of a file or folder below one of the host's model folders.

    Raises:
        FileNotFoundError: nothing of that name there; a name cannot lead out of the folder.
    """
    roots = folder_paths.get_folder_paths(folder)
    for root in roots:
        path = below(root, name, links_may_leave=True)
        if path is not None and path.exists():
            return path
    raise FileNotFoundError(f"there is no {shown(name)} in {', '.join(roots)}")


def user_files(suffixes: Collection[str]) -> list[str]:
    """Files in the input folder, and in the output folder and below it, marked as the host marks them.

    Args:
        suffixes: in lower case, with their dots.
    """
    inputs, output = Path(folder_paths.get_input_directory()), Path(folder_paths.get_output_directory())
    given = [path.name for path in inputs.glob("*") if path.suffix.lower() in suffixes]
    saved = [path.relative_to(output).as_posix() for path in output.rglob("*") if path.suffix.lower() in suffixes]
    return [*sorted(given), *(f"{name} [output]" for name in sorted(saved))]


def input_path(name: str) -> Path:
    """Absolute path of a file in the input folder, or with " [output]" behind its name in the output folder.

    Raises:
        FileNotFoundError: it is not there; a name cannot lead out of these folders.
    """
    folder, name = folder_paths.get_input_directory(), name.removesuffix(" [input]")
    if name.endswith(" [output]"):
        folder, name = folder_paths.get_output_directory(), name.removesuffix(" [output]")
    path = below(folder, name)
    if path is None or not path.is_file():
        raise FileNotFoundError(f"there is no file {shown(name)} in {folder}")
    return path


def output_path(name: str) -> Path:
    """Absolute path of a folder below the output folder, whether it exists or not; links are resolved.

    Raises:
        ValueError: the name leads out of the output folder.
    """
    root = folder_paths.get_output_directory()
    path = below(root, name)
    if path is None:
        raise ValueError(f"the name {shown(name)} leads out of {root}, or no file can be called so: choose another")
    return path


def output_folder(*parts: str) -> Path:
    """A folder below the output folder, made if it is not there; see `output_path`."""
    folder = output_path("/".join(parts))
    folder.mkdir(parents=True, exist_ok=True)
    return folder


def new_model_name(folder: str, prefix: str) -> tuple[Path, str]:
    """A name for a new file or folder below one of the host's model folders, without suffix; its place is made.

    Args:
        prefix: the name, with folders if wanted; a number is added.

    Returns:
        The first directory of the model folder, and the name below it.

    Raises:
        ValueError: the name leads out of the directory.
    """
    root = Path(os.path.abspath(folder_paths.get_folder_paths(folder)[0]))
    place, name, counter, _, _ = new_file_names(str(root), prefix)
    return root, (Path(place) / f"{name}_{counter:05}_").relative_to(root).as_posix()
