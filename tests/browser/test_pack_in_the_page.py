"""What surrounds the graph in ComfyUI's page: help, template browser, missing models, translation."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import pytest
from frontend import TIMEOUT_MILLISECONDS, close_dialog, load_workflow, open_frontend
from host_process import PACK_NAME, PACK_ROOT, HostProcess
from playwright.sync_api import Browser, Locator, Page, TimeoutError, expect
from save_workflows import THUMBNAIL_PIXELS

WORKFLOW_NAMES = sorted(path.stem for path in (PACK_ROOT / "workflows").glob("*.json"))
WORKFLOW = json.loads((PACK_ROOT / "workflows" / "text_to_music.json").read_text(encoding="utf-8"))
NODE_TEXTS: dict[str, dict[str, dict[str, Any]]] = {
    language: json.loads((PACK_ROOT / "locales" / language / "nodeDefs.json").read_text(encoding="utf-8"))
    for language in ("en", "zh")
}
WIDGET_LABELS = """() => Object.fromEntries(app.graph.nodes.map(
    (node) => [node.type, Object.fromEntries((node.widgets ?? []).map((widget) => [widget.name, widget.label]))],
))"""


@pytest.fixture(scope="module")
def shared_page(browser: Browser, host: HostProcess) -> Iterator[Page]:
    opened = open_frontend(browser, host.url)
    yield opened
    opened.context.close()


@pytest.fixture
def page(shared_page: Page) -> Iterator[Page]:
    """The page of all these tests; dialogs that a failed one leaves open are closed."""
    yield shared_page
    dialogs = shared_page.get_by_role("dialog")
    while dialogs.count():
        close_dialog(dialogs.last)


@pytest.mark.parametrize("node_id", list(NODE_TEXTS["en"]))
def test_the_help_of_a_node_opens(page: Page, node_id: str) -> None:
    page.evaluate(
        "(type) => { app.graph.clear(); const node = LiteGraph.createNode(type); node.pos = [200, 200]; "
        "app.graph.add(node); app.canvas.selectNode(node); }",
        node_id,
    )
    page.get_by_test_id("info-button").click()
    texts = NODE_TEXTS["en"][node_id]
    expect(page.get_by_role("heading", name=texts["display_name"], exact=True)).to_be_visible()
    names = [*texts["inputs"], *(output["name"] for output in texts["outputs"].values())]
    expect(page.locator("li > strong > code")).to_have_text(names)


def open_templates_at(page: Page, name: str) -> Locator:
    """The template dialog, with this pack chosen and this workflow offered.

    The dialog closes again where one of before is still on its way out, and it is redrawn while templates arrive, so a
    click can get lost, or its effect.
    """
    for patience_milliseconds in (2_000, 10_000, TIMEOUT_MILLISECONDS):
        page.evaluate("() => app.extensionManager.command.execute('Comfy.BrowseTemplates')")
        dialog = page.get_by_role("dialog").last
        try:
            dialog.get_by_role("button", name=PACK_NAME, exact=True).click(timeout=patience_milliseconds)
            page.get_by_test_id(f"template-workflow-{name}").wait_for(timeout=patience_milliseconds)
            return dialog
        except TimeoutError:
            close_dialog(dialog)
    pytest.fail(f"the template browser does not offer {name}")


@pytest.mark.parametrize("name", WORKFLOW_NAMES)
def test_the_template_browser_offers_the_workflow(page: Page, name: str) -> None:
    browser_dialog = open_templates_at(page, name)
    card = page.get_by_test_id(f"template-workflow-{name}")
    card.scroll_into_view_if_needed()  # pictures are loaded when they are seen
    # the picture that stands in for an absent one has another size
    page.wait_for_function(
        "([id, width]) => document.querySelector(`[data-testid='${id}'] img`)?.naturalWidth === width",
        arg=[f"template-workflow-{name}", THUMBNAIL_PIXELS],
    )
    card.click()
    expect(browser_dialog).to_be_hidden()
    saved = json.loads((PACK_ROOT / "workflows" / f"{name}.json").read_text(encoding="utf-8"))
    types = sorted(node["type"] for node in saved["nodes"])
    page.wait_for_function(
        "(types) => JSON.stringify(app.graph.nodes.map((node) => node.type).sort()) === JSON.stringify(types)",
        arg=types,
    )


def test_the_nodes_speak_chinese(browser: Browser, host: HostProcess) -> None:
    page = open_frontend(browser, host.url, locale="zh")
    load_workflow(page, WORKFLOW)
    labels = page.evaluate(WIDGET_LABELS)
    for node_id, texts in NODE_TEXTS["zh"].items():
        title = page.evaluate("(type) => LiteGraph.registered_node_types[type].title", node_id)
        assert title == texts["display_name"]
        shown = labels.get(node_id, {})  # of the nodes that this workflow has
        expected = {name: text["name"] for name, text in texts["inputs"].items() if name in shown}
        assert {name: shown[name] for name in expected} == expected
    page.context.close()
