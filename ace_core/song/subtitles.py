"""Subtitles in: SubRip, WebVTT, Advanced SubStation (ASS, SSA) and TTML with Apple's spans; lines with times out.

Traps:
- YouTube's WebVTT rolls: each cue repeats the line before it. Such lines have no times of words; the new ones do.
- In ASS a karaoke template leaves the sung line in a comment with the effect `karaoke`, and draws copies marked `fx`.
- TTML keeps translations and romanisations as spans of a role inside the line, and spaces between words outside spans.
- An XML file may define entities that grow without end: a document type is refused. Elements in elements, and
  paragraphs in paragraphs, may go as deep as the file is long.
- No pattern may look at a part of the text twice, see `chatter`.
"""

from __future__ import annotations

import html
import re
from collections.abc import Callable, Iterator, Mapping
from xml.etree import ElementTree

from .lrc import TimedWords

_CUE_TIME = re.compile(r"\s*+(?:(\d{1,4}):)?(\d{1,2}):(\d{1,2})[.,](\d{1,3})\s*+-->")
_WORD_TIME = re.compile(r"<(?:\d{1,4}:)?\d{1,2}:\d{2}\.\d{1,3}>")
_MARKUP = re.compile(r"</?(?:[a-zA-Z][^<>\n]*+)?>|\{\\[^{}]*+\}")
_SPEAKER = re.compile(r"^\s*+[-\u2013]\s+")
_NOTES = re.compile("[\u2669-\u266c]+")
_LONG_REFERENCE = re.compile(r"&#(?=[0-9]{8})")  # of no character; Python refuses to count thousands of digits
_VTT_BLOCK = re.compile(r"(?:WEBVTT|NOTE|STYLE|REGION|X-TIMESTAMP-MAP)\b")
_ASS_OVERRIDE = re.compile(r"(\{[^{}]*+\})")
_ASS_DRAWING = re.compile(r"\\p([0-9])")  # from one that is not 0 to a 0, shapes are drawn
_ASS_BREAK = re.compile(r"\\[Nn]")
_TTML_OTHER_ROLES = ("x-translation", "x-roman")
_ROLE = "{http://www.w3.org/ns/ttml#metadata}role"


def is_cues(text: str) -> bool:
    """Whether a text is SubRip or WebVTT."""
    return any(map(_CUE_TIME.match, text.split("\n")))


def is_ass(text: str) -> bool:
    """Whether a text is ASS or SSA."""
    return "[Script Info]" in text and re.search(r"^[^\S\n]*+Dialogue\s*+:", text, re.MULTILINE) is not None


def is_ttml(text: str) -> bool:
    """Whether a text is TTML."""
    return re.match(r"\s*+(?:<\?xml[^>]*\?>\s*+)?<(?:\w++:)?tt[\s>]", text) is not None


def read_cues(text: str) -> list[TimedWords]:
    """The subtitles of a SubRip or WebVTT file, one for each cue."""
    found: list[TimedWords] = []
    rolling = _WORD_TIME.search(text) is not None
    latest = ""
    for block in re.split(r"\n[ \t]*\n", text):
        lines = block.strip("\n").split("\n")
        place = next((number for number, line in enumerate(lines) if _CUE_TIME.match(line)), None)
        if place is None or _VTT_BLOCK.match(lines[0]) and place > 1:
            continue
        time = _CUE_TIME.match(lines[place])
        words = []
        for line in lines[place + 1 :]:
            plain = _unmarked(line)
            if plain and not (rolling and plain == latest and not _WORD_TIME.search(line)):
                words.append(plain)
                latest = plain
        if time and words:
            hours, minutes, seconds, fraction = (int(part or 0) for part in time.groups())
            start = 3600 * hours + 60 * minutes + seconds + fraction / 10 ** len(time[4])
            found.append(TimedWords(start, "\n".join(words)))
    return sorted(found, key=lambda line: line.seconds)


def read_ass(text: str) -> list[TimedWords]:
    """The events of an ASS file that are sung."""
    events = list(_ass_events(text))
    karaoke = [event for event in events if event["kind"] == "Comment" and event.get("effect", "").lower() == "karaoke"]
    shown = [event for event in events if event["kind"] == "Dialogue" and event.get("effect", "").lower() != "fx"]
    found = []
    for event in karaoke or shown:
        plain = _without_drawings(event["text"]).replace("\\h", " ")
        lines = [" ".join(_NOTES.sub(" ", part).split()) for part in _ASS_BREAK.split(plain)]
        if words := "\n".join(filter(None, lines)):
            found.append(TimedWords(_clock(event.get("start", "")), words))
    return sorted(found, key=lambda line: line.seconds)


def read_ttml(text: str) -> list[TimedWords]:
    """The paragraphs of a TTML file without translations, background vocals in brackets as they are written.

    Raises:
        ValueError: it is not XML, or has a document type.
    """
    if "<!DOCTYPE" in text or "<!ENTITY" in text:
        raise ValueError("has a document type, which lyrics need not: save it without")
    try:
        root = ElementTree.fromstring(text)
    except ElementTree.ParseError as error:
        raise ValueError(f"is not XML that can be read: {error}") from error
    found = []
    for paragraph in _paragraphs(root):
        lines = [" ".join(line.split()) for line in _ttml_text(paragraph).split("\v")]
        if words := "\n".join(filter(None, lines)):
            found.append(TimedWords(_clock(paragraph.get("begin", "")), words))
    return found  # in the order of the song: spans may have the times, paragraphs none


def _paragraphs(root: ElementTree.Element) -> Iterator[ElementTree.Element]:
    """The outermost paragraphs, in their order."""
    waiting = [root]
    while waiting:
        element = waiting.pop()
        if _tag(element) == "p":
            yield element
        else:
            waiting.extend(reversed(element))


def _ttml_text(paragraph: ElementTree.Element) -> str:
    """The text of a paragraph, line breaks as vertical tabs, which XML cannot hold."""
    parts: list[str] = []
    waiting: list[ElementTree.Element | str] = [paragraph]
    while waiting:
        part = waiting.pop()
        if isinstance(part, str):
            parts.append(part)
        elif _tag(part) == "br":
            parts.append("\v")
        elif _tag(part) != "metadata" and not part.get(_ROLE, "").startswith(_TTML_OTHER_ROLES):
            parts.append(part.text or "")
            for child in reversed(part):
                waiting += (child.tail or "", child)
    return "".join(parts)


def _tag(element: ElementTree.Element) -> str:
    """The name of an element without its name space."""
    return element.tag.rpartition("}")[2]


def _without_drawings(text: str) -> str:
    """The words of an event: without overrides, and without the shapes that some of them switch on."""
    words, drawing = [], False
    for number, part in enumerate(_ASS_OVERRIDE.split(text)):
        if number % 2:
            modes = _ASS_DRAWING.findall(part)
            drawing = modes[-1] != "0" if modes else drawing
        elif not drawing:
            words.append(part)
    return "".join(words)


def _unmarked(line: str) -> str:
    plain = html.unescape(_LONG_REFERENCE.sub("&amp;#", _MARKUP.sub("", _WORD_TIME.sub("", line))))
    return " ".join(_SPEAKER.sub("", _NOTES.sub(" ", plain)).split())


def _ass_events(text: str) -> Iterator[Mapping[str, str]]:
    """The cells of each event by the names of the format line; the text is last and may hold commas."""
    columns: list[str] = []
    for line in text.split("\n"):
        kind, _, rest = line.strip().partition(":")
        if kind == "Format":
            columns = [name.strip().lower() for name in rest.split(",")]
        elif kind in ("Dialogue", "Comment") and "text" in columns:
            cells = rest.split(",", len(columns) - 1)
            if len(cells) == len(columns):
                yield {**dict(zip(columns, map(str.strip, cells), strict=True)), "kind": kind}


def _clock(text: str) -> float:
    """Seconds of `1:02:03.45`, `62.5s`, `1:02.3`; 0 for what is none."""
    match = re.fullmatch(r"\s*+(?:(\d{1,9}):)?(?:(\d{1,9}):)?(\d{1,9}(?:\.\d++)?)s?\s*", text)
    if match is None:
        return 0.0
    parts = [float(part) for part in match.groups() if part is not None]
    seconds = 0.0
    for part in parts:
        seconds = 60 * seconds + part
    return seconds


READERS: tuple[tuple[Callable[[str], bool], Callable[[str], list[TimedWords]]], ...] = (
    (is_ttml, read_ttml),
    (is_ass, read_ass),
    (is_cues, read_cues),
)
"""Which reader takes which text; the first that fits."""
