"""Lyric Timing: when each line of a finished song is sung, as LRC, subtitles and JSON.

Trap: several songs leave through one text output, which is one text. A form feed stands between them; JSON is a list.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Any, get_args

from comfy_api.v0_0_2 import io

from ...ace_core.checks import check_choice
from ...ace_core.listening.line_offsets import (
    LineOffset,
    in_sung_order,
    offsets_of_song,
    offsets_without_a_line,
    read_line_offsets,
    with_line_offsets,
)
from ...ace_core.listening.lyric_alignment import AlignedLyrics
from ...ace_core.listening.lyric_formats import enhanced_lrc, lrc, srt, timed_json, webvtt
from ...ace_core.listening.timed_lyrics import Granularity, TimedLyrics, without_tags
from ...ace_core.loaded import AceModel, AceTextEncoder, AceVae
from ...ace_core.stages.encode import AceConditioning
from ...ace_core.stages.listen import time_songs
from .. import compat
from ..host import results
from ..host.networks import NETWORKS
from ..karaoke import karaoke, lines_of_timing
from ..node import CATEGORY, filename_input, shown
from ..render.decoded import decoded_songs
from ..takes import heard_files
from ..wires import SONG_SEPARATOR, AceBlueprint, AceBlueprintWire, AceModelWire, AceTextEncoderWire
from .inputs import finished_songs, recording_inputs, recordings, steps_input

FORMATS = {"lrc": ".lrc", "enhanced lrc": ".words.lrc", "srt": ".srt", "webvtt": ".vtt", "json": ".json"}
ALL, NOTHING = "all", "nothing"


class AceComposerLyricTiming(io.ComfyNode):
    @classmethod
    def define_schema(cls) -> io.Schema:
        return compat.Schema(
            node_id="AceComposerLyricTiming",
            display_name="ACE-Step Lyric Timing",
            category=f"{CATEGORY}/review",
            description="Find when each line of the lyrics is sung: LRC for players, subtitles for videos, JSON "
            "for programs. Works on sampled songs and on any recording whose lyrics are known.",
            search_aliases=["lrc", "karaoke", "subtitles", "srt", "webvtt", "alignment", "synced lyrics"],
            inputs=[
                AceModelWire.Input("model", tooltip="From Load Models; its attention finds the words."),
                AceTextEncoderWire.Input("text_encoder", tooltip="From Load Models."),
                io.Boolean.Input(
                    "structure_tags",
                    default=False,
                    tooltip="Keep lines such as [Verse] and [Chorus], with the time they begin.",
                ),
                io.Combo.Input(
                    "parts",
                    options=list(get_args(Granularity)),
                    default="word",
                    tooltip="What gets its own time in enhanced LRC: each word, or each token of the model.",
                ),
                io.Combo.Input(
                    "save",
                    options=[ALL, *FORMATS, NOTHING],
                    default="lrc",
                    tooltip="Which files to write to the output folder. The outputs always have all formats.",
                ),
                filename_input("lyrics/ace_composer"),
                *recording_inputs(),
                AceBlueprintWire.Input(
                    "blueprint",
                    optional=True,
                    tooltip="Lyrics and caption of the songs, if no conditioning is connected; one, or one for each "
                    "song.",
                ),
                steps_input(),
                compat.advanced(
                    io.String.Input(
                        "line_offsets",
                        default="",
                        optional=True,
                        tooltip="Lines to move, by their numbers and in seconds: 3 +0.25 has the third line sung a "
                        "quarter second later, 2/5 -0.1 the fifth line of the second song earlier. Structure tags are "
                        "not counted. The buttons of the lyrics on this node write it.",
                    )
                ),
            ],
            outputs=[
                io.String.Output("lrc", display_name="lrc", tooltip="A time for each line."),
                io.String.Output("enhanced_lrc", display_name="enhanced_lrc", tooltip="A time for each word too."),
                io.String.Output("srt", display_name="srt", tooltip="SubRip subtitles."),
                io.String.Output("webvtt", display_name="webvtt", tooltip="WebVTT subtitles."),
                io.String.Output(
                    "json", display_name="json", tooltip="A list of songs: lines, words and tokens, in seconds."
                ),
            ],
            is_output_node=True,
            hidden=[io.Hidden.unique_id],
        )

    @classmethod
    def validate_inputs(cls, line_offsets: str | None = "") -> bool | str:
        """None is a linked value."""
        try:
            read_line_offsets(line_offsets or "")
        except ValueError as error:
            return str(error)
        return True

    @classmethod
    def execute(
        cls,
        model: AceModel,
        text_encoder: AceTextEncoder,
        structure_tags: bool,
        parts: Granularity,
        save: str,
        filename_prefix: str,
        latent: dict[str, Any] | None = None,
        conditioning: AceConditioning | None = None,
        audio: Mapping[str, Any] | None = None,
        vae: AceVae | None = None,
        blueprint: AceBlueprint | None = None,
        steps: int = 0,
        line_offsets: str = "",
    ) -> io.NodeOutput:
        check_choice("parts", parts, get_args(Granularity))
        check_choice("save", save, (ALL, *FORMATS, NOTHING))
        offsets = read_line_offsets(line_offsets)
        songs = finished_songs(model, text_encoder, recordings(latent, audio, vae), conditioning, blueprint)
        aligned = time_songs(NETWORKS, model, text_encoder, songs, steps)
        found = [song.timed if structure_tags else without_tags(song.timed) for song in aligned]
        timed = [
            in_sung_order(with_line_offsets(song, offsets_of_song(offsets, number)))
            for number, song in enumerate(found, 1)
        ]
        texts = [_texts(song, parts) for song in timed]
        prefix, notes = results.name_of(filename_prefix, cls.hidden)
        sung = [song for song, lyrics in zip(texts, timed, strict=True) if lyrics.lines]
        files = [] if save == NOTHING else [file for song in sung for file in _saved(song, save, prefix)]
        lines = [_lines(song, lyrics) for song, lyrics in zip(aligned, timed, strict=True)]
        places = ["/".join(filter(None, ("output", file["subfolder"], file["filename"]))) for file in files]
        if save != NOTHING and len(sung) < len(texts):
            places.append("a song without lines gets no files")
        told = (*places, *(notes if files else ()), *_unused(offsets_without_a_line(offsets, found)))
        summary = "\n\n".join([*lines, "\n".join(told)]).strip()
        joined = [SONG_SEPARATOR.join(song[name] for song in texts) for name in list(FORMATS)[:-1]]
        document = json.dumps([json.loads(song["json"]) for song in texts], ensure_ascii=False, indent=1) + "\n"
        heard = [None] * len(found) if audio is None else heard_files(decoded_songs(audio, None)[0])
        return shown(summary, *joined, document, files=files, **karaoke(list(map(lines_of_timing, found)), heard))


def _texts(lyrics: TimedLyrics, parts: Granularity) -> dict[str, str]:
    return {
        "lrc": lrc(lyrics),
        "enhanced lrc": enhanced_lrc(lyrics, parts),
        "srt": srt(lyrics),
        "webvtt": webvtt(lyrics),
        "json": timed_json(lyrics),
    }


def _saved(texts: Mapping[str, str], save: str, prefix: str) -> list[dict[str, str]]:
    names = list(FORMATS) if save == ALL else [save]
    return results.save_texts(prefix, {FORMATS[name]: texts[name] for name in names})


def _unused(offsets: Sequence[LineOffset]) -> list[str]:
    if not offsets:
        return []
    names = ", ".join(f"{offset.song}/{offset.line}" if offset.song else str(offset.line) for offset in offsets)
    return [f"line_offsets: there is no line {names} to move"]


def _lines(song: AlignedLyrics, lyrics: TimedLyrics) -> str:
    """The lines with their times, and how well the song follows them."""
    if song.score is None:
        return "there are no words to sing in these lyrics"
    score = song.score
    return (
        f"{lrc(lyrics)}alignment {score.score:.3f} (coverage {score.coverage:.2f}, monotonicity "
        f"{score.monotonicity:.2f}, confidence {score.confidence:.2f})"
    )
