"""Audio to Codes and Understand: from a recording to its codes, and to a blueprint that describes it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from comfy_api.v0_0_2 import io

from ...ace_core.audio.waveform import CODE_RATE
from ...ace_core.checks import spread
from ...ace_core.loaded import AceModel, AcePlanner, AceVae
from ...ace_core.planner.understanding import UNDERSTAND_PARAMETERS
from ...ace_core.sampling.noise import item_seeds
from ...ace_core.song.blueprint import Blueprint, with_codes
from ...ace_core.song.fields import audio_codes_text
from ...ace_core.stages.codes import codes_of_waveforms, require_audio_tokenizer
from ...ace_core.stages.plan import understand_waveforms
from .. import compat
from ..edit.inputs import source_audio
from ..host.networks import NETWORKS
from ..node import CATEGORY, shown
from ..wires import AceBlueprint, AceBlueprintWire, AceModelWire, AcePlannerWire, AceVaeWire
from .inputs import planned_output, sampling_inputs, seed_input


class AceComposerAudioToCodes(io.ComfyNode):
    @classmethod
    def define_schema(cls) -> io.Schema:
        return compat.Schema(
            node_id="AceComposerAudioToCodes",
            display_name="ACE-Step Audio to Codes",
            category=f"{CATEGORY}/plan",
            description="Turn audio into audio codes, 5 per second, and put them into a blueprint to render from.",
            search_aliases=["tokenize audio", "semantic codes"],
            inputs=[
                AceModelWire.Input("model", tooltip="From Load Models; its audio tokenizer makes the codes."),
                AceVaeWire.Input("vae", tooltip="From Load Models."),
                io.Audio.Input("audio", tooltip="Any sample rate, mono or stereo, up to 600 s."),
                AceBlueprintWire.Input(
                    "blueprint",
                    optional=True,
                    tooltip="The song that gets the codes and the duration of the audio; its other fields stay.",
                ),
            ],
            outputs=[
                AceBlueprintWire.Output("ace_blueprint", display_name="blueprint", tooltip="The song plan."),
                io.String.Output("codes", display_name="codes", tooltip="The codes as text, one line for each song."),
            ],
            hidden=[io.Hidden.unique_id],
        )

    @classmethod
    def execute(
        cls, model: AceModel, vae: AceVae, audio: Mapping[str, Any] | None, blueprint: AceBlueprint | None = None
    ) -> io.NodeOutput:
        require_audio_tokenizer(model)
        codes = codes_of_waveforms(NETWORKS, model, vae, source_audio(audio))
        songs = spread(blueprint or (Blueprint(),), len(codes), "blueprints")
        results = tuple(with_codes(song, item) for song, item in zip(songs, codes, strict=True))
        text = "\n".join(map(audio_codes_text, codes))
        summary = "\n".join(f"{len(item)} codes, {len(item) / CODE_RATE:g} s" for item in codes)
        return shown(summary, results, text)


class AceComposerUnderstand(io.ComfyNode):
    @classmethod
    def define_schema(cls) -> io.Schema:
        return compat.Schema(
            node_id="AceComposerUnderstand",
            display_name="ACE-Step Understand",
            category=f"{CATEGORY}/plan",
            description="Describe audio as a blueprint: caption, lyrics, language, tempo, key, time signature "
            "and length.",
            search_aliases=["transcribe", "caption audio", "bpm", "key detection", "describe"],
            inputs=[
                AcePlannerWire.Input("planner", tooltip="From Load Planner."),
                AceModelWire.Input("model", tooltip="From Load Models; its audio tokenizer reads the audio."),
                AceVaeWire.Input("vae", tooltip="From Load Models."),
                io.Audio.Input("audio", tooltip="Any sample rate, mono or stereo, up to 600 s."),
                seed_input(),
                io.Boolean.Input(
                    "keep_codes",
                    default=False,
                    tooltip="Put the audio codes of the recording into the blueprint, so that a render follows it.",
                ),
                *sampling_inputs(UNDERSTAND_PARAMETERS),
            ],
            outputs=[
                AceBlueprintWire.Output("ace_blueprint", display_name="blueprint", tooltip="The song plan."),
                io.String.Output("text", display_name="text", tooltip="The description as text."),
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
        require_audio_tokenizer(model)
        waveforms = source_audio(audio)
        seeds, parameters = item_seeds(seed, len(waveforms)), replace(UNDERSTAND_PARAMETERS, **sampling)
        described = understand_waveforms(
            NETWORKS, planner, model, vae, waveforms, seeds, parameters, keep_codes=keep_codes
        )
        return planned_output(described)
