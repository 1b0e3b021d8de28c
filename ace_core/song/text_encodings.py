"""Bytes of a text file of any editor to characters: UTF-8, UTF-16, UTF-32 and the code pages of older programs.

A code page is taken only where one alone makes sense of the bytes: nearly every character is a common one of its
language, and no other page says so with another text. Everything else is refused with a sentence, since a wrong guess
would be sung.

Traps:
- Bytes E0-FF are lower-case letters in the Cyrillic, Greek and Hebrew pages alike: how often letters occur decides.
- GB 18030, EUC-KR and Big5 overlap. The first rows of each hold the frequent characters; chance spreads over all rows.
- Lyrics of a Japanese song with a Chinese translation are often GB 18030, whose kana are those of EUC-JP. Some of the
  most frequent characters of Chinese tell.
- Upper case inside words is the mark of KOI8-R read as Windows-1251, and the other way round.
"""

from __future__ import annotations

import codecs
import re
import unicodedata
from collections.abc import Callable
from typing import NamedTuple

_MARKS = (  # the longer before the shorter that it begins with
    (codecs.BOM_UTF8, "utf-8-sig"),
    (codecs.BOM_UTF32_LE, "utf-32"),
    (codecs.BOM_UTF32_BE, "utf-32"),
    (codecs.BOM_UTF16_LE, "utf-16"),
    (codecs.BOM_UTF16_BE, "utf-16"),
)
_INNER_CAPITAL = re.compile(r"[^\W\d_](?<=[a-z\u03ac-\u03ce\u0430-\u045f])[A-Z\u0391-\u03a9\u0410-\u042f]")
_MIXED_WORD = re.compile(r"[A-Za-z][\u0370-\u0e4d]|[\u0370-\u0e4d][A-Za-z]")
_TWO_ACCENTS = re.compile(r"[\u03ac-\u03af\u03cc-\u03ce]\w*[\u03ac-\u03af\u03cc-\u03ce]")  # in no word of Greek
_PUNCTUATION = frozenset(
    "\u00ab\u00bb\u2018\u2019\u201c\u201d\u201e\u2013\u2014\u2026\u00a0\u00a1\u00bf\u2022\u00b0\u266a"
)
_IMPOSSIBLE = (_INNER_CAPITAL, _MIXED_WORD, _TWO_ACCENTS)
_LAST_KOREAN_ROW = 0xC8
_CONTROL = re.compile("[\x00-\x08\x0e-\x1f\ufffd]")
_MOST_GUESSED_BYTES = 1 << 20  # a guess looks at each character for each code page
_FREQUENT_CHINESE = frozenset("\u7684\u6211\u4f60\u662f\u5728\u4e0d\u4e86\u6709\u4eba\u4eec")  # a tenth of a text
_LEAST_FREQUENT_CHINESE = 0.04
_LEAST_FITTING = 0.95  # of the characters beyond ASCII
_MOST_ACCENTS = 0.35  # of the letters of a language that is written with Latin ones


class DecodedText(NamedTuple):
    """A text, and the code page that was found for it; empty for Unicode."""

    text: str
    code_page: str = ""


class _Page(NamedTuple):
    """A code page: whether its language uses a character, which letters are frequent, and their least share.

    The ten most frequent letters of these languages are 60 to 70 percent of a text; 80 with the accents of Greek.
    """

    codec: str
    name: str
    fits: Callable[[str], bool]
    common: str = ""
    least_common: float = 0.5


def _one_of(letters: str) -> Callable[[str], bool]:
    allowed = frozenset(letters + letters.upper()) | _PUNCTUATION
    return lambda character: character in allowed


def _between(first: str, last: str) -> Callable[[str], bool]:
    return lambda character: first <= character <= last or character in _PUNCTUATION


def _in_first_rows(codec: str, first: int, last: int) -> Callable[[str], bool]:
    """Whether the character is in the rows of a double-byte page that hold the frequent ones, or its punctuation."""

    def fits(character: str) -> bool:
        if "\u3000" <= character <= "\u303f" or "\uff00" <= character <= "\uff5e" or character in _PUNCTUATION:
            return True
        try:
            return first <= character.encode(codec)[0] <= last
        except UnicodeEncodeError:
            return False

    return fits


def _is_japanese(character: str) -> bool:
    return "\u3040" <= character <= "\u30ff" or _JIS_FIRST_LEVEL(character)


def _is_chinese(character: str) -> bool:
    return "\u3040" <= character <= "\u30ff" or _GB_FIRST_LEVEL(character)


_GB_FIRST_LEVEL = _in_first_rows("gb2312", 0xB0, 0xD7)
_JIS_FIRST_LEVEL = _in_first_rows("euc_jp", 0xB0, 0xCF)
_WEST = "\u00e0\u00e1\u00e2\u00e3\u00e4\u00e5\u00e6\u00e7\u00e8\u00e9\u00ea\u00eb\u00ec\u00ed\u00ee\u00ef"
_WEST += "\u00f1\u00f2\u00f3\u00f4\u00f5\u00f6\u00f8\u00f9\u00fa\u00fb\u00fc\u00df\u0153"
_CENTRAL = "\u0105\u0107\u0119\u0142\u0144\u00f3\u015b\u017a\u017c\u00e1\u010d\u010f\u00e9\u011b\u00ed\u0148\u0159"
_CENTRAL += "\u0161\u0165\u00fa\u016f\u00fd\u017e\u00f6\u00fc\u0151\u0171\u00e4\u00df\u00f4\u0111"
_TURKISH = "\u00e7\u011f\u0131\u0130\u00f6\u015f\u00fc\u00e2\u00ee"
_PAGES = (
    _Page("cp1252", "Windows-1252", _one_of(_WEST)),
    _Page("cp1250", "Windows-1250", _one_of(_CENTRAL)),
    _Page("cp1254", "Windows-1254", _one_of(_TURKISH)),
    _Page(
        "cp1251",
        "Windows-1251",
        _between("\u0401", "\u0491"),
        "\u043e\u0435\u0430\u0438\u043d\u0442\u0441\u0440\u0432\u043b",
    ),
    _Page(
        "koi8_r", "KOI8-R", _between("\u0401", "\u0451"), "\u043e\u0435\u0430\u0438\u043d\u0442\u0441\u0440\u0432\u043b"
    ),
    _Page(
        "cp1253",
        "Windows-1253",
        _between("\u0386", "\u03ce"),
        "\u03b1\u03bf\u03b9\u03b5\u03c4\u03bd\u03c3\u03b7\u03c5\u03c1\u03ac\u03cc\u03af\u03ad\u03ae\u03cd\u03ce\u03c2",
    ),
    _Page(
        "cp1255",
        "Windows-1255",
        _between("\u05b0", "\u05ea"),
        "\u05d9\u05d5\u05d4\u05dc\u05d0\u05d1\u05de\u05e8\u05ea\u05e9",
    ),
    _Page(
        "cp1256",
        "Windows-1256",
        _between("\u060c", "\u0652"),
        "\u0627\u0644\u064a\u0645\u0646\u0648\u062a\u0631\u0628\u0647",
    ),
    _Page(
        "cp874",
        "Windows-874",
        _between("\u0e01", "\u0e4d"),
        "\u0e32\u0e19\u0e23\u0e01\u0e40\u0e31\u0e2d\u0e48\u0e07\u0e40\u0e25\u0e04\u0e18\u0e17\u0e34\u0e49",
    ),
    _Page("gb18030", "GB 18030", _is_chinese),
    _Page("big5", "Big5", _in_first_rows("big5", 0xA4, 0xC6)),
    _Page("cp932", "Shift JIS", _is_japanese),
    _Page("euc_jp", "EUC-JP", _is_japanese),
    _Page("cp949", "EUC-KR", _in_first_rows("euc_kr", 0xB0, 0xC8)),
)


def decoded_text(content: bytes) -> DecodedText:
    """The text of a file.

    Raises:
        ValueError: it is no text, or of a code page that cannot be told; the message says what to do.
    """
    for mark, codec in _MARKS:
        if content.startswith(mark):
            return DecodedText(_strictly(content, codec))
    if b"\0" in content:
        return DecodedText(_unmarked_utf16(content))
    try:
        return DecodedText(content.decode("utf-8"))
    except UnicodeDecodeError:
        pass
    if _CONTROL.search(content.decode("latin-1")):
        raise ValueError("is no text")
    if len(content) > _MOST_GUESSED_BYTES:
        raise ValueError(f"is not UTF-8, and has too many bytes, {len(content)}, to guess what it is: save it as UTF-8")
    found = {text: page.name for page in reversed(_PAGES) if (text := _fitting(content, page)) is not None}
    if len(found) == 1:
        return DecodedText(*found.popitem())
    names = " or ".join(sorted(found.values()))
    raise ValueError(f"is not UTF-8{f', but may be {names}' if names else ''}: save it as UTF-8")


def _strictly(content: bytes, codec: str) -> str:
    try:
        return content.decode(codec)
    except UnicodeDecodeError as error:
        raise ValueError(
            f"is not the {codec.upper().removesuffix('-SIG')} that it begins as: save it as UTF-8"
        ) from error


def _unmarked_utf16(content: bytes) -> str:
    """The text in UTF-16 without a mark: spaces, line ends and brackets have a zero behind or before them.

    Raises:
        ValueError: it would hold controls or characters that do not exist.
    """
    order = "le" if content[1::2].count(0) >= content[::2].count(0) else "be"
    text = content.decode(f"utf-16-{order}", errors="replace")
    if _CONTROL.search(text) or any(unicodedata.category(character) in ("Cn", "Co") for character in text):
        raise ValueError("is no text")
    return text


def _fitting(content: bytes, page: _Page) -> str | None:
    """The text in a code page if it makes sense there."""
    try:
        text = content.decode(page.codec)
    except UnicodeDecodeError:
        return None
    foreign = [character for character in text if character > "\x7f"]
    if sum(map(page.fits, foreign)) < _LEAST_FITTING * len(foreign) or any(wrong.search(text) for wrong in _IMPOSSIBLE):
        return None
    letters = [character for character in text if character > "\x7f" and character not in _PUNCTUATION]
    if page.codec in ("cp1252", "cp1250", "cp1254"):
        return text if len(letters) <= _MOST_ACCENTS * sum(map(str.isalpha, text)) else None
    capitals = sum(map(str.isupper, letters))
    if 2 * capitals > len(letters) and (capitals < len(letters) or page.codec == "koi8_r"):
        return None
    if page.codec == "gb18030" and not any(character.encode("gb18030")[0] > _LAST_KOREAN_ROW for character in letters):
        return None
    if page.codec == "gb18030" and any("\u3041" <= character <= "\u30fa" for character in letters):
        frequent = sum(map(_FREQUENT_CHINESE.__contains__, letters))
        if frequent < _LEAST_FREQUENT_CHINESE * sum(map(_GB_FIRST_LEVEL, letters)):
            return None
    if page.codec == "big5" and not any(character.encode("big5")[1] < 0x80 for character in letters):
        return None
    if page.fits is _is_japanese and not any("\u3041" <= character <= "\u30fa" for character in letters):
        return None
    if page.common and sum(letter in page.common for letter in text.lower()) < page.least_common * len(letters):
        return None
    return text
