"""What output nodes write: new files in the output folder, and the graph that goes into them."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from functools import partial
from pathlib import Path
from typing import Any

import comfy.cli_args
import folder_paths

from ...ace_core.file_names import FilledName, filled_name
from ...ace_core.files import write_set_atomically
from . import folders


def name_of(prefix: str, hidden: Any) -> FilledName:
    """A file name of an output node with its patterns filled, see `filled_name`.

    Args:
        hidden: the node's hidden inputs; the host gives the graph to output nodes alone.
    """
    return filled_name(prefix, datetime.now(), hidden.prompt or {}, (hidden.extra_pnginfo or {}).get("workflow") or {})


def new_output_files(prefix: str, *suffixes: str) -> list[tuple[Path, dict[str, str]]]:
    """Names of new files of one number in the output folder; their folder is made.

    Args:
        prefix: name of the files, with folders below the output folder if wanted.
        suffixes: one for each file, with its dot.

    Returns:
        Of each file the path, and how the host's results name it.
    """
    folder, name, counter, subfolder, _ = folders.new_file_names(folder_paths.get_output_directory(), prefix)
    names = [f"{name}_{counter:05}_{suffix}" for suffix in suffixes]
    return [(Path(folder) / name, {"filename": name, "subfolder": subfolder, "type": "output"}) for name in names]


def temporary_file(name: str) -> tuple[Path, dict[str, str]]:
    """A file of this name in the folder that the host empties at its start, and how the host's results name it."""
    folder = Path(folder_paths.get_temp_directory())
    folder.mkdir(parents=True, exist_ok=True)
    return folder / name, {"filename": name, "subfolder": "", "type": "temp"}


def file_of_choice(name: str) -> dict[str, str]:
    """How the host's results name a file that a widget names, with " [output]" behind it in the output folder."""
    kind = "output" if name.endswith(" [output]") else "input"
    folder, _, filename = name.removesuffix(f" [{kind}]").replace("\\", "/").rpartition("/")
    return {"filename": filename, "subfolder": folder, "type": kind}


def save_texts(prefix: str, texts: Mapping[str, str]) -> list[dict[str, str]]:
    """Write texts to new files, all of them or none; see `new_output_files`.

    Args:
        texts: by the suffix of their file, with its dot.

    Returns:
        The files as the host's results name them.
    """
    files = new_output_files(prefix, *texts)
    write_set_atomically(
        {
            path: partial(Path.write_text, data=text, encoding="utf-8")
            for (path, _), text in zip(files, texts.values(), strict=True)
        }
    )
    return [saved for _, saved in files]


def graph_to_save(hidden: Any) -> tuple[object, object]:
    """Workflow and prompt of an output node's hidden inputs; None where there is none, or the user saves none.

    The user switches both off with ComfyUI's option `--disable-metadata`.
    """
    if comfy.cli_args.args.disable_metadata:
        return None, None
    return (hidden.extra_pnginfo or {}).get("workflow"), hidden.prompt
