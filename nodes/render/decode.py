"""Decode: latents to 48 kHz stereo."""

from __future__ import annotations

from typing import Any

from comfy_api.v0_0_2 import io

from ...ace_core.audio.waveform import SAMPLE_RATE
from ...ace_core.loaded import AceVae
from ...ace_core.stages.decode import decode_songs, finish_songs, splices_of
from ...ace_core.tasks.song_task import SongTask, task_summary
from .. import compat
from ..host.networks import NETWORKS
from ..node import CATEGORY, shown
from ..wires import AceTask, AceTaskWire, AceVaeWire
from .latents import sample_counts, song_latents


class AceComposerDecode(io.ComfyNode):
    @classmethod
    def define_schema(cls) -> io.Schema:
        return compat.Schema(
            node_id="AceComposerDecode",
            display_name="ACE-Step Decode",
            category=f"{CATEGORY}/render",
            description="Decode latents to 48 kHz stereo audio, in tiles when memory is short.",
            search_aliases=["vae decode", "audio"],
            inputs=[
                AceVaeWire.Input("vae", tooltip="From Load Models."),
                io.Latent.Input("latent", tooltip="From Sample, or any ACE-Step 1.5 latents [batch, 64, frames]."),
                io.Boolean.Input(
                    "normalize",
                    default=True,
                    tooltip="Scale each song to a peak of -1 dBFS, as the official program does. Off: only a song "
                    "that would clip is scaled down, to 0 dBFS.",
                ),
                compat.advanced(
                    io.Float.Input(
                        "tile_seconds",
                        default=0.0,
                        min=0.0,
                        max=600.0,
                        step=1.0,
                        optional=True,
                        tooltip="Length of a tile. 0: chosen by the free memory. Smaller tiles need less memory and "
                        "give the same sound.",
                    )
                ),
                AceTaskWire.Input(
                    "task",
                    optional=True,
                    tooltip="From Repaint or Extend, the same as on Encode: puts the new parts into the recording "
                    "and keeps its other samples.",
                ),
            ],
            outputs=[io.Audio.Output("audio", display_name="audio", tooltip="48 kHz stereo.")],
            hidden=[io.Hidden.unique_id],
        )

    @classmethod
    def execute(
        cls,
        vae: AceVae,
        latent: dict[str, Any],
        normalize: bool,
        tile_seconds: float = 0.0,
        task: AceTask | None = None,
    ) -> io.NodeOutput:
        songs, counts = song_latents(latent), sample_counts(latent)
        splices = [] if task is None else splices_of(task.songs, counts)
        waveforms = decode_songs(NETWORKS, vae, songs, counts, tile_seconds=tile_seconds)
        waveforms = finish_songs(waveforms, counts, splices=splices, normalize=normalize)
        audio = {"waveform": waveforms, "sample_rate": SAMPLE_RATE}
        return io.NodeOutput(audio) if task is None else shown(cls, _use_of_task(task.songs[0], bool(splices)), audio)


def _use_of_task(song: SongTask, spliced: bool) -> str:
    if spliced:
        return f"{task_summary(song)}: the rest is the recording, at its own level"
    return f"{song.name} keeps nothing of its source as it is: the task changes nothing here"
