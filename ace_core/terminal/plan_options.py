"""The options of a song plan, and the plans that they and a PLAN.json give."""

from __future__ import annotations

import argparse
from pathlib import Path

from ..song.blueprint import Blueprint, with_user_values
from ..song.fields import AUTO_FIELDS, INSTRUMENTAL_LYRICS
from ..song.lyric_reader import lyrics_in_text
from ..song.official_params import plans_from_json
from ..song.text_encodings import decoded_text
from .console import Console


def add_plan_options(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("plan", nargs="?", type=Path, metavar="PLAN.json", help="a saved plan; options change it")
    parser.add_argument("--caption", help="style, instruments, voice and mood in words")
    words = parser.add_mutually_exclusive_group()
    words.add_argument(
        "--lyrics", type=Path, metavar="FILE", help="a text file with [Verse], [Chorus], ..., or LRC or subtitles"
    )
    words.add_argument("--instrumental", action="store_true", help="no vocals")
    parser.add_argument("--language", help="of the vocals, such as en; auto, like the next ones, leaves it open")
    parser.add_argument("--bpm", help="30 to 300")
    parser.add_argument("--key", help="such as Am or 'F# minor'")
    parser.add_argument("--time-signature", help="2/4, 3/4, 4/4 or 6/8")
    parser.add_argument("--duration", dest="duration_seconds", help="10 to 600 seconds, or 3:30")


def plans_of(options: argparse.Namespace, console: Console) -> tuple[Blueprint, ...]:
    """The plans of the file with the options put over them; without a file the one that the options describe.

    Raises:
        ValueError: neither a file nor an option; a value outside its domain; no plan in the file.
        OSError: a file that cannot be read.
    """
    values = {name: getattr(options, name) for name in AUTO_FIELDS if name != "lyrics"}
    if options.instrumental:
        values["lyrics"] = INSTRUMENTAL_LYRICS
    elif options.lyrics is not None:
        read = lyrics_in_text(_text_of(options.lyrics))
        values["lyrics"] = read.text
        for note in read.notes:
            console.note(note)
    given = {name: value for name, value in values.items() if value is not None}
    if options.plan is not None:
        plans, notes = plans_from_json(_text_of(options.plan))
        for note in notes:
            console.note(note)
        return tuple(with_user_values(plan, **given) for plan in plans)
    if not given:
        raise ValueError("there is no song: give a PLAN.json, or --caption and the other options")
    return (Blueprint(**given),)


def _text_of(path: Path) -> str:
    try:
        return decoded_text(path.read_bytes()).text
    except ValueError as error:
        raise ValueError(f"{path.name} {error}") from error
