"""Listen: what finished songs say, sampled ones or any recording with a plan that describes it.

Timed lyrics and the alignment score come from the renderer's attention, the other scores and a description from the
planner, which hears a song through its audio codes.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

from torch import Tensor

from ..checkpoints.silence import padded_with_silence
from ..checks import spread
from ..listening.alignment_score import AlignmentScore, score_alignment
from ..listening.lyric_alignment import AlignedLyrics, align_lyrics
from ..listening.lyric_attention import PURE_NOISE, has_lyric_heads, lyric_attention_memory_bytes
from ..listening.lyric_tokens import lyric_tokens
from ..loaded import AceModel, AcePlanner, AceTextEncoder, AceVae
from ..models.dit import DiT
from ..planner.scoring import DEFAULT_SENSITIVITY, PlannerScores, score_songs
from ..progress import share_of_progress
from ..render.conditions import SongConditions, song_conditions, tokenize
from ..runtime import Networks, Runtime
from ..sampling.settings import DEFAULTS
from ..song.blueprint import Blueprint, with_user_values
from ..tasks.song_task import text_task
from .codes import codes_of_latents, structure_of_codes
from .encode import encode_prompts
from .plan import ANSWER_TOKENS, ready_planner
from .sources import encode_source


class Recording(NamedTuple):
    """Clean latents [T, 64] of a song, and how many samples it lasts."""

    latents: Tensor
    samples: int


class FinishedSong(NamedTuple):
    """Clean latents [T, 64] of a song and the conditions it is heard with."""

    latents: Tensor
    conditions: SongConditions


def recordings_of_waveforms(networks: Networks, vae: AceVae, waveforms: Tensor) -> list[Recording]:
    """Recordings of waveforms [B, 2, N] at 48 kHz."""
    return [Recording(latents, waveforms.shape[-1]) for latents in encode_source(networks, vae, waveforms)]


def with_conditions(songs: Sequence[Recording], conditions: Sequence[SongConditions]) -> list[FinishedSong]:
    """Recordings with the conditions that they were sampled with, one for each or one for all."""
    given = spread(conditions, len(songs), "conditionings")
    return [FinishedSong(song.latents, item) for song, item in zip(songs, given, strict=True)]


def with_plans(
    networks: Networks,
    model: AceModel,
    text_encoder: AceTextEncoder,
    songs: Sequence[Recording],
    plans: Sequence[Blueprint],
) -> list[FinishedSong]:
    """Recordings with conditions made from plans, one for each or one for all, for each recording's own length."""
    given = [_heard_plan(model, plan) for plan in spread(plans, len(songs), "blueprints")]
    tasks = [text_task(plan, samples=song.samples) for song, plan in zip(songs, given, strict=True)]
    prompts = [tokenize(text_encoder.tokenizer, *pair) for pair in zip(given, tasks, strict=True)]
    packed = encode_prompts(networks, model, text_encoder, prompts)
    finished = []
    for song, task, prompt, states in zip(songs, tasks, prompts, packed, strict=True):
        structure = structure_of_codes(networks, model, task.codes) if task.codes else None
        conditions = song_conditions(task, prompt, states, model.silence, structure=structure)
        finished.append(FinishedSong(padded_with_silence(song.latents, task.frames, model.silence), conditions))
    return finished


def time_songs(
    networks: Networks, model: AceModel, text_encoder: AceTextEncoder, songs: Sequence[FinishedSong], steps: int = 0
) -> list[AlignedLyrics]:
    """When each part of the lyrics is sung in each song.

    Args:
        steps: the songs were sampled with; 0 for the checkpoint's default.
    """
    network, runtime = _ready_to_listen(networks, model, text_encoder, songs)
    update = networks.progress()
    return [
        align_lyrics(
            network,
            song.conditions,
            song.latents,
            text_encoder.tokenizer,
            runtime,
            steps=steps or DEFAULTS[model.variant].steps,
            on_progress=share_of_progress(update, done, len(songs)),
        )
        for done, song in enumerate(songs)
    ]


def score_alignments(
    networks: Networks,
    model: AceModel,
    text_encoder: AceTextEncoder,
    songs: Sequence[FinishedSong],
    steps: int = 0,
    *,
    plan_alone: bool = False,
) -> list[list[AlignmentScore | None]]:
    """How the singing follows the lyrics: the scores of all songs, then those that their plans alone predict.

    Args:
        steps: see `time_songs`.
        plan_alone: score each song from pure noise too.

    Returns:
        None for a song without words, and for all of a model whose lyric heads nobody knows.
    """
    levels = [1 / (steps or DEFAULTS[model.variant].steps)] + [PURE_NOISE] * plan_alone
    if not has_lyric_heads(model.dit.network.config):
        return [[None] * len(songs) for _ in levels]
    network, runtime = _ready_to_listen(networks, model, text_encoder, songs)
    update = networks.progress()
    passes = len(levels) * len(songs)
    return [
        [
            score_alignment(
                network,
                song.conditions,
                song.latents,
                text_encoder.tokenizer,
                runtime,
                level=level,
                on_progress=share_of_progress(update, number * len(songs) + done, passes),
            )
            for done, song in enumerate(songs)
        ]
        for number, level in enumerate(levels)
    ]


def score_with_planner(
    networks: Networks,
    planner: AcePlanner,
    model: AceModel,
    songs: Sequence[Recording],
    plans: Sequence[Blueprint],
    sensitivity: float = DEFAULT_SENSITIVITY,
) -> list[PlannerScores]:
    """How songs fit their plans. The codes are those of the sound, not those that the plan asked for."""
    codes = codes_of_latents(networks, model, [song.latents for song in songs])
    longest = max(map(len, codes))
    return score_songs(
        ready_planner(networks, planner, songs=2, tokens=longest + ANSWER_TOKENS),
        plans,
        codes,
        sensitivity=sensitivity,
        on_progress=networks.progress(),
    )


def _heard_plan(model: AceModel, plan: Blueprint) -> Blueprint:
    """A plan as a song was made from it: a model without audio tokenizer could not have followed any codes."""
    return with_user_values(plan, audio_codes=None) if model.audio_tokenizer is None else plan


def _ready_to_listen(
    networks: Networks, model: AceModel, text_encoder: AceTextEncoder, songs: Sequence[FinishedSong]
) -> tuple[DiT, Runtime]:
    """The DiT on its device, with room for a pass over the longest song."""
    config = model.dit.network.config
    needed = max(
        lyric_attention_memory_bytes(
            config, song.conditions, lyric_tokens(song.conditions.lyric_ids, text_encoder.tokenizer), model.dtype
        )
        for song in songs
    )
    return networks.use(model.dit, needed)
