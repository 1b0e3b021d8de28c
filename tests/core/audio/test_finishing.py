"""Levels and fades of finished songs, against the official arithmetic and a measured loudness."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from torch import Tensor

from ace_core.analysis.loudness import integrated_loudness
from ace_core.audio.finishing import Finish, with_fades
from ace_core.audio.splicing import SampleSpan, Splice
from ace_core.audio.waveform import SAMPLE_RATE, limit_peak, peak_normalize
from ace_core.stages.decode import finish_songs

SAMPLES = 3 * SAMPLE_RATE


def song(seed: int, level: float = 0.1, samples: int = SAMPLES) -> Tensor:
    return level * torch.randn(2, samples, generator=torch.Generator().manual_seed(seed))


def test_the_default_is_the_published_level_to_the_bit() -> None:
    songs = torch.stack((song(1), song(2, 0.9)))
    finished, notes = finish_songs(songs, [SAMPLES, SAMPLES])
    assert torch.equal(finished, peak_normalize(songs, -1.0)) and notes == ()
    unlevelled, _ = finish_songs(songs, [SAMPLES, SAMPLES], Finish(normalize=False))
    assert torch.equal(unlevelled, limit_peak(songs))


@pytest.mark.parametrize("peak", [-12.0, -3.0, 0.0])
def test_the_peak_level_is_the_one_asked_for(peak: float) -> None:
    finished, _ = finish_songs(song(1)[None], [SAMPLES], Finish(peak_dbfs=peak))
    assert 20 * math.log10(float(finished.abs().max())) == pytest.approx(peak, abs=1e-4)


def test_the_loudness_is_the_one_asked_for_while_the_peak_allows() -> None:
    (finished,), notes = finish_songs(song(1)[None], [SAMPLES], Finish(loudness_lufs=-20.0))
    assert integrated_loudness(finished, SAMPLE_RATE) == pytest.approx(-20.0, abs=0.01) and notes == ()
    (finished,), (note,) = finish_songs(song(1)[None], [SAMPLES], Finish(loudness_lufs=-2.0))
    assert 20 * math.log10(float(finished.abs().max())) == pytest.approx(-1.0, abs=1e-4)
    assert f"{integrated_loudness(finished, SAMPLE_RATE):.1f} LUFS instead of -2" in note


def test_a_song_without_a_loudness_keeps_its_level() -> None:
    short = song(1, samples=4800)
    (finished,), (note,) = finish_songs(short[None], [4800], Finish(loudness_lufs=-14.0))
    assert torch.equal(finished, short) and "too short" in note


def test_songs_in_recordings_keep_the_recordings_level() -> None:
    recording = song(5, 0.01)
    plan = Splice(recording, 0, (SampleSpan(1000, 2000),), 0)
    (finished,), (note,) = finish_songs(song(1)[None], [SAMPLES], Finish(loudness_lufs=-14.0), splices=[plan])
    assert torch.equal(finished[:, 2000:], recording[:, 2000:]) and "keeps the level" in note


@pytest.mark.parametrize(("rise", "fall"), [(0.5, 0.0), (0.0, 1.25), (1.0, 1.0), (2.0, 2.5), (60.0, 60.0)])
def test_fades_are_the_published_ramps(rise: float, fall: float) -> None:
    """numpy's `linspace`, both ends included, one after the other; a fade is at most as long as the song."""
    before = song(1)
    expected = before.numpy().astype(np.float64)
    for seconds, ramp in ((rise, (0.0, 1.0)), (fall, (1.0, 0.0))):
        samples = min(SAMPLES, round(seconds * SAMPLE_RATE))
        part = slice(0, samples) if ramp[0] == 0 else slice(SAMPLES - samples, SAMPLES)
        expected[:, part] *= np.linspace(*ramp, samples)
    faded = with_fades(before, Finish(fade_in_seconds=rise, fade_out_seconds=fall))
    assert np.abs(faded.numpy() - expected).max() < 1e-6


def test_no_fade_is_the_song_itself() -> None:
    before = song(1)
    assert with_fades(before, Finish()) is before


def test_songs_of_a_batch_fade_at_their_own_ends() -> None:
    lengths = [SAMPLES, SAMPLES // 2]
    songs = torch.stack((song(1), torch.cat((song(2, samples=lengths[1]), torch.zeros(2, lengths[1])), dim=1)))
    finish = Finish(fade_out_seconds=1.0)
    together, _ = finish_songs(songs, lengths, finish)
    alone, _ = finish_songs(songs[1:, :, : lengths[1]], lengths[1:], finish)
    assert torch.equal(together[1, :, : lengths[1]], alone[0])
    assert not together[1, :, lengths[1] :].any()


@pytest.mark.parametrize(
    ("wrong", "words"),
    [
        ({"peak_dbfs": 3.0}, "peak level must be -40 to 0 dB, got 3.0"),
        ({"loudness_lufs": -90.0}, "loudness must be -40 to 0 dB, got -90.0"),
        ({"fade_in_seconds": float("nan")}, "0 to 60 s, got nan"),
    ],
)
def test_wrong_values_are_named(wrong: dict[str, float], words: str) -> None:
    with pytest.raises(ValueError, match=words):
        Finish(**wrong)
