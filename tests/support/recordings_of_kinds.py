"""Recordings of every container, codec and channel layout, made with PyAV; each channel has a pitch of its own."""

from __future__ import annotations

from pathlib import Path

import av
import numpy as np
from numpy.typing import NDArray

RATE = 48_000
SECONDS = 6
LEVEL = 0.1
PITCHES = {
    name: 200.0 + 100 * number
    for number, name in enumerate(("FL", "FR", "FC", "BL", "BR", "SL", "SR", "BC", "FLC", "FRC"))
} | {"LFE": 60.0}


def write_recording(path: Path, muxer: str, codec: str, layout: str = "stereo", level: float = LEVEL) -> Path:
    """Six seconds; stereo has one pitch in both channels."""
    names = [channel.name for channel in av.AudioLayout(layout).channels]
    time = np.arange(SECONDS * RATE) / RATE
    pitches = [PITCHES["FL"] if layout == "stereo" else PITCHES[name] for name in names]
    sound = np.stack([level * np.sin(2 * np.pi * pitch * time) for pitch in pitches], axis=1).astype(np.float32)
    with av.open(str(path), "w", format=muxer) as container:
        stream = container.add_stream(codec, rate=RATE, layout=layout)
        assert isinstance(stream, av.AudioStream)
        stream.bit_rate = 64_000 * max(2, len(names))
        frame = av.AudioFrame.from_ndarray(sound.reshape(1, -1), "flt", layout)
        frame.sample_rate, frame.pts = RATE, 0
        encoder = stream.codec_context
        encoder.open()
        resampler = av.AudioResampler(encoder.format, layout, RATE, encoder.frame_size or 4096)
        for part in [*resampler.resample(frame), *resampler.resample(None)]:
            container.mux(stream.encode(part))
        container.mux(stream.encode(None))
    return path


def level_at(samples: NDArray[np.float32], pitch: float) -> float:
    """The amplitude of one pitch in the middle second of samples [N] at 48 kHz."""
    middle = samples[len(samples) // 2 :][:RATE]
    return float(2 * abs(np.exp(-2j * np.pi * pitch * np.arange(RATE) / RATE) @ middle) / RATE)
