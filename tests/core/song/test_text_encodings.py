"""Bytes of every editor become the text that was written, or are refused; never another text."""

from __future__ import annotations

import pytest

from ace_core.song.blueprint import Blueprint
from ace_core.song.text_encodings import decoded_text

RUSSIAN = (
    "\u042f \u043f\u043e\u043c\u043d\u044e \u0447\u0443\u0434\u043d\u043e\u0435 \u043c\u0433"
    "\u043d\u043e\u0432\u0435\u043d\u044c\u0435\n\u043f\u0435\u0440\u0435\u0434\u043e \u043c"
    "\u043d\u043e\u0439 \u044f\u0432\u0438\u043b\u0430\u0441\u044c \u0442\u044b"
)
JAPANESE = (
    "\u591c\u306b\u99c6\u3051\u308b \u307c\u304f\u3089\u306e\u6b4c\n\u304d\u307f\u304c\u597d"
    "\u304d\uff08\u597d\u304d\uff09"
)
PAGES = {
    "cp1252": "[Verse]\nGr\u00fc\u00dfe aus der Nacht\nich h\u00f6r dich nicht mehr",
    "cp1251": RUSSIAN,
    "koi8_r": RUSSIAN,
    "cp1250": "nie ma ju\u017c nic\nprzysz\u0142a wiosna, \u0142\u0105ka si\u0119 \u015bmieje",
    "cp1253": (
        "\u03a3' \u03b1\u03b3\u03b1\u03c0\u03ce \u03c0\u03bf\u03bb\u03cd\n\u03bc\u03b7 \u03c6\u03cd"
        "\u03b3\u03b5\u03b9\u03c2 \u03bc\u03b1\u03ba\u03c1\u03b9\u03ac"
    ),
    "cp1255": (
        "[Verse]\n\u05d0\u05e0\u05d9 \u05d0\u05d5\u05d4\u05d1 \u05d0\u05d5\u05ea\u05da\n\u05dc"
        "\u05d9\u05dc\u05d4 \u05d8\u05d5\u05d1"
    ),
    "cp1256": "\u064a\u0627 \u0644\u064a\u0644 \u064a\u0627 \u0639\u064a\u0646\n\u062d\u0628\u064a\u0628\u064a",
    "gb18030": (
        "[Verse]\n\u541b\u4e0d\u89c1\u9ec4\u6cb3\u4e4b\u6c34\u5929\u4e0a\u6765\n\u5954\u6d41\u5230"
        "\u6d77\u4e0d\u590d\u56de"
    ),
    "big5": "\u6708\u4eae\u4ee3\u8868\u6211\u7684\u5fc3\n\u4f60\u554f\u6211\u611b\u4f60\u6709\u591a\u6df1",
    "cp932": JAPANESE,
    "euc_jp": JAPANESE,
    "cp949": (
        "[Verse]\n\uc0ac\ub791\ud574\uc694 \uadf8\ub300\ub9cc\uc744\n\ub0b4 \ub9c8\uc74c\uc744 \ubc1b\uc544\uc918\uc694"
    ),
}


@pytest.mark.parametrize("codec", PAGES)
def test_a_code_page_that_alone_makes_sense_is_read_and_named(codec: str) -> None:
    read = decoded_text(PAGES[codec].encode(codec))
    assert read.text == PAGES[codec] and read.code_page


def test_a_japanese_song_with_a_chinese_translation_is_gb_18030() -> None:
    song = (
        "[00:12.00]\u541b\u306e\u540d\u524d\u3092\u547c\u3093\u3067\u3044\u308b\n"
        "[00:12.00]\u547c\u5524\u7740\u4f60\u7684\u540d\u5b57\n"
        "[00:15.00]\u591c\u306b\u99c6\u3051\u308b \u307c\u304f\u3089\u306e\u6b4c\n"
        "[00:15.00]\u5728\u591c\u91cc\u5954\u8dd1 \u6211\u4eec\u7684\u6b4c\n"
    )
    assert decoded_text(song.encode("gbk")) == (song, "GB 18030")
    for other in ("euc_jp", "cp932"):
        assert decoded_text(JAPANESE.encode(other)).text == JAPANESE


@pytest.mark.parametrize("codec", ["utf-8", "utf-8-sig", "utf-16", "utf-16-le", "utf-16-be", "utf-32"])
def test_unicode_of_every_editor_is_read(codec: str) -> None:
    for text in PAGES.values():
        assert decoded_text(f"{text}\n".encode(codec)) == (f"{text}\n", "")


@pytest.mark.parametrize(
    ("content", "may_be"),
    [
        ("ni\u00f1o".encode("cp1252"), "Windows-1250 or Windows-1252"),
        ("Gr\u00fc\u00dfe aus der Nacht".encode("mac_roman"), ""),
        (bytes(range(128, 256)), ""),
    ],
)
def test_what_may_be_several_or_none_is_refused(content: bytes, may_be: str) -> None:
    with pytest.raises(ValueError, match=f"is not UTF-8.*{may_be}.*save it as UTF-8"):
        decoded_text(content)


@pytest.mark.parametrize(
    "content", [bytes(range(256)), b"\x89PNG\r\n\x1a\n\0\0\0\rIHDR", b"\x08\0\0\0{\0\0\0", b"a\xff\x01"]
)
def test_what_is_no_text_is_refused(content: bytes) -> None:
    with pytest.raises(ValueError, match="is no text"):
        decoded_text(content)


def test_marks_that_no_one_sees_and_line_ends_of_every_editor_are_cleaned() -> None:
    text = "\ufeff[Verse]\u2028one\u200b\r\ntwo\x0bthree\x85f\u00adour\x0c\rfive"
    assert Blueprint(lyrics=text).lyrics == "[Verse]\none\ntwo\nthree\nfour\n\nfive"
    assert Blueprint(caption="\u202awarm\u202c \u0645\u06cc\u200c\u062e").caption == "warm \u0645\u06cc\u200c\u062e"
