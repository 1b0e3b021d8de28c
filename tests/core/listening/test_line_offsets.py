"""Lines that a person has moved: the grammar, and what becomes of their times."""

from __future__ import annotations

import pytest

from ace_core.listening.line_offsets import (
    LineOffset,
    in_sung_order,
    offsets_of_song,
    offsets_without_a_line,
    read_line_offsets,
    with_line_offsets,
)
from ace_core.listening.timed_lyrics import TimedLyrics, TimedToken, group_lines, without_tags

DURATION = 12.0
LYRICS = TimedLyrics(
    group_lines(
        [
            TimedToken("[Verse]\n", 0.5, 0.6, in_tag=True),
            TimedToken("one ", 1.0, 1.5),
            TimedToken("two\n", 2.0, 2.5),
            TimedToken("three\n", 4.0, 5.0),
            TimedToken("[Chorus]\n", 8.0, 8.1, in_tag=True),
            TimedToken("four\n", 9.0, 11.0),
        ]
    ),
    DURATION,
)


def starts(lyrics: TimedLyrics) -> dict[str, float]:
    return {line.text: line.start_seconds for line in lyrics.lines}


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("", ()),
        (" ,\n; ", ()),
        ("3 +0.25", (LineOffset(None, 3, 0.25),)),
        ("3+0.25,7-0.1", (LineOffset(None, 3, 0.25), LineOffset(None, 7, -0.1))),
        ("3: 0.25 s; 2/5 -1", (LineOffset(None, 3, 0.25), LineOffset(2, 5, -1.0))),
        ("1 1\n1/1 2\n2 / 1 : +3s", (LineOffset(None, 1, 1.0), LineOffset(1, 1, 2.0), LineOffset(2, 1, 3.0))),
    ],
)
def test_entries_are_read(text: str, expected: tuple[LineOffset, ...]) -> None:
    assert read_line_offsets(text) == expected


@pytest.mark.parametrize("text", ["3", "three +1", "30.25", "3 +0.2.5", "3 + 1", "-3 1", "1/2/3 1", "3 +0,25", "3 1e9"])
def test_what_is_no_entry_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match=r"line offsets must be numbers of lines with seconds, such as 3 \+0.25"):
        read_line_offsets(text)


def test_a_line_is_moved_once_and_not_out_of_every_song() -> None:
    with pytest.raises(ValueError, match="move a line twice: leave one of them, the second is '3 -1'"):
        read_line_offsets("3 +1, 3 -1")
    assert read_line_offsets("3 600")
    with pytest.raises(ValueError, match="by 600 seconds at most, got '3 -601'"):
        read_line_offsets("3 -601")


def test_what_is_said_of_one_song_counts_there_alone() -> None:
    offsets = read_line_offsets("2/1 +3, 1 +1, 2 +5")
    assert offsets_of_song(offsets, 1) == {1: 1.0, 2: 5.0}
    assert offsets_of_song(offsets, 2) == {1: 3.0, 2: 5.0}


def test_lines_move_with_their_words_and_tags_with_the_line_after_them() -> None:
    moved = with_line_offsets(LYRICS, {1: 0.25, 3: -0.5})
    assert starts(moved) == {"[Verse]": 0.75, "one two": 1.25, "three": 4.0, "[Chorus]": 7.5, "four": 8.5}
    assert [token.start_seconds for token in moved.lines[1].tokens] == [1.25, 2.25]
    assert moved.lines[1].end_seconds == 2.75
    assert with_line_offsets(LYRICS, {}) == LYRICS


def test_numbers_do_not_depend_on_tags() -> None:
    offsets = {2: 1.0}
    assert without_tags(with_line_offsets(LYRICS, offsets)) == with_line_offsets(without_tags(LYRICS), offsets)


def test_no_line_leaves_the_song() -> None:
    assert starts(with_line_offsets(LYRICS, {1: -60.0}))["one two"] == 0.0
    late = with_line_offsets(LYRICS, {3: 60.0}).lines[-1]
    assert (late.start_seconds, late.end_seconds, late.tokens[0].end_seconds) == (DURATION, DURATION, DURATION)


def test_files_begin_with_the_earliest_line() -> None:
    moved = with_line_offsets(without_tags(LYRICS), {1: 5.0})
    assert [line.text for line in moved.lines] == ["one two", "three", "four"]
    assert [line.text for line in in_sung_order(moved).lines] == ["three", "one two", "four"]


def test_entries_for_lines_that_no_song_has_are_found() -> None:
    songs = [LYRICS, TimedLyrics((), DURATION)]
    offsets = read_line_offsets("3 1, 4 1, 0 1, 1/3 1, 2/1 1, 3/1 1")
    assert [offset[:2] for offset in offsets_without_a_line(offsets, songs)] == [(None, 4), (None, 0), (2, 1), (3, 1)]
