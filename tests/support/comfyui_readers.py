"""How ComfyUI's page finds a workflow in an audio file that is dropped on it (frontend 1.45), in Python.

Bytes are taken for characters, and MP3 and Ogg are searched with regular expressions over as many pieces of 4096 bytes
as it takes to see where the sound begins.
"""

from __future__ import annotations

import json
import re
import struct
from collections.abc import Callable
from typing import Any

PIECE = 4096


def dropped_workflow(suffix: str, content: bytes) -> dict[str, Any]:
    """What the page reads: `workflow`, `prompt`, both or neither."""
    found = {}
    for name, text in _READERS[suffix](content).items():
        try:
            found[name] = json.loads(text)
        except json.JSONDecodeError:
            continue
    return found


def _from_flac(content: bytes) -> dict[str, str]:
    assert content.startswith(b"fLaC")
    place, last, texts = 4, False, {}
    while not last:
        header, size = content[place], int.from_bytes(content[place + 1 : place + 4], "big")
        last = bool(header & 0x80)
        if header & 0x7F == 4:
            texts = _vorbis_comments(content[place + 4 : place + 4 + size])
        place += 4 + size
    return {name: texts[name] for name in ("workflow", "prompt") if name in texts}


def _vorbis_comments(block: bytes) -> dict[str, str]:
    (place,) = struct.unpack_from("<I", block)
    place += 4
    (count,) = struct.unpack_from("<I", block, place)
    place += 4
    texts = {}
    for _ in range(count):
        (size,) = struct.unpack_from("<I", block, place)
        name, _, text = block[place + 4 : place + 4 + size].decode("latin-1").partition("=")
        texts[name] = text
        place += 4 + size
    return texts


def _from_mp3(content: bytes) -> dict[str, str]:
    assert content.startswith((b"ID3", b"\xff\xfb"))
    head = _until(content, lambda piece: "\xff\xfb" in piece, 1)
    return _matches(head, {name: rf"{name}\x00(\{{.*?\}})\x00" for name in ("workflow", "prompt")})


def _from_ogg(content: bytes) -> dict[str, str]:
    assert content.startswith(b"OggS")
    head = _until(content, lambda piece: "OggS\0" in piece, 2)
    rough = _matches(head, {name: rf"{name}=(\{{.*?(?:\}}.*?\x00))" for name in ("workflow", "prompt")})
    exact = {name: re.search(r"\{[^\n\r\u2028\u2029]*\}", text) for name, text in rough.items()}
    return {name: match[0] for name, match in exact.items() if match}


def _until(content: bytes, is_end: Callable[[str], bool], ends: int) -> str:
    head = ""
    while len(head) < len(content):
        piece = content[len(head) : len(head) + PIECE].decode("latin-1")
        head += piece
        ends -= is_end(piece)
        if not ends:
            break
    return head


def _matches(head: str, patterns: dict[str, str]) -> dict[str, str]:
    matches = {name: re.search(pattern, head, re.DOTALL) for name, pattern in patterns.items()}
    return {name: match[1] for name, match in matches.items() if match}


_READERS: dict[str, Callable[[bytes], dict[str, str]]] = {
    "flac": _from_flac,
    "mp3": _from_mp3,
    "opus": _from_ogg,
}
