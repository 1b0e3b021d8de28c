"""What saved workflows and automation rely on: a node's inputs in order with their types, limits, defaults and options.

Read from a host's /object_info, and the same on every supported host: texts are left out, and lists of files, which
depend on the machine.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from comfyui_client import ComfyUIClient

PREFIX = "AceComposer"
VALUE_OPTIONS = ("default", "min", "max", "step", "multiline", "dynamicPrompts", "control_after_generate", "advanced")
LISTS_OF_FILES = {
    ("AceComposerLoadModels", "model"),
    ("AceComposerLoadModels", "text_encoder"),
    ("AceComposerLoadModels", "vae"),
    ("AceComposerLoadPlanner", "planner"),
    ("AceComposerLoadBlueprint", "file"),
    ("AceComposerLoadLora", "lora"),
    ("AceComposerLoadPlannerLora", "lora"),
    ("AceComposerDataset", "folder"),
    ("AceComposerDataset", "labels"),
    ("AceComposerLoadSong", "audio"),
}


def own_nodes(client: ComfyUIClient) -> dict[str, Any]:
    """The descriptions of this pack's nodes as the host gives them, by id."""
    return {name: node for name, node in client.get_json("/object_info").items() if name.startswith(PREFIX)}


def projection(node_id: str, node: Mapping[str, Any]) -> dict[str, Any]:
    """What all hosts share of a node's description, texts apart."""
    inputs = [
        _projected_input(node_id, name, group, node["input"][group][name])
        for group in ("required", "optional")
        for name in node["input_order"].get(group, [])
    ]
    return {
        "display_name": node["display_name"],
        "category": node["category"],
        "inputs": inputs,
        "outputs": [
            {"type": kind, "name": name} for kind, name in zip(node["output"], node["output_name"], strict=True)
        ],
        "output_is_list": node["output_is_list"],
        "output_node": node["output_node"],
    }


def _projected_input(node_id: str, name: str, group: str, described: list[Any]) -> dict[str, Any]:
    kind, *rest = described
    details = rest[0] if rest else {}
    result: dict[str, Any] = {"name": name, "required": group == "required", "type": kind}
    result |= {option: details[option] for option in VALUE_OPTIONS if option in details}
    if kind == "COMBO" and (node_id, name) not in LISTS_OF_FILES:
        result["options"] = details["options"]
    return result
