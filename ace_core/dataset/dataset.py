"""A dataset: songs with captions, lyrics and metadata, and how to train on them.

Matches the official trainer's dataset builder in its settings: an activation tag before, behind or instead of the
caption, and a share of songs that are trained with their genre instead, drawn with seed 42. What differs: a song
without genre keeps its caption, and a song is never trained with an empty text if there is another.

Trap: settings are applied by `training_songs` and nowhere else. A clip keeps the lyrics of a song that is trained as an
instrumental, so that switching back loses nothing.
"""

from __future__ import annotations

import random
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Literal, NamedTuple, TypeAlias, get_args

from ..checks import check_choice, shown
from ..planner.requests import settle_instrumental
from ..song.blueprint import Blueprint, with_user_values
from ..song.fields import INSTRUMENTAL_LYRICS

TagPosition: TypeAlias = Literal["prepend", "append", "replace"]
PromptChoice: TypeAlias = Literal["caption", "genre"]
TAG_POSITIONS: tuple[TagPosition, ...] = get_args(TagPosition)
PROMPT_CHOICES: tuple[PromptChoice, ...] = get_args(PromptChoice)
GENRE_SEED = 42
MAX_NAME_CHARACTERS = 80

_OWN_FACTS = ("genre", "prompt_choice", "labeled")
_BAD_IN_NAMES = re.compile(r'[\x00-\x1f\x7f<>:"/\\|?*]')
_RESERVED_NAMES = re.compile(r"(?:con|prn|aux|nul|com\d|lpt\d)(?:\..*)?", re.IGNORECASE)  # of Windows


class FileProblem(ValueError):
    """Why a file cannot be used, in words that follow its name: `is silent`. The name is put in front by the caller."""


class Skipped(NamedTuple):
    """A file that is not used, and why."""

    name: str
    reason: str

    def __str__(self) -> str:
        return f"{self.name} {self.reason}"

    @classmethod
    def because_of(cls, name: str, error: ValueError) -> Skipped:
        """A file that a `FileProblem` is about, or that something else cannot use."""
        return cls(name, str(error) if isinstance(error, FileProblem) else f"cannot be used: {error}")


@dataclass(frozen=True)
class Clip:
    """A recording with its caption, lyrics and metadata.

    Args:
        name: its path below the dataset's folder, with slashes.
        path: where it is.
        seconds: its length.
        song: caption, lyrics, language, bpm, key and time signature; the duration stays open.
        genre: in a few words.
        prompt_choice: what to train it with, whatever the dataset's share of genres says.
        labeled: whether a planner, or the author of the file, has filled in what was missing.
    """

    name: str
    path: Path = field(repr=False)
    seconds: float
    song: Blueprint = Blueprint()
    genre: str | None = None
    prompt_choice: PromptChoice | None = None
    labeled: bool = False


@dataclass(frozen=True)
class Dataset:
    """Songs to train on.

    Args:
        name: also that of the folders and files made from it.
        clips: in the order of their names.
        activation_tag: trigger words of the style; blank for none.
        tag_position: where they stand in the caption.
        genre_ratio: percent of the songs that are trained with their genre instead of the caption.
        all_instrumental: train every song as an instrumental.
        downmix: read surround recordings as stereo.

    Raises:
        ValueError: a value outside its domain, or no clips.
    """

    name: str
    clips: tuple[Clip, ...]
    activation_tag: str = ""
    tag_position: TagPosition = "prepend"
    genre_ratio: int = 0
    all_instrumental: bool = False
    downmix: bool = False

    def __post_init__(self) -> None:
        check_name(self.name)
        object.__setattr__(self, "activation_tag", Blueprint(caption=self.activation_tag).caption or "")
        check_choice("tag position", self.tag_position, TAG_POSITIONS)
        if not 0 <= self.genre_ratio <= 100:
            raise ValueError(f"the genre ratio must be 0 to 100 percent, got {self.genre_ratio}")
        if not self.clips:
            raise ValueError(f"the dataset {self.name} holds no songs")

    def __repr__(self) -> str:
        minutes = sum(clip.seconds for clip in self.clips) / 60
        return f"dataset {self.name}: {len(self.clips)} songs, {minutes:.1f} min"


def check_name(name: str) -> None:
    """Refuse a name that could not be a folder everywhere, or would lead out of where it is put.

    Raises:
        ValueError: it is blank, too long, hidden, reserved, or has characters that file names cannot have.
    """
    problem = None
    if not name or name != name.strip() or len(name) > MAX_NAME_CHARACTERS:
        problem = f"must have 1 to {MAX_NAME_CHARACTERS} characters, and no space around them"
    elif _BAD_IN_NAMES.search(name):
        problem = 'cannot have any of < > : " / \\ | ? *'
    elif name.startswith(".") or name.endswith(".") or _RESERVED_NAMES.fullmatch(name):
        problem = "cannot begin or end with a dot, or be a name that Windows reserves"
    if problem is not None:
        raise ValueError(f"the dataset's name {problem}, got {shown(name)}")


def with_facts(clip: Clip, facts: Mapping[str, Any]) -> Clip:
    """A clip with values by the names of its own fields and of its song's."""
    own = {name: facts[name] for name in _OWN_FACTS if name in facts}
    song = {name: value for name, value in facts.items() if name not in own}
    return replace(clip, song=with_user_values(clip.song, **song), **own)


def training_songs(dataset: Dataset) -> tuple[Blueprint, ...]:
    """What the network is told about each clip: its song with the dataset's settings applied."""
    by_genre = _trained_by_genre(dataset)
    songs = []
    for clip in dataset.clips:
        caption = clip.song.caption or clip.genre or ""
        if clip.name in by_genre and clip.genre:
            caption = clip.genre
        song = replace(clip.song, caption=_tagged(caption, dataset))
        if dataset.all_instrumental:
            song = replace(song, lyrics=INSTRUMENTAL_LYRICS, language=None)
        songs.append(settle_instrumental(song))
    return tuple(songs)


def remarks(dataset: Dataset) -> list[str]:
    """Sentences on what may surprise the user in the way the songs are trained."""
    songs = training_songs(dataset)
    clips = dataset.clips
    found = []
    if without := [clip.name for clip, song in zip(clips, songs, strict=True) if not song.caption]:
        found.append(f"{_some(without)}: no caption, genre or tag, so the text is empty; label the dataset")
    if not dataset.all_instrumental and (without := [clip.name for clip in clips if clip.song.lyrics is None]):
        found.append(f"{_some(without)}: no lyrics, so trained as an instrumental")
    if dataset.genre_ratio and (without := [clip.name for clip in clips if not clip.genre]):
        found.append(f"{_some(without)}: no genre, so trained with the caption whatever the genre ratio")
    if len(dataset.activation_tag) == 0 and dataset.tag_position == "replace":
        found.append("the tag position is replace, but there is no activation tag: captions stay as they are")
    return found


def settings_not_taken(dataset: Dataset, stated: Mapping[str, object]) -> list[str]:
    """Sentences on settings that a file states and the dataset does not have.

    Args:
        stated: by the names of the dataset's own; an activation tag may be several, each of a song.
    """
    found = []
    for name, value in stated.items():
        ours = getattr(dataset, name)
        if value not in (ours, [ours]) and not (name == "tag_position" and not dataset.activation_tag):
            wanted = ", ".join(map(shown, value)) if isinstance(value, list) else shown(value)
            found.append(f"the files say {name.replace('_', ' ')} {wanted}; {shown(ours)} counts")
    return found


def _trained_by_genre(dataset: Dataset) -> set[str]:
    """Names of the clips to learn by their genre, where they have one."""
    open_names = [clip.name for clip in dataset.clips if clip.prompt_choice is None]
    random.Random(GENRE_SEED).shuffle(open_names)
    drawn = open_names[: len(open_names) * dataset.genre_ratio // 100]
    return {*drawn, *(clip.name for clip in dataset.clips if clip.prompt_choice == "genre")}


def _tagged(caption: str, dataset: Dataset) -> str:
    tag = dataset.activation_tag
    if not tag or not caption or dataset.tag_position == "replace":
        return tag or caption
    return f"{tag}, {caption}" if dataset.tag_position == "prepend" else f"{caption}, {tag}"


def _some(names: Iterable[str], shown_names: int = 3) -> str:
    """`a.wav, b.wav, c.wav and 4 more`."""
    names = list(names)
    more = len(names) - shown_names
    return ", ".join(names[:shown_names]) + (f" and {more} more" if more > 0 else "")
