"""Song files: the sound that comes back, and that a file is there whole or not at all."""

from __future__ import annotations

import math
import wave
from pathlib import Path

import pytest
import torch

from ace_core.song.blueprint import Blueprint
from ace_core.song_files.encoding import ENCODINGS, Sound, read_sound
from ace_core.song_files.files import read_record, write_song
from ace_core.song_files.record import SongRecord

RECORD = SongRecord(Blueprint(bpm=120))
LOSSLESS = {name: encoding for name, encoding in ENCODINGS.items() if encoding.container in ("flac", "wav")}
LOSSY = {name: encoding for name, encoding in ENCODINGS.items() if name not in LOSSLESS}


def tone(seconds: float = 0.6, *, channels: int = 2, rate: int = 48_000, level: float = 0.5) -> Sound:
    time = torch.arange(int(seconds * rate)) / rate
    waves = [level * torch.sin(2 * math.pi * hertz * time) for hertz in (440, 660)]
    return Sound(torch.stack(waves[:channels]), rate)


def file_for(folder: Path, name: str) -> Path:
    return folder / f"song.{ENCODINGS[name].container}"


@pytest.mark.parametrize("name", LOSSLESS)
@pytest.mark.parametrize(("channels", "rate", "seconds"), [(2, 48_000, 2.3), (1, 44_100, 0.5), (1, 22_051, 0.30003)])
def test_lossless_files_give_back_every_sample(
    tmp_path: Path, name: str, channels: int, rate: int, seconds: float
) -> None:
    path, encoding = file_for(tmp_path, name), ENCODINGS[name]
    sound = Sound(torch.rand(channels, int(seconds * rate), generator=torch.Generator().manual_seed(0)) * 2 - 1, rate)
    assert write_song(path, sound, encoding, RECORD) == []
    back = read_sound(path)
    assert back.sample_rate == rate and back.waveform.shape == sound.waveform.shape
    step = 0.0 if encoding.bits is None else 2.0 ** (1 - encoding.bits)
    assert (back.waveform - sound.waveform).abs().max() <= 1.01 * step  # the highest number is one step below 1
    assert (back.waveform - sound.waveform).abs().mean() <= 0.3 * step
    assert read_record(path) == RECORD


@pytest.mark.parametrize("name", LOSSY)
@pytest.mark.parametrize("channels", [1, 2])
def test_lossy_files_give_back_length_rate_and_level(tmp_path: Path, name: str, channels: int) -> None:
    path, sound = file_for(tmp_path, name), tone(1.7, channels=channels)
    assert write_song(path, sound, ENCODINGS[name], RECORD) == []
    back = read_sound(path)
    assert back.sample_rate == 48_000 and back.waveform.shape == sound.waveform.shape
    inner = slice(4800, -4800)
    error = (back.waveform - sound.waveform)[:, inner].square().mean() / sound.waveform[:, inner].square().mean()
    assert 10 * torch.log10(error) < -25  # dB
    assert read_record(path) == RECORD


def test_better_quality_makes_bigger_files(tmp_path: Path) -> None:
    noise = Sound(torch.rand(2, 96_000, generator=torch.Generator().manual_seed(0)) - 0.5, 48_000)
    sizes: dict[str, list[tuple[int, int]]] = {}
    for name, encoding in ENCODINGS.items():
        path = file_for(tmp_path, name)
        write_song(path, noise, encoding, RECORD)
        sizes.setdefault(encoding.container, []).append((encoding.bit_rate or 0, path.stat().st_size))
    assert {"m4a", "mp3", "opus"} < set(sizes)
    for group in sizes.values():
        by_rate = [size for rate, size in sorted(group) if rate]
        assert by_rate == sorted(set(by_rate))
        lossless = [size for rate, size in group if not rate]
        assert lossless == sorted(set(lossless), reverse=True)


@pytest.mark.parametrize(
    ("name", "rate", "sentence"),
    [
        ("opus 128k", 44_100, "opus cannot have 44100 Hz: the file has 48000 Hz"),
        ("mp3 V0", 96_000, "cannot have 96000 Hz"),
        ("aac 192k", 192_000, "m4a cannot have 192000 Hz"),
    ],
)
def test_a_rate_that_the_format_cannot_have_is_converted(tmp_path: Path, name: str, rate: int, sentence: str) -> None:
    path = file_for(tmp_path, name)
    (note,) = write_song(path, tone(0.5, rate=rate), ENCODINGS[name], RECORD)
    assert sentence in note
    back = read_sound(path)
    assert back.sample_rate == 48_000 and back.waveform.shape[1] == 24_000
    assert (back.waveform - tone(0.5).waveform)[:, 4800:-4800].abs().max() < 0.05


@pytest.mark.parametrize("name", ["flac 24 bit", "wav 16 bit", "mp3 320k"])
def test_samples_above_full_scale_are_clipped_and_said(tmp_path: Path, name: str) -> None:
    path = file_for(tmp_path, name)
    (note,) = write_song(path, tone(level=1.5), ENCODINGS[name], RECORD)
    assert "samples above full scale are clipped" in note
    waveform = read_sound(path).waveform
    assert 0.99 < waveform.max() < 1.2 and waveform.min() < -0.99


def test_float_files_keep_what_is_above_full_scale(tmp_path: Path) -> None:
    path, sound = tmp_path / "song.wav", tone(level=1.5)
    assert write_song(path, sound, ENCODINGS["wav 32 bit float"], RECORD) == []
    assert torch.equal(read_sound(path).waveform, sound.waveform)


def test_other_programs_read_the_wav(tmp_path: Path) -> None:
    path = tmp_path / "song.wav"
    write_song(path, Sound(torch.linspace(-1, 1, 4801)[None], 48_000), ENCODINGS["wav 16 bit"], RECORD)
    with wave.open(str(path)) as file:
        assert file.getparams()[:4] == (1, 2, 48_000, 4801)
    content = path.read_bytes()
    assert int.from_bytes(content[4:8], "little") == len(content) - 8 and len(content) % 2 == 0


def test_progress_counts_seconds_and_can_cancel(tmp_path: Path) -> None:
    path = tmp_path / "song.flac"
    calls: list[tuple[int, int]] = []
    write_song(path, tone(2.5), ENCODINGS["flac 16 bit"], RECORD, on_progress=lambda *call: calls.append(call))
    assert calls == [(0, 3), (1, 3), (2, 3), (3, 3)]
    before = path.read_bytes()

    class Cancelled(Exception):
        pass

    def cancel(done: int, _total: int) -> None:
        if done == 1:
            raise Cancelled

    with pytest.raises(Cancelled):
        write_song(path, tone(2.5), ENCODINGS["flac 24 bit"], RECORD, on_progress=cancel)
    assert path.read_bytes() == before
    assert list(tmp_path.iterdir()) == [path]


def test_a_file_that_cannot_take_its_place_leaves_nothing(tmp_path: Path) -> None:
    (tmp_path / "song.flac").mkdir()
    with pytest.raises(OSError):
        write_song(tmp_path / "song.flac", tone(), ENCODINGS["flac 16 bit"], RECORD)
    assert [path.name for path in tmp_path.iterdir()] == ["song.flac"]


@pytest.mark.parametrize("shape", [(3, 100), (2, 0)])
def test_sound_that_cannot_be_saved_is_refused(tmp_path: Path, shape: tuple[int, int]) -> None:
    with pytest.raises(ValueError, match=f"got {shape[0]} channels and {shape[1]} samples"):
        write_song(tmp_path / "song.wav", Sound(torch.zeros(shape), 48_000), ENCODINGS["wav 16 bit"], RECORD)


def test_files_of_others_are_read_or_refused(tmp_path: Path) -> None:
    bare = tmp_path / "bare.wav"
    with wave.open(str(bare), "wb") as file:
        file.setnchannels(1)
        file.setsampwidth(2)
        file.setframerate(8000)
        file.writeframes(b"\0\x40" * 800)
    assert read_sound(bare).waveform.tolist() == [[0.5] * 800]
    with pytest.raises(ValueError, match="bare.wav holds no plan of ACE Composer"):
        read_record(bare)
    text = tmp_path / "notes.txt"
    text.write_text("no sound")
    with pytest.raises(ValueError, match="notes.txt is not a song file"):
        read_record(text)


@pytest.mark.parametrize("suffix", ["flac", "mp3", "opus", "wav", "m4a"])
def test_broken_files_and_playlists_are_refused(tmp_path: Path, suffix: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    write_song(tmp_path / "song.wav", tone(), ENCODINGS["wav 16 bit"], RECORD)
    playlist = tmp_path / f"playlist.{suffix}"
    playlist.write_text("ffconcat version 1.0\nfile song.wav\n")
    for path in (playlist, tmp_path / f"empty.{suffix}"):
        path.touch()
        with pytest.raises(ValueError, match=path.name):
            read_record(path)
        with pytest.raises(ValueError, match=path.name):
            read_sound(path)
