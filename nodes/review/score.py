"""Score and Best of N: how well songs are what they were to be, and the best of them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from comfy_api.v0_0_2 import io, ui

from ...ace_core.analysis.score_chart import score_chart
from ...ace_core.checks import check_choice, spread
from ...ace_core.listening.lyric_attention import has_lyric_heads
from ...ace_core.listening.song_scores import (
    ALIGNMENT,
    DEFAULT_WEIGHTS,
    PARTS,
    TOTAL,
    SongScores,
    ranking,
    score_table,
    scores_json,
    song_scores,
)
from ...ace_core.loaded import AceModel, AcePlanner, AceTextEncoder, AceVae
from ...ace_core.planner.scoring import DEFAULT_SENSITIVITY
from ...ace_core.stages.codes import require_audio_tokenizer
from ...ace_core.stages.encode import AceConditioning
from ...ace_core.stages.listen import score_alignments, score_with_planner
from .. import compat
from ..host import feedback
from ..host.networks import NETWORKS
from ..node import CATEGORY, shown
from ..render.decoded import decoded_songs
from ..render.latents import picked_latent
from ..takes import heard_files, takes
from ..wires import (
    AceBlueprint,
    AceBlueprintWire,
    AceModelWire,
    AcePlannerWire,
    AceScores,
    AceScoresWire,
    AceTextEncoderWire,
)
from .inputs import finished_songs, recording_inputs, recordings, steps_input

MAX_WEIGHT = 10.0
MAX_KEPT = 64


class AceComposerScore(io.ComfyNode):
    @classmethod
    def define_schema(cls) -> io.Schema:
        return compat.Schema(
            node_id="AceComposerScore",
            display_name="ACE-Step Score",
            category=f"{CATEGORY}/review",
            description="Score songs: how well the sound fits caption, lyrics and metadata, by the planner, and "
            "how well the singing follows the lyrics. Parts that cannot be scored are left out.",
            search_aliases=["quality", "rating", "pmi", "alignment score", "rank"],
            inputs=[
                AceModelWire.Input("model", tooltip="From Load Models."),
                AceTextEncoderWire.Input("text_encoder", tooltip="From Load Models."),
                AceBlueprintWire.Input("blueprint", tooltip="The plans of the songs: one for all, or one for each."),
                *(
                    io.Float.Input(
                        f"weight_{name}",
                        default=DEFAULT_WEIGHTS[name],
                        min=0.0,
                        max=MAX_WEIGHT,
                        step=0.05,
                        tooltip=f"Weight of the {name} score in the total; 0 only shows it.",
                    )
                    for name in PARTS
                ),
                io.Float.Input(
                    "sensitivity",
                    default=DEFAULT_SENSITIVITY,
                    min=0.01,
                    max=1.0,
                    step=0.01,
                    tooltip="For caption and lyrics: smaller values push scores towards 0 and 1.",
                ),
                AcePlannerWire.Input(
                    "planner", optional=True, tooltip="From Load Planner. Without it only the alignment is scored."
                ),
                *recording_inputs(),
                steps_input(),
                compat.advanced(
                    io.Boolean.Input(
                        "plan_alignment",
                        default=False,
                        optional=True,
                        tooltip="Also show how well the audio codes of the plan alone fit the lyrics. Not part of the "
                        "total.",
                    )
                ),
            ],
            outputs=[
                AceScoresWire.Output("scores", display_name="scores", tooltip="For Best of N and Save Song."),
                io.String.Output("json", display_name="json", tooltip="All scores, for programs."),
            ],
            is_output_node=True,
            hidden=[io.Hidden.unique_id],
        )

    @classmethod
    def execute(
        cls,
        model: AceModel,
        text_encoder: AceTextEncoder,
        blueprint: AceBlueprint,
        sensitivity: float,
        planner: AcePlanner | None = None,
        latent: dict[str, Any] | None = None,
        conditioning: AceConditioning | None = None,
        audio: Mapping[str, Any] | None = None,
        vae: AceVae | None = None,
        steps: int = 0,
        plan_alignment: bool = False,
        **weights: float,
    ) -> io.NodeOutput:
        if planner is not None:
            require_audio_tokenizer(model)
        songs = recordings(latent, audio, vae)
        plans = tuple(spread(blueprint, len(songs), "blueprints"))
        finished = finished_songs(model, text_encoder, songs, conditioning, plans)
        alignments, *planned = score_alignments(
            NETWORKS, model, text_encoder, finished, steps, plan_alone=plan_alignment
        )
        none: list[Any] = [None] * len(songs)
        heard = none if planner is None else score_with_planner(NETWORKS, planner, model, songs, plans, sensitivity)
        part_weights = {name: weights[f"weight_{name}"] for name in PARTS}
        judged = zip(heard, alignments, planned[0] if planned else none, strict=True)
        scores = tuple(song_scores(*item, part_weights) for item in judged)
        summary = "\n".join((score_table(scores), *_details(scores), *_absent(scores, planner, model)))
        return shown(summary, AceScores(scores), scores_json(scores))


class AceComposerBestOfN(io.ComfyNode):
    @classmethod
    def define_schema(cls) -> io.Schema:
        return compat.Schema(
            node_id="AceComposerBestOfN",
            display_name="ACE-Step Best of N",
            category=f"{CATEGORY}/review",
            description="Keep the best songs of a batch. Put it before Decode, so that only the winners are decoded.",
            search_aliases=["select", "rank", "pick best", "filter batch", "test-time scaling"],
            inputs=[
                AceScoresWire.Input("scores", tooltip="From Score."),
                io.Int.Input("keep", default=1, min=1, max=MAX_KEPT, tooltip="How many songs to keep."),
                io.Combo.Input(
                    "rank_by",
                    options=[TOTAL, *PARTS],
                    default=TOTAL,
                    tooltip="The score to rank by. Songs without it come last; ties keep their order.",
                ),
                io.Latent.Input("latent", optional=True, tooltip="The songs as latents, in the order of the scores."),
                io.Audio.Input("audio", optional=True, tooltip="The songs as audio, in the order of the scores."),
                AceBlueprintWire.Input(
                    "blueprint", optional=True, tooltip="The plans of the songs: one for all, or one for each."
                ),
            ],
            outputs=[
                io.Latent.Output(
                    "best_latent", display_name="latent", tooltip="The best songs as latents; needs the latent input."
                ),
                io.Audio.Output(
                    "best_audio", display_name="audio", tooltip="The best songs as audio; needs the audio input."
                ),
                AceBlueprintWire.Output(
                    "best_blueprint",
                    display_name="blueprint",
                    tooltip="The plans of the best songs; needs the blueprint input.",
                ),
                AceScoresWire.Output("best_scores", display_name="scores", tooltip="Scores of the best songs."),
                io.Image.Output("chart", display_name="chart", tooltip="Bar chart of the scores."),
                io.String.Output("ranking", display_name="ranking", tooltip="The table shown on the node."),
            ],
            is_output_node=True,
            hidden=[io.Hidden.unique_id],
        )

    @classmethod
    def execute(
        cls,
        scores: AceScores,
        keep: int,
        rank_by: str,
        latent: dict[str, Any] | None = None,
        audio: Mapping[str, Any] | None = None,
        blueprint: AceBlueprint | None = None,
    ) -> io.NodeOutput:
        check_choice("rank_by", rank_by, (TOTAL, *PARTS))
        songs = scores.songs
        _check_counts(len(songs), keep, latent, audio)
        order = ranking(songs, rank_by)
        best = order[:keep]
        plans = None if blueprint is None else spread(blueprint, len(songs), "blueprints")
        chart = score_chart([song.value(rank_by) for song in songs], order, keep)[None]
        table = score_table(songs, order)
        return shown(
            table,
            feedback.unconnected("latent") if latent is None else picked_latent(latent, best),
            feedback.unconnected("audio") if audio is None else {**audio, "waveform": audio["waveform"][best]},
            feedback.unconnected("blueprint") if plans is None else tuple(plans[index] for index in best),
            AceScores(tuple(songs[index] for index in best)),
            chart,
            table,
            **ui.PreviewImage(chart, cls=cls).as_dict(),
            **_heard(audio, latent, songs, best),
        )


def _heard(
    audio: Mapping[str, Any] | None, latent: dict[str, Any] | None, songs: Sequence[SongScores], best: Sequence[int]
) -> dict[str, Any]:
    """The songs for the player of takes, if there is sound of them."""
    if audio is None:
        return {}
    sounds, records, _ = decoded_songs(audio, latent)
    return takes(sounds, heard_files(sounds), records=records, scores=songs, picked=best)


def _details(songs: Sequence[SongScores]) -> list[str]:
    return [
        f"song {number}: " + ", ".join(f"{name} {value:.2f}" for name, value in song.details.items())
        for number, song in enumerate(songs, 1)
        if song.details
    ]


def _absent(songs: Sequence[SongScores], planner: AcePlanner | None, model: AceModel) -> list[str]:
    """Why a part is missing from all songs."""
    remarks = []
    if planner is None:
        remarks.append("no planner is connected: caption, lyrics and metadata are not scored")
    if not has_lyric_heads(model.dit.network.config):
        remarks.append(f"{model.name} does not say which of its heads follow the lyrics: there is no alignment")
    elif all(ALIGNMENT not in song.parts for song in songs):
        remarks.append("the lyrics have no words to sing: there is no alignment")
    return remarks


def _check_counts(songs: int, keep: int, latent: dict[str, Any] | None, audio: Mapping[str, Any] | None) -> None:
    if keep > songs:
        raise ValueError(f"{keep} songs are to be kept and {songs} were scored: lower keep")
    given = {"latents": latent and len(latent["samples"]), "pieces of audio": audio and len(audio["waveform"])}
    for what, count in given.items():
        if count is not None and count != songs:
            raise ValueError(f"got {count} {what} for {songs} scores: connect the songs that were scored")
