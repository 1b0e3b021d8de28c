"""ID3v2.3 tags, for MP3 and as a chunk of WAV files.

FFmpeg writes lyrics as a user text named USLT, which no player reads, and cannot write timed lyrics at all; so the tag
is made here. Version 2.3, because that is the newest one that every player and file manager reads.

Traps:
- Text is Latin-1 or UTF-16 with a byte order mark; ASCII is written as the former, everything else as the latter.
- ComfyUI's page looks for `name NUL {...} NUL`, so its texts end with a NUL, and for the bytes FF FB as the end of the
  tag, which a frame's size can spell; one more NUL avoids that.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from .tags import Tags

ENCODER = "ACE Composer"
_HEADER_BYTES = 10

_LANGUAGE = b"und"
_MILLISECONDS = b"\x02"
_LYRICS = b"\x01"
_FRAME_SYNC = b"\xff\xfb"
_VERSION = b"ID3\x03\x00\x00"  # and no flags
_FRAME_HEAD_BYTES = 10
_FIVE_STARS = b"Windows Media Player 9 Series\x00\xff"
_FMPS_RATING = "FMPS_Rating"


def id3_tag(tags: Tags) -> bytes:
    """A whole tag; ComfyUI's texts are its first frames."""
    frames = [_user_text(name, text) for name, text in tags.json.items()]
    frames += [
        _text(identifier, text)
        for identifier, text in (
            ("TIT2", tags.title),
            ("TBPM", tags.fields["bpm"]),
            ("TKEY", tags.fields["key"]),
            ("TSSE", ENCODER),
        )
        if text
    ]
    if tags.lyrics:
        encoding = _encoding(tags.lyrics)
        text = _encoded("", encoding) + _terminator(encoding) + _encoded(tags.lyrics, encoding)
        frames.append(_frame("USLT", bytes([encoding]) + _LANGUAGE + text))
    if tags.timed_lyrics:
        frames.append(_timed_lyrics(tags))
    return _tag(frames)


def id3_bytes(content: bytes) -> int:
    """How long the tag is that a file begins with; 0 where there is none."""
    if not content.startswith(b"ID3"):
        return 0
    size = 0
    for byte in content[6:_HEADER_BYTES]:
        size = size << 7 | byte & 0x7F
    return _HEADER_BYTES + size


def with_popularity(tag: bytes, full: bool) -> bytes:
    """A tag as `id3_tag` makes it, with five stars or without any.

    Raises:
        ValueError: another version, or a tag with flags or frames that are cut.
    """
    if not tag.startswith(_VERSION):
        raise ValueError("the ID3 tag is not of version 2.3 as Save Song writes it: rate it with what has written it")
    frames = [frame for frame in _frames(tag) if not _is_rating(frame)]
    if full:
        frames += [_frame("POPM", _FIVE_STARS), _user_text(_FMPS_RATING, "1.0")]
    return _tag(frames)


def _frames(tag: bytes) -> Iterator[bytes]:
    """The frames of a tag up to its padding."""
    start = _HEADER_BYTES
    while start + _FRAME_HEAD_BYTES <= len(tag) and tag[start]:
        end = start + _FRAME_HEAD_BYTES + int.from_bytes(tag[start + 4 : start + 8], "big")
        if end > len(tag):
            raise ValueError("the ID3 tag ends inside a frame")
        yield tag[start:end]
        start = end


def _is_rating(frame: bytes) -> bool:
    named = frame.startswith(b"TXXX") and frame[_FRAME_HEAD_BYTES + 1 :].startswith(_FMPS_RATING.encode("ascii"))
    return named or frame.startswith(b"POPM")


def _tag(frames: Iterable[bytes]) -> bytes:
    body = b"".join(frames)
    return _VERSION + _tag_size(len(body)) + body


def _timed_lyrics(tags: Tags) -> bytes:
    encoding = _encoding("".join(line.text for line in tags.timed_lyrics))
    lines = b"".join(
        _encoded(line.text, encoding) + _terminator(encoding) + line.milliseconds.to_bytes(4, "big")
        for line in tags.timed_lyrics
    )
    description = _encoded("", encoding) + _terminator(encoding)
    return _frame("SYLT", bytes([encoding]) + _LANGUAGE + _MILLISECONDS + _LYRICS + description + lines)


def _text(identifier: str, text: str) -> bytes:
    encoding = _encoding(text)
    return _frame(identifier, bytes([encoding]) + _encoded(text, encoding))


def _user_text(name: str, text: str) -> bytes:
    """An ASCII text under its own name."""
    content = b"\x00" + name.encode("ascii") + b"\x00" + text.encode("ascii") + b"\x00"
    if _FRAME_SYNC in len(content).to_bytes(4, "big"):
        content += b"\x00"
    return _frame("TXXX", content)


def _frame(identifier: str, content: bytes) -> bytes:
    return identifier.encode("ascii") + len(content).to_bytes(4, "big") + b"\x00\x00" + content


def _tag_size(size: int) -> bytes:
    """Seven bits a byte."""
    return bytes(size >> shift & 0x7F for shift in (21, 14, 7, 0))


def _encoding(text: str) -> int:
    return 0 if text.isascii() else 1


def _encoded(text: str, encoding: int) -> bytes:
    return b"\xff\xfe" + text.encode("utf-16-le") if encoding else text.encode("ascii")


def _terminator(encoding: int) -> bytes:
    return b"\x00\x00" if encoding else b"\x00"
