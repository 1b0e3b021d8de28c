"""The words that the music box understands, and prompts made of them with the mark of each token.

What a caption says is found here by looking words up, to teach the text encoder (`tagger.py`); when a song is rendered,
the text encoder alone reads the caption. A caption's first word of a genre and first of a mood count. Where it has
none, marks stand on the heading behind the caption; there, too, stands the mark for the usual band, if no instrument is
named.
"""

from __future__ import annotations

import random
import re
from collections.abc import Sequence
from typing import NamedTuple

from ..checkpoints.tokenizer import END_OF_TEXT, TextTokenizer
from ..render.prompts import caption_prompt
from ..song.blueprint import Blueprint
from ..song.fields import KEYS as SPELLED_KEYS
from ..song.fields import MAX_BPM, MIN_BPM
from ..tasks.instructions import TaskName, task_instruction
from .clock import DEFAULT_TEMPO, nearest_tempo
from .marks import BAND, COVER, EXTRACT, MARKS, NOTHING
from .small_lm import UNKNOWN
from .songs import DEFAULT_GENRE, DEFAULT_KEY, DEFAULT_MOOD, GENRES, MOODS, NOTES
from .sounds import GROUPS

GENRE_WORDS: dict[str, tuple[str, ...]] = {
    "pop": ("pop", "indie pop", "synth-pop", "synthpop", "dance pop", "k-pop", "j-pop", "soul", "funk", "disco"),
    "rock": ("rock", "metal", "punk", "grunge", "hard rock", "alternative", "blues"),
    "house": ("house", "techno", "edm", "electronic", "trance", "dance", "electro", "dubstep"),
    "hip hop": ("hip hop", "hip-hop", "rap", "trap", "boom bap", "lo-fi", "lofi", "r&b"),
    "reggae": ("reggae", "ska", "dub", "latin", "bossa nova", "salsa", "afrobeat"),
    "ballad": ("ballad", "folk", "country", "acoustic", "jazz", "singer-songwriter", "lullaby", "waltz"),
    "ambient": ("ambient", "cinematic", "orchestral", "classical", "new age", "soundtrack", "meditation", "drone"),
}
MOOD_WORDS: dict[str, tuple[str, ...]] = {
    "warm": ("warm", "calm", "gentle", "soft", "relaxed", "cozy", "romantic", "mellow", "peaceful"),
    "bright": ("bright", "happy", "cheerful", "joyful", "uplifting", "sunny", "playful", "upbeat", "hopeful"),
    "dark": ("dark", "tense", "mysterious", "gloomy", "ominous", "haunting", "scary", "gritty"),
    "sad": ("sad", "melancholic", "melancholy", "lonely", "nostalgic", "emotional", "wistful", "sorrowful"),
    "dreamy": ("dreamy", "ethereal", "floating", "atmospheric", "hazy", "spacey", "hypnotic", "airy"),
    "energetic": ("energetic", "powerful", "driving", "aggressive", "fast", "exciting", "epic", "intense", "heroic"),
}
INSTRUMENT_WORDS: dict[str, tuple[str, ...]] = {
    "drums": ("drums", "drum", "percussion", "beat", "beats", "drum machine", "kick", "snare"),
    "bass": ("bass", "bassline", "bass guitar", "808", "sub bass"),
    "keyboard": ("piano", "keyboard", "keys", "synth", "synths", "organ", "electric piano", "rhodes", "synthesizer"),
    "guitar": (
        "guitar",
        "guitars",
        "acoustic guitar",
        "electric guitar",
        "banjo",
        "ukulele",
        "harp",
        "bells",
        "plucks",
    ),
    "vocals": ("vocals", "vocal", "voice", "singer", "singing", "choir", "vocalist"),
    "strings": ("strings", "string", "pads", "pad", "violin", "violins", "cello", "orchestra", "brass", "flute"),
}
TRACK_INSTRUMENTS = {"percussion": "drums", "synth": "keyboard", **{name: name for name in GROUPS}}
"""Tracks of the stem tasks that the box has; it hears nothing of the others."""
UNWANTED = ("no", "without")

_FILLERS = (
    "a song with and the of in for music track tune slow mid-tempo live modern vintage punchy analog deep soft, clean "
    "rich female male breathy lead big small smooth catchy simple chorus verse melody rhythm groove solo night summer "
    "about love city rain dancing featuring style inspired by groovy arpeggiated fingerpicked distorted muted "
    "reverb production mix stereo lush wide 80s 90s minimal instrumental background"
).split()
_UNKNOWN_SHARE = 0.12
_TASKS: list[TaskName] = ["text2music", "text2music", "text2music", "text2music", "text2music"]
_TASKS += ["repaint", "cover", "extract", "extract"]
_NOTE_OF = {"C": 0, "D": 2, "E": 4, "F": 5, "G": 7, "A": 9, "B": 11}
_SHIFT_OF = {"#": 1, "b": -1, "\u266f": 1, "\u266d": -1}


class MarkedPrompt(NamedTuple):
    """Token ids of a caption prompt and the index in `MARKS` of each; `UNKNOWN` for what was never seen."""

    ids: tuple[int, ...]
    marks: tuple[int, ...]


def own_key(spelled: str) -> str:
    """The one of `songs.BOX_KEYS` that sounds like a key in any spelling."""
    note, mode = spelled.split()
    shift = sum(_SHIFT_OF[sign] for sign in note[1:])
    return f"{NOTES[(_NOTE_OF[note[0]] + shift) % 12]} {mode}"


def caption_marks(caption: str) -> dict[int, str]:
    """Marks by the place of the last character of the word that has them."""
    found: dict[int, str] = {}
    for table in (GENRE_WORDS, MOOD_WORDS):
        first = min(_mentions(caption, table), default=None)
        if first is not None:
            found[first[1] - 1] = first[2]
    for start, end, name in _mentions(caption, INSTRUMENT_WORDS):
        before = caption[:start].lower().split()
        found[end - 1] = f"no {name}" if before and before[-1] in UNWANTED else name
    return found


def _mentions(caption: str, table: dict[str, tuple[str, ...]]) -> list[tuple[int, int, str]]:
    """Start, end and name of every word of a table; of words that overlap, the longest."""
    spans = [
        (match.start(), match.end(), name)
        for name, words in table.items()
        for word in words
        for match in re.finditer(rf"(?<![\w-]){re.escape(word)}(?![\w-])", caption, re.IGNORECASE)
    ]
    return [
        span
        for span in spans
        if not any(other != span and other[0] <= span[0] and span[1] <= other[1] for other in spans)
    ]


def marked_prompt(
    tokenizer: TextTokenizer,
    blueprint: Blueprint,
    seconds: float,
    *,
    task: TaskName = "text2music",
    track: str | None = None,
) -> MarkedPrompt:
    """The prompt of a blueprint with the marks that its tokens should get."""
    tracks = () if track is None else (track,)
    instruction = task_instruction(task, tracks)
    text = caption_prompt(blueprint, instruction, duration_seconds=seconds)
    encoded = tokenizer.backend.encode(text, add_special_tokens=False)
    start = text.index("# Caption\n") + len("# Caption\n")
    end = text.rindex("\n\n# Metas\n")
    heading = end + 2
    said = {start + place: mark for place, mark in caption_marks(text[start:end]).items()}
    if task == "extract":
        said = {place: mark for place, mark in said.items() if mark in GENRES or mark in MOODS}
        said[text.index("Extract") + len("Extract") - 1] = EXTRACT
        if track in TRACK_INSTRUMENTS:
            said[text.index(track.upper()) + len(track) - 1] = TRACK_INSTRUMENTS[track]
    elif not set(said.values()) & set(GROUPS):
        said[heading + len("# Metas") - 1] = BAND
    if task == "cover":
        said[text.index("semantic tokens") + len("semantic tokens") - 1] = COVER
    if not set(said.values()) & set(GENRES):
        said[heading] = DEFAULT_GENRE
    if not set(said.values()) & set(MOODS):
        said[heading + len("# Met") - 1] = DEFAULT_MOOD
    bpm, key = blueprint.bpm or DEFAULT_TEMPO, blueprint.key or DEFAULT_KEY
    said[text.index("\n", text.rindex("- bpm:"))] = f"{nearest_tempo(bpm)} bpm"
    said[text.index("\n", text.rindex("- keyscale:"))] = own_key(key)
    marks = [MARKS.index(NOTHING)] * (len(encoded.ids) + 1)
    for place, mark in said.items():
        token = next(number for number, (first, last) in enumerate(encoded.offsets) if first <= place < last)
        marks[token] = MARKS.index(mark)
    return MarkedPrompt((*encoded.ids, tokenizer.token_id(END_OF_TEXT)), tuple(marks))


def random_prompt(tokenizer: TextTokenizer, chance: random.Random) -> MarkedPrompt:
    """A prompt to learn from: of any task, its caption in many forms, some of its words unknown."""
    task = chance.choice(_TASKS)
    blueprint = Blueprint(
        caption=random_caption(chance) if chance.random() < 0.5 else listed_caption(chance),
        bpm=None if chance.random() < 0.1 else chance.randint(MIN_BPM, MAX_BPM if chance.random() < 0.2 else 180),
        key=None if chance.random() < 0.08 else chance.choice(SPELLED_KEYS),
        time_signature=chance.choice((None, 2, 3, 4, 4, 4, 6)),
    )
    track = None if task != "extract" else chance.choice((*TRACK_INSTRUMENTS, "brass", "backing_vocals", "woodwinds"))
    prompt = marked_prompt(tokenizer, blueprint, chance.randint(10, 600), task=task, track=track)
    nothing = MARKS.index(NOTHING)
    ids = list(prompt.ids)
    inside = range(20, len(ids) - 34)  # of the caption: headings stay
    for place in inside:
        if prompt.marks[place] == nothing and chance.random() < (_UNKNOWN_SHARE if chance.random() < 0.5 else 0):
            ids[place] = UNKNOWN
    return MarkedPrompt(tuple(ids), prompt.marks)


def listed_caption(chance: random.Random) -> str:
    """Mood and genre with a list of instruments, as people write it."""
    names = [name for name in INSTRUMENT_WORDS if chance.random() < 0.5]
    chance.shuffle(names)
    band = [chance.choice(INSTRUMENT_WORDS[name]) for name in names]
    mood, genre = (chance.choice(chance.choice(list(table.values()))) for table in (MOOD_WORDS, GENRE_WORDS))
    caption = _in_a_list(mood, genre, band, chance)
    if chance.random() < 0.25:
        caption += f", {chance.choice(UNWANTED)} {chance.choice(chance.choice(list(INSTRUMENT_WORDS.values())))}"
    return caption


def worded_caption(mood: str, genre: str, instruments: Sequence[str], chance: random.Random) -> str:
    """A mood, a genre and instruments of the box in some of the words for them."""
    band = [chance.choice(INSTRUMENT_WORDS[name]) for name in instruments]
    return _in_a_list(chance.choice(MOOD_WORDS[mood]), chance.choice(GENRE_WORDS[genre]), band, chance)


def _in_a_list(mood: str, genre: str, band: Sequence[str], chance: random.Random) -> str:
    listed = ", ".join(band[:-1]) + (chance.choice((" and ", ", ")) if len(band) > 1 else "") + "".join(band[-1:])
    form = chance.choice(("{mood} {genre} with {band}", "{genre}, {mood}, {band}", "{band}, {mood} {genre}", "{band}"))
    return form.format(mood=mood, genre=genre, band=listed)


def random_caption(chance: random.Random) -> str:
    """Words of all kinds in any order, as lists or as half a sentence."""
    parts: list[str] = []
    for table, likely in ((GENRE_WORDS, 0.8), (MOOD_WORDS, 0.8)):
        while chance.random() < likely:
            parts.append(chance.choice(chance.choice(list(table.values()))))
            likely *= 0.25
    names = [name for name in INSTRUMENT_WORDS if chance.random() < 0.4] if chance.random() < 0.75 else []
    for name in names:
        word = chance.choice(INSTRUMENT_WORDS[name])
        parts.append(f"{chance.choice(UNWANTED)} {word}" if chance.random() < 0.2 else word)
    parts += chance.choices(_FILLERS, k=chance.randint(0, 8))
    chance.shuffle(parts)
    joined = ""
    for part in parts:
        word = part.title() if chance.random() < 0.08 else part
        joined += (chance.choice((" ", ", ", " ", " and ")) if joined else "") + word
    if joined and chance.random() < 0.3:
        joined = joined[0].upper() + joined[1:] + "."
    return joined
