"""Whole runs against diffusers' AceStepPipeline, which reads the same small diffusers folder: same noise, same latents.

Both see the prompts of one song; text, conditions, schedule, guidance and solver are each side's own. diffusers attends
to padding and compares 1 - t with the guidance interval, so parity is checked for one song and the whole interval.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import NamedTuple

import pytest
import torch
from diffusers import AceStepPipeline, AutoencoderOobleck
from tiny_checkpoints import write_tiny
from torch import Tensor, nn

from ace_core.audio_codes import decode_audio_codes, encode_audio_codes
from ace_core.blueprint import Blueprint
from ace_core.checkpoints.inspection import inspect_model, inspect_text_encoder
from ace_core.checkpoints.loading import build_network
from ace_core.checkpoints.silence import load_silence
from ace_core.checkpoints.tokenizer import TextTokenizer, load_tokenizer
from ace_core.conditioning import (
    SongConditions,
    SongPrompt,
    encode_conditions,
    encode_text,
    song_conditions,
    tokenize_song,
)
from ace_core.models.audio_tokenizer import AudioTokenizer
from ace_core.models.condition_encoder import ConditionEncoder
from ace_core.models.dit import DiT
from ace_core.models.qwen3 import Qwen3
from ace_core.rendering import render_latents, render_memory_bytes
from ace_core.sampling.noise import initial_noise
from ace_core.sampling.settings import SamplerSettings, resolve_settings

CPU = torch.device("cpu")
SONG = Blueprint(
    caption="slow acoustic guitar ballad, male vocals",
    lyrics="[Verse]\nWalking down the street with the radio on\n\n[Chorus]\nSing it to the stars",
    language="en",
    bpm=84,
    key="F# minor",
    time_signature=3,
    duration_seconds=12.0,
)


class Engine(NamedTuple):
    """One checkpoint, loaded in fp32."""

    root: Path
    dit: DiT
    condition_encoder: ConditionEncoder
    audio_tokenizer: AudioTokenizer
    text_encoder: Qwen3
    tokenizer: TextTokenizer
    silence: Tensor

    def packed(self, prompt: SongPrompt) -> Tensor:
        text = encode_text(self.text_encoder, prompt, device=CPU, dtype=torch.float32)
        return encode_conditions(self.condition_encoder, text, self.silence, device=CPU, dtype=torch.float32)

    def conditions(self, blueprint: Blueprint, codes_strength: float = 1.0) -> SongConditions:
        prompt = tokenize_song(self.tokenizer, blueprint)
        plain_prompt = tokenize_song(self.tokenizer, blueprint, follow_codes=False)
        hints = None
        if blueprint.audio_codes is not None:
            hints = decode_audio_codes(self.audio_tokenizer, blueprint.audio_codes, device=CPU, dtype=torch.float32)
        return song_conditions(
            self.packed(prompt),
            prompt,
            self.silence,
            hints=hints,
            packed_without_codes=self.packed(plain_prompt) if codes_strength < 1 else None,
            codes_strength=codes_strength,
        )

    def render(
        self,
        blueprints: list[Blueprint],
        settings: SamplerSettings,
        seeds: list[int],
        start_latents: list[Tensor] | None = None,
        on_progress: Callable[[int, int], None] | None = None,
    ) -> list[Tensor]:
        return render_latents(
            self.dit,
            [self.conditions(blueprint) for blueprint in blueprints],
            settings,
            seeds,
            device=CPU,
            dtype=torch.float32,
            start_latents=start_latents,
            on_progress=on_progress,
        )


def load_engine(root: Path, kind: str) -> Engine:
    write_tiny(root, "diffusers", kind=kind)
    files = inspect_model(root)
    silence = load_silence(files)
    assert files.audio_tokenizer is not None and silence is not None
    return Engine(
        root=root,
        dit=build_network(files.dit, ops=nn, dtype=torch.float32),
        condition_encoder=build_network(files.condition_encoder, ops=nn, dtype=torch.float32),
        audio_tokenizer=build_network(files.audio_tokenizer, ops=nn, dtype=torch.float32),
        text_encoder=build_network(inspect_text_encoder(root), ops=nn, dtype=torch.float32),
        tokenizer=load_tokenizer(root / "tokenizer"),
        silence=silence,
    )


@pytest.fixture(scope="module")
def turbo(tmp_path_factory: pytest.TempPathFactory) -> Engine:
    return load_engine(tmp_path_factory.mktemp("turbo"), "turbo")


@pytest.fixture(scope="module")
def base(tmp_path_factory: pytest.TempPathFactory) -> Engine:
    return load_engine(tmp_path_factory.mktemp("base"), "base")


def peer_latents(engine: Engine, blueprint: Blueprint, seed: int, **settings: object) -> Tensor:
    # The small VAE is narrower than diffusers' class allows; the pipeline only asks it for its rates here.
    vae = AutoencoderOobleck(
        encoder_hidden_size=4,
        decoder_channels=4,
        channel_multiples=[1, 1, 1, 1, 1],
        downsampling_ratios=[2, 4, 4, 6, 10],
        sampling_rate=48000,
    )
    pipeline = AceStepPipeline.from_pretrained(engine.root, vae=vae, torch_dtype=torch.float32)
    pipeline.set_progress_bar_config(disable=True)
    assert blueprint.duration_seconds is not None
    result = pipeline(
        prompt=blueprint.caption,
        lyrics=blueprint.lyrics,
        vocal_language=blueprint.language,
        audio_duration=blueprint.duration_seconds,
        bpm=blueprint.bpm,
        keyscale=blueprint.key,
        timesignature=str(blueprint.time_signature),
        latents=initial_noise([seed], int(blueprint.duration_seconds * 25)),
        output_type="latent",
        return_dict=False,
        **settings,
    )
    return result[0][0]


def cosine(a: Tensor, b: Tensor) -> float:
    return torch.nn.functional.cosine_similarity(a.flatten().double(), b.flatten().double(), dim=0).item()


@pytest.mark.parametrize("seed", [0, 7])
@torch.inference_mode()
def test_turbo_run_equals_diffusers(turbo: Engine, seed: int) -> None:
    ours = turbo.render([SONG], resolve_settings("turbo").settings, [seed])[0]
    theirs = peer_latents(turbo, SONG, seed, num_inference_steps=8, shift=3.0)
    assert ours.shape == (300, 64)
    assert cosine(ours, theirs) >= 0.99999
    assert (ours - theirs).norm() / theirs.norm() <= 1e-3


@torch.inference_mode()
def test_guided_base_run_equals_diffusers(base: Engine) -> None:
    settings = resolve_settings("base", steps=10, guidance_scale=5.0).settings
    ours = base.render([SONG], settings, [3])[0]
    theirs = peer_latents(base, SONG, 3, num_inference_steps=10, shift=1.0, guidance_scale=5.0)
    unguided = base.render([SONG], resolve_settings("base", steps=10, guidance_scale=1.0).settings, [3])[0]
    assert cosine(ours, theirs) >= 0.99999
    assert cosine(ours, unguided) < 0.999


@torch.inference_mode()
def test_run_with_audio_codes_equals_diffusers(turbo: Engine) -> None:
    codes = torch.randint(64000, (60,), generator=torch.Generator().manual_seed(1)).tolist()
    song = replace(SONG, audio_codes=tuple(codes))
    ours = turbo.render([song], resolve_settings("turbo").settings, [5])[0]
    code_text = "".join(f"<|audio_code_{code}|>" for code in codes)
    theirs = peer_latents(turbo, SONG, 5, num_inference_steps=8, shift=3.0, audio_codes=code_text)
    without = turbo.render([SONG], resolve_settings("turbo").settings, [5])[0]
    assert cosine(ours, theirs) >= 0.99999
    assert cosine(ours, without) < 0.999


@torch.inference_mode()
def test_audio_codes_of_any_length_cover_the_latents(turbo: Engine) -> None:
    """Codes of whole groups equal the tokenizer's own; the last group is filled up with silence, not zeros."""
    latents = torch.randn(23, 64, generator=torch.Generator().manual_seed(2))
    keywords = {"device": CPU, "dtype": torch.float32}
    codes = encode_audio_codes(turbo.audio_tokenizer, latents, turbo.silence, **keywords)
    filled = torch.cat((latents, turbo.silence[0, :2]))
    assert codes == tuple(turbo.audio_tokenizer.encode(filled[None])[0].tolist())
    assert codes[:4] == encode_audio_codes(turbo.audio_tokenizer, latents[:20], turbo.silence, **keywords)
    assert decode_audio_codes(turbo.audio_tokenizer, codes, **keywords).shape == (25, 64)


@torch.inference_mode()
def test_codes_strength_switches_to_the_conditions_without_codes(
    turbo: Engine, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The official hard switch: int(steps * strength) steps follow the codes, the others run as if there were none."""
    codes = torch.randint(64000, (60,), generator=torch.Generator().manual_seed(1)).tolist()
    song = replace(SONG, audio_codes=tuple(codes))
    settings = resolve_settings("turbo").settings
    arguments = {"device": CPU, "dtype": torch.float32}

    def render(strength: float) -> Tensor:
        return render_latents(turbo.dit, [turbo.conditions(song, strength)], settings, [5], **arguments)[0]

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
    settings = resolve_settings(kind, steps=4, guidance_scale=1.0 if kind == "turbo" else 6.0).settings
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
    first = turbo.render([SONG], resolve_settings("turbo").settings, [1])[0]
    distances = []
    for amount in (0.2, 0.6):
        settings = resolve_settings("turbo", denoise=amount, has_start_latents=True).settings
        again = turbo.render([SONG], settings, [2], start_latents=[first])[0]
        distances.append((again - first).norm().item())
    other = turbo.render([SONG], resolve_settings("turbo").settings, [2])[0]
    assert 0 < distances[0] < distances[1] < (other - first).norm().item()


@torch.inference_mode()
def test_progress_covers_all_lengths_and_its_exception_ends_the_run(turbo: Engine) -> None:
    songs = [SONG, Blueprint(caption="x", duration_seconds=10.0)]
    settings = resolve_settings("turbo", steps=3).settings
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
    config = turbo.dit.config
    one = render_memory_bytes(config, [song], guided=False, dtype=torch.bfloat16)
    assert render_memory_bytes(config, [song], guided=True, dtype=torch.bfloat16) > one
    assert render_memory_bytes(config, [song, song], guided=False, dtype=torch.bfloat16) == 2 * one
    assert render_memory_bytes(config, [song], guided=False, dtype=torch.float32) == 2 * one
