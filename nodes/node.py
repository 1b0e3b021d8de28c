"""What all nodes share: their menu, text shown on a node, and what the host remembers a node by."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable
from typing import Any

from comfy_api.v0_0_2 import io, ui

CATEGORY = "audio/ACE Composer"


def filename_input(default: str) -> Any:
    """Where an output node writes, below the output folder."""
    return io.String.Input(
        "filename_prefix",
        default=default,
        tooltip="File name; a number is added. Subfolders of the output folder are created as needed. "
        "%date:yyyy-MM-dd% and %Node.widget% are filled in.",
    )


def shown(text: str, *outputs: Any, **more_ui: Any) -> io.NodeOutput:
    """A node's outputs, with text shown on it (`js/node_texts.js`).

    Args:
        more_ui: further results for the page, by their key, such as files or pictures.
    """
    return io.NodeOutput(*outputs, ui={**ui.PreviewText(text).as_dict(), **more_ui})


def fingerprint(files: Iterable[object]) -> str:
    """A hash of the stamps of files: the host writes it into saved songs, which are to hold no paths of a machine."""
    return hashlib.sha256("\n".join(map(str, files)).encode("utf-8")).hexdigest()
