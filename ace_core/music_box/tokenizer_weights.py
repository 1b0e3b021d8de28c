"""The audio tokenizer and detokenizer of the music box, as weights that are calculated; see `code_book`.

To codes: each of five frames tells which notes start or are held in it; the group's own token adds that up and asks
the first four frames, each by its place, whether something starts there; of the notes it makes chord, drums, the
guitar's place in the chord, and of those the levels of the quantiser. Back: levels become chord, notes and clock, and
each frame takes what belongs to its place.

A chord is what the keyboard plays, else the strings, else the bass note in major, else the guitar's or the voice's. All
notes that start within a code start together, as loud as one another, the voice sings the root, and a guitar's note
outside the triad becomes the root: that is what 16 bits hold.

Trap: frames of held notes with an odd pitch change their sign (`sounds.signs`), and a code does not know whether its
first frame is an even one. What a code stands for has the sign of even frames throughout; the transformer turns it.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from itertools import product

import torch
from torch import Tensor, nn

from ..checkpoints.configs import FSQ_LEVELS, RMS_NORM_EPS, ROPE_THETA, SLIDING_WINDOW
from ..models.audio_tokenizer import AudioTokenizer, AudioTokenizerConfig
from ..models.layers import EncoderConfig
from ..tasks.song_task import FRAMES_PER_CODE
from .clock import BITS
from .code_book import (
    CHORDS,
    CLOCK,
    CLOCK_MARK,
    DRUMS,
    FIRST_BIT_CHANNEL,
    GUITAR_NOTES,
    LOW_BITS,
    PULSE_CHANNEL,
    SINGING,
    SOUND_MARK,
    chord_levels,
    slot_levels,
    slot_pulses,
)
from .compiled import NORM, ONE, FeedForward, Stream, Sum
from .songs import CHORD_NOTES, MODES, PITCHES
from .sounds import CHANNELS, DICE, GROUPS, LEVEL, ONSET, SUSTAINED

_LAYERS = 5
_HEADS, _KV_HEADS, _HEAD_SIZE = 8, 4, 18
_UNITS = 176
PLACE = 8.0  # weight of the query norm: a head that asks for a place looks nowhere else
HIT, HELD = (0.9, 1.3), (0.4, 0.7)  # latents from which a note starts, or is held
ANY_HIT = (1.1, 1.5)  # of all notes together, whose noise adds up
MOST = (2.3, 2.7)  # of five frames
USUAL_LEVEL = 0.8

FRAMES = range(FRAMES_PER_CODE)
_NOTES = tuple(channel for channel in range(CHANNELS) if channel != DICE)
_HELD = tuple(channel for name in SUSTAINED for channel in GROUPS[name])
_STARTING = tuple(channel for channel in _NOTES if channel not in _HELD)
_PITCHED = ("bass", "keyboard", "strings", "guitar", "vocals")
_GUITAR_OF_INTERVAL = {0: 1, 3: 2, 4: 2, 7: 3, 9: 1, 10: 1}


def _names(name: str, numbers: Sequence[int] | Sequence[str]) -> list[str]:
    return [f"{name} {number}" for number in numbers]


_SOUND_NAMES = [
    *_names("channel", range(CHANNELS)),  # of the group's own token: in how many frames
    *_names("note", _NOTES),
    "start",
    *_names("start in", FRAMES[:-1]),
    *_names("some", _PITCHED),
    "some start",
    *_names("root", PITCHES),
    *_names("triad", MODES),
    *_names("guitar", range(1, GUITAR_NOTES + 1)),
    *(f"level {level} {value}" for level in range(4) for value in range(1, FSQ_LEVELS[level])),
    *_names("chord", range(1, CHORDS)),
]
_CODE_NAMES = [
    *_names("channel", range(CHANNELS)),
    *_names("value", range(len(FSQ_LEVELS))),
    *(f"level {level} {value}" for level, size in enumerate(FSQ_LEVELS) for value in range(size)),
    *_names("frame", FRAMES),
    *_names("root", PITCHES),
    *_names("triad", MODES),
    *_names("pulse in", FRAMES),
    *_names("tone", PITCHES),
    *_names("plucked", PITCHES),
    *_names("bit", range(3)),
    *("clock", "here", "pulse", "one more", "two more", "carry"),
]
_WIDTH = max(len(_SOUND_NAMES), len(_CODE_NAMES))
SOUND = Stream([*_SOUND_NAMES, *_names("spare", range(_WIDTH - len(_SOUND_NAMES)))])
CODE = Stream([*_CODE_NAMES, *_names("spare", range(_WIDTH - len(_CODE_NAMES)))])


def tokenizer_config() -> AudioTokenizerConfig:
    """Shapes of both networks."""
    encoder = EncoderConfig(
        SOUND.width, _UNITS, _HEADS, _KV_HEADS, _HEAD_SIZE, SLIDING_WINDOW, ROPE_THETA, RMS_NORM_EPS
    )
    return AudioTokenizerConfig(encoder, CHANNELS, _LAYERS, _LAYERS, FRAMES_PER_CODE, FSQ_LEVELS)


def audio_tokenizer_weights() -> dict[str, Tensor]:
    """Every tensor, fp32, by the names of `AudioTokenizer`."""
    with torch.device("meta"):
        network = AudioTokenizer(tokenizer_config(), ops=nn)
    weights = {name: torch.zeros(tensor.shape) for name, tensor in network.state_dict().items()}
    for name, tensor in weights.items():
        if "norm" in name:
            tensor.fill_(1 if name.endswith(("q_norm.weight", "k_norm.weight")) else NORM)
        elif name.endswith("embed_tokens.weight"):
            tensor.fill_diagonal_(1)
    _input(weights)
    _looking(weights, "tokenizer.attention_pooler.layers.1.self_attn")
    to_codes = (_starts(), _found(), _chord(), _guitar(), _singing())
    from_codes = (_levels(), _pairs(), _tones(), _sounds(), _clock())
    for stack, layers in (("tokenizer.attention_pooler", to_codes), ("detokenizer", from_codes)):
        for index, feed_forward in enumerate(layers):
            for part, tensor in feed_forward.weights(_UNITS).items():
                weights[f"{stack}.layers.{index}.mlp.{part}"] = tensor
    _quantizer(weights)
    _output(weights)
    return weights


def _input(weights: dict[str, Tensor]) -> None:
    for channel in range(CHANNELS):
        weights["tokenizer.audio_acoustic_proj.weight"][SOUND[f"channel {channel}"], channel] = 1
    weights["tokenizer.audio_acoustic_proj.bias"].copy_(SOUND.constants())
    weights["tokenizer.attention_pooler.special_token"][0, 0] = SOUND.constants()


def _looking(weights: dict[str, Tensor], name: str) -> None:
    """Every second head looks at all frames alike, the others at one frame each, by its place after the own token.

    A query of zero has the same score everywhere. Else query and key are one direction in the fastest of the rotating
    planes, the query turned ahead by the wanted places.
    """
    weights[f"{name}.q_norm.weight"].fill_(PLACE)
    half, sharing = _HEAD_SIZE // 2, _HEADS // _KV_HEADS
    seen = _HEAD_SIZE - 1
    for shared in range(_KV_HEADS):
        first = shared * _HEAD_SIZE
        weights[f"{name}.k_proj.weight"][first] = SOUND.row({ONE: 1})
        notes = _NOTES[shared * seen : (shared + 1) * seen]
        average = shared * sharing * _HEAD_SIZE
        for place, note in enumerate(notes):
            weights[f"{name}.v_proj.weight"][first + place] = SOUND.row({f"note {note}": 1})
            weights[f"{name}.o_proj.weight"][SOUND[f"channel {note}"], average + place] = FRAMES_PER_CODE + 1
        weights[f"{name}.v_proj.weight"][first + seen] = SOUND.row({"start": 1})
        asking = average + _HEAD_SIZE
        turn = shared + 1
        weights[f"{name}.q_proj.weight"][asking] = SOUND.row({ONE: math.cos(turn)})
        weights[f"{name}.q_proj.weight"][asking + half] = SOUND.row({ONE: math.sin(turn)})
        weights[f"{name}.o_proj.weight"][SOUND[f"start in {shared}"], asking + seen] = 1


def _starts() -> FeedForward:
    """Which notes start or are held in a frame."""
    layer = FeedForward(SOUND)
    for channel in _STARTING:
        layer.step({f"channel {channel}": 1}, *HIT, {f"note {channel}": 1})
    for channel, sign in product(_HELD, (1, -1)):
        layer.step({f"channel {channel}": sign}, *HELD, {f"note {channel}": 1})
    layer.step({f"channel {channel}": 1 for channel in _STARTING}, *ANY_HIT, {"start": 1})
    return layer


def _found() -> FeedForward:
    """Which notes there are in a group, and in which instruments any."""
    layer = FeedForward(SOUND)
    once = (0.4, 0.6)
    for channel in _NOTES:
        layer.step({f"channel {channel}": 1}, *(MOST if channel in _HELD else once), {f"note {channel}": 1})
    for name in _PITCHED:
        all_notes = {f"channel {channel}": 1.0 for channel in GROUPS[name]}
        layer.step(all_notes, *(MOST if name in SUSTAINED else once), {f"some {name}": 1})
    layer.step({f"channel {channel}": 1 for channel in _STARTING}, *once, {"some start": 1})
    return layer


def _chord() -> FeedForward:
    """Root and triad; the frame of the first note; levels 0, 2 and 3."""
    layer = FeedForward(SOUND)
    for root, (mode, intervals) in product(PITCHES, CHORD_NOTES.items()):
        chord = {f"root {root}": 1.0, f"triad {mode}": 1.0}
        triad = [(root + interval) % 12 for interval in intervals[:3]]
        layer.all_of(_notes("keyboard", triad), {ONE: 1}, chord)
        layer.all_of({**_notes("strings", triad), "some keyboard": -1}, {ONE: 1}, chord)
    louder = {"some keyboard": -1.0, "some strings": -1.0}
    for name in ("bass", "guitar", "vocals"):
        for pitch in PITCHES:
            layer.all_of({**_notes(name, [pitch]), **louder}, {ONE: 1}, {f"root {pitch}": 1, f"triad {MODES[0]}": 1})
        louder[f"some {name}"] = -1.0
    earlier: dict[str, float] = {}
    for frame in FRAMES[:-1]:
        if frame:
            layer.all_of({f"start in {frame}": 1, **earlier}, {ONE: 1}, {f"level 3 {frame}": 1})
        earlier[f"start in {frame}"] = -1.0
    layer.all_of({"some start": 1, **earlier}, {ONE: 1}, {f"level 3 {FRAMES[-1]}": 1})
    _bits(layer, 0, [f"note {channel}" for channel in DRUMS])
    _bits(layer, 2, [f"some {name}" for name in LOW_BITS])
    return layer


def _notes(instrument: str, pitches: Sequence[int]) -> dict[str, float]:
    return {f"note {GROUPS[instrument][pitch]}": 1.0 for pitch in pitches}


def _bits(layer: FeedForward, level: int, names: Sequence[str]) -> None:
    """A value of a level for each mixture of some names; 0 is what is left."""
    for value in range(1, 2 ** len(names)):
        layer.all_of(
            {name: 1.0 if value >> place & 1 else -1.0 for place, name in enumerate(names)},
            {ONE: 1},
            {f"level {level} {value}": 1},
        )


def _guitar() -> FeedForward:
    """The guitar's note, counted from the root; the chord by its number."""
    layer = FeedForward(SOUND)
    for root, (interval, note) in product(PITCHES, _GUITAR_OF_INTERVAL.items()):
        conditions = {f"root {root}": 1.0, **_notes("guitar", [(root + interval) % 12])}
        layer.all_of(conditions, {ONE: 1}, {f"guitar {note}": 1})
    for chord in range(1, CHORDS):
        root, mode = divmod(chord, len(MODES))
        layer.all_of({f"root {root}": 1, f"triad {MODES[mode]}": 1}, {ONE: 1}, {f"chord {chord}": 1})
    return layer


def _singing() -> FeedForward:
    """Level 1."""
    layer = FeedForward(SOUND)
    guitar = [f"guitar {note}" for note in range(1, GUITAR_NOTES + 1)]
    voice = "some vocals"
    for note, name in enumerate(guitar, 1):
        layer.all_of({name: 1, voice: -1}, {ONE: 1}, {f"level 1 {note}": 1})
        layer.all_of({name: 1, voice: 1}, {ONE: 1}, {f"level 1 {SINGING + note}": 1})
    layer.all_of({voice: 1, **dict.fromkeys(guitar, -1.0)}, {ONE: 1}, {f"level 1 {SINGING}": 1})
    return layer


def _quantizer(weights: dict[str, Tensor]) -> None:
    inward, bias = weights["tokenizer.quantizer.project_in.weight"], weights["tokenizer.quantizer.project_in.bias"]
    for level, size in enumerate(FSQ_LEVELS):
        bias[level] = _unclamped(0, size)
        if level < 4:
            for value in range(1, size):
                inward[level, SOUND[f"level {level} {value}"]] = _unclamped(value, size) - bias[level]
        else:
            for chord in range(1, CHORDS):
                value = chord_levels(chord)[level - 4]
                inward[level, SOUND[f"chord {chord}"]] = _unclamped(value, size) - bias[level]
    outward = weights["tokenizer.quantizer.project_out.weight"]
    for level in range(len(FSQ_LEVELS)):
        outward[CODE[f"value {level}"], level] = 1
    lowest = {f"level {level} 0": 1.0 for level in range(len(FSQ_LEVELS))}
    weights["tokenizer.quantizer.project_out.bias"].copy_(CODE.constants() + CODE.column(lowest))
    for frame in FRAMES:
        weights["detokenizer.special_tokens"][0, frame, CODE[f"frame {frame}"]] = 1


def _unclamped(value: int, size: int) -> float:
    """What the quantiser's soft clamp turns into the middle of a level."""
    limit = 1 + 1 / (size - 1)
    return limit * math.atanh((2 * value / (size - 1) - 1) / limit)


def _levels() -> FeedForward:
    """Numbers between -1 and 1 as one of the levels each."""
    layer = FeedForward(CODE)
    for level, size in enumerate(FSQ_LEVELS):
        for value in range(1, size):
            edge, width = (2 * value - 1) / (size - 1) - 1, 0.5 / (size - 1)
            change = {f"level {level} {value}": 1.0, f"level {level} {value - 1}": -1.0}
            layer.step({f"value {level}": 1}, edge - width, edge + width, change)
    return layer


def _pairs() -> FeedForward:
    """What two levels say together: a chord, or the clock's pulses."""
    layer = FeedForward(CODE)

    def both(level: int, values: tuple[int, int], to: Sum) -> None:
        layer.all_of({f"level {level + place} {value}": 1 for place, value in enumerate(values)}, {ONE: 1}, to)

    for chord in range(CHORDS):
        root, mode = divmod(chord, len(MODES))
        both(4, chord_levels(chord), {f"root {root}": 1, f"triad {MODES[mode]}": 1})
    both(4, chord_levels(CLOCK), {"clock": 1})
    for slot, pulses in enumerate(slot_pulses()):
        both(2, slot_levels(slot), {f"pulse in {frame}": 1 for frame in pulses})
    return layer


def _tones() -> FeedForward:
    """The chord's notes and the guitar's; whether notes or a sixteenth start in this frame, and how many did before."""
    layer = FeedForward(CODE)
    for root, (mode, intervals) in product(PITCHES, CHORD_NOTES.items()):
        chord = {f"root {root}": 1.0, f"triad {mode}": 1.0}
        triad = [(root + interval) % 12 for interval in intervals[:3]]
        layer.all_of(chord, {ONE: 1}, {f"tone {note}": 1 for note in triad})
        for note, pitch in enumerate(triad, 1):
            played = {f"level 1 {note}": 1.0, f"level 1 {SINGING + note}": 1.0}
            layer.switch({**chord, **played, ONE: -2.5}, {ONE: 1}, {f"plucked {pitch}": 1})
    for frame in FRAMES:
        layer.all_of({f"frame {frame}": 1, f"level 3 {frame}": 1}, {ONE: 1}, {"here": 1})
        layer.all_of({f"frame {frame}": 1, f"pulse in {frame}": 1}, {ONE: 1}, {"pulse": 1})
        if frame:
            so_far = {f"frame {frame}": 4.0, **{f"pulse in {earlier}": 1.0 for earlier in range(1, frame + 1)}}
            layer.step(so_far, 4.3, 4.7, {"one more": 1})
            layer.step(so_far, 5.3, 5.7, {"two more": 1})
    return layer


def _sounds() -> FeedForward:
    """Notes of a sound; of the clock the lower bits of the sixteenth in this frame."""
    layer = FeedForward(CODE)
    starting, held = ONSET * USUAL_LEVEL, LEVEL * USUAL_LEVEL
    for place, channel in enumerate(DRUMS):
        layer.switch(
            {"here": 1, "clock": -1, **_with_bit(0, place), ONE: -1.5}, {ONE: 1}, {f"channel {channel}": starting}
        )
    bits = {name: _with_bit(2, place) for place, name in enumerate(LOW_BITS)}
    notes = {"bass": "root", "keyboard": "tone", "guitar": "plucked", "strings": "tone", "vocals": "root"}
    bits["vocals"] = {f"level 1 {value}": 1.0 for value in range(SINGING, FSQ_LEVELS[1])}
    for name, note in notes.items():
        when = {} if name in SUSTAINED else {"here": 1.0}
        when |= bits.get(name, {})
        met = len(when.keys() & {"here"}) + (name in bits)
        height = held if name in SUSTAINED else starting
        for pitch, channel in zip(PITCHES, GROUPS[name], strict=True):
            conditions = {**when, f"{note} {pitch}": 1.0, "clock": -1.0, ONE: -met - 0.5}
            layer.switch(conditions, {ONE: 1}, {f"channel {channel}": height})
    for value in range(8):
        for more in range(3):
            sum_of = {
                f"level 0 {value}": 1.0,
                "one more": 1.0 if more else -1.0,
                "two more": 1.0 if more == 2 else -1.0,
            }
            layer.all_of(sum_of, {ONE: 1}, {f"bit {bit}": _sign(value + more, bit) for bit in range(3)})
            if value + more >= 8:
                layer.all_of(sum_of, {ONE: 1}, {"carry": 1})
    layer.all_of({"clock": 1}, {ONE: 1}, {f"channel {DICE}": CLOCK_MARK - SOUND_MARK})
    return layer


def _with_bit(level: int, place: int) -> dict[str, float]:
    return {f"level {level} {value}": 1.0 for value in range(FSQ_LEVELS[level]) if value >> place & 1}


def _sign(number: int, bit: int) -> float:
    return 1.0 if number >> bit & 1 else -1.0


def _clock() -> FeedForward:
    """The clock's pulse and bits."""
    layer = FeedForward(CODE)
    layer.all_of({"clock": 1}, {"pulse": 1}, {f"channel {PULSE_CHANNEL}": 1})
    for bit in range(3):
        layer.all_of({"clock": 1}, {f"bit {bit}": 1}, {f"channel {FIRST_BIT_CHANNEL + bit}": 1})
    for value, carry in product(range(8), (0, 1)):
        upper = {f"channel {FIRST_BIT_CHANNEL + bit}": _sign(value + carry, bit - 3) for bit in range(3, BITS)}
        layer.all_of({"clock": 1, f"level 1 {value}": 1, "carry": 1.0 if carry else -1.0}, {ONE: 1}, upper)
    return layer


def _output(weights: dict[str, Tensor]) -> None:
    for channel in range(CHANNELS):
        weights["detokenizer.proj_out.weight"][channel, CODE[f"channel {channel}"]] = 1
    weights["detokenizer.proj_out.bias"][DICE] = SOUND_MARK
