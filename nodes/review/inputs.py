"""Finished songs as the listening nodes take them: what was sampled, or any recording with a plan that describes it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import torch
from comfy_api.v0_0_2 import io
from torch import Tensor

from ...ace_core.audio.waveform import LATENT_FRAME_RATE
from ...ace_core.checkpoints.silence import silence_frames
from ...ace_core.listening.lyric_attention import lyric_attention_memory_bytes
from ...ace_core.listening.lyric_tokens import lyric_tokens
from ...ace_core.render.audio_codes import decode_audio_codes
from ...ace_core.render.conditions import SongConditions, song_conditions, tokenize_prompts
from ...ace_core.render.prompts import task_instruction
from ...ace_core.render.runs import render_memory_bytes
from ...ace_core.song.blueprint import Blueprint
from .. import compat
from ..host import networks
from ..edit.inputs import encoded, heard, one_for_each
from ..render.encode import packed_conditions
from ..render.latents import sample_counts, song_latents
from ..wires import (
    AceBlueprint,
    AceConditioning,
    AceConditioningWire,
    AceModel,
    AceTextEncoder,
    AceVae,
    AceVaeWire,
)


class Recording(NamedTuple):
    """Clean latents [T, 64] of a song, and how many samples it lasts."""

    latents: Tensor
    sample_count: int


class FinishedSong(NamedTuple):
    """Clean latents [T, 64] of a song and the conditions it is heard with."""

    latents: Tensor
    conditions: SongConditions


def recording_inputs() -> list[Any]:
    return [
        io.Latent.Input(
            "latent", optional=True, tooltip="The songs, from Sample: nothing has to be decoded. Or connect audio."
        ),
        AceConditioningWire.Input(
            "conditioning",
            optional=True,
            tooltip="From Encode, what the songs were sampled with; then the blueprint is not encoded again.",
        ),
        io.Audio.Input(
            "audio", optional=True, tooltip="The songs as audio, 1 to 600 s, whoever made them; needs vae too."
        ),
        AceVaeWire.Input("vae", optional=True, tooltip="From Load Models; for audio."),
    ]


def steps_input() -> Any:
    return compat.advanced(
        io.Int.Input(
            "steps",
            default=0,
            min=0,
            max=200,
            optional=True,
            tooltip="Steps of the sampler: the song is heard with as much noise as it has before the last one. 0: 8 "
            "for turbo, 50 for base and sft.",
        )
    )


def recordings(latent: dict[str, Any] | None, audio: Mapping[str, Any] | None, vae: AceVae | None) -> list[Recording]:
    """The songs of a LATENT or of an AUDIO.

    Raises:
        ValueError: both or neither, audio without a VAE, or audio that `heard` refuses.
    """
    if (latent is None) == (audio is None):
        what = "neither is" if latent is None else "both are"
        raise ValueError(f"connect the songs as latent or as audio: {what} connected")
    if latent is not None:
        return [Recording(*item) for item in zip(song_latents(latent), sample_counts(latent), strict=True)]
    if vae is None:
        raise ValueError("the songs come as audio: connect vae too, from Load Models")
    waveforms = heard(audio)
    return [Recording(latents, waveforms.shape[-1]) for latents in encoded(vae, waveforms)]


def finished_songs(
    model: AceModel,
    text_encoder: AceTextEncoder,
    songs: Sequence[Recording],
    conditioning: AceConditioning | None,
    blueprint: AceBlueprint | None,
) -> list[FinishedSong]:
    """Join recordings with their conditions; those of a blueprint are made for the recording's own length.

    Raises:
        ValueError: neither conditioning nor blueprint, or neither one nor as many as recordings.
    """
    if conditioning is not None:
        given = one_for_each(conditioning.songs, len(songs), "conditionings")
        return [FinishedSong(song.latents, conditions) for song, conditions in zip(songs, given, strict=True)]
    if blueprint is None:
        raise ValueError("connect what the songs were to be: the conditioning they were sampled with, or a blueprint")
    plans = one_for_each(blueprint, len(songs), "blueprints")
    prompts = [
        tokenize_prompts(
            text_encoder.tokenizer,
            plan,
            task_instruction("cover" if _follows_codes(model, plan) else "text2music"),
            (len(song.latents) + 0.5) / LATENT_FRAME_RATE,  # within the last frame, so that rounding loses none
            None,
        )
        for song, plan in zip(songs, plans, strict=True)
    ]
    packed = packed_conditions(model, text_encoder, prompts, ())
    finished = []
    for song, plan, prompt, item in zip(songs, plans, prompts, packed, strict=True):
        conditions = song_conditions(item, prompt, model.silence, hints=_hints(model, plan))
        conditions = conditions._replace(sample_count=song.sample_count)
        finished.append(FinishedSong(_long_enough(song.latents, len(conditions.source), model.silence), conditions))
    return finished


def loaded_for_listening(
    model: AceModel, text_encoder: AceTextEncoder, songs: Sequence[FinishedSong]
) -> tuple[Any, dict[str, Any]]:
    """The DiT on its device, and the keywords of `align_lyrics` and `score_alignment` that go with it."""
    config = model.dit.model.config
    needed = max(
        render_memory_bytes(config, [song.conditions], guided=False, dtype=model.dtype)
        + lyric_attention_memory_bytes(
            config, song.conditions, lyric_tokens(song.conditions.lyric_ids, text_encoder.tokenizer)
        )
        for song in songs
    )
    network, device = networks.load(model.dit, needed)
    return network, {"device": device, "dtype": model.dtype, "attention": networks.attention(device)}


def _follows_codes(model: AceModel, plan: Blueprint) -> bool:
    """A model without audio tokenizer could not have followed any codes."""
    return plan.audio_codes is not None and model.audio_tokenizer is not None


def _hints(model: AceModel, plan: Blueprint) -> Tensor | None:
    if plan.audio_codes is None or not _follows_codes(model, plan):
        return None
    network, device = networks.load(model.audio_tokenizer)
    return decode_audio_codes(
        network, plan.audio_codes, device=device, dtype=model.dtype, attention=networks.attention(device)
    )


def _long_enough(latents: Tensor, frames: int, silence: Tensor) -> Tensor:
    """Latents [frames, 64]: a recording below 5.12 s is continued with silence."""
    return torch.cat((latents, silence_frames(silence, frames - len(latents))[0].to(latents)))
