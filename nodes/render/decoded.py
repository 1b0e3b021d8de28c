"""Songs of an AUDIO, each as long as it is, with what their latents tell of them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, TypeVar

from ...ace_core.audio.waveform import SAMPLE_RATE, validate_waveform
from ...ace_core.song_files.encoding import Sound
from ...ace_core.song_files.record import SongRecord
from .latents import sample_counts, song_records

Value = TypeVar("Value")


def decoded_songs(
    audio: Mapping[str, Any] | None, latent: dict[str, Any] | None
) -> tuple[list[Sound], list[SongRecord], list[str]]:
    """Each song of a batch, as far as `latent` tells: where it ends, and how it was rendered.

    Returns:
        Sounds, their records, and sentences about those of which nothing is known. Sound is always given.

    Raises:
        ValueError: no audio, as from a video without sound, or what no recording has (`validate_waveform`).
    """
    if audio is None:
        raise ValueError("there is no audio: the node before gives a video without sound or a file without one")
    rate: int = audio["sample_rate"]
    waveforms = validate_waveform(audio["waveform"], rate)
    whole = [Sound(waveform, rate) for waveform in waveforms]
    items = len(waveforms)
    nothing = [SongRecord()] * items
    if latent is None:
        note = "no latent is connected: the file does not say with which seed and settings it was rendered"
        return whole, nothing, [note]
    counts = sample_counts(latent)
    if len(counts) != items:
        note = (
            f"WARNING: the audio holds {items} songs and the latents {len(counts)}, so the files have no seeds and no "
            "settings: connect the latents that this audio was decoded from"
        )
        return whole, nothing, [note]
    found = song_records(latent)
    notes = [
        f"the latents of song {item} of {items} are not as Sample made them: its file has no seed and no settings"
        for item, record in enumerate(found, 1)
        if record is None
    ]
    records = [record or SongRecord() for record in found]
    if (waveforms.shape[-1], rate) != (max(counts), SAMPLE_RATE):
        return whole, records, notes
    cut = [Sound(waveform[:, :count], rate) for waveform, count in zip(waveforms, counts, strict=True)]
    return cut, records, notes


def one_each(values: Sequence[Value], items: int, what: str) -> list[Value]:
    """As many values as songs.

    Raises:
        ValueError: there are more or fewer.
    """
    if len(values) != items:
        raise ValueError(f"got {what} of {len(values)} songs for {items} pieces of audio: connect those of this audio")
    return [*values]
