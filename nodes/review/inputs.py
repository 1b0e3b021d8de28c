"""Finished songs as Lyric Timing and Score take them: what was sampled, or any recording with a plan for it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from comfy_api.v0_0_2 import io

from ...ace_core.loaded import AceModel, AceTextEncoder, AceVae
from ...ace_core.stages.encode import AceConditioning
from ...ace_core.stages.listen import (
    FinishedSong,
    Recording,
    recordings_of_waveforms,
    with_conditions,
    with_plans,
)
from .. import compat
from ..edit.inputs import source_audio
from ..host.networks import NETWORKS
from ..render.latents import sample_counts, song_latents
from ..wires import AceBlueprint, AceConditioningWire, AceVaeWire


def recording_inputs() -> list[Any]:
    return [
        io.Latent.Input(
            "latent", optional=True, tooltip="The songs from Sample; nothing has to be decoded. Or connect audio."
        ),
        AceConditioningWire.Input(
            "conditioning",
            optional=True,
            tooltip="From Encode, used to sample the songs; saves encoding the blueprint again.",
        ),
        io.Audio.Input(
            "audio", optional=True, tooltip="The songs as audio, 1 to 600 s, from any source; needs vae too."
        ),
        AceVaeWire.Input("vae", optional=True, tooltip="From Load Models; needed for audio."),
    ]


def steps_input() -> Any:
    return compat.advanced(
        io.Int.Input(
            "steps",
            default=0,
            min=0,
            max=200,
            optional=True,
            tooltip="Steps the song was sampled with. Timing is read at the noise level of the last step. 0: "
            "8 for turbo, 50 for base and sft.",
        )
    )


def recordings(latent: dict[str, Any] | None, audio: Mapping[str, Any] | None, vae: AceVae | None) -> list[Recording]:
    """The songs of a LATENT or of an AUDIO.

    Raises:
        ValueError: both or neither, audio without a VAE, or audio that `source_audio` refuses.
    """
    if (latent is None) == (audio is None):
        what = "neither is" if latent is None else "both are"
        raise ValueError(f"connect the songs as latent or as audio: {what} connected")
    if latent is not None:
        return [Recording(*item) for item in zip(song_latents(latent), sample_counts(latent), strict=True)]
    if vae is None:
        raise ValueError("the songs come as audio: connect vae too, from Load Models")
    return recordings_of_waveforms(NETWORKS, vae, source_audio(audio))


def finished_songs(
    model: AceModel,
    text_encoder: AceTextEncoder,
    songs: Sequence[Recording],
    conditioning: AceConditioning | None,
    blueprint: AceBlueprint | None,
) -> list[FinishedSong]:
    """Recordings with the conditions they are heard with, connected or made from a blueprint.

    Raises:
        ValueError: neither conditioning nor blueprint, or neither one nor as many as recordings.
    """
    if conditioning is not None:
        return with_conditions(songs, conditioning.songs)
    if blueprint is None:
        raise ValueError("connect what the songs were to be: the conditioning they were sampled with, or a blueprint")
    return with_plans(NETWORKS, model, text_encoder, songs, blueprint)
