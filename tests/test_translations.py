"""Every language has every text; what the page gets follows from the catalogues, and nothing is lost on the way."""

from __future__ import annotations

import json
from typing import Any

import pytest
from catalogues import (
    LANGUAGES,
    PREFIX,
    SECTIONS,
    brought_up_to_date,
    clashes,
    files,
    prose,
    read_catalogue,
    translated_prose,
)
from host_process import PACK_ROOT
from node_texts import as_json
from translation_faults import faults

REQUIRED = {"es", "fr", "ja", "ko", "ru", "zh"}
WITH_HELP_PAGES = {"ja", "zh"}


def test_the_languages() -> None:
    assert set(LANGUAGES) == REQUIRED
    assert {path.name for path in (PACK_ROOT / "locales").iterdir()} == {*LANGUAGES, "en"}
    assert {language for language in LANGUAGES if "help" in read_catalogue(language)} == WITH_HELP_PAGES


@pytest.mark.parametrize("language", LANGUAGES)
def test_a_catalogue_has_the_texts_of_today(language: str) -> None:
    catalogue = read_catalogue(language)
    assert as_json(brought_up_to_date(catalogue)) == as_json(catalogue), f"run 'python dev.py texts {language}'"


@pytest.mark.parametrize("language", LANGUAGES)
def test_every_text_is_translated(language: str) -> None:
    catalogue = read_catalogue(language)
    missing = [text for section in SECTIONS for text, own in catalogue.get(section, {}).items() if not own.strip()]
    assert not missing, f"translate these in translations/{language}.json"


@pytest.mark.parametrize("language", LANGUAGES)
def test_nothing_is_lost_or_left_in_english(language: str) -> None:
    assert faults(language, read_catalogue(language)) == []
    assert clashes(read_catalogue(language)) == []


@pytest.mark.parametrize("language", LANGUAGES)
def test_the_files_of_the_page_follow_from_the_catalogue(language: str) -> None:
    expected = files(language, read_catalogue(language))
    stale = [
        path.relative_to(PACK_ROOT).as_posix()
        for path, text in expected.items()
        if not path.is_file() or path.read_text(encoding="utf-8") != text
    ]
    assert not stale, f"run 'python dev.py texts {language}'"
    pages = {path for path in (PACK_ROOT / "js" / "docs").glob(f"*/{language}.md")}
    assert pages == {path for path in expected if path.suffix == ".md"}


def skeleton(document: object) -> object:
    return {key: skeleton(value) for key, value in document.items()} if isinstance(document, dict) else None


@pytest.mark.parametrize("language", LANGUAGES)
@pytest.mark.parametrize("name", ["main.json", "nodeDefs.json"])
def test_every_language_has_the_same_keys(language: str, name: str) -> None:
    own, english = (json.loads((PACK_ROOT / "locales" / code / name).read_text("utf-8")) for code in (language, "en"))
    assert skeleton(own) == skeleton(english)


def catalogue_of(text: str, translation: str) -> dict[str, Any]:
    guide = {"glossary": {"seed": "semilla"}, "same": []}
    return {**guide, "names": {"Save Song": "Guardar"}, "workflows": {}, "tooltips": {text: translation}}


@pytest.mark.parametrize(
    ("language", "text", "translation", "fault"),
    [
        ("es", "Length in seconds, 10 to 600.", "Duraci\u00f3n en segundos, de 10 a 60.", "has lost 600"),
        ("es", "At most 16 kHz.", "Hasta 16.", "has lost kHz"),
        ("es", "With [Verse] above.", "Con la marca encima.", "has lost [Verse]"),
        ("es", "{count} more", "otros", "has lost {count}"),
        ("es", "In models/loras.", "En los modelos.", "has lost models/loras"),
        ("es", "euler: the default.", "El normal.", "does not name the choice euler"),
        ("es", "From Save Song.", "De Salvar.", "does not call Save Song Guardar"),
        ("es", "Name of `path`.", "Nombre.", "does not name path"),
        ("es", "The **whole** song.", "Toda la canci\u00f3n.", "has other bold parts"),
        ("es", "**Take (s)** it.", "**Toma (s)**la.", "needs a space after **Toma (s)**"),
        ("es", "The song plan.", "El plan", "does not end like"),
        ("es", "The song plan.", "The song plan.", "is the same as the English text"),
        ("es", "The song plan.", "El plan of the song.", "has English words"),
        ("es", "The seed.", "El grano.", "calls seed otherwise than semilla"),
        ("es", "The song plan.", "El plan @ la canci\u00f3n.", "has a sign of templates"),
        ("ja", "The song plan.", "\u66f2 for the whole song.", "has English words"),
        ("ja", "The song plan.", "OK.", "has no word of the language"),
    ],
)
def test_a_slip_is_found(language: str, text: str, translation: str, fault: str) -> None:
    found = faults(language, catalogue_of(text, translation))
    assert any(fault in line for line in found), found


def test_a_good_translation_has_no_faults() -> None:
    text = "From Save Song: 10 to 600 s, [Verse] in models/loras; euler: the default **seed** (`file`)."
    translation = "De Guardar: de 10 a 600 s, [Verse] en models/loras; euler: la **semilla** normal (`file`)."
    assert faults("es", catalogue_of(text, translation)) == []


def test_a_text_that_changed_in_english_is_to_be_translated_again() -> None:
    catalogue = read_catalogue("ja")
    text, translation = next(iter(catalogue["tooltips"].items()))
    old = {**catalogue["tooltips"], "An older text.": translation}
    del old[text]
    direct = [("tooltips", text, translation)]  # still in locales/ja, where it stood for the older text
    updated = brought_up_to_date({**catalogue, "tooltips": old}, direct)
    assert updated["tooltips"][text] == ""
    assert updated["unused"] == {"An older text.": translation}
    assert brought_up_to_date({**catalogue, "tooltips": old}, [("tooltips", text, "New.")])["tooltips"][text] == "New."


def test_lines_of_markdown() -> None:
    text = "# Title\n\n**1.** Put *this* there:\n\n```\nmodels/\n  a file\n```\n\n- One\n  - Two\n1. Three\n"
    assert list(prose(text)) == ["Title", "Put *this* there:", "One", "Two", "Three"]
    assert translated_prose(text, lambda line: f"<{line}>" if line else line) == (
        "# <Title>\n\n**1.** <Put *this* there:>\n\n```\nmodels/\n  a file\n```\n\n- <One>\n  - <Two>\n1. <Three>\n"
    )


def test_the_name_of_a_node_is_its_title_in_the_workflows() -> None:
    nodes = json.loads((PACK_ROOT / "locales" / "en" / "nodeDefs.json").read_text("utf-8"))
    assert all(node["display_name"].startswith(PREFIX) for node in nodes.values())
