"""Audio to Codes and Understand: from a recording to its codes, and to a blueprint that describes it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from comfy_api.v0_0_2 import io, ui
from torch import Tensor

from ...ace_core.audio.waveform import CODE_RATE, MAX_DURATION_SECONDS, MIN_DURATION_SECONDS
from ...ace_core.planner.writing import UNDERSTAND_PARAMETERS, understand
from ...ace_core.render.audio_codes import encode_audio_codes
from ...ace_core.sampling.noise import item_seeds
from ...ace_core.song.blueprint import Blueprint, with_user_values
from .. import compat
from ..host import feedback, networks
from ..edit.inputs import encoded, heard, one_for_each
from ..wires import (
    AceBlueprint,
    AceBlueprintWire,
    AceModel,
    AceModelWire,
    AcePlanner,
    AcePlannerWire,
    AceVae,
    AceVaeWire,
)
from .inputs import loaded, planned_output, sampling_inputs, seed_input

ANSWER_TOKENS = 2560  # facts and the longest lyrics, for the estimate of the cache


def codes_of_audio(model: AceModel, vae: AceVae, audio: Mapping[str, Any] | None) -> list[tuple[int, ...]]:
    """Audio codes of each item of an AUDIO.

    Raises:
        ValueError: no audio, broken or silent audio, longer than 600 s, or a model without audio tokenizer.
    """
    check_hears(model)
    return codes_of_latents(model, encoded(vae, heard(audio)))


def check_hears(model: AceModel) -> None:
    """Refuse a model that has no audio tokenizer.

    Raises:
        ValueError: it was converted without.
    """
    if model.audio_tokenizer is None:
        raise ValueError(f"{model.name} was converted without its audio tokenizer: use another file of this model")


def codes_of_latents(model: AceModel, latents: Tensor) -> list[tuple[int, ...]]:
    """Audio codes of each item of latents [B, T, 64], with a model that `check_hears` lets pass."""
    network, device = networks.load(model.audio_tokenizer)
    attention = networks.attention(device)
    return [
        encode_audio_codes(network, item, model.silence, device=device, dtype=model.dtype, attention=attention)
        for item in latents
    ]


class AceComposerAudioToCodes(io.ComfyNode):
    @classmethod
    def define_schema(cls) -> io.Schema:
        return compat.Schema(
            node_id="AceComposerAudioToCodes",
            display_name="ACE-Step Audio to Codes",
            category="audio/ACE Composer",
            description="Turn audio into audio codes, 5 a second, and put them into a blueprint to render from.",
            search_aliases=["tokenize audio", "semantic codes"],
            inputs=[
                AceModelWire.Input("model", tooltip="From Load Models: its audio tokenizer makes the codes."),
                AceVaeWire.Input("vae", tooltip="From Load Models."),
                io.Audio.Input("audio", tooltip="Any sample rate, mono or stereo, up to 600 s."),
                AceBlueprintWire.Input(
                    "blueprint",
                    optional=True,
                    tooltip="The song to give the codes to; its duration becomes the audio's.",
                ),
            ],
            outputs=[
                AceBlueprintWire.Output("ace_blueprint", display_name="blueprint"),
                io.String.Output("codes", display_name="codes", tooltip="The codes as text, one line a song."),
            ],
            hidden=[io.Hidden.unique_id],
        )

    @classmethod
    def execute(
        cls, model: AceModel, vae: AceVae, audio: Mapping[str, Any] | None, blueprint: AceBlueprint | None = None
    ) -> io.NodeOutput:
        codes = codes_of_audio(model, vae, audio)
        songs = blueprint or (Blueprint(),)
        results = tuple(
            with_user_values(song, audio_codes=item, duration_seconds=_legal_seconds(len(item)))
            for song, item in zip(one_for_each(songs, len(codes), "blueprints"), codes, strict=True)
        )
        text = "\n".join("".join(f"<|audio_code_{code}|>" for code in item) for item in codes)
        summary = "\n".join(f"{len(item)} codes, {len(item) / CODE_RATE:g} s" for item in codes)
        feedback.show_text(cls.hidden.unique_id, summary)
        return io.NodeOutput(results, text, ui=ui.PreviewText(summary))


class AceComposerUnderstand(io.ComfyNode):
    @classmethod
    def define_schema(cls) -> io.Schema:
        return compat.Schema(
            node_id="AceComposerUnderstand",
            display_name="ACE-Step Understand",
            category="audio/ACE Composer",
            description="Listen to audio: caption, lyrics, bpm, key, time signature and language, as a blueprint.",
            search_aliases=["transcribe", "caption audio", "bpm", "key detection", "describe"],
            inputs=[
                AcePlannerWire.Input("planner", tooltip="From Load Planner."),
                AceModelWire.Input("model", tooltip="From Load Models: its audio tokenizer hears the audio."),
                AceVaeWire.Input("vae", tooltip="From Load Models."),
                io.Audio.Input("audio", tooltip="Any sample rate, mono or stereo, up to 600 s."),
                seed_input(),
                io.Boolean.Input(
                    "keep_codes",
                    default=False,
                    tooltip="Put the audio's codes into the blueprint, so that a render follows the audio.",
                ),
                *sampling_inputs(UNDERSTAND_PARAMETERS),
            ],
            outputs=[
                AceBlueprintWire.Output("ace_blueprint", display_name="blueprint"),
                io.String.Output("text", display_name="text", tooltip="The description in words."),
            ],
            hidden=[io.Hidden.unique_id],
        )

    @classmethod
    def execute(
        cls,
        planner: AcePlanner,
        model: AceModel,
        vae: AceVae,
        audio: Mapping[str, Any] | None,
        seed: int,
        keep_codes: bool,
        **sampling: Any,
    ) -> io.NodeOutput:
        codes = codes_of_audio(model, vae, audio)
        longest = max(len(item) for item in codes)
        described = understand(
            loaded(planner, songs=len(codes), tokens=longest + ANSWER_TOKENS),
            codes,
            item_seeds(seed, len(codes)),
            replace(UNDERSTAND_PARAMETERS, **sampling),
            on_progress=feedback.progress(),
        )
        if keep_codes:
            songs = tuple(
                with_user_values(song, audio_codes=item) for song, item in zip(described.blueprints, codes, strict=True)
            )
            described = described._replace(blueprints=songs)
        return planned_output(described, cls.hidden.unique_id)


def _legal_seconds(codes: int) -> float:
    return min(max(codes / CODE_RATE, MIN_DURATION_SECONDS), MAX_DURATION_SECONDS)
