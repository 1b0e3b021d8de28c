"""The official dataset JSON: `metadata` with the settings, `samples` with one song each. Read, edited and written.

Traps:
- `audio_path` is a path on the machine that wrote the file, usually absolute. It is never opened, only compared: a
  sample belongs to the clip whose name it ends in.
- Ours has paths below the dataset's folder, so the file can travel with the songs.
- An unknown language is `unknown`, other missing values are empty, as the official application writes them.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable
from typing import Any, NamedTuple

from ..checks import shown
from ..json_files import checked_json
from ..song.blueprint import Blueprint
from ..song.fields import MUSIC_FIELDS, PLAN_FIELDS
from ..song.languages import UNKNOWN_LANGUAGE
from .companions import name_key
from .dataset import Clip, Dataset, FileProblem
from .facts import Facts, read_facts

MAX_DATASET_BYTES = 64 << 20


class Sample(NamedTuple):
    """A song of a dataset JSON: where it was on the machine that wrote it, with slashes, and what is said about it."""

    audio_path: str
    facts: Facts


def is_dataset_json(document: object) -> bool:
    """Whether parsed JSON looks like a dataset and not like any other file."""
    return isinstance(document, dict) and isinstance(document.get("samples"), list)


def parse_json(text: str) -> object:
    """Parsed JSON.

    Raises:
        FileProblem: it is not JSON.
    """
    try:
        parsed: object = checked_json(text)
    except json.JSONDecodeError as error:
        raise FileProblem(f"is not valid JSON: {error}") from error
    return parsed


def read_samples(document: Any) -> list[Sample]:
    """The songs of a parsed dataset JSON.

    Raises:
        FileProblem: it is not a dataset, or a sample has no name of an audio file.
    """
    if not is_dataset_json(document):
        raise FileProblem('is not a dataset: it must be an object with a list "samples"')
    samples = []
    for number, sample in enumerate(document["samples"], 1):
        place = (sample.get("audio_path") or sample.get("filename")) if isinstance(sample, dict) else None
        if not isinstance(place, str):
            raise FileProblem(f'sample {number} must be an object with an "audio_path", got {shown(sample)}')
        samples.append(Sample(place.replace("\\", "/"), read_facts(sample)))
    return samples


def stated_settings(document: Any) -> dict[str, object]:
    """The settings that a dataset JSON was made with, by the names of `Dataset`'s; without those that say nothing."""
    metadata = document.get("metadata") if isinstance(document, dict) else None
    if not isinstance(metadata, dict):
        return {}
    names = {"custom_tag": "activation_tag", "tag_position": "tag_position", "genre_ratio": "genre_ratio"}
    return {ours: metadata[name] for name, ours in names.items() if metadata.get(name) not in (None, "")}


def matching_name(audio_path: str, names: Iterable[str]) -> str | None:
    """The name that a path ends in, the longest of several; without one, the only name with the path's last part.

    Names match as people read them, see `name_key`; where two are alike, the one of the same spelling.
    """
    names = list(names)
    for key in (str, name_key):
        parts = key(audio_path).split("/")
        ends = [name for name in names if parts[-len(name.split("/")) :] == key(name).split("/")]
        if ends:
            return max(ends, key=len)
        same_file = [name for name in names if key(name).rpartition("/")[2] == parts[-1]]
        if same_file:
            return same_file[0] if len(same_file) == 1 else None
    return None


def dataset_json(dataset: Dataset, created_at: str) -> str:
    """A dataset as the official application writes it.

    Args:
        created_at: ISO 8601.
    """
    document = {
        "metadata": {
            "name": dataset.name,
            "custom_tag": dataset.activation_tag,
            "tag_position": dataset.tag_position,
            "created_at": created_at,
            "num_samples": len(dataset.clips),
            "all_instrumental": dataset.all_instrumental,
            "genre_ratio": dataset.genre_ratio,
        },
        "samples": [_sample(clip, dataset) for clip in dataset.clips],
    }
    return json.dumps(document, ensure_ascii=False, indent=2) + "\n"


def _sample(clip: Clip, dataset: Dataset) -> dict[str, object]:
    song = clip.song
    return {
        "id": hashlib.sha256(clip.name.encode()).hexdigest()[:8],
        "audio_path": clip.name,
        "filename": clip.name.rpartition("/")[2],
        "caption": song.caption or "",
        "genre": clip.genre or "",
        "lyrics": song.lyrics or "",
        "raw_lyrics": "" if song.is_instrumental else song.lyrics or "",
        "formatted_lyrics": "",
        **{field.metadata: _written(song, field.name) for field in PLAN_FIELDS if field.name in MUSIC_FIELDS},
        "duration": int(clip.seconds),
        "language": song.language or UNKNOWN_LANGUAGE,
        "is_instrumental": song.is_instrumental,
        "custom_tag": dataset.activation_tag,
        "labeled": clip.labeled,
        "prompt_override": clip.prompt_choice,
    }


def _written(song: Blueprint, field: str) -> object:
    """A value as the official application writes it: numbers but the tempo are text."""
    value = getattr(song, field)
    if field == "bpm":
        return value
    return "" if value is None else str(value)
