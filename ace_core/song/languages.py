"""The 51 vocal languages of ACE-Step 1.5 and the spellings people use for them.

The codes and their order are the published constants'. They are ISO 639-1 with three exceptions: `yue` (Cantonese),
`zh` for Mandarin only, and `unknown`. Names are English first, then other English and native ones; non-ASCII is
escaped. Matching ignores case, accents and width, so both sides go through `_fold`.

Trap: `no` is Norwegian. A YAML reader turns it into a boolean, which is refused here instead of being guessed at.
"""

from __future__ import annotations

import re
import unicodedata

LANGUAGE_NAMES: dict[str, tuple[str, ...]] = {
    "ar": ("Arabic", "\u0627\u0644\u0639\u0631\u0628\u064a\u0629", "\u0639\u0631\u0628\u064a"),
    "az": ("Azerbaijani", "Azeri", "az\u0259rbaycanca", "az\u0259rbaycan dili"),
    "bg": ("Bulgarian", "\u0431\u044a\u043b\u0433\u0430\u0440\u0441\u043a\u0438"),
    "bn": ("Bengali", "Bangla", "\u09ac\u09be\u0982\u09b2\u09be"),
    "ca": ("Catalan", "catal\u00e0", "Valencian"),
    "cs": ("Czech", "\u010de\u0161tina", "\u010desk\u00fd"),
    "da": ("Danish", "dansk"),
    "de": ("German", "Deutsch"),
    "el": ("Greek", "\u03b5\u03bb\u03bb\u03b7\u03bd\u03b9\u03ba\u03ac"),
    "en": ("English",),
    "es": ("Spanish", "espa\u00f1ol", "castellano"),
    "fa": ("Persian", "Farsi", "\u0641\u0627\u0631\u0633\u06cc"),
    "fi": ("Finnish", "suomi"),
    "fr": ("French", "fran\u00e7ais"),
    "he": ("Hebrew", "\u05e2\u05d1\u05e8\u05d9\u05ea"),
    "hi": ("Hindi", "\u0939\u093f\u0928\u094d\u0926\u0940", "\u0939\u093f\u0902\u0926\u0940"),
    "hr": ("Croatian", "hrvatski"),
    "ht": ("Haitian Creole", "Haitian", "krey\u00f2l ayisyen", "krey\u00f2l"),
    "hu": ("Hungarian", "magyar"),
    "id": ("Indonesian", "Bahasa Indonesia"),
    "is": ("Icelandic", "\u00edslenska"),
    "it": ("Italian", "italiano"),
    "ja": ("Japanese", "\u65e5\u672c\u8a9e"),
    "ko": ("Korean", "\ud55c\uad6d\uc5b4"),
    "la": ("Latin", "latina", "lingua latina"),
    "lt": ("Lithuanian", "lietuvi\u0173"),
    "ms": ("Malay", "Bahasa Melayu", "Bahasa Malaysia"),
    "ne": ("Nepali", "\u0928\u0947\u092a\u093e\u0932\u0940"),
    "nl": ("Dutch", "Nederlands", "Flemish"),
    "no": ("Norwegian", "norsk", "bokm\u00e5l", "nynorsk"),
    "pa": ("Punjabi", "Panjabi", "\u0a2a\u0a70\u0a1c\u0a3e\u0a2c\u0a40", "\u067e\u0646\u062c\u0627\u0628\u06cc"),
    "pl": ("Polish", "polski"),
    "pt": ("Portuguese", "portugu\u00eas"),
    "ro": ("Romanian", "rom\u00e2n\u0103", "Moldovan"),
    "ru": ("Russian", "\u0440\u0443\u0441\u0441\u043a\u0438\u0439"),
    "sa": ("Sanskrit", "\u0938\u0902\u0938\u094d\u0915\u0943\u0924\u092e\u094d"),
    "sk": ("Slovak", "sloven\u010dina"),
    "sr": ("Serbian", "\u0441\u0440\u043f\u0441\u043a\u0438", "srpski"),
    "sv": ("Swedish", "svenska"),
    "sw": ("Swahili", "Kiswahili"),
    "ta": ("Tamil", "\u0ba4\u0bae\u0bbf\u0bb4\u0bcd"),
    "te": ("Telugu", "\u0c24\u0c46\u0c32\u0c41\u0c17\u0c41"),
    "th": ("Thai", "\u0e44\u0e17\u0e22", "\u0e20\u0e32\u0e29\u0e32\u0e44\u0e17\u0e22"),
    "tl": ("Tagalog", "Filipino", "Pilipino"),
    "tr": ("Turkish", "T\u00fcrk\u00e7e"),
    "uk": ("Ukrainian", "\u0443\u043a\u0440\u0430\u0457\u043d\u0441\u044c\u043a\u0430"),
    "ur": ("Urdu", "\u0627\u0631\u062f\u0648"),
    "vi": ("Vietnamese", "Ti\u1ebfng Vi\u1ec7t"),
    "yue": ("Cantonese", "\u7ca4\u8bed", "\u7cb5\u8a9e", "\u5e7f\u4e1c\u8bdd", "\u5ee3\u6771\u8a71"),
    "zh": (
        "Chinese",
        "Mandarin",
        "\u4e2d\u6587",
        "\u6c49\u8bed",
        "\u6f22\u8a9e",
        "\u666e\u901a\u8bdd",
        "\u570b\u8a9e",
        "\u56fd\u8bed",
        "\u534e\u8bed",
    ),
    "unknown": ("Unknown", "undetermined"),
}
LANGUAGES: tuple[str, ...] = tuple(LANGUAGE_NAMES)
UNKNOWN_LANGUAGE = "unknown"

_OTHER_TAGS = {  # retired, macro-language and sub-language tags
    "cmn": "zh",
    "fil": "tl",
    "in": "id",
    "iw": "he",
    "nb": "no",
    "nn": "no",
    "und": "unknown",
    "zh-yue": "yue",
}
_REGION_TAG = re.compile(r"[a-z]{2,3}(?:-[a-z0-9]{2,8})+")
_PARENTHESIS = re.compile(r"\s*\([^()]*\)$")


def _fold(text: str) -> str:
    decomposed = unicodedata.normalize("NFKD", text)
    return " ".join("".join(c for c in decomposed if unicodedata.category(c) != "Mn").casefold().split())


_CODE_OF_NAME = {_fold(name): code for code, names in LANGUAGE_NAMES.items() for name in names}


def find_language(text: str) -> str | None:
    """The language code for a code, a tag such as `pt-BR`, or an English or native name; None if there is none.

    A trailing parenthesis is ignored: `Chinese (Simplified)` is `zh`.
    """
    folded = _PARENTHESIS.sub("", _fold(text))
    tag = folded.replace("_", "-")
    candidates = [tag]
    if _REGION_TAG.fullmatch(tag):
        candidates.append(tag.split("-")[0])
    for candidate in candidates:
        if candidate in LANGUAGE_NAMES:
            return candidate
        if candidate in _OTHER_TAGS:
            return _OTHER_TAGS[candidate]
    return _CODE_OF_NAME.get(folded)
