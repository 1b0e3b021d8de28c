"""Preview Song: hear the songs of a batch without saving them."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from comfy_api.v0_0_2 import io

from .. import compat
from ..node import CATEGORY
from ..render.decoded import decoded_songs, one_each
from ..takes import heard_files, takes
from ..wires import AceScores, AceScoresWire


class AceComposerPreviewSong(io.ComfyNode):
    @classmethod
    def define_schema(cls) -> io.Schema:
        return compat.Schema(
            node_id="AceComposerPreviewSong",
            display_name="ACE-Step Preview Song",
            category=f"{CATEGORY}/files",
            description="Hear and compare the songs of a batch without saving them: one goes on where the other was, "
            "at the same loudness.",
            search_aliases=["preview audio", "listen", "player", "compare", "A/B", "audition"],
            inputs=[
                io.Audio.Input("audio", tooltip="From Decode or any other node."),
                io.Latent.Input("latent", optional=True, tooltip="From Sample: shows the seeds."),
                AceScoresWire.Input("scores", optional=True, tooltip="From Score: shows the scores."),
            ],
            outputs=[],
            is_output_node=True,
        )

    @classmethod
    def execute(
        cls,
        audio: Mapping[str, Any] | None,
        latent: dict[str, Any] | None = None,
        scores: AceScores | None = None,
    ) -> io.NodeOutput:
        sounds, records, _ = decoded_songs(audio, latent)
        judged = one_each(scores.songs, len(sounds), "scores") if scores else None
        return io.NodeOutput(ui=takes(sounds, heard_files(sounds), records=records, scores=judged))
