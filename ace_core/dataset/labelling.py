"""Filling in what is not known about the songs of a dataset, one after the other, by a planner that listens.

Matches the official auto-label in what it fills in. What differs: values that are there stay unless asked, the language
is filled in too, and the dataset is saved after each song.

Trap: a planner may leave a field open for good (it names no genre, say). A song counts as labeled once it was
described, and is asked about again only for what the text of a prompt needs.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import NamedTuple

from torch import Tensor

from ..progress import Progress, share_of_progress
from ..song.blueprint import Blueprint, with_user_values
from ..song.fields import MUSIC_FIELDS
from .dataset import Clip, Dataset, FileProblem, Skipped, with_facts
from .official_json import Sample, matching_name
from .recordings import read_clip

ASKED_ALWAYS = ("caption", *(name for name in MUSIC_FIELDS if name != "duration_seconds"))


class Described(NamedTuple):
    """What a planner says about a recording."""

    song: Blueprint
    genre: str | None = None


class Labelled(NamedTuple):
    """The dataset with what was filled in, how many songs were listened to, and which could not be."""

    dataset: Dataset
    described: int
    skipped: tuple[Skipped, ...]


def label_dataset(
    dataset: Dataset,
    describe: Callable[[Tensor, Progress | None], Described],
    save: Callable[[Dataset], None],
    *,
    overwrite: bool = False,
    write_lyrics: bool = False,
    on_progress: Progress | None = None,
) -> Labelled:
    """Describe the songs about which something is not known.

    Args:
        describe: listens to a waveform [1, 2, N] at 48 kHz.
        save: is given the dataset as it is after each song that was described.
        overwrite: describe every song, and take what is said instead of what is there.
        write_lyrics: take the lyrics too, where there are none.
        on_progress: called with parts done, and in all.

    Raises:
        ValueError: none of the recordings that had to be described can be read.
    """
    clips = list(dataset.clips)
    wanted = {}
    for index, clip in enumerate(clips):
        names = open_fields(clip, dataset, write_lyrics=write_lyrics)
        if overwrite:
            names += [*ASKED_ALWAYS, "genre", *(["language"] if _is_sung(clip, dataset) else [])]
        if names:
            wanted[index] = names
    skipped = []
    for number, (index, names) in enumerate(wanted.items()):
        clip = clips[index]
        share = share_of_progress(on_progress, number, len(wanted))
        try:
            waveform = read_clip(clip.path, share_of_progress(share, 0, 2), downmix=dataset.downmix)
        except ValueError as error:
            skipped.append(Skipped.because_of(clip.name, error))
            continue
        described = describe(waveform, share_of_progress(share, 1, 2))
        clips[index] = _filled(clip, described, names)
        save(replace(dataset, clips=tuple(clips)))
    if wanted and len(skipped) == len(wanted) == len(clips):
        raise ValueError(f"no song could be labelled: {'; '.join(map(str, skipped[:3]))}")
    return Labelled(replace(dataset, clips=tuple(clips)), len(wanted) - len(skipped), tuple(skipped))


def open_fields(clip: Clip, dataset: Dataset, *, write_lyrics: bool = False) -> list[str]:
    """What a planner is asked to fill in."""
    names = [name for name in ASKED_ALWAYS if getattr(clip.song, name) is None]
    sung = _is_sung(clip, dataset)
    if sung and write_lyrics and clip.song.lyrics is None:
        names.append("lyrics")
    if not clip.labeled:
        names += ["language"] if sung and clip.song.language is None else []
        names += [] if clip.genre else ["genre"]
    return names


def with_labels(dataset: Dataset, samples: Sequence[Sample]) -> tuple[Dataset, list[str]]:
    """The dataset with what an earlier dataset JSON says about its songs, and sentences on values that are left out.

    Raises:
        FileProblem: the file is about other songs.
    """
    clips = {clip.name: clip for clip in dataset.clips}
    matches = [(matching_name(sample.audio_path, clips), sample.facts) for sample in samples]
    if samples and all(name is None for name, _ in matches):
        raise FileProblem(f"lists none of the songs of {dataset.name}")
    problems = []
    for name, facts in matches:
        if name is not None:
            clips[name] = with_facts(clips[name], facts.values)
            found = (*facts.problems, facts.broken_lyrics)
            problems += [f"{name}: {problem}; left out" for problem in found if problem]
    return replace(dataset, clips=tuple(clips.values())), problems


def _is_sung(clip: Clip, dataset: Dataset) -> bool:
    return not (dataset.all_instrumental or clip.song.is_instrumental)


def _filled(clip: Clip, described: Described, names: Sequence[str]) -> Clip:
    values = {name: getattr(described.song, name) for name in names if name != "genre"}
    song = with_user_values(clip.song, **{name: value for name, value in values.items() if value is not None})
    genre = described.genre if "genre" in names and described.genre else clip.genre
    return replace(clip, song=song, genre=genre, labeled=True)
