"""ComfyUI's own page in a headless Chromium, for the browser tests and for save_workflows.py.

Traps:
- Settings belong to the server, not to the browser: `open_frontend` sets every one that matters, each time.
- Playwright turns JavaScript's undefined into null; workflows therefore leave the page as JSON text.
- The frontend puts the address of an audio player into the prompt (`audioUI`); no node reads it, so it is dropped here.
"""

from __future__ import annotations

import json
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NamedTuple

from host_process import PATIENCE_SECONDS
from playwright.sync_api import Browser, ConsoleMessage, Locator, Page, TimeoutError, sync_playwright

CHROMIUM_ARGUMENTS = (
    "--no-sandbox",  # containers and root accounts have none
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--mute-audio",
)
PAGE_ONLY_INPUTS = {"audioUI"}
TIMEOUT_MILLISECONDS = 1000 * PATIENCE_SECONDS  # of every wait
KEY_MILLISECONDS = 5_000  # after which a key that had no effect is pressed again

_NODES_ARE_KNOWN = "() => Boolean(window.app?.vueAppReady && LiteGraph.registered_node_types.AceComposerSample)"
_EXPORT = "async () => JSON.stringify(await app.graphToPrompt())"
_RUN = """(milliseconds) => new Promise((resolve, reject) => {
    setTimeout(() => reject(new Error(`the run has not ended after ${milliseconds} ms`)), milliseconds);
    const endings = {
        execution_success: () => resolve(),
        execution_error: (event) => reject(new Error(`${event.detail.node_type}: ${event.detail.exception_message}`)),
        execution_interrupted: () => reject(new Error("interrupted")),
    };
    for (const [name, listener] of Object.entries(endings)) app.api.addEventListener(name, listener, { once: true });
    app.queuePrompt(0, 1).then((queued) => {
        const errors = app.lastNodeErrors;  // empty where the page 1.32.9 answers false to a prompt that was queued
        if (!queued && !(errors && Object.keys(errors).length === 0))
            reject(new Error(`the host refused the prompt: ${JSON.stringify(errors)}`));
    });
})"""
_SET_WIDGETS = """(changes) => {
    for (const [type, name, value] of changes) {
        const node = app.graph.nodes.find((node) => node.type === type);
        const widget = node.widgets.find((widget) => widget.name === name);
        widget.value = value;
        widget.callback?.(value);
    }
}"""
_SHOW_NODE = """(type) => {
    app.canvas.ds.scale = 1;
    app.canvas.centerOnNode(app.graph.nodes.find((node) => node.type === type));
}"""
_SHOW_ALL = """([left, top, right, bottom]) => {
    const boxes = [...app.graph.nodes, ...app.graph.groups].map((item) => item.boundingRect ?? item.bounding);
    const x = Math.min(...boxes.map((box) => box[0])), y = Math.min(...boxes.map((box) => box[1]));
    const width = Math.max(...boxes.map((box) => box[0] + box[2])) - x;
    const height = Math.max(...boxes.map((box) => box[1] + box[3])) - y;
    const scale = Math.min((right - left) / width, (bottom - top) / height);
    const view = app.canvas.ds;
    view.scale = scale;
    view.offset[0] = left / scale - x;
    view.offset[1] = top / scale - y;
    app.canvas.setDirty(true, true);
    return { x: left, y: top, width: width * scale, height: height * scale };
}"""


class Export(NamedTuple):
    """A graph as the frontend saves it: for the page, and for the API."""

    workflow: dict[str, Any]
    prompt: dict[str, Any]


@contextmanager
def open_browser(chromium: Path) -> Iterator[Browser]:
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(
            executable_path=chromium, args=CHROMIUM_ARGUMENTS, timeout=TIMEOUT_MILLISECONDS
        )
        yield browser
        browser.close()


def open_frontend(
    browser: Browser,
    url: str,
    *,
    vue_nodes: bool = False,
    locale: str = "en",
    width: int = 1600,
    height: int = 1000,
    messages: list[str] | None = None,
) -> Page:
    """Open the page of the server at `url` in a context of its own; returns when it knows this pack's nodes.

    vue_nodes: the newer renderer, called "Nodes 2.0" in the settings, instead of the canvas.
    messages: gets the errors and warnings of the console, with their addresses, and exceptions that nobody caught.
    """
    context = browser.new_context(viewport={"width": width, "height": height})
    context.set_default_timeout(TIMEOUT_MILLISECONDS)
    settings = {
        "Comfy.TutorialCompleted": False,  # a first visit: an empty graph, not an image workflow that lacks its models
        "Comfy.VueNodes.Enabled": vue_nodes,
        "Comfy.Locale": locale,
        "Comfy.Minimap.Visible": False,
        "Comfy.RightSidePanel.IsOpen": False,
    }
    context.request.post(f"{url}/api/settings", data=settings, timeout=TIMEOUT_MILLISECONDS)
    page = context.new_page()
    if messages is not None:
        page.on("console", lambda message: _note(messages, message))
        page.on("pageerror", lambda error: messages.append(f"{error}\n{error.stack}"))
    page.goto(url)
    page.wait_for_function(_NODES_ARE_KNOWN)
    templates = page.get_by_test_id("template-workflows-content")
    templates.wait_for()  # what a first visit opens
    close_dialog(templates)
    return page


def close_dialog(part: Locator) -> None:
    """Press Escape until a dialog has left the page: while it is being drawn, keys get lost.

    The page 1.32.9 does not listen to it; there a click beside the dialog closes it.
    """
    deadline = time.monotonic() + PATIENCE_SECONDS
    while True:
        part.page.keyboard.press("Escape")
        try:
            part.wait_for(state="hidden", timeout=KEY_MILLISECONDS)
            return
        except TimeoutError:
            if time.monotonic() > deadline:
                raise
            part.page.mouse.click(1, 1)


def _note(messages: list[str], message: ConsoleMessage) -> None:
    if message.type in ("error", "warning"):
        messages.append(f"{message.text} ({message.location['url']})")


def load_workflow(page: Page, workflow: Mapping[str, Any]) -> None:
    """Show a workflow in UI format, as if it were dropped on the page."""
    page.evaluate("(workflow) => app.loadGraphData(workflow)", workflow)
    page.wait_for_function("(count) => app.graph.nodes.length === count", arg=len(workflow["nodes"]))


def export_workflow(page: Page) -> Export:
    """Save the graph the way the frontend's own Export and Export (API) do."""
    exported = json.loads(page.evaluate(_EXPORT))
    for node in exported["output"].values():
        for name in PAGE_ONLY_INPUTS & node["inputs"].keys():
            del node["inputs"][name]
    return Export(exported["workflow"], exported["output"])


def set_widgets(page: Page, *changes: tuple[str, str, object]) -> None:
    """Change widgets, each given as the type of its node, its name and the value; of several such nodes the first."""
    page.evaluate(_SET_WIDGETS, changes)


def show_node(page: Page, kind: str) -> None:
    """Put the first node of a type into the middle, at full size: pages draw no players that are far or small."""
    page.evaluate(_SHOW_NODE, kind)


def run_graph(page: Page) -> None:
    """Press Run and wait for the end; raises playwright's Error with the host's words when the run fails."""
    page.evaluate(_RUN, TIMEOUT_MILLISECONDS)


def show_all(
    page: Page, *, left: float = 80, top: float = 90, right: float = 20, bottom: float = 20
) -> dict[str, float]:
    """Zoom so that every node and group lies inside the margins; returns the rectangle that they fill on the page."""
    size = page.viewport_size
    assert size is not None
    box: dict[str, float] = page.evaluate(_SHOW_ALL, [left, top, size["width"] - right, size["height"] - bottom])
    return box
