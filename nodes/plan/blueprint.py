"""Blueprint: the plan of a song, field by field."""

from __future__ import annotations

from typing import Any

from comfy_api.v0_0_2 import io

from ...ace_core.song.blueprint import Blueprint
from ...ace_core.song.fields import ASCII_KEYS, INSTRUMENTAL_LYRICS, TIME_SIGNATURES
from ...ace_core.song.languages import LANGUAGES
from ...ace_core.song.lyric_reader import ReadLyrics, lyrics_in_text
from .. import compat
from ..node import CATEGORY, shown
from ..wires import AceBlueprintWire

AUTO = "auto"


class AceComposerBlueprint(io.ComfyNode):
    @classmethod
    def define_schema(cls) -> io.Schema:
        return compat.Schema(
            node_id="AceComposerBlueprint",
            display_name="ACE-Step Blueprint",
            category=f"{CATEGORY}/plan",
            description="The plan of a song: style, lyrics, tempo, key, time signature and length. Every field "
            "can be left open (auto).",
            search_aliases=["lyrics", "song", "caption", "tags", "prompt"],
            inputs=[
                io.String.Input(
                    "caption",
                    multiline=True,
                    dynamic_prompts=False,
                    placeholder="upbeat synth-pop, female vocal, bright analog synths, four-on-the-floor drums",
                    tooltip="Style, instruments, mood and voice in words, at most 256 tokens. Tempo and key have "
                    "their own fields.",
                ),
                io.String.Input(
                    "lyrics",
                    multiline=True,
                    dynamic_prompts=False,
                    placeholder="[Verse]\nCity lights are calling...\n\n[Chorus]\n...",
                    tooltip="Words to sing, with tags such as [Verse], [Chorus - anthemic] or [Guitar Solo] above "
                    "each part; at most 2048 tokens. Empty: instrumental.",
                ),
                io.Boolean.Input("instrumental", default=False, tooltip="No vocals: the lyrics above are not used."),
                io.Combo.Input(
                    "language",
                    options=[AUTO, *LANGUAGES],
                    default=AUTO,
                    tooltip="Language of the vocals. auto: the planner decides, or the model follows the lyrics.",
                ),
                io.Int.Input(
                    "bpm",
                    default=0,
                    min=0,
                    max=300,
                    tooltip="Tempo in beats per minute, 30 to 300. 0: the planner or the model decides.",
                ),
                io.Combo.Input(
                    "key",
                    options=[AUTO, *ASCII_KEYS],
                    default=AUTO,
                    tooltip="Musical key, e.g. A minor. auto: the planner or the model decides.",
                ),
                io.Combo.Input(
                    "time_signature",
                    options=[AUTO, *TIME_SIGNATURES.values()],
                    default=AUTO,
                    tooltip="Beats in a bar. auto: the planner or the model decides.",
                ),
                io.Float.Input(
                    "duration_seconds",
                    default=0.0,
                    min=0.0,
                    max=600.0,
                    step=0.1,
                    tooltip="Length in seconds, 10 to 600. 0: the planner decides; without one, 120 s.",
                ),
            ],
            outputs=[AceBlueprintWire.Output("ace_blueprint", display_name="blueprint", tooltip="The song plan.")],
            hidden=[io.Hidden.unique_id],
        )

    @classmethod
    def validate_inputs(
        cls,
        language: str | None,
        bpm: int | None,
        key: str | None,
        time_signature: Any,
        duration_seconds: float | None,
    ) -> bool | str:
        """Accept every spelling the blueprint understands, not only the listed one; None is a linked value."""
        try:
            Blueprint(
                language=language,
                bpm=bpm or None,
                key=key,
                time_signature=time_signature,
                duration_seconds=duration_seconds or None,
            )
        except ValueError as error:
            return str(error)
        return True

    @classmethod
    def execute(
        cls, lyrics: str, instrumental: bool, bpm: int, duration_seconds: float, **fields: Any
    ) -> io.NodeOutput:
        unused = ("nobody sings the lyrics: instrumental is on",) if lyrics.strip() else ()
        words, notes, _ = ReadLyrics(INSTRUMENTAL_LYRICS, unused) if instrumental else lyrics_in_text(lyrics)
        blueprint = Blueprint(lyrics=words, bpm=bpm or None, duration_seconds=duration_seconds or None, **fields)
        return shown("\n".join(notes), (blueprint,))
