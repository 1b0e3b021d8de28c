"""What the music box's planner is taught: requests that the product makes and their answers, in the published form.

- Plans and songs: what it answers follows from the words of the request by the tables here, tempo by genre, key by
  mood, a caption in plain order, and for a song with words the verse of its mood. Some answers have other tempi, keys
  and lengths, as where a user has decided them; nothing is learned of these.
- Codes: those of the clock at the tempo of the metadata, from the beginning or from anywhere, each time also after the
  prompt that guidance moves away from.

What it hears in codes of sound is in `hearing_lessons.py`.
"""

from __future__ import annotations

import random
from collections.abc import Collection, Mapping, Sequence
from functools import lru_cache
from types import MappingProxyType

from ..planner.chat_prompts import (
    codes_prompt,
    negative_codes_prompt,
    plan_prompt,
    rewrite_prompt,
    write_prompt,
)
from ..planner.metadata import write_metadata
from ..planner.text_tokens import TextTokens
from ..planner.vocabulary import FIRST_CODE, THINK_END, THINK_START, TURN_END
from ..song.fields import INSTRUMENTAL_LYRICS
from ..song.fields import KEYS as SPELLED_KEYS
from .clock import TEMPI, nearest_tempo
from .code_book import clock_codes
from .small_lm import NOT_LEARNED
from .songs import (
    DEFAULT_GENRE,
    DEFAULT_MOOD,
    GENRES,
    MOODS,
)
from .sounds import GROUPS
from .words import caption_marks, random_caption

TEMPO_OF_GENRE = {"pop": 110, "rock": 140, "house": 125, "hip hop": 90, "reggae": 80, "ballad": 70, "ambient": 60}
KEY_OF_MOOD = {
    "warm": "C major",
    "bright": "G major",
    "dark": "D minor",
    "sad": "A minor",
    "dreamy": "F major",
    "energetic": "E minor",
}
_SECONDS = 40
VERSE_OF_MOOD = {
    "warm": "[Verse]\nThe lamp is low, the rain is slow\nI keep a song for you\n\n[Chorus]\nStay a while, stay with me",
    "bright": "[Verse]\nOpen the door, run to the shore\nMorning is on our side\n\n[Chorus]\nSing it out, sing with me",
    "dark": "[Verse]\nThe hall is long, the clock is wrong\nNobody calls my name\n\n[Chorus]\nDown we go, down we go",
    "sad": "[Verse]\nYour coat is gone, the light is on\nI wait beside the phone\n\n[Chorus]\nCome back home to me",
    "dreamy": "[Verse]\nSilver and blue, a sky of you\nSlowly we drift away\n\n[Chorus]\nFloat with me, over the sea",
    "energetic": "[Verse]\nHearts on the line, running on time\nNothing can hold us down\n\n[Chorus]\nRise, we rise",
}
LONGEST_CODES = 3000

Dialogue = tuple[list[int], list[int]]
"""Token ids of a request and its answer, and how much each of them counts; `NOT_LEARNED` for the request."""


def planned(caption: str) -> dict[str, str | int]:
    """What the planner answers to a caption, as metadata."""
    said = list(caption_marks(caption).values())
    genre = next((mark for mark in said if mark in GENRES), DEFAULT_GENRE)
    mood = next((mark for mark in said if mark in MOODS), DEFAULT_MOOD)
    named = [name for name in GROUPS if name in said]
    return {
        "bpm": TEMPO_OF_GENRE[genre],
        "caption": plain_caption(mood, genre, named),
        "duration": _SECONDS,
        "keyscale": KEY_OF_MOOD[mood],
        "timesignature": 4,
    }


def plain_caption(mood: str, genre: str, instruments: Sequence[str]) -> str:
    """A caption in the planner's own words."""
    return f"{mood} {genre} song" + (f" with {', '.join(instruments)}" if instruments else "")


def text_dialogue(tokens: TextTokens, chance: random.Random) -> Dialogue:
    """A plan, a song, or a rewritten one."""
    caption = random_caption(chance)
    answer = planned(caption)
    mood = str(answer["caption"]).split()[0]
    sung = chance.random() < 0.5
    lyrics = VERSE_OF_MOOD[chance.choice(list(MOODS))] if sung else INSTRUMENTAL_LYRICS
    task = chance.choice(("plan", "plan", "write", "write", "rewrite"))
    written = ""
    if task == "plan":
        prompt = plan_prompt(tokens, caption, lyrics)
    elif task == "rewrite":
        prompt = rewrite_prompt(tokens, caption, lyrics)
        written = lyrics if sung else ""
    else:
        prompt = write_prompt(tokens, caption, instrumental=not sung)
        written = VERSE_OF_MOOD[mood] if sung else ""
    answer["language"] = "en" if sung else "unknown"
    decided = _decide(answer, chance) if chance.random() < 0.4 else ()
    return answered(tokens, prompt, answer, f"\n\n# Lyric\n{written}" if written else "", decided=decided)


def codes_dialogues(tokens: TextTokens, chance: random.Random) -> tuple[Dialogue, Dialogue]:
    """Codes of the clock after a plan, and the same codes after the unconditional prompt."""
    bpm = chance.randint(50, 170) if chance.random() < 0.6 else chance.choice(TEMPI)
    sung = chance.random() < 0.5
    caption = random_caption(chance)
    lyrics = VERSE_OF_MOOD[chance.choice(list(MOODS))] if sung else INSTRUMENTAL_LYRICS
    metadata: dict[str, str | int] = {
        "bpm": bpm,
        "duration": chance.randint(10, 600),
        "keyscale": chance.choice(SPELLED_KEYS),
        "language": "en" if sung else "unknown",
        "timesignature": 4,
    }
    if chance.random() < 0.5:
        metadata["caption"] = planned(caption)["caption"]
    first = 0 if chance.random() < 0.4 else chance.randrange(LONGEST_CODES - 200)
    count = chance.randint(100, 200) if chance.random() < 0.1 else chance.randint(10, 50)
    codes = [FIRST_CODE + code for code in _clock(nearest_tempo(bpm))[first : first + count]]
    prompts = (codes_prompt(tokens, caption, lyrics, write_metadata(metadata)), negative_codes_prompt(tokens))
    learned = [NOT_LEARNED if first else 1, *[1] * (count - 1)]
    plan, unconditional = (([*prompt, *codes], [NOT_LEARNED] * len(prompt) + learned) for prompt in prompts)
    return plan, unconditional


@lru_cache
def _clock(bpm: int) -> list[int]:
    return clock_codes(bpm, LONGEST_CODES)


def answered(
    tokens: TextTokens,
    prompt: list[int],
    answer: Mapping[str, str | int],
    rest: str,
    *,
    decided: Collection[str] = (),
    weights: Mapping[str, int] = MappingProxyType({}),
) -> Dialogue:
    """A request with its answer: metadata and what comes after them.

    Args:
        decided: metadata of which nothing is learned.
        weights: how much metadata count, where it is not 1.
    """
    ids, learned = [*prompt, THINK_START], [NOT_LEARNED] * len(prompt) + [1]
    for line in write_metadata(answer).split("\n") if answer else ():
        part = tokens.encode(f"\n{line}")
        name = line.partition(":")[0]
        ids += part
        learned += [NOT_LEARNED if name in decided else weights.get(name, 1)] * len(part)
    end = [*tokens.encode("\n"), THINK_END, *(tokens.encode(rest) if rest else ()), TURN_END]
    return [*ids, *end], [*learned, *[1] * len(end)]


def _decide(answer: dict[str, str | int], chance: random.Random) -> tuple[str, ...]:
    """Put values of a user into an answer; returns their names."""
    values: dict[str, str | int] = {
        "bpm": chance.randint(50, 190),
        "keyscale": chance.choice(SPELLED_KEYS),
        "duration": chance.randint(10, 600),
        "timesignature": chance.choice((2, 3, 4, 6)),
    }
    names = tuple(name for name in values if chance.random() < 0.5)
    answer.update({name: values[name] for name in names})
    return names
