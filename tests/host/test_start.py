"""The pack in a real ComfyUI: it loads without a complaint and brings its nodes and its browser files."""

from __future__ import annotations

import re

from comfyui_client import ComfyUIClient
from host_process import PACK_NAME, PACK_ROOT, HostProcess


def test_the_pack_loads_without_a_complaint(host: HostProcess) -> None:
    start, found, _ = host.log().partition("Starting server")  # what follows comes from the tests
    assert found
    assert re.search(rf"\d seconds[^\n]*{PACK_NAME}", start), "the host does not list the pack among its imports"
    complaints = ("IMPORT FAILED", "Error while calling comfy_entrypoint", "Traceback")
    assert [line for line in start.splitlines() if any(complaint in line for complaint in complaints)] == []


def test_every_node_is_offered_with_a_name_and_a_description(client: ComfyUIClient) -> None:
    nodes = {name: node for name, node in client.get_json("/object_info").items() if name.startswith("AceComposer")}
    assert nodes
    for name, node in nodes.items():
        assert node["display_name"], name
        assert node["description"], name
        assert node["category"].split("/")[:2] == ["audio", "ACE Composer"], name
        assert node["python_module"] == f"custom_nodes.{PACK_NAME}", name


def test_browser_files_are_served(client: ComfyUIClient) -> None:
    paths = [path.relative_to(PACK_ROOT / "js").as_posix() for path in (PACK_ROOT / "js").rglob("*.*")]
    assert paths
    for path in paths:
        assert client.get(f"/extensions/{PACK_NAME}/{path}"), path
