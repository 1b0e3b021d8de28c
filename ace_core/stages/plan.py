"""Plan: the planner with room for its work: to plan songs and their codes, to write, rewrite and describe them."""

from __future__ import annotations

import bisect
from collections.abc import Sequence
from dataclasses import replace

from torch import Tensor

from ..audio.waveform import code_count
from ..loaded import AceModel, AcePlanner, AceVae
from ..planner.cache import cache_bytes
from ..planner.planning import (
    CODES_GUIDANCE_SCALE,
    CODES_PARAMETERS,
    check_negative_prompt,
    plan,
    plan_codes,
)
from ..planner.requests import PlannedSongs, Planner
from ..planner.token_choice import SamplingParameters
from ..planner.understanding import UNDERSTAND_PARAMETERS, understand
from ..planner.writing import WRITE_PARAMETERS, rewrite, write_plans
from ..render.prompts import LYRIC_TOKEN_LIMIT, lyric_prompt
from ..runtime import Networks
from ..song.blueprint import Blueprint, resolved_duration, with_planned_values, with_user_values
from ..song.fields import MAX_BATCH_SIZE
from .codes import codes_of_waveforms

PROMPT_TOKENS = 4096  # room for captions and lyrics in the estimate of the cache
TEXT_TOKENS = 1024
WRITING_TOKENS = 6144  # a long prompt and the longest answer
ANSWER_TOKENS = 2560  # facts and the longest lyrics


def ready_planner(networks: Networks, planner: AcePlanner, *, songs: int, tokens: int, branches: int = 1) -> Planner:
    """The planner on its device, with room for the keys and values that a group of songs needs.

    Args:
        tokens: of each sequence. branches: sequences of each song; guidance needs two.
    """
    rows = min(songs, MAX_BATCH_SIZE) * branches
    needed = cache_bytes(planner.lm.network.config, rows, tokens, planner.lm.dtype)
    network, runtime = networks.use(planner.lm, needed)
    return Planner(network, planner.grammar, runtime)


def plan_songs(
    networks: Networks,
    planner: AcePlanner,
    plans: Sequence[Blueprint],
    seeds: Sequence[int],
    parameters: SamplingParameters = CODES_PARAMETERS,
    *,
    write_codes: bool = True,
    rewrite_caption: bool = True,
    detect_language: bool = True,
    share_plan: bool = False,
    guidance: float = CODES_GUIDANCE_SCALE,
    negative_prompt: str = "",
    natural_ending: bool = False,
    legacy_prompts: bool = False,
) -> PlannedSongs:
    """Fill what plans leave open, one for each seed or one for all, and write their audio codes.

    Raises:
        ValueError: see `planner.planning`; the negative prompt is checked before the words are planned.
    """
    check_negative_prompt(negative_prompt, guidance)
    planned = plan(
        ready_planner(networks, planner, songs=len(seeds), tokens=PROMPT_TOKENS + TEXT_TOKENS),
        plans,
        seeds,
        parameters,
        rewrite_caption=rewrite_caption,
        detect_language=detect_language,
        share_plan=share_plan,
        on_progress=networks.progress(),
    )
    if not write_codes:
        unused = ("the negative prompt does nothing: no codes are written",) if negative_prompt.strip() else ()
        return _signed(planner, planned._replace(notes=planned.notes + unused), plans)
    longest = max(code_count(resolved_duration(song).seconds) for song in planned.blueprints)
    branches = 1 if guidance == 1 else 2
    with_codes = plan_codes(
        ready_planner(networks, planner, songs=len(seeds), tokens=PROMPT_TOKENS + longest, branches=branches),
        planned.blueprints,
        seeds,
        parameters,
        guidance_scale=guidance,
        negative_prompt=negative_prompt,
        natural_ending=natural_ending,
        legacy_prompts=legacy_prompts,
        on_progress=networks.progress(),
    )
    return _signed(planner, PlannedSongs(with_codes.blueprints, planned.notes + with_codes.notes), plans)


def write_songs(
    networks: Networks,
    planner: AcePlanner,
    idea: str,
    seeds: Sequence[int],
    parameters: SamplingParameters = WRITE_PARAMETERS,
    *,
    instrumental: bool = False,
    decided: Blueprint | None = None,
) -> PlannedSongs:
    """Write a song for each seed from an idea, around what is decided already."""
    written = write_plans(
        ready_planner(networks, planner, songs=len(seeds), tokens=WRITING_TOKENS),
        idea,
        seeds,
        parameters,
        instrumental=instrumental,
        decided=decided,
        on_progress=networks.progress(),
    )
    return _signed(planner, with_fitting_lyrics(planner, written))


def rewrite_songs(
    networks: Networks,
    planner: AcePlanner,
    plans: Sequence[Blueprint],
    seeds: Sequence[int],
    parameters: SamplingParameters = WRITE_PARAMETERS,
    *,
    rewrite_lyrics: bool = True,
) -> PlannedSongs:
    """Write richer captions, and lyrics in the form the model knows."""
    rewritten = rewrite(
        ready_planner(networks, planner, songs=len(seeds), tokens=WRITING_TOKENS),
        plans,
        seeds,
        parameters,
        rewrite_lyrics=rewrite_lyrics,
        on_progress=networks.progress(),
    )
    return _signed(planner, with_fitting_lyrics(planner, rewritten), plans)


def _signed(planner: AcePlanner, songs: PlannedSongs, given: Sequence[Blueprint] = ()) -> PlannedSongs:
    """Songs that name the planner; one that it left as it was `given` keeps the name it has."""
    return songs._replace(
        blueprints=tuple(
            song if song in given else replace(song, planner=planner.signature) for song in songs.blueprints
        )
    )


def with_fitting_lyrics(planner: AcePlanner, songs: PlannedSongs) -> PlannedSongs:
    """Songs whose written lyrics the renderer can read: too long ones lose their last lines.

    The planner counts the tokens it wrote. The text encoder has the same vocabulary, but splits a text into tokens
    anew, which can be more of them.
    """
    plans, notes = list(songs.blueprints), list(songs.notes)
    for index, song in enumerate(songs.blueprints):
        if song.origin("lyrics") != "planner" or _lyrics_fit(planner, song):
            continue
        plans[index] = _with_cut_lyrics(planner, song)
        name = f"song {index + 1}: " if len(plans) > 1 else ""
        notes.append(f"{name}the lyrics lost their end: the renderer reads {LYRIC_TOKEN_LIMIT} tokens")
    return PlannedSongs(tuple(plans), tuple(notes))


def _lyrics_fit(planner: AcePlanner, plan: Blueprint) -> bool:
    return len(planner.grammar.tokens.tokenizer.encode_prompt(lyric_prompt(plan))) <= LYRIC_TOKEN_LIMIT


def _with_cut_lyrics(planner: AcePlanner, plan: Blueprint) -> Blueprint:
    """A plan whose lyrics end with the last line that fits, of a single line with the last word."""
    text = plan.lyrics or ""

    def cut_at(end: int) -> Blueprint:
        return with_planned_values(plan, lyrics=text[:end])

    too_long = bisect.bisect_left(range(1, len(text)), True, key=lambda end: not _lyrics_fit(planner, cut_at(end))) + 1
    ends = (text.rfind(separator, 0, too_long) for separator in ("\n", " "))
    shorter = [cut_at(end) for end in (*ends, too_long - 1) if text[: max(0, end)].strip()]
    return next((song for song in shorter if _lyrics_fit(planner, song)), with_user_values(plan, lyrics=None))


def understand_waveforms(
    networks: Networks,
    planner: AcePlanner,
    model: AceModel,
    vae: AceVae,
    waveforms: Tensor,
    seeds: Sequence[int],
    parameters: SamplingParameters = UNDERSTAND_PARAMETERS,
    *,
    keep_codes: bool = False,
) -> PlannedSongs:
    """Describe waveforms [B, 2, N] at 48 kHz as plans, one for each seed.

    Args:
        keep_codes: put the audio's codes into the plans, so that a render follows the audio.
    """
    codes = codes_of_waveforms(networks, model, vae, waveforms)
    longest = max(len(item) for item in codes)
    described = understand(
        ready_planner(networks, planner, songs=len(codes), tokens=longest + ANSWER_TOKENS),
        codes,
        seeds,
        parameters,
        on_progress=networks.progress(),
    )
    described = _signed(planner, described)
    if not keep_codes:
        return described
    pairs = zip(described.blueprints, codes, strict=True)
    return described._replace(blueprints=tuple(with_user_values(song, audio_codes=item) for song, item in pairs))
