"""What the page says of the model files that a workflow names: each missing one can be had, no other is named.

Frontends pair a file with its address by its name in a widget, each release in another way, so both that matter are
asked. The files here are empty: the page and the lists of the nodes go by names alone.
"""

from __future__ import annotations

import copy
import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from frontend import load_workflow, open_frontend
from host_process import PACK_ROOT, HostProcess
from hosts import SMOKE_FRONTENDS
from playwright.sync_api import Browser, Locator, Page, expect

_SAVED = ((path.stem, json.loads(path.read_text("utf-8"))) for path in sorted((PACK_ROOT / "workflows").glob("*.json")))
WORKFLOWS: dict[str, dict[str, Any]] = {name: saved for name, saved in _SAVED if saved["models"]}  # one needs none
PUBLISHED = {model["name"]: model["directory"] for workflow in WORKFLOWS.values() for model in workflow["models"]}
OWN_LORAS = {
    node["widgets_values"][0]
    for workflow in WORKFLOWS.values()
    for node in workflow["nodes"]
    if node["type"] == "AceComposerLoadLora"
}
FRONTENDS = (None, SMOKE_FRONTENDS[-1])  # the installed one, and the newest


def models_folder(root: Path, files: dict[str, str]) -> Path:
    for name in ("diffusion_models", "text_encoders", "vae", "checkpoints", "loras"):
        (root / name).mkdir(parents=True)
    for file, folder in files.items():
        (root / folder / file).touch()
    return root


@pytest.fixture(scope="module", params=FRONTENDS, ids=["installed", "newest"])
def pages(
    request: pytest.FixtureRequest,
    browser: Browser,
    start_host: Callable[..., HostProcess],
    tmp_path_factory: pytest.TempPathFactory,
) -> Iterator[tuple[Page, Page]]:
    """The page of a host without models, and that of one with every file that a workflow names."""
    folder = tmp_path_factory.mktemp("named_models")
    complete = PUBLISHED | dict.fromkeys(OWN_LORAS, "loras")
    models = (models_folder(folder / "none", {}), models_folder(folder / "all", complete))
    hosts = [start_host(models=path, frontend=request.param) for path in models]
    without, complete_page = (open_frontend(browser, host.url) for host in hosts)
    yield without, complete_page
    for page, host in zip((without, complete_page), hosts, strict=True):
        page.context.close()
        host.stop()


def missing_models(page: Page) -> Locator:
    """What the page says of missing models, opened if it is not."""
    group = page.get_by_test_id("error-group-missing-model")
    overlay = page.get_by_test_id("error-overlay-see-errors")
    expect(group.or_(overlay).first).to_be_visible()
    if not group.is_visible():
        overlay.click()
    expect(group).to_be_visible()
    return group


@pytest.mark.parametrize("name", list(WORKFLOWS))
def test_every_file_that_a_workflow_names_can_be_downloaded(pages: tuple[Page, Page], name: str) -> None:
    page, _ = pages
    workflow = WORKFLOWS[name]
    load_workflow(page, workflow)
    group = missing_models(page)
    names = {model["name"] for model in workflow["models"]}
    expect(group.get_by_test_id("missing-model-download")).to_have_count(len(names))
    for file in names:
        expect(group).to_contain_text(file)


@pytest.mark.parametrize("name", list(WORKFLOWS))
def test_no_file_that_is_there_is_called_missing(pages: tuple[Page, Page], name: str) -> None:
    """One file is given a name that no file has, so that there is something to wait for."""
    _, page = pages
    workflow = copy.deepcopy(WORKFLOWS[name])
    absent = f"absent_for_{name}.safetensors"
    loader = next(node for node in workflow["nodes"] if node["type"] == "AceComposerLoadModels")
    model = loader["properties"]["models"][0]
    here = model["name"]
    for entry in (model, *(entry for entry in workflow["models"] if entry["name"] == here)):
        entry["url"] = entry["url"].replace(entry["name"], absent)
        entry["name"] = absent
    loader["widgets_values"] = [absent if value == here else value for value in loader["widgets_values"]]
    load_workflow(page, workflow)
    group = missing_models(page)
    expect(group).to_contain_text(absent)
    expect(group.get_by_test_id("missing-model-download")).to_have_count(1)
    shown = group.inner_text()
    assert [file for file in (*PUBLISHED, *OWN_LORAS) if file in shown] == []
