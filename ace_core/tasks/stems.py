"""Extract, Lego and Complete: single tracks out of a song, and new ones for it.

Lego in regions: outside them the mask says "keep", so the model renders the band there. The decoded track is silent
outside its regions, so that it can be mixed with the band. (The official code splices the band in.)
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal

import torch
from torch import Tensor

from ..audio.splicing import SampleSpan, Splice
from ..audio.waveform import SAMPLE_RATE
from ..checks import shown
from ..song.fields import normalize_track
from ..song.regions import Region, within
from .instructions import task_instruction
from .repaint import FADE_SECONDS
from .song_task import SongTask, frame_spans

STEM_CHANNELS = 2


def track_task(
    name: Literal["extract", "lego", "complete"],
    source: Tensor,
    samples: int,
    tracks: Sequence[str],
    *,
    regions: Sequence[Region] = (),
) -> SongTask:
    """Take a track out of a mix (extract), add one to it (lego), or accompany it with several (complete).

    Args:
        source: latents [T, 64]. samples: of the song.
        tracks: names of `song.fields.TRACKS`; one for extract and lego, one or more for complete.
        regions: for lego: where the new track plays, in seconds; empty for the whole song.

    Raises:
        ValueError: no track, too many, an unknown one, regions outside the song or for another task than lego.
    """
    if not tracks:
        raise ValueError(f"choose the track{'s' if name == 'complete' else ''} to {name}: none is chosen")
    if regions and name != "lego":
        raise ValueError(f"{name} works on the whole song, only lego takes regions, got {len(regions)}")
    names = tuple(dict.fromkeys(normalize_track(track) for track in tracks))
    task_instruction(name, names)  # refuses several tracks where one is allowed
    if not regions:
        return SongTask(name, samples, source, tracks=names)
    spans = within(regions, samples / SAMPLE_RATE)
    playing = tuple(SampleSpan(round(start * SAMPLE_RATE), round(end * SAMPLE_RATE)) for start, end in spans)
    silence = torch.zeros(1, 1).expand(STEM_CHANNELS, samples)
    return SongTask(
        name,
        samples,
        source,
        regions=frame_spans(spans, samples),
        tracks=names,
        splice=Splice(silence, 0, playing, round(FADE_SECONDS * SAMPLE_RATE), keeps_level=False),
    )


def stem_index(songs: Sequence[SongTask], track: str, item: int) -> int:
    """Which song of a batch that was extracted is a certain stem.

    Args:
        item: of several recordings, the one that the stem is of; 1 is the first.

    Raises:
        ValueError: there is no such stem.
    """
    found = [index for index, song in enumerate(songs) if song.tracks == (track,)]
    if not found:
        extracted = ", ".join(dict.fromkeys(name for song in songs for name in song.tracks)) or "no single tracks"
        raise ValueError(f"the audio has no stem {shown(track)}, only {extracted}: extract it too")
    if item > len(found):
        raise ValueError(f"item {item} was asked for and {track} was extracted from {len(found)}")
    return found[item - 1]
