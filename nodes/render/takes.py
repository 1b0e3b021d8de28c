"""What Sample renders in one run, from its widgets or from a saved song, and the record of each song it made."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import NamedTuple

import torch
from torch import Tensor

from ...ace_core.render.conditions import SongConditions
from ...ace_core.sampling.noise import Variation, item_seeds
from ...ace_core.sampling.settings import ResolvedSettings
from ...ace_core.song_files.record import Setting, SongRecord
from ...ace_core.song_files.replay import (
    BATCH_ITEM,
    BATCH_SIZE,
    RENDER_SEED,
    START_LATENTS,
    VARIATION_SEED,
    VARIATION_STRENGTH,
    SamplerWishes,
    latents_hash,
    replay_of,
    what_differs,
)
from ..host import networks
from ..wires import AceConditioning, AceModel


class Take(NamedTuple):
    """Songs to render together.

    Attributes:
        recorded: of each song, what the record says of its conditions.
        kept: the songs that are wanted; of a replay one, the others only make up its batch.
    """

    songs: tuple[SongConditions, ...]
    recorded: tuple[Mapping[str, Setting], ...]
    seeds: tuple[int, ...]
    variation: Variation | None
    wishes: SamplerWishes
    notes: tuple[str, ...] = ()
    kept: slice = slice(None)


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
            f"{count} songs are connected and batch_size is {batch_size}: set it to 1 or {count}, which both "
            "render each song once"
        )
    return count


def take_of(conditioning: AceConditioning, wishes: SamplerWishes, seeds: tuple[int, ...]) -> Take:
    """What the widgets ask for."""
    if conditioning.variation is None:
        return _take(conditioning, wishes, seeds, None)
    seed, strength = conditioning.variation
    note = f"retake with seed {seed}, strength {strength:g}"
    return _take(conditioning, wishes, seeds, Variation(item_seeds(seed, len(seeds)), strength), note)


def replayed_take(record: SongRecord, conditioning: AceConditioning, batch_size: int) -> Take:
    """What a saved song asks for; a retake in the conditions is added to it.

    Raises:
        ValueError: other than one song is connected or asked for, or the record does not say how to render it.
    """
    if len(conditioning.songs) != 1 or batch_size != 1:
        raise ValueError(
            f"a replay is of one song, but {len(conditioning.songs)} songs are connected and batch_size is "
            f"{batch_size}: set both to 1, or disconnect 'replay'"
        )
    replay = replay_of(record)
    notes = [f"Replay of the seed {replay.seeds[replay.kept]}: the seed and settings above are not used."]
    if len(replay.seeds) > 1:
        notes.append(f"Rendered as number {replay.kept + 1} of {len(replay.seeds)}, as it was.")
    take = take_of(conditioning, replay.wishes, replay.seeds)
    return take._replace(
        variation=take.variation or replay.variation,
        notes=(*notes, *take.notes),
        kept=slice(replay.kept, replay.kept + 1),
    )


def records_of(
    take: Take,
    model: AceModel,
    device: torch.device,
    resolved: ResolvedSettings,
    latents: Sequence[Tensor],
    *,
    starts_from_latents: bool,
) -> list[SongRecord]:
    """The record of each rendered song, without its plan."""
    shared: dict[str, Setting] = take.wishes.as_used(model.kind, resolved)._asdict()
    shared |= {
        "model": model.name,
        "variant": model.kind,
        "adapters": " + ".join(map(repr, model.adapters)),
        "precision": str(model.dtype).removeprefix("torch."),
        "device": networks.device_name(device),
        "torch": torch.__version__,
    }
    if starts_from_latents:
        shared[START_LATENTS] = "connected to Sample"
    versions = len(take.songs) > 1 and all(song is take.songs[0] for song in take.songs)
    records = []
    for item, (seed, result) in enumerate(zip(take.seeds, latents, strict=True)):
        seeds, settings = {RENDER_SEED: seed}, shared | take.recorded[item]
        if take.variation is not None:
            seeds[VARIATION_SEED] = take.variation.seeds[item]
            settings[VARIATION_STRENGTH] = take.variation.strength
        if versions:
            settings |= {BATCH_SIZE: len(take.songs), BATCH_ITEM: item}
        elif len(take.songs) > 1:
            settings["rendered_with"] = f"{len(take.songs) - 1} other song(s)"
        records.append(SongRecord(seeds=seeds, settings=settings, latents=latents_hash(result)))
    return records


def comparison(recorded: SongRecord, rendered: SongRecord) -> str:
    """Whether a replay gave the same latents, and if not, what is not as it was."""
    if rendered.latents == recorded.latents:
        return "The same latents as in the file, to the bit."
    differences = what_differs(recorded.settings, rendered.settings) + what_differs(recorded.seeds, rendered.seeds)
    reason = "; ".join(differences) or (
        "every setting is the same, so the song plan, a model file or the source audio is another"
    )
    return f"NOT the same latents as in the file: {reason}."


def _take(
    conditioning: AceConditioning,
    wishes: SamplerWishes,
    seeds: tuple[int, ...],
    variation: Variation | None,
    *notes: str,
) -> Take:
    repeats = len(seeds) // len(conditioning.songs)
    recorded = conditioning.settings or ({},) * len(conditioning.songs)
    return Take(conditioning.songs * repeats, recorded * repeats, seeds, variation, wishes, notes)
