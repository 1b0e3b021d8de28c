"""The star of a song: read by mutagen as players read it, with the sound and all other texts as they were."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import mutagen
import pytest
import torch
from comfyui_readers import dropped_workflow

from ace_core.song.blueprint import Blueprint
from ace_core.song_files.encoding import ENCODINGS, Sound, encode, read_comments, read_sound
from ace_core.song_files.files import read_record, write_song
from ace_core.song_files.record import SongRecord
from ace_core.song_files.stars import read_star, write_star

NAMES = ("flac 24 bit", "opus 64k", "mp3 128k", "wav 32 bit float", "aac 128k")
SOUND = Sound(0.2 * torch.randn(2, 48_777, generator=torch.Generator().manual_seed(3)), 48_000)
RECORD = SongRecord(
    Blueprint(caption="rain", lyrics="[Verse]\n\u96e8 on the window", bpm=95, key="A minor"),
    seeds={"render": 2**64 - 1},
    lrc="[00:00.50]\u96e8 on the window",
)
WORKFLOW = {"nodes": [{"id": 1, "type": "AceComposerSample"}]}


def song(folder: Path, name: str) -> Path:
    path = folder / f"song.{ENCODINGS[name].container}"
    write_song(path, SOUND, ENCODINGS[name], RECORD, title="Rain", workflow=WORKFLOW, prompt={"1": {}})
    return path


def ratings(path: Path) -> dict[str, Any]:
    """What mutagen finds of ratings, by the names of tags."""
    return {key: value for key, value in mutagen.File(path).tags.items() if "RATING" in key.upper() or "POPM" in key}


@pytest.mark.parametrize("name", NAMES)
def test_a_star_comes_and_goes_and_nothing_else_changes(tmp_path: Path, name: str) -> None:
    path = song(tmp_path, name)
    sound, comments = read_sound(path), read_comments(path)
    assert not read_star(path)
    for _ in range(2):  # a star on a star is one star
        write_star(path, True)
        assert read_star(path)
        assert read_comments(path).items() >= comments.items()
        assert read_record(path) == RECORD
        assert torch.equal(read_sound(path).waveform, sound.waveform)
    write_star(path, False)
    assert not read_star(path) and ratings(path) == {}
    assert read_comments(path) == comments
    assert torch.equal(read_sound(path).waveform, sound.waveform)
    assert [each.name for each in tmp_path.iterdir()] == [path.name]


@pytest.mark.parametrize("name", ["flac 24 bit", "opus 64k"])
def test_players_find_a_full_rating_in_the_comments(tmp_path: Path, name: str) -> None:
    path = song(tmp_path, name)
    write_star(path, True)
    assert {key: list(value) for key, value in ratings(path).items()} == {"rating": ["100"], "fmps_rating": ["1.0"]}


@pytest.mark.parametrize("name", ["mp3 128k", "wav 32 bit float"])
def test_players_find_five_stars_in_the_tag(tmp_path: Path, name: str) -> None:
    path = song(tmp_path, name)
    write_star(path, True)
    found = ratings(path)
    assert found["POPM:Windows Media Player 9 Series"].rating == 255
    assert found["TXXX:FMPS_Rating"].text == ["1.0"]
    assert len(found) == 2
    assert mutagen.File(path).tags["SYLT::und"].text == [("\u96e8 on the window", 500)]


@pytest.mark.parametrize("name", ["flac 24 bit", "opus 64k", "mp3 128k"])
def test_the_page_still_finds_the_workflow(tmp_path: Path, name: str) -> None:
    path = song(tmp_path, name)
    write_star(path, True)
    assert dropped_workflow(path.suffix[1:], path.read_bytes())["workflow"] == WORKFLOW


def test_a_chunk_behind_the_tag_of_a_wav_stays(tmp_path: Path) -> None:
    path = song(tmp_path, "wav 32 bit float")
    content = path.read_bytes() + b"note\x03\x00\x00\x00abc\x00"
    path.write_bytes(content[:4] + (len(content) - 8).to_bytes(4, "little") + content[8:])
    write_star(path, True)
    after = path.read_bytes()
    assert b"note\x03\x00\x00\x00abc\x00" in after and int.from_bytes(after[4:8], "little") == len(after) - 8
    assert read_star(path) and read_record(path) == RECORD


def test_songs_of_others_are_refused_and_stay(tmp_path: Path) -> None:
    path = tmp_path / "other.flac"
    path.write_bytes(encode(SOUND, ENCODINGS["flac 16 bit"], {})[0])
    before = path.read_bytes()
    with pytest.raises(ValueError, match="other.flac was not saved by Save Song"):
        write_star(path, True)
    assert path.read_bytes() == before


def test_a_tag_that_was_written_again_in_another_form_is_refused(tmp_path: Path) -> None:
    path = song(tmp_path, "mp3 128k")
    tagged = mutagen.File(path)
    tagged.tags.update_to_v24()
    tagged.save(v2_version=4)
    before = path.read_bytes()
    with pytest.raises(ValueError, match=r"song.mp3 cannot have a star: the ID3 tag is not of version 2.3"):
        write_star(path, True)
    assert path.read_bytes() == before


@pytest.mark.parametrize("name", ["mp3 128k", "wav 32 bit float"])
def test_a_tag_that_ends_inside_a_frame_is_refused(tmp_path: Path, name: str) -> None:
    path = song(tmp_path, name)
    content = path.read_bytes()
    place = content.index(b"USLT") + 4
    path.write_bytes(content[:place] + b"\x00\xff\xff\xff" + content[place + 4 :])
    with pytest.raises(ValueError, match="ends inside a frame"):
        write_star(path, True)
