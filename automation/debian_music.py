"""Real encoded music for the tests: packages of Debian, unpacked and not installed. Standard library only.

python-pygame-doc has a loop of house music as MP3 and as Ogg Vorbis (LGPL-2+), ardour-data the click of a metronome at
120 bpm as FLAC (GPL-2+). The files stay on the machine that runs the tests.
"""

from __future__ import annotations

from pathlib import Path

FILES = ("house_lo.mp3", "house_lo.ogg", "click-120bpm.flac")
FOLDER = Path(__file__).resolve().parent.parent / ".host" / "debian-music"
FETCH_COMMAND = (  # for root, in the repository
    "apt-get update -q && mkdir -p .host/debian-music && cd .host/debian-music && "
    "apt-get download -q python-pygame-doc ardour-data && for package in *.deb; do dpkg-deb -x $package .; done"
)


def find_music() -> dict[str, Path]:
    """Where each of `FILES` is; those that were not fetched are left out."""
    found = {name: next(FOLDER.rglob(name), None) for name in FILES}
    return {name: path for name, path in found.items() if path is not None}
