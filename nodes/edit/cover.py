"""Cover: a new version of a song."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, get_args

from comfy_api.v0_0_2 import io

from ...ace_core.loaded import AceVae
from ...ace_core.stages.sources import encode_source
from ...ace_core.tasks.cover import CoverStructure, cover_task
from .. import compat
from ..host.networks import NETWORKS
from ..node import CATEGORY
from .inputs import audio_input, source_audio, task_output, task_wire, vae_input


class AceComposerCover(io.ComfyNode):
    @classmethod
    def define_schema(cls) -> io.Schema:
        return compat.Schema(
            node_id="AceComposerCover",
            display_name="ACE-Step Cover",
            category=f"{CATEGORY}/edit",
            description="Make a new version of a song: its melody, rhythm and form in the style of the blueprint.",
            search_aliases=["remix", "style transfer", "audio to audio"],
            inputs=[
                vae_input(),
                audio_input("The song to cover."),
                io.Float.Input(
                    "strength",
                    default=1.0,
                    min=0.0,
                    max=1.0,
                    step=0.01,
                    tooltip="Share of the sampling steps, from the first, that follow the song. About 0.2 keeps "
                    "little more than the form.",
                ),
                io.Float.Input(
                    "noise_strength",
                    default=0.0,
                    min=0.0,
                    max=1.0,
                    step=0.01,
                    tooltip="How much of the original sound to start from. 0: pure noise. Towards 1: a remix that "
                    "keeps more and more of the recording. Skips the steps before that point.",
                ),
                io.Combo.Input(
                    "structure",
                    options=list(get_args(CoverStructure)),
                    default="codes",
                    tooltip="What the model takes from the song. codes: melody, rhythm and form. latents: the sound "
                    "itself, which stays closer to the song.",
                ),
            ],
            outputs=[task_wire()],
            hidden=[io.Hidden.unique_id],
        )

    @classmethod
    def execute(
        cls,
        vae: AceVae,
        audio: Mapping[str, Any] | None,
        **options: Any,
    ) -> io.NodeOutput:
        waveforms = source_audio(audio)
        songs = [
            cover_task(latents, waveforms.shape[-1], **options) for latents in encode_source(NETWORKS, vae, waveforms)
        ]
        return task_output(songs)
