"""Labels by a planner: only what is missing, saved after each song, and never lost."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest
from song_folders import write_song
from torch import Tensor

from ace_core.dataset.dataset import Clip, Dataset
from ace_core.dataset.labelling import Described, label_dataset, with_labels
from ace_core.dataset.official_json import dataset_json, parse_json, read_samples
from ace_core.song.blueprint import Blueprint
from ace_core.song.fields import INSTRUMENTAL_LYRICS

HEARD = Described(
    Blueprint(caption="heard", lyrics="heard", language="fr", bpm=77, key="D major", time_signature=3), "jazz"
)


@pytest.fixture
def dataset(tmp_path: Path) -> Dataset:
    first = write_song(tmp_path / "0.flac")
    clips = []
    for number in range(3):
        path = tmp_path / f"{number}.flac"
        if number:
            shutil.copyfile(first, path)
        clips.append(Clip(path.name, path, 6.0, Blueprint(caption="mine") if number == 1 else Blueprint()))
    return Dataset("songs", tuple(clips))


class Listener:
    """Answers HEARD, and remembers how often."""

    def __init__(self, stop_at: int | None = None) -> None:
        self.calls, self.saved, self._stop_at = 0, [], stop_at

    def __call__(self, waveform: Tensor, on_progress: Callable | None) -> Described:
        if self.calls == self._stop_at:
            raise KeyboardInterrupt
        self.calls += 1
        assert waveform.shape == (1, 2, 6 * 48000)
        if on_progress is not None:
            on_progress(1, 1)
        return HEARD


def test_only_missing_fields_are_filled(dataset: Dataset) -> None:
    listener = Listener()
    labelled = label_dataset(dataset, listener, listener.saved.append)
    assert [clip.song.caption for clip in labelled.dataset.clips] == ["heard", "mine", "heard"]
    assert all(
        clip.song == replace(HEARD.song, lyrics=None, caption=clip.song.caption) for clip in labelled.dataset.clips
    )
    assert all(clip.genre == "jazz" and clip.labeled for clip in labelled.dataset.clips)
    assert labelled.described == listener.calls == 3


def test_the_dataset_is_saved_after_each_song(dataset: Dataset) -> None:
    listener = Listener(stop_at=2)
    with pytest.raises(KeyboardInterrupt):
        label_dataset(dataset, listener, listener.saved.append)
    assert [[clip.labeled for clip in saved.clips] for saved in listener.saved] == [
        [True, False, False],
        [True, True, False],
    ]
    again = Listener()
    assert label_dataset(listener.saved[-1], again, again.saved.append).described == 1


def test_a_labelled_dataset_is_not_heard_again(dataset: Dataset) -> None:
    first = Listener()
    labelled = label_dataset(dataset, first, first.saved.append).dataset
    second = Listener()
    assert label_dataset(labelled, second, second.saved.append).dataset == labelled
    assert second.calls == 0
    emptied = replace(labelled.clips[0], song=replace(labelled.clips[0].song, caption=None))
    asked = replace(labelled, clips=(emptied, *labelled.clips[1:]))
    assert label_dataset(asked, second, second.saved.append).dataset == labelled and second.calls == 1


def test_overwriting_replaces_what_is_there_but_not_the_lyrics(dataset: Dataset) -> None:
    sung = replace(dataset.clips[1], song=Blueprint(caption="mine", lyrics="mine", bpm=100), genre="rock")
    listener = Listener()
    labelled = label_dataset(replace(dataset, clips=(sung,)), listener, listener.saved.append, overwrite=True)
    (clip,) = labelled.dataset.clips
    assert clip.song == replace(HEARD.song, lyrics="mine") and clip.genre == "jazz"


def test_lyrics_are_written_only_where_they_are_wanted(dataset: Dataset) -> None:
    listener = Listener()
    labelled = label_dataset(dataset, listener, listener.saved.append, write_lyrics=True).dataset
    assert [clip.song.lyrics for clip in labelled.clips] == ["heard"] * 3
    quiet = replace(dataset.clips[0], song=Blueprint(lyrics=INSTRUMENTAL_LYRICS))
    (clip,) = label_dataset(
        replace(dataset, clips=(quiet,)), listener, listener.saved.append, write_lyrics=True
    ).dataset.clips
    assert (clip.song.lyrics, clip.song.language) == (INSTRUMENTAL_LYRICS, None)


def test_a_song_that_cannot_be_heard_is_skipped(dataset: Dataset, tmp_path: Path) -> None:
    (tmp_path / "1.flac").write_bytes(b"broken")
    listener = Listener()
    labelled = label_dataset(dataset, listener, listener.saved.append)
    assert list(map(str, labelled.skipped)) == ["1.flac holds no sound"]
    assert [clip.labeled for clip in labelled.dataset.clips] == [True, False, True]
    for number in (0, 2):
        (tmp_path / f"{number}.flac").unlink()
    with pytest.raises(ValueError, match="no song could be labelled: 0.flac cannot be read"):
        label_dataset(dataset, listener, listener.saved.append)


def test_edits_of_an_earlier_file_come_first(dataset: Dataset) -> None:
    listener = Listener()
    labelled = label_dataset(dataset, listener, listener.saved.append).dataset
    text = dataset_json(labelled, "2026").replace('"bpm": 77', '"bpm": "78 bpm"', 1).replace('"D major"', '"Z"', 1)
    merged, problems = with_labels(dataset, read_samples(parse_json(text)))
    assert [clip.song.bpm for clip in merged.clips] == [78, 77, 77]
    assert [clip.song.key for clip in merged.clips] == [None, "D major", "D major"]
    assert len(problems) == 1 and problems[0].startswith("0.flac: keyscale: key must be")
    with pytest.raises(ValueError, match="lists none of the songs of songs"):
        with_labels(dataset, read_samples({"samples": [{"audio_path": "other.flac"}]}))
