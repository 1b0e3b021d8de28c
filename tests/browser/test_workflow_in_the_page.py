"""The published workflows in ComfyUI's page: they are what the API files say; text_to_music also plays, in both
renderers."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from itertools import combinations
from typing import Any, NamedTuple

import pytest
from comfyui_client import ComfyUIClient
from frontend import Export, export_workflow, load_workflow, open_frontend, run_graph, set_widgets
from host_process import PACK_NAME, PACK_ROOT, HostProcess
from playwright.sync_api import Browser, Page, expect
from save_workflows import plain_name
from song_runs import SHORT_SECONDS, clear_cache

WORKFLOWS = PACK_ROOT / "workflows"
WORKFLOW = json.loads((WORKFLOWS / "text_to_music.json").read_text(encoding="utf-8"))
API_WORKFLOW = json.loads((WORKFLOWS / "api" / "text_to_music.json").read_text(encoding="utf-8"))
FIRST_VERSION = PACK_ROOT / "tests" / "data" / "text_to_music_1_0.json"
OTHER_WORKFLOWS = sorted(path.stem for path in WORKFLOWS.glob("*.json") if path.stem != "text_to_music")
VIRTUAL_NODES = {"MarkdownNote"}
SHOWN_TEXTS = (
    "ACE-Step 1.5 2B turbo (acestep_v1.5_turbo.safetensors), float32",
    f"{SHORT_SECONDS:g} s, caption",
    "8 steps, shift 3, euler, no guidance",
)
TITLE_HEIGHT = 30
RECTANGLES = """(kind) => app.graph[kind].map((item) => ({
    title: item.title, x: item.pos[0], y: item.pos[1], width: item.size[0], height: item.size[1],
}))"""


class Shown(NamedTuple):
    """The workflow in a page, as it was before anything ran; `messages` grows as long as the page is open."""

    page: Page
    exported: Export
    messages: list[str]


class Box(NamedTuple):
    left: float
    top: float
    right: float
    bottom: float


@pytest.fixture(scope="module", params=["canvas", "vue"])
def shown(request: pytest.FixtureRequest, browser: Browser, host: HostProcess) -> Iterator[Shown]:
    messages: list[str] = []
    page = open_frontend(browser, host.url, vue_nodes=request.param == "vue", messages=messages)
    load_workflow(page, WORKFLOW)
    yield Shown(page, export_workflow(page), messages)
    page.context.close()


@pytest.fixture(scope="module")
def finished(shown: Shown, host: HostProcess) -> Shown:
    with ComfyUIClient(host.url) as client:
        clear_cache(client)  # a node that need not run says nothing
    set_widgets(shown.page, ("AceComposerBlueprint", "duration_seconds", SHORT_SECONDS))
    run_graph(shown.page)
    return shown


def boxes(page: Page, kind: str) -> dict[str, Box]:
    """Where the nodes or the groups are, a node with its title."""
    title = TITLE_HEIGHT if kind == "nodes" else 0
    items: list[dict[str, Any]] = page.evaluate(RECTANGLES, kind)
    return {
        item["title"]: Box(item["x"], item["y"] - title, item["x"] + item["width"], item["y"] + item["height"])
        for item in items
    }


def overlap(one: Box, other: Box) -> bool:
    return one.left < other.right and other.left < one.right and one.top < other.bottom and other.top < one.bottom


def inside(inner: Box, outer: Box) -> bool:
    horizontal = outer.left <= inner.left and inner.right <= outer.right
    return horizontal and outer.top <= inner.top and inner.bottom <= outer.bottom


def assert_tidy(page: Page, workflow: Mapping[str, Any]) -> None:
    """Nothing covers anything, and every node but the notes lies wholly inside a group."""
    nodes, groups = boxes(page, "nodes"), boxes(page, "groups")
    assert [pair for pair in combinations(nodes, 2) if overlap(nodes[pair[0]], nodes[pair[1]])] == []
    assert [pair for pair in combinations(groups, 2) if overlap(groups[pair[0]], groups[pair[1]])] == []
    cut = [(n, g) for n in nodes for g in groups if overlap(nodes[n], groups[g]) and not inside(nodes[n], groups[g])]
    assert cut == []
    grouped = {node for node in nodes if any(inside(nodes[node], group) for group in groups.values())}
    assert nodes.keys() - grouped == {node["title"] for node in workflow["nodes"] if node["type"] in VIRTUAL_NODES}


def saved_node(node: Mapping[str, Any]) -> dict[str, Any]:
    """What the file holds of a node, without what the renderer and the release of the host decide."""
    kept = ("id", "type", "title", "pos", "flags", "mode", "properties", "widgets_values")
    return {name: node.get(name) for name in kept}


def test_it_loads_without_an_error(shown: Shown) -> None:
    expect(shown.page.get_by_test_id("error-overlay")).to_have_count(0)
    expect(shown.page.locator(".p-toast-message-error")).to_have_count(0)
    types = shown.page.evaluate("() => app.graph.nodes.filter((node) => !node.constructor.nodeData).map((n) => n.type)")
    assert set(types) <= VIRTUAL_NODES


def test_the_prompt_is_the_api_workflow(shown: Shown) -> None:
    assert shown.exported.prompt == API_WORKFLOW


def test_the_file_is_what_the_page_saves(shown: Shown) -> None:
    exported = shown.exported.workflow
    assert [saved_node(node) for node in exported["nodes"]] == [saved_node(node) for node in WORKFLOW["nodes"]]
    assert exported["links"] == WORKFLOW["links"]
    assert exported["groups"] == WORKFLOW["groups"]


def test_the_nodes_show_what_they_used(finished: Shown) -> None:
    for text in SHOWN_TEXTS:
        expect(finished.page.get_by_text(text)).to_be_visible()


def test_the_song_can_be_played(finished: Shown) -> None:
    expect(finished.page.locator("audio")).to_have_count(1)
    finished.page.wait_for_function(
        "() => document.querySelector('audio').readyState >= HTMLMediaElement.HAVE_METADATA"
    )
    player = finished.page.locator("audio")
    assert player.evaluate("(audio) => audio.duration") == pytest.approx(SHORT_SECONDS, abs=0.01)
    assert "filename=ace_composer_" in player.evaluate("(audio) => audio.currentSrc")


def test_nothing_covers_anything_after_a_run(finished: Shown) -> None:
    assert_tidy(finished.page, WORKFLOW)


def test_the_page_has_no_complaint_about_the_pack(finished: Shown) -> None:
    assert [text for text in finished.messages if PACK_NAME in text or "AceComposer" in text] == []


@pytest.fixture(scope="module", params=["canvas", "vue"])
def any_page(request: pytest.FixtureRequest, browser: Browser, host: HostProcess) -> Iterator[Page]:
    opened = open_frontend(browser, host.url, vue_nodes=request.param == "vue")
    yield opened
    opened.context.close()


WIDGETS = """(type) => {
    const node = app.graph.nodes.find((each) => each.type === type) ?? LiteGraph.createNode(type);
    return Object.fromEntries(node.widgets.map((widget) => [widget.name, widget.value]));
}"""


def test_a_graph_of_the_first_version_keeps_its_sound_and_finds_its_files(any_page: Page) -> None:
    saved = json.loads(FIRST_VERSION.read_text(encoding="utf-8"))
    load_workflow(any_page, saved)
    sample = any_page.evaluate(WIDGETS, "AceComposerSample")
    assert (sample["wavelet_correction"], sample["snap_timesteps"], sample["seed"]) == ("off", False, 42)
    assert any_page.evaluate(WIDGETS, "AceComposerLoadModels")["model"] == "acestep_v1.5_turbo.safetensors"
    load_workflow(any_page, {**saved, "nodes": [], "links": []})
    fresh = any_page.evaluate(WIDGETS, "AceComposerSample")
    assert (fresh["wavelet_correction"], fresh["snap_timesteps"]) == ("auto", True)


@pytest.mark.parametrize("name", OTHER_WORKFLOWS)
def test_the_other_workflows_are_what_the_page_saves(any_page: Page, name: str) -> None:
    workflow = json.loads((WORKFLOWS / f"{name}.json").read_text(encoding="utf-8"))
    load_workflow(any_page, workflow)
    exported = export_workflow(any_page)
    api = WORKFLOWS / "api" / f"{plain_name(name)}.json"
    assert exported.prompt == json.loads(api.read_text(encoding="utf-8"))
    assert [saved_node(node) for node in exported.workflow["nodes"]] == [saved_node(n) for n in workflow["nodes"]]
    assert exported.workflow["links"] == workflow["links"]
    assert_tidy(any_page, workflow)
