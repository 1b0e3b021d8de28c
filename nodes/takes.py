"""Songs as the page's player of takes gets them (`js/takes.js`): a file to play, and what is known of each.

The data are keys and values, so that the page can say them in the user's language. Songs that no node saves are
written to the host's temporary folder, under a name made from their sound: the same song is written once, however many
nodes show it.
"""

from __future__ import annotations

import base64
import hashlib
import math
from collections.abc import Sequence
from typing import Any

from torch import Tensor

from ..ace_core.analysis.loudness import integrated_loudness
from ..ace_core.analysis.peaks import wave_peaks
from ..ace_core.files import write_atomically
from ..ace_core.listening.song_scores import SongScores
from ..ace_core.song_files.encoding import ENCODINGS, Sound, encode
from ..ace_core.song_files.record import SongRecord
from ..ace_core.stages.render import RENDER_SEED
from .host import results

RESULT = "ace_takes"
HEARD = ENCODINGS["flac 16 bit"]
HEARD_CHANNELS = 2


def takes(
    sounds: Sequence[Sound],
    files: Sequence[dict[str, str]],
    *,
    records: Sequence[SongRecord | None] | None = None,
    scores: Sequence[SongScores | None] | None = None,
    names: Sequence[str | None] | None = None,
    picked: Sequence[int] = (),
    lyrics: Sequence[list[dict[str, Any]]] | None = None,
    result: str = RESULT,
) -> dict[str, list[dict[str, Any]]]:
    """What a node adds to its results for the page: what is known of each song.

    Args:
        files: of the songs, as the host's results name them.
        records: from which the seeds come. scores: of which the total is shown. names: of stems.
        picked: indices of the songs that the node passes on.
        lyrics: their lines with times (`nodes/karaoke.py`).
        result: the name that the page looks for.
    """
    facts = [
        {
            "number": index + 1,
            "file": file,
            "seconds": sound.waveform.shape[-1] / sound.sample_rate,
            "peaks": base64.b64encode(wave_peaks(sound.waveform)).decode("ascii"),
            "loudness": _loudness(sound),
            "seed": _seed(records[index] if records else None),
            "score": _total(scores[index] if scores else None),
            "name": names[index] if names else None,
            "picked": index in picked,
            "lines": lyrics[index] if lyrics else [],
        }
        for index, (sound, file) in enumerate(zip(sounds, files, strict=True))
    ]
    return {result: facts}


def heard_files(sounds: Sequence[Sound]) -> list[dict[str, str]]:
    """Files of songs to hear in the page, as the host's results name them."""
    return [_heard_file(Sound(sound.waveform[:HEARD_CHANNELS], sound.sample_rate)) for sound in sounds]


def _heard_file(sound: Sound) -> dict[str, str]:
    path, file = results.temporary_file(f"ace_take_{_hash(sound)}.{HEARD.container}")
    if not path.exists():
        content, _ = encode(sound, HEARD, {})
        write_atomically(path, lambda unfinished: unfinished.write_bytes(content))
    return file


def _hash(sound: Sound) -> str:
    samples: Tensor = sound.waveform.contiguous().cpu()
    shape = f"{tuple(samples.shape)} {samples.dtype} {sound.sample_rate}".encode("ascii")
    return hashlib.sha256(shape + samples.numpy().tobytes()).hexdigest()[:24]


def _loudness(sound: Sound) -> float | None:
    """In LUFS; None where there is nothing to measure."""
    loudness = integrated_loudness(sound.waveform[:HEARD_CHANNELS], sound.sample_rate)
    return loudness if loudness is not None and math.isfinite(loudness) else None


def _seed(record: SongRecord | None) -> str | None:
    """In digits, since a page would round the larger ones."""
    seed = None if record is None else record.seeds.get(RENDER_SEED)
    return None if seed is None else str(seed)


def _total(scores: SongScores | None) -> float | None:
    return None if scores is None else scores.total
