"""Planning: fill what a blueprint leaves open, then write its audio codes.

The plan is text under the grammar and without guidance; the codes follow with guidance against a prompt without the
song. What the user decided is forced in the plan, so that the model chooses the rest around it, and what an earlier
task decided counts as decided too. Item i depends on its blueprint and seed i alone, whatever the batch.

Matches both phases of the published `generate_with_stop_condition`; where ours differs:

- The detected language reaches the blueprint. The published pipeline reads it from a key that is never written.
- The plan is asked for if anything at all is open. The published code skips it, a caption rewrite and the language
  included, as soon as bpm, key, time signature and duration are given.

Trap: the user's caption stands in the prompt of both phases. Its rewrite stands in the think block only.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from ..audio.waveform import CODE_RATE, MAX_DURATION_SECONDS, code_count
from ..progress import Progress, part_of_progress
from ..song.blueprint import Blueprint, resolved_duration, with_planned_values
from ..song.fields import INSTRUMENTAL_LYRICS, MAX_BATCH_SIZE, MUSIC_FIELDS
from .chat_prompts import check_positions, codes_prompt, negative_codes_prompt, plan_prompt
from .code_generation import generate_codes
from .grammar import Grammar, PlanConstraint, plan_constraint
from .metadata import song_metadata, write_metadata
from .requests import (
    PlannedSongs,
    Planner,
    Request,
    fill_open_fields,
    note_on_caption,
    plan_for_each,
    run_requests,
    settle_instrumental,
    song_name,
)
from .token_choice import SamplingParameters

PLAN_PARAMETERS = SamplingParameters(temperature=0.85, top_p=0.9)
CODES_PARAMETERS = SamplingParameters(temperature=0.85, top_p=0.9)
CODES_GUIDANCE_SCALE = 2.0
NATURAL_ENDING_SECONDS = 4


def plan(
    planner: Planner,
    blueprints: Sequence[Blueprint],
    seeds: Sequence[int],
    parameters: SamplingParameters = PLAN_PARAMETERS,
    *,
    rewrite_caption: bool = True,
    detect_language: bool = True,
    share_plan: bool = False,
    max_duration_seconds: int = MAX_DURATION_SECONDS,
    on_progress: Progress | None = None,
) -> PlannedSongs:
    """Fill what is open: bpm, key, time signature, duration, language, and a caption.

    An open caption is written; one that the user wrote stays, and its rewrite becomes `rewritten_caption`. Open lyrics
    become those of an instrumental. A blueprint with nothing open comes back as it is.

    Args:
        planner: the language model.
        blueprints: one for all seeds, or one for each.
        seeds: one for each song, 0 to 2^64 - 1.
        parameters: how a token is chosen.
        rewrite_caption: whether captions of the user get a rewrite.
        detect_language: whether an open language is decided; otherwise it stays open.
        share_plan: whether equal blueprints get one plan, from the first one's seed, instead of one for each seed.
        max_duration_seconds: the longest duration the model may choose.
        on_progress: called with (tokens done, the most there can be).

    Raises:
        ValueError: lengths that do not agree, or a prompt beyond the model's positions.
    """
    given = plan_for_each(blueprints, seeds)
    songs = [settle_instrumental(blueprint) for blueprint in given]
    sources = [songs.index(song) if share_plan else index for index, song in enumerate(songs)]
    requests = {}
    for index in sorted(set(sources)):
        song = songs[index]
        writes_caption = song.caption is None or (
            rewrite_caption and song.rewritten_caption is None and song.origin("caption") == "user"
        )
        if writes_caption or any(getattr(song, name) is None for name in _open_names(detect_language)):
            requests[index] = Request(
                plan_prompt(planner.grammar.tokens, song.caption or "", song.lyrics or INSTRUMENTAL_LYRICS),
                _plan_constraint(planner.grammar, song, writes_caption, detect_language, max_duration_seconds),
                seeds[index],
            )
    answers = dict(zip(requests, run_requests(planner, list(requests.values()), parameters, on_progress), strict=True))
    planned = [
        fill_open_fields(song, answers[source].metadata, song_metadata(song)) if source in answers else song
        for song, source in zip(songs, sources, strict=True)
    ]
    notes = [
        f"{song_name(index, seeds)}the lyrics are open, so this is planned as an instrumental"
        for index, blueprint in enumerate(given)
        if blueprint.lyrics is None
    ]
    for index, answer in answers.items():
        notes += note_on_caption(song_name(index, seeds), answer)
    return PlannedSongs(tuple(planned), tuple(notes))


def plan_codes(
    planner: Planner,
    blueprints: Sequence[Blueprint],
    seeds: Sequence[int],
    parameters: SamplingParameters = CODES_PARAMETERS,
    *,
    guidance_scale: float = CODES_GUIDANCE_SCALE,
    negative_prompt: str = "",
    natural_ending: bool = False,
    legacy_prompts: bool = False,
    on_progress: Progress | None = None,
) -> PlannedSongs:
    """Write the audio codes of some songs, 5 a second; codes that the user gave are kept.

    Args:
        planner: the language model.
        blueprints: one for all seeds, or one for each; an open duration is 120 seconds.
        seeds: one for each song, 0 to 2^64 - 1.
        parameters: how a code is chosen.
        guidance_scale: how far to move away from the negative prompt; 1 is off.
        negative_prompt: what the songs should not be; blank is none.
        natural_ending: whether a song may end by itself in its last 4 seconds; it then has fewer codes.
        legacy_prompts: the prompt form before April 2026, for comparisons.
        on_progress: called with (codes done, codes in all) of the longest songs.

    Raises:
        ValueError: lengths that do not agree, a negative prompt without guidance, or a prompt beyond the positions.
    """
    check_negative_prompt(negative_prompt, guidance_scale)
    songs = plan_for_each(blueprints, seeds)
    notes: list[str] = []
    prompts: list[list[int]] = []
    negative_prompts: list[list[int]] = []
    counts: list[int] = []
    places = [index for index, song in enumerate(songs) if song.origin("audio_codes") != "user"]
    for index in places:
        song = replace(songs[index], audio_codes=None, planned=songs[index].planned - {"audio_codes"})
        seconds, note = resolved_duration(song)
        if note:
            notes.append(song_name(index, seeds) + note)
        counts.append(code_count(seconds))
        caption, lyrics = song.caption or "", song.lyrics or INSTRUMENTAL_LYRICS
        metadata = write_metadata(song_metadata(song) | {"duration": int(seconds)})
        prompts.append(codes_prompt(planner.grammar.tokens, caption, lyrics, metadata, legacy=legacy_prompts))
        legacy_song = (caption, lyrics) if legacy_prompts else None
        negative_prompts.append(negative_codes_prompt(planner.grammar.tokens, negative_prompt, legacy_song=legacy_song))
        for prompt in (prompts[-1], negative_prompts[-1]):
            check_positions(len(prompt), counts[-1])
    if len(places) < len(songs):
        notes.append("songs that have audio codes of yours keep them; clear the codes to have them written")

    groups = [slice(start, start + MAX_BATCH_SIZE) for start in range(0, len(places), MAX_BATCH_SIZE)]
    totals = [max(counts[group]) for group in groups]
    codes: list[list[int]] = []
    for number, group in enumerate(groups):
        codes += generate_codes(
            planner.lm,
            prompts[group],
            None if guidance_scale == 1 else negative_prompts[group],
            counts[group],
            parameters,
            [seeds[index] for index in places[group]],
            guidance_scale=guidance_scale,
            ending_codes=NATURAL_ENDING_SECONDS * CODE_RATE if natural_ending else 0,
            runtime=planner.runtime,
            on_progress=part_of_progress(on_progress, sum(totals[:number]), sum(totals)),
        )
    results = list(songs)
    for index, count, song_codes in zip(places, counts, codes, strict=True):
        results[index] = with_planned_values(songs[index], audio_codes=tuple(song_codes))
        if len(song_codes) < count:
            seconds = len(song_codes) / CODE_RATE
            notes.append(
                f"{song_name(index, seeds)}the music ends by itself after {seconds:g} of {count / CODE_RATE:g} s"
            )
    return PlannedSongs(tuple(results), tuple(notes))


def check_negative_prompt(negative_prompt: str, guidance_scale: float) -> None:
    """Raise ValueError for a negative prompt that would do nothing."""
    if guidance_scale == 1 and negative_prompt.strip():
        raise ValueError("a negative prompt needs guidance: set the guidance scale above 1, or remove the prompt")


def _open_names(detect_language: bool) -> tuple[str, ...]:
    return (*MUSIC_FIELDS, "language") if detect_language else MUSIC_FIELDS


def _plan_constraint(
    grammar: Grammar, song: Blueprint, writes_caption: bool, detect_language: bool, max_duration_seconds: int
) -> PlanConstraint:
    fixed = song_metadata(song)
    skipped = ["genres"]
    if "caption" not in fixed and not writes_caption:
        skipped.append("caption")
    if "language" not in fixed and not detect_language:
        skipped.append("language")
    return plan_constraint(grammar, fixed=fixed, skipped=skipped, max_duration_seconds=max_duration_seconds)
