"""Pick Stem and Mix: single stems out of what was extracted, and stems back into a mix."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from comfy_api.v0_0_2 import io
from torch import Tensor

from ...ace_core.audio.downmix import downmixed
from ...ace_core.audio.mixing import Channel, lowered_to_full_scale, mix
from ...ace_core.audio.waveform import SAMPLE_RATE, resample, to_stereo, validate_waveform
from ...ace_core.checks import spread
from ...ace_core.song_files.encoding import Sound
from ...ace_core.tasks.stems import stem_index
from .. import compat
from ..node import CATEGORY, shown
from ..takes import heard_files, takes
from ..wires import AceTask, AceTaskWire
from .inputs import TRACK_CHOICES

MIXER_CHANNELS = 4


class AceComposerPickStem(io.ComfyNode):
    @classmethod
    def define_schema(cls) -> io.Schema:
        return compat.Schema(
            node_id="AceComposerPickStem",
            display_name="ACE-Step Pick Stem",
            category=f"{CATEGORY}/edit",
            description="Pick one stem from the batch that Extract or Lego made.",
            search_aliases=["split batch", "stem", "select track"],
            inputs=[
                io.Audio.Input("audio", tooltip="The audio that Decode made with the task."),
                AceTaskWire.Input("task", tooltip="From Extract: says which item of the batch is which track."),
                io.Combo.Input("track", options=list(TRACK_CHOICES), default="vocals", tooltip="The stem to pick."),
                io.Int.Input(
                    "item",
                    default=1,
                    min=1,
                    max=4096,
                    tooltip="Which recording of the batch, starting at 1.",
                ),
            ],
            outputs=[io.Audio.Output("stem", display_name="audio", tooltip="The stem, as long as the mix.")],
        )

    @classmethod
    def execute(cls, audio: Mapping[str, Any], task: AceTask, track: str, item: int) -> io.NodeOutput:
        tasks = spread(task.songs, len(audio["waveform"]), "tasks")
        index = stem_index(tasks, track, item)
        sounds = [Sound(waveform, audio["sample_rate"]) for waveform in audio["waveform"]]
        names = [", ".join(song.tracks) for song in tasks]
        return io.NodeOutput(
            {**audio, "waveform": audio["waveform"][index : index + 1]},
            ui=takes(sounds, heard_files(sounds), names=names, picked=[index]),
        )


class AceComposerMix(io.ComfyNode):
    @classmethod
    def define_schema(cls) -> io.Schema:
        return compat.Schema(
            node_id="AceComposerMix",
            display_name="ACE-Step Mix",
            category=f"{CATEGORY}/edit",
            description="Mix stems that start together. A mix that would clip is lowered to full scale, and the "
            "node shows by how many dB.",
            search_aliases=["mixer", "sum", "merge audio", "gain", "pan"],
            inputs=[
                io.Audio.Input("audio_1", tooltip="A stem. Any sample rate, mono or stereo; resampled to 48 kHz."),
                *(widget for channel in range(1, MIXER_CHANNELS + 1) for widget in _channel_inputs(channel)),
                *(
                    io.Audio.Input(f"audio_{channel}", optional=True, tooltip="A further stem.")
                    for channel in range(2, MIXER_CHANNELS + 1)
                ),
                io.Boolean.Input(
                    "downmix",
                    default=False,
                    optional=True,
                    tooltip="Take surround too, and make stereo of it: centre and surrounds at -3 dB, no LFE. Off: "
                    "surround is refused.",
                ),
            ],
            outputs=[
                io.Audio.Output("audio", display_name="audio", tooltip="48 kHz stereo, as long as the longest stem.")
            ],
            hidden=[io.Hidden.unique_id],
        )

    @classmethod
    def execute(cls, **inputs: Any) -> io.NodeOutput:
        numbers = [number for number in range(1, MIXER_CHANNELS + 1) if f"audio_{number}" in inputs]
        given = [
            _waveform(f"audio_{number}", inputs[f"audio_{number}"], inputs.get("downmix", False)) for number in numbers
        ]
        stems, notes = [stem for stem, _ in given], [note for _, note in given if note]
        channels = [Channel(*(inputs[f"{name}_{number}"] for name in ("gain_db", "pan", "mute"))) for number in numbers]
        mixed, lowered = lowered_to_full_scale(mix(stems, channels))
        return shown("\n".join((*_levels(lowered), *notes)), {"waveform": mixed, "sample_rate": SAMPLE_RATE})


def _levels(lowered: Sequence[float]) -> Iterator[str]:
    """What was done to the level of each item."""
    for item, decibels in enumerate(lowered, 1):
        yield f"item {item}: lowered by {decibels:.1f} dB to full scale" if decibels else f"item {item}: level kept"


def _channel_inputs(number: int) -> list[Any]:
    return [
        io.Float.Input(
            f"gain_db_{number}",
            default=0.0,
            min=-60.0,
            max=24.0,
            step=0.1,
            tooltip=f"Level of stem {number} in dB; 0 keeps it.",
        ),
        io.Float.Input(
            f"pan_{number}",
            default=0.0,
            min=-1.0,
            max=1.0,
            step=0.01,
            tooltip=f"Balance of stem {number}: -1 left, 0 unchanged, 1 right.",
        ),
        io.Boolean.Input(f"mute_{number}", default=False, tooltip=f"Mute stem {number}."),
    ]


def _waveform(name: str, audio: Mapping[str, Any] | None, downmix: bool) -> tuple[Tensor, str]:
    """A stem [B, 2, N] at 48 kHz, which may be silent; and a sentence if it was surround.

    Raises:
        ValueError: no audio, or surround without `downmix`.
    """
    rate = SAMPLE_RATE if audio is None else audio["sample_rate"]
    waveform = validate_waveform(None if audio is None else audio["waveform"], rate)
    channels = waveform.shape[1]
    if channels > 2 and not downmix:
        raise ValueError(f"{name} must be mono or stereo, got {channels} channels: switch downmix on")
    try:
        stereo = to_stereo(downmixed(waveform))
    except ValueError as error:
        raise ValueError(f"{name} {error}") from error
    return resample(stereo, rate), f"{name}: {channels} channels are mixed down to stereo" if channels > 2 else ""
