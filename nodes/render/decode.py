"""Decode: latents to 48 kHz stereo."""

from __future__ import annotations

from typing import Any

from comfy_api.v0_0_2 import io

from ...ace_core.audio.finishing import HIGHEST_DB, LOWEST_DB, MAX_FADE_SECONDS, PEAK_DBFS, Finish
from ...ace_core.audio.splicing import Splice
from ...ace_core.audio.waveform import SAMPLE_RATE
from ...ace_core.loaded import AceVae
from ...ace_core.stages.decode import decode_songs, finish_songs, splices_of
from ...ace_core.tasks.song_task import SongTask, task_summary
from .. import changes, compat
from ..host.networks import NETWORKS
from ..node import CATEGORY, shown
from ..wires import AceTask, AceTaskWire, AceVaeWire
from .latents import TASKS, counts_fit, sample_counts, song_latents, song_tasks

KEPT = "the rest is the recording, at its own level"
COUNTS_WARNING = (
    "WARNING: another node changed the number or length of these latents, so each song is as long as the tensor"
)
CHANGED_WARNING = (
    "WARNING: these latents were made for a recording and changed since by another node, so they are decoded whole: "
    "connect the task to put them into it"
)


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
                    tooltip="From Repaint, Extend or Lego: puts the new parts into the recording and keeps its other "
                    "samples. Latents straight from Sample know their task; connect it for latents from a file.",
                ),
                compat.advanced(
                    io.Boolean.Input(
                        "splice",
                        default=True,
                        optional=True,
                        tooltip="Off: the whole song as the model rendered it, without its recording.",
                    )
                ),
                compat.advanced(
                    io.Float.Input(
                        "peak_dbfs",
                        default=PEAK_DBFS,
                        min=LOWEST_DB,
                        max=HIGHEST_DB,
                        step=0.1,
                        optional=True,
                        tooltip="Peak level for normalize, in dBFS.",
                    )
                ),
                compat.advanced(
                    io.Float.Input(
                        "loudness_lufs",
                        default=0.0,
                        min=LOWEST_DB,
                        max=HIGHEST_DB,
                        step=0.5,
                        optional=True,
                        tooltip="Bring each song to this integrated loudness instead of a peak, e.g. -14 LUFS for "
                        "streaming; its peak stays below peak_dbfs. 0: off.",
                    )
                ),
                compat.advanced(_fade_input("fade_in_seconds", "Linear fade at the beginning")),
                compat.advanced(_fade_input("fade_out_seconds", "Linear fade at the end")),
                compat.advanced(
                    io.Float.Input(
                        "latent_shift",
                        default=0.0,
                        min=-1.0,
                        max=1.0,
                        step=0.01,
                        optional=True,
                        tooltip="Added to the latents before decoding. 0: nothing. Try -0.1 for songs that clip.",
                    )
                ),
                compat.advanced(
                    io.Float.Input(
                        "latent_rescale",
                        default=1.0,
                        min=0.1,
                        max=2.0,
                        step=0.01,
                        optional=True,
                        tooltip="Factor on the latents before decoding. 1: nothing. Try 0.95 for songs that clip.",
                    )
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
        splice: bool = True,
        latent_shift: float = 0.0,
        latent_rescale: float = 1.0,
        **finish: float,
    ) -> io.NodeOutput:
        songs, counts = song_latents(latent), sample_counts(latent)
        levels = Finish(normalize, **finish)
        splices, notes = chosen_splices(latent, task, splice=splice)
        waveforms = decode_songs(
            NETWORKS,
            vae,
            songs,
            counts,
            tile_seconds=tile_seconds,
            latent_shift=latent_shift,
            latent_rescale=latent_rescale,
        )
        waveforms, remarks = finish_songs(waveforms, counts, levels, splices=splices)
        audio = {"waveform": waveforms, "sample_rate": SAMPLE_RATE}
        text = "\n".join((*notes, *remarks))
        return shown(text, audio) if text else io.NodeOutput(audio)


def chosen_splices(
    latent: dict[str, Any], task: AceTask | None, *, splice: bool
) -> tuple[list[Splice | None], list[str]]:
    """How each song of a LATENT joins its recording, by the task that is connected or the ones that it carries.

    Returns:
        The splices, none where no song has one, and what to say on the node.
    """
    carried = song_tasks(latent)
    notes = [] if counts_fit(latent) else [COUNTS_WARNING]
    if task is not None and splice:
        try:
            return splices_of(task.songs, sample_counts(latent)), [*notes, _use_of_task(task.songs[0])]
        except ValueError as error:
            notes.append(f"WARNING: the connected task is not used: {error}.")
    names = ", ".join(dict.fromkeys(song.name for song in carried if song is not None))
    if not splice:
        return [], [*notes, f"the {names} is not put into its recording: splice is off"] if names else notes
    if TASKS in latent and None in carried:
        notes.append(CHANGED_WARNING)
    if not names:
        return [], notes
    notes += [f"{names}, as the latents say: {KEPT}", *changes.once(changes.CARRIED_TASK, applies=True)]
    return [None if song is None else song.splice for song in carried], notes


def _fade_input(name: str, what: str) -> Any:
    return io.Float.Input(
        name,
        default=0.0,
        min=0.0,
        max=MAX_FADE_SECONDS,
        step=0.1,
        optional=True,
        tooltip=f"{what}, in seconds. 0: none.",
    )


def _use_of_task(song: SongTask) -> str:
    if song.splice is None:
        return f"{song.name} keeps nothing of its source as it is: the task changes nothing here"
    return f"{task_summary(song)}: {KEPT if song.splice.keeps_level else 'silent elsewhere'}"
