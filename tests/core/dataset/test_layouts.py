"""The layouts of other trainers: what lies beside a song is read by its name and content, or named."""

from __future__ import annotations

import json
import shutil
import unicodedata
from pathlib import Path

import pytest
import torch
from song_folders import write_song

from ace_core.dataset import scanning
from ace_core.dataset.companions import Owners, fields_in_text, is_caption_text, name_key
from ace_core.dataset.dataset import Clip
from ace_core.dataset.facts import FIELD_NAMES
from ace_core.dataset.scanning import Scan, scan_folder


@pytest.fixture(scope="module")
def recording(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_song(tmp_path_factory.mktemp("recording") / "song.flac")


class Folder:
    """A dataset with the recordings song.flac, and other.flac where it is asked for."""

    def __init__(self, place: Path, recording: Path) -> None:
        self.place, self.recording = place / "songs", recording
        self.place.mkdir()
        self.add_song("song.flac")

    def add_song(self, name: str) -> None:
        shutil.copyfile(self.recording, self.place / name)

    def scan(self, **texts: str | bytes) -> Scan:
        for name, text in texts.items():
            content = text if isinstance(text, bytes) else text.encode()
            (self.place / name).write_bytes(content)
        return scan_folder(self.place, self.place.parent)


@pytest.fixture
def folder(tmp_path: Path, recording: Path) -> Folder:
    return Folder(tmp_path, recording)


WORDS = "[Verse]\nfirst line"
CAPTION = "a warm jazz trio"
SIDE_STEP = f"""caption: {CAPTION}
genre: jazz
bpm: 120
key: C minor
signature: 3/4
is_instrumental: false
repeat: 2
lyrics:
{WORDS}
bpm: this line is sung
"""
AI_TOOLKIT = f"<CAPTION>{CAPTION}</CAPTION>\n<LYRICS>\n{WORDS}\n</LYRICS>\n<BPM>120</BPM>\n<KEYSCALE>C minor</KEYSCALE>"
LAYOUTS = {
    "official tutorial": {"song.lyrics.txt": WORDS, "song.caption.txt": CAPTION, "song.json": '{"bpm": 120}'},
    "official tutorial, old lyrics left": {
        "song.lyrics.txt": WORDS,
        "song.caption.txt": CAPTION,
        "song.txt": "[V]\nold",
    },
    "ACE-Step 1.0": {"song_lyrics.txt": WORDS, "song_prompt.txt": CAPTION},
    "Side-Step": {"song.txt": SIDE_STEP},
    "ai-toolkit": {"song.txt": AI_TOOLKIT},
    "SimpleTuner": {"song.lyrics": WORDS, "song.txt": f"{CAPTION}, with brushes"},
    "kohya, LyCORIS": {"song.txt": WORDS, "song.caption": CAPTION},
    "with the whole name": {"song.flac.txt": WORDS, "song.flac.json": json.dumps({"caption": CAPTION})},
    "JSON in a text": {"song.txt": json.dumps({"lyrics": WORDS, "prompt": CAPTION})},
    "Hugging Face": {
        "song.txt": WORDS,
        "metadata.jsonl": json.dumps({"file_name": "song.flac", "text": "x", "caption": CAPTION}),
    },
    "musubi": {"all.jsonl": json.dumps({"audio_path": "/x/song.flac", "caption": CAPTION, "lyrics": WORDS})},
    "a list": {"songs.json": json.dumps([{"file": "song.flac", "tags": ["a warm jazz trio"], "norm_lyrics": WORDS}])},
    "kohya's meta": {"meta_cap.json": json.dumps({"song": {"caption": CAPTION, "lyrics": WORDS}})},
    "TSV": {"song.txt": WORDS, "facts.tsv": f"file\tcaption\nsong\t{CAPTION}\n"},
    "subtitles of a language": {
        "song.en.vtt": "WEBVTT\n\n00:01.000 --> 00:02.000\n[Verse]\nfirst line",
        "song.cap": CAPTION,
    },
    "LRC as text": {"song.txt": "[ar:x]\n[00:01.00][Verse]\n[00:12.00]first line", "song.prompt.txt": CAPTION},
}


@pytest.mark.parametrize("texts", LAYOUTS.values(), ids=LAYOUTS)
def test_layouts_of_trainers_are_read(folder: Folder, texts: dict[str, str]) -> None:
    found = folder.scan(**texts)
    (clip,) = found.clips
    assert clip.song.lyrics is not None and clip.song.lyrics.startswith(WORDS)
    assert clip.song.caption is not None and clip.song.caption.startswith(CAPTION)
    assert found.skipped == ()


def test_named_fields_are_fields_until_the_lyrics(folder: Folder) -> None:
    song = folder.scan(**{"song.txt": SIDE_STEP}).clips[0]
    assert (song.song.bpm, song.song.key, song.song.time_signature, song.genre) == (120, "C minor", 3, "jazz")
    assert song.song.lyrics == f"{WORDS}\nbpm: this line is sung"
    assert fields_in_text("[Verse]\nNote: this is only lyrics", FIELD_NAMES) is None
    assert fields_in_text("Key: to my heart\nla la", FIELD_NAMES) is None


def test_a_text_that_is_no_lyrics_is_not_sung(folder: Folder) -> None:
    found = folder.scan(**{"song.txt": "warm jazz trio, brushed drums"})
    assert found.clips[0].song.caption and found.clips[0].song.lyrics is None
    assert found.notes == ("song.txt: is read as the caption, since it does not look like lyrics",)
    assert (
        not is_caption_text("la la\nlo lo") and not is_caption_text("[Verse] la, la") and not is_caption_text("oh my")
    )
    assert is_caption_text(
        "A long sentence about the song that goes on and on, as people who describe music write it, "
        "and no one sings.\nAnd a second one that is a little shorter, but still far too long to be sung by anyone."
    )


def test_what_is_overruled_is_said(folder: Folder) -> None:
    found = folder.scan(**{"song.lyrics.txt": WORDS, "song.txt": "[Verse]\nold"})
    assert found.clips[0].song.lyrics == WORDS
    assert found.notes == ("song.txt: lyrics is not used, song.lyrics.txt has it",)


def test_a_file_with_the_name_of_a_song_that_is_not_read_is_named_once(folder: Folder) -> None:
    for name in ("b.flac", "c.flac", "d.flac", "e.flac"):
        folder.add_song(name)
    jpegs = {f"{name}.jpg": b"x" for name in ("song", "b", "c", "d", "e")}
    found = folder.scan(**jpegs, **{"song.mid": b"MThd", "cover.jpg": b"", "list.xlsx": b"PK", "song_stems.zip": b"PK"})
    assert found.notes == (
        "b.jpg, c.jpg, d.jpg and 2 more: is not used, though named like a song: .jpg is not read",
        "song_stems.zip: is not used, though named like a song: .zip is not read",
    )
    assert {skipped.name: skipped.reason for skipped in found.skipped} == {
        "list.xlsx": "is a spreadsheet: save it as CSV",
        "song.mid": "is notes without sound: render it to a recording first",
    }


def test_notes_do_not_drown(folder: Folder) -> None:
    folder.add_song("b.flac")
    rows = "File,Artist,BPM\n" + "song.flac,me,90\nb.flac,me,98-100\n"
    found = folder.scan(**{"facts.csv": rows})
    assert [note for note in found.notes if "Artist" in note] == [
        "b.flac, song.flac: facts.csv: 'Artist' is not a field of a song; left out"
    ]
    assert any("98-100" in note for note in found.notes)


@pytest.mark.parametrize("form", ["NFC", "NFD"])
def test_names_match_whatever_system_wrote_them(folder: Folder, form: str) -> None:
    other = "NFD" if form == "NFC" else "NFC"
    folder.add_song(unicodedata.normalize(form, "Z\u00f6e \uac00.flac"))
    text, table = (unicodedata.normalize(other, name) for name in ("z\u00d6E \uac00.TXT", "Z\u00f6e \uac00.FLAC"))
    found = folder.scan(**{text: WORDS, "facts.csv": f"file,bpm\n{table},90\n"})
    clip = next(clip for clip in found.clips if clip.name != "song.flac")
    assert (clip.song.lyrics, clip.song.bpm) == (WORDS, 90) and clip.path.exists()
    assert found.skipped == ()


def test_where_two_names_are_alike_the_spelling_counts() -> None:
    owners = Owners(["Song.flac", "song.mp3"])
    assert owners.of("song") == "song.mp3" and owners.of("Song") == "Song.flac" and owners.of("SONG") == "Song.flac"
    assert name_key("STRASSE") == name_key("stra\u00dfe")


def test_old_encodings_are_read_with_a_remark(folder: Folder) -> None:
    found = folder.scan(**{"song.txt": "Gr\u00fc\u00dfe aus der Nacht\nich h\u00f6r dich".encode("cp1252")})
    assert found.clips[0].song.lyrics == "Gr\u00fc\u00dfe aus der Nacht\nich h\u00f6r dich"
    assert found.notes == ("song.txt: is not UTF-8 and is read as Windows-1252: save it as UTF-8 if letters are wrong",)


def test_what_the_official_tensors_say_is_read(folder: Folder) -> None:
    metadata = {"audio_path": "D:\\x\\song.flac", "caption": CAPTION, "lyrics": WORDS, "keyscale": "Am", "bpm": 90}
    latents = torch.zeros(10, 64)
    torch.save({"target_latents": latents, "metadata": metadata}, folder.place / "0f3a.pt")
    torch.save(
        {"target_latents": latents, "metadata": {**metadata, "audio_path": "/y/lost.mp3"}}, folder.place / "1.pt"
    )
    torch.save({"weights": latents}, folder.place / "other.pt")
    found = folder.scan()
    song = found.clips[0].song
    assert (song.caption, song.lyrics, song.key, song.bpm) == (CAPTION, WORDS, "A minor", 90)
    assert found.notes == (
        "1.pt: holds tensors of a recording that is not in the folder: bring the recording",
        "other.pt: holds tensors and does not say of which recording",
    )


def test_lists_of_tensors_are_named(folder: Folder) -> None:
    found = folder.scan(**{"manifest.json": json.dumps({"samples": ["a.pt", "b.pt"]}), "song.pt": b"x"})
    assert [str(skipped) for skipped in found.skipped] == [
        "manifest.json lists tensors of the official trainer, which are not read: bring the recordings"
    ]
    assert found.notes == ("song.pt: holds tensors that cannot be read",)


@pytest.mark.parametrize(
    "error", [AttributeError("channels"), MemoryError("too large"), RuntimeError("x"), KeyError("y")]
)
def test_nothing_that_a_reader_raises_ends_a_scan(
    folder: Folder, monkeypatch: pytest.MonkeyPatch, error: Exception
) -> None:
    folder.add_song("bad.flac")
    right = scanning.clip_seconds

    def reader(path: Path, share: object) -> float:
        if path.name == "bad.flac":
            raise error
        return right(path)

    monkeypatch.setattr(scanning, "clip_seconds", reader)
    found = folder.scan()
    assert [clip.name for clip in found.clips] == ["song.flac"] and isinstance(found.clips[0], Clip)
    assert found.skipped[0].name == "bad.flac" and type(error).__name__ in found.skipped[0].reason
