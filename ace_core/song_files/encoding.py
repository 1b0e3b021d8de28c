"""Samples to the bytes of an audio file and back, with PyAV.

Traps:
- Samples are rounded to whole numbers here: 1.0 is the largest number and not the next one, which would wrap around.
- 24 bits travel as the upper ones of 32.
- The MP3 encoder writes no tag: `id3.py` does. WAV has neither; its tag becomes a chunk behind the samples.
- MP4 keeps texts of names that it does not know only with `use_metadata_tags`, and then all under their own names, so
  some players show no title.
"""

from __future__ import annotations

import io
from collections.abc import Iterator, Mapping
from fractions import Fraction
from pathlib import Path
from typing import Any, BinaryIO, Literal, NamedTuple, TypeAlias, cast

import av
import numpy as np
import torch
from av.container import InputContainer
from numpy.typing import NDArray
from torch import Tensor

from ..audio.demuxers import BROKEN_FILE, DEMUXERS, HEAD_BYTES, demuxer_of
from ..audio.streams import FloatFrames, channels_of, has_decoder
from ..audio.waveform import resample
from ..progress import Progress

Container: TypeAlias = Literal["flac", "wav", "mp3", "opus", "m4a"]


class Encoding(NamedTuple):
    """How samples are written; `bits` is None where the encoder takes floats, `rates` where it takes any."""

    container: Container
    codec: str
    sample_format: str
    bits: int | None = None
    bit_rate: int | None = None
    options: Mapping[str, str] = {}
    rates: tuple[int, ...] | None = None


_MP3_RATES = (8000, 11_025, 12_000, 16_000, 22_050, 24_000, 32_000, 44_100, 48_000)
_AAC_RATES = (*_MP3_RATES, 64_000, 88_200, 96_000)
_OPUS_RATES = (48_000,)  # what every decoder gives, whatever was put in
_OTHER_RATE = 48_000


def _mp3(bit_rate: int | None, options: Mapping[str, str]) -> Encoding:
    return Encoding("mp3", "libmp3lame", "flt", bit_rate=bit_rate, options=options, rates=_MP3_RATES)


def _opus(bit_rate: int) -> Encoding:
    return Encoding("opus", "libopus", "flt", bit_rate=bit_rate, rates=_OPUS_RATES)


def _aac(bit_rate: int) -> Encoding:
    return Encoding("m4a", "aac", "flt", bit_rate=bit_rate, rates=_AAC_RATES)


ENCODINGS: Mapping[str, Encoding] = {
    "flac 24 bit": Encoding("flac", "flac", "s32", bits=24),
    "flac 16 bit": Encoding("flac", "flac", "s16", bits=16),
    "wav 32 bit float": Encoding("wav", "pcm_f32le", "flt"),
    "wav 24 bit": Encoding("wav", "pcm_s24le", "s32", bits=24),
    "wav 16 bit": Encoding("wav", "pcm_s16le", "s16", bits=16),
    "mp3 320k": _mp3(320_000, {}),
    "mp3 V0": _mp3(None, {"flags": "+qscale", "global_quality": "0"}),
    "mp3 128k": _mp3(128_000, {}),
    "opus 192k": _opus(192_000),
    "opus 128k": _opus(128_000),
    "opus 64k": _opus(64_000),
    "mp3 256k": _mp3(256_000, {}),
    "mp3 192k": _mp3(192_000, {}),
    "opus 256k": _opus(256_000),
    "opus 96k": _opus(96_000),
    "aac 256k": _aac(256_000),
    "aac 192k": _aac(192_000),
    "aac 128k": _aac(128_000),
}

MAX_SONG_SECONDS = 3600
SONG_SUFFIXES = (".flac", ".wav", ".mp3", ".opus", ".ogg", ".m4a")  # what songs are saved as, and were
_MUXERS: Mapping[Container, tuple[str, dict[str, str]]] = {
    "mp3": ("mp3", {"id3v2_version": "0"}),
    "m4a": ("ipod", {"movflags": "use_metadata_tags"}),
}


class Sound(NamedTuple):
    """Samples [C, T] and their rate."""

    waveform: Tensor
    sample_rate: int


def encode(
    sound: Sound, encoding: Encoding, comments: Mapping[str, str], on_progress: Progress | None = None
) -> tuple[bytes, list[str]]:
    """An audio file, and sentences about what is not in it as it was given.

    Args:
        sound: mono or stereo.
        comments: texts by name, for FLAC and Opus; the other containers keep those that RIFF knows, or none.
        on_progress: called with (seconds encoded, seconds in all).

    Raises:
        ValueError: more than two channels, no samples, or a rate that cannot be converted.
    """
    channels, samples = sound.waveform.shape
    if channels not in (1, 2) or not samples:
        raise ValueError(f"only mono or stereo sound can be saved, got {channels} channels and {samples} samples")
    sound, notes = _fitted(sound, encoding)
    file = io.BytesIO()
    try:
        _write(file, sound, encoding, comments, on_progress)
    except av.FFmpegError as error:
        raise ValueError(
            f"this sound cannot be saved as {encoding.container}, with {channels} channels at {sound.sample_rate} Hz: "
            f"{error}"
        ) from error
    return file.getvalue(), notes


def _write(
    file: BinaryIO, sound: Sound, encoding: Encoding, comments: Mapping[str, str], on_progress: Progress | None
) -> None:
    muxer, options = _MUXERS.get(encoding.container, (encoding.container, {}))
    with av.open(file, "w", format=muxer, options=options) as container:
        container.metadata.update(comments)
        layout = "mono" if len(sound.waveform) == 1 else "stereo"
        added = container.add_stream(
            encoding.codec, rate=sound.sample_rate, layout=layout, options=dict(encoding.options)
        )
        stream = cast("av.AudioStream", added)
        if encoding.bits is not None:
            stream.codec_context.format = av.AudioFormat(encoding.sample_format)
        if encoding.bit_rate is not None:
            stream.bit_rate = encoding.bit_rate
        for frame in _frames(sound, encoding, layout, on_progress):
            container.mux(stream.encode(frame))
        container.mux(stream.encode(None))


def read_sound(path: Path) -> Sound:
    """The samples of an audio file as floats; full scale is 1.

    Raises:
        ValueError: an unknown kind of file, one that cannot be read, or more than an hour.
    """
    with path.open("rb") as file, _opened(file, path) as container:
        stream = container.streams.audio[0]
        frames = _decoded(path, container, stream)
        if not frames:
            raise ValueError(f"{path.name} holds no sound")
        samples = torch.from_numpy(np.concatenate(frames, axis=1))
        if path.suffix.lower() == ".m4a" and stream.duration and stream.time_base:  # its last frame is filled up
            samples = samples[:, : round(stream.duration * stream.time_base * stream.rate)]
        return Sound(samples, stream.rate)


def _decoded(path: Path, container: InputContainer, stream: av.AudioStream) -> list[NDArray[Any]]:
    """All samples, as far as they are no more than a song may have: a small file may stand for days of silence."""
    sound = FloatFrames()
    frames: list[NDArray[Any]] = []
    channels = channels_of(container, stream).number or 1  # none in a broken header
    seconds = MAX_SONG_SECONDS * min(channels, 2) // channels
    left = seconds * stream.rate * channels
    try:
        for frame in container.decode(stream):
            for part in sound.samples(frame):
                frames.append(part)
                left -= part.size
            if left < 0:
                raise ValueError(f"{path.name} lasts more than {seconds // 60} minutes: cut it")
    except BROKEN_FILE as error:
        raise ValueError(f"{path.name} cannot be read: {error}") from error
    return frames


def read_comments(path: Path) -> dict[str, str]:
    """The texts of an audio file by their names in lower case.

    Raises:
        ValueError: an unknown kind of file, or one that cannot be read.
    """
    with path.open("rb") as file, _opened(file, path) as container:
        texts = {**container.metadata, **container.streams.audio[0].metadata}
        return {name.lower(): text for name, text in texts.items()}


def with_comments(path: Path, changes: Mapping[str, str | None]) -> bytes:
    """A FLAC, Ogg or MP4 file with other texts and the very same sound: its packets are copied.

    Args:
        changes: texts by their names in capitals; None takes one away.

    Raises:
        ValueError: an unknown kind of file, or one that cannot be read.
    """
    name = path.suffix.lower().removeprefix(".")
    muxer, options = _MUXERS.get(cast(Container, name), (name, {}))
    result = io.BytesIO()
    with path.open("rb") as file, _opened(file, path) as source:
        stream = source.streams.audio[0]
        texts = {**source.metadata, **stream.metadata}
        kept = {key: text for key, text in texts.items() if key.upper() not in changes}
        with av.open(result, "w", format=muxer, options=options) as target:
            target.metadata.update(kept | {key: text for key, text in changes.items() if text is not None})
            copied = target.add_stream_from_template(stream)
            for packet in source.demux(stream):
                if packet.dts is not None:  # the last one is empty
                    packet.stream = copied
                    target.mux(packet)
    return result.getvalue()


def _opened(file: BinaryIO, path: Path) -> InputContainer:
    suffix = path.suffix.lower()
    if suffix not in DEMUXERS:
        raise ValueError(
            f"{path.name} is not a song file: it must be a recording or a video, such as {', '.join(SONG_SUFFIXES)}"
        )
    demuxer = demuxer_of(suffix, file.read(HEAD_BYTES))
    file.seek(0)
    try:
        container = av.open(file, "r", format=demuxer, metadata_errors="replace")
    except BROKEN_FILE as error:
        raise ValueError(f"{path.name} cannot be read as {demuxer}: {error}") from error
    if not container.streams.audio:
        raise ValueError(f"{path.name} holds no sound")
    if not has_decoder(container.streams.audio[0]):
        raise ValueError(f"{path.name} is in a codec that FFmpeg does not know: save it as FLAC or WAV")
    try:
        channels_of(container, container.streams.audio[0])
    except ValueError as error:
        raise ValueError(f"{path.name} {error}") from error
    return container


def _fitted(sound: Sound, encoding: Encoding) -> tuple[Sound, list[str]]:
    """The sound at a rate that the encoder takes, and within full scale unless it takes floats as they are."""
    notes = []
    waveform, rate = sound
    if encoding.rates is not None and rate not in encoding.rates:
        waveform = resample(waveform[None], rate, _OTHER_RATE)[0]
        notes.append(f"{encoding.container} cannot have {rate} Hz: the file has {_OTHER_RATE} Hz")
        rate = _OTHER_RATE
    if encoding.codec != "pcm_f32le":
        clipped = int((waveform.abs() > 1).sum())
        if clipped:
            notes.append(
                f"{clipped} samples above full scale are clipped: lower the level, or save as wav 32 bit float"
            )
            waveform = waveform.clamp(-1, 1)
    return Sound(waveform, rate), notes


def _frames(sound: Sound, encoding: Encoding, layout: str, on_progress: Progress | None) -> Iterator[av.AudioFrame]:
    """A second each."""
    rate, samples = sound.sample_rate, sound.waveform.shape[1]
    total = -(-samples // rate)
    for second in range(total):
        if on_progress is not None:
            on_progress(second, total)
        block = sound.waveform[:, second * rate : (second + 1) * rate].T.contiguous().cpu().numpy()
        frame = av.AudioFrame.from_ndarray(_numbers(block, encoding).reshape(1, -1), encoding.sample_format, layout)
        frame.sample_rate = rate
        frame.time_base = Fraction(1, rate)
        frame.pts = second * rate
        yield frame
    if on_progress is not None:
        on_progress(total, total)


def _numbers(samples: NDArray[np.float32], encoding: Encoding) -> NDArray[Any]:
    """Samples in -1..1 as the encoder takes them, rounded to the nearest."""
    if encoding.bits is None:
        return samples
    scale = 1 << (encoding.bits - 1)
    numbers = np.clip(np.rint(samples.astype(np.float64) * scale), -scale, scale - 1).astype(np.int32)
    return numbers.astype(np.int16) if encoding.bits == 16 else numbers << 8
