"""What only hosts newer than 0.3.75 can show of the nodes."""

from __future__ import annotations

import pytest
from comfyui_client import ComfyUIClient

pytestmark = pytest.mark.newer_host


def test_nodes_are_found_by_other_words(client: ComfyUIClient) -> None:
    nodes = {name: node for name, node in client.get_json("/object_info").items() if name.startswith("AceComposer")}
    assert [name for name, node in nodes.items() if not node["search_aliases"]] == []


def test_rarely_used_inputs_are_folded(client: ComfyUIClient) -> None:
    sample = client.get_json("/object_info/AceComposerSample")["AceComposerSample"]
    folded = [name for name, (_, details) in sample["input"]["optional"].items() if details.get("advanced")]
    assert "custom_timesteps" in folded
