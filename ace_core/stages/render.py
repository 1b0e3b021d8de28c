"""Render: from conditions, seeds and options, or from a saved song, to latents with the record of how each was made."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import NamedTuple

import torch
from torch import Tensor

from ..checks import spread
from ..loaded import AceModel
from ..render.conditions import SongConditions
from ..render.runs import OnStep, render_latents, render_memory_bytes
from ..runtime import Networks
from ..sampling.noise import Variation, item_seeds
from ..sampling.options import ResolvedSettings, SamplerOptions, as_used
from ..sampling.settings import SamplerSettings
from ..song_files.record import Setting, SongRecord
from ..song_files.replay import (
    BATCH_ITEM,
    BATCH_SIZE,
    RENDER_SEED,
    START_LATENTS,
    VARIATION_SEED,
    VARIATION_STRENGTH,
    latents_hash,
    replay_of,
    what_differs,
)
from ..tasks.song_task import SongTask
from .encode import AceConditioning


class Take(NamedTuple):
    """Songs to render together.

    Attributes:
        recorded: of each song, what the record says of its conditions.
        kept: the songs that are wanted; of a replay one, the others only make up its batch.
        replayed: the record of the song that is rendered again.
        tasks: what is made of each song.
    """

    songs: tuple[SongConditions, ...]
    recorded: tuple[Mapping[str, Setting], ...]
    seeds: tuple[int, ...]
    variation: Variation | None
    options: SamplerOptions
    notes: tuple[str, ...] = ()
    kept: slice = slice(None)
    replayed: SongRecord | None = None
    tasks: tuple[SongTask, ...] = ()


class Rendered(NamedTuple):
    """The kept songs of a take: latents [T, 64], samples, record and task of each, and a replay's comparison."""

    latents: tuple[Tensor, ...]
    samples: tuple[int, ...]
    records: tuple[SongRecord, ...]
    tasks: tuple[SongTask, ...]
    comparison: str | None


def batch_count(conditioning: AceConditioning, batch_size: int) -> int:
    """How many songs to render: versions of the only one, or each of several once.

    Raises:
        ValueError: several songs and another batch size.
    """
    count = len(conditioning.songs)
    if count == 1:
        return batch_size
    if batch_size not in (1, count):
        raise ValueError(
            f"{count} songs and a batch size of {batch_size}: set it to 1 or {count}, which both render each song once"
        )
    return count


def new_take(
    conditioning: AceConditioning, options: SamplerOptions, seeds: int | Sequence[int], batch_size: int = 1
) -> Take:
    """What to render with some options.

    Args:
        seeds: one for each song, or the first: item i then has seeds + i.

    Raises:
        ValueError: see `batch_count`; another number of seeds, or of songs to vary, than songs.
    """
    count = batch_count(conditioning, batch_size)
    varied = conditioning.variation
    if varied is not None and varied.of:
        seeds = spread(varied.of, count, "songs to vary")
    return _take(conditioning, options, item_seeds(seeds, count))


def replayed_take(record: SongRecord, conditioning: AceConditioning, batch_size: int = 1) -> Take:
    """What a saved song asks for; a retake in the conditions is added to it.

    Raises:
        ValueError: other than one song is given or asked for, or the record does not say how to render it.
    """
    if len(conditioning.songs) != 1 or batch_size != 1:
        raise ValueError(
            f"a replay renders one song, got conditions of {len(conditioning.songs)} songs and a batch size of "
            f"{batch_size}: both must be 1"
        )
    replay = replay_of(record)
    notes = [f"Replay of the seed {replay.seeds[replay.kept]}: the seed and settings above are not used."]
    if len(replay.seeds) > 1:
        notes.append(f"Rendered as number {replay.kept + 1} of {len(replay.seeds)}, as it was.")
    take = _take(conditioning, replay.options, replay.seeds)
    return take._replace(
        variation=take.variation or replay.variation,
        notes=(*notes, *take.notes),
        kept=slice(replay.kept, replay.kept + 1),
        replayed=record,
    )


def render_songs(
    networks: Networks,
    model: AceModel,
    take: Take,
    resolved: ResolvedSettings,
    *,
    start_latents: Sequence[Tensor] = (),
    on_step: OnStep | None = None,
) -> Rendered:
    """Render a take.

    Args:
        resolved: its options as the checkpoint understands them.
        start_latents: latents [T, 64] to start from, of each song or one for all; none for pure noise.
        on_step: called after each step beside the progress bar; see `render_latents`.

    Raises:
        ValueError: see `render_latents`.
    """
    settings = resolved.settings
    needed = render_memory_bytes(
        model.dit.network.config, take.songs, guided=settings.uses_guidance, dtype=model.dit.dtype
    )
    network, runtime = networks.use(model.dit, needed)
    starts = spread(start_latents, len(take.songs), "latents to start from") if start_latents else None
    latents = render_latents(
        network,
        take.songs,
        settings,
        take.seeds,
        runtime,
        start_latents=starts,
        variation=take.variation,
        on_step=on_step,
        on_progress=networks.progress(),
    )
    kept = latents[take.kept]
    shared = _shared_settings(take, model, resolved, networks.device_name(runtime.device))
    if start_latents and settings.timesteps[0] < 1:
        shared[START_LATENTS] = "connected to Sample"
    records = _records(take, shared, settings, latents)[take.kept]
    comparison = None if take.replayed is None else compare(take.replayed, records[0])
    samples = tuple(song.samples for song in take.songs[take.kept])
    return Rendered(tuple(kept), samples, tuple(records), take.tasks[take.kept], comparison)


def take_notes(take: Take, resolved: ResolvedSettings) -> tuple[str, ...]:
    """What is rendered and how, in sentences."""
    scalers = dict.fromkeys(resolved.settings.scalers(planned=song.planned) for song in take.songs)
    wavelet = "; ".join(f"low {item.low:g}, high {item.high:g}" for item in scalers)
    used = (f"wavelet correction: {wavelet}",) if resolved.settings.corrected else ()
    return (*take.notes, resolved.summary, *used, *resolved.notes)


def compare(recorded: SongRecord, rendered: SongRecord) -> str:
    """Whether a replay gave the same latents, and if not, what is not as it was."""
    if rendered.latents == recorded.latents:
        return "The same latents as in the file, to the bit."
    differences = what_differs(recorded.settings, rendered.settings) + what_differs(recorded.seeds, rendered.seeds)
    reason = "; ".join(differences) or (
        "every setting is the same, so the song plan, a model file or the source audio is another"
    )
    return f"NOT the same latents as in the file: {reason}."


def _take(conditioning: AceConditioning, options: SamplerOptions, seeds: tuple[int, ...]) -> Take:
    repeats = len(seeds) // len(conditioning.songs)
    recorded = conditioning.settings or ({},) * len(conditioning.songs)
    variation: Variation | None = None
    notes: tuple[str, ...] = ()
    if conditioning.variation is not None:
        seed, strength, varied = conditioning.variation
        variation = Variation(item_seeds(seed, len(seeds)), strength)
        of = f" of seed {', '.join(map(str, varied))}" if varied else ""
        notes = (f"retake{of} with seed {seed}, strength {strength:g}",)
    tasks = conditioning.tasks * repeats
    return Take(conditioning.songs * repeats, recorded * repeats, seeds, variation, options, notes, tasks=tasks)


def _shared_settings(take: Take, model: AceModel, resolved: ResolvedSettings, device_name: str) -> dict[str, Setting]:
    """What the records of all songs of a take say."""
    return as_used(take.options, model.variant, resolved) | {
        "model": model.name,
        "variant": model.variant,
        "adapters": " + ".join(map(repr, model.adapters)),
        "precision": str(model.dtype).removeprefix("torch."),
        "device": device_name,
        "torch": torch.__version__,
    }


def _scalers(song: SongConditions, used: SamplerSettings) -> dict[str, Setting]:
    """The scalers that a corrected song had."""
    if not used.corrected:
        return {}
    scalers = used.scalers(planned=song.planned)
    return {"wavelet_low": scalers.low, "wavelet_high": scalers.high}


def _records(
    take: Take, shared: Mapping[str, Setting], used: SamplerSettings, latents: Sequence[Tensor]
) -> list[SongRecord]:
    """The record of each rendered song, without its plan."""
    versions = len(take.songs) > 1 and all(song is take.songs[0] for song in take.songs)
    records = []
    for item, (song, seed, result) in enumerate(zip(take.songs, take.seeds, latents, strict=True)):
        seeds, settings = {RENDER_SEED: seed}, {**shared, **take.recorded[item], **_scalers(song, used)}
        if take.variation is not None:
            seeds[VARIATION_SEED] = take.variation.seeds[item]
            settings[VARIATION_STRENGTH] = take.variation.strength
        if versions:
            settings |= {BATCH_SIZE: len(take.songs), BATCH_ITEM: item}
        elif len(take.songs) > 1:
            settings["rendered_with"] = f"{len(take.songs) - 1} other song(s)"
        records.append(SongRecord(seeds=seeds, settings=settings, latents=latents_hash(result)))
    return records
