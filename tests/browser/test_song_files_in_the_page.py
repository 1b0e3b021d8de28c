"""Song files in ComfyUI's page, in both renderers: players on the nodes, and files that bring their workflow back."""

from __future__ import annotations

import base64
import json
from collections.abc import Iterator
from typing import Any, NamedTuple

import pytest
from comfyui_client import ComfyUIClient
from frontend import Export, export_workflow, load_workflow, open_frontend, run_graph, set_widgets, show_all, show_node
from host_process import PACK_ROOT, HostProcess
from playwright.sync_api import Browser, Page, expect
from song_runs import SHORT_SECONDS, clear_cache

WORKFLOWS = PACK_ROOT / "workflows"
ENCODINGS = {"flac": "flac 24 bit", "mp3": "mp3 V0", "opus": "opus 128k"}
MEDIA_TYPES = {"flac": "audio/flac", "mp3": "audio/mpeg", "opus": "audio/ogg"}
DROP = """([name, type, content]) => {
    const bytes = Uint8Array.from(atob(content), (character) => character.charCodeAt(0));
    const transfer = new DataTransfer();
    transfer.items.add(new File([bytes], name, { type }));
    const options = { dataTransfer: transfer, bubbles: true, cancelable: true, clientX: 1500, clientY: 900 };
    document.querySelector("canvas").dispatchEvent(new DragEvent("drop", options));
}"""
PLAYERS = "() => [...document.querySelectorAll('audio')].map((audio) => [audio.currentSrc, audio.duration])"
ALL_PLAYERS_ARE_READY = """(count) => {
    const players = [...document.querySelectorAll("audio")];
    return players.length === count && players.every((audio) => audio.readyState >= HTMLMediaElement.HAVE_METADATA);
}"""

PLAYER_HAS = """(name) => [...document.querySelectorAll("audio")].some(
    (audio) => audio.currentSrc.includes(name) && audio.readyState >= HTMLMediaElement.HAVE_METADATA,
)"""

ADD_LOAD_SONG = """() => {
    const node = LiteGraph.createNode("AceComposerLoadSong");
    node.pos = [200, 200];
    app.graph.clear();
    app.graph.add(node);
}"""


class Saved(NamedTuple):
    """The workflow use_lora after a run: its page, the graph as it was saved, the renderer, what the console said."""

    page: Page
    exported: Export
    renderer: str
    messages: list[str]

    @property
    def song(self) -> str:
        return f"{self.renderer}_00001_.flac"


def published(name: str) -> dict[str, Any]:
    workflow: dict[str, Any] = json.loads((WORKFLOWS / f"{name}.json").read_text(encoding="utf-8"))
    return workflow


@pytest.fixture(scope="module", params=["canvas", "vue"])
def saved(request: pytest.FixtureRequest, browser: Browser, host: HostProcess) -> Iterator[Saved]:
    messages: list[str] = []
    page = open_frontend(browser, host.url, vue_nodes=request.param == "vue", messages=messages)
    load_workflow(page, published("use_lora"))
    set_widgets(
        page,
        ("AceComposerBlueprint", "duration_seconds", SHORT_SECONDS),
        ("AceComposerLoadLora", "strength", 0),  # replay_song has no LoRA
        ("AceComposerSaveSong", "filename_prefix", f"songs/{request.param}"),
    )
    with ComfyUIClient(host.url) as client:
        clear_cache(client)
    exported = export_workflow(page)
    run_graph(page)
    yield Saved(page, exported, request.param, messages)
    page.context.close()


def test_the_saved_song_has_a_player(saved: Saved) -> None:
    saved.page.wait_for_function(ALL_PLAYERS_ARE_READY, arg=1)
    ((source, seconds),) = saved.page.evaluate(PLAYERS)
    assert f"filename={saved.song}" in source and seconds == pytest.approx(SHORT_SECONDS, abs=0.01)
    expect(saved.page.get_by_text(f"output/songs/{saved.song}")).to_be_visible()


def test_the_player_does_not_make_the_node_run_again(saved: Saved, host: HostProcess) -> None:
    prompt = json.loads(saved.page.evaluate("async () => JSON.stringify((await app.graphToPrompt()).output)"))
    assert all("audioUI" not in node["inputs"] for node in prompt.values())
    run_graph(saved.page)
    with ComfyUIClient(host.url) as client:
        described = client.get_json("/object_info/AceComposerLoadSong")["AceComposerLoadSong"]
    options = described["input"]["required"]["audio"][1]["options"]
    assert [name for name in options if name.startswith(f"songs/{saved.renderer}")] == [f"songs/{saved.song} [output]"]


def test_a_saved_song_is_played_and_replayed(saved: Saved) -> None:
    page = saved.page
    load_workflow(page, published("replay_song"))
    show_all(page)  # the canvas takes away what is out of sight
    set_widgets(page, ("AceComposerLoadSong", "audio", f"songs/{saved.song} [output]"))
    run_graph(page)
    page.wait_for_function(ALL_PLAYERS_ARE_READY, arg=2)
    expect(page.get_by_text("The same latents as in the file, to the bit.")).to_be_visible()
    loaded, rendered = (source for source, _ in page.evaluate(PLAYERS))
    assert saved.renderer in loaded and "filename=replay_" in rendered


@pytest.mark.parametrize("container", ENCODINGS)
def test_a_dropped_song_brings_its_workflow(saved: Saved, host: HostProcess, container: str) -> None:
    page = saved.page
    load_workflow(page, saved.exported.workflow)
    prefix = f"dropped_{saved.renderer}_{container}"
    set_widgets(
        page,
        ("AceComposerSaveSong", "encoding", ENCODINGS[container]),
        ("AceComposerSaveSong", "filename_prefix", f"songs/{prefix}"),
    )
    exported = export_workflow(page)
    run_graph(page)
    name = f"{prefix}_00001_.{container}"
    with ComfyUIClient(host.url) as client:
        content = client.view({"filename": name, "subfolder": "songs", "type": "output"})
    page.evaluate("() => app.graph.clear()")
    page.evaluate(DROP, [name, MEDIA_TYPES[container], base64.b64encode(content).decode("ascii")])
    page.wait_for_function("(count) => app.graph.nodes.length === count", arg=len(exported.workflow["nodes"]))
    again = export_workflow(page)
    assert again.prompt == exported.prompt
    assert again.workflow["links"] == exported.workflow["links"]


def test_the_sample_can_be_heard_and_another_song_again(saved: Saved) -> None:
    page = saved.page
    load_workflow(page, published("replay_song"))
    show_node(page, "AceComposerLoadSong")
    set_widgets(page, ("AceComposerLoadSong", "audio", "sample (built in)"))
    page.wait_for_function(PLAYER_HAS, arg="sample_song.mp3")
    again = export_workflow(page)
    load_workflow(page, again.workflow)
    show_node(page, "AceComposerLoadSong")
    page.wait_for_function(PLAYER_HAS, arg="sample_song.mp3")
    assert export_workflow(page).prompt == again.prompt
    set_widgets(page, ("AceComposerLoadSong", "audio", f"songs/{saved.song} [output]"))
    page.wait_for_function(PLAYER_HAS, arg=saved.song)


def test_a_new_load_song_has_its_player_at_once(saved: Saved) -> None:
    saved.page.evaluate(ADD_LOAD_SONG)
    show_node(saved.page, "AceComposerLoadSong")
    saved.page.wait_for_function(ALL_PLAYERS_ARE_READY, arg=1)


def test_nothing_complained(saved: Saved) -> None:
    words = ("AceComposer", "ace-composer", "acecomposer", "audioUI", "AudioWidget", "built%20in")
    assert [text for text in saved.messages if any(word in text for word in words)] == []
