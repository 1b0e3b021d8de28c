"""Recordings of a dataset: what is in a file, and its sound as the VAE hears it.

Files are read with PyAV, packet by packet. Looking into one keeps a packet in memory; reading one keeps the 240 s that
the official trainer takes of a song.

Traps:
- A header may promise more than there is, so the length is that of the packets, up to 240 s.
- Tags that are not UTF-8 make PyAV refuse a file that plays well; they are not read at all.
- A name may lie about what is in a file, a decoder may be missing, and channels may end the process: see `demuxers` and
  `streams`.
- What stands behind the last sound (an old ID3 tag, a cut packet) often does not decode, and nobody hears it. Damage
  that has sound behind it is an error: leaving it out would put a click into the music.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

import av
import numpy as np
import torch
from av.audio.frame import AudioFrame
from av.packet import Packet
from torch import Tensor

from ..audio.demuxers import BROKEN_FILE, HEAD_BYTES, demuxer_of
from ..audio.downmix import downmixed
from ..audio.streams import FloatFrames, channels_of, has_decoder
from ..audio.waveform import (
    MIN_LATENT_FRAMES,
    SAMPLE_RATE,
    SAMPLES_PER_FRAME,
    SILENCE_AMPLITUDE,
    limit_peak,
    resample,
    silent_items,
    to_stereo,
    validate_waveform,
)
from ..progress import Progress
from .dataset import FileProblem

MAX_CLIP_SECONDS = 240.0
MIN_CLIP_SECONDS = MIN_LATENT_FRAMES * SAMPLES_PER_FRAME / SAMPLE_RATE  # the shortest that the model renders

_PACKETS_BETWEEN_REPORTS = 256
_LONGEST_PACKET_SECONDS = 60.0  # Vorbis without times claims hours for one; FLAC has 8 s at most


class _Piece(NamedTuple):
    """A packet's samples, where in the song it ends, what the header says, and whether anything was heard so far.

    `channel_names` are those of surround, in FFmpeg's names; see `channels_of`.
    """

    frames: list[AudioFrame]
    end_seconds: float
    declared_seconds: float
    audible: bool
    channel_names: tuple[str, ...]


def clip_seconds(path: Path, on_progress: Progress | None = None, *, downmix: bool = False) -> float:
    """How long a recording is; beyond 240 s what its header says, or 240.

    Args:
        on_progress: called now and then with (seconds read, seconds in all).
        downmix: take surround too, see `downmixed`.

    Raises:
        FileProblem: it cannot be read, is shorter than 5.12 s, has more than two channels or 240 s of silence.
    """
    seconds, audible = 0.0, False
    for piece in _pieces(path, on_progress, downmix=downmix, until_audible=True):
        seconds, audible = piece.end_seconds, piece.audible
        if seconds > MAX_CLIP_SECONDS:
            seconds = max(seconds, piece.declared_seconds)
            break
    _check_length(seconds)
    if not audible:
        raise FileProblem("is silent")
    return seconds


def read_clip(path: Path, on_progress: Progress | None = None, *, downmix: bool = False) -> Tensor:
    """The first 240 s of a recording as the VAE hears it: [1, 2, N] at 48 kHz within -1..1, N in whole latent frames.

    Args:
        on_progress: called now and then with (seconds read, seconds in all).
        downmix: take surround too; a mix that is louder than full scale is lowered to it.

    Raises:
        FileProblem: it cannot be read, is damaged, silent, too short, or neither mono nor stereo without `downmix`.
    """
    sound = FloatFrames()
    blocks: list[Tensor] = []
    rate = SAMPLE_RATE
    for piece in _pieces(path, on_progress, downmix=downmix):
        for frame in piece.frames:
            rate = frame.sample_rate
            try:
                blocks += [downmixed(torch.from_numpy(part), piece.channel_names) for part in sound.samples(frame)]
            except (*BROKEN_FILE, ValueError) as error:  # the kind of samples changes within the file
                raise FileProblem(f"is damaged at {piece.end_seconds:.1f} s: {error}") from error
        if piece.end_seconds >= MAX_CLIP_SECONDS:
            break
    if not blocks:
        raise FileProblem("holds no sound")
    waveform = torch.cat(blocks, dim=1)[None, :, : int(MAX_CLIP_SECONDS * rate)]
    if downmix:
        waveform = limit_peak(waveform)
    waveform = resample(to_stereo(validate_waveform(waveform, rate)), rate)
    samples = waveform.shape[-1] // SAMPLES_PER_FRAME * SAMPLES_PER_FRAME
    _check_length(samples / SAMPLE_RATE)
    waveform = waveform[..., :samples].clamp(-1, 1)
    if any(silent_items(waveform)):
        raise FileProblem("is silent")
    return waveform


def _pieces(
    path: Path, on_progress: Progress | None, *, downmix: bool, until_audible: bool = False
) -> Iterator[_Piece]:
    """Each packet, decoded; with `until_audible` no more once something was heard.

    Raises:
        FileProblem: it cannot be read, is damaged, or has more than two channels without `downmix`.
    """
    try:
        if not path.stat().st_size:
            raise FileProblem("is empty")
        with path.open("rb") as file:
            demuxer = demuxer_of(path.suffix, file.read(HEAD_BYTES))
            file.seek(0)
            container = av.open(file, "r", format=demuxer, metadata_errors="ignore")
            with container:
                if not container.streams.audio:
                    raise FileProblem("holds no sound")
                stream = container.streams.audio[0]
                if not has_decoder(stream):
                    raise FileProblem("is in a codec that FFmpeg does not know: save it as FLAC or WAV")
                channel_names = _channel_names(container, stream, downmix=downmix)
                declared = (container.duration or 0) / av.time_base
                end_seconds, damage, audible = 0.0, "", False
                for number, packet in enumerate(container.demux(stream)):
                    if on_progress is not None and number % _PACKETS_BETWEEN_REPORTS == 0:
                        on_progress(int(end_seconds), int(max(declared, end_seconds)))
                    end_seconds += _heard_seconds(packet)
                    frames: list[AudioFrame] = []
                    if not (until_audible and audible):
                        try:
                            frames = stream.decode(packet)
                            audible = audible or (until_audible and any(map(_is_audible, frames)))
                        except BROKEN_FILE as error:
                            damage = damage or f"is damaged at {end_seconds:.1f} s: {error.strerror}"
                    if frames and damage:
                        raise FileProblem(damage)
                    yield _Piece(frames, end_seconds, declared, audible, channel_names)
    except BROKEN_FILE as error:
        raise FileProblem(f"cannot be read as {path.suffix.lower().lstrip('.')}: {error.strerror}") from error


def _channel_names(container: Any, stream: Any, *, downmix: bool) -> tuple[str, ...]:
    try:
        number, names = channels_of(container, stream)
        if number > 2 and not downmix:
            raise FileProblem(f"has {number} channels: mix it down to stereo, or switch downmix on")
        said = names or stream.codec_context.name.startswith("pcm_")  # which have an order by convention
        downmixed(torch.zeros(number, 0), names if said else ["?"] * number)
    except ValueError as error:
        raise FileProblem(str(error)) from error
    return names


def _heard_seconds(packet: Packet[Any]) -> float:
    """How long a packet sounds: what lies before the beginning (of a file that was cut out of another) does not."""
    if not packet.duration or not packet.time_base:
        return 0.0
    hidden = min(packet.duration, max(0, -packet.pts)) if packet.pts is not None else 0
    seconds = float((packet.duration - hidden) * packet.time_base)
    return seconds if seconds < _LONGEST_PACKET_SECONDS else 0.0


def _check_length(seconds: float) -> None:
    if seconds == 0:
        raise FileProblem("holds no sound")
    if seconds < MIN_CLIP_SECONDS:
        raise FileProblem(f"lasts {seconds:.3g} s: {MIN_CLIP_SECONDS:g} s is the least to learn from")


def _is_audible(frame: AudioFrame) -> bool:
    return any(np.abs(part).max(initial=0.0) >= SILENCE_AMPLITUDE for part in FloatFrames().samples(frame))
