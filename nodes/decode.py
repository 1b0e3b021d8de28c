"""Decode: latents to 48 kHz stereo."""

from __future__ import annotations

from typing import Any

import torch
from comfy_api.v0_0_2 import io

from ..ace_core.audio import LATENT_FRAME_RATE, SAMPLE_RATE, limit_peak, peak_normalize
from ..ace_core.vae import choose_tile_frames, decode, decode_memory_bytes
from . import _compat as compat
from . import host
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
            outputs=[io.Audio.Output("audio")],
        )

    @classmethod
    def execute(
        cls, vae: AceVae, latent: dict[str, Any], normalize: bool, tile_seconds: float = 0.0
    ) -> io.NodeOutput:
        samples = latent["samples"]
        if samples.ndim != 3 or samples.shape[1] != 64:
            raise ValueError(
                f"latents of ACE-Step 1.5 have the shape [batch, 64, frames], got {list(samples.shape)}: they come from "
                "another model"
            )
        tile_frames = int(tile_seconds * LATENT_FRAME_RATE) or None
