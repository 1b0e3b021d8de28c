"""Reference Audio: the sound of a song, from recordings."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

from comfy_api.v0_0_2 import io

from ...ace_core.checks import check_choice
from ...ace_core.loaded import AceVae
from ...ace_core.stages.sources import encode_references
from .. import compat
from ..host.networks import NETWORKS
from ..node import CATEGORY
from ..wires import AceTimbre, AceTimbreWire
from .inputs import source_audio, vae_input

FIXED, SEEDED = "fixed", "seeded"


class AceComposerReferenceAudio(io.ComfyNode):
    @classmethod
    def define_schema(cls) -> io.Schema:
        return compat.Schema(
            node_id="AceComposerReferenceAudio",
            display_name="ACE-Step Reference Audio",
            category=f"{CATEGORY}/edit",
            description="Give a song the sound of recordings: voice, instruments and mix. Melody, lyrics and "
            "length of the song stay.",
            search_aliases=["timbre", "style reference", "voice", "sound like"],
            inputs=[
                vae_input(),
                io.Audio.Input(
                    "audio", tooltip="One reference, or a batch of several. Any sample rate, mono or stereo, from 1 s."
                ),
                io.Combo.Input(
                    "windows",
                    options=[FIXED, SEEDED],
                    default=FIXED,
                    tooltip="Which 3 x 10 s of a longer reference are used. fixed: beginning, middle and end. "
                    "seeded: one place in each third, chosen by the seed.",
                ),
                io.Int.Input(
                    "seed",
                    default=0,
                    min=0,
                    max=0xFFFFFFFFFFFFFFFF,
                    control_after_generate=False,
                    tooltip="Chooses the places of seeded windows. Reference i of a batch uses seed + i.",
                ),
                AceTimbreWire.Input(
                    "timbre", optional=True, tooltip="From another Reference Audio: adds these references to those."
                ),
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
        check_choice("windows", windows, (FIXED, SEEDED))
        recordings = source_audio(audio, max_seconds=math.inf)
        references = encode_references(NETWORKS, vae, recordings, seed if windows == SEEDED else None)
        return io.NodeOutput(AceTimbre((*(timbre.references if timbre else ()), *references)))
