"""Audio Facts: what can be measured in a recording, beside what its plan asked for."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import torch
from comfy_api.v0_0_2 import io, ui

from ...ace_core.analysis.audio_facts import (
    AudioFacts,
    Comparison,
    compare_with_plan,
    describe_facts,
    facts_json,
    measure_audio,
)
from ...ace_core.analysis.pictures import spectrogram_picture, waveform_picture
from ...ace_core.audio.waveform import SAMPLE_RATE, validate_waveform
from ...ace_core.checks import spread
from ...ace_core.song.blueprint import Blueprint
from .. import compat
from ..host import feedback
from ..node import CATEGORY, shown
from ..wires import AceBlueprint, AceBlueprintWire


class AceComposerAudioFacts(io.ComfyNode):
    @classmethod
    def define_schema(cls) -> io.Schema:
        return compat.Schema(
            node_id="AceComposerAudioFacts",
            display_name="ACE-Step Audio Facts",
            category=f"{CATEGORY}/review",
            description="Measure audio: duration, loudness, true peak, tempo and key, compared with the "
            "blueprint, with pictures of spectrogram and waveform. Needs no model.",
            search_aliases=["lufs", "loudness", "bpm", "key", "spectrogram", "waveform", "analyze audio"],
            inputs=[
                io.Audio.Input("audio", tooltip="Any sample rate, mono or stereo, any length."),
                AceBlueprintWire.Input(
                    "blueprint", optional=True, tooltip="The plan to compare with: one for all songs, or one for each."
                ),
            ],
            outputs=[
                io.String.Output("text", display_name="text", tooltip="The text shown on the node."),
                io.Image.Output(
                    "spectrogram", display_name="spectrogram", tooltip="Spectrogram up to 16 kHz, one for each song."
                ),
                io.Image.Output("waveform", display_name="waveform", tooltip="Waveform, one lane for each channel."),
                io.String.Output("json", display_name="json", tooltip="All measurements, for programs."),
            ],
            is_output_node=True,
            hidden=[io.Hidden.unique_id],
        )

    @classmethod
    def execute(cls, audio: Mapping[str, Any] | None, blueprint: AceBlueprint | None = None) -> io.NodeOutput:
        rate = SAMPLE_RATE if audio is None else audio["sample_rate"]
        waveforms = validate_waveform(None if audio is None else audio["waveform"], rate)
        facts = measure_audio(waveforms, rate, on_progress=feedback.progress())
        plans = spread(blueprint or (Blueprint(),), len(facts), "blueprints")
        measured = [(song, compare_with_plan(song, plan)) for song, plan in zip(facts, plans, strict=True)]
        text = "\n".join(line for number, song in enumerate(measured, 1) for line in _lines(f"song {number}", *song))
        spectrogram = torch.stack([spectrogram_picture(item, rate) for item in waveforms])
        waveform = torch.stack([waveform_picture(item) for item in waveforms])
        pictures = torch.stack((spectrogram, waveform), dim=1).flatten(0, 1)
        preview = ui.PreviewImage(pictures, cls=cls).as_dict()
        return shown(text, text, spectrogram, waveform, facts_json(measured), **preview)


def _lines(name: str, facts: AudioFacts, plan: Sequence[Comparison]) -> Iterator[str]:
    yield f"{name}: {describe_facts(facts)}"
    for item in plan:
        yield f"{name}: {item.field} asked {item.asked}, measured {item.measured or '-'}: {item.verdict}"
