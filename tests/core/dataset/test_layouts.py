"""The layouts of other trainers: what lies beside a song is read by its name and content, or named."""

from __future__ import annotations

import json
import os
import shutil
import unicodedata
from pathlib import Path

import pytest
import torch
from song_folders import write_song

from ace_core.dataset import scanning
from ace_core.dataset.companions import Owners, fields_in_text, is_caption_text, name_key
from ace_core.dataset.dataset import Clip, Dataset, settings_not_taken
from ace_core.dataset.facts import FIELD_NAMES
from ace_core.dataset.scanning import Scan, folder_stamp, scan_folder
from ace_core.song.blueprint import Blueprint


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
SIDE_STEPS_EXAMPLE = f"""# Side-Step Sidecar Metadata Example
#
# Place a .txt file next to each audio file:
#   my_song.wav  \u2192  my_song.txt
#
# \u2500\u2500 Required by the model \u2500\u2500
caption: {CAPTION}
#
# \u2500\u2500 Musical metadata \u2500\u2500
tempo: 85
sig: 4/4
lang: english
trigger: ZX
#
# Multi-line: everything after "lyrics:" until EOF.
lyrics:
{WORDS}

# is sung
"""
GENIUS = f"12 ContributorsTranslationsEspa\u00f1olMy Song Lyrics{WORDS}\nYou might also like[Chorus]\nla la\n85Embed"
SUNO = f"Title: My Song\nStyle of Music: {CAPTION}\nCreated: 2026-01-01\nLyrics:\n{WORDS}"
LAYOUTS = {
    "official tutorial": {"song.lyrics.txt": WORDS, "song.caption.txt": CAPTION, "song.json": '{"bpm": 120}'},
    "official tutorial, old lyrics left": {
        "song.lyrics.txt": WORDS,
        "song.caption.txt": CAPTION,
        "song.txt": "[V]\nold",
    },
    "ACE-Step 1.0": {"song_lyrics.txt": WORDS, "song_prompt.txt": CAPTION},
    "Side-Step": {"song.txt": SIDE_STEP},
    "Side-Step's example": {"song.txt": SIDE_STEPS_EXAMPLE},
    "fields without a name for the lyrics": {"song.txt": f"Title: x\ncaption: {CAPTION}\nbpm: 120\n\n{WORDS}"},
    "ai-toolkit": {"song.txt": AI_TOOLKIT},
    "a transcriber of ACE-Step": {
        "song.lyrics.txt": f"# Languages\nen\n\n# Lyrics\n{WORDS}",
        "song.caption.txt": CAPTION,
    },
    "Genius": {"song_lyrics.txt": GENIUS, "song_prompt.txt": CAPTION},
    "Suno": {"song.txt": SUNO},
    "ace-lora-trainer": {"song.json": json.dumps({"filename": "song.flac", "caption": CAPTION, "lyrics": WORDS})},
    "ACE-Step 1.0, as a Hugging Face dataset": {
        "all.jsonl": json.dumps(
            {"keys": "song", "filename": "song.flac", "tags": [CAPTION], "norm_lyrics": WORDS, "recaption": {}}
        )
    },
    "JSON of a web page": {"song.json": f'{{"caption": "{CAPTION}", "lyrics": "[Verse]\u2028first line"}}'},
    "JSON lines of a web page": {
        "all.jsonl": f'\ufeff{{"file": "song.flac", "prompt": "{CAPTION}", "lyrics": "[Verse]\u2028first line"}}'
    },
    "times in the lyrics of a JSON": {
        "song.json": json.dumps({"caption": CAPTION, "lyrics": "[00:01.00][Verse]\n[00:12.00]fi[00:12.40]rst line"})
    },
    "lines in a JSON": {"song.json": json.dumps({"caption": CAPTION, "lyrics": WORDS.split("\n")})},
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


def test_the_example_of_side_step_is_read_to_the_last_field(folder: Folder) -> None:
    found = folder.scan(**{"song.txt": SIDE_STEPS_EXAMPLE})
    song = found.clips[0].song
    assert song.lyrics == f"{WORDS}\n\n# is sung" and song.caption == CAPTION
    assert (song.bpm, song.time_signature, song.language) == (85, 4, "en")
    assert found.stated == {"activation_tag": ["ZX"]} and found.notes == ()


def test_what_stands_around_lyrics_is_not_sung_and_said(folder: Folder) -> None:
    found = folder.scan(**{"song.lyrics.txt": GENIUS})
    assert found.clips[0].song.lyrics == f"{WORDS}\n\n[Chorus]\nla la"
    assert found.notes == (
        "song.lyrics.txt: what stands around the lyrics is not sung: "
        "'12 ContributorsTranslationsEspa\u00f1olMy Son...' and 2 more",
    )
    heading = folder.scan(**{"song.lyrics.txt": f"# Languages\nJapanese\n\n# Lyrics\n{WORDS}"}).clips[0].song
    assert (heading.language, heading.lyrics) == ("ja", WORDS)
    stated = folder.scan(**{"song.json": '{"language": "fr"}'}).clips[0].song
    assert stated.language == "fr"


@pytest.mark.parametrize("name", ["lyrics", "norm_lyrics", "lyric"])
def test_lyrics_of_a_wrong_kind_skip_their_song_under_any_name(folder: Folder, name: str) -> None:
    found = folder.scan(**{"song.json": json.dumps({"caption": CAPTION, name: {"a": 1}})})
    assert found.clips == ()
    assert found.skipped[0].reason.startswith(f"has lyrics that cannot be used: song.json: {name}: must be text")


def test_two_names_of_one_field_and_words_of_an_instrumental_are_said(folder: Folder) -> None:
    fields = {"caption": CAPTION, "tags": "jazz", "instrumental": True, "lyrics": WORDS, "custom_tag": "ZX"}
    found = folder.scan(**{"song.json": json.dumps(fields)})
    assert found.clips[0].song.is_instrumental and found.clips[0].song.caption == CAPTION
    assert found.notes == (
        "song.json: tags says caption a second time; left out",
        "song.json: lyrics are not used, since it says that nobody sings",
    )
    assert found.stated == {"activation_tag": ["ZX"]}


def test_settings_of_a_dataset_json_are_handed_on(folder: Folder) -> None:
    settings = {"custom_tag": "ZX", "tag_position": "append", "genre_ratio": 90, "all_instrumental": True}
    samples = [{"audio_path": "song.flac", "custom_tag": "ZX"}]
    found = folder.scan(**{"dataset.json": json.dumps({"metadata": settings, "samples": samples})})
    assert found.stated == {"activation_tag": ["ZX"], "tag_position": "append", "genre_ratio": 90}
    same = Dataset("x", found.clips, "ZX", "append", 90)
    assert settings_not_taken(same, found.stated) == []
    assert settings_not_taken(Dataset("x", found.clips), found.stated) == [
        "the files say activation tag 'ZX'; '' counts",
        "the files say genre ratio 90; 0 counts",
    ]


def test_the_folder_of_a_transcriber(folder: Folder) -> None:
    """Whisper writes five files beside each song; its texts agree, and the rest is named once."""
    lines = ("first line", "second line")
    folder.add_song("other.flac")
    for name in ("song", "other"):
        cues = "".join(f"{n}\n00:00:0{n},000 --> 00:00:0{n},900\n{line}\n\n" for n, line in enumerate(lines, 1))
        vtt = "WEBVTT\n\n" + "".join(f"00:0{n}.000 --> 00:0{n}.900\n{line}\n\n" for n, line in enumerate(lines, 1))
        document = {"text": " ".join(lines), "language": "en", "segments": [{"start": 0, "text": lines[0]}]}
        found = folder.scan(
            **{
                f"{name}.txt": "\n".join(lines) + "\n",
                f"{name}.srt": cues,
                f"{name}.vtt": vtt,
                f"{name}.tsv": "start\tend\ttext\n0\t900\tfirst line\n",
                f"{name}.json": json.dumps(document),
            }
        )
    assert [clip.song for clip in found.clips] == [Blueprint(lyrics="\n".join(lines), language="en")] * 2
    assert found.notes == (
        "other.json, song.json: 'text' is not a field of a song; left out",
        "other.json, song.json: 'segments' is not a field of a song; left out",
    )
    assert {skipped.name for skipped in found.skipped} == {"song.tsv", "other.tsv"}


def test_the_folder_of_a_downloader(folder: Folder) -> None:
    rolling = "WEBVTT\n\n00:01.000 --> 00:02.000\n \none<00:01.500><c> two</c>\n\n"
    rolling += "00:02.000 --> 00:03.000\none two\nthree<00:02.500><c> four</c>\n"
    found = folder.scan(
        **{
            "song.en.vtt": rolling,
            "song.info.json": json.dumps({"id": "x", "title": "y"}),
            "song.description": "buy it",
            "song.webp": b"RIFF",
            "next.flac.part": b"",
        }
    )
    assert found.clips[0].song.lyrics == "one two\nthree four"
    assert {skipped.name: skipped.reason for skipped in found.skipped} == {
        "next.flac.part": "is an unfinished download",
        "song.info.json": "belongs to no recording and is not a dataset",
    }
    assert [note.partition(":")[0] for note in found.notes] == ["song.description", "song.webp"]


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
    backups = {f"{name}.txt.bak": WORDS for name in ("song", "b")}
    found = folder.scan(
        **jpegs,
        **backups,
        **{"song.mid": b"MThd", "cover.jpg": b"", "list.xlsx": b"PK", "song_stems.zip": b"PK", "song.yaml": "a: 1"},
    )
    assert found.notes == (
        "b.jpg, c.jpg, d.jpg and 2 more: is not used, though named like a song: .jpg is not read",
        "b.txt.bak, song.txt.bak: is not used, though named like a song: .bak is not read",
        "song.yaml: is not used, though named like a song: settings of a trainer are not read",
    )
    assert {skipped.name: skipped.reason for skipped in found.skipped} == {
        "list.xlsx": "is a spreadsheet: save it as CSV",
        "song_stems.zip": "is an archive: unpack it",
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


class Harmful:
    def __reduce__(self) -> tuple[object, ...]:
        return Path.touch, (Path("harm was done"),)


def test_tensors_that_would_run_code_are_named_and_do_not(
    folder: Folder, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    metadata = {"audio_path": "song.flac", "caption": CAPTION}
    torch.save({"metadata": metadata, "more": Harmful()}, folder.place / "0.pt")
    torch.save({"metadata": metadata}, folder.place / "1.pt", _use_new_zipfile_serialization=False)
    found = folder.scan()
    assert found.notes == ("0.pt, 1.pt: holds tensors that cannot be read",)
    assert found.clips[0].song.caption is None and not (tmp_path / "harm was done").exists()


def test_lists_of_tensors_are_named(folder: Folder) -> None:
    found = folder.scan(**{"manifest.json": json.dumps({"samples": ["a.pt", "b.pt"]}), "song.pt": b"x"})
    assert [str(skipped) for skipped in found.skipped] == [
        "manifest.json lists tensors, of which only what they say about recordings here is read"
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

    def reader(path: Path, share: object, **options: bool) -> float:
        if path.name == "bad.flac":
            raise error
        return right(path, **options)

    monkeypatch.setattr(scanning, "clip_seconds", reader)
    found = folder.scan()
    assert [clip.name for clip in found.clips] == ["song.flac"] and isinstance(found.clips[0], Clip)
    assert found.skipped[0].name == "bad.flac" and type(error).__name__ in found.skipped[0].reason


def test_names_of_an_old_system_and_what_is_no_file_end_nothing(folder: Folder) -> None:
    """A name from an old archive is no Unicode; a pipe has no end; a folder may be called like a song."""
    name = os.fsdecode(b"caf\xe9.flac")
    shutil.copyfile(folder.recording, folder.place / name)
    (folder.place / os.fsdecode(b"caf\xe9.txt")).write_text(WORDS)
    os.mkfifo(folder.place / "pipe.flac")
    os.mkfifo(folder.place / "song.txt")
    (folder.place / "album.mp3").mkdir()
    (folder.place / "gone.wav").symlink_to(folder.place / "nowhere.wav")
    folder_stamp(folder.place)
    found = folder.scan()
    assert found.clips == () and "\udce9" not in str(found)
    assert {skipped.name: skipped.reason.partition(":")[0] for skipped in found.skipped} == {
        r"caf\udce9.flac": "has a name that is no Unicode",
        r"caf\udce9.txt": "has a name that is no Unicode",
        "gone.wav": "cannot be read as wav",
        "pipe.flac": "is empty",
        "song.flac": "has lyrics that cannot be used",
    }


@pytest.mark.parametrize(
    ("song", "text"),
    [
        ("Stra\u00dfe.flac", "STRASSE.lyrics.txt"),
        ("\uff33\uff4f\uff4e\uff47 \u30ac.flac", "\uff33\uff4f\uff4e\uff47 \u30ab\u3099.lrc"),
        ("a.b.c (live).flac", "a.b.c (live).Lyrics.TXT"),
        ("one.flac", "ONE.FLAC.LRC"),
        ("\u0130stanbul.flac", "\u0130stanbul_LYRICS.txt"),
    ],
)
def test_names_are_the_same_for_people(folder: Folder, song: str, text: str) -> None:
    folder.add_song(song)
    found = folder.scan(**{text: WORDS})
    (clip,) = [clip for clip in found.clips if clip.name == song]
    assert clip.song.lyrics == WORDS and found.skipped == ()
