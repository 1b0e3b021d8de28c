"""What all tasks of the planner share: putting requests to the language model, and taking its answers into blueprints.

Requests run in groups of 8 at most; each has its own seed and grammar state, so the grouping changes nothing.

Trap: an answer is split at the token `</think>`. In its text the same letters could be part of a caption.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Mapping, Sequence
from typing import NamedTuple

from ..checks import spread
from ..models.qwen3 import Qwen3
from ..progress import Progress, part_of_progress
from ..runtime import Runtime
from ..song.blueprint import Blueprint, with_planned_values
from ..song.fields import INSTRUMENTAL_LYRICS, MAX_BATCH_SIZE
from ..song.languages import UNKNOWN_LANGUAGE
from .chat_prompts import check_positions
from .grammar import CAPTION_TOKENS, LYRICS_TOKENS, Grammar, PlanConstraint
from .metadata import read_lyrics, read_metadata, song_values
from .text_generation import generate_text
from .text_tokens import TextTokens
from .token_choice import SamplingParameters
from .vocabulary import THINK_END, THINK_START, TURN_END

_TAG = re.compile(r"\[[^\[\]]*\]")


class Planner(NamedTuple):
    """A language model and what its tasks need beside it; it computes in bf16 on CUDA and fp32 on the CPU, never fp16.

    Its attention is its own: one that reads a cache.
    """

    lm: Qwen3
    grammar: Grammar
    runtime: Runtime = Runtime()


class PlannedSongs(NamedTuple):
    """One blueprint for each seed, and sentences for the user about what is not simply as asked."""

    blueprints: tuple[Blueprint, ...]
    notes: tuple[str, ...]


class Request(NamedTuple):
    """A prompt, the grammar of its answer, and the seed of its noise."""

    prompt: list[int]
    constraint: PlanConstraint
    seed: int


class Answer(NamedTuple):
    """Raw metadata by field name, lyrics ("" if there are none), and whether the model ended them itself.

    `caption_is_cut` says that the caption reached the most the renderer reads.
    """

    metadata: dict[str, str]
    lyrics: str
    is_whole: bool
    caption_is_cut: bool = False


def run_requests(
    planner: Planner, requests: Sequence[Request], parameters: SamplingParameters, on_progress: Progress | None
) -> list[Answer]:
    """The answers to some requests, in their order.

    Raises:
        ValueError: a prompt that leaves too few positions for its answer.
    """
    for request in requests:
        check_positions(len(request.prompt), request.constraint.max_tokens)
    groups = [requests[start : start + MAX_BATCH_SIZE] for start in range(0, len(requests), MAX_BATCH_SIZE)]
    longest = [max(request.constraint.max_tokens for request in group) for group in groups]
    answers: list[Answer] = []
    for number, group in enumerate(groups):
        outputs = generate_text(
            planner.lm,
            [request.prompt for request in group],
            [request.constraint for request in group],
            parameters,
            [request.seed for request in group],
            longest[number],
            runtime=planner.runtime,
            on_progress=part_of_progress(on_progress, sum(longest[:number]), sum(longest)),
        )
        for request, output in zip(group, outputs, strict=True):
            answer = read_answer(planner.grammar.tokens, output)
            answers.append(answer._replace(caption_is_cut=request.constraint.caption_is_cut))
    return answers


def read_answer(tokens: TextTokens, ids: Sequence[int]) -> Answer:
    """Metadata and lyrics of token ids that a grammar allowed."""
    end = ids.index(THINK_END) if THINK_END in ids else len(ids)
    block = [token for token in ids[:end] if token != THINK_START]
    after = [token for token in ids[end + 1 :] if token != TURN_END]
    return Answer(read_metadata(tokens.decode(block)), read_lyrics(tokens.decode(after)), TURN_END in ids[end:])


def fill_open_fields(song: Blueprint, metadata: Mapping[str, str], fixed: Collection[str]) -> Blueprint:
    """The song with what the model chose; a caption for a song that has one becomes its rewrite.

    Args:
        song: what to fill.
        metadata: the answer.
        fixed: names of metadata that the model was given instead of choosing it.
    """
    values = song_values({name: value for name, value in metadata.items() if name not in fixed})
    if song.caption is not None and "caption" in values:
        values["rewritten_caption"] = values.pop("caption")
    return with_planned_values(song, **values)


def has_no_words(lyrics: str) -> bool:
    """Whether lyrics are section tags only: `[Instrumental]`, or `[Intro]`, `[Guitar Solo]` and so on."""
    return not _TAG.sub("", lyrics).strip()


def settle_instrumental(song: Blueprint) -> Blueprint:
    """Open lyrics become those of an instrumental, and the open language of an instrumental `unknown`."""
    if song.lyrics is None:
        song = with_planned_values(song, lyrics=INSTRUMENTAL_LYRICS)
    if song.language is None and has_no_words(song.lyrics or INSTRUMENTAL_LYRICS):
        song = with_planned_values(song, language=UNKNOWN_LANGUAGE)
    return song


def plan_for_each(blueprints: Sequence[Blueprint], seeds: Sequence[int]) -> list[Blueprint]:
    """One blueprint for each seed.

    Raises:
        ValueError: no seed, or neither one blueprint nor as many as seeds.
    """
    if not seeds:
        raise ValueError("give one seed for each song, got none")
    return spread(blueprints, len(seeds), "blueprints")


def song_name(index: int, seeds: Sequence[int]) -> str:
    """How a note says which song it is about: nothing if there is only one."""
    return f"song {index + 1}: " if len(seeds) > 1 else ""


def note_on_caption(name: str, answer: Answer) -> list[str]:
    """A note where the model's caption did not end by itself."""
    if not answer.caption_is_cut:
        return []
    return [f"{name}the caption is cut: it reached {CAPTION_TOKENS} tokens, the most the renderer reads"]


def note_on_length(name: str, answer: Answer) -> list[str]:
    """A note where the model's lyrics did not end by themselves."""
    if answer.is_whole:
        return []
    return [f"{name}the lyrics are cut: they reached {LYRICS_TOKENS} tokens, the most the renderer reads"]
