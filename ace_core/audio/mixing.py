"""Mixing stems: gain, place in the stereo field, sum.

Panning is the balance control of a stereo channel: the far side fades out, the near side keeps its level, so a stem in
the centre passes unchanged and a mix of untouched stems is their plain sum.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import torch
from torch import Tensor

from .waveform import peak_amplitude


class Channel(NamedTuple):
    """One channel of the mixer: gain in dB, pan from -1 (left) to 1 (right)."""

    gain_db: float = 0.0
    pan: float = 0.0
    mute: bool = False


def mix(stems: Sequence[Tensor], channels: Sequence[Channel]) -> Tensor:
    """Sum of stereo stems [B, 2, T_i] that start together, as long as the longest; the level is not limited.

    A stem with one item serves all items of the others.

    Raises:
        ValueError: no stem, every channel is muted, a pan outside -1..1, or stems with different numbers of items.
    """
    audible = [(stem, channel) for stem, channel in zip(stems, channels, strict=True) if not channel.mute]
    if not audible:
        raise ValueError(f"nothing to mix: all of the {len(stems)} stems are muted" if stems else "there is no stem")
    items = max(stem.shape[0] for stem, _ in audible)
    total = audible[0][0].new_zeros(items, 2, max(stem.shape[-1] for stem, _ in audible))
    for stem, channel in audible:
        if stem.shape[0] not in (1, items):
            raise ValueError(f"stems of {stem.shape[0]} and {items} items cannot be mixed: give 1 or as many")
        total[..., : stem.shape[-1]] += stem * channel_gains(channel)[:, None]
    return total


def channel_gains(channel: Channel) -> Tensor:
    """Factors for left and right [2].

    Raises:
        ValueError: a pan outside -1..1.
    """
    if not -1 <= channel.pan <= 1:
        raise ValueError(f"pan must be -1 (left) to 1 (right), got {channel.pan:g}")
    balance = torch.tensor([min(1.0, 1 - channel.pan), min(1.0, 1 + channel.pan)])
    return balance * 10 ** (channel.gain_db / 20)


def lowered_to_full_scale(waveform: Tensor) -> tuple[Tensor, list[float]]:
    """Bring items [B, C, T] whose peak is above 1 down to it; also by how many dB each was lowered (0 for most)."""
    peaks = peak_amplitude(waveform).clamp(min=1.0)
    return waveform / peaks[:, None, None], (20 * peaks.log10()).tolist()
