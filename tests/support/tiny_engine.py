"""The engine around one small checkpoint, and diffusers' AceStepPipeline on the same files.

diffusers' class of the VAE cannot hold the small VAE, and it samples the posterior. So audio is encoded by a stand-in
here, on both sides: one fixed random matrix for each frame, which neither side can mistake for another frame's.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from functools import lru_cache
from pathlib import Path
from types import SimpleNamespace
from typing import NamedTuple

import torch
from diffusers import AceStepPipeline, AutoencoderOobleck
from tiny_checkpoints import Kind, write_tiny
from torch import Tensor, nn

from ace_core.audio.waveform import SAMPLES_PER_FRAME
from ace_core.checkpoints.inspection import inspect_model, inspect_text_encoder
from ace_core.checkpoints.loading import build_network
from ace_core.checkpoints.silence import load_silence
from ace_core.checkpoints.tokenizer import TextTokenizer, load_tokenizer
from ace_core.models.audio_tokenizer import AudioTokenizer
from ace_core.models.condition_encoder import ConditionEncoder
from ace_core.models.dit import DiT
from ace_core.models.qwen3 import Qwen3
from ace_core.render.audio_codes import decode_audio_codes, encode_audio_codes
from ace_core.render.conditions import (
    SongConditions,
    SongPrompt,
    encode_conditions,
    encode_text,
    song_conditions,
    tokenize_song,
)
from ace_core.render.runs import render_latents
from ace_core.sampling.noise import initial_noise
from ace_core.sampling.settings import SamplerSettings
from ace_core.song.blueprint import Blueprint
from ace_core.tasks.song_task import SongTask, source_latents, task_conditions, tokenize_task

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

    def packed(self, prompt: SongPrompt, references: Sequence[Tensor] = ()) -> Tensor:
        text = encode_text(self.text_encoder, prompt, device=CPU, dtype=torch.float32)
        return encode_conditions(
            self.condition_encoder, text, self.silence, device=CPU, dtype=torch.float32, references=references
        )

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

    def task_conditions(
        self, blueprint: Blueprint, task: SongTask, references: Sequence[Tensor] = ()
    ) -> SongConditions:
        structure = self.structure(source_latents(task, self.silence)) if task.follows_codes else None
        without_source = None
        if task.strength < 1:
            prompt = tokenize_task(self.tokenizer, blueprint, task, follow_source=False)
            without_source = self.packed(prompt, references)
        return task_conditions(
            self.packed(tokenize_task(self.tokenizer, blueprint, task), references),
            task,
            self.silence,
            structure=structure,
            packed_without_source=without_source,
        )

    def structure(self, latents: Tensor) -> Tensor:
        codes = encode_audio_codes(self.audio_tokenizer, latents, self.silence, device=CPU, dtype=torch.float32)
        return decode_audio_codes(self.audio_tokenizer, codes, device=CPU, dtype=torch.float32)

    def render(
        self,
        blueprints: list[Blueprint],
        settings: SamplerSettings,
        seeds: list[int],
        start_latents: list[Tensor] | None = None,
        on_progress: Callable[[int, int], None] | None = None,
    ) -> list[Tensor]:
        songs = [self.conditions(blueprint) for blueprint in blueprints]
        return render_latents(
            self.dit,
            songs,
            settings,
            seeds,
            device=CPU,
            dtype=torch.float32,
            start_latents=start_latents,
            on_progress=on_progress,
        )


def load_engine(root: Path, kind: Kind) -> Engine:
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


def peer_latents(
    engine: Engine,
    blueprint: Blueprint,
    seed: int,
    *,
    frames: int | None = None,
    duration_seconds: float | None = None,
    **settings: object,
) -> Tensor:
    """What diffusers renders [T, 64]; frames and duration are the blueprint's unless a task's source decides them."""
    duration_seconds = duration_seconds or blueprint.duration_seconds
    assert duration_seconds is not None
    result = _pipeline(engine.root)(
        prompt=blueprint.caption,
        lyrics=blueprint.lyrics,
        vocal_language=blueprint.language,
        audio_duration=duration_seconds,
        bpm=blueprint.bpm,
        keyscale=blueprint.key,
        timesignature=str(blueprint.time_signature),
        latents=initial_noise([seed], frames or int(duration_seconds * 25)),
        output_type="latent",
        return_dict=False,
        **settings,
    )
    return result[0][0]


def stand_in_encode(waveform: Tensor) -> Tensor:
    """Latents [T, 64] of samples [2, T * 1920], a fixed projection of each frame."""
    frames = waveform.unflatten(1, (-1, SAMPLES_PER_FRAME)).transpose(0, 1).flatten(1)
    return frames @ _projection()


def cosine(a: Tensor, b: Tensor) -> float:
    return torch.nn.functional.cosine_similarity(a.flatten().double(), b.flatten().double(), dim=0).item()


@lru_cache(maxsize=1)
def _projection() -> Tensor:
    size = 2 * SAMPLES_PER_FRAME
    return torch.randn(size, 64, generator=torch.Generator().manual_seed(64)) * 3 / math.sqrt(size)


@lru_cache(maxsize=2)
def _pipeline(root: Path) -> AceStepPipeline:
    vae = AutoencoderOobleck(  # asked for its rates only
        encoder_hidden_size=4,
        decoder_channels=4,
        channel_multiples=[1, 1, 1, 1, 1],
        downsampling_ratios=[2, 4, 4, 6, 10],
        sampling_rate=48000,
    )

    def encode(waveform: Tensor) -> SimpleNamespace:
        latents = stand_in_encode(waveform[0]).T[None]
        return SimpleNamespace(latent_dist=SimpleNamespace(sample=lambda: latents))

    vae.encode = encode
    pipeline = AceStepPipeline.from_pretrained(root, vae=vae, dtype=torch.float32)
    pipeline.set_progress_bar_config(disable=True)
    return pipeline
