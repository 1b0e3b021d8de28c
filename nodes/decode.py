"""Decode: latents to 48 kHz stereo."""

from __future__ import annotations

from typing import Any

import torch
from comfy_api.v0_0_2 import io

from ..ace_core.audio import (
    LATENT_FRAME_RATE,
    SAMPLE_RATE,
    SAMPLES_PER_FRAME,
    check_audible,
    limit_peak,
    peak_normalize,
)
from ..ace_core.vae import SMALLEST_TILE_FRAMES, choose_tile_frames, decode, decode_memory_bytes
from . import _compat as compat
from . import host
from .latents import from_latent, sample_counts
from .types import AceVae, AceVaeWire


class AceComposerDecode(io.ComfyNode):
    @classmethod
    def define_schema(cls) -> io.Schema:
        return compat.Schema(
            node_id="AceComposerDecode",
            display_name="ACE-Step Decode",
            category="audio/ACE Composer",
            description="Decode latents to 48 kHz stereo audio, in tiles where memory asks for it.",
            search_aliases=["vae decode", "audio"],
            inputs=[
                AceVaeWire.Input("vae", tooltip="From Load Models."),
                io.Latent.Input("latent", tooltip="From Sample, or any latents [batch, 64, frames] of ACE-Step 1.5."),
                io.Boolean.Input(
                    "normalize",
                    default=True,
                    tooltip="Bring the peak of each song to -1 dBFS, as published. This changes the level, also of "
                    "quiet songs. Off: the level stays, and only a peak above full scale is brought down to it.",
                ),
                compat.advanced(
                    io.Float.Input(
                        "tile_seconds",
                        default=0.0,
                        min=0.0,
                        max=600.0,
                        step=1.0,
                        optional=True,
                        tooltip="Length of a tile. 0: chosen by the free memory. Tiles do not change the sound.",
                    )
                ),
            ],
            outputs=[io.Audio.Output("audio", display_name="audio")],
        )

    @classmethod
    def execute(cls, vae: AceVae, latent: dict[str, Any], normalize: bool, tile_seconds: float = 0.0) -> io.NodeOutput:
        latents = from_latent(latent)
        counts = sample_counts(latent)
        config = vae.patcher.model.config
        tile_frames = int(tile_seconds * LATENT_FRAME_RATE) or choose_tile_frames(
            config, host.total_memory_bytes(vae.patcher) // 2, vae.dtype
        )
        tile_frames = max(SMALLEST_TILE_FRAMES, min(tile_frames, latents.shape[1]))
        network, device = host.load(vae.patcher, decode_memory_bytes(config, tile_frames, vae.dtype))
        frames = [-(-count // SAMPLES_PER_FRAME) for count in counts]
        update = host.progress()
        waveforms = torch.zeros(len(counts), config.audio_channels, max(counts))
        for item, count in enumerate(counts):  # one by one: a song's end would be another beside what pads a batch
            frames_before = sum(frames[:item])
            waveforms[item, :, :count] = decode(
                network,
                latents[item, None, : frames[item]],
                device=device,
                dtype=vae.dtype,
                tile_frames=tile_frames,
                out_of_memory=host.OUT_OF_MEMORY,
                on_progress=lambda done, _, before=frames_before: update(before + done, sum(frames)),
            )[0, :, :count]
        check_audible(waveforms)
        level = peak_normalize if normalize else limit_peak
        return io.NodeOutput({"waveform": level(waveforms), "sample_rate": SAMPLE_RATE})
