"""The texts of the pack in other languages: what there is to translate, and the files that follow from it.

    .venv/bin/python automation/catalogues.py          # every language; needs no ComfyUI
    .venv/bin/python automation/catalogues.py ja fr     # these

translations/LANGUAGE.json is what a translator edits: English texts and what they are in that language, in sections. At
its head are the glossary, of which every translation is checked, "unchecked" words that are ambiguous in English or not
used yet, and those texts that are the "same" in both languages. From it follow, for ComfyUI's page:

    locales/LANGUAGE/nodeDefs.json and main.json     names, tooltips, texts of widgets
    js/workflow_texts/LANGUAGE.json                  titles, groups and notes of the workflows
    js/docs/NODE/LANGUAGE.md                         help pages, where the catalogue has a section "help"

A text that is new or was changed in English is "" in the catalogue until somebody translates it; so long the page shows
English and tests fail. A text that is gone moves to "unused", where its translation can be taken from.

Traps:
- An English text has one translation in a section: names that mean two things need two names in English too.
- Notes and help pages are translated by the line, without its bullet: lines that many share are translated once.
- The display name of a node is "ACE-Step" and its short name, which the workflows use as its title.
"""

from __future__ import annotations

import argparse
import json
import re
import sys
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from host_process import PACK_ROOT
from node_texts import PHRASES, as_json, help_page, without_lists
from translation_faults import SECTIONS, faults
from written_files import write

LOCALES = PACK_ROOT / "locales"
CATALOGUES = PACK_ROOT / "translations"
WORKFLOWS = PACK_ROOT / "workflows"
WORKFLOW_TEXTS = PACK_ROOT / "js" / "workflow_texts"
PAGES = PACK_ROOT / "js" / "docs"
CONTRACT = PACK_ROOT / "tests" / "data" / "object_info.json"
LANGUAGES = tuple(sorted(path.stem for path in CATALOGUES.glob("*.json")))
GUIDE = ("glossary", "unchecked", "same")
PREFIX = "ACE-Step "
NOTES = {"MarkdownNote", "Note"}
BULLET = re.compile(r"^\s*(?:[-*] |\d+\. |\*\*\d+\.\*\* |#+ )?")

Catalogue = dict[str, Any]


def read_json(path: Path) -> Any:
    return json.loads(path.read_text(encoding="utf-8"))


def read_catalogue(language: str) -> Catalogue:
    catalogue: Catalogue = read_json(CATALOGUES / f"{language}.json")
    return catalogue


def prose(text: str) -> Iterator[str]:
    """The lines of a Markdown text that hold words, without bullets; code blocks hold none."""
    for number, part in enumerate(re.split(r"^```.*$", text, flags=re.MULTILINE)):
        if number % 2 == 0:
            yield from filter(None, (BULLET.sub("", line) for line in part.splitlines()))


def leaves(document: Any) -> Iterator[str]:
    for value in document.values():
        if isinstance(value, dict):
            yield from leaves(value)
        else:
            yield value


def workflow_texts() -> Iterator[str]:
    """Titles of nodes, whole notes and titles of groups, of all workflows."""
    for path in sorted(WORKFLOWS.glob("*.json")):
        workflow = read_json(path)
        for node in workflow["nodes"]:
            if "title" in node:
                yield node["title"]
            if node["type"] in NOTES:
                yield node["widgets_values"][0]
        yield from (group["title"] for group in workflow["groups"])


def english_texts() -> dict[str, list[str]]:
    """What there is to translate, by section, each text once and in the order in which it comes up."""
    nodes = read_json(LOCALES / "en" / "nodeDefs.json").values()
    slots = [slot for node in nodes for group in ("inputs", "outputs") for slot in node[group].values()]
    names = [node["display_name"].removeprefix(PREFIX) for node in nodes] + [slot["name"] for slot in slots]
    found = {
        "names": names,
        "tooltips": [node["description"] for node in nodes] + [slot["tooltip"] for slot in slots],
        "page": leaves(read_json(LOCALES / "en" / "main.json")),
        "workflows": (line for text in workflow_texts() for line in prose(text) if line not in names),
        "help": (*PHRASES, *(line for page in english_pages().values() for line in prose(without_lists(page)))),
    }
    return {section: list(dict.fromkeys(texts)) for section, texts in found.items()}


def english_pages() -> dict[str, str]:
    """The help pages by node, without the name of the node at their head."""
    return {path.stem: path.read_text(encoding="utf-8").partition("\n")[2] for path in sorted(PAGES.glob("*.md"))}


def written_by_hand(language: str) -> Iterator[tuple[str, str, str]]:
    """Section, English text and translation of what stands in locales/LANGUAGE, whoever wrote it there."""

    def pairs(english: Any, translated: Any) -> Iterator[tuple[str, str]]:
        for key, value in english.items():
            other = translated.get(key)
            if isinstance(value, dict) and isinstance(other, dict):
                yield from pairs(value, other)
            elif isinstance(value, str) and isinstance(other, str) and value != other:
                prefix = PREFIX if key == "display_name" else ""
                yield value.removeprefix(prefix), other.removeprefix(prefix)

    for name, sections in (("nodeDefs.json", ("names", "tooltips")), ("main.json", ("page",))):
        path = LOCALES / language / name
        if path.is_file():
            for text, translation in pairs(read_json(LOCALES / "en" / name), read_json(path)):
                for section in sections:
                    yield section, text, translation


def brought_up_to_date(catalogue: Catalogue, direct: Iterable[tuple[str, str, str]] = ()) -> Catalogue:
    """The catalogue with the English texts of today.

    direct: section, English text and translation of what was written straight into the files of the page; taken where
        the catalogue has nothing, unless it is the translation of a text of before.
    """
    english = english_texts()
    written = {(section, text): translation for section, text, translation in direct}
    unused = dict(catalogue.get("unused", {}))
    result: Catalogue = {section: catalogue[section] for section in GUIDE}
    for section in SECTIONS:
        if section == "help" and section not in catalogue:
            continue
        before = catalogue.get(section, {})
        stale = {*unused.values(), *(own for text, own in before.items() if text not in english[section])}
        result[section] = {}
        for text in english[section]:
            translation = before.get(text) or unused.pop(text, "")
            if not translation and (other := written.get((section, text), "")) not in stale:
                translation = other
            result[section][text] = translation
        unused |= {text: old for text, old in before.items() if old and text not in result[section]}
    return result | ({"unused": unused} if unused else {})


def translator(catalogue: Catalogue, *sections: str) -> Callable[[str], str]:
    """From an English text to its translation in the first of the sections that has it, else to itself."""

    def translated(text: str) -> str:
        return next(filter(None, (catalogue[section].get(text) for section in sections)), text)

    return translated


def translated_prose(text: str, translate: Callable[[str], str]) -> str:
    """A Markdown text with every line of words translated, bullets kept."""
    parts = re.split(r"(^```.*$)", text, flags=re.MULTILINE)
    for number in range(0, len(parts), 4):  # text, fence, code, fence
        lines = parts[number].split("\n")
        marks = [BULLET.match(line) for line in lines]
        parts[number] = "\n".join(
            mark[0] + translate(line[mark.end() :]) for line, mark in zip(lines, marks, strict=True) if mark
        )
    return "".join(parts)


def node_texts(english: Mapping[str, Any], catalogue: Catalogue) -> dict[str, Any]:
    """nodeDefs.json in another language."""
    name, tooltip = translator(catalogue, "names"), translator(catalogue, "tooltips")
    return {
        node_id: {
            "display_name": PREFIX + name(node["display_name"].removeprefix(PREFIX)),
            "description": tooltip(node["description"]),
            **{
                group: {
                    key: {"name": name(slot["name"]), "tooltip": tooltip(slot["tooltip"])}
                    for key, slot in node[group].items()
                }
                for group in ("inputs", "outputs")
            },
        }
        for node_id, node in english.items()
    }


def page_texts(english: Any, translate: Callable[[str], str]) -> Any:
    """main.json in another language."""
    return {
        key: page_texts(value, translate) if isinstance(value, dict) else translate(value)
        for key, value in english.items()
    }


def files(language: str, catalogue: Catalogue) -> dict[Path, str]:
    """Every file that follows from a catalogue, with its content."""
    nodes = node_texts(read_json(LOCALES / "en" / "nodeDefs.json"), catalogue)
    page = page_texts(read_json(LOCALES / "en" / "main.json"), translator(catalogue, "page"))
    translate = translator(catalogue, "names", "workflows")
    titles = {text: translated_prose(text, translate) for text in dict.fromkeys(workflow_texts())}
    result = {
        LOCALES / language / "nodeDefs.json": as_json(nodes),
        LOCALES / language / "main.json": as_json(page),
        WORKFLOW_TEXTS / f"{language}.json": as_json(titles),
    }
    if "help" in catalogue:
        contract, say = read_json(CONTRACT), translator(catalogue, "help")
        for node_id, body in english_pages().items():
            if node_id in contract and node_id in nodes:
                whole = f"# {nodes[node_id]['display_name']}\n{translated_prose(body, say)}"
                lists = help_page(whole, contract[node_id], nodes[node_id], page["dataTypes"], say)
                result[PAGES / node_id / f"{language}.md"] = lists
    return result


def clashes(catalogue: Catalogue) -> list[str]:
    """Texts of the workflows that have the same translation: of what is saved, nobody could tell which it was."""
    translate = translator(catalogue, "names", "workflows")
    meant: dict[str, str] = {}
    found = []
    for text in dict.fromkeys(workflow_texts()):
        other = meant.setdefault(translated_prose(text, translate), text)
        if other != text:
            found.append(f"workflows: {other!r} and {text!r} are both {translated_prose(text, translate)!r}")
    return found


def update(language: str) -> list[str]:
    """Bring the catalogue and the files of a language up to date; returns what is left to do in words."""
    path = CATALOGUES / f"{language}.json"
    catalogue = brought_up_to_date(read_catalogue(language), written_by_hand(language))
    write(path, as_json(catalogue))
    for file, text in files(language, catalogue).items():
        file.parent.mkdir(parents=True, exist_ok=True)
        write(file, text)
    todo = [
        f"{language} {section}: not translated: {text}"
        for section in SECTIONS
        for text, translation in catalogue.get(section, {}).items()
        if not translation
    ]
    return todo + faults(language, catalogue) + [f"{language} {clash}" for clash in clashes(catalogue)]


def add_languages(parser: argparse.ArgumentParser) -> None:
    """An argument for any number of languages, or "all"; choices and no argument at all do not go together."""
    parser.add_argument("language", nargs="*", help=f"{', '.join(LANGUAGES)}, or all", metavar="LANGUAGE")


def update_all(parser: argparse.ArgumentParser, given: Sequence[str]) -> None:
    """Bring the given languages up to date and print what is left to do."""
    if unknown := set(given) - {*LANGUAGES, "all"}:
        parser.error(f"there is no translations/{unknown.pop()}.json; there are {', '.join(LANGUAGES)}")
    for language in LANGUAGES if "all" in given else given:
        for line in update(language):
            print(line)


def main() -> int:
    parser = argparse.ArgumentParser(prog="catalogues.py", description="Bring translations up to date.")
    add_languages(parser)
    update_all(parser, parser.parse_args().language or ["all"])
    return 0


if __name__ == "__main__":
    sys.exit(main())
