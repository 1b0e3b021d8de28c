"""Faults planted into songs of the music box, of the kinds that renders have."""

from __future__ import annotations

from collections.abc import Callable

from torch import Tensor

from ace_core.audio.waveform import LATENT_FRAME_RATE
from ace_core.music_box.sounds import GROUPS

_GAP = 5 * LATENT_FRAME_RATE


def without_drums(latents: Tensor) -> Tensor:
    """The drums are missing."""
    out = latents.clone()
    out[:, GROUPS["drums"].start : GROUPS["drums"].stop] = 0
    return out


def with_a_gap(latents: Tensor) -> Tensor:
    """Five seconds in the middle are silent."""
    out = latents.clone()
    out[len(out) // 2 :][:_GAP] = 0
    return out


def out_of_key(latents: Tensor) -> Tensor:
    """All but the drums is a tritone off from the middle on."""
    out = latents.clone()
    for name, channels in GROUPS.items():
        if name != "drums":
            half = out[len(out) // 2 :, channels.start : channels.stop]
            half.copy_(half.roll(6, dims=1).clone())
    return out


def bass_alone(latents: Tensor) -> Tensor:
    """Of the band only the bass is left."""
    out = latents.clone()
    for name, channels in GROUPS.items():
        if name != "bass":
            out[:, channels.start : channels.stop] = 0
    return out


FAULTS: tuple[Callable[[Tensor], Tensor], ...] = (without_drums, with_a_gap, out_of_key, bass_alone)
