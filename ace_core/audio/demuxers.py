"""Which of FFmpeg's demuxers reads which file.

Trap: the format is told, not guessed, and FFmpeg gets an open file, not a name. A playlist that calls itself MP3 would
make it open other files or addresses.
"""

from __future__ import annotations

from collections.abc import Mapping

import av

DEMUXERS: Mapping[str, str] = {
    ".wav": "wav",
    ".mp3": "mp3",
    ".flac": "flac",
    ".ogg": "ogg",
    ".opus": "ogg",
    ".m4a": "mp4",
}
BROKEN_FILE = (av.FFmpegError, OSError)  # OSError: a broken file can make FFmpeg seek to before its beginning
