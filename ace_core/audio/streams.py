"""What is in an audio stream that PyAV has opened, and its samples, in ways that PyAV survives.

Traps, all of PyAV 18:

- A stream that FFmpeg has no decoder for has no codec context, and PyAV raises an AttributeError for its channels.
- Channels in an order of the file's own (7.1 of AIFF and CAF) end the whole process: PyAV frees their list twice as
  soon as anybody asks for it or decodes. FFmpeg's description of the file says so without that.
- So does a frame of eight channels that is not interleaved: PyAV looks for a ninth. Frames are interleaved first.
"""

from __future__ import annotations

import re
from typing import Any, NamedTuple

import av
import av.logging
import numpy as np
from numpy.typing import NDArray

_IN_FFMPEGS_ORDER = (
    *"FL FR FC LFE BL BR FLC FRC BC SL SR TC TFL TFC TFR TBL TBC TBR DL DR WL WR SDL SDR LFE2".split(),
    *"TSL TSR BFC BFL BFR SSL SSR TTL TTR".split(),
)
_LAYOUTS = {
    "3.0": "FL FR FC",
    "3.0(back)": "FL FR BC",
    "2.1": "FL FR LFE",
    "3.1": "FL FR FC LFE",
    "4.0": "FL FR FC BC",
    "quad": "FL FR BL BR",
    "quad(side)": "FL FR SL SR",
    "4.1": "FL FR FC LFE BC",
    "5.0": "FL FR FC BL BR",
    "5.0(side)": "FL FR FC SL SR",
    "5.1": "FL FR FC LFE BL BR",
    "5.1(side)": "FL FR FC LFE SL SR",
    "6.0": "FL FR FC BC SL SR",
    "6.1": "FL FR FC LFE BC SL SR",
    "6.1(back)": "FL FR FC LFE BL BR BC",
    "7.0": "FL FR FC BL BR SL SR",
    "7.1": "FL FR FC LFE BL BR SL SR",
    "7.1(wide)": "FL FR FC LFE BL BR FLC FRC",
    "7.1(wide-side)": "FL FR FC LFE FLC FRC SL SR",
    "5.1.2": "FL FR FC LFE BL BR TFL TFR",
    "5.1.2(back)": "FL FR FC LFE BL BR TBL TBR",
    "5.1.4": "FL FR FC LFE BL BR TFL TFR TBL TBR",
    "7.1.2": "FL FR FC LFE BL BR SL SR TFL TFR",
    "7.1.4": "FL FR FC LFE BL BR SL SR TFL TFR TBL TBR",
}


class SpeakerChannels(NamedTuple):
    """How many channels a stream has, and FFmpeg's name of each; no names where the file does not say."""

    number: int
    names: tuple[str, ...] = ()


def channels_of(container: Any, stream: Any) -> SpeakerChannels:
    """The channels of an audio stream with a decoder; to be asked for before anything is decoded.

    Raises:
        ValueError: they are in an order that PyAV cannot read.
    """
    described = _described(container)
    found = re.findall(rf"^ *Stream #\d+:{stream.index}\b.*?: Audio: .*?, \d+ Hz, ([^,\n]+)", described, re.MULTILINE)
    layout = found[-1].strip() if found else ""
    own = re.fullmatch(r"(\d+) channels \((\S+)\)", layout)
    if own is None:
        return SpeakerChannels(stream.channels, tuple(_LAYOUTS.get(layout, "").split()))
    names = tuple(own[2].split("+"))
    places = [_IN_FFMPEGS_ORDER.index(name) for name in names if name in _IN_FFMPEGS_ORDER]
    if len(places) < len(names) or places != sorted(places):
        raise ValueError(f"has {own[1]} channels in an order of its own ({own[2]}): save it as WAV or FLAC")
    return SpeakerChannels(int(own[1]), names)


def _described(container: Any) -> str:
    """What FFmpeg writes about a file into its log, which PyAV switches off."""
    level = av.logging.get_level()
    av.logging.set_level(av.logging.INFO)
    try:
        return str(container.dumps_format())
    finally:
        av.logging.set_level(level)


def has_decoder(stream: Any) -> bool:
    """Whether FFmpeg can decode a stream."""
    return getattr(stream, "codec_context", None) is not None


class FloatFrames:
    """Decoded frames as samples [C, N] in float32, whatever they are; of one stream, in their order."""

    def __init__(self) -> None:
        self._resampler = av.AudioResampler(format="flt")

    def samples(self, frame: av.AudioFrame) -> list[NDArray[np.float32]]:
        """What a frame gives.

        Raises:
            ValueError, av.FFmpegError: the kind of samples changes within the stream.
        """
        parts = self._resampler.resample(frame)
        return [np.asarray(part.to_ndarray(), np.float32).reshape(part.samples, -1).T for part in parts if part.samples]
