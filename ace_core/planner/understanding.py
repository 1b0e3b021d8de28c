"""Understanding: describe audio by its codes, as a plan that could have made it.

One answer under the grammar: metadata first, then the lyrics as free text. Matches the published
`understand_audio_from_codes`; where ours differs: the duration of audio is known, so it is forced.

The temperature is that function's own default, 0.3. The official interface passes 0.85, which is meant for invention:
two seeds then often disagree on the tempo and key of one recording.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

from ..progress import Progress
from ..song.blueprint import Blueprint, with_planned_values
from ..song.fields import seconds_of_codes
from ..song.texts import without_control_tokens
from .chat_prompts import understand_prompt
from .grammar import plan_constraint
from .requests import (
    Answer,
    PlannedSongs,
    Planner,
    Request,
    fill_open_fields,
    note_on_caption,
    note_on_length,
    run_requests,
    song_name,
)
from .token_choice import SamplingParameters

UNDERSTAND_PARAMETERS = SamplingParameters(temperature=0.3, top_p=1.0)


class Heard(NamedTuple):
    """A description of audio: the song, its genres, which no blueprint holds, and the answer they come from."""

    song: Blueprint
    genres: str
    answer: Answer


def understand(
    planner: Planner,
    codes: Sequence[Sequence[int]],
    seeds: Sequence[int],
    parameters: SamplingParameters = UNDERSTAND_PARAMETERS,
    *,
    on_progress: Progress | None = None,
) -> PlannedSongs:
    """Describe audio by its codes: caption, lyrics, metadata and language. The genres are in the notes.

    Args:
        planner: the language model.
        codes: audio codes of each piece, 5 a second.
        seeds: one for each piece, 0 to 2^64 - 1.
        parameters: how a token is chosen.
        on_progress: called with (tokens done, the most there can be).

    Raises:
        ValueError: no codes, illegal ones, lengths that do not agree, or codes beyond the model's positions.
    """
    songs: list[Blueprint] = []
    notes: list[str] = []
    for index, heard in enumerate(describe_codes(planner, codes, seeds, parameters, on_progress=on_progress)):
        name = song_name(index, seeds)
        songs.append(heard.song)
        if heard.song.lyrics is None:
            notes.append(f"{name}the planner heard no lyrics")
        notes += [*note_on_caption(name, heard.answer), *note_on_length(name, heard.answer)]
        if heard.genres:
            notes.append(f"{name}genres: {heard.genres}")
    return PlannedSongs(tuple(songs), tuple(notes))


def describe_codes(
    planner: Planner,
    codes: Sequence[Sequence[int]],
    seeds: Sequence[int],
    parameters: SamplingParameters = UNDERSTAND_PARAMETERS,
    *,
    with_lyrics: bool = True,
    on_progress: Progress | None = None,
) -> list[Heard]:
    """What `understand` hears, song by song; without lyrics, which are most of the work, if they are not wanted."""
    if len(codes) != len(seeds):
        raise ValueError(f"give one seed for each piece of audio, got {len(seeds)} seeds for {len(codes)}")
    requests = [
        Request(
            understand_prompt(planner.grammar.tokens, piece),
            plan_constraint(
                planner.grammar, fixed={"duration": int(seconds_of_codes(len(piece)))}, with_lyrics=with_lyrics
            ),
            seed,
        )
        for piece, seed in zip(codes, seeds, strict=True)
    ]
    return [
        Heard(
            with_planned_values(fill_open_fields(Blueprint(), answer.metadata, ()), lyrics=answer.lyrics),
            without_control_tokens(answer.metadata.get("genres", "")),
            answer,
        )
        for answer in run_requests(planner, requests, parameters, on_progress)
    ]
