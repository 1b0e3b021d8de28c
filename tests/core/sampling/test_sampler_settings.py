"""What each checkpoint gets by default, and which wishes are refused, corrected or remarked on."""

from __future__ import annotations

import re
from typing import Any

import pytest

from ace_core.checkpoints.variants import Variant
from ace_core.sampling.options import OFFERED, SamplerOptions, as_used, resolve
from ace_core.sampling.schedules import timesteps
from ace_core.sampling.settings import DEFAULTS, SamplerSettings


def test_zero_means_what_the_checkpoint_wants() -> None:
    assert DEFAULTS["turbo"][:3] == (8, 3.0, 1.0)
    assert DEFAULTS["base"] == DEFAULTS["sft"] and DEFAULTS["base"][:3] == (50, 1.0, 7.0)

    turbo = resolve(SamplerOptions(), "turbo")
    assert turbo.settings == SamplerSettings(timesteps(8, 3.0))
    assert turbo.summary == "8 steps, shift 3, euler, no guidance"
    assert turbo.notes == ()

    base = resolve(SamplerOptions(), "base")
    assert base.settings == SamplerSettings(timesteps(50, 1.0), guidance_scale=7.0)
    assert base.summary == "50 steps, shift 1, euler, guidance 7 (apg)"
    assert base.notes == ()


def test_wishes_are_kept() -> None:
    settings, summary, notes = resolve(
        SamplerOptions(
            steps=20,
            guidance=4,
            solver="heun",
            guidance_method="adg",
            guidance_start=0.2,
            guidance_end=0.9,
            denoise=0.5,
            official_precision=True,
        ),
        "sft",
        has_start_latents=True,
    )
    assert settings == SamplerSettings(timesteps(20, 1.0, 0.5), "heun", 4.0, "adg", (0.2, 0.9), True)
    assert summary == ("20 steps, shift 1, denoise 0.5, heun, guidance 4 (adg), for t 0.2 to 0.9, official precision")
    assert notes == ()


def test_turbo_refuses_guidance_and_says_so() -> None:
    settings, _, notes = resolve(SamplerOptions(guidance=7), "turbo")
    assert settings.guidance_scale == 1
    assert not settings.uses_guidance
    assert len(notes) == 1
    assert "Guidance 7 was refused" in notes[0]


@pytest.mark.parametrize(
    ("variant", "options", "note"),
    [
        ("turbo", {"steps": 21}, "more than 20"),
        ("turbo", {"shift": 2.5}, "shift 1, 2 and 3; shift 2.5"),
        ("turbo-shift1", {"shift": 3.0}, "This turbo-shift1 checkpoint is made for shift 1; shift 3"),
        ("turbo-continuous", {"shift": 5.5}, "shift 1 to 5; shift 5.5"),
        ("sft-turbo", {"shift": 4.0}, "shift 1 to 3; shift 4"),
        ("turbo-shift3", {"guidance": 2.0}, "Guidance 2 was refused"),
        ("base", {"wavelet_correction": "on"}, "made for turbo; with base"),
        ("turbo", {"custom_timesteps": "0.97, 0.5"}, "the nearest levels it knows are 0.9545, 0.5."),
        ("turbo", {"custom_timesteps": "0.97, 0.5", "snap_timesteps": True}, "were moved .* 0.9545, 0.5."),
        ("base", {"shift": 3.0}, "made for shift 1; shift 3 is reported"),
        ("base", {"guidance_end": 0.01}, "guidance is never applied"),
        ("base", {"has_start_latents": True}, "to start from are not used"),
        ("base", {"steps": 8, "custom_timesteps": "0.9, 0.4"}, "steps and shift are not"),
    ],
)
def test_notes(variant: Variant, options: dict[str, Any], note: str) -> None:
    has_start_latents = bool(options.pop("has_start_latents", False))
    _, _, notes = resolve(SamplerOptions(**options), variant, has_start_latents=has_start_latents)
    assert len(notes) == 1
    assert re.search(note, notes[0])


@pytest.mark.parametrize("wishes", [{"steps": 20}, {"shift": 1.0}, {"shift": 2.0}, {"guidance": 1.0}])
def test_turbo_within_its_training_has_no_notes(wishes: dict[str, Any]) -> None:
    assert resolve(SamplerOptions(**wishes), "turbo").notes == ()


def test_custom_timesteps_replace_the_schedule() -> None:
    settings, summary, notes = resolve(
        SamplerOptions(custom_timesteps="0.97, 0.5"), "sft-turbo", has_start_latents=True
    )
    assert settings.timesteps == (0.97, 0.5, 0.0)
    assert summary == "2 steps, custom time steps, euler, guidance 4 (apg)"
    assert notes == ()


def test_snapping_is_for_turbo_and_by_choice() -> None:
    options = SamplerOptions(custom_timesteps="0.97, 0.5", snap_timesteps=True)
    assert resolve(options, "turbo").settings.timesteps == pytest.approx((21 / 22, 0.5, 0.0))
    assert resolve(options, "base").settings.timesteps == (0.97, 0.5, 0.0)
    assert resolve(SamplerOptions(custom_timesteps="0.97, 0.5"), "turbo").settings.timesteps == (0.97, 0.5, 0.0)


@pytest.mark.parametrize(
    ("variant", "wanted"),
    [
        ("turbo", (8, 3.0, 1.0, True)),
        ("turbo-shift1", (8, 1.0, 1.0, True)),
        ("turbo-shift3", (8, 3.0, 1.0, True)),
        ("turbo-continuous", (8, 3.0, 1.0, True)),
        ("base", (50, 1.0, 7.0, False)),
        ("sft", (50, 1.0, 7.0, False)),
        ("sft-turbo", (22, 3.0, 4.0, False)),
    ],
)
def test_every_variant_gets_its_own(variant: Variant, wanted: tuple[int, float, float, bool]) -> None:
    steps, shift, guidance, corrected = wanted
    resolved = resolve(OFFERED, variant)
    assert resolved.notes == ()
    assert resolved.settings == SamplerSettings(timesteps(steps, shift), guidance_scale=guidance, corrected=corrected)
    assert ("wavelet correction" in resolved.summary) == corrected
    assert as_used(OFFERED, variant, resolved)["wavelet_correction"] == ("on" if corrected else "off")


def test_songs_from_before_the_correction_have_none() -> None:
    assert not resolve(SamplerOptions(), "turbo").settings.corrected


@pytest.mark.parametrize(
    ("wishes", "message"),
    [
        ({"guidance": 0.5}, "guidance must be 1 .none. to 15, .* got 0.5"),
        ({"guidance": 16}, "got 16"),
        ({"guidance": float("nan")}, "got nan"),
        ({"guidance_start": 0.6, "guidance_end": 0.4}, "got 0.6 and 0.4"),
        ({"guidance_start": 0.0, "guidance_end": 1.5}, "got 0.0 and 1.5"),
        ({"steps": -1}, "got -1"),
        ({"solver": "dpm"}, "the solver must be one of euler, heun, sde, got 'dpm'"),
        ({"guidance_method": "pag"}, "got 'pag'"),
        ({"denoise": 0.5}, "no latents to start from"),
        ({"denoise": 0.5, "has_start_latents": True, "custom_timesteps": "0.5"}, "custom time steps set their own"),
        ({"custom_timesteps": "one"}, "got 'one'"),
        ({"wavelet_correction": "maybe"}, "wavelet correction must be one of auto, on, off, got 'maybe'"),
    ],
)
def test_wrong_wishes_are_errors(wishes: dict[str, Any], message: str) -> None:
    has_start_latents = bool(wishes.pop("has_start_latents", False))
    with pytest.raises(ValueError, match=message):
        resolve(SamplerOptions(**wishes), "base", has_start_latents=has_start_latents)


def test_guidance_interval_is_in_t_with_both_ends() -> None:
    settings = SamplerSettings((1.0, 0.75, 0.5, 0.25, 0.0), guidance_scale=7, guidance_interval=(0.5, 0.75))
    assert [settings.guides(index) for index in range(5)] == [False, True, True, False, False]
    assert settings.uses_guidance
    assert not SamplerSettings((1.0, 0.0), guidance_scale=1.0).guides(0)


@pytest.mark.parametrize("official_precision", [False, True])
def test_round_numbers_of_the_interval_are_on_the_schedule(official_precision: bool) -> None:
    settings = SamplerSettings(
        timesteps(10, 1.0), guidance_scale=7, guidance_interval=(0.1, 0.3), official_precision=official_precision
    )
    assert [index for index in range(11) if settings.guides(index)] == [7, 8, 9]
