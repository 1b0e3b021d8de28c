"""The diffusion transformer and the condition encoder of the music box, as weights that are calculated.

Layer by layer (`_layers`): attention to the prompt's marks brings tempo, key, genre, mood, instruments and task; the
tempo chooses its metronome from the source; the metronome's bits and the genre give levels, those and the mood the
chord; chord and key give notes; notes, levels and instruments give the roll, which is subtracted from the noisy
latents. What is left, divided by t, is the velocity. Where the mask says "keep", or the task is to extract or to cover,
the roll is the source instead. Latents that stand for audio codes are marked (`code_book`): with those of the clock,
the song follows their clock instead of the metronome, and nothing is copied. Chance is the noise of the silent channel
`DICE`: its sign in both frames of a pair chooses the guitar's note, and stays the same on the way to the clean latents.

Frames go through in pairs; a pair of which one frame is kept makes nothing new in the other. Self-attention has random
weights that lead nowhere, so that a LoRA can put them to use.
"""

from __future__ import annotations

import math
from collections.abc import Collection, Iterator
from itertools import product

import torch
from torch import Tensor, nn

from ..checkpoints.configs import RMS_NORM_EPS, ROPE_THETA, SLIDING_WINDOW
from ..models.condition_encoder import ConditionEncoder, ConditionEncoderConfig
from ..models.dit import TIME_SINUSOID_SIZE, DiT, DiTConfig
from ..models.layers import EncoderConfig
from .clock import BITS, CHANNELS_PER_TEMPO, TEMPI
from .code_book import CLOCK_MARK, FIRST_BIT_CHANNEL, PULSE_CHANNEL, SOUND_MARK
from .compiled import NORM, ONE, FeedForward, Stream
from .marks import BAND, COVER, EXTRACT, FIRST_NUMBER, KINDS, STATE_SIZE, mark_vectors
from .songs import CHORD_NOTES, DEFAULT_BAND, GENRES, INSTRUMENTS, MODES, MOODS, NOTES, PITCHES, levels
from .sounds import CHANNELS, DICE, GROUPS, HAT, KICK, LEVEL, ONSET, SNARE, SUSTAINED, alternating

LAYERS = 6
HEADS, KV_HEADS, HEAD_SIZE = 8, 4, 16
UNITS = 264
ATTENTION = 4.0  # weight of the query norm: the score of a token of the right kind is ATTENTION * sqrt(HEAD_SIZE)
SMALLEST_TIME = 0.004  # down to which the time embedding is right
TIME_KNOTS, HINGE = 80, 60.0  # its bends, and how sharp they are
NAMED = (0.0625, 0.125)  # share of the tokens of a kind; one of six instruments has 0.17
OTHER_KINDS = 0.125
DICE_GAIN = 100.0  # keeps small noise above the epsilon of the norm
EMPTY = "empty"
CLOCK_CODES, SOUND_CODES, COPYING = "codes of the clock", "codes of sound", "copying"

PAIR = (0, 1)

_PARTS = ("kick", "snare", "hat", "bass", "keyboard", "guitar", "vocals", "strings")
_SAID = tuple(f"said {name}" for names in KINDS.values() for name in names)
_ALWAYS_SAID = tuple(name for kind in ("tempo", "key", "genre", "mood") for name in KINDS[kind])
_OFFSETS = tuple(sorted({offset for mood in MOODS.values() for mode in MODES for offset, _ in mood.chords(mode)}))


def _names(*groups: tuple[str, range | tuple[object, ...]]) -> Iterator[str]:
    for name, numbers in groups:
        yield from (f"{name} {number}" for number in numbers)


STREAM = Stream(
    [
        *(f"noisy {frame} {channel}" for frame in PAIR for channel in range(CHANNELS)),
        *(f"source {frame} {channel}" for frame in PAIR for channel in range(CHANNELS)),
        *_names(("made", PAIR)),  # the mask: 1 where a frame is to be made
        *_SAID,
        *_ALWAYS_SAID,
        *(BAND, EXTRACT, COVER, COPYING, CLOCK_CODES, SOUND_CODES),
        *_names(("named", INSTRUMENTS), ("unwanted", INSTRUMENTS), ("pulse", PAIR), ("bit", range(BITS))),
        *_names(("silence", PAIR), ("clock's pulse", PAIR), ("clock's bit", range(BITS))),
        *_names(("plays", INSTRUMENTS), ("copied", INSTRUMENTS), ("level", _PARTS), ("offset", _OFFSETS)),
        *_names(("triad", MODES), ("dice", PAIR), ("sung", range(4))),
        *_names(*((f"taken {frame}", INSTRUMENTS) for frame in PAIR)),
        *_names(("root", PITCHES), ("chord", PITCHES), ("plucked", PITCHES), ("voice", PITCHES)),
        EMPTY,
    ]
)


def renderer_configs() -> tuple[DiTConfig, ConditionEncoderConfig]:
    """Shapes of the two networks."""
    dit = DiTConfig(
        hidden_size=STREAM.width,
        intermediate_size=UNITS,
        num_layers=LAYERS,
        num_heads=HEADS,
        num_kv_heads=KV_HEADS,
        head_dim=HEAD_SIZE,
        condition_size=STREAM.width,
        in_channels=3 * CHANNELS,
        latent_channels=CHANNELS,
        patch_size=len(PAIR),
        sliding_window=SLIDING_WINDOW,
        rope_theta=ROPE_THETA,
        rms_norm_eps=RMS_NORM_EPS,
    )
    return dit, ConditionEncoderConfig(encoder_config(), STATE_SIZE, CHANNELS, 1, 1, timbre_cls_token=False)


def encoder_config() -> EncoderConfig:
    """Of the encoder layers, which have nothing to do here: as small as they can be."""
    return EncoderConfig(STREAM.width, 32, 2, 1, HEAD_SIZE, SLIDING_WINDOW, ROPE_THETA, RMS_NORM_EPS)


def condition_encoder_weights() -> dict[str, Tensor]:
    """Text states become marks again; lyrics and timbre become zeros."""
    network = ConditionEncoder(renderer_configs()[1], ops=nn)
    weights = _filled(network, seed=1)
    weights["lyric_encoder.norm.weight"].zero_()
    weights["timbre_encoder.norm.weight"].zero_()
    weights["text_projector.weight"].zero_()
    weights["text_projector.weight"][:STATE_SIZE] = torch.eye(STATE_SIZE)
    return weights


def dit_weights() -> dict[str, Tensor]:
    """Every tensor of the decoder, fp32, by the names of `DiT`."""
    network = DiT(renderer_configs()[0], ops=nn)
    weights = _filled(network, seed=2)
    _input(weights)
    _time(weights)
    for index, feed_forward in enumerate(_layers()):
        name = f"layers.{index}"
        for part, tensor in feed_forward.weights(UNITS).items():
            weights[f"{name}.mlp.{part}"] = tensor
        weights[f"{name}.mlp_norm.weight"].fill_(NORM)
        for norm in ("self_attn_norm", "cross_attn_norm"):
            weights[f"{name}.{norm}.weight"].copy_(STREAM.without_constants())
        weights[f"{name}.scale_shift_table"].zero_()[:, [2, 5]] = 1  # the gates are open
        weights[f"{name}.self_attn.o_proj.weight"].zero_()
        weights[f"{name}.cross_attn.o_proj.weight"].zero_()
    _marks_attention(weights)
    _dice_attention(weights)
    _output(weights)
    return weights


def _layers() -> tuple[FeedForward, ...]:
    return _reading(), _metronome(), _position(), _harmony(), _notes(), _roll()


def _filled(network: nn.Module, seed: int) -> dict[str, Tensor]:
    """Small random matrices, norms of one, the rest zero."""
    chance = torch.Generator().manual_seed(seed)
    filled = {}
    for name, tensor in network.state_dict().items():
        if tensor.ndim == 2 and "time" not in name:
            filled[name] = torch.randn(tensor.shape, generator=chance) / tensor.shape[1] ** 0.5
        else:
            filled[name] = torch.ones_like(tensor) if "norm" in name else torch.zeros_like(tensor)
    return filled


def _input(weights: dict[str, Tensor]) -> None:
    kernel = weights["proj_in.weight"].zero_()  # [width, source + mask + noisy, frame]
    for frame in PAIR:
        for channel in range(CHANNELS):
            kernel[STREAM[f"source {frame} {channel}"], channel, frame] = 1
            kernel[STREAM[f"noisy {frame} {channel}"], 2 * CHANNELS + channel, frame] = 1
        kernel[STREAM[f"made {frame}"], CHANNELS : 2 * CHANNELS, frame] = 1 / CHANNELS
    weights["proj_in.bias"].copy_(STREAM.constants())
    weights["condition_embedder.weight"].zero_().fill_diagonal_(1)


def _output(weights: dict[str, Tensor]) -> None:
    """What is left of the noisy latents, times 1 + scale.

    The time embedding is the same for the scale and for the shift of the output. The value that is always `EMPTY` takes
    the shift back.
    """
    weights["norm_out.weight"].fill_(NORM)
    kernel = weights["proj_out.weight"].zero_()  # [width, channel, frame]
    for frame in PAIR:
        for channel in range(CHANNELS):
            kernel[STREAM[f"noisy {frame} {channel}"], channel, frame] = 1
    kernel[STREAM[EMPTY]] = -1
    weights["null_condition_emb"].zero_()


def _time(weights: dict[str, Tensor]) -> None:
    """The embedding of t is 1/t - 1, in every value: a sum of hinges, each with its bend where t is a knot.

    The sine of the lowest frequency stands for t; 1/t is convex, so all weights have one sign and nothing cancels.
    """
    half = TIME_SINUSOID_SIZE // 2
    frequency = 1000 * 10_000 ** (-(half - 1) / half)
    knots = torch.logspace(math.log10(SMALLEST_TIME), math.log10(1.2), TIME_KNOTS, dtype=torch.float64)
    slopes = (1 / knots).diff() / knots.diff()
    bends = torch.cat((slopes, torch.zeros(1, dtype=torch.float64))).diff()  # at all knots but the first and the last
    bent = torch.sin(knots[1:] * frequency)
    steepness = HINGE / bent
    hinge = bends * knots[1:] / HINGE
    unit = torch.arange(len(bent))
    weights["time_embed.linear_1.weight"][unit, -1] = -steepness.float()
    weights["time_embed.linear_1.bias"][unit] = (steepness * bent).float()
    weights["time_embed.linear_2.weight"][:, unit] = hinge.float()
    weights["time_embed.linear_2.bias"].fill_(1 / 1.2 - 1)


def _marks_attention(weights: dict[str, Tensor]) -> None:
    """The first layer's heads each ask for a kind of mark; two that share keys ask for different ones.

    Trap: the norm of the keys makes the faintest trace of a kind as large as the mark itself, so every token needs
    something larger in its key: what it is, if it is none of the two kinds.
    """
    name = "layers.0.cross_attn"
    for part in ("q_proj", "k_proj", "v_proj"):
        weights[f"{name}.{part}.weight"].zero_()
    weights[f"{name}.q_norm.weight"].fill_(ATTENTION)
    sharing = HEADS // KV_HEADS
    for head, (kind, said) in enumerate(KINDS.items()):
        shared, place = divmod(head, sharing)
        first = shared * HEAD_SIZE
        keys = weights[f"{name}.k_proj.weight"][first : first + HEAD_SIZE]
        keys[place, head] = 1
        keys[-1] = _other_kinds(range(shared * sharing, (shared + 1) * sharing))
        weights[f"{name}.q_proj.weight"][head * HEAD_SIZE + place, STREAM[ONE]] = 1
        for number, what in enumerate(said):
            row = number + (HEAD_SIZE - len(said) if kind in ("off", "task") else 0)
            weights[f"{name}.v_proj.weight"][first + row, FIRST_NUMBER[kind] + number] = 1
            weights[f"{name}.o_proj.weight"][STREAM[f"said {what}"], head * HEAD_SIZE + row] = 1 / _height(head)


def _dice_attention(weights: dict[str, Tensor]) -> None:
    """Two heads of the second layer look at the tempo's mark, which there always is, or away from it.

    The norm of the query leaves nothing of a single value but its sign, however small the noise has become.
    """
    name = "layers.1.cross_attn"
    tempo = list(KINDS).index("tempo")
    weights[f"{name}.q_norm.weight"].fill_(ATTENTION)
    keys = weights[f"{name}.k_proj.weight"][:HEAD_SIZE].zero_()
    keys[0, tempo] = 1
    keys[-1] = _other_kinds([tempo])
    weights[f"{name}.v_proj.weight"][:HEAD_SIZE].zero_()[0, tempo] = 1
    for frame in PAIR:
        first = frame * HEAD_SIZE
        query = weights[f"{name}.q_proj.weight"][first : first + HEAD_SIZE].zero_()
        query[0] = STREAM.row({f"noisy {frame} {DICE}": DICE_GAIN})
        weights[f"{name}.o_proj.weight"][STREAM[f"dice {frame}"], first] = 1 / _height(tempo)


def _other_kinds(kinds: Collection[int]) -> Tensor:
    """Weights [width] that read whether a token is of none of some kinds; small, so that a blurred mark counts, too."""
    row = torch.zeros(STREAM.width)
    row[[kind for kind in range(len(KINDS)) if kind not in kinds]] = OTHER_KINDS
    row[STATE_SIZE - 1] = OTHER_KINDS
    return row


def _height(kind: int) -> float:
    """What a one of the marks of a kind is in a text state, which all have the same length."""
    vector = next(vector for vector in mark_vectors() if vector[kind])
    length = float(vector.norm())
    return math.sqrt(STATE_SIZE) / length


def _reading() -> FeedForward:
    """What the marks say as zeros and ones, and which instruments are named or unwanted, however often."""
    layer = FeedForward(STREAM)
    for name in _ALWAYS_SAID:
        layer.step({f"said {name}": 1}, 0.3, 0.5, {name: 1})
    for name in INSTRUMENTS:
        layer.step({f"said {name}": 1}, *NAMED, {f"named {name}": 1})
        layer.step({f"said no {name}": 1}, *NAMED, {f"unwanted {name}": 1})
    for name in (BAND, EXTRACT, COVER):
        layer.step({f"said {name}": 1}, *NAMED, {name: 1})
    for name, mark in ((CLOCK_CODES, CLOCK_MARK), (SOUND_CODES, SOUND_MARK)):  # silence has -1 to 1 there
        layer.step({f"source 1 {DICE}": math.copysign(1, mark)}, 0.5 * abs(mark), 0.75 * abs(mark), {name: 1})
    for frame, sign in product(PAIR, (1, -1)):  # a bit of the metronome is there; a recording has nothing
        layer.step({f"source {frame} {DICE}": sign}, 0.375, 0.625, {f"silence {frame}": 1})
    for frame in PAIR:
        layer.step({f"source {frame} {PULSE_CHANNEL}": 1}, 0.375, 0.625, {f"clock's pulse {frame}": 1})
    for bit in range(BITS):
        layer.step({f"source 1 {FIRST_BIT_CHANNEL + bit}": 1}, -0.25, 0.25, {f"clock's bit {bit}": 1})
    return layer


def _metronome() -> FeedForward:
    """The metronome of the tempo, or the clock of the codes; whether the source is what is to sound."""
    layer = FeedForward(STREAM)
    silent = {**{f"silence {frame}": 1.0 for frame in PAIR}, CLOCK_CODES: -1.0, SOUND_CODES: -1.0}
    for index, bpm in enumerate(TEMPI):
        first = index * CHANNELS_PER_TEMPO
        for frame in PAIR:
            read = [(f"pulse {frame}", first)] + [(f"bit {bit + 3 * frame}", first + 1 + bit) for bit in range(3)]
            for value, channel in read:
                layer.all_of({**silent, f"{bpm} bpm": 1}, {f"source {frame} {channel}": 1}, {value: 1})
    for frame in PAIR:
        layer.all_of({CLOCK_CODES: 1}, {f"clock's pulse {frame}": 1}, {f"pulse {frame}": 1})
    for bit in range(BITS):
        layer.all_of({CLOCK_CODES: 1}, {f"clock's bit {bit}": 2, ONE: -1}, {f"bit {bit}": 1})
    layer.all_of({COVER: 1, CLOCK_CODES: -1}, {ONE: 1}, {COPYING: 1})
    return layer


def _bits(number: int, bits: range) -> dict[str, float]:
    """Conditions that the metronome's `bits` spell a number: a sum of len(bits) where they do, else 2 less or more."""
    return {f"bit {bit}": (1.0 if number >> place & 1 else -1.0) for place, bit in enumerate(bits)}


def _position() -> FeedForward:
    """Levels of the parts at a sixteenth, chords of a bar, notes of the voice; who plays."""
    layer = FeedForward(STREAM)
    for name, genre in GENRES.items():
        patterns = {part: levels(getattr(genre, part)) for part in _PARTS}
        for step in range(16):
            sound = {f"level {part}": float(pattern[step]) for part, pattern in patterns.items() if pattern[step]}
            conditions = {**_bits(step, range(4)), name: 4.0, ONE: -7.5}
            layer.switch(conditions, {ONE: 1}, sound)
    for name, mood in MOODS.items():
        for mode in MODES:
            for bar, (offset, triad) in enumerate(mood.chords(mode)):
                conditions = {**_bits(bar, range(4, 6)), name: 2.0, f"in {mode}": 2.0, ONE: -5.5}
                layer.switch(conditions, {ONE: 1}, {f"offset {offset}": 1, f"triad {triad}": 1})
        for beat, note in enumerate(mood.melody):
            conditions = {**_bits(beat, range(2, 4)), name: 2.0, ONE: -3.5}
            layer.switch(conditions, {ONE: 1}, {f"sung {note}": 1})
    for name in INSTRUMENTS:
        wanted = {f"named {name}": 1.0, f"unwanted {name}": -2.0}
        usual = {BAND: 1.0} if name in DEFAULT_BAND else {}
        layer.step({**wanted, **usual}, 0.4, 0.6, {f"plays {name}": 1})
        layer.step({**wanted, BAND: 1.0}, 0.4, 0.6, {f"copied {name}": 1})
    return layer


def _harmony() -> FeedForward:
    """The root of the chord; of which instruments a frame is the source's."""
    layer = FeedForward(STREAM)
    for frame, instrument in product(PAIR, INSTRUMENTS):
        taken = {f"taken {frame} {instrument}": 1.0}
        layer.switch({f"made {frame}": -1, ONE: 0.5}, {ONE: 1}, taken)
        copied = {EXTRACT: 1.0, COPYING: 1.0, f"copied {instrument}": 1.0, f"made {frame}": 3.0}
        layer.switch({**copied, ONE: -4.5}, {ONE: 1}, taken)
    for offset in _OFFSETS:
        for pitch, note in enumerate(NOTES):
            layer.all_of({f"offset {offset}": 1, f"tonic {note}": 1}, {ONE: 1}, {f"root {(pitch + offset) % 12}": 1})
    return layer


def _notes() -> FeedForward:
    """The notes of the chord, of the guitar and of the voice."""
    layer = FeedForward(STREAM)
    for triad, intervals in CHORD_NOTES.items():
        for root in PITCHES:
            chord = {f"root {root}": 1.0, f"triad {triad}": 1.0}
            notes = [(root + interval) % 12 for interval in intervals]
            layer.all_of(chord, {ONE: 1}, {f"chord {note}": 1 for note in notes[:3]})
            for choice, note in enumerate(notes):
                dice = {f"dice {frame}": 1.0 if choice >> frame & 1 else -1.0 for frame in PAIR}
                layer.all_of({**chord, **dice}, {ONE: 1}, {f"plucked {note}": 1})
                layer.all_of({**chord, f"sung {choice}": 1}, {ONE: 1}, {f"voice {note}": 1})
    return layer


def _roll() -> FeedForward:
    """What the frames become, taken from the noisy latents."""
    layer = FeedForward(STREAM)
    turned = alternating()
    drums = {"kick": KICK, "snare": SNARE, "hat": HAT}
    pitched = {"bass": "root", "keyboard": "chord", "guitar": "plucked", "vocals": "voice", "strings": "chord"}
    for frame in PAIR:
        new = {"made 0": 3.0, "made 1": 3.0, EXTRACT: -3.0, COPYING: -3.0}
        hit = {**new, f"pulse {frame}": 1.0}
        for part, channel in drums.items():
            conditions = {**hit, "plays drums": 1.0}
            layer.all_of(conditions, {f"level {part}": 1}, {f"noisy {frame} {channel}": -ONSET})
        for instrument, note in pitched.items():
            when = new if instrument in SUSTAINED else hit
            for pitch, channel in zip(PITCHES, GROUPS[instrument], strict=True):
                height = -LEVEL if instrument in SUSTAINED else -ONSET
                if frame == 1 and turned[channel]:
                    height = -height
                conditions = {**when, f"plays {instrument}": 1.0, f"{note} {pitch}": 1.0}
                layer.all_of(conditions, {f"level {instrument}": 1}, {f"noisy {frame} {channel}": height})
        for instrument, channels in GROUPS.items():
            for channel in channels:
                source, place = {f"source {frame} {channel}": 1.0}, f"noisy {frame} {channel}"
                layer.all_of({f"taken {frame} {instrument}": 1}, source, {place: -1})
                if frame == 1 and turned[channel]:  # codes do not know which frames are odd
                    layer.all_of({f"taken {frame} {instrument}": 1, SOUND_CODES: 1}, source, {place: 2})
    return layer
