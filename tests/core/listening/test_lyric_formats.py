"""Every format read back: by FFmpeg's own readers, and by the grammar of each written out here."""

from __future__ import annotations

import html
import io
import json
import re
from typing import Any, NamedTuple

import av
import numpy as np
import pytest
from planted_lyrics import Lyrics

from ace_core.listening.lyric_formats import enhanced_lrc, lrc, srt, timed_json, webvtt
from ace_core.listening.timed_lyrics import Granularity, TimedLyrics, TimedToken, group_lines, timed_texts

DURATION = 200.0


class Cue(NamedTuple):
    start_seconds: float
    end_seconds: float
    text: str


@pytest.fixture
def timed(lyrics: Lyrics) -> TimedLyrics:
    """The lyrics at random times of a song of 200 s."""
    rng = np.random.default_rng(len(lyrics.text))
    times = np.sort(rng.uniform(0, DURATION - 0.08, 2 * len(lyrics.tokens.texts))).tolist()
    tokens = [
        TimedToken(text, start, end, in_tag)
        for text, in_tag, start, end in zip(
            lyrics.tokens.texts, lyrics.tokens.in_tag, times[::2], times[1::2], strict=True
        )
    ]
    return TimedLyrics(group_lines(tokens), DURATION)


def song(*lines: tuple[str, float, float], duration: float = DURATION) -> TimedLyrics:
    return TimedLyrics(group_lines([TimedToken(text + "\n", start, end) for text, start, end in lines]), duration)


def read_lrc(text: str) -> list[tuple[float, str]]:
    lines = []
    for line in text.splitlines():
        match = re.fullmatch(r"\[(\d\d):([0-5]\d)\.(\d\d)\](.+)", line)
        assert match, line
        minutes, seconds, hundredths, words = match.groups()
        lines.append((round(60 * int(minutes) + int(seconds) + int(hundredths) / 100, 2), words))
    return lines


def read_enhanced(text: str) -> list[tuple[float, list[tuple[float, str]], float]]:
    """Of each line its time, its words with theirs, and its end."""
    lines = []
    for start, body in read_lrc(text):
        parts = re.split(r"<(\d\d):([0-5]\d\.\d\d)>", body)
        assert parts[0] == parts[-1] == ""
        times = [60 * int(minutes) + float(seconds) for minutes, seconds in zip(parts[1::3], parts[2::3], strict=True)]
        lines.append((start, list(zip(times[:-1], parts[3::3], strict=False)), times[-1]))
    return lines


def read_srt(text: str) -> list[Cue]:
    cues = []
    for number, block in enumerate(text.split("\n\n"), 1):
        first, times, *words = block.rstrip("\n").split("\n")
        assert first == str(number)
        match = re.fullmatch(r"(\d\d):([0-5]\d):([0-5]\d),(\d{3}) --> (\d\d):([0-5]\d):([0-5]\d),(\d{3})", times)
        assert match, times
        assert len(words) == 1
        cues.append(Cue(*seconds_of(match), words[0]))
    return cues


def read_webvtt(text: str) -> list[Cue]:
    signature, *blocks = text.split("\n\n")
    assert signature == "WEBVTT"
    cues = []
    for block in blocks:
        times, *words = block.rstrip("\n").split("\n")
        match = re.fullmatch(r"(\d\d):([0-5]\d):([0-5]\d)\.(\d{3}) --> (\d\d):([0-5]\d):([0-5]\d)\.(\d{3})", times)
        assert match, times
        assert len(words) == 1 and "-->" not in words[0]
        assert not re.search(r"[<>]|&(?!amp;|lt;|gt;)", words[0])
        cues.append(Cue(*seconds_of(match), html.unescape(words[0])))
    return cues


def seconds_of(match: re.Match[str]) -> tuple[float, float]:
    numbers = [int(group) for group in match.groups()]
    start, end = (3600 * h + 60 * m + s + ms / 1000 for h, m, s, ms in (numbers[:4], numbers[4:]))
    return start, end


def read_with_ffmpeg(text: str, container: str) -> list[Cue]:
    """What FFmpeg finds in a file of UTF-8."""
    with av.open(io.BytesIO(text.encode()), format=container) as file:
        (stream,) = file.streams
        time_base: Any = stream.time_base
        return [
            Cue(
                float((packet.pts or 0) * time_base),
                float(((packet.pts or 0) + (packet.duration or 0)) * time_base),
                bytes(packet).decode(),
            )
            for packet in file.demux()
            if packet.pts is not None
        ]


def test_lrc(timed: TimedLyrics) -> None:
    found = read_lrc(lrc(timed))
    assert [words for _, words in found] == [line.text for line in timed.lines]
    assert [start for start, _ in found] == pytest.approx([line.start_seconds for line in timed.lines], abs=0.00501)
    by_ffmpeg = read_with_ffmpeg(lrc(timed), "lrc")
    # FFmpeg swallows a bracket that follows the time, and keeps the line's end.
    assert [(round(cue.start_seconds, 2), cue.text) for cue in by_ffmpeg] == [
        (start, words.removeprefix("[") + "\n") for start, words in found
    ]


@pytest.mark.parametrize("granularity", ["word", "token"])
def test_enhanced_lrc(timed: TimedLyrics, granularity: Granularity) -> None:
    found = read_enhanced(enhanced_lrc(timed, granularity))
    assert len(found) == len(timed.lines)
    for (start, words, end), line in zip(found, timed.lines, strict=True):
        expected = timed_texts(line, granularity)
        assert [word for _, word in words] == [text.text for text in expected]
        assert [time for time, _ in words] == pytest.approx([text.start_seconds for text in expected], abs=0.00501)
        assert start == pytest.approx(line.start_seconds, abs=0.00501)
        assert end == pytest.approx(expected[-1].end_seconds, abs=0.00501)


def test_srt_and_webvtt(timed: TimedLyrics) -> None:
    found = read_srt(srt(timed))
    assert read_webvtt(webvtt(timed)) == found
    assert [cue.text for cue in found] == [line.text for line in timed.lines]
    assert [cue.start_seconds for cue in found] == pytest.approx(
        [line.start_seconds for line in timed.lines], abs=0.00051
    )
    assert all(cue.start_seconds < cue.end_seconds <= DURATION for cue in found)

    def rounded(cues: list[Cue]) -> list[Cue]:
        return [Cue(round(start, 3), round(end, 3), html.unescape(text)) for start, end, text in cues]

    assert rounded(read_with_ffmpeg(srt(timed), "srt")) == rounded(found)
    assert rounded(read_with_ffmpeg(webvtt(timed), "webvtt")) == rounded(found)


def test_json(timed: TimedLyrics) -> None:
    document = json.loads(timed_json(timed))
    assert (document["format"], document["version"]) == ("ace_composer.timed_lyrics", 1)
    assert document["duration_seconds"] == DURATION
    for found, line in zip(document["lines"], timed.lines, strict=True):
        assert found["text"] == line.text
        assert (found["start_seconds"], found["end_seconds"]) == (line.start_seconds, line.end_seconds)
        assert found["is_tag"] == line.text.startswith("[")
        for parts in (found["words"], found["tokens"]):
            assert "".join(part["text"] for part in parts) == line.text
            assert all(part["start_seconds"] <= part["end_seconds"] for part in parts)
        assert len(found["words"]) <= len(found["tokens"])


def test_lrc_carries_from_seconds_to_minutes() -> None:
    assert (
        lrc(song(("a", 59.994, 60), ("b", 59.996, 60), ("c", 599.999, 600)))
        == "[00:59.99]a\n[01:00.00]b\n[10:00.00]c\n"
    )


def test_subtitles_have_hours() -> None:
    assert "01:02:05,500 --> 01:02:06,500" in srt(song(("a", 3725.5, 3726.5), duration=4000.0))


def test_worked_example() -> None:
    tokens = [
        TimedToken("Hi", 61.5, 61.7),
        TimedToken(" you", 62.0, 62.4),
        TimedToken(" <3", 62.4, 63.52),
        TimedToken("\n", 63.52, 63.52),
        TimedToken("& go", 63.9, 63.9),
    ]
    lyrics = TimedLyrics(group_lines(tokens), 64.5)
    assert lrc(lyrics) == "[01:01.50]Hi you <3\n[01:03.90]& go\n"
    assert enhanced_lrc(lyrics) == (
        "[01:01.50]<01:01.50>Hi <01:02.00>you <01:02.40><3<01:03.52>\n[01:03.90]<01:03.90>& go<01:03.90>\n"
    )
    assert srt(lyrics) == ("1\n00:01:01,500 --> 00:01:03,520\nHi you <3\n\n2\n00:01:03,900 --> 00:01:04,500\n& go\n")
    assert webvtt(lyrics) == (
        "WEBVTT\n\n00:01:01.500 --> 00:01:03.520\nHi you &lt;3\n\n00:01:03.900 --> 00:01:04.500\n&amp; go\n"
    )


@pytest.mark.parametrize(
    ("lines", "ends"),
    [
        ([("a", 1.0, 1.0), ("b", 9.0, 9.0)], [2.0, 10.0]),  # a second at least
        ([("a", 1.0, 1.0), ("b", 1.5, 4.0)], [1.5, 4.0]),  # but not into the next line
        ([("a", 1.0, 1.0), ("b", 1.0, 4.0)], [1.04, 4.0]),  # lines that start together
        ([("a", 9.9, 9.9)], [10.0]),  # not beyond the song
    ],
)
def test_how_long_a_subtitle_stays(lines: list[tuple[str, float, float]], ends: list[float]) -> None:
    assert [cue.end_seconds for cue in read_srt(srt(song(*lines, duration=10.0)))] == ends


def test_characters_that_readers_take_for_line_ends_become_spaces() -> None:
    lyrics = song(("a\u2028b\u0085c", 1.0, 2.0))
    for text in (lrc(lyrics), srt(lyrics), webvtt(lyrics)):
        assert "a b c" in text
    assert "<00:01.00>a b c<00:02.00>" in enhanced_lrc(lyrics)
    assert json.loads(timed_json(lyrics))["lines"][0]["text"] == "a\u2028b\u0085c"


def test_no_lines() -> None:
    nothing = TimedLyrics((), 10.0)
    assert (lrc(nothing), enhanced_lrc(nothing), srt(nothing), webvtt(nothing)) == ("", "", "", "WEBVTT\n")
    assert json.loads(timed_json(nothing))["lines"] == []
