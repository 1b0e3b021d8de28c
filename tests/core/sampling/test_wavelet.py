"""Wavelet correction and steadied velocities against the published arithmetic, written out slowly in float64."""

from __future__ import annotations

import math
from collections.abc import Callable

import pytest
import torch
from torch import Tensor

from ace_core.sampling.denoise import Predict, denoise
from ace_core.sampling.noise import initial_noise
from ace_core.sampling.schedules import distilled_levels, snapped, timesteps
from ace_core.sampling.settings import SamplerSettings
from ace_core.sampling.wavelet import (
    NO_CORRECTION,
    PLANNED_SCALERS,
    TEXT_SCALERS,
    BandScalers,
    correct_bands,
)

SEEDS = (3, 4, 5)
Field = Callable[[Tensor, float], Tensor]


def haar(x: Tensor) -> tuple[Tensor, Tensor]:
    """The orthonormal Haar bands of [T, C], T even, frame by frame."""
    pairs = [(x[start], x[start + 1]) for start in range(0, len(x), 2)]
    root = math.sqrt(2)
    return torch.stack([(a + b) / root for a, b in pairs]), torch.stack([(a - b) / root for a, b in pairs])


def inverse_haar(low: Tensor, high: Tensor) -> Tensor:
    root = math.sqrt(2)
    return torch.stack([value for a, b in zip(low, high, strict=True) for value in ((a + b) / root, (a - b) / root)])


def published_correction(x: Tensor, clean: Tensor, low: float, high: float) -> Tensor:
    """Both bands of each [T, C] moved away from those of the prediction; zeros behind an odd number of frames."""
    result = []
    for item, prediction in zip(x.double(), clean.double(), strict=True):
        frames = len(item)
        padding = torch.zeros(frames % 2, item.shape[1], dtype=torch.float64)
        (x_low, x_high), (y_low, y_high) = haar(torch.cat((item, padding))), haar(torch.cat((prediction, padding)))
        result.append(inverse_haar(x_low + low * (x_low - y_low), x_high + high * (x_high - y_high))[:frames])
    return torch.stack(result)


@pytest.mark.parametrize("frames", [1, 2, 33, 250])
@pytest.mark.parametrize("scalers", [(0.05, 0.02), (0.02, 0.06), (0.1, 0.0), (0.0, 0.1)])
def test_correction_is_the_published_one(frames: int, scalers: tuple[float, float]) -> None:
    x, clean = initial_noise((1, 2), frames), initial_noise((8, 9), frames)
    ours = correct_bands(x, clean, *scalers)
    torch.testing.assert_close(ours.double(), published_correction(x, clean, *scalers), atol=1e-6, rtol=0)


def test_correction_keeps_the_dtype() -> None:
    x = initial_noise((1,), 8).bfloat16()
    assert correct_bands(x, torch.zeros_like(x), 0.05, 0.02).dtype == torch.bfloat16


def field(x: Tensor, t: float) -> Tensor:
    return torch.tanh(x * (0.5 + t)) + 0.4 * torch.roll(x, 1, dims=1) - 0.3 * t


def predict_in(settings: SamplerSettings) -> Predict:
    def predict(x: Tensor, index: int, guided: bool) -> tuple[Tensor, Tensor | None]:
        return field(x, settings.timesteps[index]), None

    return predict


def published_loop(settings: SamplerSettings, scalers: BandScalers) -> Tensor:
    """The published turbo loop: limit, smooth, step, correct; Euler for the last step."""

    def limited(velocity: Tensor, x: Tensor) -> Tensor:
        for item in range(len(x)) if settings.velocity_clamp else ():
            size, of_x = float(velocity[item].norm()), float(x[item].norm())
            velocity[item] *= min(1.0, settings.velocity_clamp * of_x / size)
        return velocity

    x, previous = initial_noise(SEEDS, 33).double(), None
    share = settings.velocity_smoothing
    for step, (t, t_next) in enumerate(zip(settings.timesteps, settings.timesteps[1:], strict=False)):
        velocity = limited(field(x, t), x)
        if previous is not None:
            velocity = (1 - share) * velocity + share * previous
        clean, used = x - velocity * t, velocity
        if settings.solver == "heun" and step + 1 < settings.steps:
            estimate = x - velocity * (t - t_next)
            second = (1 - share) * limited(field(estimate, t_next), estimate) + share * velocity
            used = (velocity + second) / 2
        x = x - used * (t - t_next)
        x = published_correction(x, clean, t * scalers.low, (1 - t) * scalers.high)
        previous = used
    return x


@pytest.mark.parametrize("solver", ["euler", "heun"])
@pytest.mark.parametrize(
    "steadied",
    [{}, {"velocity_clamp": 0.9}, {"velocity_smoothing": 0.1}, {"velocity_clamp": 0.7, "velocity_smoothing": 0.3}],
)
@pytest.mark.parametrize("scalers", [NO_CORRECTION, TEXT_SCALERS, PLANNED_SCALERS])
def test_loop_is_the_published_one(solver: str, steadied: dict[str, float], scalers: BandScalers) -> None:
    settings = SamplerSettings(timesteps(8, 3.0), solver, corrected=True, **steadied)
    ours = denoise(
        predict_in(settings), initial_noise(SEEDS, 33), settings, item_seeds=SEEDS, scalers=[scalers] * len(SEEDS)
    )
    torch.testing.assert_close(ours.double(), published_loop(settings, scalers), atol=2e-5, rtol=1e-5)


def test_each_item_has_its_own_scalers_and_equals_the_item_alone() -> None:
    settings = SamplerSettings(timesteps(8, 3.0), corrected=True)
    scalers = [TEXT_SCALERS, PLANNED_SCALERS, NO_CORRECTION]
    together = denoise(predict_in(settings), initial_noise(SEEDS, 33), settings, item_seeds=SEEDS, scalers=scalers)
    for seed, scaler, result in zip(SEEDS, scalers, together, strict=True):
        alone = denoise(predict_in(settings), initial_noise([seed], 33), settings, item_seeds=[seed], scalers=[scaler])
        torch.testing.assert_close(result, alone[0], atol=1e-6, rtol=1e-6)
    assert not torch.equal(together[0], together[1])


def test_correction_comes_before_a_source_is_held_and_after_the_last_step() -> None:
    settings = SamplerSettings((1.0, 0.5, 0.0), corrected=True)
    seen: list[Tensor] = []

    def hold(x: Tensor, step: int, level: float) -> Tensor:
        seen.append(x)
        return torch.full_like(x, 0.25) + torch.arange(33)[:, None] / 100

    x = initial_noise(SEEDS, 33)
    scalers = [TEXT_SCALERS] * len(SEEDS)
    denoise(predict_in(settings), x, settings, item_seeds=SEEDS, scalers=scalers, after_step=hold)
    first = published_correction(x - field(x, 1.0) * 0.5, x - field(x, 1.0), 0.05, 0.0)
    held = torch.full_like(x, 0.25) + torch.arange(33)[:, None] / 100
    end = held - field(held, 0.5) * 0.5
    last = published_correction(end, end, 0.025, 0.01)
    torch.testing.assert_close(seen[0].double(), first, atol=1e-5, rtol=0)
    torch.testing.assert_close(seen[1].double(), last, atol=1e-5, rtol=0)


def test_scalers_follow_the_song_unless_they_are_given() -> None:
    corrected = SamplerSettings((1.0, 0.0), corrected=True)
    assert corrected.scalers(planned=False) == (0.05, 0.02)
    assert corrected.scalers(planned=True) == (0.02, 0.06)
    assert SamplerSettings((1.0, 0.0)).scalers(planned=True) == NO_CORRECTION
    given = SamplerSettings((1.0, 0.0), corrected=True, wavelet_high=0.0)
    assert given.scalers(planned=False) == (0.05, 0.0)


@pytest.mark.parametrize(
    ("wrong", "words"),
    [
        ({"wavelet_low": 0.2}, "low scaler .* 0 to 0.1, got 0.2"),
        ({"wavelet_high": -0.5}, "high scaler .* got -0.5"),
        ({"velocity_clamp": float("nan")}, "velocity clamp .* got nan"),
        ({"velocity_smoothing": 1.0}, "velocity smoothing .* got 1.0"),
        ({"noise": "pink"}, "the noise must be one of reproducible, official, got 'pink'"),
    ],
)
def test_wrong_settings_are_refused(wrong: dict[str, object], words: str) -> None:
    with pytest.raises(ValueError, match=words):
        SamplerSettings((1.0, 0.0), **wrong)


def test_custom_time_steps_snap_to_the_distilled_levels() -> None:
    assert len(distilled_levels()) == 20
    documented = (0.97, 0.76, 0.615, 0.5, 0.395, 0.28, 0.18, 0.085, 0.0)  # of the published documentation
    expected = (21 / 22, 10 / 13, 0.625, 0.5, 0.4, 0.3, 2 / 9, 0.125, 0.0)
    assert snapped(documented) == pytest.approx(expected)
    assert snapped(timesteps(8, 2.0)) == pytest.approx(timesteps(8, 2.0))
    assert snapped((0.02, 0.01, 0.0)) == (0.125, 0.0)
