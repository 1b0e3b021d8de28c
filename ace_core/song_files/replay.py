"""How a song was rendered: what the sampler writes into a song's record, and what a replay takes out of it.

Settings are recorded as they were used: what was 0 ("as the checkpoint wants") has its number, so it means the same
with another checkpoint. Whether a replay is the same song is decided by the hash of the latents alone. Everything else
in the record, the device and the version of PyTorch included, is there to name what could have made the difference.

Traps:
- Songs of one batch run together, and a network's last bits depend on how many run together. A song that was one of a
  batch of versions is rendered again in its place among as many.
- Source audio, references and latents that a song started from are too large for a record; it only names them.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import asdict, replace
from typing import Any, NamedTuple

from torch import Tensor

from ..checks import shown
from ..sampling.noise import SEED_RANGE, Variation
from ..sampling.options import SamplerOptions
from ..song.blueprint import Blueprint
from ..song.fields import MAX_BATCH_SIZE
from .record import Setting, SongRecord

RENDER_SEED = "render"
VARIATION_SEED = "variation"
VARIATION_STRENGTH = "variation_strength"
BATCH_SIZE = "batch_size"
BATCH_ITEM = "batch_item"
CODES_STRENGTH = "codes_strength"
TASK = "task"
TIMBRE = "timbre"
START_LATENTS = "start_latents"
INSTRUCTION = "instruction"
PLANNED_BY = "planner"
FIRST_OPTIONS = (  # records of every version have these; what an older one lacks was not there then
    "steps",
    "shift",
    "guidance",
    "solver",
    "denoise",
    "guidance_method",
    "guidance_start",
    "guidance_end",
    "custom_timesteps",
    "official_precision",
)
_SOURCES = {
    TASK: "a task",
    TIMBRE: "a timbre",
    START_LATENTS: "latents to start from",
    INSTRUCTION: "an instruction on Encode",
}


class Replay(NamedTuple):
    """What to render so that one song of it is the recorded one.

    Attributes:
        seeds: one for each version to render together.
        kept: which of them is the song.
    """

    options: SamplerOptions
    seeds: tuple[int, ...]
    variation: Variation | None
    kept: int


def replay_of(record: SongRecord) -> Replay:
    """What a record says about rendering its song.

    Raises:
        ValueError: it says nothing, or something that the sampler could not have written.
    """
    if not record.settings:
        raise ValueError("the file does not say how its song was rendered: it was saved without its latents")
    options = SamplerOptions(
        **{
            name: _recorded(record.settings, name, value)
            for name, value in asdict(SamplerOptions()).items()
            if name in record.settings or name in FIRST_OPTIONS
        }
    )
    count: int = _recorded(record.settings, BATCH_SIZE, 1) if BATCH_SIZE in record.settings else 1
    kept: int = _recorded(record.settings, BATCH_ITEM, 0) if count != 1 else 0
    if not 0 <= kept < count <= MAX_BATCH_SIZE:
        raise ValueError(f"the record is damaged: its song cannot be number {kept} of {count}")
    variation = None
    if VARIATION_SEED in record.seeds:
        strength = _recorded(record.settings, VARIATION_STRENGTH, 0.0)
        variation = Variation(_versions(record.seeds[VARIATION_SEED], kept, count), strength)
    if RENDER_SEED not in record.seeds:
        raise ValueError("the record is damaged: it has no seed")
    return Replay(options, _versions(record.seeds[RENDER_SEED], kept, count), variation, kept)


def plan_of(record: SongRecord) -> Blueprint:
    """The plan of a record's song, with the planner that wrote it."""
    planner = record.settings.get(PLANNED_BY, "")
    return replace(record.blueprint, planner=planner if isinstance(planner, str) else "")


def codes_strength(record: SongRecord) -> float:
    """For how much of the run the song followed its audio codes; 1 where it has none.

    Raises:
        ValueError: it is not a number.
    """
    strength: float = _recorded(record.settings, CODES_STRENGTH, 1.0) if CODES_STRENGTH in record.settings else 1.0
    return strength


def latents_hash(latents: Tensor) -> str:
    """SHA-256 of a song's latents [T, 64], float32 on the CPU; equal to the bit or another."""
    return hashlib.sha256(latents.contiguous().numpy().tobytes()).hexdigest()


def sources_left_out(record: SongRecord) -> str | None:
    """A sentence about what the song was made from and a record cannot hold; None where the record is enough."""
    names = [f"{what} ({record.settings[name]})" for name, what in _SOURCES.items() if name in record.settings]
    if not names:
        return None
    return f"Not in the file: {', '.join(names)}. A replay needs the same again."


def what_differs(recorded: Mapping[str, Setting], used: Mapping[str, Setting]) -> list[str]:
    """Settings that are not as recorded, in words."""
    return [
        f"{name}: {_shown(recorded, name)} in the file, {_shown(used, name)} now"
        for name in dict.fromkeys((*recorded, *used))
        if recorded.get(name) != used.get(name)
    ]


def _shown(settings: Mapping[str, Setting], name: str) -> Setting:
    value = settings.get(name, "")
    return "none" if value == "" else value


def _versions(seed: int, item: int, count: int) -> tuple[int, ...]:
    """Seeds for a batch in which item `item` has `seed`; only their number matters to it."""
    return tuple((seed - item + other) % SEED_RANGE for other in range(count))


def _recorded(settings: Mapping[str, Setting], name: str, like: Any) -> Any:
    """A setting, of the type of `like`; a whole number is a float too."""
    value = settings.get(name)
    kinds = (int, float) if isinstance(like, float) else (type(like),)
    if not isinstance(value, kinds) or isinstance(value, bool) != isinstance(like, bool):
        raise ValueError(f"the record is damaged: {name} cannot be {shown(value)}")
    return float(value) if isinstance(like, float) else value
