"""Peaks of a recording: where they are, and that none is missed."""

from __future__ import annotations

import torch

from ace_core.analysis.peaks import wave_peaks


def test_every_share_has_its_own_peak_of_either_sign_and_channel() -> None:
    waveform = torch.zeros(2, 4000)
    waveform[0, 500] = 0.5
    waveform[1, 1999] = -1.0
    waveform[0, 3999] = 0.2
    assert list(wave_peaks(waveform, 4)) == [128, 255, 0, 51]


def test_what_is_above_full_scale_is_drawn_at_full_scale() -> None:
    assert set(wave_peaks(torch.full((1, 1000), -3.0), 10)) == {255}


def test_a_short_recording_fills_all_columns() -> None:
    assert len(wave_peaks(torch.ones(1, 3), 400)) == 400
