"""Text out of a file is text in the page: no markup, no script, no links, in the oldest and newest page."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import torch
from frontend import open_frontend, run_graph, show_node
from host_process import HostProcess
from hosts import SMOKE_FRONTENDS
from playwright.sync_api import Browser

from ace_core.song.blueprint import Blueprint
from ace_core.song_files.encoding import ENCODINGS, Sound
from ace_core.song_files.files import write_song
from ace_core.song_files.record import SongRecord

CAPTION = '<img src=x onerror="window.ran=1"> <b>&lt;</b> **a** [b](https://c.d) `e` https://f.g'
LYRICS = '<iframe srcdoc="<script>parent.ran=1</script>"></iframe>'
GRAPH = """() => {
    app.graph.clear();
    const song = LiteGraph.createNode("AceComposerLoadSong"), plan = LiteGraph.createNode("AceComposerEditBlueprint");
    const saved = LiteGraph.createNode("AceComposerSaveBlueprint");
    for (const [index, node] of [song, plan, saved].entries()) {
        app.graph.add(node);
        node.pos = [500 * index, 0];
    }
    song.widgets.find((widget) => widget.name === "audio").value = "hostile.flac";
    song.connect(0, plan, 0);
    plan.connect(0, saved, 0);
}"""
SHOWN = "(wanted) => [...document.querySelectorAll('.ace-panel')].some((panel) => panel.textContent.includes(wanted))"
LIVE = """() => [...document.querySelectorAll(
    "img[src='x'], iframe[srcdoc], a[href*='c.d'], a[href*='f.g'], a[href^='javascript']"
)].map((element) => element.parentElement.outerHTML)"""


@pytest.mark.parametrize("renderer", ["canvas", "vue"])
@pytest.mark.parametrize("version", SMOKE_FRONTENDS)
def test_nothing_in_a_song_file_is_more_than_text(
    browser: Browser, start_host: Callable[..., HostProcess], version: str, renderer: str
) -> None:
    host = start_host(frontend=version)
    folder = host.base_directory / "input"
    folder.mkdir(exist_ok=True)
    record = SongRecord(Blueprint(caption=CAPTION, lyrics=LYRICS), seeds={LYRICS: 1})
    write_song(folder / "hostile.flac", Sound(torch.zeros(2, 4800), 48_000), ENCODINGS["flac 16 bit"], record)
    page = open_frontend(browser, host.url, vue_nodes=renderer == "vue")
    page.evaluate(GRAPH)
    run_graph(page)
    for node in ("AceComposerLoadSong", "AceComposerEditBlueprint"):
        show_node(page, node)
        page.wait_for_function(SHOWN, arg=CAPTION)
    page.wait_for_function(SHOWN, arg=LYRICS)
    assert page.evaluate("() => window.ran ?? null") is None
    assert page.evaluate(LIVE) == []
    page.context.close()
    host.stop()
