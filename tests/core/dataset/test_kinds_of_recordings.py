"""Every recording and video that PyAV reads is found and read, or named with the reason."""

from __future__ import annotations

import struct
from pathlib import Path

import av
import numpy as np
import pytest
from song_folders import write_song

from ace_core.audio.demuxers import DEMUXERS, NO_RECORDINGS, demuxer_of
from ace_core.dataset.dataset import FileProblem
from ace_core.dataset.recordings import clip_seconds, read_clip
from ace_core.dataset.scanning import scan_folder
from ace_core.song_files.encoding import read_sound

RATE = 48_000
SECONDS = 6
KINDS = [
    *(("a.wav", "wav", codec) for codec in ("pcm_u8", "pcm_s24le", "pcm_s32le", "pcm_f32le", "pcm_f64le")),
    ("a.w64", "w64", "pcm_s16le"),
    ("a.mp2", "mp2", "mp2"),
    ("a.oga", "ogg", "libopus"),
    *((name, "mp4", "aac") for name in ("a.mp4", "a.m4b", "a.m4v", "a.3gp")),
    ("a.m4a", "ipod", "alac"),
    ("a.mov", "mov", "pcm_s16le"),
    ("a.aac", "adts", "aac"),
    ("a.AIFF", "aiff", "pcm_s16be"),
    ("a.aif", "aiff", "pcm_s24be"),
    ("a.caf", "caf", "pcm_s16le"),
    ("a.wma", "asf", "wmav2"),
    ("a.webm", "webm", "libopus"),
    ("a.mka", "matroska", "aac"),
    ("a.mkv", "matroska", "pcm_s16le"),
    ("a.wv", "wv", "wavpack"),
    ("a.tta", "tta", "tta"),
    ("a.ac3", "ac3", "ac3"),
    ("a.au", "au", "pcm_s16be"),
    ("a.avi", "avi", "mp3"),
    ("a.flv", "flv", "aac"),
    ("a.ts", "mpegts", "aac"),
    ("a.mpg", "mpeg", "mp2"),
    ("aac in truth.mp3", "mp4", "aac"),
    ("wav in truth.mp3", "wav", "pcm_s16le"),
    ("mp3 in truth.wav", "mp3", "mp3"),
    ("webm in truth.m4a", "webm", "libopus"),
    ("aac in truth.flac", "adts", "aac"),
]


def write_recording(path: Path, muxer: str, codec: str) -> Path:
    time = np.arange(SECONDS * RATE) / RATE
    sound = (0.3 * np.sin(2 * np.pi * 220 * time)).astype(np.float32)
    with av.open(str(path), "w", format=muxer) as container:
        stream = container.add_stream(codec, rate=RATE, layout="stereo")
        assert isinstance(stream, av.AudioStream)
        stream.bit_rate = 128_000
        frame = av.AudioFrame.from_ndarray(np.repeat(sound, 2).reshape(1, -1), "flt", "stereo")
        frame.sample_rate, frame.pts = RATE, 0
        encoder = stream.codec_context
        encoder.open()
        size = encoder.frame_size or 4096
        resampler = av.AudioResampler(encoder.format, "stereo", RATE, size)
        for part in [*resampler.resample(frame), *resampler.resample(None)]:
            container.mux(stream.encode(part))
        container.mux(stream.encode(None))
    return path


@pytest.mark.parametrize(("name", "muxer", "codec"), KINDS, ids=[f"{name} {codec}" for name, _, codec in KINDS])
def test_a_recording_is_found_and_read(tmp_path: Path, name: str, muxer: str, codec: str) -> None:
    folder = tmp_path / "songs"
    folder.mkdir()
    path = write_recording(folder / name, muxer, codec)
    found = scan_folder(folder, tmp_path)
    assert found.skipped == () and [clip.name for clip in found.clips] == [name]
    assert found.clips[0].seconds == pytest.approx(SECONDS, abs=0.1)
    waveform = read_clip(path)
    assert waveform.shape[-1] / RATE == pytest.approx(SECONDS, abs=0.1)
    assert waveform.abs().max() == pytest.approx(0.3, abs=0.05)
    sound = read_sound(path)
    assert sound.waveform.shape[-1] / sound.sample_rate == pytest.approx(SECONDS, abs=0.1)


def wav_of_format(path: Path, tag: int, bits: int, extension: bytes = b"") -> Path:
    data = bytes(range(256)) * 9000
    form = struct.pack("<HHIIHH", tag, 2, RATE, RATE * 2 * bits // 8, 2 * bits // 8, bits)
    form += struct.pack("<H", len(extension)) + extension if extension else b""
    body = b"WAVEfmt " + struct.pack("<I", len(form)) + form + b"data" + struct.pack("<I", len(data)) + data
    path.write_bytes(b"RIFF" + struct.pack("<I", len(body)) + body)
    return path


def test_an_extensible_wav_is_read(tmp_path: Path) -> None:
    pcm = bytes.fromhex("0100000000001000800000aa00389b71")
    path = wav_of_format(tmp_path / "a.wav", 0xFFFE, 24, struct.pack("<HI", 24, 3) + pcm)
    assert clip_seconds(path) == pytest.approx(9000 * 256 / 6 / RATE, abs=0.1)


def test_a_codec_without_decoder_is_a_reason_and_ends_nothing(tmp_path: Path) -> None:
    folder = tmp_path / "songs"
    write_song(folder / "good.flac")
    odd = wav_of_format(folder / "odd.wav", 0x7777, 16)
    found = scan_folder(folder, tmp_path)
    assert [clip.name for clip in found.clips] == ["good.flac"]
    assert [str(skipped) for skipped in found.skipped] == [
        "odd.wav is in a codec that FFmpeg does not know: save it as FLAC or WAV"
    ]
    with pytest.raises(FileProblem, match="codec"):
        read_clip(odd)
    with pytest.raises(ValueError, match="odd.wav is in a codec"):
        read_sound(odd)


def test_what_holds_no_sound_is_named(tmp_path: Path) -> None:
    folder = tmp_path / "songs"
    folder.mkdir()
    names = ["a.mid", "b.aax", "c.aup3", "d.m3u8"]
    for name in names:
        (folder / name).write_bytes(b"#EXTM3U\nhttp://127.0.0.1/x")
    found = scan_folder(folder, tmp_path)
    assert [(skipped.name, skipped.reason) for skipped in found.skipped] == [
        (name, NO_RECORDINGS[Path(name).suffix]) for name in names
    ]


def test_a_playlist_is_no_recording_whatever_it_calls_itself(tmp_path: Path) -> None:
    for suffix in DEMUXERS:
        path = tmp_path / f"list{suffix}"
        path.write_bytes(b"#EXTM3U\n#EXT-X-TARGETDURATION:9\n#EXTINF:9,\nfile:///etc/passwd\n")
        with pytest.raises(FileProblem):
            clip_seconds(path)


@pytest.mark.parametrize(
    ("suffix", "head", "demuxer"),
    [
        (".mp3", b"ID3\x03", "mp3"),
        (".flac", b"ID3\x03", "flac"),
        (".wav", b"ID3\x03", "mp3"),
        (".ogg", b"", "ogg"),
        (".mp3", b"RIFF\0\0\0\0WAVE", "wav"),
    ],
)
def test_content_counts_before_the_name(suffix: str, head: bytes, demuxer: str) -> None:
    assert demuxer_of(suffix, head) == demuxer
