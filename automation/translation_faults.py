"""What a translation must not lose, and what must not stay English: the checks of the catalogues in translations/.

They find slips, not bad style: a number, a unit, a file name, a choice of a widget or a placeholder that is gone; a
text that was left in English; a node or an input that is called otherwise than on the page; a term that is not the one
of the glossary. A text that is the same in both languages stands in the catalogue's list "same".
"""

from __future__ import annotations

import json
import re
from collections import Counter
from collections.abc import Collection, Iterable, Iterator, Mapping
from typing import Any

from host_process import PACK_ROOT

CONTRACT = PACK_ROOT / "tests" / "data" / "object_info.json"
TAG = re.compile(r"\[[^\]]+\](?!\()")  # [Verse], or the shape of a tensor
PATH = re.compile(r"\b(?:[a-z0-9_]+/)+(?:[\w.-]*\w)?", re.ASCII)
KEPT = (  # what is the same in every language; in some, endings follow without a space
    re.compile(r"(?<![\w.])-?\d+(?:[.,]\d+)*", re.ASCII),
    re.compile(r"\b(?:k?Hz|dB|dBFS|LUFS|[GM]B|bfloat16|float16|float32|int8)\b", re.ASCII),
    re.compile(r"\]\(\S+?\)"),
    re.compile(r"\{\w*\}"),
    re.compile(r"%[\w:.-]+%"),
    re.compile(r"\b[\w*-]+\.(?:safetensors|json|jsonl|txt|mp3|yaml|srt|vtt|lrc|csv|toml)\b", re.ASCII),
    TAG,
    PATH,
)
CODE = re.compile(r"`([^`]+)`")
MARKED = re.compile(r"\*\*(.+?)\*\*|\*(.+?)\*")
CHOICE = re.compile(r"(?:^|[.;(,] ?|\*)([a-z][\w-]*)(?=\**:|\*)")
FULL_STOPS = ".:!?\u3002\uff1a\uff1f"  # and those of East Asia
NOT_LATIN = {"ja": "\u3040-\u30ff\u4e00-\u9fff", "ko": "\uac00-\ud7af", "ru": "\u0400-\u04ff", "zh": "\u4e00-\u9fff"}
ENGLISH_WORDS = re.compile(r"\b(?:the|of|with|and|from|that|which|is|are)\b")
ENGLISH_RUN = re.compile(r"(?:\b[a-z]{2,}\b ){3,}")
COMPILED = re.compile(r"[{}@|$]")  # signs of the host's own template language

SECTIONS = ("names", "tooltips", "page", "workflows", "help")

Names = Mapping[str, str]


def choices() -> set[str]:
    contract: dict[str, Any] = json.loads(CONTRACT.read_text(encoding="ascii"))
    return {choice for node in contract.values() for given in node["inputs"] for choice in given.get("options", ())}


def faults(language: str, catalogue: Mapping[str, Any]) -> list[str]:
    """The faults of a catalogue, each in a line; texts that are not translated yet are not among them."""
    known_choices = choices()
    names = {**catalogue["workflows"], **catalogue["names"]}
    titles = [name for name in catalogue["names"] if name[0].isupper()]
    found = []
    for section in SECTIONS:
        for text, translation in catalogue.get(section, {}).items():
            if translation:
                these = [
                    *_lost(text, translation),
                    *_renamed(text, translation, names, titles, known_choices),
                    *_english(language, text, translation, catalogue["same"]),
                    *_terms(text, translation, catalogue["glossary"], known_choices),
                ]
                if section != "help" and COMPILED.search(translation) and not COMPILED.search(text):
                    these.append("has a sign of templates: { } @ | $")
                found += [f"{language} {section}: {fault}: {text!r} -> {translation!r}" for fault in these]
    texts = [pair for section in SECTIONS for pair in catalogue.get(section, {}).items()]
    differing = set(catalogue["same"]) - {text for text, translation in texts if _equal(text, translation)}
    return found + [f"{language} same: is not the same in both languages: {text!r}" for text in sorted(differing)]


def _equal(text: str, translation: str) -> bool:
    return text.lower().replace("_", " ") == translation.lower()


def _lost(text: str, translation: str) -> Iterator[str]:
    for pattern in KEPT:
        lost = Counter(pattern.findall(_plain(text))) - Counter(pattern.findall(_plain(translation)))
        if lost:
            yield f"has lost {', '.join(lost)}"
    if (text[-1] in FULL_STOPS) != (translation[-1] in FULL_STOPS):
        yield "does not end like the English text"
    if text.count("**") != translation.count("**"):
        yield "has other bold parts"
    for mark in MARKED.finditer(translation):
        inside, after = (mark[1] or mark[2])[-1], translation[mark.end() : mark.end() + 1]
        if _is_punctuation(inside) and after.isalnum():
            yield f"needs a space after {mark[0]}, which Markdown else does not end there"


def _renamed(
    text: str, translation: str, names: Names, titles: Iterable[str], known_choices: Collection[str]
) -> Iterator[str]:
    """Names of nodes and inputs, code, and choices of widgets that the translation does not have."""
    marked = [(strong or weak).rstrip(":") for strong, weak in MARKED.findall(text)]
    for name in dict.fromkeys([*marked, *_called(titles, text)]):
        kept = name in known_choices and name in translation
        if name in names and names[name] not in translation and not kept:
            yield f"does not call {name} {names[name]}"
    for code in CODE.findall(text):
        if code not in translation and names.get(code, code) not in translation:
            yield f"does not name {code}"
    for choice in CHOICE.findall(text):
        if choice in known_choices and choice not in names and choice not in translation:
            yield f"does not name the choice {choice}"


def _called(titles: Iterable[str], text: str) -> Iterator[str]:
    """The nodes that a text speaks of: by several words, or by one with a capital letter inside a sentence."""
    for title in sorted(titles, key=len, reverse=True):  # Save Blueprint is not Blueprint
        found = rf"\b{title}\b" if " " in title else rf"(?<=[a-z,;] ){title}\b"
        if re.search(found, text):
            yield title
            text = re.sub(found, " ", text)


def _english(language: str, text: str, translation: str, same: Collection[str]) -> Iterator[str]:
    if _equal(text, translation):
        if text not in same:
            yield 'is the same as the English text, which is not in "same"'
        return
    words = _plain(MARKED.sub(" ", CODE.sub(" ", translation)))
    if language in NOT_LATIN:
        if re.search("[a-z]{3}", re.sub(r"\{\w+\}", "", text)) and not re.search(
            f"[{NOT_LATIN[language]}]", translation
        ):
            yield "has no word of the language"
        if ENGLISH_RUN.search(words):
            yield "has English words"
    elif ENGLISH_WORDS.search(words):
        yield "has English words"


def _terms(
    text: str, translation: str, glossary: Mapping[str, str | list[str]], known_choices: Collection[str]
) -> Iterator[str]:
    words = PATH.sub(" ", TAG.sub(" ", _plain(CODE.sub(" ", text))))
    for term, forms in glossary.items():
        if re.search(rf"(?<![\w-]){re.escape(term)}s?(?![\w-])", words, re.IGNORECASE):
            accepted = [forms] if isinstance(forms, str) else forms
            kept = term in known_choices and term in translation
            if not kept and not any(form.lower() in translation.lower() for form in accepted):
                yield f"calls {term} otherwise than {accepted[0]}"


def _is_punctuation(sign: str) -> bool:
    return not sign.isalnum() and not sign.isspace()


def _plain(text: str) -> str:
    return text.replace("\\", "")
