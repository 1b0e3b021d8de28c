"""Regions of a song: what users write, bars, masks, and what is refused."""

from __future__ import annotations

import math
from collections.abc import Callable

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from ace_core.song.blueprint import Blueprint
from ace_core.song.regions import MAX_REGIONS, Region, mask_regions, parse_regions, region, seconds_per_bar, within

repeatable = settings(deadline=None, derandomize=True)
SONG_SECONDS = 60.0


def test_regions_are_read_as_people_write_them() -> None:
    text = " 10-20, 35.5 - 40;\n50 to 60\n\n,70-80"
    assert parse_regions(text) == [Region(10, 20), Region(35.5, 40), Region(50, 60), Region(70, 80)]
    assert parse_regions(" \n ,; ") == []


@pytest.mark.parametrize("text", ["10", "10-", "-5-10", "10-20-30", "ten to twenty", "1e3-2e3", "10-20 30-40", "nan-5"])
def test_what_is_no_region_is_quoted(text: str) -> None:
    with pytest.raises(ValueError, match=r"start-end, such as 10-20 or 35.5-40; got ") as error:
        parse_regions(f"0-5, {text}")
    assert repr(text) in str(error.value)


@pytest.mark.parametrize("ends", [(20, 10), (10, 10), (math.nan, 10), (10, math.nan)])
def test_a_region_ends_after_it_starts(ends: tuple[float, float]) -> None:
    with pytest.raises(ValueError, match=rf"end after it starts, got {ends[0]:g} to {ends[1]:g}"):
        region(*ends)


def test_too_many_regions_are_counted() -> None:
    text = ",".join(f"{start}-{start + 0.5}" for start in range(MAX_REGIONS + 1))
    with pytest.raises(ValueError, match="64 regions at most, got 65"):
        parse_regions(text)
    assert len(parse_regions(text.rpartition(",")[0])) == MAX_REGIONS


@pytest.mark.parametrize(("time_signature", "seconds"), [(2, 1.0), (3, 1.5), (4, 2.0), (6, 1.5)])
def test_bars_last_as_long_as_their_quarters(time_signature: int, seconds: float) -> None:
    assert seconds_per_bar(Blueprint(bpm=120, time_signature=time_signature)) == seconds
    assert seconds_per_bar(Blueprint(bpm=60, time_signature=time_signature)) == 2 * seconds


def test_bars_count_from_one_and_the_last_is_not_among_them() -> None:
    assert region(5, 9, bar_seconds=2.0) == Region(8, 16)
    assert parse_regions("1-2, 3.5 to 4", bar_seconds=2.0) == [Region(0, 2), Region(5, 6)]
    with pytest.raises(ValueError, match="bars count from 1, got bar 0"):
        parse_regions("0-4", bar_seconds=2.0)


@pytest.mark.parametrize(
    ("blueprint", "missing"),
    [
        (Blueprint(time_signature=4), "the song's bpm, which"),
        (Blueprint(bpm=100), "the song's time signature, which"),
        (Blueprint(), "the song's bpm and time signature, which"),
    ],
)
def test_bars_without_a_tempo_say_what_is_missing(blueprint: Blueprint, missing: str) -> None:
    with pytest.raises(ValueError, match=missing):
        seconds_per_bar(blueprint)


@repeatable
@given(st.lists(st.booleans(), min_size=1, max_size=90).filter(any), st.floats(1, 600))
def test_a_masks_columns_are_its_regions(columns: list[bool], seconds: float) -> None:
    found = mask_regions(torch.tensor(columns).float(), seconds)
    width = seconds / len(columns)
    centres = [(column + 0.5) * width for column in range(len(columns))]
    assert [any(start <= centre < end for start, end in found) for centre in centres] == columns
    assert all(left.end < right.start for left, right in zip(found, found[1:], strict=False))


def test_one_bright_pixel_marks_its_column() -> None:
    mask = torch.full((2, 5, 10), 0.5)
    assert_nothing_marked(lambda: mask_regions(mask, 20.0))
    mask[1, 4, 3] = 0.51
    assert mask_regions(mask, 20.0) == [Region(6, 8)]


def assert_nothing_marked(call: Callable[[], object]) -> None:
    with pytest.raises(ValueError, match="the mask marks nothing: paint"):
        call()


def test_a_mask_of_too_many_stripes_is_counted() -> None:
    with pytest.raises(ValueError, match="64 regions at most, the mask has 65"):
        mask_regions(torch.tensor([1.0, 0.0] * 65), SONG_SECONDS)


some_regions = st.lists(
    st.tuples(st.integers(0, 59), st.integers(1, 25)).map(lambda pair: Region(pair[0], pair[0] + pair[1])), min_size=1
)


@repeatable
@given(some_regions)
def test_regions_within_a_song_are_ordered_apart_and_cover_the_same(wanted: list[Region]) -> None:
    kept = within(wanted, SONG_SECONDS)
    assert all(left.end < right.start for left, right in zip(kept, kept[1:], strict=False))
    for second in range(80):
        moment = second + 0.5
        covered = any(start <= moment < end for start, end in wanted) and moment < SONG_SECONDS
        assert any(start <= moment < end for start, end in kept) == covered


@pytest.mark.parametrize(
    ("regions", "message"),
    [
        ([], "no region to change"),
        ([Region(0, 5), Region(60, 70)], "a region starts at 60 s and the audio ends at 60 s: extend"),
        ([Region(0, 5), Region(-2, 3)], "a region starts at -2 s, before the audio: extend"),
    ],
)
def test_regions_outside_the_song_are_refused(regions: list[Region], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        within(regions, SONG_SECONDS)
