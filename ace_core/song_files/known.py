"""What a recording's file says of its song: words with times, tempo, star. For a page that shows it before a run.

A song of ours says it in its record. Files of others may have words with times in a tag, as LRC.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import NamedTuple

from ..song.fields import INSTRUMENTAL_LYRICS
from ..song.lrc import TimedWords, is_lrc, read_lrc
from .encoding import read_comments
from .record import MAX_TEXT_CHARACTERS, SongRecord, record_from_json
from .stars import read_star
from .tags import RECORD_NAME

_LYRICS_TAGS = ("syncedlyrics", "lyrics", "unsyncedlyrics")  # FFmpeg adds the language, as in lyrics-eng


class KnownSong(NamedTuple):
    """What is known of a song; None and empty where nothing is.

    Attributes:
        lines: those that are sung, in order.
        lyrics: the whole, with structure tags.
        time_signature: beats in a bar.
        ours: whether it can have a star.
    """

    lines: tuple[TimedWords, ...]
    lyrics: str
    bpm: int | None
    time_signature: int | None
    ours: bool
    starred: bool


def known_song(path: Path) -> KnownSong:
    """Read all but the sound of a file.

    Raises:
        ValueError: an unknown kind of file, one that cannot be read, or a record that is broken.
    """
    comments = read_comments(path)
    ours = RECORD_NAME in comments
    record = record_from_json(comments[RECORD_NAME]) if ours else SongRecord()
    lyrics = record.blueprint.lyrics or ""
    lrc = record.lrc or _lrc_of(comments)
    return KnownSong(
        lines=tuple(line for line in read_lrc(lrc).lines if line.text),
        lyrics="" if lyrics == INSTRUMENTAL_LYRICS else lyrics,
        bpm=record.blueprint.bpm,
        time_signature=record.blueprint.time_signature,
        ours=ours,
        starred=read_star(path),
    )


def _lrc_of(comments: Mapping[str, str]) -> str:
    texts = (comments[name] for tag in _LYRICS_TAGS for name in comments if name.split("-")[0] == tag)
    return next((text for text in texts if len(text) <= MAX_TEXT_CHARACTERS and is_lrc(text)), "")
