"""Reference audio for the timbre encoder: 30 seconds out of a recording of any length.

Follows `process_reference_audio` of the official code: repeat what is shorter than 30 s, split into thirds, take 10 s
from each. The official code draws the three places from a global generator; here they are the beginning, the start of
the second third and the end (as in diffusers), or come from a seed.
"""

from __future__ import annotations

import torch
from torch import Tensor

from .waveform import SAMPLE_RATE

REFERENCE_SECONDS = 30
WINDOW_SAMPLES = 10 * SAMPLE_RATE


def reference_windows(waveform: Tensor, seed: int | None = None) -> Tensor:
    """Three windows of 10 s of a recording [C, N] at 48 kHz, joined: [C, 1440000].

    Args:
        seed: 0 to 2^64 - 1, places each window at random within its third; None for the fixed places.
    """
    wanted = REFERENCE_SECONDS * SAMPLE_RATE
    waveform = waveform.repeat(1, -(-wanted // waveform.shape[-1]))
    samples = waveform.shape[-1]
    third = samples // 3
    if seed is None:
        starts = [0, third, samples - WINDOW_SAMPLES]
    else:
        generator = torch.Generator().manual_seed(seed)
        room = third - WINDOW_SAMPLES + 1
        starts = [index * third + int(torch.randint(room, (), generator=generator)) for index in range(3)]
    return torch.cat([waveform[:, start : start + WINDOW_SAMPLES] for start in starts], dim=1)
