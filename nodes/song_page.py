"""What the page asks of song files before and without a run: what they know, and their star.

Files are named as widgets name them: `song.flac` lies in the input folder, `songs/a.flac [output]` in the output one.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from ..ace_core.checks import shown
from ..ace_core.song.fields import TIME_SIGNATURES
from ..ace_core.song_files.known import known_song
from ..ace_core.song_files.stars import read_star, write_star
from .host import folders, routes

SAMPLE = "sample (built in)"
SAMPLE_PATH = Path(__file__).parents[1] / "js" / "sample_song.mp3"

_SAVED = " [output]"


def song_path(audio: str) -> Path:
    """The file of a choice of Load Song.

    Raises:
        FileNotFoundError: there is none; a name cannot lead out of the folders.
    """
    return SAMPLE_PATH if audio == SAMPLE else folders.input_path(audio)


def add_routes() -> None:
    """Tell the host's server what the page may ask."""
    routes.add_question("song", _known)
    routes.add_order("star", _star)


def _known(given: Mapping[str, str]) -> dict[str, Any]:
    song = known_song(song_path(given.get("audio", "")))
    signature = None if song.time_signature is None else TIME_SIGNATURES[song.time_signature]
    return {
        "lines": [{"text": line.text, "start": line.seconds} for line in song.lines],
        "lyrics": song.lyrics,
        "bpm": song.bpm,
        "time_signature": signature,
        "starred": song.starred if song.ours else None,
    }


def _star(given: Mapping[str, Any]) -> dict[str, Any]:
    audio, starred = given.get("audio"), given.get("starred")
    if not isinstance(audio, str) or not audio.endswith(_SAVED):
        raise ValueError(f"audio must name a song in the output folder, such as 'a.flac{_SAVED}', got {shown(audio)}")
    if not isinstance(starred, bool):
        raise ValueError(f"starred must be true or false, got {shown(starred)}")
    path = folders.input_path(audio)
    write_star(path, starred)
    return {"starred": read_star(path)}
