"""Writing a song to a file with everything it knows, and reading that back.

| container | title, lyrics, bpm, key | lyrics with times | record, prompt, workflow |
|---|---|---|---|
| FLAC, Opus, M4A | Vorbis comments | SYNCEDLYRICS, as LRC | comments |
| MP3 | ID3 TIT2, USLT, TBPM, TKEY | SYLT | TXXX |
| WAV | INAM, and the ID3 tag as a chunk | SYLT | TXXX |

A file appears under its name when it is complete, or not at all.
"""

from __future__ import annotations

import struct
from pathlib import Path

from ..files import write_atomically
from ..progress import Progress
from .encoding import Encoding, Sound, encode, read_comments
from .id3 import id3_tag
from .record import SongRecord, record_from_json
from .tags import RECORD_NAME, opus_note, song_tags, vorbis_comments

ID3_CHUNK = b"id3 "

_RIFF_SIZE_OFFSET = 4


def write_song(
    path: Path,
    sound: Sound,
    encoding: Encoding,
    record: SongRecord,
    *,
    title: str = "",
    workflow: object = None,
    prompt: object = None,
    on_progress: Progress | None = None,
) -> list[str]:
    """Write a song, all of it or nothing.

    Args:
        path: an existing file is replaced.
        sound: mono or stereo samples.
        encoding: one of `ENCODINGS`.
        record: the plan and what else belongs to it; lyrics, bpm and key for players are taken from it.
        title: for players.
        workflow, prompt: ComfyUI's graph as the page draws it and as the server runs it; None to leave them out.
        on_progress: called with (seconds encoded, seconds in all).

    Returns:
        Sentences for the user about what is not in the file as it was given.

    Raises:
        ValueError: sound that cannot be saved.
    """
    tags, notes = song_tags(record, title, workflow, prompt)
    container = encoding.container
    if container in ("flac", "opus", "m4a"):
        content, encoding_notes = encode(sound, encoding, vorbis_comments(tags), on_progress)
    else:
        comments = {"title": tags.title} if tags.title else {}
        content, encoding_notes = encode(sound, encoding, comments, on_progress)
        content = id3_tag(tags) + content if container == "mp3" else riff_with_chunk(content, ID3_CHUNK, id3_tag(tags))
    if container == "opus":
        notes += opus_note(tags)
    if container in ("wav", "m4a") and workflow is not None:
        notes.append(
            f"ComfyUI's page does not read {container.upper()}: the workflow is in the file, but dropping it there "
            "opens nothing"
        )
    write_atomically(path, lambda unfinished: unfinished.write_bytes(content))
    return notes + encoding_notes


def read_record(path: Path) -> SongRecord:
    """The record of a song that `write_song` wrote.

    Raises:
        ValueError: no audio file of a known kind, a file without a record, or a record that is broken.
    """
    text = read_comments(path).get(RECORD_NAME)
    if text is None:
        raise ValueError(
            f"{path.name} holds no plan of ACE Composer: another program saved it, or another node of ComfyUI"
        )
    try:
        return record_from_json(text)
    except ValueError as error:
        raise ValueError(f"{path.name} holds a plan that cannot be read: {error}") from error


def riff_with_chunk(riff: bytes, name: bytes, content: bytes) -> bytes:
    """A RIFF file with one more chunk at its end."""
    chunk = name + struct.pack("<I", len(content)) + content + b"\x00" * (len(content) % 2)
    size = len(riff) + len(chunk) - _RIFF_SIZE_OFFSET - 4
    return riff[:_RIFF_SIZE_OFFSET] + struct.pack("<I", size) + riff[_RIFF_SIZE_OFFSET + 4 :] + chunk
