"""The player of takes in ComfyUI's page, in both renderers: real keys and clicks, and the prompt afterwards."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any, NamedTuple

import pytest
from comfyui_client import ComfyUIClient
from frontend import export_workflow, load_workflow, open_frontend, run_graph, set_widgets, show_node
from host_process import PACK_NAME, PACK_ROOT, HostProcess
from playwright.sync_api import Browser, Locator, Page, expect
from song_runs import SHORT_SECONDS, clear_cache

from ace_core.song_files.stars import read_star

WORKFLOW = json.loads((PACK_ROOT / "workflows" / "pick_a_take.json").read_text(encoding="utf-8"))
SEED = 42
SONGS = 4
SOUNDS = """(panel) => [...panel.querySelectorAll("audio")].map(
    ({ currentTime, paused, volume }) => ({ currentTime, paused, volume })
)"""
PLAYS_ON = """([panel, index, seconds]) => {
    const sounds = [...panel.querySelectorAll("audio")];
    return sounds.every((sound, each) => sound.paused === (each !== index)) && sounds[index].currentTime > seconds;
}"""
SIZES = "() => app.graph.nodes.map(({ type, size, pos }) => [type, ...pos, ...size]).sort()"
WIDGETS = """(type) => Object.fromEntries(
    app.graph.nodes.find((node) => node.type === type).widgets.map(({ name, value }) => [name, value])
)"""

OUTPUTS = "(type) => app.nodeOutputs[app.graph.nodes.find((node) => node.type === type).id]"


class Heard(NamedTuple):
    """The workflow after a run; `prompt` and `sizes` are from before."""

    page: Page
    prompt: dict[str, Any]
    sizes: list[Any]
    messages: list[str]


@pytest.fixture(scope="module", params=["canvas", "vue"])
def heard(request: pytest.FixtureRequest, browser: Browser, host: HostProcess) -> Iterator[Heard]:
    messages: list[str] = []
    page = open_frontend(browser, host.url, vue_nodes=request.param == "vue", messages=messages)
    load_workflow(page, WORKFLOW)
    set_widgets(page, ("AceComposerBlueprint", "duration_seconds", SHORT_SECONDS), ("AceComposerSample", "steps", 2))
    show_node(page, "AceComposerPreviewSong")
    expect(page.get_by_role("group", name="Takes").first).to_contain_text("Run the workflow")
    prompt, sizes = export_workflow(page).prompt, page.evaluate(SIZES)
    with ComfyUIClient(host.url) as client:
        clear_cache(client)
    run_graph(page)
    yield Heard(page, prompt, sizes, messages)
    page.context.close()


@pytest.fixture
def panel(heard: Heard) -> Iterator[Locator]:
    """The player of Preview Song, as a run leaves it."""
    show_node(heard.page, "AceComposerPreviewSong")
    run_graph(heard.page)  # all of it is remembered, and shown again
    shown = panel_of(heard.page, SONGS)
    yield shown
    shown.evaluate("(panel) => panel.querySelectorAll('audio').forEach((sound) => sound.pause())")


def panel_of(page: Page, songs: int) -> Locator:
    """The player with so many songs."""
    return page.get_by_role("group", name="Takes").filter(has=page.locator(f".strip:nth-child({songs}):last-child"))


def plays_on(panel: Locator, index: int, seconds: float) -> None:
    """Wait until this sound alone plays, beyond a time."""
    panel.page.wait_for_function(PLAYS_ON, arg=[panel.element_handle(), index, seconds])


def test_every_song_has_a_strip_with_its_seed_and_loudness(panel: Locator) -> None:
    facts = panel.locator(".facts")
    expect(facts).to_have_count(SONGS)
    for index in range(SONGS):
        expect(facts.nth(index)).to_contain_text(f"seed {SEED + index}")
        expect(facts.nth(index)).to_contain_text("LUFS")


def test_keys_play_and_switch_at_the_same_place(panel: Locator) -> None:
    panel.get_by_role("button", name="Take 1").click()
    panel.page.keyboard.press("Space")
    plays_on(panel, 0, 0.3)
    panel.page.keyboard.press("3")
    plays_on(panel, 2, 0.3)
    first, _, third, _ = panel.evaluate(SOUNDS)
    assert third["currentTime"] >= first["currentTime"]
    panel.page.keyboard.press("Space")
    panel.page.wait_for_function(
        "(panel) => !panel.querySelector('.bar').textContent.includes('\u275a\u275a')", arg=panel.element_handle()
    )
    assert all(sound["paused"] for sound in panel.evaluate(SOUNDS))


def test_a_click_on_a_wave_seeks_and_arrows_move(panel: Locator) -> None:
    wave = panel.get_by_role("slider").nth(1)
    box = wave.bounding_box()
    assert box is not None
    panel.page.mouse.click(box["x"] + box["width"] / 2, box["y"] + box["height"] / 2)
    expect(panel.get_by_role("button", name="Take 2")).to_have_attribute("aria-pressed", "true")
    assert panel.evaluate(SOUNDS)[1]["currentTime"] == pytest.approx(SHORT_SECONDS / 2, abs=0.2)
    wave.focus()
    panel.page.keyboard.press("ArrowLeft")
    assert panel.evaluate(SOUNDS)[1]["currentTime"] == pytest.approx(0, abs=0.2)


def test_all_takes_are_as_loud_as_the_quietest(panel: Locator) -> None:
    texts = panel.locator(".facts").all_inner_texts()
    loudness = [float(text.split(" LUFS")[0].split()[-1]) for text in texts]
    volumes = [sound["volume"] for sound in panel.evaluate(SOUNDS)]
    expected = [10 ** ((min(loudness) - each) / 20) for each in loudness]
    assert volumes == pytest.approx(expected, abs=0.02)
    assert len({round(volume, 4) for volume in volumes}) > 1


def test_blind_hides_what_is_known(panel: Locator) -> None:
    blind = panel.get_by_role("button", name="Blind")
    blind.click()
    assert panel.locator(".choose").all_inner_texts() == ["A", "B", "C", "D"]
    assert "".join(panel.locator(".facts").all_inner_texts()) == ""
    expect(panel.get_by_role("button", name="Write the seed")).to_be_disabled()
    blind.click()
    assert panel.locator(".choose").all_inner_texts() == ["1", "2", "3", "4"]


def test_the_chosen_takes_and_seed_are_plain_widgets(heard: Heard, panel: Locator) -> None:
    page = heard.page
    panel.get_by_role("button", name="Take 3").click()
    panel.get_by_role("button", name="Write the seed").click()
    for number in (3, 1):
        panel.get_by_role("checkbox").nth(number - 1).check()
    panel.get_by_role("button", name="Tell Pick Take").click()
    sample = page.evaluate(WIDGETS, "AceComposerSample")
    assert (sample["seed"], sample["control_after_generate"]) == (SEED + 2, "fixed")
    prompt = export_workflow(page).prompt
    changed = {
        (node["class_type"], name): node["inputs"][name]
        for number, node in prompt.items()
        for name in node["inputs"]
        if node["inputs"][name] != heard.prompt[number]["inputs"].get(name)
    }
    assert changed == {("AceComposerSample", "seed"): SEED + 2, ("AceComposerPickTake", "takes"): "1, 3"}
    assert all(node["inputs"].keys() == heard.prompt[number]["inputs"].keys() for number, node in prompt.items())
    set_widgets(page, ("AceComposerSample", "seed", SEED))
    run_graph(page)
    show_node(page, "AceComposerSaveSong")
    expect(panel_of(page, 2).locator(".facts").nth(1)).to_contain_text(f"seed {SEED + 2}")


def test_a_star_is_kept_in_the_file_of_the_song(panel: Locator, host: HostProcess) -> None:
    page = panel.page
    expect(panel.get_by_role("button", name="Star")).to_have_count(0)  # nothing is saved there
    show_node(page, "AceComposerSaveSong")
    star = page.get_by_role("button", name="Star")
    expect(star.first).to_have_attribute("aria-pressed", "false")
    star.first.click()
    expect(star.first).to_have_attribute("aria-pressed", "true")
    saved = page.evaluate(OUTPUTS, "AceComposerSaveSong")["ace_takes"]
    songs = [host.base_directory / "output" / take["file"]["subfolder"] / take["file"]["filename"] for take in saved]
    assert [read_star(song) for song in songs] == [True] + [False] * (len(songs) - 1)
    load_workflow(page, export_workflow(page).workflow)
    show_node(page, "AceComposerSaveSong")
    run_graph(page)  # nothing has changed: the same files are shown again
    expect(star.first).to_have_attribute("aria-pressed", "true")
    star.first.focus()
    page.keyboard.press("Space")
    expect(star.first).to_have_attribute("aria-pressed", "false")
    assert not any(read_star(song) for song in songs)


def test_no_node_has_moved_or_grown(heard: Heard) -> None:
    assert heard.page.evaluate(SIZES) == heard.sizes


def test_what_is_saved_has_no_trace_of_the_player(heard: Heard) -> None:
    """Two players are in the graph; after a reload they are empty and the widgets have their values."""
    page = heard.page
    exported = export_workflow(page)
    for node in exported.workflow["nodes"]:
        if node["type"] == "AceComposerPreviewSong":
            assert not node.get("widgets_values")
        if node["type"] == "AceComposerSaveSong":
            assert node["widgets_values"] == ["songs/take", "flac 24 bit", "", True]
    load_workflow(page, {**exported.workflow, "nodes": [], "links": []})
    load_workflow(page, exported.workflow)
    show_node(page, "AceComposerPreviewSong")
    expect(page.get_by_role("group", name="Takes").first).to_be_visible()
    assert export_workflow(page).prompt == exported.prompt


def test_nothing_complained(heard: Heard) -> None:
    words = (PACK_NAME, "AceComposer", "acecomposer", "Media")
    assert [text for text in heard.messages if any(word in text for word in words)] == []
