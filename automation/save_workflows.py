"""Saves every workflow in workflows/ again, through ComfyUI's own frontend, with its API form and its pictures.

    .venv/bin/python automation/save_workflows.py              # after a change of nodes or of a workflow
    .venv/bin/python automation/save_workflows.py --pictures   # also the thumbnails and the picture in docs/

A workflow starts as one that was arranged in `dev.py serve` and saved with "Export" into workflows/. Here it gets what
a file saved by hand lacks: the ids and versions of the packs that its nodes come from, a view that shows all of it,
and workflows/api/NAME.json with the very same graph for automation. Needs playwright and Chromium (`dev.py setup`).

The page shows a template under the name of its file, as in "ACE-Step 00 Try it without models.json"; programs get it as
workflows/api/try_it_without_models.json.
"""

from __future__ import annotations

import argparse
import json
import math
import random
import re
import sys
import tempfile
import uuid
from pathlib import Path
from typing import Any

from chromium import INSTALL_COMMAND, find_chromium
from comfyui_client import ComfyUIClient
from frontend import Export, export_workflow, load_workflow, open_browser, open_frontend, run_graph, show_all
from host_process import PACK_NAME, PACK_ROOT, HostProcess
from hosts import find_comfyui
from playwright.sync_api import Browser, FloatRect
from stand_in_models import write_stand_in_models

WORKFLOWS = PACK_ROOT / "workflows"
PICTURES = PACK_ROOT / "docs"
NODE_PREFIX = "AceComposer"
PICTURED = ("text_to_music",)  # the others need a song or a blueprint to start from, or are too large for one picture
MARK = "ace_composer_workflow"
VIRTUAL_NODES = {"MarkdownNote", "Note", "PrimitiveNode", "Reroute"}  # live in the page, belong to no pack
THUMBNAIL_PIXELS = 400
PICTURE_WIDTH, PICTURE_HEIGHT = 1960, 1160
PICTURE_MARGIN = 12
JPEG_QUALITY = 80
SHOWN_PREFIX = re.compile(r"ACE-Step \d\d ")
SHORT_LIST = re.compile(r"\[\s+((?:-?[\d.]+|\"\w+\")(?:,\s+(?:-?[\d.]+|\"\w+\"))*)\s+\]")  # positions, sizes, links


def plain_name(stem: str) -> str:
    """What programs call the workflow in a file of this name."""
    return SHOWN_PREFIX.sub("", stem).lower().replace(" ", "_")


def pack_version() -> str:
    found = re.search(r'^version = "(.+)"$', (PACK_ROOT / "pyproject.toml").read_text(encoding="utf-8"), re.MULTILINE)
    assert found is not None
    return found[1]


def complete_workflow(workflow: dict[str, Any], name: str, host_version: str) -> dict[str, Any]:
    """Add the properties by which ComfyUI-Manager finds missing packs, an id that stays the same, and whose it is.

    The models that the nodes name are repeated at the top: from there the page offers to download missing ones, while
    from a node it takes only those that a widget of the node names in the very same words.
    """
    for node in workflow["nodes"]:
        if node["type"] in VIRTUAL_NODES:
            continue
        ours = node["type"].startswith(NODE_PREFIX)
        node["properties"] |= {
            "Node name for S&R": node["type"],
            "cnr_id": PACK_NAME if ours else "comfy-core",
            "ver": pack_version() if ours else host_version,
        }
    workflow["extra"][MARK] = name  # js/workflow_texts.js
    view = workflow["extra"]["ds"]
    view["scale"] = round(view["scale"], 3)
    view["offset"] = [round(value) for value in view["offset"]]
    models = [model for node in workflow["nodes"] for model in node["properties"].get("models", ())]
    return workflow | {"id": str(uuid.uuid5(uuid.NAMESPACE_URL, f"{PACK_NAME}/workflows/{name}")), "models": models}


def save(path: Path, document: object) -> None:
    text = json.dumps(document, indent=2, ensure_ascii=False)
    text = SHORT_LIST.sub(lambda found: "[" + " ".join(found[1].split()) + "]", text)
    path.write_text(text + "\n", encoding="utf-8")


def save_again(browser: Browser, url: str, path: Path, host_version: str) -> None:
    """Load a workflow, complete it, save it in both forms."""
    page = open_frontend(browser, url)
    load_workflow(page, json.loads(path.read_text(encoding="utf-8")))
    show_all(page)
    exported: Export = export_workflow(page)
    name = plain_name(path.stem)
    save(path, complete_workflow(exported.workflow, name, host_version))
    save(
        path.parent / "api" / f"{name}.json",
        dict(sorted(exported.prompt.items(), key=lambda entry: int(entry[0]))),
    )
    page.context.close()


def picture(browser: Browser, url: str, path: Path) -> None:
    """Run a workflow and photograph its graph."""
    page = open_frontend(browser, url, vue_nodes=True, width=PICTURE_WIDTH, height=PICTURE_HEIGHT)
    load_workflow(page, json.loads(path.read_text(encoding="utf-8")))
    run_graph(page)
    box = show_all(page, left=100, top=130, right=40, bottom=110)  # clear of the toolbars
    page.get_by_text("Job completed").wait_for(state="hidden")
    page.wait_for_timeout(1000)  # the page draws at its own pace
    target = PICTURES / path.with_suffix(".jpg").name
    margin = PICTURE_MARGIN
    clip: FloatRect = {
        "x": box["x"] - margin,
        "y": box["y"] - margin,
        "width": box["width"] + 2 * margin,
        "height": box["height"] + 2 * margin,
    }
    page.screenshot(path=target, clip=clip, type="jpeg", quality=JPEG_QUALITY)
    page.context.close()


def thumbnail(browser: Browser, path: Path) -> None:
    """Draw a waveform for the template browser; another name gives another song."""
    page = browser.new_page(viewport={"width": THUMBNAIL_PIXELS, "height": THUMBNAIL_PIXELS})
    page.set_content(_waveform(plain_name(path.stem)))
    page.screenshot(path=path.with_suffix(".jpg"), type="jpeg", quality=JPEG_QUALITY)
    page.close()


def _waveform(seed: str) -> str:
    numbers = random.Random(seed)
    hue = numbers.randrange(360)
    phases = [numbers.random() * math.tau for _ in range(3)]
    bars = []
    for index in range(31):
        position = index / 30
        swell = sum(math.sin(math.tau * (rank + 1) * position + phase) for rank, phase in enumerate(phases)) / 3
        height = math.sin(math.pi * position) ** 0.6 * (150 + 90 * swell) * (0.55 + 0.45 * numbers.random()) + 8
        bars.append(
            f'<rect x="{18 + 12 * index}" y="{200 - height / 2:.1f}" width="7" height="{height:.1f}" rx="3.5" '
            f'fill="hsl({(hue + 110 * position) % 360:.0f} 85% 65%)"/>'
        )
    return (
        '<body style="margin:0"><svg width="100%" height="100%" viewBox="0 0 400 400"><defs>'
        f'<radialGradient id="night"><stop offset="0" stop-color="hsl({hue} 35% 20%)"/>'
        f'<stop offset="1" stop-color="hsl({hue} 40% 7%)"/></radialGradient></defs>'
        f'<rect width="400" height="400" fill="url(#night)"/>{"".join(bars)}</svg></body>'
    )


def main() -> int:
    parser = argparse.ArgumentParser(prog="save_workflows.py", description="Save the workflows again.")
    parser.add_argument("--pictures", action="store_true", help="also make the thumbnails and the picture in docs/")
    options = parser.parse_args()
    comfyui, chromium = find_comfyui(), find_chromium()
    if comfyui is None or chromium is None:
        parser.error(f"ComfyUI (python dev.py setup) and Chromium ({INSTALL_COMMAND}) are needed")
    with tempfile.TemporaryDirectory(prefix="ace-composer-workflows-") as scratch:
        models = write_stand_in_models(Path(scratch) / "stand_in_models")
        with HostProcess(comfyui, Path(scratch), models=models) as host, open_browser(chromium) as browser:
            with ComfyUIClient(host.url) as client:
                host_version = client.get_json("/system_stats")["system"]["comfyui_version"]
            for path in sorted(WORKFLOWS.glob("*.json")):
                save_again(browser, host.url, path, host_version)
                if options.pictures:
                    thumbnail(browser, path)
                    if plain_name(path.stem) in PICTURED:
                        picture(browser, host.url, path)
                print(path)
    return 0


if __name__ == "__main__":
    sys.exit(main())
