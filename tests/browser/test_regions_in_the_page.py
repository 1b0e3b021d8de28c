"""The editor of regions in ComfyUI's page, in both renderers: a mouse that really drags, real keys, and the prompt
afterwards."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pytest
from comfyui_client import ComfyUIClient
from frontend import export_workflow, load_workflow, open_frontend, run_graph, set_widgets, show_node
from host_process import PACK_NAME, PACK_ROOT, HostProcess
from music import write_wav
from playwright.sync_api import Browser, Locator, Page, expect

WORKFLOW = json.loads((PACK_ROOT / "workflows" / "repaint.json").read_text(encoding="utf-8"))
SECONDS = 24
BAR = 2.0  # 120 beats a minute, four a bar
TOLERANCE = 0.15  # a pixel of the wave is 0.06 s
WIDGETS = """() => Object.fromEntries(
    app.graph.nodes.find((node) => node.type === "AceComposerRepaint").widgets.map(({ name, value }) => [name, value])
)"""
WIDGETS_ARE = (
    "([start, end, more, tolerance]) => { const values = ("
    + WIDGETS
    + """)();
    const numbers = values.more_regions.split(/[-,]/).filter(Boolean).map(Number);
    return numbers.length === more.length && [start, end, ...more].every(
        (number, index) => Math.abs([values.start, values.end, ...numbers][index] - number) <= tolerance
    );
}"""
)
SIZES = "() => app.graph.nodes.map(({ type, size, pos }) => [type, ...pos, ...size]).sort()"
WIRE_THROUGH_MIX = """() => {
    const [load, repaint] = ["LoadAudio", "AceComposerRepaint"].map(
        (type) => app.graph.nodes.find((node) => node.type === type)
    );
    const mix = LiteGraph.createNode("AceComposerMix");
    mix.pos = [1010, 1300];
    mix.size = [400, 800];
    app.graph.add(mix);
    load.connect(0, mix, 0);
    mix.connect(0, repaint, repaint.inputs.findIndex((input) => input.name === "audio"));
}"""
PLAYS = "(panel) => panel.querySelector('audio').currentTime > 8.3 && !panel.querySelector('audio').paused"


class Opened(NamedTuple):
    page: Page
    song: str
    messages: list[str]


@pytest.fixture(scope="module", params=["canvas", "vue"])
def opened(
    request: pytest.FixtureRequest, browser: Browser, host: HostProcess, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Opened]:
    path: Path = tmp_path_factory.mktemp("songs") / f"regions_{request.param}.wav"
    tone = 0.5 * np.sin(2 * np.pi * 220 * np.arange(SECONDS * 48_000) / 48_000)
    write_wav(path, np.stack((tone, tone)), 48_000)
    with ComfyUIClient(host.url) as client:
        song = client.upload(path)
    messages: list[str] = []
    page = open_frontend(browser, host.url, vue_nodes=request.param == "vue", messages=messages)
    yield Opened(page, song, messages)
    page.context.close()


@pytest.fixture
def editor(opened: Opened) -> Locator:
    """The editor on a fresh Repaint: from 10 to 20 s of the song, nothing snaps."""
    load_workflow(opened.page, {**WORKFLOW, "nodes": [], "links": []})
    load_workflow(opened.page, WORKFLOW)
    show_node(opened.page, "AceComposerRepaint")
    set_widgets(opened.page, ("LoadAudio", "audio", opened.song), ("AceComposerBlueprint", "bpm", 0))
    panel = opened.page.get_by_role("group", name="Regions to replace")
    expect(panel.get_by_role("status")).to_have_text("10.00\u201320.00 s")
    return panel


def drag(panel: Locator, start: float, end: float) -> None:
    """Press at a time of the song, move to another in steps, let go."""
    box = panel.locator(".surface").bounding_box()
    assert box is not None
    mouse, y = panel.page.mouse, box["y"] + 40
    places = [box["x"] + box["width"] * (start + (end - start) * step / 10) / SECONDS for step in range(11)]
    mouse.move(places[0], y)
    mouse.down()
    for x in places:
        mouse.move(x, y)
    mouse.up()


def widgets_become(panel: Locator, start: float, end: float, more: tuple[float, ...] = ()) -> dict[str, Any]:
    """Wait for the widgets' values, within the width of some pixels."""
    panel.page.wait_for_function(WIDGETS_ARE, arg=[start, end, more, TOLERANCE])
    values: dict[str, Any] = panel.page.evaluate(WIDGETS)
    return values


def test_a_region_is_moved_resized_and_drawn(editor: Locator) -> None:
    before = export_workflow(editor.page).prompt
    drag(editor, 15, 11)
    widgets_become(editor, 6, 16)
    drag(editor, 15.95, 18)
    widgets_become(editor, 6, 18)
    drag(editor, 20, 22)
    values = widgets_become(editor, 6, 18, (20, 22))
    after = export_workflow(editor.page).prompt
    changed = {
        (node["class_type"], name): node["inputs"][name]
        for number, node in after.items()
        for name in node["inputs"]
        if node["inputs"][name] != before[number]["inputs"].get(name)
    }
    names = ("start", "end", "more_regions")
    assert changed == {("AceComposerRepaint", name): values[name] for name in names}
    assert all(node["inputs"].keys() == before[number]["inputs"].keys() for number, node in after.items())


def test_regions_snap_to_the_bars_of_the_blueprint(editor: Locator) -> None:
    set_widgets(editor.page, ("AceComposerBlueprint", "bpm", 120))
    drag(editor, 15, 12.3)
    editor.page.wait_for_function(f"() => ({WIDGETS})().start === 8")
    values = editor.page.evaluate(WIDGETS)
    assert (values["start"] % BAR, values["end"] % BAR) == (0, 0)


def test_bars_are_written_as_bars(editor: Locator) -> None:
    set_widgets(editor.page, ("AceComposerBlueprint", "bpm", 120), ("AceComposerRepaint", "unit", "bars"))
    set_widgets(editor.page, ("AceComposerRepaint", "start", 3), ("AceComposerRepaint", "end", 5))
    expect(editor.get_by_role("status")).to_have_text("4.00\u20138.00 s")
    drag(editor, 6, 10.2)
    editor.page.wait_for_function(f"() => ({WIDGETS})().start === 5 && ({WIDGETS})().end === 7")


def test_keys_and_buttons_do_the_same(editor: Locator) -> None:
    editor.get_by_role("button", name="Add a region").click()
    widgets_become(editor, 0, 4, (10, 20))
    editor.focus()
    editor.page.keyboard.press("ArrowRight")
    widgets_become(editor, 0.1, 4.1, (10, 20))
    editor.page.keyboard.press("Delete")
    widgets_become(editor, 10, 20)
    editor.page.keyboard.press("Delete")  # the last one stays
    widgets_become(editor, 10, 20)


def test_a_region_is_heard_with_what_comes_before(editor: Locator) -> None:
    editor.get_by_role("button", name="Play the region").click()
    editor.page.wait_for_function(PLAYS, arg=editor.element_handle())
    editor.get_by_role("button", name="Play or pause").click()
    editor.page.wait_for_function("(panel) => panel.querySelector('audio').paused", arg=editor.element_handle())


def test_numbers_that_are_typed_are_drawn(editor: Locator) -> None:
    set_widgets(editor.page, ("AceComposerRepaint", "start", 2), ("AceComposerRepaint", "more_regions", "21-23"))
    expect(editor.get_by_role("status")).to_have_text("2.00\u201320.00 s, 21.00\u201323.00 s")


def test_what_is_saved_opens_with_the_same_regions(editor: Locator) -> None:
    drag(editor, 15, 11)
    widgets_become(editor, 6, 16)
    exported = export_workflow(editor.page)
    (saved,) = [node for node in exported.workflow["nodes"] if node["type"] == "AceComposerRepaint"]
    assert len(saved["widgets_values"]) == 6
    load_workflow(editor.page, {**exported.workflow, "nodes": [], "links": []})
    load_workflow(editor.page, exported.workflow)
    show_node(editor.page, "AceComposerRepaint")
    expect(editor.get_by_role("status")).to_contain_text("6.")
    assert export_workflow(editor.page).prompt == exported.prompt


def test_after_a_run_the_wave_comes_from_any_wire_and_nothing_has_grown(editor: Locator) -> None:
    page = editor.page
    page.evaluate(WIRE_THROUGH_MIX)
    set_widgets(page, ("AceComposerSample", "steps", 1))
    load_workflow(page, export_workflow(page).workflow)
    show_node(page, "AceComposerRepaint")
    expect(editor).to_contain_text("run the workflow")
    sizes = page.evaluate(SIZES)
    run_graph(page)
    expect(editor.get_by_role("status")).to_have_text("10.00\u201320.00 s")
    drag(editor, 15, 11)
    widgets_become(editor, 6, 16)
    assert page.evaluate(SIZES) == sizes


def test_nothing_complained(opened: Opened) -> None:
    words = (PACK_NAME, "AceComposer", "acecomposer", "Media")
    assert [text for text in opened.messages if any(word in text for word in words)] == []
