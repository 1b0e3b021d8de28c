"""Faults planted into songs of the music box: instruments that were asked and do not play.

These are what the published score can tell. A wrong key or tempo costs a song a hundredth or two of it, because a field
of the metadata that is the second guess counts nine tenths of the first.
"""

from __future__ import annotations

from collections.abc import Callable

from torch import Tensor

from ace_core.music_box.sounds import GROUPS


def _without(latents: Tensor, *names: str) -> Tensor:
    out = latents.clone()
    for name in names:
        out[:, GROUPS[name].start : GROUPS[name].stop] = 0
    return out


def without_drums(latents: Tensor) -> Tensor:
    """The drums are missing."""
    return _without(latents, "drums")


def without_harmony(latents: Tensor) -> Tensor:
    """Bass and keyboard are missing."""
    return _without(latents, "bass", "keyboard")


def bass_alone(latents: Tensor) -> Tensor:
    """Of the band only the bass is left."""
    return _without(latents, *(name for name in GROUPS if name != "bass"))


FAULTS: tuple[Callable[[Tensor], Tensor], ...] = (without_drums, without_harmony, bass_alone)
