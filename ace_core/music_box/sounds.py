"""The 64 latent channels of the music box as a piano roll, and what each of them sounds like.

A one-shot channel (drums, bass, keyboard, guitar) holds `ONSET` times the velocity in the frame where a note starts. A
sustained channel (vocals, strings) holds an envelope up to `LEVEL`; its pitch is a multiple of half the frame rate, so
that neighbouring frames join, and where the multiple is odd the envelope changes its sign from frame to frame.

Sounds are [2, samples] at 24 kHz for a latent of 1. One-shot sounds start at the frame's start and last 4.5 frames;
sustained ones last two frames, half a frame before the frame's start on, and add up to an even level.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import torch
from torch import Tensor

RATE = 24_000
FRAME = 960  # samples of a latent frame at `RATE`
CHANNELS = 64
ONSET = 3.0
LEVEL = 2.0

KICK, SNARE, HAT = 0, 1, 2
DICE = 3  # silent: its noise is a song's source of chance
GROUPS: dict[str, range] = {
    "drums": range(0, 3),
    "bass": range(4, 16),  # C2 to B2
    "keyboard": range(16, 28),  # C4 to B4
    "guitar": range(28, 40),  # C5 to B5, plucked
    "vocals": range(40, 52),  # C5 to B5, sustained
    "strings": range(52, 64),
}
"""Channels of each instrument, by the name of its track. A pitched one's twelve follow the pitch classes from C."""
SUSTAINED = ("vocals", "strings")
FIRST_SUSTAINED = GROUPS["vocals"].start

_ONE_SHOT_SAMPLES = 4 * FRAME + FRAME // 2
# C5 to B5 in units of 12.5 Hz, within 14 cents of equal temperament.
_SUSTAINED_MULTIPLES = (42, 44, 47, 50, 53, 56, 59, 63, 66, 70, 75, 79)


def alternating() -> Tensor:
    """Which of the 64 channels change their sign from frame to frame, bool [64]."""
    odd = torch.tensor([multiple % 2 == 1 for multiple in _SUSTAINED_MULTIPLES])
    return torch.cat((torch.zeros(FIRST_SUSTAINED, dtype=torch.bool), odd, odd))


def signs(frames: int) -> Tensor:
    """What an envelope [frames, 64] is multiplied with: -1 in odd frames of alternating channels, else 1."""
    odd_frames = torch.arange(frames)[:, None] % 2 == 1
    return 1.0 - 2.0 * (odd_frames & alternating())


def one_shot_sounds() -> dict[int, Tensor]:
    """The sounds [2, 4320] of the one-shot channels."""
    time = torch.arange(_ONE_SHOT_SAMPLES) / RATE
    chance = torch.Generator().manual_seed(7)

    def noise(low: float, high: float) -> Tensor:
        spectrum = torch.fft.rfft(torch.randn(_ONE_SHOT_SAMPLES, generator=chance))
        hertz = torch.fft.rfftfreq(_ONE_SHOT_SAMPLES, 1 / RATE)
        spectrum[(hertz < low) | (hertz > high)] = 0
        filtered: Tensor = torch.fft.irfft(spectrum, _ONE_SHOT_SAMPLES)
        return filtered * math.sqrt(RATE / 2 / (high - low))

    def decay(seconds: float) -> Tensor:
        return torch.exp(-time / seconds)

    sweep = 2 * math.pi * torch.cumsum(48 + 110 * decay(0.018), 0) / RATE
    mono = {
        KICK: (0.95 * sweep.sin() * decay(0.075) + 0.12 * noise(1_500, 6_000) * decay(0.004), 0.0),
        SNARE: (
            0.34 * noise(700, 9_000) * decay(0.045) + 0.45 * (2 * math.pi * 192 * time).sin() * decay(0.035),
            0.1,
        ),
        HAT: (0.22 * noise(6_500, 11_000) * decay(0.016), -0.35),
    }
    for pitch, channels in enumerate(zip(GROUPS["bass"], GROUPS["keyboard"], GROUPS["guitar"], strict=True)):
        bass, keyboard, guitar = channels
        mono[bass] = (0.55 * _partials(time, 36 + pitch, _BASS) * _attack(time, 0.003) * decay(0.11), 0.0)
        mono[keyboard] = (0.36 * _partials(time, 60 + pitch, _KEYBOARD) * _attack(time, 0.002) * decay(0.12), -0.7)
        mono[guitar] = (0.30 * _partials(time, 72 + pitch, _GUITAR) * _attack(time, 0.001), 0.75)
    return {channel: _panned(sound, place) / ONSET for channel, (sound, place) in mono.items()}


def sustained_sounds() -> dict[int, Tensor]:
    """The sounds [2, 1920] of the sustained channels."""
    samples = torch.arange(2 * FRAME)
    time = (samples - FRAME / 2) / RATE
    window = torch.sin(math.pi * (samples + 0.5) / (2 * FRAME)) ** 2  # two in a row add up to 1
    sounds = {}
    for pitch, multiple in enumerate(_SUSTAINED_MULTIPLES):
        turns = 2 * math.pi * 12.5 * multiple * time
        voice = torch.zeros_like(turns)
        for harmonic in (1, 3, 5):
            voice += 0.9 / harmonic**0.2 * _formants(12.5 * multiple * harmonic) * (turns * harmonic).sin()
        left, right = (0.5 * wave(turns) + 0.05 * wave(3 * turns) for wave in (torch.sin, torch.cos))
        sounds[GROUPS["vocals"][pitch]] = torch.stack((voice, voice)) * window * 0.20 / LEVEL
        sounds[GROUPS["strings"][pitch]] = torch.stack((left, right)) * window * 0.17 / LEVEL
    return sounds


# Of each partial: multiple of the pitch, level, and how fast it fades (seconds; times the multiple for the keyboard).
# The bass has little in its fundamental: semitones at 65 Hz are 4 Hz apart, and the encoder must tell them. Its fifth
# partial is quiet: it would make every minor chord major.
_Partials = Sequence[tuple[float, float, float]]
_BASS: _Partials = [
    (1, 0.42, math.inf),
    (2, 0.34, math.inf),
    (3, 0.30, math.inf),
    (4, 0.24, math.inf),
    (5, 0.07, math.inf),
    (6, 0.17, math.inf),
    (7, 0.10, math.inf),
    (8, 0.10, math.inf),
]
_KEYBOARD: _Partials = [(1, 0.6, 0.30), (2, 0.3, 0.15), (3, 0.12, 0.083), (4, 0.10, 0.05), (6, 0.03, 0.033)]
_GUITAR: _Partials = [(1, 0.6, 0.12), (2, 0.12, 0.08), (3, 0.22, 0.05), (5.4, 0.10, 0.02)]
_FORMANTS = ((750, 260, 1.0), (1_250, 300, 0.55), (2_700, 400, 0.35))  # hertz, width, level: an open vowel


def _partials(time: Tensor, note: int, partials: _Partials) -> Tensor:
    hertz = 440 * 2 ** ((note - 69) / 12)
    return torch.stack(
        [
            level * (2 * math.pi * hertz * multiple * time).sin() * torch.exp(-time / fade)
            for multiple, level, fade in partials
        ]
    ).sum(0)


def _attack(time: Tensor, seconds: float) -> Tensor:
    return 1 - torch.exp(-time / seconds)


def _formants(hertz: float) -> float:
    return sum(level / (1 + ((hertz - centre) / width) ** 2) for centre, width, level in _FORMANTS)


def _panned(sound: Tensor, place: float) -> Tensor:
    """Mono to stereo at constant power, -1 left to 1 right, with an end that fades."""
    angle = (place + 1) * math.pi / 4
    end = round(0.03 * RATE)
    fade = torch.ones(len(sound))
    fade[-end:] = 0.5 + 0.5 * torch.cos(torch.linspace(0, math.pi, end))
    return torch.stack((sound * math.cos(angle), sound * math.sin(angle))) * fade
