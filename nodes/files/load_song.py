"""Load Song: a song that Save Song wrote, and what Sample needs to render it again.

The last choice is a song that comes with the pack, so that the editing nodes have something to work on. It lies where
the page can play it (`js/audio_player.js`).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict

from comfy_api.v0_0_2 import io

from ...ace_core.loaded import AceModel, AcePlanner, AceTextEncoder, AceVae
from ...ace_core.sampling.options import SamplerOptions
from ...ace_core.song_files.encoding import SONG_SUFFIXES, read_sound
from ...ace_core.song_files.files import read_record
from ...ace_core.song_files.record import SongRecord
from ...ace_core.song_files.replay import codes_strength, plan_of, sources_left_out
from ...ace_core.song_files.stars import read_star
from .. import compat
from ..host import folders, results
from ..karaoke import karaoke, lines_of_lrc
from ..load.hashes import model_hashes, model_inputs
from ..node import CATEGORY, shown
from ..song_page import SAMPLE, song_path
from ..wires import AceBlueprintWire, AceRecordWire

SHOWN_CHARACTERS = 100


class AceComposerLoadSong(io.ComfyNode):
    @classmethod
    def define_schema(cls) -> io.Schema:
        return compat.Schema(
            node_id="AceComposerLoadSong",
            display_name="ACE-Step Load Song",
            category=f"{CATEGORY}/files",
            description="Load a song that Save Song wrote, with its plan and settings, to render it again "
            "exactly or to continue from it.",
            search_aliases=["import", "replay", "reproduce", "metadata", "restore"],
            inputs=[
                io.Combo.Input(
                    "audio",
                    options=[*folders.user_files(SONG_SUFFIXES), SAMPLE],
                    upload=io.UploadType.audio,
                    tooltip="A song file in the input folder, or one that Save Song wrote to the output folder. You "
                    f"can drop a file on the node. {SAMPLE}: a short song that comes with the pack.",
                ),
                *model_inputs("From its loader: the node checks whether these are the weights of the song."),
            ],
            outputs=[
                AceBlueprintWire.Output(
                    "ace_blueprint", display_name="blueprint", tooltip="The plan with its audio codes."
                ),
                io.Audio.Output("audio_out", display_name="audio", tooltip="The song as it sounds in the file."),
                AceRecordWire.Output(
                    "ace_record", display_name="replay", tooltip="Seed and settings, for the replay input of Sample."
                ),
                io.Float.Output(
                    "codes_strength_out",
                    display_name="codes_strength",
                    tooltip="For Encode; 1 if the song has no codes.",
                ),
                io.String.Output(
                    "lrc_out", display_name="lrc", tooltip="Lyrics with times; empty if the file has none."
                ),
                io.String.Output(
                    "text", display_name="text", tooltip="Caption, seed, settings, scores and models of the song."
                ),
            ],
            hidden=[io.Hidden.unique_id],
        )

    @classmethod
    def validate_inputs(cls, audio: str | None) -> bool | str:
        """A file may be newer than the list in the page."""
        try:
            if audio is not None:
                song_path(audio)
        except FileNotFoundError as error:
            return str(error)
        return True

    @classmethod
    def fingerprint_inputs(cls, audio: str, **_: object) -> tuple[str, int, int]:
        path = song_path(audio)
        return audio, path.stat().st_size, path.stat().st_mtime_ns

    @classmethod
    def execute(
        cls,
        audio: str,
        model: AceModel | None = None,
        text_encoder: AceTextEncoder | None = None,
        vae: AceVae | None = None,
        planner: AcePlanner | None = None,
    ) -> io.NodeOutput:
        path = song_path(audio)
        record = read_record(path)
        sound = read_sound(path)
        hashes, notes = model_hashes(model, text_encoder, vae, planner)
        star = ["It has a star."] if read_star(path) else []
        text = "\n".join((*_summary(record), *star, *_model_lines(record, hashes), *notes))
        return shown(
            text,
            (plan_of(record),),
            {"waveform": sound.waveform[None], "sample_rate": sound.sample_rate},
            record,
            codes_strength(record),
            record.lrc,
            text,
            **karaoke([lines_of_lrc(record.lrc, sound.waveform.shape[-1] / sound.sample_rate)], [_heard_file(audio)]),
        )


def _heard_file(audio: str) -> dict[str, str] | None:
    return None if audio == SAMPLE else results.file_of_choice(audio)


def _summary(record: SongRecord) -> list[str]:
    plan = record.blueprint
    caption = " ".join((plan.caption or plan.rewritten_caption or "no caption").split())
    usual = asdict(SamplerOptions())
    settings = {name: value for name, value in record.settings.items() if value != usual.get(name, "")}
    lines = [caption if len(caption) <= SHOWN_CHARACTERS else f"{caption[:SHOWN_CHARACTERS]}..."]
    lines += [
        ", ".join(f"{name} {value}" for name, value in values.items()) + "."
        for values in ({f"{name} seed": seed for name, seed in record.seeds.items()}, settings)
        if values
    ]
    if not record.settings:
        lines.append("The file does not say how it was rendered: no replay is possible.")
    if record.scores:
        lines.append("Scores: " + ", ".join(f"{name} {value:.2f}" for name, value in record.scores.items()) + ".")
    left_out = sources_left_out(record)
    return [*lines, left_out] if left_out else lines


def _model_lines(record: SongRecord, hashes: Mapping[str, str]) -> list[str]:
    """Which of the connected weights are those of the record, and which of the record's are not connected."""
    if not hashes:
        return []
    if not record.models:
        return ["The file does not name its weights: the connected ones cannot be compared."]
    recorded, connected = set(record.models.values()), set(hashes.values())
    other = [name for name, digest in hashes.items() if digest not in recorded]
    missing = [name for name, digest in record.models.items() if digest not in connected]
    lines = [f"{len(hashes) - len(other)} of {len(hashes)} connected weight files are the song's."]
    if other:
        lines.append(f"Not the song's: {', '.join(other)}.")
    if missing:
        lines.append(f"The song's, not connected: {', '.join(missing)}.")
    return lines
