"""What people do with a graph in the page: bypass a node, mute it, put nodes into a subgraph, name files by values."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from comfyui_client import ComfyUIClient
from frontend import export_workflow, load_workflow, open_frontend, set_widgets
from host_process import PACK_ROOT, HostProcess
from playwright.sync_api import Browser, Page
from song_runs import SHORT_SECONDS, succeed

WORKFLOWS = PACK_ROOT / "workflows"
MODE = "([type, mode]) => { for (const node of app.graph.nodes.filter((n) => n.type === type)) node.mode = mode; }"
SUBGRAPH = """(types) => {
  const nodes = app.graph.nodes.filter((node) => types.includes(node.type));
  app.graph.convertToSubgraph(new Set(nodes));
  return nodes.length;
}"""
MUTED, BYPASSED = 2, 4
RENDERING = ("AceComposerEncode", "AceComposerSample", "AceComposerDecode")


@pytest.fixture(scope="module")
def page(browser: Browser, host: HostProcess) -> Iterator[Page]:
    page = open_frontend(browser, host.url)
    yield page
    page.context.close()


def opened(page: Page, name: str) -> None:
    load_workflow(page, json.loads(Path(WORKFLOWS / f"{name}.json").read_text(encoding="utf-8")))


def of_kind(page: Page, kind: str) -> tuple[str, dict[str, Any]]:
    """The first node of a kind as the page sends it, with its number."""
    return next((number, node) for number, node in export_workflow(page).prompt.items() if node["class_type"] == kind)


def test_a_bypassed_adapter_passes_the_model_on_and_a_muted_one_gives_none(page: Page) -> None:
    opened(page, "use_lora")
    loader, _ = of_kind(page, "AceComposerLoadModels")
    page.evaluate(MODE, ["AceComposerLoadLora", BYPASSED])
    assert of_kind(page, "AceComposerSample")[1]["inputs"]["model"] == [loader, 0]
    page.evaluate(MODE, ["AceComposerLoadLora", MUTED])
    assert "model" not in of_kind(page, "AceComposerSample")[1]["inputs"]


def test_a_subgraph_runs_and_names_its_files_by_values_inside_it(page: Page, client: ComfyUIClient) -> None:
    opened(page, "text_to_music")
    set_widgets(page, ("AceComposerBlueprint", "duration_seconds", SHORT_SECONDS), ("AceComposerSample", "steps", 1))
    set_widgets(page, ("AceComposerSaveSong", "filename_prefix", "%date:yyyy-MM-dd%/steps %AceComposerSample.steps%"))
    assert page.evaluate(SUBGRAPH, list(RENDERING)) == len(RENDERING)
    prompt = export_workflow(page).prompt
    assert ":" in of_kind(page, "AceComposerSample")[0]
    run = succeed(client, prompt)
    (saved,) = run.entry["outputs"][of_kind(page, "AceComposerSaveSong")[0]]["audio"]
    assert re.fullmatch(r"\d{4}-\d\d-\d\d", saved["subfolder"]) and saved["filename"].startswith("steps 1_0")
