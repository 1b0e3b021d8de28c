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
from typing import Any, NamedTuple

import torch
from diffusers import AceStepPipeline, AutoencoderOobleck
from tiny_checkpoints import Kind, write_tiny
from torch import Tensor

from ace_core.audio.waveform import SAMPLES_PER_FRAME
from ace_core.checkpoints.inspection import inspect_model
from ace_core.loaded import AceModel, AceTextEncoder
from ace_core.plain_networks import PlainNetworks
from ace_core.render.conditions import SongConditions
from ace_core.render.runs import render_latents
from ace_core.runtime import Runtime
from ace_core.sampling.noise import initial_noise
from ace_core.sampling.settings import SamplerSettings
from ace_core.song.blueprint import Blueprint
from ace_core.stages.codes import followed_structure
from ace_core.stages.encode import encode_songs
from ace_core.stages.load import inspect_models, load_models
from ace_core.tasks.cover import cover_task
from ace_core.tasks.song_task import SongTask

CPU = Runtime()
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
    """One checkpoint, loaded in fp32, and its stages on the CPU."""

    root: Path
    networks: PlainNetworks
    model: AceModel
    text_encoder: AceTextEncoder

    def conditions(self, plan: Blueprint, task: SongTask | None = None, **options: Any) -> SongConditions:
        """Conditions of a plan with a task, or of text to music; `options` are those of `encode_songs`."""
        tasks = () if task is None else (task,)
        encoded = encode_songs(self.networks, self.model, self.text_encoder, [plan], tasks=tasks, **options)
        return encoded.conditioning.songs[0]

    def structure(self, latents: Tensor) -> Tensor:
        """Latents after the audio tokenizer and back."""
        task = cover_task(latents, len(latents) * SAMPLES_PER_FRAME)
        structure = followed_structure(self.networks, self.model, task)
        assert structure is not None
        return structure

    def render(
        self,
        plans: list[Blueprint],
        settings: SamplerSettings,
        seeds: list[int],
        start_latents: list[Tensor] | None = None,
        on_progress: Callable[[int, int], None] | None = None,
    ) -> list[Tensor]:
        return self.latents([self.conditions(plan) for plan in plans], settings, seeds, start_latents, on_progress)

    def latents(
        self,
        songs: Sequence[SongConditions],
        settings: SamplerSettings,
        seeds: Sequence[int],
        start_latents: list[Tensor] | None = None,
        on_progress: Callable[[int, int], None] | None = None,
    ) -> list[Tensor]:
        """What `render_latents` makes of some conditions."""
        return render_latents(
            self.model.dit.network,
            songs,
            settings,
            seeds,
            CPU,
            start_latents=start_latents,
            on_progress=on_progress,
        )


def load_engine(root: Path, variant: Kind) -> Engine:
    write_tiny(root, "diffusers", kind=variant)
    networks = PlainNetworks(CPU.device)
    sources = inspect_models(inspect_model(root), root, root)
    model, text_encoder, _ = load_models(networks, sources, precision="float32")
    return Engine(root, networks, model, text_encoder)


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
