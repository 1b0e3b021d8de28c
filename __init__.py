"""ACE Composer: ACE-Step 1.5 music generation for ComfyUI.

The nodes are imported when ComfyUI asks for them, so that pytest and plain Python programs can import this package
on a machine without ComfyUI.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from .nodes import AceComposerExtension

WEB_DIRECTORY = "./js"


async def comfy_entrypoint() -> AceComposerExtension:
    """Return the extension that lists the nodes; called once by ComfyUI's loader."""
    from .nodes import AceComposerExtension

    return AceComposerExtension()


__all__ = ["WEB_DIRECTORY", "comfy_entrypoint"]
