"""Save Song: songs as audio files that know how they were made."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

from comfy_api.v0_0_2 import io

from ...ace_core.checks import check_choice, spread
from ...ace_core.listening.song_scores import SongScores
from ...ace_core.loaded import AceModel, AcePlanner, AceTextEncoder, AceVae
from ...ace_core.progress import share_of_progress
from ...ace_core.song_files.encoding import ENCODINGS, Encoding, Sound
from ...ace_core.song_files.files import write_song
from ...ace_core.song_files.record import SongRecord
from ...ace_core.song_files.replay import sources_left_out
from .. import compat
from ..host import feedback, results
from ..karaoke import lines_of_lrc
from ..load.hashes import model_hashes, model_inputs
from ..node import CATEGORY, filename_input, shown
from ..render.decoded import decoded_songs, one_each
from ..takes import takes
from ..wires import SONG_SEPARATOR, AceBlueprint, AceBlueprintWire, AceScores, AceScoresWire


class AceComposerSaveSong(io.ComfyNode):
    @classmethod
    def define_schema(cls) -> io.Schema:
        return compat.Schema(
            node_id="AceComposerSaveSong",
            display_name="ACE-Step Save Song",
            category=f"{CATEGORY}/files",
            description="Save songs as audio files with all their data: title, lyrics, tempo and key for "
            "players, the workflow for ComfyUI, and plan, seed and settings for Load Song.",
            search_aliases=["save audio", "export", "flac", "mp3", "opus", "wav", "metadata", "tags", "lrc"],
            inputs=[
                io.Audio.Input(
                    "audio", tooltip="From Decode or any other node. Each song of a batch gets its own file."
                ),
                AceBlueprintWire.Input(
                    "blueprint", tooltip="The blueprint from Encode: one for all songs, or one for each."
                ),
                filename_input("songs/ace_composer"),
                io.Combo.Input(
                    "encoding",
                    options=list(ENCODINGS),
                    default=next(iter(ENCODINGS)),
                    tooltip="flac and wav are lossless. ComfyUI opens the workflow of a dropped flac, mp3 or opus "
                    "file, but not of wav and aac (m4a).",
                ),
                io.String.Input("title", default="", tooltip="Title shown by players. Empty: they show the file name."),
                io.Latent.Input(
                    "latent",
                    optional=True,
                    tooltip="From Sample: adds the seed and the settings, which Load Song needs for a replay.",
                ),
                io.String.Input(
                    "lrc",
                    optional=True,
                    force_input=True,
                    tooltip="Lyrics with times, as LRC. Several songs are separated by a form feed.",
                ),
                AceScoresWire.Input("scores", optional=True, tooltip="From Score, saved with the song."),
                *model_inputs("From its loader: its weights are recorded by hash."),
                compat.advanced(
                    io.Boolean.Input(
                        "hash_models",
                        default=True,
                        optional=True,
                        tooltip="Record the SHA-256 of the connected models' files, read once. Does nothing without "
                        "connected models.",
                    )
                ),
            ],
            outputs=[],
            is_output_node=True,
            hidden=[io.Hidden.unique_id],
        )

    @classmethod
    def execute(
        cls,
        audio: Mapping[str, Any] | None,
        blueprint: AceBlueprint,
        filename_prefix: str,
        encoding: str,
        title: str,
        latent: dict[str, Any] | None = None,
        lrc: str = "",
        scores: AceScores | None = None,
        model: AceModel | None = None,
        text_encoder: AceTextEncoder | None = None,
        vae: AceVae | None = None,
        planner: AcePlanner | None = None,
        hash_models: bool = True,
    ) -> io.NodeOutput:
        check_choice("encoding", encoding, ENCODINGS)
        sounds, records, notes = decoded_songs(audio, latent)
        hashes, hash_notes = model_hashes(model, text_encoder, vae, planner) if hash_models else ({}, [])
        judged = one_each(scores.songs, len(sounds), "scores") if scores else [None] * len(sounds)
        facts = zip(
            records,
            spread(blueprint, len(sounds), "blueprints"),
            judged,
            one_each(lrc.split(SONG_SEPARATOR), len(sounds), "timed lyrics") if lrc.strip() else [""] * len(sounds),
            strict=True,
        )
        songs = [
            replace(record, blueprint=plan, models=hashes, scores=_flat(song_scores), lrc=text.strip())
            for record, plan, song_scores, text in facts
        ]
        prefix, name_notes = results.name_of(filename_prefix, cls.hidden)
        graph = results.graph_to_save(cls.hidden)
        files, lines = _write(sounds, songs, prefix, ENCODINGS[encoding], title, graph)
        lyrics = [
            lines_of_lrc(song.lrc, sound.waveform.shape[-1] / sound.sample_rate)
            for sound, song in zip(sounds, songs, strict=True)
        ]
        return shown(
            "\n".join((*lines, *name_notes, *notes, *hash_notes)),
            audio=files,
            **takes(sounds, files, records=records, scores=judged, lyrics=lyrics),
        )


def _write(
    sounds: Sequence[Sound],
    songs: Sequence[SongRecord],
    prefix: str,
    encoding: Encoding,
    title: str,
    graph: tuple[object, object],
) -> tuple[list[dict[str, str]], list[str]]:
    """Write each song; returns the files as the page wants them, and what to say about each."""
    workflow, prompt = graph
    update = feedback.progress()
    files, lines = [], []
    for item, (sound, song) in enumerate(zip(sounds, songs, strict=True)):
        ((path, file),) = results.new_output_files(prefix, f".{encoding.container}")
        share = share_of_progress(update, item, len(songs))
        notes = write_song(
            path, sound, encoding, song, title=title, workflow=workflow, prompt=prompt, on_progress=share
        )
        files.append(file)
        lines.append("/".join(part for part in ("output", file["subfolder"], file["filename"]) if part))
        lines += filter(None, (*notes, sources_left_out(song)))
    return files, lines


def _flat(scores: SongScores | None) -> dict[str, float]:
    if scores is None:
        return {}
    return {**scores.details, **scores.parts, **({} if scores.total is None else {"total": scores.total})}
