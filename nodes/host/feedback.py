"""What the user sees of a running node: progress, text on the node, and Cancel."""

from __future__ import annotations

from typing import Any

import comfy.model_management
import comfy.utils
from comfy_execution.graph_utils import ExecutionBlocker
from server import PromptServer

from ...ace_core.progress import Progress

TEXT_EVENT = "acecomposer.text"


def progress() -> Progress:
    """A progress bar on the running node; its calls raise when the user cancels."""
    bar = comfy.utils.ProgressBar(1)

    def update(done: int, total: int) -> None:
        check_cancelled()
        bar.update_absolute(done, total)

    return update


def check_cancelled() -> None:
    """Raise what ends the running node, if the user has cancelled it."""
    comfy.model_management.throw_exception_if_processing_interrupted()


def unconnected(name: str) -> Any:
    """What an output gives whose input has nothing on it: an error where it is used, and nothing elsewhere."""
    return ExecutionBlocker(f"connect {name} to this node's input first: its output has nothing to give")


def nothing() -> ExecutionBlocker:
    """What a node gives out where there is nothing: nodes behind it do not run."""
    return ExecutionBlocker(None)


def show_text(node_id: str | None, text: str) -> None:
    """Show text on a node of the graph while it runs (`js/node_texts.js`); does nothing where nobody looks on."""
    server = getattr(PromptServer, "instance", None)
    if server is not None and server.client_id is not None and node_id is not None:
        server.send_sync(TEXT_EVENT, {"node": node_id, "text": text}, server.client_id)
