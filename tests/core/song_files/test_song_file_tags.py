"""Texts in song files: read back by mutagen, which is independent of FFmpeg, and as ComfyUI's page reads them."""

from __future__ import annotations

import json
import struct
from pathlib import Path
from typing import Any

import mutagen
import pytest
import torch
from comfyui_readers import dropped_workflow

from ace_core.song.blueprint import Blueprint
from ace_core.song_files import tags
from ace_core.song_files.encoding import ENCODINGS, Sound
from ace_core.song_files.files import read_record, write_song
from ace_core.song_files.record import (
    MAX_RECORD_CHARACTERS,
    SongRecord,
    record_from_json,
    record_to_json,
)
from ace_core.song_files.tags import song_tags

NAMES = ("flac 16 bit", "opus 64k", "mp3 128k", "wav 16 bit")
SOUND = Sound(torch.zeros(1, 4800), 48_000)
TITLE = "Rain \u96e8 \U0001f327 \u0e1d\u0e19 \u00fcber"
JAPANESE = "\u96e8\u304c\u964d\u308b"
THAI = "\u0e1d\u0e19\u0e15\u0e01"
LYRICS = f"[Verse 1]\nRain on\u2014the window, \uff0c\u00fb\n{JAPANESE} \U0001f327\n\n[Chorus]\n{THAI}"
LRC = f"[00:01.50]Rain on\u2014the window\n[00:59.99]<00:59.99>{JAPANESE} <01:00.20>\U0001f327\n[61:02.003]{THAI}\n"
TIMED = [("Rain on\u2014the window", 1500), (f"{JAPANESE} \U0001f327", 59_990), (THAI, 3_662_003)]
RECORD = SongRecord(
    Blueprint(
        caption="Sad piano: rain",
        lyrics=LYRICS,
        language="ja",
        bpm=95,
        key="F\u266f minor",
        duration_seconds=61.5,
        audio_codes=tuple(range(300)),
        planned=frozenset({"bpm"}),
    ),
    seeds={"render": 2**64 - 1, "plan": 0},
    settings={"steps": 8, "shift": 3.0, "solver": "euler", "tiled": False},
    models={"acestep_v1.5_turbo.safetensors": "sha256:0123"},
    scores={"caption": 0.75, "alignment": 0.5},
    lrc=LRC,
)
WORKFLOW = {"nodes": [{"id": 1, "type": "AceComposerSample"}], "extra": {"note": "\u96e8 \U0001f327 \x00 }"}}
PROMPT = {"1": {"class_type": "AceComposerSample", "inputs": {"seed": 2**64 - 1, "x": float("nan")}}}


def write(folder: Path, name: str, record: SongRecord = RECORD, **texts: Any) -> tuple[Path, list[str]]:
    path = folder / f"song.{ENCODINGS[name].container}"
    return path, write_song(path, SOUND, ENCODINGS[name], record, **texts)


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize(
    ("lrc", "problem"),
    [("la\nlo", "the timed lyrics have no times"), ("<tt><p></tt>", "the timed lyrics cannot be read: is not XML")],
)
def test_timed_lyrics_that_are_none_do_not_keep_a_song_from_being_saved(
    tmp_path: Path, name: str, lrc: str, problem: str
) -> None:
    path, notes = write(tmp_path, name, SongRecord(lrc=lrc))
    assert [note for note in notes if note.startswith(problem) and note.endswith("; players are given none")]
    assert read_record(path).lrc == lrc
    assert not {"syncedlyrics", "sylt::und"} & {key.lower() for key in mutagen.File(path).tags.keys()}


@pytest.mark.parametrize("name", ["flac 16 bit", "opus 64k"])
def test_vorbis_comments_have_the_names_players_know(tmp_path: Path, name: str) -> None:
    path, notes = write(tmp_path, name, title=TITLE, workflow=WORKFLOW, prompt=PROMPT)
    assert notes == []
    comments = mutagen.File(path).tags
    assert comments["title"] == [TITLE]
    assert comments["lyrics"] == [LYRICS]
    assert comments["syncedlyrics"] == [LRC.strip()]
    assert comments["bpm"] == ["95"]
    assert comments["key"] == comments["initialkey"] == ["F#m"]


@pytest.mark.parametrize("name", ["mp3 128k", "wav 16 bit"])
def test_id3_frames_are_the_standard_ones(tmp_path: Path, name: str) -> None:
    path, _ = write(tmp_path, name, title=TITLE, workflow=WORKFLOW, prompt=PROMPT)
    frames = mutagen.File(path).tags
    assert frames.version == (2, 3, 0)
    assert frames["TIT2"].text == [TITLE]
    assert frames["TBPM"].text == ["95"]
    assert frames["TKEY"].text == ["F#m"]
    assert frames["USLT::und"].text == LYRICS
    timed = frames["SYLT::und"]
    assert timed.text == TIMED
    assert (timed.format, timed.type) == (2, 1)  # milliseconds, lyrics


def test_the_title_of_a_wav_is_in_its_info_chunk_too(tmp_path: Path) -> None:
    path, notes = write(tmp_path, "wav 16 bit", title=TITLE, workflow=WORKFLOW)
    content = path.read_bytes()
    place = content.index(b"INAM")
    (size,) = struct.unpack_from("<I", content, place + 4)
    assert content[place + 8 : place + 8 + size].rstrip(b"\0").decode() == TITLE
    assert len(notes) == 1 and "does not read WAV" in notes[0]


@pytest.mark.parametrize("name", NAMES)
def test_a_file_gives_back_its_record(tmp_path: Path, name: str) -> None:
    path, _ = write(tmp_path, name, title=TITLE, workflow=WORKFLOW, prompt=PROMPT)
    assert read_record(path) == RECORD


@pytest.mark.parametrize("name", NAMES)
def test_nothing_is_written_for_what_is_not_there(tmp_path: Path, name: str) -> None:
    path, notes = write(tmp_path, name, SongRecord())
    assert notes == []
    assert read_record(path) == SongRecord()
    names = {key.lower() for key in mutagen.File(path).tags.keys()}
    assert names <= {"encoder", "ace_composer", "txxx:ace_composer", "tsse"}


def found(path: Path) -> dict[str, Any]:
    return dropped_workflow(path.suffix[1:], path.read_bytes())


@pytest.mark.parametrize("name", ["flac 16 bit", "opus 64k", "mp3 128k"])
def test_comfyui_finds_the_workflow(tmp_path: Path, name: str) -> None:
    path, _ = write(tmp_path, name, title=TITLE, workflow=WORKFLOW, prompt=PROMPT)
    both = found(path)
    assert both["workflow"] == WORKFLOW
    assert both["prompt"]["1"]["inputs"]["seed"] == 2**64 - 1
    path, _ = write(tmp_path, name, title=TITLE, prompt=PROMPT)
    assert list(found(path)) == ["prompt"]


def workflow_of(characters: int) -> dict[str, str]:
    """A workflow whose JSON has this many characters."""
    return {"text": "x" * (characters - len(json.dumps({"text": ""}, separators=(",", ":"))))}


# Lengths whose bytes spell a closing brace where one text ends in Ogg, or the end of the tag in MP3.
AWKWARD = sorted({125, *range(112, 118), 256, 381, 0x7D00 - 7, 0x7D7D - 7, 0xFFFB - 11, 0xFFFB - 9, 60_000})


@pytest.mark.parametrize("name", ["flac 16 bit", "opus 64k", "mp3 128k"])
def test_no_length_of_a_text_hides_it(tmp_path: Path, name: str) -> None:
    for characters in AWKWARD:
        if name.startswith("opus") and characters > tags.FIRST_OGG_PAGE_BYTES:
            continue
        workflow = workflow_of(characters)
        path, _ = write(tmp_path, name, SongRecord(), workflow=workflow, prompt=workflow_of(min(characters, 0x7D7D)))
        assert found(path)["workflow"] == workflow
    for characters in range(108, 130):
        path, _ = write(tmp_path, name, SongRecord(), workflow=WORKFLOW, prompt=workflow_of(characters))
        assert found(path)["workflow"] == WORKFLOW
        assert found(path)["prompt"] == workflow_of(characters)


@pytest.mark.parametrize("characters", [30_000, tags.FIRST_OGG_PAGE_BYTES])
def test_what_fits_the_first_page_of_an_opus_file_is_found(tmp_path: Path, characters: int) -> None:
    path, notes = write(tmp_path, "opus 64k", workflow=workflow_of(characters), prompt=workflow_of(90_000))
    assert notes == []
    assert found(path)["workflow"] == workflow_of(characters)


def test_what_comfyui_will_not_find_is_said(tmp_path: Path) -> None:
    path, (note,) = write(tmp_path, "opus 64k", workflow=workflow_of(70_000))
    assert "70 kB" in note and "FLAC and MP3" in note
    assert found(path) == {}
    assert read_record(path) == RECORD
    path, notes = write(tmp_path, "mp3 128k", workflow=workflow_of(700_000))
    assert notes == [] and found(path)["workflow"] == workflow_of(700_000)


@pytest.mark.parametrize("name", NAMES)
def test_texts_have_a_limit_in_all(tmp_path: Path, name: str) -> None:
    path, notes = write(tmp_path, name, title="t" * 300, workflow=workflow_of(5_000_000), prompt=PROMPT)
    assert notes[:2] == [
        "the title is shortened from 300 to 200 characters",
        "the workflow is not in the file: it has 5.0 MB, and texts may have 4.0 MB in all; save it by itself",
    ]
    assert path.stat().st_size < 1_000_000
    assert read_record(path) == RECORD
    if name != "wav 16 bit":
        assert list(found(path)) == ["prompt"]


def test_a_record_beyond_the_limit_is_left_out(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(tags, "MAX_JSON_BYTES", 1000)
    path, notes = write(tmp_path, "flac 16 bit", prompt=PROMPT)
    assert notes == ["the plan is not in the file: it has 2 kB, the most is 1 kB"]
    assert list(found(path)) == ["prompt"]
    with pytest.raises(ValueError, match="holds no plan"):
        read_record(path)


@pytest.mark.parametrize("name", NAMES)
def test_hostile_texts_do_no_harm(tmp_path: Path, name: str) -> None:
    title = "\x00TIT2\x1b[2J\r\n= \ud800 \u202e\uffff" + "\U0001f327" * 3 + "\x85\x9f"
    record = SongRecord(
        Blueprint(lyrics="OggS\tprompt=" + '{"a":1}' + "\u2028\u0301" * 100 + "\nworkflow=" + '{"b":2}'),
        lrc="[00:01.00]\x00\ud83d\r\n[99999:00.00]x\n[00:00.50]first\n[0:2]\n[00:03.00][00:04.00]twice",
    )
    path, notes = write(tmp_path, name, record, title=title, workflow=WORKFLOW)
    read = mutagen.File(path).tags
    text = str(read["title"][0] if "title" in read else read["TIT2"].text[0])
    assert text == "TIT2[2J = \u202e\U0001f327\U0001f327\U0001f327"
    assert all("dropping it there opens nothing" in note for note in notes)
    if "SYLT::und" in read:
        timed = [("first", 500), ("", 1000), ("", 2000), ("twice", 3000), ("twice", 4000), ("x", 2**32 - 1)]
        assert read["SYLT::und"].text == timed
    if name != "wav 16 bit":
        assert found(path) == {"workflow": WORKFLOW}
    assert read_record(path) == record


@pytest.mark.parametrize(
    ("key", "short"),
    [("C major", "C"), ("A minor", "Am"), ("B\u266d major", "Bb"), ("F# minor", "F#m"), ("E\u266d minor", "Ebm")],
)
def test_keys_are_written_in_short(key: str, short: str) -> None:
    written, _ = song_tags(SongRecord(Blueprint(key=key)), "", None, None)
    assert written.fields["key"] == short


def test_a_record_survives_json() -> None:
    text = record_to_json(RECORD)
    assert text.isascii() and "\n" not in text
    assert record_from_json(text) == RECORD


@pytest.mark.parametrize(
    ("change", "complaint"),
    [
        ({"format": "other"}, "not a song record"),
        ({"version": 2}, "version 2 cannot be read"),
        ({"seeds": {"render": -1}}, "seeds: 'render' cannot be -1"),
        ({"seeds": {"render": True}}, "seeds"),
        ({"seeds": {"render": 1.5}}, "seeds"),
        ({"scores": {"caption": float("nan")}}, "scores"),
        ({"scores": {"caption": "high"}}, "scores"),
        ({"settings": {"steps": [8]}}, "settings"),
        ({"models": {"file": 3}}, "models"),
        ({"models": {str(number): "x" for number in range(65)}}, "at most 64"),
        ({"settings": ["steps"]}, "settings must be"),
        ({"lrc": 5}, "lrc must be text"),
        ({"lrc": "x" * 300_000}, "lrc must be text"),
        ({"blueprint": None}, "not a blueprint file"),
        ({"blueprint": {"format": "ace_composer.blueprint", "version": 1, "songs": [{}, {}]}}, "one song, got 2"),
        ({"blueprint": {"format": "ace_composer.blueprint", "version": 1, "songs": [{"bpm": 5}]}}, "bpm"),
    ],
)
def test_a_record_from_outside_is_checked(change: dict[str, Any], complaint: str) -> None:
    document = json.loads(record_to_json(RECORD)) | change
    with pytest.raises(ValueError, match=complaint):
        record_from_json(json.dumps(document))


@pytest.mark.parametrize("text", ["", "[" * 100_000, "x" * (MAX_RECORD_CHARACTERS + 1), "[]", "{}"])
def test_what_is_no_record_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match="song record"):
        record_from_json(text)
