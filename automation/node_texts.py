"""The texts of the nodes that follow from their schemas: locales/en/nodeDefs.json and the lists of the help pages.

A help page is js/docs/NODE.md. What stands below its headings "Inputs" and "Outputs" is made here, the rest is written
by hand. The panel that shows it is 290 pixels wide, so these are lists, not tables. `say` translates the phrases in
them: help pages in other languages are js/docs/NODE/LANGUAGE.md, see catalogues.py.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterable, Mapping
from typing import Any

WORDS = {"INT": "whole number", "FLOAT": "number", "STRING": "text", "BOOLEAN": "on or off"}
MOST_OPTIONS = 16  # longer lists, of languages and keys, would fill the page
LARGEST_SHOWN = 10**9  # seeds go up to 2**64 - 1
MOST_CHARACTERS = 40  # of a default that is shown
NO_OUTPUTS = "None."
PHRASES = (  # all that is said in the lists, apart from names and tooltips
    "Inputs",
    "Outputs",
    NO_OUTPUTS,
    "({facts}): {tooltip}",
    ", ",
    *WORDS.values(),
    "whole number from {least}",
    "{kind}, {least} to {most}",
    "{first}, {second} and {count} more",
    "a file or folder",
    "audio",
    "image",
    "latent",
    "mask",
    "default {value}",
    "on",
    "off",
    "advanced",
    "optional",
)

Texts = dict[str, Any]
Say = Callable[[str], str]


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


def english(phrase: str) -> str:
    return phrase


def help_page(page: str, node: Mapping[str, Any], texts: Texts, wires: Mapping[str, str], say: Say = english) -> str:
    """A help page with its lists made again.

    Args:
        node: its projection, see `contract`.
        texts: of the node, in the language of the page.
        wires: names of the data types, by type.
        say: from one of `PHRASES` to the same in that language.

    Raises:
        ValueError: the page has no such headings.
    """
    inputs = [
        _line(described["name"], _input_facts(described, wires, say), texts["inputs"][described["name"]], say)
        for described in node["inputs"]
    ]
    outputs = [
        _line(output["name"], [_type(output["type"], wires, say)], texts["outputs"][str(number)], say)
        for number, output in enumerate(node["outputs"])
    ]
    with_inputs = _with_section(page, say("Inputs"), inputs)
    return _with_section(with_inputs, say("Outputs"), outputs or [say(NO_OUTPUTS)])


def without_lists(page: str) -> str:
    """An English help page with nothing below "Inputs" and "Outputs"."""
    return _with_section(_with_section(page, "Inputs", []), "Outputs", [])


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


def _line(name: str, facts: Iterable[str], texts: Texts, say: Say) -> str:
    """An input or output: its name in the page, and that in prompts where it is another."""
    title = f"**`{name}`**" if texts["name"] == name else f"**{_marked(texts['name'])}** `{name}`"
    described = say("({facts}): {tooltip}").format(facts=say(", ").join(facts), tooltip=_marked(texts["tooltip"]))
    return f"- {title} {described}"


def _input_facts(described: Mapping[str, Any], wires: Mapping[str, str], say: Say) -> list[str]:
    facts = [_kind(described, wires, say)]
    if default := _default(described, say):
        facts.append(say("default {value}").format(value=default))
    if described.get("advanced"):
        facts.append(say("advanced"))
    elif not described["required"]:
        facts.append(say("optional"))
    return facts


def _kind(described: Mapping[str, Any], wires: Mapping[str, str], say: Say) -> str:
    """What an input takes."""
    kind = described["type"]
    if kind == "COMBO":
        options = described.get("options")
        if options is None:
            return say("a file or folder")
        if len(options) > MOST_OPTIONS:
            more = say("{first}, {second} and {count} more")
            return more.format(first=f"`{options[0]}`", second=f"`{options[1]}`", count=len(options) - 2)
        return say(", ").join(f"`{option}`" for option in options)
    if kind == "INT" and described["max"] > LARGEST_SHOWN:
        return say("whole number from {least}").format(least=described["min"])
    if kind in ("INT", "FLOAT"):
        limits = {"least": _number(described["min"]), "most": _number(described["max"])}
        return say("{kind}, {least} to {most}").format(kind=say(WORDS[kind]), **limits)
    return _type(kind, wires, say)


def _type(kind: str, wires: Mapping[str, str], say: Say) -> str:
    return wires[kind] if kind in wires else say(WORDS.get(kind, kind.lower()))


def _default(described: Mapping[str, Any], say: Say) -> str:
    """The default as code; nothing where it is empty, long, or what a wire does not have."""
    value = described.get("default")
    if value is None or value == "" or len(str(value)) > MOST_CHARACTERS or "\n" in str(value):
        return ""
    if isinstance(value, bool):
        return say("on" if value else "off")
    return _number(value) if isinstance(value, int | float) else f"`{value}`"


def _number(value: float) -> str:
    return str(int(value)) if value == int(value) else f"{value:g}"


def _marked(tooltip: str) -> str:
    """Plain text as Markdown."""
    return re.sub(r"([*_<>\[\]`])", r"\\\1", tooltip)
