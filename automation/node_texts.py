"""The texts of the nodes that follow from their schemas: locales/en/nodeDefs.json and the lists of the help pages.

A help page is js/docs/NODE.md. What stands below its headings "Inputs" and "Outputs" is made here, the rest is written
by hand. The panel that shows it is 290 pixels wide, so these are lists, not tables.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Mapping
from typing import Any

WORDS = {"INT": "whole number", "FLOAT": "number", "STRING": "text", "BOOLEAN": "on or off"}
MOST_OPTIONS = 16  # longer lists, of languages and keys, would fill the page
LARGEST_SHOWN = 10**9  # seeds go up to 2**64 - 1
MOST_CHARACTERS = 40  # of a default that is shown
NO_OUTPUTS = "None."

Texts = dict[str, Any]


def english_texts(nodes: Mapping[str, Any]) -> Texts:
    """The content of nodeDefs.json: names and tooltips of the nodes of a host's /object_info."""
    return {
        node_id: {
            "display_name": node["display_name"],
            "description": node["description"],
            "inputs": {
                name: {"name": name, "tooltip": details["tooltip"]}
                for group in ("required", "optional")
                for name, (_, details) in node["input"].get(group, {}).items()
            },
            "outputs": {
                str(number): {"name": name, "tooltip": tooltip}
                for number, (name, tooltip) in enumerate(zip(node["output_name"], node["output_tooltips"], strict=True))
            },
        }
        for node_id, node in nodes.items()
    }


def translated_texts(english: Any, translated: Any) -> tuple[Any, list[str]]:
    """A translation with the keys of the English texts, and the texts that it lacks, which stay English."""
    if not isinstance(english, dict):
        return (translated, []) if isinstance(translated, str) else (english, [english])
    known = translated if isinstance(translated, dict) else {}
    result, missing = {}, []
    for key, value in english.items():
        result[key], lacking = translated_texts(value, known.get(key))
        missing += lacking
    return result, missing


def help_page(page: str, node: Mapping[str, Any], texts: Texts, wires: Mapping[str, str]) -> str:
    """A help page with its lists made again.

    Args:
        node: its projection, see `contract`.
        texts: of the node, in English.
        wires: names of the data types, by type.

    Raises:
        ValueError: the page has no such headings.
    """
    inputs = [
        _line(described["name"], _input_facts(described, wires), texts["inputs"][described["name"]])
        for described in node["inputs"]
    ]
    outputs = [
        _line(output["name"], [_type(output["type"], wires)], texts["outputs"][str(number)])
        for number, output in enumerate(node["outputs"])
    ]
    return _with_section(_with_section(page, "Inputs", inputs), "Outputs", outputs or [NO_OUTPUTS])


def as_json(texts: Texts) -> str:
    """The text of a file of texts, a line for each input and output."""
    text = json.dumps(texts, indent=2, ensure_ascii=False)
    return re.sub(r'\{\n\s+("name": ".*"),\n\s+("tooltip": ".*")\n\s+\}', r"{ \1, \2 }", text) + "\n"


def _with_section(page: str, heading: str, lines: Iterable[str]) -> str:
    body = "\n".join(lines)
    changed, count = re.subn(
        rf"(?ms)^## {heading}\n.*?(?=^## |\Z)", lambda _: f"## {heading}\n\n{body}\n\n", page, count=1
    )
    if not count:
        raise ValueError(f"a help page needs the heading '## {heading}', this one begins with {page[:40]!r}")
    return changed.rstrip("\n") + "\n"


def _line(name: str, facts: Iterable[str], texts: Texts) -> str:
    return f"- **`{name}`** ({', '.join(facts)}): {_marked(texts['tooltip'])}"


def _input_facts(described: Mapping[str, Any], wires: Mapping[str, str]) -> list[str]:
    facts = [_kind(described, wires)]
    if default := _default(described):
        facts.append(f"default {default}")
    if described.get("advanced"):
        facts.append("advanced")
    elif not described["required"]:
        facts.append("optional")
    return facts


def _kind(described: Mapping[str, Any], wires: Mapping[str, str]) -> str:
    """What an input takes."""
    kind = described["type"]
    if kind == "COMBO":
        options = described.get("options")
        if options is None:
            return "a file or folder"
        if len(options) > MOST_OPTIONS:
            return f"`{options[0]}`, `{options[1]}` and {len(options) - 2} more"
        return ", ".join(f"`{option}`" for option in options)
    if kind == "INT" and described["max"] > LARGEST_SHOWN:
        return f"{WORDS[kind]} from {described['min']}"
    if kind in ("INT", "FLOAT"):
        return f"{WORDS[kind]}, {_number(described['min'])} to {_number(described['max'])}"
    return _type(kind, wires)


def _type(kind: str, wires: Mapping[str, str]) -> str:
    return WORDS.get(kind) or wires.get(kind, kind.lower())


def _default(described: Mapping[str, Any]) -> str:
    """The default as code; nothing where it is empty, long, or what a wire does not have."""
    value = described.get("default")
    if value is None or value == "" or len(str(value)) > MOST_CHARACTERS or "\n" in str(value):
        return ""
    if isinstance(value, bool):
        return "on" if value else "off"
    return _number(value) if isinstance(value, int | float) else f"`{value}`"


def _number(value: float) -> str:
    return str(int(value)) if value == int(value) else f"{value:g}"


def _marked(tooltip: str) -> str:
    """Plain text as Markdown."""
    return re.sub(r"([*_<>\[\]`])", r"\\\1", tooltip)
