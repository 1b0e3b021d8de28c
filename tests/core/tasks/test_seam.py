"""A repainted tone has no click where the repaint begins and ends, from source latents to the spliced waveform.

The tone rises and falls; a stand-in for the VAE nearly reproduces it, and one for the network repaints it in another
phase. A click is spectral flux (what a frame of the spectrum has more than the one before) beyond the tone's own.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from types import SimpleNamespace

import pytest
import torch
from torch import Tensor
from torchaudio.functional import resample

from ace_core.audio.splicing import splice
from ace_core.audio.waveform import LATENT_FRAME_RATE, SAMPLE_RATE
from ace_core.render.conditions import SongPrompt, song_conditions
from ace_core.render.runs import render_latents
from ace_core.runtime import Runtime
from ace_core.sampling.options import SamplerOptions, resolve
from ace_core.song.regions import Region
from ace_core.tasks.repaint import repaint_task

SECONDS = 12
CODED_RATE = 64 * LATENT_FRAME_RATE  # a latent frame holds 64 samples of one channel
EDGES = (4 * SAMPLE_RATE + 777, 7 * SAMPLE_RATE + 123)
REGION = Region(EDGES[0] / SAMPLE_RATE, EDGES[1] / SAMPLE_RATE)
SILENCE = torch.zeros(1, SECONDS * LATENT_FRAME_RATE, 64)


def tone(phase: float) -> Tensor:
    time = torch.arange(SECONDS * SAMPLE_RATE, dtype=torch.float64) / SAMPLE_RATE
    frequency = 100 + 400 * (1 - (2 * (time / 3 % 1) - 1).abs())
    angle = 2 * math.pi * frequency.cumsum(0) / SAMPLE_RATE
    return (0.5 * (angle + phase).sin()).float().expand(2, -1)


def encode(waveform: Tensor) -> Tensor:
    return resample(waveform[:1], SAMPLE_RATE, CODED_RATE, lowpass_filter_width=32).view(-1, 64)


def decode(latents: Tensor) -> Tensor:
    waveform = resample(latents.reshape(1, -1), CODED_RATE, SAMPLE_RATE, lowpass_filter_width=32)
    noise = torch.randn(waveform.shape, generator=torch.Generator().manual_seed(6))
    return (waveform + 1e-4 * noise).expand(2, -1)


class LeadingDit:
    """Stands in for the network; its velocity leads to `target` [T, 64] from anywhere."""

    def __init__(self, target: Tensor) -> None:
        self.target = target

    def prepare(
        self, packed: Sequence[Tensor], thousandths: Sequence[float], frames: int, **_: object
    ) -> SimpleNamespace:
        return SimpleNamespace(levels=[value / 1000 for value in thousandths])

    def __call__(
        self, x: Tensor, context: Tensor, step: int, run: SimpleNamespace, *, guided: bool
    ) -> tuple[Tensor, None]:
        return (x - self.target) / run.levels[step], None


def flux(waveform: Tensor) -> Tensor:
    spectrum = torch.stft(waveform[0], 1024, 128, window=torch.hann_window(1024), return_complex=True).abs()
    return spectrum.diff(dim=1).relu().sum(0)


def flux_at_edges(waveform: Tensor) -> float:
    """The largest flux within 0.1 s of the region's edges; 1 is the largest of the tone itself."""
    own = flux(tone(0))[20:-20].max()
    frames = [frame for edge in EDGES for frame in range((edge - 4800) // 128, (edge + 4800) // 128)]
    return float(flux(waveform)[frames].max() / own)


@pytest.mark.parametrize(
    ("mode", "strength", "limit"),
    [("conservative", 0.0, 1.0), ("balanced", 0.5, 1.4)],  # balanced fades in half the time
)
@pytest.mark.parametrize("phase", [0, 30, 60, 90])
def test_a_repainted_tone_has_no_click_and_a_cut_would(phase: int, mode: str, strength: float, limit: float) -> None:
    original = tone(0)
    latents = encode(original)
    assert (decode(latents) - original)[:, 2400:-2400].abs().max() < 0.01

    task = repaint_task(latents, original, [REGION], mode=mode, strength=strength)
    song = song_conditions(task, SongPrompt((), ()), torch.zeros(1, 8), SILENCE)
    dit = LeadingDit(encode(tone(math.radians(phase))))
    settings = resolve(SamplerOptions(), "turbo").settings
    rendered = render_latents(dit, [song], settings, [1], Runtime())[0]
    window = decode(rendered)
    result = splice(window, task.splice)
    assert torch.equal(result[:, EDGES[0] : EDGES[1]], window[:, EDGES[0] : EDGES[1]])
    assert flux_at_edges(result) < limit

    cut = splice(window, task.splice._replace(fade_samples=0))
    assert (flux_at_edges(cut) > 5) == (phase > 0)
