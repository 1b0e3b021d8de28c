"""What sites and programs put around lyrics goes, with a sentence; what a song may say stays."""

from __future__ import annotations

import pytest

from ace_core.song.copied_lyrics import without_copied_marks
from ace_core.song.lyric_reader import lyrics_in_text

COPIED = {
    "transcriber": ("# Languages\nen\n\n# Lyrics\n[Verse 1]\nhello\n", "[Verse 1]\nhello"),
    "the model's prompt": ("# Languages\nzh\n\n# Lyric\n[Verse]\nla", "[Verse]\nla"),
    "heading alone": ("# lyric\nla", "la"),
    "named lines and a name for the lyrics": (
        "Title: My Song\nStyle: pop, female\nCreated: 2026-01-01\nLyrics:\n[Verse]\nhello",
        "[Verse]\nhello",
    ),
    "named lines and a tag": ("Artist: Me\n[Verse]\nla", "[Verse]\nla"),
    "named lines and an empty line": ("Title: x\n\nla", "la"),
    "two named lines": ("Title: x\nArtist: me\nla\nlo", "la\nlo"),
    "a name for the lyrics": ("Lyrics:\nla", "la"),
    "Genius": (
        "12 ContributorsTranslationsEspa\u00f1olMy Song Lyrics[Verse 1: Me]\nhello\n"
        "You might also like[Chorus]\nla\n85Embed",
        "[Verse 1: Me]\nhello\n\n[Chorus]\nla",
    ),
    "Genius with a description": (
        "3 ContributorsSong Lyrics\u201cSong\u201d is a song by Me. Read More\u00a0\n[Intro]\nyo\nEmbed",
        "[Intro]\nyo",
    ),
    "Genius without contributors": ("My Song Lyrics[Verse]\nhi\nyoEmbed", "[Verse]\nhi\nyo"),
    "Genius with tickets": ("[Verse]\nhi\nSee Me LiveGet tickets as low as $35\nyo1.2KEmbed", "[Verse]\nhi\nyo"),
    "Musixmatch": (
        "la la\nlo lo\n...\n\n******* This Lyrics is NOT for Commercial use *******\n(1409618010209)",
        "la la\nlo lo",
    ),
    "Google": (
        "la\nlo\n\nSource: LyricFind\nSongwriters: A / B\nMy Song lyrics \u00a9 Sony Music",
        "la\nlo",
    ),
    "AZLyrics": ("la\nlo\n\nSubmit Corrections\nThanks to A, B for correcting these lyrics\nWriter(s): C", "la\nlo"),
}


@pytest.mark.parametrize(("text", "lyrics"), COPIED.values(), ids=COPIED)
def test_what_stands_around_goes_and_is_said(text: str, lyrics: str) -> None:
    read = lyrics_in_text(text)
    assert read.text == lyrics
    assert [note for note in read.notes if note.startswith("what stands around the lyrics is not sung: ")]
    assert lyrics_in_text(lyrics) == (lyrics, (), "")


@pytest.mark.parametrize(
    "text",
    [
        "Key: to my heart\nla la",
        "You might also like\nme",
        "[Verse]\n# Lyric is a word here\nla",
        "# Languages of love\n[Verse]\nla",
        "la\nI will Embed",
        "Tempo: fast",
        "la la\n...",
        "[Chorus]\nSource: of life\nWriters: of songs",
        "12 Contributors\nto my pain",
        "Mood: blue\nsky is grey\n\nla",
        "(5551234)\ncall me",
    ],
)
def test_a_song_may_say_the_same(text: str) -> None:
    assert lyrics_in_text(text) == (text, (), "")


def test_the_language_of_a_heading_is_told() -> None:
    assert without_copied_marks("# Languages\nen\n\n# Lyrics\nla").language == "en"
    assert without_copied_marks("# Lyrics\nla").language == ""


def test_a_head_before_times_is_no_line() -> None:
    read = lyrics_in_text("Title: x\nArtist: me\n\n[00:01.00]la\n[00:02.00]lo")
    assert read.text == "la\nlo" and len(read.notes) == 2
