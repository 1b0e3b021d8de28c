"""Wavelet correction (DCW): after a step, both bands of the latents are pushed away from the predicted clean latents.

Matches the official `dcw_correction.py` with mode "double" and the Haar wavelet, after Yu et al., "Elucidating the
SNR-t Bias of Diffusion Probabilistic Models" (arXiv:2604.16044). A Haar band is the half sum or the half difference of
two neighbouring frames, so no wavelet library is needed.

Traps:
- It follows every step, the last included, and comes before a source is held (repaint).
- The prediction is that of the step's first velocity; Heun's mean would bias it.
- The low band is corrected most at high noise, the high band at low noise.
- An odd number of frames is continued with one frame of zeros.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import torch
from torch import Tensor
from torch.nn import functional


class BandScalers(NamedTuple):
    """How far the low and the high band are pushed; 0 leaves a band alone."""

    low: float
    high: float


TEXT_SCALERS = BandScalers(0.05, 0.02)
PLANNED_SCALERS = BandScalers(0.02, 0.06)  # of songs that follow a plan's audio codes
MAX_SCALER = 0.1  # the published interface's limit
NO_CORRECTION = BandScalers(0.0, 0.0)


def stacked_scalers(scalers: Sequence[BandScalers], device: torch.device) -> tuple[Tensor, Tensor]:
    """The low and the high scalers of a batch, each float32 [B, 1, 1]."""
    low, high = torch.tensor(scalers, dtype=torch.float32).to(device).unbind(1)
    return low[:, None, None], high[:, None, None]


def correct_bands(x: Tensor, clean: Tensor, low: Tensor | float, high: Tensor | float) -> Tensor:
    """Latents `[B, T, 64]` with both bands moved away from those of the predicted clean latents.

    Args:
        x: latents after a step. clean: what the step predicted from the latents before it.
        low, high: factors at this step: the scalers times t, and times 1 - t, of the step's own level.

    Returns:
        Latents in the dtype of `x`, computed in float32.
    """
    frames = x.shape[1]
    difference = functional.pad(x.float() - clean.float(), (0, 0, 0, frames % 2))
    even, odd = difference[:, ::2], difference[:, 1::2]
    mean, half = (even + odd) / 2 * low, (even - odd) / 2 * high
    change = torch.stack((mean + half, mean - half), dim=2).flatten(1, 2)
    return (x.float() + change[:, :frames]).to(x.dtype)
