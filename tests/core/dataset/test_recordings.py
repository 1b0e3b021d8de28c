"""Recordings of a dataset: what is read of them, and what is said about those that cannot be used."""

from __future__ import annotations

import wave
from pathlib import Path

import av
import numpy as np
import pytest
import torch
from recordings_of_kinds import write_recording
from song_folders import RATE, tone, write_song

from ace_core.dataset.recordings import MAX_CLIP_SECONDS, clip_seconds, read_clip


def write_m4a(path: Path, seconds: float) -> None:
    with av.open(str(path), "w", format="ipod") as container:
        stream = container.add_stream("aac", rate=RATE, layout="stereo")
        frame = av.AudioFrame.from_ndarray(tone(seconds).contiguous().numpy(), "fltp", "stereo")
        frame.sample_rate = RATE
        container.mux(stream.encode(frame))
        container.mux(stream.encode(None))


def write_wav(path: Path, samples: np.ndarray, rate: int) -> None:
    with wave.open(str(path), "wb") as file:
        file.setparams((samples.shape[1], 2, rate, 0, "NONE", ""))
        file.writeframes(samples.astype("<i2").tobytes())


@pytest.mark.parametrize("suffix", [".wav", ".flac", ".mp3", ".opus", ".ogg", ".m4a"])
def test_every_format_is_read_at_48_khz_in_whole_frames(tmp_path: Path, suffix: str) -> None:
    path = tmp_path / f"song{suffix}"
    write_m4a(path, 6.0) if suffix == ".m4a" else write_song(path)
    assert clip_seconds(path) == pytest.approx(6.0, abs=0.1)
    waveform = read_clip(path)
    assert waveform.shape[:2] == (1, 2) and waveform.shape[2] % 1920 == 0
    assert waveform.shape[2] / 48000 == pytest.approx(6.0, abs=0.1)
    expected = tone(6.0, rate=48000)[:, 24_000:48_000]
    # codecs shift by a few milliseconds, and LAME turns down to 95 %, so levels are compared
    level = float(waveform[0, :, 24_000:48_000].square().mean())
    assert level == pytest.approx(float(expected.square().mean()), rel=0.12)


def test_a_long_recording_is_cropped_and_a_look_into_it_reads_no_more(tmp_path: Path) -> None:
    path = write_song(tmp_path / "long.flac", 250.0)
    seconds: list[int] = []
    assert clip_seconds(path, lambda done, _: seconds.append(done)) == pytest.approx(250.0)
    assert read_clip(path).shape[2] == MAX_CLIP_SECONDS * 48000
    assert max(seconds) <= MAX_CLIP_SECONDS


def test_mono_becomes_stereo(tmp_path: Path) -> None:
    waveform = read_clip(write_song(tmp_path / "mono.wav", sound=tone(6.0, channels=1)))
    assert torch.equal(waveform[0, 0], waveform[0, 1])


def test_tags_that_are_not_utf8_do_no_harm(tmp_path: Path) -> None:
    path = write_song(tmp_path / "song.wav")
    content = path.read_bytes()
    tag = b"INFOIART\x06\x00\x00\x00Bj\xf6rk\x00"
    path.write_bytes(content + b"LIST" + len(tag).to_bytes(4, "little") + tag)
    assert clip_seconds(path) == pytest.approx(6.0)


def test_a_header_that_promises_more_is_not_believed(tmp_path: Path) -> None:
    path = write_song(tmp_path / "cut.flac", 20.0)
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])
    assert 8 < clip_seconds(path) < 12
    assert 8 < read_clip(path).shape[2] / 48000 < 12


def test_what_lies_before_the_beginning_is_not_counted(tmp_path: Path) -> None:
    """A song cut out of another begins at a time below zero, up to which nobody hears anything."""
    whole, cut = write_recording(tmp_path / "whole.opus", "ogg", "libopus"), tmp_path / "cut.mp4"
    with av.open(str(whole)) as source, av.open(str(cut), "w") as target:
        stream = target.add_stream_from_template(source.streams.audio[0])
        for packet in source.demux(audio=0):
            if packet.dts is not None and packet.pts is not None:
                packet.pts -= 24_000
                packet.dts -= 24_000
                packet.stream = stream
                target.mux(packet)
    assert clip_seconds(cut) == pytest.approx(5.5, abs=0.02)
    assert read_clip(cut).shape[-1] / 48_000 == pytest.approx(clip_seconds(cut), abs=0.04)


def test_damage_in_the_middle_is_an_error(tmp_path: Path) -> None:
    path = write_song(tmp_path / "song.mp3", 20.0)
    content = bytearray(path.read_bytes())
    middle = len(content) // 2
    content[middle : middle + 3000] = bytes(3000)
    path.write_bytes(content)
    with pytest.raises(ValueError, match=r"is damaged at (9|10)\.\d s"):
        read_clip(path)


@pytest.mark.parametrize("read", [clip_seconds, read_clip])
@pytest.mark.parametrize(
    ("name", "content", "said"),
    [
        ("a.wav", b"", "is empty"),
        ("a.wav", b"RIFF", "cannot be read as wav"),
        ("a.mp3", b"#EXTM3U\nfile:///etc/hostname\n" * 9, "cannot be read as mp3|holds no sound"),
        ("a.ogg", b"OggS" + bytes(500), "cannot be read as ogg|holds no sound"),
        ("a.m4a", bytes(2000), "cannot be read as m4a"),
    ],
    ids=["empty", "header only", "playlist", "zeros", "no m4a"],
)
def test_broken_files_are_named(tmp_path: Path, read, name: str, content: bytes, said: str) -> None:
    (tmp_path / name).write_bytes(content)
    with pytest.raises(ValueError, match=said):
        read(tmp_path / name)


@pytest.mark.parametrize("read", [clip_seconds, read_clip])
def test_short_silent_and_surround_recordings_are_refused(tmp_path: Path, read) -> None:
    with pytest.raises(ValueError, match=r"lasts [23](\.\d+)? s: 5\.12 s is the least"):
        read(write_song(tmp_path / "short.wav", 3.0))
    with pytest.raises(ValueError, match="is silent"):
        read(write_song(tmp_path / "silent.flac", sound=torch.zeros(2, 6 * RATE)))
    write_wav(tmp_path / "surround.wav", np.ones((6 * RATE, 6)), RATE)
    with pytest.raises(ValueError, match="has 6 channels"):
        read(tmp_path / "surround.wav")


def test_reading_can_be_cancelled(tmp_path: Path) -> None:
    def cancel(_done: int, _total: int) -> None:
        raise KeyboardInterrupt

    path = write_song(tmp_path / "song.flac")
    for read in (clip_seconds, read_clip):
        with pytest.raises(KeyboardInterrupt):
            read(path, cancel)
