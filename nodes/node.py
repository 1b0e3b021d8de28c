"""What all nodes share: their menu, and text shown on a node."""

from __future__ import annotations

from typing import Any

from comfy_api.v0_0_2 import io, ui

from .host import feedback

CATEGORY = "audio/ACE Composer"


def filename_input(default: str) -> Any:
    """Where an output node writes, below the output folder."""
    return io.String.Input(
        "filename_prefix",
        default=default,
        tooltip="File name; a number is added. Subfolders of the output folder are created as needed.",
    )


def shown(node: type[io.ComfyNode], text: str, *outputs: Any, **more_ui: Any) -> io.NodeOutput:
    """A node's outputs, with text shown on it.

    Args:
        more_ui: further results for the page, by their key, such as files or pictures.
    """
    feedback.show_text(node.hidden.unique_id, text)
    return io.NodeOutput(*outputs, ui={**ui.PreviewText(text).as_dict(), **more_ui})
