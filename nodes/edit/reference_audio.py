"""Reference Audio: how a song shall sound, from recordings."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

import torch
from comfy_api.v0_0_2 import io

from ...ace_core.audio.reference import reference_windows
from ...ace_core.sampling.noise import item_seeds
from .. import compat
from ..wires import AceTimbre, AceTimbreWire, AceVae
from .inputs import encoded, heard, vae_input

FIXED, SEEDED = "fixed", "seeded"


class AceComposerReferenceAudio(io.ComfyNode):
    @classmethod
    def define_schema(cls) -> io.Schema:
        return compat.Schema(
            node_id="AceComposerReferenceAudio",
            display_name="ACE-Step Reference Audio",
            category="audio/ACE Composer",
            description="Give a song the sound of recordings: voice, instruments, mix. Melody, words and length stay "
            "the song's own.",
            search_aliases=["timbre", "style reference", "voice", "sound like"],
            inputs=[
                vae_input(),
                io.Audio.Input(
                    "audio", tooltip="One reference, or several as a batch. Any sample rate, mono or stereo, from 1 s."
                ),
                io.Combo.Input(
                    "windows",
                    options=[FIXED, SEEDED],
                    default=FIXED,
                    tooltip="Which 3 x 10 s are heard of a longer reference. fixed: beginning, middle and end. seeded: "
                    "one place in each third, by the seed.",
                ),
                io.Int.Input(
                    "seed",
                    default=0,
                    min=0,
                    max=0xFFFFFFFFFFFFFFFF,
                    control_after_generate=False,
                    tooltip="Chooses the places of seeded windows; reference i of a batch uses seed + i. Not used by "
                    "fixed windows.",
                ),
                AceTimbreWire.Input("timbre", optional=True, tooltip="References to add these to."),
            ],
            outputs=[AceTimbreWire.Output("ace_timbre", display_name="timbre", tooltip="For Encode.")],
        )

    @classmethod
    def execute(
        cls,
        vae: AceVae,
        audio: Mapping[str, Any] | None,
        windows: str,
        seed: int,
        timbre: AceTimbre | None = None,
    ) -> io.NodeOutput:
        if windows not in (FIXED, SEEDED):
            raise ValueError(f"windows must be {FIXED} or {SEEDED}, got {windows!r}")
        recordings = heard(audio, max_seconds=math.inf)
        seeds = item_seeds(seed, len(recordings)) if windows == SEEDED else [None] * len(recordings)
        chosen = [reference_windows(item, item_seed) for item, item_seed in zip(recordings, seeds, strict=True)]
        references = encoded(vae, torch.stack(chosen))
        return io.NodeOutput(AceTimbre((*(timbre.references if timbre else ()), *references)))
