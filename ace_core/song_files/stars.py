"""The star of a saved song: in the file, as the five stars that players show, or as no rating at all.

| container | tags |
|---|---|
| FLAC, Opus, M4A | RATING 100 and FMPS_RATING 1.0 |
| MP3, WAV | POPM 255 and TXXX FMPS_Rating 1.0, in the ID3 tag |

RATING counts to 100 and POPM to 255, as most players write them; FMPS_RATING is the one that is specified
(freedesktop.org, Free Media Player Specifications). Windows shows POPM of its own name only, and no rating where there
are two, so there is one.

The sound stays as it is, to the bit: packets are copied. Only songs that `write_song` wrote get a star.
"""

from __future__ import annotations

import struct
from pathlib import Path

from ..files import write_atomically
from .encoding import read_comments, with_comments
from .files import ID3_CHUNK, riff_with_chunk
from .id3 import id3_bytes, with_popularity
from .tags import RECORD_NAME

FULL_RATING = {"RATING": "100", "FMPS_RATING": "1.0"}
NO_RATING = dict.fromkeys(FULL_RATING)

_RIFF_HEAD_BYTES = 12
_CHUNK_HEAD_BYTES = 8


def read_star(path: Path) -> bool:
    """Whether a song has its star.

    Raises:
        ValueError: an unknown kind of file, or one that cannot be read.
    """
    return read_comments(path).get("fmps_rating") == FULL_RATING["FMPS_RATING"]


def write_star(path: Path, starred: bool) -> None:
    """Give a song its star, or take it away: the whole file is written again, or nothing changes.

    Raises:
        ValueError: no song of `write_song`, or one whose tag another program has written in another form.
    """
    if RECORD_NAME not in read_comments(path):
        raise ValueError(f"{path.name} was not saved by Save Song: only its songs can have a star")
    try:
        content = _rated(path, starred)
    except ValueError as error:
        raise ValueError(f"{path.name} cannot have a star: {error}") from error
    write_atomically(path, lambda unfinished: unfinished.write_bytes(content))


def _rated(path: Path, starred: bool) -> bytes:
    suffix = path.suffix.lower()
    if suffix == ".mp3":
        content = path.read_bytes()
        size = id3_bytes(content)
        return with_popularity(content[:size], starred) + content[size:]
    if suffix == ".wav":
        rest, tag = _without_chunk(path.read_bytes(), ID3_CHUNK)
        return riff_with_chunk(rest, ID3_CHUNK, with_popularity(tag, starred))
    return with_comments(path, FULL_RATING if starred else NO_RATING)


def _without_chunk(riff: bytes, name: bytes) -> tuple[bytes, bytes]:
    """A RIFF file without a chunk, and what was in it; the size in the head is that of the file that was."""
    start = _RIFF_HEAD_BYTES
    while start + _CHUNK_HEAD_BYTES <= len(riff):
        (size,) = struct.unpack_from("<I", riff, start + 4)
        inside = start + _CHUNK_HEAD_BYTES
        end = inside + size + size % 2
        if riff[start : start + 4] == name:
            return riff[:start] + riff[end:], riff[inside : inside + size]
        start = end
    return riff, b""
