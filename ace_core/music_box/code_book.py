"""What the 64 000 audio codes of the music box say: five frames of sound, or a place on the clock.

A code is six numbers, one for each level of the published quantiser. Most say what is heard in five frames:

| level | of a sound | of the clock |
|---|---|---|
| 0 | which drums | the sixteenth of four bars at the first frame, lower three bits |
| 1 | the guitar's note in the chord, and whether a voice sings | the same, upper three bits |
| 2 | which of bass, keyboard, strings | slot |
| 3 | the frame of the first note | slot |
| 4, 5 | chord, root and mode | 24, which is no chord |

A planner writes codes of the clock: the rest of a song is in its text. The slot says in which of the five frames
sixteenths start, and tells apart the moments of a tempo where they start in the same ones. Every tempo comes back to
the same slot after at most 15 codes, so the clock never drifts.

Trap: sixteenths start at whole frames, rounded down, so where they start within a code repeats only with that period.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterable, Sequence
from functools import lru_cache

import torch
from torch import Tensor

from ..checkpoints.configs import FSQ_LEVELS
from ..models.audio_tokenizer import level_indices
from ..tasks.song_task import FRAMES_PER_CODE
from .clock import SIXTEENTHS, TEMPI, sixteenth_frames
from .songs import MODES
from .sounds import GROUPS, HAT, KICK, SNARE

DRUMS = (KICK, SNARE, HAT)
"""Channels of the bits of level 0."""
GUITAR_NOTES = 3  # root, third and fifth; 0 of level 1 is silence
SINGING = GUITAR_NOTES + 1  # added to the guitar's note
LOW_BITS = ("bass", "keyboard", "strings")
"""Instruments of the bits of level 2."""
CHORDS = len(MODES) * 12  # number of a chord: twice its root and 1 for minor
CLOCK = CHORDS  # in place of a chord
_CHORD_BASE = FSQ_LEVELS[4]
_SLOT_BASE = FSQ_LEVELS[2]

# What latents that codes stand for hold in the silent channel, to tell them from audio and from silence.
CLOCK_MARK, SOUND_MARK = 4.0, -4.0
PULSE_CHANNEL = GROUPS["drums"].start
FIRST_BIT_CHANNEL = GROUPS["bass"].start

# Where in a planner's vectors each kind begins; those of the clock's sixteenths come first.
_SLOT = SIXTEENTHS
_CLOCK = _SLOT + 40
_SOUND = _CLOCK + 1
_HITS = _SOUND + 1
_NOTE = _HITS + FSQ_LEVELS[0] * FSQ_LEVELS[3]
_BAND = _NOTE + FSQ_LEVELS[1]
_CHORD = _BAND + FSQ_LEVELS[2]
VECTOR_COUNT = _CHORD + CHORDS

Pulses = tuple[int, ...]
"""Frames of a code in which sixteenths start."""


def code_of_levels(levels: Sequence[int]) -> int:
    """One integer of six numbers, as the quantiser counts."""
    code, base = 0, 1
    for level, size in zip(levels, FSQ_LEVELS, strict=True):
        code += level * base
        base *= size
    return code


def chord_levels(chord: int) -> tuple[int, int]:
    """Levels 4 and 5."""
    return chord % _CHORD_BASE, chord // _CHORD_BASE


def slot_levels(slot: int) -> tuple[int, int]:
    """Levels 2 and 3."""
    return slot % _SLOT_BASE, slot // _SLOT_BASE


def transposed(codes: Tensor, semitones: int) -> Tensor:
    """Codes of sound as they are in another key."""
    base = math.prod(FSQ_LEVELS[:4])
    chord = codes // base  # levels 4 and 5 count it
    return codes % base + base * ((chord + len(MODES) * semitones) % CHORDS)


def code_vectors() -> Tensor:
    """Of which vectors a planner's row of each code is the sum, int64 [64000, 5]; `VECTOR_COUNT` stands for none.

    Codes of the clock have one for their sixteenth, one for their slot, and one that all of them have. Codes of sound
    have one that all of them have, and one each for the drums and when they are hit, the guitar and voice, the other
    instruments, and the chord.
    """
    levels = level_indices(torch.arange(math.prod(FSQ_LEVELS)), FSQ_LEVELS)
    none = torch.full((len(levels),), VECTOR_COUNT)
    number = levels[:, 0] + 8 * levels[:, 1]
    slot = levels[:, 2] + _SLOT_BASE * levels[:, 3]
    clock = torch.stack((torch.full_like(none, _CLOCK), number, _SLOT + slot, none, none), dim=1)
    chord = levels[:, 4] + _CHORD_BASE * levels[:, 5]
    parts = (levels[:, 0] + FSQ_LEVELS[0] * levels[:, 3] + _HITS, levels[:, 1] + _NOTE, levels[:, 2] + _BAND)
    sound = torch.stack((torch.full_like(none, _SOUND), *parts, chord + _CHORD), dim=1)
    return torch.where((chord == CLOCK)[:, None], clock, sound)


def clock_code(number: int, slot: int) -> int:
    """The code of a sixteenth 0..63 and a slot."""
    return code_of_levels((number % 8, number // 8, *slot_levels(slot), *chord_levels(CLOCK)))


def clock_codes(bpm: int, count: int) -> list[int]:
    """The first codes of a song of one of `TEMPI`."""
    starts = sixteenth_frames(bpm, FRAMES_PER_CODE * count + 1).tolist()
    slots = tempo_slots(bpm)
    codes, number = [], -1
    for place in range(count):
        while number + 1 < len(starts) and starts[number + 1] <= FRAMES_PER_CODE * place:
            number += 1
        codes.append(clock_code(number % SIXTEENTHS, slots[place % len(slots)]))
    return codes


def slot_pulses() -> tuple[Pulses, ...]:
    """When sixteenths start in each slot."""
    return tuple(pulses for pulses, count in _slots_of_pulses() for _ in range(count))


@lru_cache
def tempo_slots(bpm: int) -> tuple[int, ...]:
    """The slots that a tempo goes through, over and over."""
    first, used = {}, 0
    for pulses, count in _slots_of_pulses():
        first[pulses] = used
        used += count
    slots = []
    for pulses in _pulses_of_tempo(bpm):
        slots.append(first[pulses])
        first[pulses] += 1
    return tuple(slots)


@lru_cache
def _slots_of_pulses() -> tuple[tuple[Pulses, int], ...]:
    """The pulses that occur, each with the most slots that a tempo needs for it."""
    needed: Counter[Pulses] = Counter()
    for bpm in TEMPI:
        needed |= Counter(_pulses_of_tempo(bpm))
    return tuple(sorted(needed.items()))


def _pulses_of_tempo(bpm: int) -> Iterable[Pulses]:
    """Of the codes of one period."""
    # A frame is bpm / 375 sixteenths.
    period = 375 // math.gcd(bpm * FRAMES_PER_CODE, 375)
    starts = set(sixteenth_frames(bpm, FRAMES_PER_CODE * period).tolist())
    for place in range(period):
        first = FRAMES_PER_CODE * place
        yield tuple(frame for frame in range(FRAMES_PER_CODE) if first + frame in starts)
