"""Whole runs against diffusers' AceStepPipeline, which reads the same small diffusers folder: same noise, same latents.

Both see the prompts of one song; text, conditions, schedule, guidance and solver are each side's own. diffusers attends
to padding and compares 1 - t with the guidance interval, so parity is checked for one song and the whole interval.
"""

from __future__ import annotations

import math
from dataclasses import replace

import pytest
import torch
from tiny_engine import CPU, SONG, Engine, cosine, peer_latents
from torch import Tensor

from ace_core.models.dit import DiT
from ace_core.render import runs
from ace_core.render.audio_codes import decode_audio_codes, encode_audio_codes
from ace_core.render.runs import render_latents, render_memory_bytes
from ace_core.runtime import Runtime
from ace_core.sampling.noise import Variation
from ace_core.sampling.options import OFFERED, SamplerOptions, resolve
from ace_core.sampling.settings import SamplerSettings
from ace_core.song.blueprint import Blueprint


@pytest.mark.parametrize("seed", [0, 7])
@torch.inference_mode()
def test_turbo_run_equals_diffusers(turbo: Engine, seed: int) -> None:
    ours = turbo.render([SONG], resolve(SamplerOptions(), "turbo").settings, [seed])[0]
    theirs = peer_latents(turbo, SONG, seed, num_inference_steps=8, shift=3.0)
    assert ours.shape == (300, 64)
    assert cosine(ours, theirs) >= 0.99999
    assert (ours - theirs).norm() / theirs.norm() <= 1e-3


@torch.inference_mode()
def test_guided_base_run_equals_diffusers(base: Engine) -> None:
    settings = resolve(SamplerOptions(steps=10, guidance=5.0), "base").settings
    ours = base.render([SONG], settings, [3])[0]
    theirs = peer_latents(base, SONG, 3, num_inference_steps=10, shift=1.0, guidance_scale=5.0)
    unguided = base.render([SONG], resolve(SamplerOptions(steps=10, guidance=1.0), "base").settings, [3])[0]
    assert cosine(ours, theirs) >= 0.99999
    assert cosine(ours, unguided) < 0.999


@torch.inference_mode()
def test_run_with_audio_codes_equals_diffusers(turbo: Engine) -> None:
    codes = torch.randint(64000, (60,), generator=torch.Generator().manual_seed(1)).tolist()
    song = replace(SONG, audio_codes=tuple(codes))
    ours = turbo.render([song], resolve(SamplerOptions(), "turbo").settings, [5])[0]
    code_text = "".join(f"<|audio_code_{code}|>" for code in codes)
    theirs = peer_latents(turbo, SONG, 5, num_inference_steps=8, shift=3.0, audio_codes=code_text)
    without = turbo.render([SONG], resolve(SamplerOptions(), "turbo").settings, [5])[0]
    assert cosine(ours, theirs) >= 0.99999
    assert cosine(ours, without) < 0.999


@torch.inference_mode()
def test_wavelet_correction_of_a_song_depends_on_its_plan_and_not_on_its_batch(turbo: Engine) -> None:
    planned = replace(SONG, audio_codes=tuple(range(60)))
    usual = resolve(OFFERED, "turbo").settings
    text, with_codes = turbo.render([SONG, planned], usual, [5, 5])
    for song, scalers, result in ((SONG, (0.05, 0.02), text), (planned, (0.02, 0.06), with_codes)):
        given = replace(usual, wavelet_low=scalers[0], wavelet_high=scalers[1])
        alone = turbo.render([song], given, [5])[0]
        torch.testing.assert_close(result, alone, atol=1e-5, rtol=1e-5)
        off = turbo.render([song], replace(usual, corrected=False), [5])[0]
        assert (alone - off).norm() / off.norm() > 0.01


@torch.inference_mode()
def test_official_noise_is_drawn_in_the_runs_dtype(turbo: Engine, monkeypatch: pytest.MonkeyPatch) -> None:
    """A network that predicts nothing leaves the noise as it is."""
    monkeypatch.setattr(runs, "_velocity_function", lambda *_: lambda x, _index, _guided: (torch.zeros_like(x), None))
    settings, runtime = SamplerSettings((1.0, 0.0), noise="official"), Runtime(dtype=torch.bfloat16)

    def drawn(seed: int) -> Tensor:
        return torch.randn(1, 300, 64, generator=torch.Generator().manual_seed(seed), dtype=torch.bfloat16)[0].float()

    songs, network = [turbo.conditions(SONG)], turbo.model.dit.network
    assert torch.equal(render_latents(network, songs, settings, [9], runtime)[0], drawn(9))
    retake = Variation((4,), 0.5)
    turned = (drawn(9) + drawn(4)) * math.sqrt(0.5)
    torch.testing.assert_close(render_latents(network, songs, settings, [9], runtime, variation=retake)[0], turned)


@torch.inference_mode()
def test_audio_codes_of_any_length_cover_the_latents(turbo: Engine) -> None:
    """Codes of whole groups equal the tokenizer's own; the last group is filled up with silence, not zeros."""
    latents = torch.randn(23, 64, generator=torch.Generator().manual_seed(2))
    network, silence = turbo.model.audio_tokenizer.network, turbo.model.silence
    codes = encode_audio_codes(network, latents, silence, CPU)
    filled = torch.cat((latents, silence[0, :2]))
    assert codes == tuple(network.encode(filled[None])[0].tolist())
    assert codes[:4] == encode_audio_codes(network, latents[:20], silence, CPU)
    assert decode_audio_codes(network, codes, CPU).shape == (25, 64)


@torch.inference_mode()
def test_codes_strength_switches_to_the_conditions_without_codes(
    turbo: Engine, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The official hard switch: int(steps * strength) steps follow the codes, the others run as if there were none."""
    codes = torch.randint(64000, (60,), generator=torch.Generator().manual_seed(1)).tolist()
    song = replace(SONG, audio_codes=tuple(codes))
    settings = resolve(SamplerOptions(), "turbo").settings

    def render(strength: float) -> Tensor:
        return turbo.latents([turbo.conditions(song, codes_strength=strength)], settings, [5])[0]

    with_codes, without = turbo.conditions(song), turbo.conditions(SONG)
    assert torch.equal(render(0.0), turbo.render([SONG], settings, [5])[0])
    assert torch.equal(render(1.0), turbo.render([song], settings, [5])[0])

    sources: list[Tensor] = []
    forward = DiT.forward

    def spy(dit: DiT, x: Tensor, context: Tensor, *rest: object, **keywords: object) -> object:
        sources.append(context[0, :, :64])
        return forward(dit, x, context, *rest, **keywords)

    monkeypatch.setattr(DiT, "forward", spy)
    render(0.45)
    assert [torch.equal(source, with_codes.source) for source in sources] == [True] * 3 + [False] * 5
    assert all(torch.equal(source, without.source) for source in sources[3:])


@pytest.mark.parametrize("kind", ["turbo", "base"])
@torch.inference_mode()
def test_item_of_a_batch_equals_the_item_alone(turbo: Engine, base: Engine, kind: str) -> None:
    """Captions, lyrics and lengths differ; the fourth song is as long as the first."""
    engine = {"turbo": turbo, "base": base}[kind]
    settings = resolve(SamplerOptions(steps=4, guidance=1.0 if kind == "turbo" else 6.0), kind).settings
    songs = [
        SONG,
        Blueprint(caption="fast dance track", duration_seconds=10.5),
        Blueprint(caption="jazz", lyrics="one word", language="de", duration_seconds=10.0),
        Blueprint(caption="a much longer caption " * 8, duration_seconds=12.0),
    ]
    together = engine.render(songs, settings, [1, 2, 3, 4])
    for song, seed, item in zip(songs, (1, 2, 3, 4), together, strict=True):
        alone = engine.render([song], settings, [seed])[0]
        assert (item - alone).abs().max() <= 1e-5


@torch.inference_mode()
def test_start_latents_are_kept_as_far_as_denoise_says(turbo: Engine) -> None:
    first = turbo.render([SONG], resolve(SamplerOptions(), "turbo").settings, [1])[0]
    distances = []
    for amount in (0.2, 0.6):
        settings = resolve(SamplerOptions(denoise=amount), "turbo", has_start_latents=True).settings
        again = turbo.render([SONG], settings, [2], start_latents=[first])[0]
        distances.append((again - first).norm().item())
    other = turbo.render([SONG], resolve(SamplerOptions(), "turbo").settings, [2])[0]
    assert 0 < distances[0] < distances[1] < (other - first).norm().item()


@pytest.mark.parametrize(
    ("lengths", "message"),
    [
        ([300, 275], r"song 2 of 2 from have 275 frames \(11 s\), but the song has 300 \(12 s\)"),
        ([301, 301], r"song 1 of 2 from have 301 frames \(12.04 s\), but the song has 300 \(12 s\)"),
        ([300], "got 1 latents to start from for 2 songs"),
    ],
    ids=["different lengths", "another length than the songs", "too few"],
)
@torch.inference_mode()
def test_start_latents_must_fit_the_songs(turbo: Engine, lengths: list[int], message: str) -> None:
    settings = resolve(SamplerOptions(denoise=0.5), "turbo", has_start_latents=True).settings
    start_latents = [torch.zeros(length, 64) for length in lengths]

    def never(done: int, total: int) -> None:
        raise AssertionError("the songs were rendered before their start latents were looked at")

    with pytest.raises(ValueError, match=message):
        turbo.render([SONG, SONG], settings, [1, 2], start_latents=start_latents, on_progress=never)


@torch.inference_mode()
def test_start_latents_of_different_lengths_belong_to_their_songs(turbo: Engine) -> None:
    songs = [SONG, Blueprint(caption="x", duration_seconds=10.0)]
    settings = resolve(SamplerOptions(denoise=0.5), "turbo", has_start_latents=True).settings
    generator = torch.Generator().manual_seed(3)
    start_latents = [torch.randn(frames, 64, generator=generator) for frames in (300, 250)]
    together = turbo.render(songs, settings, [1, 2], start_latents=start_latents)
    for item in range(2):
        alone = turbo.render([songs[item]], settings, [item + 1], start_latents=[start_latents[item]])
        assert (together[item] - alone[0]).abs().max() <= 1e-5


@torch.inference_mode()
def test_progress_covers_all_lengths_and_its_exception_ends_the_run(turbo: Engine) -> None:
    songs = [SONG, Blueprint(caption="x", duration_seconds=10.0)]
    settings = resolve(SamplerOptions(steps=3), "turbo").settings
    seen: list[tuple[int, int]] = []
    turbo.render(songs, settings, [1, 2], on_progress=lambda done, total: seen.append((done, total)))
    assert seen == [(step, 6) for step in range(1, 7)]

    class CancelledError(Exception):
        pass

    def cancel(done: int, total: int) -> None:
        raise CancelledError

    with pytest.raises(CancelledError):
        turbo.render(songs, settings, [1, 2], on_progress=cancel)


def test_memory_estimate_grows_with_what_runs_at_once(turbo: Engine) -> None:
    song = turbo.conditions(SONG)
    config = turbo.model.dit.network.config
    one = render_memory_bytes(config, [song], guided=False, dtype=torch.bfloat16)
    assert render_memory_bytes(config, [song], guided=True, dtype=torch.bfloat16) > one
    assert render_memory_bytes(config, [song, song], guided=False, dtype=torch.bfloat16) == 2 * one
    assert render_memory_bytes(config, [song], guided=False, dtype=torch.float32) == 2 * one
