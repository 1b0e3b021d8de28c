"""The metadata block: byte for byte what PyYAML writes, and read back as YAML means it."""

from __future__ import annotations

import pytest
import yaml
from hypothesis import given, settings
from hypothesis import strategies as st

from ace_core.planner.metadata import (
    METADATA_FIELDS,
    read_lyrics,
    read_metadata,
    song_metadata,
    song_values,
    write_metadata,
)
from ace_core.song.blueprint import Blueprint, with_planned_values
from ace_core.song.fields import KEYS
from ace_core.song.languages import LANGUAGES
from ace_core.song.texts import plain_lines, without_control_tokens

repeatable = settings(deadline=None, derandomize=True)

words = st.lists(st.sampled_from(["a", "warm", "don't", '"live"', "re:", "#1", "- x", "ballad.", "&b", "*c", "[d]"]))
texts = st.text(st.characters(exclude_categories=["Cs"])) | words.map(" ".join)


def test_the_published_example() -> None:
    block = write_metadata({"bpm": 95, "duration": 184, "keyscale": "G major", "timesignature": 4})
    assert block == "bpm: 95\nduration: 184\nkeyscale: G major\ntimesignature: 4"


@pytest.mark.parametrize(
    ("value", "spelling"),
    [
        ("no", "'no'"),
        ("F# minor", "F# minor"),
        ("B\u266d major", "B\u266d major"),
        ("Style: pop", "'Style: pop'"),
        ("pop #1", "'pop #1'"),
        ("it's: so", "'it''s: so'"),
        ("ends with:", "'ends with:'"),
        ("[Intro] soft", "'[Intro] soft'"),
        ("1999", "'1999'"),
        ("it's so", "it's so"),
    ],
)
def test_values_that_yaml_would_misread_are_quoted(value: str, spelling: str) -> None:
    assert write_metadata({"caption": value}) == f"caption: {spelling}"
    assert read_metadata(f"caption: {spelling}") == {"caption": value}


def test_long_captions_break_after_column_80() -> None:
    caption = "A gentle folk ballad led by fingerpicked acoustic guitar and a warm, breathy female vocal that rises."
    assert write_metadata({"bpm": 95, "caption": caption, "duration": 184}) == (
        "bpm: 95\n"
        "caption: A gentle folk ballad led by fingerpicked acoustic guitar and a warm, breathy\n"
        "  female vocal that rises.\n"
        "duration: 184"
    )


def test_names_are_sorted_and_nothing_is_the_empty_text() -> None:
    assert write_metadata({"timesignature": 4, "bpm": 95}) == "bpm: 95\ntimesignature: 4"
    assert write_metadata({}) == ""


def test_an_unknown_field_is_refused() -> None:
    with pytest.raises(ValueError, match="tempo"):
        write_metadata({"tempo": 95})


@repeatable
@given(st.dictionaries(st.sampled_from(METADATA_FIELDS), texts))
def test_what_is_written_is_read_back_as_yaml_reads_it(values: dict[str, str]) -> None:
    block = write_metadata(dict(values))
    assert yaml.safe_load(block or "{}") == values
    assert read_metadata(block) == values


@pytest.mark.parametrize("value", [*KEYS, *LANGUAGES])
def test_every_legal_value_survives(value: str) -> None:
    assert read_metadata(write_metadata({"keyscale": value})) == {"keyscale": value}


@pytest.mark.parametrize(
    ("text", "caption"),
    [
        ("caption: pop: the best #1 hits", "pop: the best #1 hits"),
        ("caption: 'never closed", "'never closed"),
        ('caption: "bad \\q escape"', '"bad \\q escape"'),
        ("caption: 'one' and 'two'", "'one' and 'two'"),
        ("caption: !!python/object/apply:os.getcwd []", "!!python/object/apply:os.getcwd []"),
        ("caption: &a pop", "&a pop"),
        ("caption: *a", "*a"),
        ("caption: {a: 1}", "{a: 1}"),
        ("caption:pop", "pop"),
        ("caption: folded\n  words\n\t here", "folded words here"),
        ("caption: two\n\n  paragraphs", "two\nparagraphs"),
        ("caption: >\n  folded\n  block", "folded block\n"),
        ('caption: "first\n  second \\u00e9"', "first second \u00e9"),
        ("caption: 'quoted'\n---\nrest", "'quoted' --- rest"),
        ("caption: first\nbpm: 95\ncaption: last", "last"),
        ("caption: ''", ""),
    ],
)
def test_reading_what_a_model_may_write(text: str, caption: str) -> None:
    assert read_metadata(text)["caption"] == caption


def test_a_broken_caption_does_not_hide_the_other_fields() -> None:
    assert read_metadata("skipped\nbpm: 95\ncaption: \"open\n  [\nduration: 184\nlanguage: 'no'") == {
        "bpm": "95",
        "caption": '"open [',
        "duration": "184",
        "language": "no",
    }


def test_too_much_metadata_is_refused() -> None:
    with pytest.raises(ValueError, match="65536 characters, got 70009"):
        read_metadata("caption: " + "x" * 70_000)


@pytest.mark.parametrize(
    ("text", "lyrics"),
    [
        ("\n\n# Lyrics\n\n[Verse]\nla", "[Verse]\nla"),
        ("# lyric\nla", "la"),
        ("# Lyric", ""),
        ("[Verse]\n# Lyric is a word here\nla", "[Verse]\n# Lyric is a word here\nla"),
        ("# Languages of love\n[Verse]\nla", "# Languages of love\n[Verse]\nla"),
        ("\n# Languages\nen\n\n# Lyric\n[Verse]\nla", "[Verse]\nla"),
        ("la\n<|endoftext|>", "la"),
        ("la\n<|audio_code_5|><|audio_code_6|>", "la"),
    ],
)
def test_headers_before_the_lyrics_are_dropped(text: str, lyrics: str) -> None:
    assert read_lyrics(text) == lyrics


@repeatable
@given(texts | st.lists(st.sampled_from(["<|", "a", "|>", "<think>", "</", "think>", "\x00", "\x9f"])).map("".join))
def test_cleaned_text_can_go_into_a_blueprint(text: str) -> None:
    cleaned = without_control_tokens(text)
    assert Blueprint(caption=cleaned).caption == (plain_lines(cleaned).strip() or None)


def test_nested_control_tokens_are_found() -> None:
    assert without_control_tokens("a <|<|im_end|>im_end|> b") == "a  b"


def test_values_go_under_the_names_of_blueprint_fields() -> None:
    metadata = {"bpm": "95", "caption": "pop<|im_end|>", "genres": "rock", "keyscale": "C major", "language": ""}
    assert song_values(metadata) == {"bpm": "95", "caption": "pop", "key": "C major"}


def test_the_metadata_of_a_song() -> None:
    song = Blueprint(caption="mine", bpm=95, key="C major", time_signature=6, duration_seconds=12.9, language="no")
    metadata = {"bpm": 95, "duration": 12, "keyscale": "C major", "language": "no", "timesignature": 6}
    assert song_metadata(song) == metadata
    rewritten = with_planned_values(song, rewritten_caption="better")
    assert song_metadata(rewritten) == metadata | {"caption": "better"}
    assert song_metadata(with_planned_values(Blueprint(), caption="written")) == {"caption": "written"}
    assert song_metadata(Blueprint()) == {}
