"""What can be measured in a recording, and how it compares with what its plan asked for.

Duration, loudness and true peak are exact; tempo and key are estimates, each with its confidence.

Trap: half or double the asked tempo counts as the asked one, because nobody can hear which of them is written.
"""

from __future__ import annotations

import json
import math
from collections.abc import Sequence
from typing import Literal, NamedTuple, TypeAlias

from torch import Tensor

from ..audio.waveform import SAMPLE_RATE, sample_count
from ..json_files import JsonFormat
from ..progress import Progress
from ..song.blueprint import Blueprint
from .key import Key, estimate_key, same_key
from .loudness import integrated_loudness, true_peak_dbtp
from .mono import analysis_mono
from .tempo import Tempo, estimate_tempo

TEMPO_TOLERANCE = 0.02  # of the asked tempo
DURATION_TOLERANCE_SECONDS = 0.05

AUDIO_FACTS_FORMAT = JsonFormat("ace_composer.audio_facts", 1, "file of audio facts")

_MEASUREMENTS = 4


class AudioFacts(NamedTuple):
    """Measurements of one recording.

    Attributes:
        integrated_lufs: None below 0.4 s; minus infinity for silence.
        true_peak_dbtp: minus infinity for digital silence.
        tempo: None without onsets and below 6 s.
        key: None for silence and below half a second.
    """

    duration_seconds: float
    sample_rate: int
    channels: int
    integrated_lufs: float | None
    true_peak_dbtp: float
    tempo: Tempo | None
    key: Key | None


Verdict: TypeAlias = Literal["as asked", "differs", "not measurable"]


class Comparison(NamedTuple):
    """A value of the plan beside the measured one, both as text."""

    field: str
    asked: str
    measured: str
    verdict: Verdict


def measure_audio(waveform: Tensor, sample_rate: int, *, on_progress: Progress | None = None) -> list[AudioFacts]:
    """Measure each item of a valid waveform [B, C, T], mono or stereo.

    Args:
        on_progress: called with (measurements done, measurements in all).

    Raises:
        ValueError: more than two channels, or a sample rate that cannot be converted.
    """
    if waveform.shape[1] > 2:
        raise ValueError(f"audio must be mono or stereo, got {waveform.shape[1]} channels: mix it down to stereo first")
    facts: list[AudioFacts] = []
    total = _MEASUREMENTS * len(waveform)

    def report(done: int) -> None:
        if on_progress is not None:
            on_progress(_MEASUREMENTS * len(facts) + done, total)

    for item in waveform:
        report(0)
        lufs = integrated_loudness(item, sample_rate)
        report(1)
        peak = true_peak_dbtp(item)
        report(2)
        mono = analysis_mono(item, sample_rate)
        tempo = None if mono is None else estimate_tempo(mono)
        report(3)
        key = None if mono is None else estimate_key(mono)
        channels, samples = item.shape
        facts.append(AudioFacts(samples / sample_rate, sample_rate, channels, lufs, peak, tempo, key))
    report(0)
    return facts


def compare_with_plan(facts: AudioFacts, blueprint: Blueprint) -> tuple[Comparison, ...]:
    """Duration, bpm and key of the plan beside what was measured; open fields are left out."""
    comparisons = []
    if (seconds := blueprint.duration_seconds) is not None:
        delivered = sample_count(seconds) / SAMPLE_RATE
        fits = abs(facts.duration_seconds - delivered) <= DURATION_TOLERANCE_SECONDS
        comparisons.append(_comparison("duration", f"{seconds:g} s", f"{facts.duration_seconds:.2f} s", fits))
    if (bpm := blueprint.bpm) is not None:
        tempo = facts.tempo
        same = None if tempo is None else _same_tempo(tempo.bpm, bpm)
        comparisons.append(_comparison("bpm", str(bpm), "" if tempo is None else f"{tempo.bpm:.1f}", same))
    if (name := blueprint.key) is not None:
        key = facts.key
        same = None if key is None else same_key(key.name, name)
        comparisons.append(_comparison("key", name, "" if key is None else key.name, same))
    return tuple(comparisons)


def describe_facts(facts: AudioFacts) -> str:
    """One line: length, format, loudness, peak, tempo and key as far as they could be measured."""
    channels = {1: "mono", 2: "stereo"}[facts.channels]
    tempo, key = facts.tempo, facts.key
    return ", ".join(
        (
            f"{facts.duration_seconds:.2f} s",
            f"{facts.sample_rate} Hz {channels}",
            "too short for a loudness" if facts.integrated_lufs is None else f"{facts.integrated_lufs:.1f} LUFS",
            f"true peak {facts.true_peak_dbtp:.1f} dBTP",
            "no tempo" if tempo is None else f"{tempo.bpm:.1f} bpm (confidence {tempo.confidence:.2f})",
            "no key" if key is None else f"{key.name} (confidence {key.confidence:.2f})",
        )
    )


def facts_json(songs: Sequence[tuple[AudioFacts, Sequence[Comparison]]]) -> str:
    """Measurements and comparisons as versioned JSON; what could not be measured, and an endless level, is null."""
    document = {
        **AUDIO_FACTS_FORMAT.head(),
        "songs": [
            {
                "duration_seconds": facts.duration_seconds,
                "sample_rate": facts.sample_rate,
                "channels": facts.channels,
                "integrated_lufs": _finite(facts.integrated_lufs),
                "true_peak_dbtp": _finite(facts.true_peak_dbtp),
                "bpm": facts.tempo and facts.tempo.bpm,
                "bpm_confidence": facts.tempo and facts.tempo.confidence,
                "key": facts.key and facts.key.name,
                "key_confidence": facts.key and facts.key.confidence,
                "plan": [comparison._asdict() for comparison in comparisons],
            }
            for facts, comparisons in songs
        ],
    }
    return json.dumps(document, ensure_ascii=False, indent=1) + "\n"


def _finite(value: float | None) -> float | None:
    return value if value is not None and math.isfinite(value) else None


def _same_tempo(measured: float, asked: float) -> bool:
    return any(abs(measured * factor / asked - 1) <= TEMPO_TOLERANCE for factor in (0.5, 1, 2))


def _comparison(field: str, asked: str, measured: str, fits: bool | None) -> Comparison:
    if fits is None:
        return Comparison(field, asked, measured, "not measurable")
    return Comparison(field, asked, measured, "as asked" if fits else "differs")
