"""Texts: a song from an idea, a richer caption and formatted lyrics.

Each is one answer under the grammar: metadata first, then the lyrics as free text. Matches the published
`create_sample_from_query` and `format_sample_from_input`; where ours differs:

- A field that the user decided is forced. The published rewrite leaves a given language out of the answer.
- An instrumental has no lyrics to write: the answer ends with the metadata. The published code has them written and
  takes what comes, although the model, told `instrumental: true` in its prompt, may write words all the same.

Traps:
- An instrumental is the lyrics `[Instrumental]`, or section tags of the user without any words, in the language
  `unknown`.
- Lyrics stop at `LYRICS_TOKENS`, which is what the renderer reads; the notes say where that happened.
"""

from __future__ import annotations

from collections.abc import Sequence

from ..progress import Progress
from ..song.blueprint import Blueprint, with_planned_values, with_user_values
from ..song.fields import INSTRUMENTAL_LYRICS
from .chat_prompts import rewrite_prompt, write_prompt
from .grammar import LYRICS_TOKENS, plan_constraint
from .metadata import song_metadata
from .requests import (
    PlannedSongs,
    Planner,
    Request,
    fill_open_fields,
    has_no_words,
    note_on_caption,
    note_on_length,
    plan_for_each,
    run_requests,
    settle_instrumental,
    song_name,
)
from .token_choice import SamplingParameters

WRITE_PARAMETERS = SamplingParameters(temperature=0.85, top_p=1.0)
OFFERED_WRITE_PARAMETERS = SamplingParameters(temperature=0.85, top_p=0.9)  # as the official interface, for new nodes


def write_plans(
    planner: Planner,
    query: str,
    seeds: Sequence[int],
    parameters: SamplingParameters = WRITE_PARAMETERS,
    *,
    instrumental: bool = False,
    decided: Blueprint | None = None,
    on_progress: Progress | None = None,
) -> PlannedSongs:
    """Write whole songs from an idea: caption, lyrics, metadata and language.

    Args:
        planner: the language model.
        query: the idea in words, in any language; blank leaves it to the model.
        seeds: one for each song, 0 to 2^64 - 1.
        parameters: how a token is chosen.
        instrumental: whether nobody sings.
        decided: fields that the user has decided already, such as a language; the song is written around them.
        on_progress: called with (tokens done, the most there can be).

    Raises:
        ValueError: lyrics with words in an instrumental, no seed, or an idea beyond the model's positions.
    """
    song = decided or Blueprint()
    if instrumental and song.lyrics is not None and not has_no_words(song.lyrics):
        raise ValueError("an instrumental has no words, but lyrics are given: clear them, or switch instrumental off")
    instrumental = instrumental or (song.lyrics is not None and has_no_words(song.lyrics))
    if instrumental:
        song = settle_instrumental(song)
    prompt = write_prompt(planner.grammar.tokens, query, instrumental=instrumental)
    fixed = song_metadata(song)
    writes_lyrics = song.lyrics is None
    requests = [
        Request(prompt, plan_constraint(planner.grammar, fixed=fixed, with_lyrics=writes_lyrics), seed)
        for seed in seeds
    ]
    songs = plan_for_each([song], seeds)
    notes: list[str] = []
    for index, answer in enumerate(run_requests(planner, requests, parameters, on_progress)):
        name = song_name(index, seeds)
        songs[index] = fill_open_fields(songs[index], answer.metadata, fixed)
        notes += note_on_caption(name, answer)
        if not writes_lyrics:
            continue
        songs[index] = with_planned_values(songs[index], lyrics=answer.lyrics)
        if answer.lyrics:
            notes += note_on_length(name, answer)
        else:
            notes.append(f"{name}the planner wrote no lyrics; try another seed or say in the idea that someone sings")
    return PlannedSongs(tuple(songs), tuple(notes))


def rewrite(
    planner: Planner,
    blueprints: Sequence[Blueprint],
    seeds: Sequence[int],
    parameters: SamplingParameters = WRITE_PARAMETERS,
    *,
    rewrite_lyrics: bool = True,
    on_progress: Progress | None = None,
) -> PlannedSongs:
    """Enrich captions, format lyrics, and fill open metadata.

    The caption stays and its rewrite becomes `rewritten_caption`; an open caption is written. Lyrics have one field
    only: `rewrite_lyrics` says whether the planner's version takes the place of the user's.

    Args:
        planner: the language model.
        blueprints: one for all seeds, or one for each.
        seeds: one for each song, 0 to 2^64 - 1.
        parameters: how a token is chosen.
        rewrite_lyrics: whether lyrics with words are replaced; open ones become those of an instrumental.
        on_progress: called with (tokens done, the most there can be).

    Raises:
        ValueError: lengths that do not agree, or a song beyond the model's positions.
    """
    songs = [settle_instrumental(_without_planned_rewrite(song)) for song in plan_for_each(blueprints, seeds)]
    changes_lyrics = [rewrite_lyrics and not has_no_words(song.lyrics or INSTRUMENTAL_LYRICS) for song in songs]
    requests = [
        Request(
            rewrite_prompt(planner.grammar.tokens, song.caption or "", song.lyrics or INSTRUMENTAL_LYRICS),
            plan_constraint(planner.grammar, fixed=_fixed_for_rewrite(song), with_lyrics=changes),
            seed,
        )
        for song, changes, seed in zip(songs, changes_lyrics, seeds, strict=True)
    ]
    notes: list[str] = []
    for index, answer in enumerate(run_requests(planner, requests, parameters, on_progress)):
        name = song_name(index, seeds)
        songs[index] = fill_open_fields(songs[index], answer.metadata, _fixed_for_rewrite(songs[index]))
        notes += note_on_caption(name, answer)
        if not changes_lyrics[index]:
            continue
        if answer.lyrics and answer.is_whole:
            songs[index] = with_planned_values(with_user_values(songs[index], lyrics=None), lyrics=answer.lyrics)
        else:
            reason = f"did not end within {LYRICS_TOKENS} tokens" if answer.lyrics else "were empty"
            notes.append(f"{name}the lyrics are unchanged, because the rewritten ones {reason}")
    return PlannedSongs(tuple(songs), tuple(notes))


def _without_planned_rewrite(song: Blueprint) -> Blueprint:
    if song.origin("rewritten_caption") != "planner":
        return song
    return with_user_values(song, rewritten_caption=None)


def _fixed_for_rewrite(song: Blueprint) -> dict[str, str | int]:
    return {name: value for name, value in song_metadata(song).items() if name != "caption"}
