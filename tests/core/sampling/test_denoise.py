"""The loop against diffusers' scheduler and guider, an exactly solvable flow, and items rendered alone."""

from __future__ import annotations

from collections.abc import Callable
from typing import get_args

import pytest
import torch
from diffusers import FlowMatchEulerDiscreteScheduler
from diffusers.guiders.adaptive_projected_guidance import MomentumBuffer, normalized_guidance
from torch import Tensor

from ace_core.sampling.denoise import Predict, check_latents, denoise
from ace_core.sampling.guidance import GuidanceMethod
from ace_core.sampling.noise import initial_noise, step_noise
from ace_core.sampling.schedules import timesteps
from ace_core.sampling.settings import SamplerSettings
from ace_core.sampling.solvers import Solver, add_noise

FRAMES = 33
SEEDS = (5, 2**64 - 1, 7)
NOISE = initial_noise(SEEDS, FRAMES)


def toy_velocity(x: Tensor, t: float, songs: Tensor) -> Tensor:
    """A nonlinear field for songs [B]; each item depends on its own latents and song alone."""
    return torch.tanh(x * (0.5 + t)) + songs[:, None, None] * torch.roll(x, 1, dims=1) - 0.3 * t


def toy_predict(settings: SamplerSettings, songs: Tensor) -> Predict:
    def predict(x: Tensor, index: int, guided: bool) -> tuple[Tensor, Tensor | None]:
        t = settings.time_points[index].t
        return toy_velocity(x, t, songs), toy_velocity(x, t, torch.zeros_like(songs)) if guided else None

    return predict


def peer_scheduler(settings: SamplerSettings) -> FlowMatchEulerDiscreteScheduler:
    scheduler = FlowMatchEulerDiscreteScheduler(num_train_timesteps=1, shift=1.0)  # as the published pipeline has it
    scheduler.set_timesteps(sigmas=list(settings.timesteps[:-1]))
    return scheduler


SONGS = torch.tensor([0.4, -0.7, 1.1])


@pytest.mark.parametrize("levels", [timesteps(8, 3.0), timesteps(21, 1.0), (0.97, 0.5, 0.1, 0.0)])
def test_euler_is_the_peers_scheduler(levels: tuple[float, ...]) -> None:
    settings = SamplerSettings(levels)
    scheduler, x = peer_scheduler(settings), NOISE
    for t in scheduler.timesteps:
        x = scheduler.step(toy_velocity(x, float(t), SONGS), t, x, return_dict=False)[0]
    ours = denoise(toy_predict(settings, SONGS), NOISE, settings, item_seeds=SEEDS)
    torch.testing.assert_close(ours, x, atol=1e-5, rtol=1e-5)


@pytest.mark.parametrize("interval", [(0.0, 1.0), (0.25, 0.75)])
def test_apg_run_is_the_peers_guider_and_scheduler(interval: tuple[float, float]) -> None:
    # The interval is in t, the official rule; diffusers' pipeline compares 1 - t, so only its parts are used here.
    settings = SamplerSettings(timesteps(10, 1.0), guidance_scale=7.0, guidance_interval=interval)
    scheduler, buffer, x = peer_scheduler(settings), MomentumBuffer(momentum=-0.75), NOISE
    for t in scheduler.timesteps:
        velocity = toy_velocity(x, float(t), SONGS)
        if interval[0] <= float(t) <= interval[1]:
            velocity = normalized_guidance(
                velocity,
                toy_velocity(x, float(t), torch.zeros_like(SONGS)),
                guidance_scale=6.0,
                momentum_buffer=buffer,
                eta=0.0,
                norm_threshold=2.5,
                use_original_formulation=True,
                norm_dim=(1,),
            )
        x = scheduler.step(velocity, t, x, return_dict=False)[0]
    ours = denoise(toy_predict(settings, SONGS), NOISE, settings, item_seeds=SEEDS)
    torch.testing.assert_close(ours, x, atol=2e-5, rtol=1e-5)


def test_unguided_steps_ask_for_one_velocity() -> None:
    settings = SamplerSettings((1.0, 0.75, 0.5, 0.25, 0.0), guidance_scale=3.0, guidance_interval=(0.5, 0.75))
    asked: list[tuple[int, bool]] = []

    def predict(x: Tensor, index: int, guided: bool) -> tuple[Tensor, Tensor | None]:
        asked.append((index, guided))
        return x, x if guided else None

    denoise(predict, NOISE, settings, item_seeds=SEEDS)
    assert asked == [(0, False), (1, True), (2, True), (3, False)]


def gaussian_predict(levels: tuple[float, ...], mean: float, deviation: float) -> Predict:
    """The exact velocity when clean latents are normal: a flow that takes noise z to mean + deviation * z."""

    def predict(x: Tensor, index: int, guided: bool) -> tuple[Tensor, Tensor | None]:
        t = levels[index]
        variance = t**2 + (1 - t) ** 2 * deviation**2
        centred = x - (1 - t) * mean
        return (t - (1 - t) * deviation**2) / variance * centred - mean, None

    return predict


def solution_error(solver: Solver, steps: int) -> float:
    settings = SamplerSettings(timesteps(steps, 1.0), solver)
    result = denoise(gaussian_predict(settings.timesteps, 0.6, 0.8), NOISE, settings, item_seeds=SEEDS)
    return float((result - (0.6 + 0.8 * NOISE)).abs().max())


def test_solvers_converge_to_the_exact_flow_at_their_order() -> None:
    assert solution_error("euler", 40) / solution_error("euler", 80) == pytest.approx(2, abs=0.2)
    assert solution_error("heun", 40) / solution_error("heun", 80) == pytest.approx(4, abs=0.6)
    assert solution_error("heun", 40) < solution_error("euler", 40) / 10


def test_heun_corrects_with_plain_cfg_and_ends_with_euler() -> None:
    settings = SamplerSettings((1.0, 0.6, 0.3, 0.0), "heun", guidance_scale=4.0, guidance_interval=(0.5, 1.0))
    nothing = torch.zeros_like(SONGS)
    momentum = MomentumBuffer(momentum=-0.75)

    def guided(x: Tensor, t: float) -> Tensor:
        return normalized_guidance(
            toy_velocity(x, t, SONGS), toy_velocity(x, t, nothing), 3.0, momentum, 0.0, 2.5, True, (1,)
        )

    first = guided(NOISE, 1.0)
    estimate = NOISE - 0.4 * first
    plain = 4 * toy_velocity(estimate, 0.6, SONGS) - 3 * toy_velocity(estimate, 0.6, nothing)
    x = NOISE - 0.4 * (first + plain) / 2
    second = guided(x, 0.6)
    unguided = toy_velocity(x - 0.3 * second, 0.3, SONGS)  # 0.3 is outside the interval
    x = x - 0.3 * (second + unguided) / 2
    x = x - 0.3 * toy_velocity(x, 0.3, SONGS)

    ours = denoise(toy_predict(settings, SONGS), NOISE, settings, item_seeds=SEEDS)
    torch.testing.assert_close(ours, x, atol=2e-5, rtol=1e-5)


def test_sde_renoises_the_prediction_to_the_schedules_next_level() -> None:
    levels = timesteps(5, 3.0)
    clean = torch.randn(3, FRAMES, 64, generator=torch.Generator().manual_seed(1))
    seen: list[Tensor] = []

    def predict(x: Tensor, index: int, guided: bool) -> tuple[Tensor, Tensor | None]:
        seen.append(x)
        return (x - clean) / levels[index], None  # a model that always knows the song

    result = denoise(predict, NOISE, SamplerSettings(levels, "sde"), item_seeds=SEEDS)
    torch.testing.assert_close(result, clean, atol=1e-5, rtol=0)
    assert torch.equal(seen[0], NOISE)
    for step in range(1, 5):
        t = levels[step]
        expected = t * step_noise(SEEDS, step - 1, FRAMES) + (1 - t) * clean
        torch.testing.assert_close(seen[step], expected, atol=1e-5, rtol=0)


@pytest.mark.parametrize("solver", get_args(Solver))
@pytest.mark.parametrize("method", get_args(GuidanceMethod))
def test_item_of_a_batch_is_the_item_alone(solver: Solver, method: GuidanceMethod) -> None:
    settings = SamplerSettings(timesteps(6, 2.0), solver, 3.0, method, (0.2, 0.95))
    batch = denoise(toy_predict(settings, SONGS), NOISE, settings, item_seeds=SEEDS)
    for item, seed in enumerate(SEEDS):
        rows = slice(item, item + 1)
        alone = denoise(toy_predict(settings, SONGS[rows]), NOISE[rows], settings, item_seeds=(seed,))
        assert float((batch[rows] - alone).abs().max()) <= 1e-5


def test_latents_stay_float32_around_a_bfloat16_network() -> None:
    settings = SamplerSettings(timesteps(8, 3.0))
    exact = toy_predict(settings, SONGS)
    seen: list[torch.dtype] = []

    def predict(x: Tensor, index: int, guided: bool) -> tuple[Tensor, Tensor | None]:
        seen.append(x.dtype)
        return exact(x, index, guided)[0].bfloat16(), None

    ours = denoise(predict, NOISE.bfloat16(), settings, item_seeds=SEEDS)
    assert set(seen) == {torch.float32}
    assert ours.dtype == torch.float32
    levels = torch.tensor(settings.timesteps)
    x = NOISE.bfloat16().float()
    for index in range(settings.steps):
        velocity = toy_velocity(x, settings.timesteps[index], SONGS).bfloat16().float()
        x = x - velocity * (levels[index] - levels[index + 1])
    assert torch.equal(ours, x)
    assert (ours - ours.bfloat16().float()).abs().max() > 0


def test_official_precision_keeps_the_loop_in_bfloat16() -> None:
    settings = SamplerSettings(timesteps(8, 3.0), official_precision=True)
    levels = torch.tensor(settings.timesteps, dtype=torch.bfloat16)
    x = NOISE.bfloat16()
    for t, t_next in zip(levels, levels[1:], strict=False):
        x = x - toy_velocity(x, float(t), SONGS.bfloat16()) * (t - t_next)
    ours = denoise(toy_predict(settings, SONGS.bfloat16()), NOISE, settings, item_seeds=SEEDS)
    assert ours.dtype == torch.float32
    assert torch.equal(ours, x.float())


def test_start_latents_are_noised_as_the_peer_does() -> None:
    settings = SamplerSettings(timesteps(8, 3.0, 0.5))
    song = torch.randn(1, FRAMES, 64, generator=torch.Generator().manual_seed(9))
    scheduler = peer_scheduler(settings)
    theirs = scheduler.scale_noise(song, scheduler.timesteps[:1], NOISE)
    torch.testing.assert_close(add_noise(song, NOISE, settings.timesteps[0]), theirs)
    assert torch.equal(add_noise(song, NOISE, 1.0), NOISE)


@pytest.mark.parametrize("solver", get_args(Solver))
def test_progress_counts_steps_and_its_exception_stops_the_run(solver: Solver) -> None:
    settings = SamplerSettings(timesteps(4, 3.0), solver)
    reports: list[tuple[int, int]] = []
    predict = toy_predict(settings, SONGS)
    seen: list[Tensor] = []

    def report(done: int, total: int, clean: Tensor) -> None:
        reports.append((done, total))
        seen.append(clean)

    result = denoise(predict, NOISE, settings, item_seeds=SEEDS, on_step=report)
    assert reports == [(1, 4), (2, 4), (3, 4), (4, 4)]
    assert torch.equal(seen[-1], result)  # the last step ends at what it predicts
    first = predict(NOISE, 0, False)[0]
    torch.testing.assert_close(seen[0], NOISE - first)  # from level 1, all of the velocity

    def cancel(done: int, total: int, clean: Tensor) -> None:
        raise KeyboardInterrupt(done)

    with pytest.raises(KeyboardInterrupt, match="1"):
        denoise(predict, NOISE, settings, item_seeds=SEEDS, on_step=cancel)


def test_the_run_leaves_its_noise_and_the_global_generator_alone() -> None:
    settings = SamplerSettings(timesteps(4, 3.0), "sde")
    before, noise = torch.get_rng_state(), NOISE.clone()
    denoise(toy_predict(settings, SONGS), noise, settings, item_seeds=SEEDS)
    assert torch.equal(noise, NOISE)
    assert torch.equal(torch.get_rng_state(), before)


def broken(change: Callable[[Tensor], object]) -> Tensor:
    latents = NOISE.clone()
    change(latents)
    return latents


@pytest.mark.parametrize(
    ("latents", "message"),
    [
        (broken(lambda x: x[1, 3, 5].fill_(float("nan"))), "NaN or infinite values .item 2 of 3"),
        (broken(lambda x: x[0::2, 0, 0].fill_(float("inf"))), "item 1, 3 of 3"),
        (broken(lambda x: x[2].zero_()), "silent .item 3 of 3"),
        (broken(lambda x: x[0].copy_(x[0, :1].clone().expand(FRAMES, 64))), "silent .item 1 of 3"),
    ],
)
def test_broken_latents_are_an_error_that_says_what_to_do(latents: Tensor, message: str) -> None:
    with pytest.raises(ValueError, match=message + ".*bf16 or fp32"):
        check_latents(latents)


def test_a_run_that_breaks_is_an_error() -> None:
    settings = SamplerSettings(timesteps(2, 3.0))
    with pytest.raises(ValueError, match="NaN"):
        denoise(lambda x, index, guided: (x / 0, None), NOISE, settings, item_seeds=SEEDS)


def test_missing_parts_are_named() -> None:
    settings = SamplerSettings(timesteps(2, 3.0), guidance_scale=7.0)
    with pytest.raises(ValueError, match="guidance is 7, but predict gave no unconditional velocity"):
        denoise(lambda x, index, guided: (x, None), NOISE, settings, item_seeds=SEEDS)
    with pytest.raises(ValueError, match="got 1 seeds for a batch of 3"):
        denoise(toy_predict(settings, SONGS), NOISE, settings, item_seeds=(1,))
