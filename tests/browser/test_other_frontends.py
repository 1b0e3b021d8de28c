"""A smoke test of the page's other versions: the oldest host's own and the newest, where most tests see neither."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest
from frontend import export_workflow, load_workflow, open_frontend, run_graph, set_widgets, show_node
from host_process import PACK_NAME, PACK_ROOT, HostProcess
from hosts import SMOKE_FRONTENDS
from playwright.sync_api import Browser, Page
from song_runs import SHORT_SECONDS

WORKFLOW = json.loads((PACK_ROOT / "workflows" / "pick_a_take.json").read_text(encoding="utf-8"))
PLAYS = """([panel, index]) => [...panel.querySelectorAll("audio")].every(
    (sound, each) => sound.paused === (each !== index) && (each !== index || sound.currentTime > 0.2),
)"""
REGISTRY = "https://api.comfy.org/"  # which 1.32.9 asks about every pack, and the host forbids it


@pytest.mark.parametrize("version", SMOKE_FRONTENDS)
def test_the_page_opens_and_runs_a_workflow(
    browser: Browser, start_host: Callable[..., HostProcess], models_directory: Path, version: str
) -> None:
    host = start_host(models=models_directory, frontend=version)
    for vue_nodes in (False, True):
        messages: list[str] = []
        page = open_frontend(browser, host.url, vue_nodes=vue_nodes, messages=messages)
        run_and_pick(page, version)
        complaints = [text for text in messages if PACK_NAME in text or "AceComposer" in text]
        assert [text for text in complaints if REGISTRY not in text] == []
        page.context.close()
    host.stop()


def run_and_pick(page: Page, version: str) -> None:
    """Run the workflow, hear two of its takes and keep the second."""
    assert page.evaluate("() => window.__COMFYUI_FRONTEND_VERSION__") == version
    load_workflow(page, WORKFLOW)
    shown = page.evaluate("() => app.graph.nodes.map((node) => [node.type, Boolean(node.constructor.nodeData)])")
    assert sorted(kind for kind, _ in shown) == sorted(node["type"] for node in WORKFLOW["nodes"])
    assert {kind for kind, known in shown if not known} <= {"MarkdownNote"}
    set_widgets(page, ("AceComposerBlueprint", "duration_seconds", SHORT_SECONDS))
    run_graph(page)
    show_node(page, "AceComposerPreviewSong")
    panel = page.get_by_role("group", name="Takes").filter(has=page.locator(".strip:nth-child(4)"))
    panel.get_by_role("button", name="Take 1").click()
    for key, index in (("Space", 0), ("2", 1)):
        page.keyboard.press(key)
        page.wait_for_function(PLAYS, arg=[panel.element_handle(), index])
    panel.get_by_role("button", name="Tell Pick Take").click()
    picked = [node for node in export_workflow(page).prompt.values() if node["class_type"] == "AceComposerPickTake"]
    assert [node["inputs"]["takes"] for node in picked] == ["2"]
