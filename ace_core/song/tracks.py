"""Backing tracks: which tracks accompany a voice in each genre.

The model takes a voice and the names of the tracks to complete it with; the names are all that a preset decides. How
they play is set by the song's caption.
"""

from __future__ import annotations

import re

from ..checks import shown
from .fields import normalize_track

GENRE_TRACKS: dict[str, tuple[str, ...]] = {
    "pop": ("drums", "bass", "keyboard", "guitar", "synth"),
    "rock": ("drums", "bass", "guitar", "keyboard"),
    "metal": ("drums", "bass", "guitar"),
    "hip-hop": ("drums", "bass", "synth", "fx"),
    "r&b": ("drums", "bass", "keyboard", "backing_vocals"),
    "electronic": ("drums", "bass", "synth", "percussion", "fx"),
    "jazz": ("drums", "bass", "keyboard", "brass", "woodwinds"),
    "folk": ("guitar", "bass", "percussion", "strings"),
    "country": ("drums", "bass", "guitar", "strings"),
    "latin": ("percussion", "bass", "guitar", "keyboard", "brass"),
    "ballad": ("keyboard", "strings", "bass", "drums"),
    "orchestral": ("strings", "brass", "woodwinds", "percussion"),
}


def backing_tracks(genre: str, more: str = "") -> tuple[str, ...]:
    """Tracks of a genre and more of one's own, each once.

    Args:
        genre: a key of `GENRE_TRACKS`.
        more: names of tracks separated by commas, semicolons or new lines; may be empty.

    Raises:
        ValueError: an unknown genre or track.
    """
    if genre not in GENRE_TRACKS:
        raise ValueError(f"the genre must be one of {', '.join(GENRE_TRACKS)}; got {shown(genre)}")
    added = [normalize_track(name) for name in re.split(r"[,;\n]", more) if name.strip()]
    return tuple(dict.fromkeys((*GENRE_TRACKS[genre], *added)))
