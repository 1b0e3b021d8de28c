"""Schedules against the published turbo tables and diffusers' pipeline and time embedding."""

from __future__ import annotations

import pytest
import torch
from diffusers.models.transformers.ace_step_transformer import AceStepTimestepEmbedding
from diffusers.pipelines.ace_step.pipeline_ace_step import AceStepPipeline

from ace_core.sampling.schedules import parse_timesteps, time_points, timesteps

TURBO_TABLES = {
    1.0: (1.0, 0.875, 0.75, 0.625, 0.5, 0.375, 0.25, 0.125),
    2.0: (
        1.0,
        0.9333333333333333,
        0.8571428571428571,
        0.7692307692307693,
        0.6666666666666666,
        0.5454545454545454,
        0.4,
        0.2222222222222222,
    ),
    3.0: (
        1.0,
        0.9545454545454546,
        0.9,
        0.8333333333333334,
        0.75,
        0.6428571428571429,
        0.5,
        0.3,
    ),
}
# What the official code's bfloat16 arithmetic makes of the tables: t, then t * 1000 as the time embedding sees it.
OFFICIAL_PRECISION = {
    1.0: ((1, 0.875, 0.75, 0.625, 0.5, 0.375, 0.25, 0.125), (1000, 876, 752, 624, 500, 376, 250, 125)),
    2.0: (
        (1, 0.93359375, 0.85546875, 0.76953125, 0.66796875, 0.546875, 0.400390625, 0.22265625),
        (1000, 932, 856, 768, 668, 548, 400, 223),
    ),
    3.0: (
        (1, 0.953125, 0.8984375, 0.83203125, 0.75, 0.64453125, 0.5, 0.30078125),
        (1000, 952, 900, 832, 752, 644, 500, 300),
    ),
}


@pytest.mark.parametrize("shift", [1.0, 2.0, 3.0])
def test_eight_steps_are_the_turbo_table(shift: float) -> None:
    assert timesteps(8, shift) == (*TURBO_TABLES[shift], 0.0)


@pytest.mark.parametrize(("steps", "shift"), [(1, 3.0), (8, 3.0), (20, 2.5), (50, 1.0), (65, 5.0), (200, 0.5)])
def test_formula_is_the_pipelines(steps: int, shift: float) -> None:
    theirs = AceStepPipeline._get_timestep_schedule(None, steps, shift, torch.device("cpu"), torch.float32)
    ours = timesteps(steps, shift)
    assert len(ours) == steps + 1
    assert ours[-1] == 0
    torch.testing.assert_close(torch.tensor(ours[:-1]), theirs, atol=1e-6, rtol=0)


@pytest.mark.parametrize(("steps", "denoise"), [(8, 0.5), (10, 0.25), (6, 0.75), (8, 1.0)])
def test_denoise_is_the_tail_of_a_longer_schedule(steps: int, denoise: float) -> None:
    whole = timesteps(int(steps / denoise), 3.0)  # ComfyUI's rule
    assert timesteps(steps, 3.0, denoise) == pytest.approx(whole[-(steps + 1) :], abs=1e-12)


def test_denoise_near_one_still_starts_below_pure_noise() -> None:
    levels = timesteps(8, 1.0, 0.9)
    assert levels[0] == pytest.approx(0.9)
    assert len(levels) == 9


@pytest.mark.parametrize(
    ("steps", "shift", "denoise", "message"),
    [
        (0, 3.0, 1.0, "steps must be 1 to 200, got 0"),
        (201, 3.0, 1.0, "got 201"),
        (8, 0.0, 1.0, "shift must be 0.1 to 10, got 0"),
        (8, float("nan"), 1.0, "got nan"),
        (8, 3.0, 0.0, "denoise must be above 0 and at most 1, got 0"),
        (8, 3.0, 1.1, "got 1.1"),
    ],
)
def test_arguments_out_of_range_are_named(steps: int, shift: float, denoise: float, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        timesteps(steps, shift, denoise)


@pytest.mark.parametrize(
    "text", ["0.97,0.76,0.615,0.5,0.395,0.28,0.18,0.085,0", " 0.97 0.76, .615\n0.5,0.395,0.28,0.18,0.085 "]
)
def test_custom_timesteps_end_in_zero_written_or_not(text: str) -> None:
    assert parse_timesteps(text) == (0.97, 0.76, 0.615, 0.5, 0.395, 0.28, 0.18, 0.085, 0.0)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (" , ", "empty"),
        ("0.9, x", "got 'x'"),
        ("1.2, 0.5", "got '1.2'"),
        ("0.9, -0.1", "got '-0.1'"),
        ("nan", "got 'nan'"),
        ("0.5, 0.9", "0.9 follows 0.5"),
        ("0.5, 0.5, 0", "0.5 follows 0.5"),
        ("0.5, 0, 0", "0 follows 0"),
        ("0", "1 to 200 steps, got 0"),
        (",".join(str(1 - i / 300) for i in range(250)), "1 to 200 steps, got 250"),
    ],
)
def test_wrong_custom_timesteps_are_named(text: str, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        parse_timesteps(text)


@pytest.mark.parametrize("shift", [1.0, 2.0, 3.0])
def test_official_precision_is_the_published_bfloat16_table(shift: float) -> None:
    points = time_points(timesteps(8, shift), official_precision=True)
    assert tuple(point.t for point in points[:-1]) == OFFICIAL_PRECISION[shift][0]
    assert tuple(point.thousandths for point in points[:-1]) == OFFICIAL_PRECISION[shift][1]
    assert points[-1] == (0, 0)


@pytest.mark.parametrize("official_precision", [False, True])
def test_thousandths_are_what_the_peers_sinusoid_sees(official_precision: bool) -> None:
    dtype = torch.bfloat16 if official_precision else torch.float32
    embedding = AceStepTimestepEmbedding(256, 8).to(dtype)
    seen: list[torch.Tensor] = []
    embedding.time_sinusoid.register_forward_pre_hook(lambda _, arguments: seen.append(arguments[0]))

    levels = timesteps(50, 1.0)
    embedding(torch.tensor(levels, dtype=torch.float32).to(dtype))
    ours = [point.thousandths for point in time_points(levels, official_precision=official_precision)]
    assert ours == pytest.approx(seen[0].tolist(), abs=0 if official_precision else 1e-4)
