"""Which texts go into a file: what players show, the song's record, and ComfyUI's prompt and workflow.

ComfyUI's page reads `workflow` and `prompt` out of FLAC, MP3 and Ogg files that are dropped on it, but not out of WAV.
Its readers of MP3 and Ogg search bytes, so what they find depends on where and how texts are written:

- JSON is ASCII on one line; two of the readers take bytes for characters.
- `workflow` and `prompt` come before everything else. In MP3 the reader stops at the bytes FF FB, which UTF-16 lyrics
  can hold; in Ogg it stops at the second page, and the page's header would tear a text that runs across.
- In Ogg the reader takes what stands between a text's first brace and its last before the next NUL. What follows is the
  next text's length, whose low bytes can spell a closing brace; spaces at that text's end avoid it.

Nothing is cut silently: what does not fit is left out or shortened, and a sentence says so.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import NamedTuple

from ..song.blueprint import Blueprint
from ..song.fields import FLAT_SIGN, PLAN_FIELDS, SHARP_SIGN
from ..song.lyric_reader import timed_lyrics_in_text
from ..song.texts import UNPRINTABLE_IN_TAGS
from .record import SongRecord, record_to_json

RECORD_NAME = "ace_composer"
MAX_TITLE_CHARACTERS = 200
MAX_JSON_BYTES = 4_000_000  # record, workflow and prompt together; a FLAC comment block holds 16 MB in all
FIRST_OGG_PAGE_BYTES = 65_025 - 200  # of comments, without their header

_BRACE = 0x7D


class SyncedLine(NamedTuple):
    """A line of lyrics and when it begins."""

    milliseconds: int
    text: str


class Tags(NamedTuple):
    """Texts ready to be written; empty where there is none.

    Attributes:
        timed_lyrics: the lines of `lrc`.
        fields: those of the plan that have tags, by name; a key in short, such as F#m.
        json: ASCII texts by name, in the order they must have in the file; the record is the last.
    """

    title: str
    lyrics: str
    lrc: str
    timed_lyrics: tuple[SyncedLine, ...]
    fields: Mapping[str, str]
    json: Mapping[str, str]


def song_tags(record: SongRecord, title: str, workflow: object, prompt: object) -> tuple[Tags, list[str]]:
    """The tags of a song, and sentences about what is not in them.

    Args:
        record: lyrics, bpm and key are taken from its blueprint.
        title: shortened to 200 characters.
        workflow, prompt: ComfyUI's graph as the page draws it and as the server runs it, or None.
    """
    notes: list[str] = []
    title = " ".join(_clean(title).split())
    if len(title) > MAX_TITLE_CHARACTERS:
        notes.append(f"the title is shortened from {len(title)} to {MAX_TITLE_CHARACTERS} characters")
        title = title[:MAX_TITLE_CHARACTERS].rstrip()
    blueprint = record.blueprint
    lrc, timed_lyrics, problem = timed_lyrics_in_text(_clean(record.lrc))
    if problem:
        notes.append(f"{problem}; players are given none")
    tags = Tags(
        title=title,
        lyrics=_clean(blueprint.lyrics or ""),
        lrc=lrc,
        timed_lyrics=tuple(SyncedLine(_milliseconds(line.seconds), line.text) for line in timed_lyrics),
        fields={field.name: _field_text(blueprint, field.name) for field in PLAN_FIELDS if field.tags},
        json=_fitting_json(record, {"workflow": workflow, "prompt": prompt}, notes),
    )
    return tags, notes


def vorbis_comments(tags: Tags) -> dict[str, str]:
    """The tags of FLAC and Ogg files under the names players know, in the order they must have."""
    comments = _without_stray_braces(tags.json)
    comments |= {
        "TITLE": tags.title,
        "LYRICS": tags.lyrics,
        "SYNCEDLYRICS": tags.lrc,
    }
    comments |= {tag: tags.fields[field.name] for field in PLAN_FIELDS for tag in field.tags}
    return {name: value for name, value in comments.items() if value}


def opus_note(tags: Tags) -> list[str]:
    """A sentence if ComfyUI's page will not find the workflow in an Opus file."""
    name = next((name for name in ("workflow", "prompt") if name in tags.json), None)
    if name is None or len(tags.json[name]) <= FIRST_OGG_PAGE_BYTES:
        return []
    size = _size(len(tags.json[name]))
    return [
        f"the {name} has {size}, of which ComfyUI's page reads 65 kB in an Opus file: dropping the file there will not "
        "open it; FLAC and MP3 have no such limit"
    ]


def _fitting_json(record: SongRecord, graphs: Mapping[str, object], notes: list[str]) -> dict[str, str]:
    own = record_to_json(record)
    space = MAX_JSON_BYTES - len(own)
    if space < 0:
        notes.append(f"the plan is not in the file: it has {_size(len(own))}, the most is {_size(MAX_JSON_BYTES)}")
        own, space = "", MAX_JSON_BYTES
    kept = {}
    for name, graph in graphs.items():
        if graph is None:
            continue
        text = json.dumps(graph, separators=(",", ":"))
        if len(text) <= space:
            kept[name] = text
            space -= len(text)
        else:
            notes.append(
                f"the {name} is not in the file: it has {_size(len(text))}, and texts may have "
                f"{_size(MAX_JSON_BYTES)} in all; save it by itself"
            )
    return kept | ({RECORD_NAME: own} if own else {})


def _without_stray_braces(texts: Mapping[str, str]) -> dict[str, str]:
    padded = {}
    for name, text in texts.items():
        while _BRACE in (len(name) + 1 + len(text)).to_bytes(4, "little"):
            text += " "
        padded[name] = text
    return padded


def _milliseconds(seconds: float) -> int:
    """As four bytes can hold them."""
    return min(max(0, round(seconds * 1000)), (1 << 32) - 1)


def _field_text(blueprint: Blueprint, field: str) -> str:
    """A field as tags have it: F# minor as F#m, Bb major as Bb; empty where it is open."""
    value = getattr(blueprint, field)
    text = "" if value is None else str(value)
    if field != "key":
        return text
    name = text.replace(SHARP_SIGN, "#").replace(FLAT_SIGN, "b")
    return name.removesuffix(" major").replace(" minor", "m")


def _clean(text: str) -> str:
    """Without control characters and halves of characters; lines end with a newline."""
    return UNPRINTABLE_IN_TAGS.sub("", text.replace("\r\n", "\n").replace("\r", "\n")).strip()


def _size(count: int) -> str:
    return f"{count / 1e6:.1f} MB" if count >= 1e6 else f"{count / 1e3:.0f} kB"
