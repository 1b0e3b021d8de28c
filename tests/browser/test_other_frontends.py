"""A smoke test of the page's other versions: the oldest host's own and the newest, where most tests see neither."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest
from frontend import load_workflow, open_frontend, run_graph, set_widgets
from host_process import PACK_NAME, PACK_ROOT, HostProcess
from hosts import SMOKE_FRONTENDS
from playwright.sync_api import Browser, expect
from song_runs import SHORT_SECONDS

WORKFLOW = json.loads((PACK_ROOT / "workflows" / "text_to_music.json").read_text(encoding="utf-8"))
REGISTRY = "https://api.comfy.org/"  # which 1.32.9 asks about every pack, and the host forbids it


@pytest.mark.parametrize("version", SMOKE_FRONTENDS)
def test_the_page_opens_and_runs_a_workflow(
    browser: Browser, start_host: Callable[..., HostProcess], models_directory: Path, version: str
) -> None:
    host = start_host(models=models_directory, frontend=version)
    messages: list[str] = []
    page = open_frontend(browser, host.url, messages=messages)
    assert page.evaluate("() => window.__COMFYUI_FRONTEND_VERSION__") == version
    load_workflow(page, WORKFLOW)
    shown = page.evaluate("() => app.graph.nodes.map((node) => [node.type, Boolean(node.constructor.nodeData)])")
    assert sorted(kind for kind, _ in shown) == sorted(node["type"] for node in WORKFLOW["nodes"])
    assert {kind for kind, known in shown if not known} <= {"MarkdownNote"}
    set_widgets(page, ("AceComposerBlueprint", "duration_seconds", SHORT_SECONDS))
    run_graph(page)
    expect(page.locator("audio")).to_have_count(1)
    complaints = [text for text in messages if PACK_NAME in text or "AceComposer" in text]
    assert [text for text in complaints if REGISTRY not in text] == []
    page.context.close()
    host.stop()
