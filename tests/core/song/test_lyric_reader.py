"""Lyrics out of every kind of text that holds some; what is not sung is left out, with a sentence."""

from __future__ import annotations

import pytest

from ace_core.song.chatter import json_in, without_chatter
from ace_core.song.lyric_reader import TIMES_NOTE, ReadLyrics, lyrics_in_text, timed_lyrics_in_text
from ace_core.song.two_languages import script_of

LRC = {
    "times before, between and behind words": (
        "[00:12.00]\u6df1[00:12.50]\u3044[00:13.00]\u68ee\n[00:14.00]next [00:14.40]line[00:15.00]\n"
        "[00:20.00]plain (x2) [Chorus]",
        "\u6df1\u3044\u68ee\nnext line\nplain (x2) [Chorus]",
    ),
    "A2 with spaces": ("[00:01.00]<00:01.00> It's <00:01.50>   <00:01.60> me <00:02.00>", "It's me"),
    "sorted, repeated, colon before the fraction": (
        "[ti:Song]\n[offset:+100]\n[00:20.00][01:00:50]Chorus\n[00:10]Verse\nmore\n[00:40,5][Bridge]",
        "Verse\nmore\nChorus\n[Bridge]\nChorus",
    ),
    "hours": ("[01:00:01.00]late\n[00:59:59.00]early", "early\nlate"),
    "headers of players": (
        "\ufeff[ar:me]\r\n[kana:111]\r\n[hash:0f]\r\n[relyricsver:1]\r\n[xy:z]\r\n[00:01.00]la\r\n[00:02.00]lo",
        "la\nlo",
    ),
    "tags with a colon are no headers": (
        "[00:01.00][Verse: soft]\n[Chorus: loud]\n[00:02.00]la",
        "[Verse: soft]\n[Chorus: loud]\nla",
    ),
    "Apple": (
        "[00:01.00]v1: <00:01.00>la <00:02.00>lo\n[bg: <00:02.00>ooh <00:03.00>]\n[00:03.00]le",
        "la lo\n(ooh)\nle",
    ),
    "Walaoke": ("[00:01.00]F: la\n[00:02.00]M: lo\n[00:03.00]oh F: is a note", "la\nlo\noh F: is a note"),
    "QRC": ("[ti:x]\n[100,900]It's (100,300)me(400,600)\n[1000,500]here(1000,500)", "It's me\nhere"),
    "KRC": ("[100,900]<0,300,0>It's <300,600,0>me\n[1000,500]<0,500,0>here", "It's me\nhere"),
    "YRC with JSON in front": (
        '{"t":0,"c":[{"tx":"by: "},{"tx":"x"}]}\n[100,900](100,300,0)It\'s (400,600,0)me\n[1000,9](1000,9,0)here',
        "It's me\nhere",
    ),
    "LYS": ("[4]It's (100,300)me(400,600)\n[4]here(1000,500)", "It's me\nhere"),
    "ES word times": ("[00:01.00]one [00:01.50]two[00:02.00]\n[00:02.00]three", "one two\nthree"),
    "credits": (
        "[ti:T]\n[ar:A]\n[00:00.00]T - A\n[00:01.00] \u4f5c\u8bcd : me\n[00:02.00]Produced by: you\n"
        "[00:03.00]la\n[00:04.00]//",
        "la",
    ),
    "tags without times before and between": (
        "[Verse 1]\n[00:00.00]I <00:00.00> walk <00:00.38> a <00:00.52> road\n\n[Chorus]\n[00:14.15]I <00:14.38> sing",
        "[Verse 1]\nI walk a road\n\n[Chorus]\nI sing",
    ),
    "a colon before the hundredths in every line": ("[00:12:34]la\n[00:15:10]lo\n[01:01:01]le", "la\nlo\nle"),
    "spaces and thousandths": ("[00:14.760] la lo\n[00:18.120]  le", "la lo\nle"),
    "headers with spaces": (
        "[ar: Jefferson Airplane]\n[length: 2:58]\n[by: lrc-maker]\n[00:01.00]la\n[00:02.00]lo",
        "la\nlo",
    ),
    "notes where nobody sings": ("[00:01.00]\u266a\n[00:02.00]la\n[00:03.00]\u266a \u266b\n[00:04.00]lo", "la\n\nlo"),
    "advertising of a maker": (
        "[re:www.megalobiz.com/lrc/maker]\n[ve:v1.2.3]\n[00:00.00]Lyrics by RentAnAdviser.com\n[00:02.00]la",
        "la",
    ),
    "before the beginning": ("[-00:01.00]la\n[00:02.00]lo", "la\nlo"),
    "full-width marks": ("[00\uff1a01.00]la\n[00\uff1a02.00]lo", "la\nlo"),
    "no words": ("[00:00.00]\u7eaf\u97f3\u4e50\uff0c\u8bf7\u6b23\u8d4f", "[Instrumental]"),
}
SUBTITLES = {
    "SubRip": (
        "1\n00:00:01,000 --> 00:00:02,000\n<i>Hello</i> there\n\n2\n00:00:03,000 --> 00:00:04,000\n"
        "{\\an8}- \u266a one\ntwo \u266a\n",
        "Hello there\none\ntwo",
    ),
    "WebVTT": (
        "WEBVTT - x\nKind: captions\n\nNOTE\nnothing\n\nSTYLE\n::cue { color: red }\n\nintro\n"
        "00:01.000 --> 00:02.000 align:start\n<v Ann>Rock &amp; <c.red>roll</c>\n\n00:00:02.000 --> 00:03.000\nmore",
        "Rock & roll\nmore",
    ),
    "WebVTT that rolls": (
        "WEBVTT\n\n00:01.000 --> 00:02.000\n \none<00:01.500><c> two</c>\n\n00:02.000 --> 00:02.010\none two\n \n\n"
        "00:02.010 --> 00:03.000\none two\nthree<00:02.500><c> four</c>\n",
        "one two\nthree four",
    ),
    "ASS": (
        "[Script Info]\nTitle: x\n\n[Events]\nFormat: Layer, Start, End, Style, Effect, Text\n"
        "Dialogue: 0,0:00:03.00,0:00:04.00,A,,second, with comma\\Nand more\n"
        "Dialogue: 0,0:00:01.00,0:00:02.00,A,,{\\k20}fi{\\k30}rst\nComment: 0,0:00:00.00,0:00:01.00,A,,not sung\n"
        "Dialogue: 0,0:00:00.50,0:00:01.00,A,,{\\p1}m 0 0 l 1 1{\\p0}\n",
        "first\nsecond, with comma\nand more",
    ),
    "ASS of a karaoke template": (
        "[Script Info]\n[Events]\nFormat: Start, Effect, Text\nComment: 0:00:01.00,karaoke,{\\k20}fi{\\k30}rst\n"
        "Dialogue: 0:00:01.00,fx,fi\nDialogue: 0:00:01.20,fx,rst\n",
        "first",
    ),
    "TTML": (
        '<?xml version="1.0"?><tt xmlns="http://www.w3.org/ns/ttml" xmlns:ttm="http://www.w3.org/ns/ttml#metadata">'
        '<head><metadata><ttm:title>x</ttm:title></metadata></head><body><div><p begin="1.0s" end="2s">'
        '<span begin="1s" end="1.5s">Hel</span><span>lo</span> <span>you</span>'
        '<span ttm:role="x-translation" xml:lang="de">Hallo</span></p>'
        '<p begin="0:03.0">two<br/>lines</p></div></body></tt>',
        "Hello you\ntwo\nlines",
    ),
}


@pytest.mark.parametrize(("text", "lyrics"), [*LRC.values(), *SUBTITLES.values()], ids=[*LRC, *SUBTITLES])
def test_no_time_header_or_markup_is_sung(text: str, lyrics: str) -> None:
    assert lyrics_in_text(text).text == lyrics


def test_what_is_left_out_is_said() -> None:
    assert lyrics_in_text(LRC["credits"][0]).notes == (TIMES_NOTE, "credits are not sung: 'T - A' and 2 more")
    assert lyrics_in_text(LRC["Apple"][0]).notes == (TIMES_NOTE,)
    assert lyrics_in_text(LRC["Apple"][0], timed=True).notes == ()


JAPANESE = ("\u541b\u304c\u597d\u304d", "\u591c\u306e\u6d77", "\u6b4c\u3046")
CHINESE = ("\u6211\u7231\u4f60", "\u591c\u6d77", "\u6b4c\u5531")


def _at(times: str, *columns: tuple[str, ...]) -> str:
    rows = zip(times, *columns, strict=True)
    return "\n".join(f"[00:0{row[0]}.00]{text}" for row in rows for text in row[1:])


def test_a_translation_at_the_time_of_each_line_is_kept_apart() -> None:
    read = lyrics_in_text(_at("123", JAPANESE, CHINESE))
    assert read.text == "\n".join(JAPANESE)
    assert read.notes == (TIMES_NOTE, "the second language is not sung: '\u6211\u7231\u4f60' and 2 more")
    behind = "\n".join(_at("123", words) for words in (JAPANESE, CHINESE))
    assert lyrics_in_text(behind).text == "\n".join(JAPANESE)
    romanised = ("kimi ga suki", "yoru no umi", "utau")
    assert lyrics_in_text(_at("123", JAPANESE, romanised, CHINESE)).text == "\n".join(JAPANESE)


def test_a_translation_in_the_same_script_needs_nearly_all_lines() -> None:
    english, german = ("one", "two", "three", "four"), ("eins", "zwei", "drei", "vier")
    assert lyrics_in_text(_at("1234", english, german)).text == "one\ntwo\nthree\nfour"
    assert lyrics_in_text(_at("1", ("one",), ("eins",))).text == "one\neins"


def test_two_voices_at_one_time_stay() -> None:
    text = "[00:01.00]one\n[00:02.00]two\n[00:03.00]you\n[00:03.00]me\n[00:04.00]four\n[00:05.00]five"
    assert lyrics_in_text(text).text == "one\ntwo\nyou\nme\nfour\nfive" and lyrics_in_text(text).notes == (TIMES_NOTE,)
    english = (
        "[00:01.00]\u541b\u304c\n[00:01.00]I love you\n[00:02.00]\u597d\u304d\n[00:03.00]\u3060\u3088\n[00:04.00]la"
    )
    assert "I love you" in lyrics_in_text(english).text


def test_two_languages_within_subtitles_are_kept_apart_and_long_lines_are_not() -> None:
    cues = "1\n00:00:0{0},000 --> 00:00:0{0},900\n{1}\n{2}\n\n"
    two = "".join(cues.format(number, *pair) for number, pair in enumerate(zip(JAPANESE, CHINESE, strict=True), 1))
    assert lyrics_in_text(two).text == "\n".join(JAPANESE)
    broken = "".join(cues.format(number, "a long", "line") for number in range(1, 6))
    assert lyrics_in_text(broken).text == "\n".join(["a long\nline"] * 5)


@pytest.mark.parametrize(
    "text",
    [
        "[Verse]\nNote: this is only lyrics\n\n[Chorus: loud]\n(3:16) says\nSure, here is my heart:\n",
        "[3:16] a verse of the Bible\nand five\nlines\nmore\nthat follow",
        "# hope\nand #love\n- dash\n1\n2",
        "ar: me\n{x}\n<not a tag>",
        "\u0645\u06cc\u200c\u062e\u0648\u0627\u0647\u0645\n\U0001f468\u200d\U0001f469\u200d\U0001f467",
    ],
)
def test_plain_lyrics_stay_as_they_are(text: str) -> None:
    assert lyrics_in_text(text) == ReadLyrics(text.strip())


def test_what_was_read_is_read_again_as_it_is() -> None:
    for text, lyrics in (*LRC.values(), *SUBTITLES.values()):
        assert lyrics_in_text(lyrics) == ReadLyrics(lyrics), text


def test_times_go_out_as_they_came_in() -> None:
    text = "[ar:me]\n[00:01.00]<00:01.00>la <00:01.50>la\n[00:02.00][00:05.00]lo\n[00:59.996]le"
    read = timed_lyrics_in_text(text)
    assert read.lrc == text
    assert [(line.seconds, line.text) for line in read.lines] == [
        (1.0, "la la"),
        (2.0, "lo"),
        (5.0, "lo"),
        (pytest.approx(59.996), "le"),
    ]
    cues = timed_lyrics_in_text(SUBTITLES["SubRip"][0])
    assert cues.lrc == "[00:01.00]Hello there\n[00:03.00]one\n[00:03.00]two"
    assert timed_lyrics_in_text("[59999,900]la(59999,900)").lrc == "[01:00.00]la"
    assert timed_lyrics_in_text(" ") == ("", (), "")
    for nothing in ("la la", "[Verse]\nla", "[ti:x]\n[00:01.00]"):
        assert timed_lyrics_in_text(nothing) == ("", (), "the timed lyrics have no times: connect LRC or subtitles")
    assert timed_lyrics_in_text("<tt><p></tt>").problem.startswith("the timed lyrics cannot be read: is not XML")


def test_ultrastar_notes_become_words() -> None:
    text = (
        "#TITLE:x\n#ARTIST:y\n#BPM:300\n: 0 4 10 Hel\n: 4 4 10 lo\n* 8 2 10  you~\n: 9 1 10 ~\n- 12\nF 14 2 3 next\nE\n"
    )
    assert lyrics_in_text(text).text == "Hello you\nnext"


@pytest.mark.parametrize(
    ("text", "lyrics"),
    [
        ("```\n[Verse]\nla\n```", "[Verse]\nla"),
        ("Here it is:\n\n```lyrics\n[Verse]\nla\n```\nLet me know!", "[Verse]\nla"),
        ("<think>\nhm\n</think>\n[Verse]\nla", "[Verse]\nla"),
        ("Sure! Here are your lyrics:\n\n**[Verse 1]**\nla\n\nLet me know if you want changes.", "[Verse 1]\nla"),
        ("### Verse 1\nla\n\n**Chorus:**\nlo", "[Verse 1]\nla\n\n[Chorus]\nlo"),
        ("Here is my heart\nla", "Here is my heart\nla"),
        ("la\n\nIf you would\nlet me know", "la\n\nIf you would\nlet me know"),
    ],
)
def test_what_a_language_model_writes_around_lyrics_is_taken_off(text: str, lyrics: str) -> None:
    assert without_chatter(text) == lyrics


def test_chatter_is_said() -> None:
    assert lyrics_in_text("Sure, the lyrics:\n\n[Verse]\nla").notes
    assert lyrics_in_text("**[Verse]**\nla") == ReadLyrics("[Verse]\nla")


@pytest.mark.parametrize(
    ("text", "inside"),
    [
        ('{"bpm": 96}', '{"bpm": 96}'),
        ('```json\n{"bpm": 96}\n```', '{"bpm": 96}'),
        ('<think>{"a": 1}</think>\nHere you are: {"bpm": 96}\nEnjoy!', '{"bpm": 96}'),
        ('{"caption": "```\\nx\\n```"}', '{"caption": "```\\nx\\n```"}'),
        ('{"a": 1} or {"b": 2}', '{"a": 1} or {"b": 2}'),
        ('\ufeff{\u2028\xa0"a\xa0b":\u3000"c\u2028",\u200b "d": 1}', '{ "a\xa0b": "c\u2028",  "d": 1}'),
        ("{broken", "{broken"),
        ("nothing", "nothing"),
    ],
)
def test_the_one_json_of_a_text_is_found(text: str, inside: str) -> None:
    assert json_in(text) == inside


def test_scripts_are_told() -> None:
    assert script_of(["\u591c\u306b"]) == "JAPANESE" and script_of(["\u591c"]) == "CJK" and script_of(["12"]) == ""


def test_an_xml_with_entities_is_refused() -> None:
    with pytest.raises(ValueError, match="document type"):
        lyrics_in_text("<tt><!DOCTYPE x></tt>")
    with pytest.raises(ValueError, match="is not XML"):
        lyrics_in_text("<tt><p></tt>")
