"""The fields of a song plan: what each may be, how human spellings become the model's, and the table of them all.

`PLAN_FIELDS` is the one list: blueprints, the planner's metadata and grammar, datasets and the tags of files read it.
For a new field add a row there, a line to `Blueprint`, and raise the versions of blueprint and song record files.

The domains are the published constants': 51 languages, 70 key names, time signatures 2, 3, 4 and 6, 30-300 bpm,
10-600 seconds, audio codes 0-63999, 12 tracks. Every `normalize_*` function returns a value of its domain, returns
None for "let the planner or the model decide" (None, an empty string, `auto` or `N/A`), and raises ValueError
naming the domain and the value received for everything else. Each is idempotent.

Traps: both `F# minor` and the form with the typographic sharp sign are legal and different to the model, so a sign
that was written is kept; 65535 code rows exist in the planner's vocabulary but only 64000 are points of the FSQ grid.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Callable, Collection, Iterable
from typing import NamedTuple

from ..audio.waveform import CODE_RATE, MAX_DURATION_SECONDS, MIN_DURATION_SECONDS
from ..checks import shown
from .languages import LANGUAGES, find_language
from .texts import normalize_text

INSTRUMENTAL_LYRICS = "[Instrumental]"
MAX_CAPTION_CHARACTERS = 8_192  # far above the 256 tokens a prompt can hold, which are counted when encoding
MAX_LYRICS_CHARACTERS = 65_536
MAX_BATCH_SIZE = 8  # songs that run together, the published limit; more take turns
MIN_BPM = 30
MAX_BPM = 300
TIME_SIGNATURES = {2: "2/4", 3: "3/4", 4: "4/4", 6: "6/8"}
CODE_COUNT = 64_000  # FSQ levels 8 * 8 * 8 * 5 * 5 * 5
MAX_CODE_COUNT = MAX_DURATION_SECONDS * CODE_RATE
TRACKS = (
    "woodwinds",
    "brass",
    "fx",
    "synth",
    "strings",
    "percussion",
    "keyboard",
    "guitar",
    "bass",
    "drums",
    "backing_vocals",
    "vocals",
)

SHARP_SIGN = "\u266f"
FLAT_SIGN = "\u266d"
KEYS: tuple[str, ...] = tuple(
    f"{note}{accidental} {mode}"
    for note in "ABCDEFG"
    for accidental in ("", "#", "b", SHARP_SIGN, FLAT_SIGN)
    for mode in ("major", "minor")
)
ASCII_KEYS: tuple[str, ...] = tuple(key for key in KEYS if key.isascii())

_INSTRUMENTAL_WORDS = frozenset({"[inst]", "[instrumental]"})
_AUTO_WORDS = frozenset({"", "auto", "n/a"})
_NUMBER = r"(\d+(?:\.\d+)?)"
_BPM = re.compile(_NUMBER + r"\s*(?:bpm)?", re.IGNORECASE)
_SECONDS = re.compile(_NUMBER + r"\s*(?:s|sec|secs|second|seconds)?", re.IGNORECASE)
_MINUTES = re.compile(_NUMBER + r"\s*(?:m|min|mins|minute|minutes)", re.IGNORECASE)
_CLOCK = re.compile(r"(\d+):([0-5]\d(?:\.\d+)?)")
_METER_SPACE = re.compile(r"\s*/\s*")
_BEATS_OF_METER = {name: beats for beats, meter in TIME_SIGNATURES.items() for name in (str(beats), meter)}
_KEY = re.compile(rf"([A-Ga-g])[\s_-]*(#|b|{SHARP_SIGN}|{FLAT_SIGN}|(?i:sharp|flat))?[\s_:-]*(\D*)")
_KEY_MODES = {
    "major": "major",
    "maj": "major",
    "dur": "major",
    "\u5927\u8c03": "major",
    "\u5927\u8abf": "major",
    "\u9577\u8abf": "major",
    "minor": "minor",
    "min": "minor",
    "m": "minor",
    "moll": "minor",
    "\u5c0f\u8c03": "minor",
    "\u5c0f\u8abf": "minor",
    "\u77ed\u8abf": "minor",
}
_CODE_TOKEN = re.compile(r"<\|audio_code_(\d+)\|>")


def _text(value: str) -> str:
    return " ".join(unicodedata.normalize("NFKC", value).split())


def _is_auto(value: object) -> bool:
    return value is None or (isinstance(value, str) and _text(value).casefold() in _AUTO_WORDS)


def _real_number(value: object) -> float | None:
    return value if isinstance(value, int | float) else None


def normalize_caption(value: object) -> str | None:
    """A caption as a prompt can hold it."""
    return normalize_text("caption", value, MAX_CAPTION_CHARACTERS)


def normalize_rewritten_caption(value: object) -> str | None:
    """The planner's caption as a prompt can hold it."""
    return normalize_text("rewritten caption", value, MAX_CAPTION_CHARACTERS)


def normalize_lyrics(value: object) -> str | None:
    """Lyrics as a prompt can hold them; `[inst]` and the like become `[Instrumental]`."""
    lyrics = normalize_text("lyrics", value, MAX_LYRICS_CHARACTERS)
    return INSTRUMENTAL_LYRICS if lyrics is not None and lyrics.lower() in _INSTRUMENTAL_WORDS else lyrics


def normalize_language(value: object) -> str | None:
    """A language code; accepts names (`English`, `Deutsch`) and tags (`zh-CN`)."""
    if _is_auto(value):
        return None
    code = find_language(value) if isinstance(value, str) else None
    if code is None:
        raise ValueError(f"language must be auto or one of {', '.join(LANGUAGES)}; got {shown(value)}")
    return code


def normalize_bpm(value: object) -> int | None:
    """Beats per minute as a whole number from 30 to 300; accepts `120 bpm`."""
    if _is_auto(value):
        return None
    match = _BPM.fullmatch(_text(value)) if isinstance(value, str) else None
    number = float(match[1]) if match else _real_number(value)
    if number is None or number not in range(MIN_BPM, MAX_BPM + 1):
        raise ValueError(f"bpm must be auto or a whole number from {MIN_BPM} to {MAX_BPM}, got {shown(value)}")
    return int(number)


def normalize_key(value: object) -> str | None:
    """A key such as `F# minor`; accepts `F#m`, `Bb`, `c sharp minor`, `A-flat major`, `a moll`, `C:maj`.

    A note without a mode is major, but only in upper case: a lower-case note alone means minor to some and major to
    others, and is an error.
    """
    if _is_auto(value):
        return None
    match = _KEY.fullmatch(_text(value)) if isinstance(value, str) else None
    mode = _key_mode(match[1], match[3]) if match else None
    if match is None or mode is None:
        raise ValueError(
            f"key must be auto or a note A-G, an optional # or b, and major or minor (F# minor), got {shown(value)}"
        )
    accidental = match[2] or ""
    accidental = {"sharp": "#", "flat": "b"}.get(accidental.lower(), accidental)
    return f"{match[1].upper()}{accidental} {mode}"


def _key_mode(note: str, text: str) -> str | None:
    mode = text.strip()
    if mode in ("", "M"):
        return "major" if note.isupper() else None
    return _KEY_MODES.get(mode.lower())


def normalize_time_signature(value: object) -> int | None:
    """Beats per bar as the model spells it (2, 3, 4, 6); accepts `2/4`, `3/4`, `4/4` and `6/8`."""
    if _is_auto(value):
        return None
    beats = _BEATS_OF_METER.get(_METER_SPACE.sub("/", _text(value))) if isinstance(value, str) else _real_number(value)
    if beats is None or beats not in TIME_SIGNATURES:
        domain = ", ".join(f"{number} ({name})" for number, name in TIME_SIGNATURES.items())
        raise ValueError(f"time signature must be auto or one of {domain}; got {shown(value)}")
    return int(beats)


def normalize_duration(value: object) -> float | None:
    """Seconds from 10 to 600; accepts `90 s`, `3:30` and `2 min`."""
    if _is_auto(value):
        return None
    seconds = _parse_duration(_text(value)) if isinstance(value, str) else _real_number(value)
    if seconds is None or not MIN_DURATION_SECONDS <= seconds <= MAX_DURATION_SECONDS:
        raise ValueError(
            f"duration must be auto or {MIN_DURATION_SECONDS} to {MAX_DURATION_SECONDS} seconds, got {shown(value)}"
        )
    return float(seconds)


def _parse_duration(text: str) -> float | None:
    if match := _SECONDS.fullmatch(text):
        return float(match[1])
    if match := _MINUTES.fullmatch(text):
        return 60 * float(match[1])
    if match := _CLOCK.fullmatch(text):
        return 60 * float(match[1]) + float(match[2])
    return None


def normalize_audio_codes(value: object) -> tuple[int, ...] | None:
    """Audio codes, each 0 to 63999, at most 3000 (600 s); accepts a sequence, `<|audio_code_1|>...`, or `1, 2`.

    No codes at all is None. Unlike the published handler an illegal code is an error, not clamped.
    """
    if _is_auto(value):
        return None
    codes = _parse_codes(value) if isinstance(value, str) else value
    if not isinstance(codes, Iterable):
        raise ValueError(f"audio codes must be a list of whole numbers, got {shown(value)}")
    normalized = tuple(codes)
    if len(normalized) > MAX_CODE_COUNT:
        raise ValueError(
            f"at most {MAX_CODE_COUNT} audio codes fit into {MAX_DURATION_SECONDS} seconds, got {len(normalized)}"
        )
    for position, code in enumerate(normalized):
        if isinstance(code, bool) or not isinstance(code, int) or not 0 <= code < CODE_COUNT:
            raise ValueError(
                f"audio codes must be whole numbers from 0 to {CODE_COUNT - 1}, number {position} is {shown(code)}"
            )
    return normalized or None


def audio_codes_text(codes: Iterable[int]) -> str:
    """Audio codes as the planner spells them."""
    return "".join(f"<|audio_code_{code}|>" for code in codes)


def seconds_of_codes(count: int) -> float:
    """How long audio codes last, within the lengths of songs."""
    return float(min(max(count / CODE_RATE, MIN_DURATION_SECONDS), MAX_DURATION_SECONDS))


def _parse_codes(text: str) -> tuple[int, ...]:
    parts = _CODE_TOKEN.sub(r" \1 ", text).replace(",", " ").split()
    wrong = next((part for part in parts if not (part.isascii() and part.isdigit() and len(part) <= 5)), None)
    if wrong is not None:
        raise ValueError(
            f"audio codes must be numbers from 0 to {CODE_COUNT - 1} or <|audio_code_N|> tokens, got {shown(wrong)}"
        )
    return tuple(int(part) for part in parts)


def normalize_track(value: str) -> str:
    """A track name of the stem tasks; accepts `Backing Vocals`."""
    track = _text(value).lower().replace(" ", "_").replace("-", "_")
    if track not in TRACKS:
        raise ValueError(f"track must be one of {', '.join(TRACKS)}; got {shown(value)}")
    return track


class PlanField(NamedTuple):
    """A field of a song plan.

    Attributes:
        name: of the attribute of `Blueprint` and in its JSON.
        normalize: to a value of the domain, or None for auto.
        is_auto: whether a finished plan has decided it.
        metadata: the planner's name for it, also the one in the official dataset JSON; empty: not in the metadata.
        values: the legal ones in the planner's metadata, as it spells them; empty: free text.
        tags: names in FLAC and Ogg files. Lyrics are written in a way of their own.
        aliases: other names that datasets have for it.
    """

    name: str
    normalize: Callable[[object], object]
    is_auto: bool = True
    metadata: str = ""
    values: Collection[str | int] = ()
    tags: tuple[str, ...] = ()
    aliases: tuple[str, ...] = ()


_SECONDS_OF_PLANS = range(MIN_DURATION_SECONDS, MAX_DURATION_SECONDS + 1)
PLAN_FIELDS: tuple[PlanField, ...] = (
    PlanField("caption", normalize_caption, metadata="caption"),
    PlanField("lyrics", normalize_lyrics),
    PlanField(
        "language", normalize_language, metadata="language", values=tuple(LANGUAGES), aliases=("vocal_language",)
    ),
    PlanField("bpm", normalize_bpm, metadata="bpm", values=range(MIN_BPM, MAX_BPM + 1), tags=("BPM",)),
    PlanField("key", normalize_key, metadata="keyscale", values=KEYS, tags=("KEY", "INITIALKEY")),
    PlanField("time_signature", normalize_time_signature, metadata="timesignature", values=tuple(TIME_SIGNATURES)),
    PlanField("duration_seconds", normalize_duration, metadata="duration", values=_SECONDS_OF_PLANS),
    PlanField("audio_codes", normalize_audio_codes, is_auto=False),
    PlanField("rewritten_caption", normalize_rewritten_caption, is_auto=False),
)
SONG_FIELDS: tuple[str, ...] = tuple(field.name for field in PLAN_FIELDS)
AUTO_FIELDS: tuple[str, ...] = tuple(field.name for field in PLAN_FIELDS if field.is_auto)
MUSIC_FIELDS: tuple[str, ...] = tuple(  # bpm, key and what is like them: neither words nor their language
    field.name for field in PLAN_FIELDS if field.metadata and field.name not in ("caption", "language")
)
