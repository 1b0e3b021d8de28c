"""The metronome of the music box, written into its silence latent.

Silence is the source of every frame that is to be made, at its true position in the song. So it can say where in the
bar a frame lies, for each of the tempi that the box knows. Frames go through the transformer in pairs, and a tempo has
four channels: in the first frame whether a sixteenth starts there and the lower three bits of its number, in the second
frame the same with the upper three bits. Bits are -1 or 1 and count the 64 sixteenths of four bars. Where a sixteenth
starts within a pair, the bits are those of that one. None is shorter than two frames, so there is one at most.
"""

from __future__ import annotations

import torch
from torch import Tensor

from ..audio.waveform import LATENT_FRAME_RATE
from .sounds import CHANNELS

TEMPI = (60, 65, 70, 80, 85, 90, 95, 100, 105, 110, 115, 120, 125, 130, 140, 150)
DEFAULT_TEMPO = 110
SIXTEENTHS = 64  # of four bars
CHANNELS_PER_TEMPO = CHANNELS // len(TEMPI)
BITS = 6


def nearest_tempo(bpm: float) -> int:
    """The tempo of the box that is played for a tempo."""
    return min(TEMPI, key=lambda tempo: abs(tempo - bpm))


def sixteenth_frames(bpm: int, frames: int) -> Tensor:
    """In which frames the sixteenths of a song of that length start, int64 [n]."""
    count = int(frames * bpm * 4 / (60 * LATENT_FRAME_RATE)) + 2
    starts = torch.arange(count) * 60 * LATENT_FRAME_RATE // (4 * bpm)  # whole numbers: no rounding
    return starts[starts < frames]


def positions(bpm: int, frames: int) -> tuple[Tensor, Tensor]:
    """Where the frames of a song lie in four bars.

    Returns:
        Whether a sixteenth starts in each frame, bool [frames], and the number 0..63 of the sixteenth that each frame
        belongs to, int64 [frames]; both frames of a pair have the same.
    """
    starts = sixteenth_frames(bpm, frames + 1)
    pulses = torch.zeros(frames + 1, dtype=torch.bool)
    pulses[starts] = True
    pairs = torch.arange(0, frames, 2)
    last = torch.searchsorted(starts, pairs + 1, right=True) - 1  # the latest that starts before the pair ends
    return pulses[:frames], (last % SIXTEENTHS).repeat_interleave(2)[:frames]


def metronome(frames: int) -> Tensor:
    """The silence latent [frames, 64]."""
    out = torch.zeros(frames, CHANNELS)
    for index, bpm in enumerate(TEMPI):
        pulses, numbers = positions(bpm, frames)
        at = index * CHANNELS_PER_TEMPO
        out[:, at] = pulses.float()
        for bit in range(3):
            lower, upper = ((numbers >> shift & 1) * 2 - 1 for shift in (bit, bit + 3))
            out[0::2, at + 1 + bit] = lower[0::2].float()
            out[1::2, at + 1 + bit] = upper[1::2].float()
    return out
