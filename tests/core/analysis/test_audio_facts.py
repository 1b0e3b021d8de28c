"""Tempo and key of synthesised bands whose tempo and key are known, and measurements beside a plan."""

from __future__ import annotations

import json
import math
from typing import NamedTuple

import pytest
import torch
from music import band
from torch import Tensor

from ace_core.analysis.audio_facts import (
    AudioFacts,
    Comparison,
    compare_with_plan,
    describe_facts,
    facts_json,
    measure_audio,
)
from ace_core.analysis.key import Key, estimate_key, same_key
from ace_core.analysis.mono import ANALYSIS_RATE, analysis_mono
from ace_core.analysis.tempo import Tempo, estimate_tempo
from ace_core.song.blueprint import Blueprint
from ace_core.song.fields import KEYS

NOTES = ("C", "Db", "D", "Eb", "E", "F", "F#", "G", "Ab", "A", "Bb", "B")
CLIPS = 120  # each of 24 keys five times, each with its own tempo
METERS = (4, 4, 3, 4, 2)


class Heard(NamedTuple):
    bpm: float
    key: str
    tempo: Tempo
    heard_key: Key


def mono(waveform: Tensor, rate: int = ANALYSIS_RATE) -> Tensor:
    samples = analysis_mono(waveform, rate)
    assert samples is not None
    return samples


def clip(bpm: float, key: str, *, seconds: float = 12.0, time_signature: int = 4) -> Tensor:
    music = band(seconds, bpm=bpm, key=key, time_signature=time_signature, sample_rate=ANALYSIS_RATE, channels=1)
    return torch.from_numpy(music.mix)


@pytest.fixture(scope="module")
def heard() -> list[Heard]:
    results = []
    for number in range(CLIPS):
        bpm = 60 + 120 * number / (CLIPS - 1)
        key = f"{NOTES[number % 12]} {('major', 'minor')[number // 12 % 2]}"
        samples = mono(clip(bpm, key, time_signature=METERS[number % 5]))
        tempo, heard_key = estimate_tempo(samples), estimate_key(samples)
        assert tempo is not None and heard_key is not None
        results.append(Heard(bpm, key, tempo, heard_key))
    return results


def test_95_percent_of_tempi_are_within_1_bpm_or_octaves_of_it(heard: list[Heard]) -> None:
    right = [any(abs(clip.tempo.bpm * factor - clip.bpm) <= 1 for factor in (0.25, 0.5, 1, 2, 4)) for clip in heard]
    assert sum(right) >= 0.95 * len(heard)
    same = [abs(clip.tempo.bpm - clip.bpm) <= 1 for clip in heard]
    assert sum(same) >= 0.7 * len(heard)


def test_90_percent_of_keys_are_right(heard: list[Heard]) -> None:
    assert len({clip.key for clip in heard}) == 24
    assert sum(same_key(clip.heard_key.name, clip.key) for clip in heard) >= 0.9 * len(heard)


def test_estimates_do_not_depend_on_level_rate_or_channels() -> None:
    music = band(12, bpm=96, key="Eb major", sample_rate=44_100)
    stereo = torch.from_numpy(music.mix)
    for waveform in (stereo, 0.001 * stereo, stereo.mean(dim=0, keepdim=True)):
        samples = mono(waveform, 44_100)
        tempo, key = estimate_tempo(samples), estimate_key(samples)
        assert tempo is not None and tempo.bpm == pytest.approx(96, abs=0.5)
        assert key is not None and key.name == "Eb major"


def test_an_old_piano_is_in_its_own_tuning() -> None:
    for key in ("A minor", "F# minor"):
        flat = torch.nn.functional.interpolate(clip(120, key)[None], scale_factor=1.028, mode="linear")[0]  # 48 cents
        heard_key = estimate_key(mono(flat))
        assert heard_key is not None and heard_key.name == key


@pytest.mark.parametrize(("bpm", "time_signature"), [(170, 4), (175, 3), (165, 2)])
def test_a_hi_hat_on_every_eighth_does_not_make_three_of_them_a_beat(bpm: float, time_signature: int) -> None:
    tempo = estimate_tempo(mono(clip(bpm, "Eb major", seconds=20, time_signature=time_signature)))
    assert tempo is not None and min(abs(tempo.bpm * factor - bpm) for factor in (0.5, 1, 2)) < 1


def test_confidence_tells_a_beat_from_clicks_at_random() -> None:
    generator = torch.Generator().manual_seed(0)
    clicks = torch.zeros(1, 12 * ANALYSIS_RATE)
    for start in torch.randint(clicks.shape[1] - 400, (40,), generator=generator).tolist():
        clicks[0, start : start + 400] += torch.randn(400, generator=generator) * torch.linspace(1, 0, 400)
    random, music = estimate_tempo(mono(clicks)), estimate_tempo(mono(clip(120, "C major")))
    assert random is not None and music is not None
    assert random.confidence < 0.3 < 0.6 < music.confidence <= 1


def test_what_has_no_tempo_or_key_gets_none() -> None:
    time = torch.arange(10 * ANALYSIS_RATE) / ANALYSIS_RATE
    steady = mono(torch.sin(2 * math.pi * 440 * time)[None])
    assert estimate_tempo(steady) is None
    noise = torch.randn(1, 12 * ANALYSIS_RATE, generator=torch.Generator().manual_seed(0))
    assert estimate_tempo(mono(noise)) is None
    assert estimate_tempo(mono(clip(120, "C major", seconds=5.9))) is None
    assert estimate_key(mono(clip(120, "C major", seconds=0.5))) is None
    assert analysis_mono(torch.zeros(2, 48_000), 48_000) is None


def test_every_key_of_the_domain_has_a_sound() -> None:
    sounds = [[other for other in KEYS if same_key(key, other)] for key in KEYS]
    assert all(key in names for key, names in zip(KEYS, sounds, strict=True))
    assert len({tuple(names) for names in sounds}) == 24
    assert (
        same_key("C# minor", "Db minor") and same_key("F\u266f minor", "Gb minor") and same_key("B major", "Cb major")
    )
    assert not same_key("C major", "C minor") and not same_key("C major", "A minor")


def test_items_are_measured_one_by_one() -> None:
    music = band(8, bpm=120, key="G major", sample_rate=ANALYSIS_RATE)
    waveform = torch.stack((torch.from_numpy(music.mix), torch.zeros(2, 8 * ANALYSIS_RATE)))
    calls: list[tuple[int, int]] = []
    loud, silent = measure_audio(waveform, ANALYSIS_RATE, on_progress=lambda *call: calls.append(call))
    assert [loud] == measure_audio(waveform[:1], ANALYSIS_RATE)
    assert loud.duration_seconds == 8 and loud.sample_rate == ANALYSIS_RATE and loud.channels == 2
    assert loud.integrated_lufs is not None and -30 < loud.integrated_lufs < -10
    assert -2 < loud.true_peak_dbtp < 0
    assert loud.tempo is not None and loud.key is not None and loud.key.name == "G major"
    assert silent == AudioFacts(8, ANALYSIS_RATE, 2, -math.inf, -math.inf, None, None)
    assert calls == [(done, 8) for done in range(8)] + [(8, 8)]


def test_more_than_two_channels_are_refused() -> None:
    with pytest.raises(ValueError, match="6 channels"):
        measure_audio(torch.zeros(1, 6, 100), 48_000)


FACTS = AudioFacts(29.99, 48_000, 2, -14.0, -1.0, Tempo(60.3, 0.9), Key("Db major", 0.2))


def test_the_plan_stands_beside_what_was_measured() -> None:
    plan = Blueprint(bpm=120, key="C# major", duration_seconds=30)
    assert compare_with_plan(FACTS, plan) == (
        Comparison("duration", "30 s", "29.99 s", "as asked"),
        Comparison("bpm", "120", "60.3", "as asked"),
        Comparison("key", "C# major", "Db major", "as asked"),
    )
    other = Blueprint(bpm=90, key="Bb minor", duration_seconds=31)
    assert [comparison.verdict for comparison in compare_with_plan(FACTS, other)] == ["differs"] * 3
    nothing = FACTS._replace(tempo=None, key=None)
    assert [comparison.verdict for comparison in compare_with_plan(nothing, plan)[1:]] == ["not measurable"] * 2
    assert compare_with_plan(FACTS, Blueprint(caption="rain")) == ()


@pytest.mark.parametrize(("bpm", "verdict"), [(122, "as asked"), (123, "as asked"), (124, "differs"), (61, "as asked")])
def test_a_tempo_may_be_off_by_two_percent(bpm: int, verdict: str) -> None:
    (comparison,) = compare_with_plan(FACTS._replace(tempo=Tempo(120.6, 1.0)), Blueprint(bpm=bpm))
    assert comparison.verdict == verdict


def test_facts_in_words_and_as_json() -> None:
    facts = AudioFacts(12.5, 44_100, 1, -14.25, -1.0, Tempo(120.04, 0.9), Key("F# minor", 0.25))
    assert describe_facts(facts) == (
        "12.50 s, 44100 Hz mono, -14.2 LUFS, true peak -1.0 dBTP, 120.0 bpm (confidence 0.90), "
        "F# minor (confidence 0.25)"
    )
    silence = AudioFacts(0.2, 48_000, 2, None, -math.inf, None, None)
    assert describe_facts(silence) == (
        "0.20 s, 48000 Hz stereo, too short for a loudness, true peak -inf dBTP, no tempo, no key"
    )
    plan = compare_with_plan(facts, Blueprint(bpm=60, key="A minor"))
    first, second = json.loads(facts_json([(facts, plan), (silence, ())]))["songs"]
    assert (first["bpm"], first["key"], first["true_peak_dbtp"]) == (120.04, "F# minor", -1.0)
    assert first["plan"] == [
        {"field": "bpm", "asked": "60", "measured": "120.0", "verdict": "as asked"},
        {"field": "key", "asked": "A minor", "measured": "F# minor", "verdict": "differs"},
    ]
    assert (second["integrated_lufs"], second["true_peak_dbtp"], second["bpm"]) == (None, None, None)
