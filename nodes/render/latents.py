"""ComfyUI's LATENT for ACE-Step 1.5: [batch, 64, frames] here, [frames, 64] a song in the engine.

Songs of one batch may differ in length. The tensor is padded to the longest with silence; `sample_counts` says how many
samples each song has. Latents of other nodes lack it: then every item is as long as the tensor.

Sample adds a record of how each song was rendered, for Save Song, and the tasks of songs that belong into a recording,
for Decode.

Traps:
- Nodes that cut, join, pick or change latents copy the keys they do not know, so the counts may belong to other
  latents, and so may records and tasks; of these each has the hash of the latents that it is about.
- ComfyUI's Save Latent writes the tensor alone.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor

from ...ace_core.audio.waveform import LATENT_CHANNELS, SAMPLES_PER_FRAME, source_frames
from ...ace_core.checkpoints.silence import silence_frames
from ...ace_core.song_files.record import SongRecord
from ...ace_core.song_files.replay import latents_hash
from ...ace_core.stages.render import Rendered
from ...ace_core.tasks.song_task import SongTask

RECORDS = "ace_records"
TASKS = "ace_tasks"
HOST_TEMPORAL_DOWNSCALE = 1764  # what the host's own ACE-Step 1.5 latents carry, though 1920 would be right


def to_latent(songs: Sequence[Tensor], sample_counts: Sequence[int], silence: Tensor) -> dict[str, Any]:
    """LATENT of songs [T_i, 64]."""
    frames = max(len(song) for song in songs)
    padding = silence_frames(silence, frames)[0]
    samples = torch.stack([torch.cat((song, padding[len(song) :])) for song in songs])
    return {
        "samples": samples.transpose(1, 2).contiguous(),
        "type": "audio",
        "downscale_ratio_temporal": HOST_TEMPORAL_DOWNSCALE,
        "sample_counts": list(sample_counts),
    }


def rendered_latent(rendered: Rendered, silence: Tensor) -> dict[str, Any]:
    """LATENT of rendered songs, with their records, and the tasks of those that belong into a recording."""
    spliced = [
        (record.latents, task)
        for record, task in zip(rendered.records, rendered.tasks, strict=True)
        if task.splice is not None
    ]
    latent = to_latent(rendered.latents, rendered.samples, silence) | {RECORDS: rendered.records}
    return latent | {TASKS: spliced} if spliced else latent


def from_latent(latent: dict[str, Any]) -> Tensor:
    """Latents [B, T, 64] of a LATENT.

    Raises:
        ValueError: they are not audio latents of ACE-Step 1.5.
    """
    samples: Tensor = latent["samples"]
    if samples.ndim != 3 or samples.shape[1] != LATENT_CHANNELS:
        raise ValueError(
            f"latents of ACE-Step 1.5 have the shape [batch, {LATENT_CHANNELS}, frames], got {list(samples.shape)}: "
            "they come from another model"
        )
    return samples.transpose(1, 2)


def song_latents(latent: dict[str, Any]) -> list[Tensor]:
    """Latents [T, 64] of each song of a LATENT, without what pads a batch."""
    items = zip(from_latent(latent), sample_counts(latent), strict=True)
    return [item[: source_frames(count)] for item, count in items]


def song_records(latent: dict[str, Any]) -> list[SongRecord | None]:
    """How each song of a LATENT was rendered; None where its latents are not as Sample made them."""
    records: dict[str, SongRecord] = {record.latents: record for record in latent.get(RECORDS, ())}
    return [records.get(latents_hash(song)) for song in song_latents(latent)]


def song_tasks(latent: dict[str, Any]) -> list[SongTask | None]:
    """The task of each song that belongs into a recording; None for others and where the latents were changed since."""
    tasks: dict[str, SongTask] = dict(latent.get(TASKS, ()))
    return (
        [tasks.get(latents_hash(song)) for song in song_latents(latent)] if tasks else [None] * len(latent["samples"])
    )


def counts_fit(latent: dict[str, Any]) -> bool:
    """Whether the lengths that a LATENT names are those of its songs; not after nodes that cut or join latents."""
    return "sample_counts" not in latent or sample_counts(latent) is latent["sample_counts"]


def sample_counts(latent: dict[str, Any]) -> list[int]:
    """Samples of each song of a LATENT; the length of the tensor where other nodes have changed its items or length."""
    items, _, frames = latent["samples"].shape
    counts: list[int] = latent.get("sample_counts", [])
    if len(counts) == items and source_frames(max(counts)) == frames:
        return counts
    return [frames * SAMPLES_PER_FRAME] * items


def picked_latent(latent: dict[str, Any], items: Sequence[int]) -> dict[str, Any]:
    """Some songs of a LATENT, in this order, as long as the longest of them."""
    all_counts = sample_counts(latent)
    counts = [all_counts[item] for item in items]
    frames = min(latent["samples"].shape[-1], source_frames(max(counts)))
    picked = {**latent, "samples": latent["samples"][list(items), :, :frames]}
    if "sample_counts" in latent:
        picked["sample_counts"] = counts
    return picked
