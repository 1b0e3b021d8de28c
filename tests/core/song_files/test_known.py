"""What a file says of its song, ours and those of others."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from ace_core.song.blueprint import Blueprint
from ace_core.song.fields import INSTRUMENTAL_LYRICS
from ace_core.song.lrc import TimedWords
from ace_core.song_files.encoding import ENCODINGS, Sound, encode
from ace_core.song_files.files import write_song
from ace_core.song_files.known import KnownSong, known_song
from ace_core.song_files.record import MAX_TEXT_CHARACTERS, SongRecord
from ace_core.song_files.stars import write_star

SOUND = Sound(torch.zeros(1, 4800), 48_000)
LYRICS = "[Verse]\nLanterns drift\nalong the bay"
LRC = "[00:01.50]Lanterns drift\n[00:03.00]\n[00:04.00]along the bay"
LINES = (TimedWords(1.5, "Lanterns drift"), TimedWords(4.0, "along the bay"))
NOTHING = KnownSong((), "", None, None, False, False)


def of_others(folder: Path, comments: dict[str, str]) -> Path:
    path = folder / "other.flac"
    path.write_bytes(encode(SOUND, ENCODINGS["flac 16 bit"], comments)[0])
    return path


@pytest.mark.parametrize("name", ["flac 16 bit", "opus 64k", "mp3 128k", "wav 16 bit", "aac 128k"])
def test_a_song_of_ours_knows_its_words_tempo_and_star(tmp_path: Path, name: str) -> None:
    path = tmp_path / f"song.{ENCODINGS[name].container}"
    plan = Blueprint(lyrics=LYRICS, bpm=96, time_signature="6/8")
    write_song(path, SOUND, ENCODINGS[name], SongRecord(plan, lrc=LRC))
    assert known_song(path) == KnownSong(LINES, LYRICS, 96, 6, True, False)
    write_star(path, True)
    assert known_song(path).starred


def test_an_instrumental_has_no_words(tmp_path: Path) -> None:
    path = tmp_path / "song.flac"
    write_song(path, SOUND, ENCODINGS["flac 16 bit"], SongRecord(Blueprint(lyrics=INSTRUMENTAL_LYRICS)))
    assert known_song(path) == NOTHING._replace(ours=True)


@pytest.mark.parametrize("tag", ["SYNCEDLYRICS", "LYRICS", "UNSYNCEDLYRICS"])
def test_words_with_times_are_found_in_files_of_others(tmp_path: Path, tag: str) -> None:
    assert known_song(of_others(tmp_path, {tag: LRC})) == NOTHING._replace(lines=LINES)


@pytest.mark.parametrize("text", [LYRICS, "[00:01.00]a\n" * (MAX_TEXT_CHARACTERS // 11)])
def test_words_without_times_and_endless_ones_are_left(tmp_path: Path, text: str) -> None:
    assert known_song(of_others(tmp_path, {"LYRICS": text})) == NOTHING


def test_a_broken_record_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="song record"):
        known_song(of_others(tmp_path, {"ace_composer": "{}"}))
