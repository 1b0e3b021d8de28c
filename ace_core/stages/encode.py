"""Encode: song plans, with tasks and references, to what the sampler needs.

All prompts go through the text encoder first, then all through the condition encoder, so that each is brought onto its
device once.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import NamedTuple

from torch import Tensor

from ..loaded import AceModel, AceTextEncoder
from ..music_box.remarks import plan_remarks
from ..render.conditions import (
    SongConditions,
    SongPrompt,
    encode_conditions,
    encode_text,
    song_conditions,
    tokenize,
)
from ..render.prompts import CAPTION_TOKEN_LIMIT, LYRIC_TOKEN_LIMIT
from ..runtime import Networks
from ..song.blueprint import Blueprint, fields_left_auto, resolved_duration
from ..song_files.record import Setting
from ..song_files.replay import CODES_STRENGTH, INSTRUCTION, PLANNED_BY, TASK, TIMBRE
from ..tasks.instructions import checked_instruction
from ..tasks.song_task import SongTask, check_task, task_summary, text_task
from .codes import followed_structure


class AceVariation(NamedTuple):
    """A retake: item i mixes in the noise of `seed` + i; `strength` 0 is the song itself, 1 the other seed's.

    Attributes:
        of: seeds of the songs that are varied, in place of the sampler's; empty for these.
    """

    seed: int
    strength: float
    of: tuple[int, ...] = ()


class AceConditioning(NamedTuple):
    """Conditions of each song of a batch.

    Attributes:
        settings: what a record should say of how each was encoded.
        tasks: what is made of each.
    """

    songs: tuple[SongConditions, ...]
    variation: AceVariation | None = None
    settings: tuple[Mapping[str, Setting], ...] = ()
    tasks: tuple[SongTask, ...] = ()

    def __repr__(self) -> str:
        return f"conditions of {len(self.songs)} song(s)"


class Encoded(NamedTuple):
    """The conditions of some songs, and what was encoded, in sentences."""

    conditioning: AceConditioning
    notes: tuple[str, ...]


def encode_songs(
    networks: Networks,
    model: AceModel,
    text_encoder: AceTextEncoder,
    plans: Sequence[Blueprint],
    *,
    tasks: Sequence[SongTask] = (),
    references: Sequence[Tensor] = (),
    codes_strength: float = 1.0,
    instruction: str = "",
) -> Encoded:
    """Encode each plan with its task.

    Args:
        tasks: one for each plan, or one for all (and one plan serves all tasks); none for music from text and codes.
        references: latents of reference audio, each [750, 64]; every song hears all of them.
        codes_strength: share of the steps that follow a plan's audio codes.
        instruction: in place of each task's own, which the model was trained on; blank for that.

    Raises:
        ValueError: other numbers of plans and tasks; a task that does not go with its plan or the checkpoint; a prompt
            that is too long; codes and a model without audio tokenizer; an instruction of several lines.
    """
    instruction = checked_instruction(instruction)
    pairs = _paired(plans, tasks, codes_strength)
    warnings = [check_task(task, plan, model.variant, model.name) for plan, task in pairs]
    settings = tuple(_recorded(plan, task, len(references), instruction) for plan, task in pairs)
    prompts = [tokenize(text_encoder.tokenizer, plan, task, instruction=instruction) for plan, task in pairs]
    second_prompts = {  # for the steps that follow neither source nor codes
        index: tokenize(text_encoder.tokenizer, plan, task, following=False)
        for index, (plan, task) in enumerate(pairs)
        if task.follow_share < 1
    }
    notes = [*dict.fromkeys(filter(None, warnings))]
    notes += [line for pair, prompt in zip(pairs, prompts, strict=True) for line in _summary(*pair, prompt)]
    notes += dict.fromkeys(remark for plan, task in pairs for remark in plan_remarks(model.about, plan, task.name))
    if instruction:
        notes.append(f"instruction: {instruction!r} in place of the task's own, which the model was trained on")
    if references:
        notes.append(f"with the timbre of {len(references)} reference(s)")
    if codes_strength < 1 and not any(task.codes for _, task in pairs):
        notes.append("codes_strength does nothing: there are no audio codes in the blueprint")
    packed = encode_prompts(networks, model, text_encoder, [*prompts, *second_prompts.values()], references)
    second_packed = dict(zip(second_prompts, packed[len(pairs) :], strict=True))
    conditions = tuple(
        song_conditions(
            task,
            prompts[index],
            packed[index],
            model.silence,
            structure=followed_structure(networks, model, task),
            second_packed=second_packed.get(index),
        )
        for index, (_, task) in enumerate(pairs)
    )
    tasks_used = tuple(task for _, task in pairs)
    return Encoded(AceConditioning(conditions, settings=settings, tasks=tasks_used), tuple(notes))


def encode_prompts(
    networks: Networks,
    model: AceModel,
    text_encoder: AceTextEncoder,
    prompts: Sequence[SongPrompt],
    references: Sequence[Tensor] = (),
) -> list[Tensor]:
    """Packed conditions [L, condition_size] of each prompt, on the CPU."""
    update = networks.progress()
    encoder, runtime = networks.use(text_encoder.encoder)
    texts = []
    for done, prompt in enumerate(prompts, 1):
        texts.append(encode_text(encoder, prompt, runtime))
        update(done, 2 * len(prompts))
    conditioner, runtime = networks.use(model.condition_encoder)
    packed = []
    for done, text in enumerate(texts, len(prompts) + 1):
        packed.append(encode_conditions(conditioner, text, model.silence, runtime, references))
        update(done, 2 * len(prompts))
    return packed


def _summary(plan: Blueprint, task: SongTask, prompt: SongPrompt) -> list[str]:
    """A song in words: its task or length, the size of its prompts, what was left open; then a note on its length."""
    open_fields = ", ".join(fields_left_auto(plan)) or "nothing"
    line = (
        f"{task_summary(task)}, caption {len(prompt.caption_ids)}/{CAPTION_TOKEN_LIMIT} tokens, "
        f"lyrics {len(prompt.lyric_ids)}/{LYRIC_TOKEN_LIMIT} tokens, left open: {open_fields}"
    )
    note = _length_note(plan, task)
    return [line] if note is None else [line, note]


def _paired(
    plans: Sequence[Blueprint], tasks: Sequence[SongTask], codes_strength: float
) -> list[tuple[Blueprint, SongTask]]:
    """Each song's plan and task."""
    if not tasks:
        return [(plan, text_task(plan, codes_strength)) for plan in plans]
    count = max(len(plans), len(tasks))
    if len(plans) not in (1, count) or len(tasks) not in (1, count):
        raise ValueError(
            f"got {len(plans)} blueprints for a task with {len(tasks)} songs (one for each piece of audio, and of "
            "Extract one for each track): give 1 or as many"
        )
    return [*zip([*plans] * (count // len(plans)), [*tasks] * (count // len(tasks)), strict=True)]


def _length_note(plan: Blueprint, task: SongTask) -> str | None:
    """Why a song has the length it has, where its plan does not say so."""
    if task.source is None:
        return resolved_duration(plan).note
    planned = plan.duration_seconds
    if planned is None or abs(planned - task.duration_seconds) < 0.1:
        return None
    return f"the source decides the length, {task.duration_seconds:g} s, not the blueprint's {planned:g} s"


def _recorded(plan: Blueprint, task: SongTask, references: int, instruction: str) -> dict[str, Setting]:
    """What a record says of the conditions; see `song_files.replay`."""
    recorded: dict[str, Setting] = {PLANNED_BY: plan.planner} if plan.planner else {}
    if task.source is not None:
        recorded[TASK] = task_summary(task)
    elif task.codes is not None:
        recorded[CODES_STRENGTH] = task.follow_share
    if instruction:
        recorded[INSTRUCTION] = instruction
    if references:
        recorded[TIMBRE] = f"{references} reference(s)"
    return recorded
