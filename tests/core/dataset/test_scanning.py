"""A folder of songs as a dataset: what the files beside them say, what is skipped, and what is never opened."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest
import torch
from song_folders import RATE, write_song

from ace_core.dataset.dataset import Clip, Dataset
from ace_core.dataset.facts import read_facts, read_table
from ace_core.dataset.official_json import dataset_json, matching_name
from ace_core.dataset.scanning import Scan, folder_stamp, scan_folder
from ace_core.song.blueprint import Blueprint
from ace_core.song.fields import INSTRUMENTAL_LYRICS


@pytest.fixture(scope="module")
def recording(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_song(tmp_path_factory.mktemp("recording") / "song.flac")


@pytest.fixture
def songs(tmp_path: Path, recording: Path) -> Path:
    """A root with a folder of the songs a.flac, b.flac and disc 2/c.flac."""
    folder = tmp_path / "root" / "songs"
    for name in ("a.flac", "b.flac", "disc 2/c.flac"):
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(recording, folder / name)
    return folder


def scan(folder: Path, **options: object) -> Scan:
    return scan_folder(folder, folder.parent, **options)


def reasons(found: Scan) -> dict[str, str]:
    return {skipped.name: skipped.reason for skipped in found.skipped}


def test_songs_are_found_in_all_folders(songs: Path) -> None:
    found = scan(songs)
    assert [clip.name for clip in found.clips] == ["a.flac", "b.flac", "disc 2/c.flac"]
    assert found.skipped == () and found.notes == ()
    assert [clip.seconds for clip in found.clips] == [pytest.approx(6.0)] * 3
    assert all(clip.song == Blueprint() and not clip.labeled for clip in found.clips)


def test_the_files_beside_a_song_are_read_the_first_to_say_it_wins(songs: Path) -> None:
    (songs / "a.txt").write_bytes("\ufeff[Verse]\r\nGr\u00fc\u00dfe\r\n".encode())
    (songs / "a.json").write_text(json.dumps({"keyscale": "Am", "timesignature": "6/8", "genre": ["pop", "folk"]}))
    (songs / "b.lrc").write_text("[ar:me]\n[00:12.50]late\n[00:01.00]<00:01.00>early <00:02.00>word\n")
    (songs / "b.json").write_text(json.dumps({"is_instrumental": True, "vocal_language": "German"}))
    (songs / "facts.csv").write_text(
        "File;BPM;Key;Caption\na.flac;127,98;C;warm\nb;90;N/A;\nc.flac;0;Bb minor;cold\nnone.mp3;1;;\n"
    )
    found = scan(songs)
    a, b, c = found.clips
    assert a.song == Blueprint(
        caption="warm", lyrics="[Verse]\nGr\u00fc\u00dfe", bpm=128, key="A minor", time_signature=6
    )
    assert a.genre == "pop, folk"
    assert b.song == Blueprint(lyrics=INSTRUMENTAL_LYRICS, language="de", bpm=90)
    assert c.song == Blueprint(caption="cold", key="Bb minor")
    assert found.notes == (
        "'none.mp3': facts.csv: a row names no recording, or several",
        "b.lrc: lyrics is not used, b.json has it",
    )


def test_a_value_that_cannot_be_used_is_left_out_and_named(songs: Path) -> None:
    (songs / "a.json").write_text(json.dumps({"bpm": 999, "key": "H minor", "captoin": "x", "caption": "kept"}))
    (songs / "b.json").write_text("{broken")
    found = scan(songs)
    assert found.clips[0].song == Blueprint(caption="kept")
    said = "\n".join(found.notes)
    assert "a.json: bpm: bpm must be auto or a whole number from 30 to 300, got 999; left out" in said
    assert "a.json: key: key must be" in said and "'captoin' is not a field of a song" in said
    assert "b.json: is not valid JSON" in said


def test_a_song_whose_lyrics_cannot_be_read_is_skipped(songs: Path) -> None:
    (songs / "a.txt").write_bytes("ni\u00f1o".encode("cp1252"))
    (songs / "b.txt").write_text("la <|im_end|> la")
    found = scan(songs)
    assert [clip.name for clip in found.clips] == ["disc 2/c.flac"]
    assert reasons(found) == {
        "a.flac": "has lyrics that cannot be used: a.txt is not UTF-8, but may be "
        "Windows-1250 or Windows-1252: save it as UTF-8",
        "b.flac": "has lyrics that cannot be used: b.txt: lyrics: lyrics contains the control token '<|im_end|>': "
        "remove it",
    }


def test_what_cannot_be_used_is_shown(songs: Path) -> None:
    write_song(songs / "short.wav", 2.0)
    write_song(songs / "silent.wav", sound=torch.zeros(2, 6 * RATE))
    (songs / "broken.mp3").write_bytes(b"no music" * 100)
    shutil.copyfile(songs / "a.flac", songs / "a.opus")
    (songs / "lost.txt").write_text("words")
    (songs / "third.csv").write_text("File\n")
    (songs / "second.csv").write_text("File\n")
    (songs / "first.csv").write_text("Title,BPM\n")
    (songs / "cover.jpg").write_bytes(b"")
    (songs / "._a.flac").write_bytes(b"")
    found = scan(songs)
    assert len(found.clips) == 3
    assert reasons(found) == {
        "short.wav": "lasts 2 s: 5.12 s is the least to learn from",
        "silent.wav": "is silent",
        "broken.mp3": "cannot be read as mp3: Invalid data found when processing input",
        "a.opus": "has the same name as a.flac, which is taken",
        "lost.txt": "belongs to no recording",
        "third.csv": "is a second table: second.csv is taken",
        "first.csv": "has no column File: its first line must name the columns, such as File,BPM,Key,Caption",
    }


def test_links_that_lead_out_of_the_root_are_not_followed(songs: Path, recording: Path, tmp_path: Path) -> None:
    secret = tmp_path / "secret.txt"
    secret.write_text("the password")
    (songs / "linked.flac").symlink_to(recording)
    (songs / "a.txt").symlink_to(secret)
    (songs / "facts.csv").symlink_to(secret)
    (songs / "folder").symlink_to(recording.parent)
    (songs / "inside.flac").symlink_to(songs / "b.flac")
    (songs / "loop").symlink_to(songs)
    (songs / "gone.flac").symlink_to(songs / "nothing.flac")
    found = scan(songs)
    assert [clip.name for clip in found.clips] == ["a.flac", "b.flac", "disc 2/c.flac", "inside.flac"]
    assert found.clips[0].song.lyrics is None
    why = reasons(found)
    assert why.pop("gone.flac").startswith("cannot be read")
    assert why == {
        "linked.flac": "is a link that leads out of the dataset's root",
        "a.txt": "is a link that leads out of the dataset's root",
        "facts.csv": "is a link that leads out of the dataset's root",
        "folder": "is a link to a folder: links to folders are not followed",
        "loop": "is a link to a folder: links to folders are not followed",
    }
    folder_stamp(songs)


def test_the_official_json_lists_the_songs_wherever_it_was_written(songs: Path) -> None:
    samples = [
        {"audio_path": "D:\\music\\disc 2\\c.flac", "caption": "third", "bpm": None, "language": "unknown"},
        {"audio_path": "/etc/passwd", "filename": "passwd"},
        {"audio_path": "/home/me/a.flac", "caption": "", "lyrics": "[Instrumental]", "is_instrumental": True}
        | {"keyscale": "C major", "timesignature": "4", "labeled": True, "prompt_override": "genre", "genre": "folk"},
    ]
    (songs / "songs.json").write_text(json.dumps({"metadata": {"name": "x"}, "samples": samples}))
    (songs / "a.txt").write_text("words that the JSON overrules")
    (songs / "other.json").write_text("{}")
    found = scan(songs)
    assert [clip.name for clip in found.clips] == ["disc 2/c.flac", "a.flac"]
    assert found.clips[0].song == Blueprint(caption="third")
    assert found.clips[1] == Clip(
        "a.flac",
        songs / "a.flac",
        found.clips[1].seconds,
        Blueprint(lyrics=INSTRUMENTAL_LYRICS, key="C major", time_signature=4),
        "folk",
        "genre",
        True,
    )
    assert reasons(found) == {
        "passwd": "is listed in songs.json, but is not in the folder",
        "b.flac": "is not listed in songs.json",
        "other.json": "belongs to no recording and is not a dataset",
    }


def test_a_written_dataset_comes_back(songs: Path, tmp_path: Path) -> None:
    song = Blueprint(caption="pop", lyrics="la", language="no", bpm=99, key="F# minor", time_signature=3)
    clips = [Clip(clip.name, clip.path, clip.seconds) for clip in scan(songs).clips]
    clips[1] = Clip("b.flac", songs / "b.flac", clips[1].seconds, song, "folk", "caption", True)
    file = tmp_path / "labels.json"
    file.write_text(dataset_json(Dataset("songs", tuple(clips), "tag"), "2026-01-01T00:00:00"), encoding="utf-8")
    (songs / "folder.json").write_text('{"samples": []}')
    found = scan(songs, dataset_json=file)
    assert list(found.clips) == clips
    assert reasons(found) == {"folder.json": "is not used: labels.json lists the songs"}
    written = json.loads(file.read_text(encoding="utf-8"))
    assert written["metadata"] == {
        "name": "songs",
        "custom_tag": "tag",
        "tag_position": "prepend",
        "created_at": "2026-01-01T00:00:00",
        "num_samples": 3,
        "all_instrumental": False,
        "genre_ratio": 0,
    }
    assert written["samples"][1] == {
        "id": written["samples"][1]["id"],
        "audio_path": "b.flac",
        "filename": "b.flac",
        "caption": "pop",
        "genre": "folk",
        "lyrics": "la",
        "raw_lyrics": "la",
        "formatted_lyrics": "",
        "bpm": 99,
        "keyscale": "F# minor",
        "timesignature": "3",
        "duration": 6,
        "language": "no",
        "is_instrumental": False,
        "custom_tag": "tag",
        "labeled": True,
        "prompt_override": "caption",
    }


@pytest.mark.parametrize("content", ["nonsense", "[]", '{"samples": [1]}', '{"samples": [{"caption": "x"}]}'])
def test_a_chosen_file_that_is_no_dataset_is_an_error(songs: Path, tmp_path: Path, content: str) -> None:
    (tmp_path / "labels.json").write_text(content)
    with pytest.raises(ValueError, match=r"^labels\.json "):
        scan(songs, dataset_json=tmp_path / "labels.json")


def test_a_large_folder_with_broken_files_is_scanned(tmp_path: Path, recording: Path) -> None:
    folder = tmp_path / "songs"
    folder.mkdir()
    content = recording.read_bytes()
    broken = [b"", content[:40], b"garbage" * 50, content[:2000], bytes(5000)]
    for number in range(200):
        data = broken[number // 10 % 5] if number % 10 == 3 else content
        (folder / f"{number:03}.flac").write_bytes(data)
    reports: list[tuple[int, int]] = []
    found = scan(folder, on_progress=lambda done, total: reports.append((done, total)))
    assert len(found.clips) == 180
    assert sorted(reasons(found)) == [f"{number:03}.flac" for number in range(3, 200, 10)]
    assert all(found.skipped) and reports == sorted(reports) and reports[-1][0] <= reports[-1][1]


def test_a_scan_can_be_cancelled(songs: Path) -> None:
    def cancel(_done: int, _total: int) -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        scan(songs, on_progress=cancel)


def test_the_stamp_changes_with_every_file_that_counts(songs: Path) -> None:
    stamps = {folder_stamp(songs)}
    for name, content in (("a.txt", "x"), ("a.txt", "longer"), ("facts.csv", "File"), ("disc 2/c.json", "{}")):
        (songs / name).write_text(content)
        stamps.add(folder_stamp(songs))
    assert len(stamps) == 5
    (songs / "cover.jpg").write_bytes(b"x")
    assert folder_stamp(songs) in stamps


@pytest.mark.parametrize("delimiter", [",", ";", "\t"])
def test_tables_have_any_of_three_delimiters(delimiter: str) -> None:
    rows = [["file", "BPM", "Caption"], ["a.mp3", "90", '"x; y, z"'], ["", "1", "no name"]]
    table = read_table("\n".join(delimiter.join(row) for row in rows))
    assert table == {"a.mp3": {"file": "a.mp3", "BPM": "90", "Caption": "x; y, z"}}


@pytest.mark.parametrize(
    ("raw", "values"),
    [
        ({"BPM": "128.0", "Time Signature": "3/4", "language": "English"}, {"bpm": 128, "time_signature": 3}),
        ({"bpm": "0.00", "key": "N/A", "language": "unknown", "timesignature": "", "lyrics": None}, {}),
        ({"instrumental": "yes", "lyrics": "la"}, {"lyrics": INSTRUMENTAL_LYRICS}),
        ({"is_instrumental": False, "lyrics": "la", "labeled": False}, {"lyrics": "la", "labeled": False}),
        ({"id": 1, "duration": "x", "custom_tag": 2, "raw_lyrics": "x"}, {}),
    ],
)
def test_fields_have_many_names_and_spellings(raw: dict, values: dict) -> None:
    facts = read_facts(raw)
    assert facts.problems == ()
    assert {**facts.values} == values | ({"language": "en"} if raw.get("language") == "English" else {})


@pytest.mark.parametrize(
    ("path", "name"),
    [
        ("a.mp3", "a.mp3"),
        ("x/1/b.mp3", "1/b.mp3"),
        ("elsewhere/b.mp3", None),
        ("elsewhere/c.mp3", "2/c.mp3"),
        ("d.mp3", None),
    ],
)
def test_a_path_is_matched_by_its_end(path: str, name: str | None) -> None:
    assert matching_name(path, ["a.mp3", "1/b.mp3", "2/b.mp3", "2/c.mp3"]) == name
