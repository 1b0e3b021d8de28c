"""Lines and words out of an LRC, from what Lyric Timing writes and from what others write."""

from __future__ import annotations

import pytest

from ace_core.listening.lyric_formats import enhanced_lrc, lrc
from ace_core.listening.timed_lyrics import TimedLyrics, TimedToken, group_lines, timed_texts
from ace_core.song.sung_lines import SungLine, SungWord, sung_lines

SECONDS = 20.0
LYRICS = TimedLyrics(
    group_lines(
        [
            TimedToken("City ", 1.0, 1.5),
            TimedToken("lights\n", 1.5, 2.25),
            TimedToken("a<b & ", 61.0, 62.0),
            TimedToken("\u6ca1\u6709", 62.0, 63.0),
            TimedToken("\u65f6\u95f4\n", 63.0, 64.0),
        ]
    ),
    70.0,
)


def test_words_of_enhanced_lrc_have_the_times_they_were_written_with() -> None:
    found = sung_lines(enhanced_lrc(LYRICS), 70.0)
    assert [line.text for line in found] == [line.text for line in LYRICS.lines]
    for line, written in zip(found, LYRICS.lines, strict=True):
        assert line.words == tuple(SungWord(*word) for word in timed_texts(written, "word"))
        assert (line.start_seconds, line.end_seconds) == (written.start_seconds, written.end_seconds)


def test_a_line_without_times_of_words_is_one_word_until_the_next_line() -> None:
    first, second = sung_lines(lrc(LYRICS), 70.0)
    assert first == SungLine("City lights", 1.0, 61.0, (SungWord("City lights", 1.0, 61.0),))
    assert (second.start_seconds, second.end_seconds) == (61.0, 70.0)


def test_a_line_that_is_sung_twice_is_there_twice_in_the_order_of_times() -> None:
    found = sung_lines("[00:09.00][00:01.00]again\n[00:05.00]\n[00:04.00]once", SECONDS)
    assert [(line.text, line.start_seconds, line.end_seconds) for line in found] == [
        ("again", 1.0, 4.0),
        ("once", 4.0, 5.0),
        ("again", 9.0, SECONDS),
    ]


def test_a_line_that_does_not_say_where_its_last_word_ends_is_one_word() -> None:
    (line,) = sung_lines("[00:01.00]<00:01.00>no <00:02.00>end", SECONDS)
    assert line.words == (SungWord("no end", 1.0, SECONDS),)


@pytest.mark.parametrize("text", ["", "City lights\nare calling", "[ti:A song]", "[00:01.00]\n[00:02.00]"])
def test_what_has_no_timed_words_has_no_lines(text: str) -> None:
    assert sung_lines(text, SECONDS) == ()


def test_headers_and_credits_are_not_sung() -> None:
    found = sung_lines("[ti:A]\n[ar:B]\n[00:00.00]A - B\n[00:01.00]Lyrics by: C\n[00:02.00]sung", SECONDS)
    assert [line.text for line in found] == ["sung"]


def test_subtitles_are_followed_too() -> None:
    found = sung_lines("1\n00:00:01,000 --> 00:00:02,000\nla\n\n2\n00:00:03,000 --> 00:00:04,000\nlo\n", SECONDS)
    assert [(line.text, line.start_seconds, line.end_seconds) for line in found] == [
        ("la", 1.0, 3.0),
        ("lo", 3.0, 20.0),
    ]
    assert sung_lines("<tt><p></tt>", SECONDS) == ()
