"""How a dataset's settings become the texts that songs are trained with."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from ace_core.dataset.dataset import Clip, Dataset, remarks, training_songs
from ace_core.song.blueprint import Blueprint
from ace_core.song.fields import INSTRUMENTAL_LYRICS


def clips(count: int, **fields: object) -> tuple[Clip, ...]:
    song = Blueprint(caption="warm pop", lyrics="la la", language="en", bpm=90)
    return tuple(
        Clip(f"{number:03}.wav", Path("x"), 20.0, song, **{"genre": "pop", **fields}) for number in range(count)
    )


@pytest.mark.parametrize(
    ("position", "caption"),
    [("prepend", "zukkel, warm pop"), ("append", "warm pop, zukkel"), ("replace", "zukkel")],
)
def test_the_tag_goes_where_it_was_asked_for(position, caption: str) -> None:
    (song,) = training_songs(Dataset("songs", clips(1), " zukkel ", position))
    assert song.caption == caption and song.lyrics == "la la" and song.bpm == 90


def test_without_a_tag_the_caption_stays() -> None:
    (song,) = training_songs(Dataset("songs", clips(1), "", "replace"))
    assert song.caption == "warm pop"


def test_a_share_of_the_songs_is_trained_by_genre_always_the_same() -> None:
    dataset = Dataset("songs", clips(20), genre_ratio=25)
    captions = [song.caption for song in training_songs(dataset)]
    assert captions.count("pop") == 5
    assert captions == [song.caption for song in training_songs(dataset)]
    more = [song.caption for song in training_songs(replace(dataset, genre_ratio=60))]
    assert more.count("pop") == 12
    assert all(after == "pop" for before, after in zip(captions, more, strict=True) if before == "pop")
    assert [song.caption for song in training_songs(replace(dataset, genre_ratio=100))] == ["pop"] * 20


def test_a_choice_for_one_song_beats_the_share() -> None:
    by_genre = Dataset("songs", clips(3, prompt_choice="genre"))
    assert [song.caption for song in training_songs(by_genre)] == ["pop"] * 3
    by_caption = Dataset("songs", clips(3, prompt_choice="caption"), genre_ratio=100)
    assert [song.caption for song in training_songs(by_caption)] == ["warm pop"] * 3


def test_a_song_without_genre_keeps_its_caption_and_the_other_way_round() -> None:
    dataset = Dataset("songs", clips(2, genre=None), genre_ratio=100)
    assert [song.caption for song in training_songs(dataset)] == ["warm pop"] * 2
    assert "no genre" in remarks(dataset)[0]
    only_genre = Dataset("songs", (replace(clips(1)[0], song=Blueprint(lyrics="la")),))
    assert training_songs(only_genre)[0].caption == "pop"


def test_instrumentals_have_no_words_and_no_language() -> None:
    dataset = Dataset("songs", clips(1), all_instrumental=True)
    (song,) = training_songs(dataset)
    assert (song.lyrics, song.language) == (INSTRUMENTAL_LYRICS, "unknown")
    assert dataset.clips[0].song.lyrics == "la la"


def test_remarks_tell_what_is_missing() -> None:
    bare = tuple(Clip(f"{number}.wav", Path("x"), 9.0) for number in range(5))
    found = remarks(Dataset("songs", bare, tag_position="replace"))
    assert any("0.wav, 1.wav, 2.wav and 2 more: no caption" in remark for remark in found)
    assert any("no lyrics, so trained as an instrumental" in remark for remark in found)
    assert any("there is no activation tag" in remark for remark in found)
    assert remarks(Dataset("songs", clips(2), "zukkel")) == []


@pytest.mark.parametrize("name", ["", "..", ".hidden", "a/b", "a\\b", "con", "NUL.txt", "x" * 81, " a", "a:b", "a."])
def test_a_name_that_could_leave_its_folder_is_refused(name: str) -> None:
    with pytest.raises(ValueError, match="the dataset's name"):
        Dataset(name, clips(1))


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"tag_position": "before"}, "one of prepend, append, replace"),
        ({"genre_ratio": 101}, "0 to 100 percent"),
        ({"activation_tag": "<|im_end|>"}, "control token"),
        ({"clips": ()}, "holds no songs"),
    ],
)
def test_other_settings_are_checked(change: dict, said: str) -> None:
    with pytest.raises(ValueError, match=said):
        replace(Dataset("songs", clips(1)), **change)


def test_a_dataset_is_shown_in_a_few_words() -> None:
    assert repr(Dataset("songs", clips(6))) == "dataset songs: 6 songs, 2.0 min"
