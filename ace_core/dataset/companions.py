"""What lies beside a recording: which file belongs to which song, and what it says, by its name and its content.

Layouts that are read: the official tutorial (`song.lyrics.txt`, `song.caption.txt`, `song.json`), ACE-Step 1.0 and its
data tools (`song_prompt.txt`, `song_lyrics.txt`), Side-Step (`caption: ...` lines and a block `lyrics:` in `song.txt`),
ai-toolkit (`<CAPTION>...</CAPTION>` blocks in `song.txt`), SimpleTuner (`song.lyrics`, and `song.txt` for the caption),
LyCORIS and kohya (`song.caption`), and lyrics with times of every kind. `song.mp3.txt` is `song.txt`.

Traps:
- Side-Step's own example of a sidecar begins with remarks, lines of `#`. They are never sung, nor part of a caption.
- A plain `song.txt` means lyrics to the official trainer and a caption to most others. With lyrics in another file it
  is the caption; alone it is a caption if it is one line of words or has lines that nobody sings.
- No pattern may look at a part of a text twice, see `song.chatter`.
- Names from a Mac are decomposed, and Windows does not tell cases apart: names are compared by their keys.
"""

from __future__ import annotations

import re
import unicodedata
from bisect import bisect_left
from collections.abc import Collection, Iterator, Mapping
from functools import lru_cache
from typing import Literal, NamedTuple, TypeAlias

Role: TypeAlias = Literal["fields", "lyrics", "caption", "genre", "text"]

_LYRICS = (
    *(f"{mark}{word}.txt" for word in ("lyrics", "lyric") for mark in "._-"),
    *(".lyrics", ".lyric", ".lyrics.lrc", ".words.lrc", ".lrc", ".elrc", ".qrc", ".krc", ".yrc", ".lys"),
    *(".srt", ".vtt", ".ass", ".ssa", ".ttml"),
)
_CAPTIONS = (
    *(
        f"{mark}{word}.txt"
        for word in ("caption", "captions", "prompt", "tags", "style", "description")
        for mark in "._-"
    ),
    *(".caption", ".cap", ".prompt", ".tags"),
)
_FIELDS = (*(f"{mark}{word}.json" for word in ("metadata", "meta") for mark in "._-"), ".json")
_ENDINGS: Mapping[str, Role] = {
    **dict.fromkeys(_LYRICS, "lyrics"),
    **dict.fromkeys(_CAPTIONS, "caption"),
    **dict.fromkeys((".genre.txt", "_genre.txt"), "genre"),
    **dict.fromkeys(_FIELDS, "fields"),
    ".txt": "text",
}
_ROLES: tuple[Role, ...] = ("fields", "lyrics", "caption", "genre", "text")
_RANKS = {ending: rank for rank, ending in enumerate(_ENDINGS)}
_OF_A_LANGUAGE = re.compile(r"\.[a-z]{2,3}(?:-[a-z0-9]+)*(\.(?:lrc|srt|vtt|ass|ttml))$")  # song.en.vtt
COMPANION_SUFFIXES = tuple(sorted({ending[ending.rindex(".") :] for ending in _ENDINGS}))

_BLOCK_MARK = re.compile(r"<(/?)([A-Za-z_]+)>")
_NAMED_LINE = re.compile(r"[ \t]*([A-Za-z][A-Za-z _]{1,19}?)[ \t]*[:=][ \t]*(.*)")
_OTHER_NAMES = frozenset(
    "title song artist artists album author created date year url link source model id duration name".split()
)
"""What programs write in front of the fields of a song; a text with these alone is none of fields."""
_REMARK_LINE = re.compile(r"[ \t]*#(?![^\W_])[^\n]*")
_LAST_FIELDS = ("lyrics", "lyric")
_TAG = re.compile(r"^[^\S\n]*+\[[^\]\n]+\]", re.MULTILINE)
_TEXT_FIELDS = ("caption", "prompt", "description", "style", "tags")  # may go on behind an empty line
_LONGEST_SUNG_LINE = 80  # on average
_SHORTEST_CAPTION_WORDS = 6


class Companion(NamedTuple):
    """A file beside a song."""

    name: str
    role: Role
    rank: int


@lru_cache(maxsize=1 << 16)
def name_key(name: str) -> str:
    """What is equal of names that people and systems take for the same one."""
    return unicodedata.normalize("NFC", unicodedata.normalize("NFC", name).casefold())


def without_suffix(name: str) -> str:
    """A name of a file without its last suffix."""
    return name.rpartition(".")[0]


class Owners:
    """Recordings by the names that files beside them begin with."""

    def __init__(self, recordings: Collection[str]) -> None:
        self._exact = {key: name for name in reversed([*recordings]) for key in (name, without_suffix(name))}
        self._alike = {name_key(key): name for key, name in self._exact.items()}

    def of(self, begin: str) -> str | None:
        """The recording of this name, with its suffix or without; the spelling counts where two are alike."""
        return self._exact.get(begin) or self._alike.get(name_key(begin))

    def companion(self, name: str) -> tuple[str, Companion] | None:
        """The recording that a file belongs to and what it is to it; of several the one with the longest name."""
        found: list[tuple[int, str, Companion]] = []
        lower = name.lower()
        for ending, rank in _RANKS.items():
            if lower.endswith(ending) and (owner := self.of(name[: -len(ending)])) is not None:
                found.append((-len(ending), owner, Companion(name, _ENDINGS[ending], rank)))
        if (match := _OF_A_LANGUAGE.search(lower)) and (owner := self.of(name[: match.start()])) is not None:
            found.append((-len(match[0]), owner, Companion(name, "lyrics", len(_RANKS) + _RANKS[match[1]])))
        return max(found)[1:] if found else None

    def named_like(self, name: str) -> bool:
        """Whether a file begins with the name of a recording, followed by a mark or a suffix."""
        folder, slash, last = name.rpartition("/")
        ends = [match.start() for match in re.finditer(r"[._ -]", last)]
        return any(self.of(folder + slash + last[:end]) is not None for end in ends if end)


def in_reading_order(companions: Collection[Companion]) -> list[Companion]:
    """Fields first, then lyrics, captions and what may be either; of one role the more specific name first."""
    return sorted(companions, key=lambda companion: (_ROLES.index(companion.role), companion.rank))


def fields_in_text(text: str, known: Collection[str]) -> dict[str, object] | None:
    """The fields that a `song.txt` names itself; None where it is plain text.

    Lyrics may follow without a name: at the first tag, or behind an empty line.

    Args:
        known: names of fields in lower case, with underscores.
    """
    blocks = {name.lower(): content for name, content in _blocks(text) if name.lower() in known}
    if blocks and re.match(r"\s*<[A-Za-z_]+>", text):
        return {**blocks}
    fields: dict[str, list[str]] = {}
    current = before = ""
    for line in text.strip().split("\n"):
        match = _NAMED_LINE.fullmatch(line) if current not in _LAST_FIELDS else None
        name = re.sub(r"\s+", "_", match[1].lower()) if match else ""
        if match and (name in known or name in _OTHER_NAMES) and name not in fields:
            current = name
            fields[name] = [match[2]]
        elif current not in _LAST_FIELDS and (_REMARK_LINE.fullmatch(line) or not (current or line.strip())):
            continue
        elif not current:
            return None
        else:
            ends = _TAG.match(line) or (line.strip() and not before.strip() and current not in _TEXT_FIELDS)
            if ends and current not in _LAST_FIELDS and "lyrics" not in fields:
                current, fields["lyrics"] = "lyrics", []
            fields[current].append(line)
        before = line
    named = fields.keys() & known
    if not named or (len(named) == 1 and not {"caption", "prompt", "tags", "style", "lyrics"} & named):
        return None
    return {name: "\n".join(lines).strip() for name, lines in fields.items()}


def _blocks(text: str) -> Iterator[tuple[str, str]]:
    """Each `<name>content</name>`, by its name; what lies inside another is a part of its content."""
    marks = list(_BLOCK_MARK.finditer(text))
    ends: dict[str, list[int]] = {}
    for number, mark in enumerate(marks):
        if mark[1]:
            ends.setdefault(mark[2], []).append(number)
    number = 0
    while number < len(marks):
        begin = marks[number]
        of_this_name = ends.get(begin[2], [])
        place = bisect_left(of_this_name, number + 1)
        if not begin[1] and place < len(of_this_name):
            number = of_this_name[place]
            yield begin[2], text[begin.end() : marks[number].start()].strip()
        number += 1


def is_caption_text(text: str) -> bool:
    """Whether a text beside a song is words about it: one line of several words, or lines too long to be sung."""
    lines = [line for line in text.split("\n") if line.strip()]
    if not lines or _TAG.search(text):
        return False
    if len(lines) == 1:
        return "," in lines[0] or len(lines[0].split()) >= _SHORTEST_CAPTION_WORDS
    return sum(map(len, lines)) > _LONGEST_SUNG_LINE * len(lines)
