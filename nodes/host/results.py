"""What output nodes write: new files in the output folder, and the graph that goes into them."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import comfy.cli_args
import folder_paths

from ...ace_core.files import write_text_atomically


def new_output_files(prefix: str, *suffixes: str) -> list[tuple[Path, dict[str, str]]]:
    """Names of new files of one number in the output folder; their folder is made.

    Args:
        prefix: name of the files, with folders below the output folder if wanted.
        suffixes: one for each file, with its dot.

    Returns:
        Of each file the path, and how the host's results name it.
    """
    folder, name, counter, subfolder, _ = folder_paths.get_save_image_path(prefix, folder_paths.get_output_directory())
    names = [f"{name}_{counter:05}_{suffix}" for suffix in suffixes]
    return [(Path(folder) / name, {"filename": name, "subfolder": subfolder, "type": "output"}) for name in names]


def save_texts(prefix: str, texts: Mapping[str, str]) -> list[dict[str, str]]:
    """Write texts to new files, each all of it or nothing; see `new_output_files`.

    Args:
        texts: by the suffix of their file, with its dot.

    Returns:
        The files as the host's results name them.
    """
    files = new_output_files(prefix, *texts)
    for (path, _), text in zip(files, texts.values(), strict=True):
        write_text_atomically(path, text)
    return [saved for _, saved in files]


def graph_to_save(hidden: Any) -> tuple[object, object]:
    """Workflow and prompt of an output node's hidden inputs; None where there is none, or the user saves none.

    The user switches both off with ComfyUI's option `--disable-metadata`.
    """
    if comfy.cli_args.args.disable_metadata:
        return None, None
    return (hidden.extra_pnginfo or {}).get("workflow"), hidden.prompt
