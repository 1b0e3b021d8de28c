"""Help pages and translations name the same nodes, inputs and outputs."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

ROOT = Path(__file__).parents[1]


def read_locale(language: str, name: str) -> dict[str, Any]:
    document: dict[str, Any] = json.loads((ROOT / "locales" / language / name).read_text(encoding="utf-8"))
    return document


def skeleton(document: object) -> object:
    return {key: skeleton(value) for key, value in document.items()} if isinstance(document, dict) else None


@pytest.mark.parametrize("name", ["main.json", "nodeDefs.json"])
def test_every_language_translates_the_same_keys(name: str) -> None:
    assert skeleton(read_locale("zh", name)) == skeleton(read_locale("en", name))


def test_no_text_is_empty() -> None:
    def texts(document: Any) -> list[str]:
        return (
            [text for value in document.values() for text in texts(value)] if isinstance(document, dict) else [document]
        )

    for language in ("en", "zh"):
        for name in ("main.json", "nodeDefs.json"):
            assert all(text.strip() for text in texts(read_locale(language, name)))


def test_every_node_has_a_help_page_and_the_other_way_round() -> None:
    pages = {page.stem for page in (ROOT / "js" / "docs").glob("*.md")}
    assert pages == set(read_locale("en", "nodeDefs.json"))


@pytest.mark.parametrize("node_id", list(read_locale("en", "nodeDefs.json")))
def test_a_help_page_lists_the_inputs_and_outputs_in_order(node_id: str) -> None:
    texts = read_locale("en", "nodeDefs.json")[node_id]
    page = (ROOT / "js" / "docs" / f"{node_id}.md").read_text(encoding="utf-8")
    assert page.startswith(f"# {texts['display_name']}\n")
    inputs, outputs = page.split("## Inputs")[1].split("## Outputs")
    assert table_rows(inputs) == list(texts["inputs"])
    assert table_rows(outputs) == [output["name"] for output in texts["outputs"].values()]


def table_rows(table: str) -> list[str]:
    return [line.split("`")[1] for line in table.splitlines() if line.startswith("| `")]
