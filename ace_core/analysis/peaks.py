"""How high a recording goes over time, small enough to be sent to a page that draws it."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional as F

FULL_SCALE = 255


def wave_peaks(waveform: Tensor, columns: int = 400) -> bytes:
    """The largest magnitude of each of equal shares of a waveform [C, T], a byte each; 255 is full scale and above."""
    magnitudes = waveform.abs().amax(dim=0)
    highest = F.adaptive_max_pool1d(magnitudes[None], columns)[0]
    return bytes((FULL_SCALE * highest.clamp(max=1.0)).round().to(torch.uint8).tolist())
