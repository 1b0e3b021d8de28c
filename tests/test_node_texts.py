"""Help pages and translations say what the nodes say; what they are made from is compared in tests/host."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from node_texts import help_page

ROOT = Path(__file__).parents[1]


def read_locale(language: str, name: str) -> dict[str, Any]:
    document: dict[str, Any] = json.loads((ROOT / "locales" / language / name).read_text(encoding="utf-8"))
    return document


def test_every_node_has_a_help_page_and_the_other_way_round() -> None:
    pages = {page.stem for page in (ROOT / "js" / "docs").glob("*.md")}
    assert pages == set(read_locale("en", "nodeDefs.json"))


CONTRACT: dict[str, Any] = json.loads((ROOT / "tests" / "data" / "object_info.json").read_text(encoding="ascii"))


@pytest.mark.parametrize("node_id", list(CONTRACT))
def test_a_help_page_has_every_name_range_default_and_tooltip(node_id: str) -> None:
    texts = read_locale("en", "nodeDefs.json")[node_id]
    page = (ROOT / "js" / "docs" / f"{node_id}.md").read_text(encoding="utf-8")
    assert page.startswith(f"# {texts['display_name']}\n")
    wires = read_locale("en", "main.json")["dataTypes"]
    assert help_page(page, CONTRACT[node_id], texts, wires) == page, "run 'python dev.py texts'"


def test_a_line_of_a_help_page() -> None:
    node = {
        "inputs": [
            {"name": "bpm", "required": True, "type": "INT", "default": 0, "min": 0, "max": 300},
            {"name": "seed", "required": True, "type": "INT", "default": 0, "min": 0, "max": 2**64 - 1},
            {"name": "solver", "required": False, "type": "COMBO", "default": "a_b", "options": ["a_b", "c"]},
            {"name": "note", "required": False, "type": "STRING", "default": "", "advanced": True},
            {"name": "model", "required": True, "type": "ACE_MODEL"},
        ],
        "outputs": [{"type": "LATENT", "name": "latent"}],
    }
    texts = {
        "inputs": {
            name: {"name": name, "tooltip": f"The {name} [1] a_b."}
            for name in ("bpm", "seed", "solver", "note", "model")
        },
        "outputs": {"0": {"name": "latent", "tooltip": "Result."}},
    }
    page = "# Node\n\nIntro.\n\n## Inputs\nold\n## Outputs\n\nold\n\n## Notes\n\n- Stays.\n"
    assert help_page(page, node, texts, {"ACE_MODEL": "ACE model"}) == (
        "# Node\n\nIntro.\n\n## Inputs\n\n"
        "- **`bpm`** (whole number, 0 to 300, default 0): The bpm \\[1\\] a\\_b.\n"
        "- **`seed`** (whole number from 0, default 0): The seed \\[1\\] a\\_b.\n"
        "- **`solver`** (`a_b`, `c`, default `a_b`, optional): The solver \\[1\\] a\\_b.\n"
        "- **`note`** (text, advanced): The note \\[1\\] a\\_b.\n"
        "- **`model`** (ACE model): The model \\[1\\] a\\_b.\n\n"
        "## Outputs\n\n- **`latent`** (latent): Result.\n\n## Notes\n\n- Stays.\n"
    )
    with pytest.raises(ValueError, match="## Inputs"):
        help_page("# Node\n", node, texts, {})


def test_a_line_of_a_help_page_in_another_language() -> None:
    node = {
        "inputs": [{"name": "on_top", "required": False, "type": "BOOLEAN", "default": True}],
        "outputs": [],
    }
    texts = {"inputs": {"on_top": {"name": "oben", "tooltip": "Ganz oben."}}, "outputs": {}}
    phrases = {"Inputs": "Rein", "Outputs": "Raus", "None.": "Nichts.", "on or off": "an oder aus", "on": "an"}
    phrases |= {
        "default {value}": "sonst {value}",
        "optional": "wahlfrei",
        ", ": "; ",
        "({facts}): {tooltip}": "[{facts}] {tooltip}",
    }
    page = help_page("# Knoten\n\n## Rein\n\n## Raus\n", node, texts, {}, lambda phrase: phrases[phrase])
    assert page == (
        "# Knoten\n\n## Rein\n\n- **oben** `on_top` [an oder aus; sonst an; wahlfrei] Ganz oben.\n\n"
        "## Raus\n\nNichts.\n"
    )
