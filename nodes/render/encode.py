"""Encode: from song plans, with a task and a timbre or without, to what the sampler needs."""

from __future__ import annotations

from typing import NamedTuple

from comfy_api.v0_0_2 import io, ui
from torch import Tensor

from ...ace_core.checkpoints.tokenizer import TextTokenizer
from ...ace_core.render.audio_codes import decode_audio_codes, encode_audio_codes
from ...ace_core.render.conditions import (
    SongConditions,
    SongPrompt,
    encode_conditions,
    encode_text,
    song_conditions,
    tokenize_song,
)
from ...ace_core.render.prompts import CAPTION_TOKEN_LIMIT, LYRIC_TOKEN_LIMIT
from ...ace_core.song.blueprint import Blueprint, fields_left_auto
from ...ace_core.song_files.record import Setting
from ...ace_core.song_files.replay import CODES_STRENGTH, TASK, TIMBRE
from ...ace_core.tasks.song_task import SongTask, check_task, source_latents, task_conditions, tokenize_task
from .. import compat
from ..host import feedback, networks
from ..edit.inputs import described
from ..wires import (
    AceBlueprint,
    AceBlueprintWire,
    AceConditioning,
    AceConditioningWire,
    AceModel,
    AceModelWire,
    AceTask,
    AceTaskWire,
    AceTextEncoder,
    AceTextEncoderWire,
    AceTimbre,
    AceTimbreWire,
)


class AceComposerEncode(io.ComfyNode):
    @classmethod
    def define_schema(cls) -> io.Schema:
        return compat.Schema(
            node_id="AceComposerEncode",
            display_name="ACE-Step Encode",
            category="audio/ACE Composer",
            description="Turn a blueprint, with a task and a timbre or without, into what the sampler needs.",
            search_aliases=["conditioning", "text encode"],
            inputs=[
                AceModelWire.Input("model", tooltip="From Load Models: the condition encoder is part of it."),
                AceTextEncoderWire.Input("text_encoder", tooltip="From Load Models."),
                AceBlueprintWire.Input("blueprint", tooltip="One song plan, or several: each is encoded on its own."),
                compat.advanced(
                    io.Float.Input(
                        "codes_strength",
                        default=1.0,
                        min=0.0,
                        max=1.0,
                        step=0.01,
                        optional=True,
                        tooltip="Share of the sampler's steps that follow the blueprint's audio codes; the others run "
                        "without. Does nothing for a blueprint without codes.",
                    )
                ),
                AceTaskWire.Input(
                    "task",
                    optional=True,
                    tooltip="What to make of source audio, from Cover, Repaint, Extract and so on. Its source decides "
                    "the length of the song.",
                ),
                AceTimbreWire.Input(
                    "timbre", optional=True, tooltip="From Reference Audio: how the song shall sound, with any task."
                ),
            ],
            outputs=[AceConditioningWire.Output("ace_conditioning", display_name="conditioning")],
            hidden=[io.Hidden.unique_id],
        )

    @classmethod
    def execute(
        cls,
        model: AceModel,
        text_encoder: AceTextEncoder,
        blueprint: AceBlueprint,
        codes_strength: float = 1.0,
        task: AceTask | None = None,
        timbre: AceTimbre | None = None,
    ) -> io.NodeOutput:
        for song_task in task.songs if task else ():
            check_task(song_task.task, model.kind, model.name)
        songs = [
            _planned(text_encoder.tokenizer, song, song_task, codes_strength)
            for song, song_task in _paired(blueprint, task)
        ]
        prompts = [song.prompt for song in songs]
        late_prompts = [song.late_prompt for song in songs if song.late_prompt is not None]
        references = timbre.references if timbre else ()
        packed = iter(packed_conditions(model, text_encoder, [*prompts, *late_prompts], references))
        packed_songs = [next(packed) for _ in songs]
        conditions = tuple(
            _conditions(model, song, item, next(packed) if song.late_prompt is not None else None, codes_strength)
            for song, item in zip(songs, packed_songs, strict=True)
        )
        lines = [line for song in songs for line in _summary(song)]
        if references:
            lines.append(f"with the timbre of {len(references)} reference(s)")
        if codes_strength < 1 and all(song.blueprint.audio_codes is None for song in songs):
            lines.append("codes_strength does nothing: there are no audio codes in the blueprint")
        summary = "\n".join(lines)
        feedback.show_text(cls.hidden.unique_id, summary)
        recorded = tuple(_recorded(song, codes_strength, len(references)) for song in songs)
        return io.NodeOutput(AceConditioning(conditions, settings=recorded), ui=ui.PreviewText(summary))


class _Song(NamedTuple):
    """An item of the batch; `late_prompt` is that of the steps beyond a strength below 1."""

    blueprint: Blueprint
    task: SongTask | None
    prompt: SongPrompt
    late_prompt: SongPrompt | None


def _paired(blueprint: AceBlueprint, task: AceTask | None) -> list[tuple[Blueprint, SongTask | None]]:
    """Each song's plan and task; one plan serves all tasks, and one task all plans."""
    tasks: tuple[SongTask | None, ...] = task.songs if task else (None,)
    count = max(len(blueprint), len(tasks))
    if len(blueprint) not in (1, count) or len(tasks) not in (1, count):
        raise ValueError(
            f"got {len(blueprint)} blueprints for a task with {len(tasks)} songs (one for each piece of audio, and of "
            "Extract one for each track): connect 1 or as many"
        )
    blueprints = blueprint * (count // len(blueprint))
    return [*zip(blueprints, tasks * (count // len(tasks)), strict=True)]


def _planned(tokenizer: TextTokenizer, blueprint: Blueprint, task: SongTask | None, codes_strength: float) -> _Song:
    if task is None:
        prompt = tokenize_song(tokenizer, blueprint)
        leaves_codes = blueprint.audio_codes is not None and codes_strength < 1
        late_prompt = tokenize_song(tokenizer, blueprint, follow_codes=False) if leaves_codes else None
    else:
        prompt = tokenize_task(tokenizer, blueprint, task)
        late_prompt = tokenize_task(tokenizer, blueprint, task, follow_source=False) if task.strength < 1 else None
    return _Song(blueprint, task, prompt, late_prompt)


def packed_conditions(
    model: AceModel, text_encoder: AceTextEncoder, prompts: list[SongPrompt], references: tuple[Tensor, ...]
) -> list[Tensor]:
    """Packed conditions of each prompt: all through the text encoder first, then all through the condition encoder."""
    update = feedback.progress()
    network, device = networks.load(text_encoder.patcher)
    attention = networks.attention(device)
    texts = []
    for done, prompt in enumerate(prompts, 1):
        texts.append(encode_text(network, prompt, device=device, dtype=text_encoder.dtype, attention=attention))
        update(done, 2 * len(prompts))

    network, device = networks.load(model.condition_encoder)
    attention = networks.attention(device)
    packed = []
    for done, text in enumerate(texts, len(prompts) + 1):
        packed.append(
            encode_conditions(
                network,
                text,
                model.silence,
                device=device,
                dtype=model.dtype,
                references=references,
                attention=attention,
            )
        )
        update(done, 2 * len(prompts))
    return packed


def _conditions(
    model: AceModel, song: _Song, packed: Tensor, late_packed: Tensor | None, codes_strength: float
) -> SongConditions:
    structure = _structure(model, song)
    if song.task is None:
        return song_conditions(
            packed,
            song.prompt,
            model.silence,
            hints=structure,
            packed_without_codes=late_packed,
            codes_strength=codes_strength,
        )
    return task_conditions(
        packed,
        song.task,
        model.silence,
        structure=structure,
        packed_without_source=late_packed,
        lyric_ids=song.prompt.lyric_ids,
    )


def _structure(model: AceModel, song: _Song) -> Tensor | None:
    """Latents of the audio codes to follow, the blueprint's or those of the task's source; None without codes."""
    covered = song.task if song.task is not None and song.task.follows_codes else None
    codes = song.blueprint.audio_codes
    if covered is None and codes is None:
        return None
    if model.audio_tokenizer is None:
        way_out = "a blueprint without codes" if covered is None else "the structure 'latents' in Cover"
        raise ValueError(
            f"the song follows audio codes, but {model.name} was converted without its audio tokenizer: use another "
            f"file of this model, or {way_out}"
        )
    network, device = networks.load(model.audio_tokenizer)
    attention = networks.attention(device)
    if covered is not None:
        latents = source_latents(covered, model.silence)
        codes = encode_audio_codes(
            network, latents, model.silence, device=device, dtype=model.dtype, attention=attention
        )
    return decode_audio_codes(network, codes, device=device, dtype=model.dtype, attention=attention)


def _recorded(song: _Song, codes_strength: float, references: int) -> dict[str, Setting]:
    """What a record says beside the plan; see `ace_core.song_files.replay`."""
    recorded: dict[str, Setting] = {}
    if song.task is not None:
        recorded[TASK] = described(song.task)
    elif song.blueprint.audio_codes is not None:
        recorded[CODES_STRENGTH] = codes_strength
    if references:
        recorded[TIMBRE] = f"{references} reference(s)"
    return recorded


def _summary(song: _Song) -> list[str]:
    """One line for a song: its task or length, the size of its prompts, what was left open; then its note."""
    prompt = song.prompt
    what = described(song.task) if song.task else f"{prompt.duration_seconds:g} s"
    open_fields = ", ".join(fields_left_auto(song.blueprint)) or "nothing"
    line = (
        f"{what}, caption {len(prompt.caption_ids)}/{CAPTION_TOKEN_LIMIT} tokens, "
        f"lyrics {len(prompt.lyric_ids)}/{LYRIC_TOKEN_LIMIT} tokens, left open: {open_fields}"
    )
    return [line] if prompt.note is None else [line, prompt.note]
