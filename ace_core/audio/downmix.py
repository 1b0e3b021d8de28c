"""Surround to stereo, as ITU-R BS.775 says: centre and surrounds at -3 dB, the one behind at -6 dB, no LFE.

Traps:
- AUDIO of ComfyUI says how many channels there are, not which. Then their order is that of FLAC (RFC 9639) and WAV, in
  which FFmpeg gives nearly every file.
- A mix may be louder than full scale; that is for the caller to lower.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import torch

_HALF_POWER = 0.5**0.5
_SIDES: Mapping[str, tuple[float, float]] = {  # what a channel adds to left and right, by FFmpeg's names
    **dict.fromkeys(("FL", "FLC", "DL"), (1.0, 0.0)),
    **dict.fromkeys(("FR", "FRC", "DR"), (0.0, 1.0)),
    "FC": (_HALF_POWER, _HALF_POWER),
    **dict.fromkeys(("BL", "SL", "WL", "TFL", "TBL", "TSL"), (_HALF_POWER, 0.0)),
    **dict.fromkeys(("BR", "SR", "WR", "TFR", "TBR", "TSR"), (0.0, _HALF_POWER)),
    **dict.fromkeys(("BC", "TC", "TFC", "TBC"), (0.5, 0.5)),
    **dict.fromkeys(("LFE", "LFE2"), (0.0, 0.0)),
}
_USUAL_ORDERS = (
    "FL FR FC",
    "FL FR BL BR",
    "FL FR FC BL BR",
    "FL FR FC LFE BL BR",
    "FL FR FC LFE BC SL SR",
    "FL FR FC LFE BL BR SL SR",
)
_ORDERS = {len(names.split()): tuple(names.split()) for names in _USUAL_ORDERS}


def downmixed(waveform: torch.Tensor, names: Sequence[str] = ()) -> torch.Tensor:
    """Samples [..., C, T] as [..., 2, T]; mono and stereo pass as they are.

    Args:
        names: FFmpeg's name of each channel; none for the usual order of so many.

    Raises:
        ValueError: nobody knows which channel is where.
    """
    channels = waveform.shape[-2]
    if channels <= 2:
        return waveform
    order = tuple(names) or _ORDERS.get(channels, ())
    if len(order) != channels or not _SIDES.keys() >= set(order):
        raise ValueError(f"has {channels} channels, and nobody knows which is where: mix it down to stereo")
    sides = torch.tensor([_SIDES[name] for name in order], dtype=waveform.dtype, device=waveform.device)
    return torch.einsum("...ct,cs->...st", waveform, sides)
