"""Every recording and video that PyAV reads is found and read, or named with the reason."""

from __future__ import annotations

import struct
import subprocess
import sys
from importlib.util import find_spec
from pathlib import Path

import av
import numpy as np
import pytest
from recordings_of_kinds import LEVEL, PITCHES, RATE, SECONDS, level_at, write_recording
from song_folders import write_song

from ace_core.audio.demuxers import DEMUXERS, NO_RECORDINGS, demuxer_of
from ace_core.dataset.dataset import FileProblem
from ace_core.dataset.recordings import clip_seconds, read_clip
from ace_core.dataset.scanning import scan_folder
from ace_core.song_files.encoding import read_sound
from ace_core.song_files.files import read_record

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
    assert waveform.abs().max() == pytest.approx(LEVEL, abs=0.02)
    sound = read_sound(path)
    assert sound.waveform.shape[-1] / sound.sample_rate == pytest.approx(SECONDS, abs=0.1)


def wav_of_format(path: Path, tag: int, bits: int, extension: bytes = b"") -> Path:
    """Six seconds of one value that is not silence."""
    numbers = SECONDS * RATE * 2
    data = np.full(numbers, 0.25).tobytes() if bits == 64 else bytes([64]) * (numbers * bits // 8)
    form = struct.pack("<HHIIHH", tag, 2, RATE, RATE * 2 * bits // 8, 2 * bits // 8, bits)
    form += struct.pack("<H", len(extension)) + extension if extension else b""
    body = b"WAVEfmt " + struct.pack("<I", len(form)) + form + b"data" + struct.pack("<I", len(data)) + data
    path.write_bytes(b"RIFF" + struct.pack("<I", len(body)) + body)
    return path


PCM, FLOAT = (bytes([number, *bytes.fromhex("00000000001000800000aa00389b71")]) for number in (1, 3))
EXTENSIBLE = {
    "24 bit": (24, 24, PCM),
    "20 in 24 bit": (24, 20, PCM),
    "32 bit": (32, 32, PCM),
    "64 bit float": (64, 64, FLOAT),
}


@pytest.mark.parametrize(("bits", "valid", "kind"), EXTENSIBLE.values(), ids=EXTENSIBLE)
def test_an_extensible_wav_is_read(tmp_path: Path, bits: int, valid: int, kind: bytes) -> None:
    extension = struct.pack("<HI", valid, 3) + kind
    path = wav_of_format(tmp_path / "a.wav", 0xFFFE, bits, extension)
    assert clip_seconds(path) == pytest.approx(SECONDS, abs=0.1)
    assert read_clip(path).shape[-1] / RATE == pytest.approx(SECONDS, abs=0.1)


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
    names = ["a.mid", "b.aax", "c.aup3", "d.m3u8", "e.zip", "f.mp3.part", "g.xm", "h.gp5", "i.pcm"]
    for name in names:
        (folder / name).write_bytes(b"#EXTM3U\nhttp://127.0.0.1/x")
    found = scan_folder(folder, tmp_path)
    assert [(skipped.name, skipped.reason) for skipped in found.skipped] == [
        (name, NO_RECORDINGS[Path(name).suffix]) for name in names
    ]


def test_every_kind_has_a_demuxer_of_ffmpeg() -> None:
    assert {av.ContainerFormat(demuxer, "r").name for demuxer in DEMUXERS.values()}
    assert not DEMUXERS.keys() & NO_RECORDINGS.keys()


def test_the_odd_recordings_of_others_are_read_or_refused_in_words() -> None:
    """SciPy's own WAV files: RF64, 64 bit floats, 1, 20, 36, 45 and 53 bits, three channels, early ends."""
    folder = Path(find_spec("scipy").origin).parent / "io" / "tests" / "data"
    recordings = sorted(folder.glob("*.wav"))
    assert len(recordings) > 15
    for path in recordings:
        for read in (clip_seconds, read_clip, read_sound, read_record):
            try:
                read(path)
            except ValueError as error:
                assert len(str(error)) > 5, path
    odd = folder / "test-8000Hz-le-3ch-5S-36bit.wav"
    with pytest.raises(FileProblem, match="is in a codec that FFmpeg does not know"):
        clip_seconds(odd)


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


THIRD, HALF = 0.5**0.5, 0.5  # -3 dB and -6 dB
LEFT = {"FL": 1.0, "FLC": 1.0, "FC": THIRD, "BL": THIRD, "SL": THIRD, "BC": HALF}
RIGHT = {"FR": 1.0, "FRC": 1.0, "FC": THIRD, "BR": THIRD, "SR": THIRD, "BC": HALF}
SURROUND = [
    ("a.wav", "wav", "pcm_s24le", "5.1"),
    ("a.flac", "flac", "flac", "5.1"),
    ("a.m4a", "ipod", "aac", "5.1"),
    ("a.ac3", "ac3", "ac3", "5.1"),
    ("a.caf", "caf", "pcm_s16le", "5.1"),
    ("a.aif", "aiff", "pcm_s16be", "quad"),
    ("a.w64", "w64", "pcm_f32le", "5.1"),
    ("a.mka", "matroska", "libopus", "5.1"),
    *(("a.opus", "ogg", "libopus", layout) for layout in ("3.0", "quad", "5.1", "7.1")),
    *(("a.wav", "wav", "pcm_f32le", layout) for layout in ("2.1", "4.0", "5.1(side)", "6.1", "7.1(wide)")),
]


@pytest.mark.parametrize(
    ("name", "muxer", "codec", "layout"),
    SURROUND,
    ids=[f"{name} {codec} {layout}" for name, _, codec, layout in SURROUND],
)
def test_surround_is_named_and_mixed_down_where_that_is_asked_for(
    tmp_path: Path, name: str, muxer: str, codec: str, layout: str
) -> None:
    folder = tmp_path / "songs"
    folder.mkdir()
    path = write_recording(folder / name, muxer, codec, layout)
    channels = av.AudioLayout(layout).channels
    (skipped,) = scan_folder(folder, tmp_path).skipped
    assert skipped.reason == f"has {len(channels)} channels: mix it down to stereo, or switch downmix on"
    with pytest.raises(FileProblem, match="channels"):
        read_clip(path)
    found = scan_folder(folder, tmp_path, downmix=True)
    assert found.skipped == () and found.clips[0].seconds == pytest.approx(SECONDS, abs=0.1)
    left, right = read_clip(path, downmix=True)[0].numpy()
    for channel in channels:
        for side, gains in ((left, LEFT), (right, RIGHT)):
            expected = LEVEL * gains.get(channel.name, 0.0)
            assert level_at(side, PITCHES[channel.name]) == pytest.approx(expected, abs=0.01), channel.name


def test_a_mix_that_is_too_loud_is_lowered_and_not_clipped(tmp_path: Path) -> None:
    path = write_recording(tmp_path / "a.wav", "wav", "pcm_f32le", "5.1", level=0.9)
    left, right = read_clip(path, downmix=True)[0].numpy()
    assert max(np.abs(left).max(), np.abs(right).max()) == pytest.approx(1.0, abs=1e-3)
    assert level_at(left, PITCHES["FC"]) / level_at(left, PITCHES["FL"]) == pytest.approx(THIRD, abs=1e-3)
    assert level_at(left, 1700.0) < 1e-3  # clipping would put new pitches there


def test_channels_that_nobody_knows_are_not_guessed(tmp_path: Path) -> None:
    folder = tmp_path / "songs"
    folder.mkdir()
    write_recording(folder / "a.m4a", "ipod", "aac", "6.1")
    (skipped,) = scan_folder(folder, tmp_path, downmix=True).skipped
    assert skipped.reason == "has 7 channels, and nobody knows which is where: mix it down to stereo"


def test_channels_in_an_order_of_the_files_own_end_nothing(tmp_path: Path) -> None:
    """PyAV ends the process for these, so another one reads them."""
    folder = tmp_path / "songs"
    folder.mkdir()
    write = "from pathlib import Path; from recordings_of_kinds import write_recording as write; import sys;"
    write += "write(Path(sys.argv[1], 'a.aif'), 'aiff', 'pcm_s16be', '7.1')"
    support = Path(__file__).parents[2] / "support"
    subprocess.run([sys.executable, "-c", write, str(folder)], cwd=support, check=False)
    assert (folder / "a.aif").stat().st_size > 1_000_000
    read = "import sys; from pathlib import Path; from ace_core.dataset.scanning import scan_folder as scan;"
    read += "print(*{str(scan(Path(sys.argv[1]), Path(sys.argv[1]), downmix=True).skipped[0]) for _ in range(50)})"
    root = support.parents[1]
    said = subprocess.run(
        [sys.executable, "-c", read, str(folder)], cwd=root, check=True, capture_output=True, text=True
    )
    assert said.stdout.strip() == (
        "a.aif has 8 channels in an order of its own (FL+FR+FC+LFE+SL+SR+BL+BR): save it as WAV or FLAC"
    )
