"""Folders of short recordings, whole and broken, for tests of datasets."""

from __future__ import annotations

from pathlib import Path

import torch
from torch import Tensor

from ace_core.song_files.encoding import ENCODINGS, Sound, encode

RATE = 44_100
_ENCODINGS = {".wav": "wav 16 bit", ".flac": "flac 16 bit", ".mp3": "mp3 128k", ".opus": "opus 64k", ".ogg": "opus 64k"}


def tone(seconds: float, *, pitch: float = 220.0, rate: int = RATE, channels: int = 2) -> Tensor:
    """A quiet sine, [channels, samples]."""
    time = torch.arange(int(seconds * rate)) / rate
    return 0.3 * torch.sin(2 * torch.pi * pitch * time).expand(channels, -1)


def write_song(path: Path, seconds: float = 6.0, *, pitch: float = 220.0, sound: Tensor | None = None) -> Path:
    """Write a recording in the format of its suffix."""
    path.parent.mkdir(parents=True, exist_ok=True)
    waveform = tone(seconds, pitch=pitch) if sound is None else sound
    content, _ = encode(Sound(waveform, RATE), ENCODINGS[_ENCODINGS[path.suffix]], {})
    path.write_bytes(content)
    return path
