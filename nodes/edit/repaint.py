"""Repaint and Extend: new music inside a recording, or before and after it."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any, get_args

import torch
from comfy_api.v0_0_2 import io
from torch import Tensor

from ...ace_core.audio.waveform import SAMPLE_RATE
from ...ace_core.checks import check_choice, spread
from ...ace_core.loaded import AceVae
from ...ace_core.song.regions import Region, RegionUnit, mask_regions, parse_regions, region, seconds_per_bar
from ...ace_core.song_files.encoding import Sound
from ...ace_core.stages.sources import encode_source, given_sources
from ...ace_core.tasks.extend import extend_task, extend_window, window_latents
from ...ace_core.tasks.repaint import RepaintMode, repaint_task
from .. import compat
from ..host.networks import NETWORKS
from ..node import CATEGORY
from ..render.latents import song_latents
from ..takes import heard_files, takes
from ..wires import AceBlueprint, AceBlueprintWire
from .inputs import audio_input, latent_input, source_audio, source_latents, task_output, task_wire, vae_input

DEFAULT_STRENGTH = 0.5  # as published


class AceComposerRepaint(io.ComfyNode):
    @classmethod
    def define_schema(cls) -> io.Schema:
        return compat.Schema(
            node_id="AceComposerRepaint",
            display_name="ACE-Step Repaint",
            category=f"{CATEGORY}/edit",
            description="Replace parts of a recording. Connect the task to Encode and to Decode: then every "
            "other sample stays as it is.",
            search_aliases=["inpaint", "edit audio", "replace section", "fix lyrics"],
            inputs=[
                vae_input(),
                audio_input("The recording to change."),
                io.Float.Input(
                    "start",
                    default=10.0,
                    min=0.0,
                    max=3600.0,
                    step=0.01,
                    tooltip="Where the part to replace begins: seconds, or a bar number starting at 1.",
                ),
                io.Float.Input(
                    "end",
                    default=20.0,
                    min=0.0,
                    max=3600.0,
                    step=0.01,
                    tooltip="Where it ends: seconds, or the first bar that stays. 0: the end of the recording.",
                ),
                io.Combo.Input(
                    "unit",
                    options=list(get_args(RegionUnit)),
                    default="seconds",
                    tooltip="Unit of start, end and more_regions. bars needs a blueprint with bpm and time signature.",
                ),
                io.Combo.Input(
                    "mode",
                    options=list(get_args(RepaintMode)),
                    default="balanced",
                    tooltip="How the new part joins the rest. conservative: the rest is held to the recording in "
                    "every step. aggressive: the model is free, with a 10 ms fade. balanced: between the "
                    "two, by strength.",
                ),
                io.Float.Input(
                    "strength",
                    default=DEFAULT_STRENGTH,
                    min=0.0,
                    max=1.0,
                    step=0.01,
                    tooltip="For balanced only: 0 equals conservative, 1 equals aggressive.",
                ),
                io.String.Input(
                    "more_regions",
                    default="",
                    optional=True,
                    tooltip="Further parts to replace, e.g. 30-35, 50-62.5, in the same unit.",
                ),
                io.Mask.Input(
                    "mask",
                    optional=True,
                    tooltip="Replaces start, end and more_regions: its width is the recording, and white columns are "
                    "replaced. One mask, or one for each recording.",
                ),
                AceBlueprintWire.Input(
                    "blueprint", optional=True, tooltip="Tempo and time signature for the unit bars."
                ),
                latent_input(),
            ],
            outputs=[task_wire()],
            hidden=[io.Hidden.unique_id],
        )

    @classmethod
    def execute(
        cls,
        vae: AceVae,
        audio: Mapping[str, Any] | None,
        start: float,
        end: float,
        unit: RegionUnit,
        mode: RepaintMode,
        strength: float,
        more_regions: str = "",
        mask: Tensor | None = None,
        blueprint: AceBlueprint | None = None,
        latent: Mapping[str, Any] | None = None,
    ) -> io.NodeOutput:
        check_choice("unit", unit, get_args(RegionUnit))
        waveforms = source_audio(audio)
        notes = []
        if mask is None:
            regions = _written_regions(start, end, more_regions, unit, blueprint, len(waveforms))
        else:
            regions = _painted_regions(mask, waveforms)
            notes.append("the mask is used, not start, end and more_regions")
        if mode != "balanced" and strength != DEFAULT_STRENGTH:
            notes.append(f"strength belongs to the mode balanced: {mode} does not use it")
        sources = zip(source_latents(vae, waveforms, latent), waveforms, regions, strict=True)
        songs = [repaint_task(*source, mode=mode, strength=strength) for source in sources]
        return task_output(songs, *notes, **_heard(waveforms))


def _heard(waveforms: Tensor) -> dict[str, list[dict[str, Any]]]:
    """The first recording for the page's editor of regions, wherever it comes from."""
    sounds = [Sound(waveforms[0], SAMPLE_RATE)]
    return takes(sounds, heard_files(sounds), result="ace_source")


def _written_regions(
    start: float, end: float, more: str, unit: RegionUnit, blueprint: AceBlueprint | None, items: int
) -> list[list[Region]]:
    bars: list[float | None] = [None]
    if unit == "bars":
        if blueprint is None:
            raise ValueError("bars need a blueprint with bpm and time signature: connect one, or use seconds")
        bars = [seconds_per_bar(song) for song in blueprint]
    regions = [
        [region(start, end or math.inf, bar_seconds=seconds), *parse_regions(more, bar_seconds=seconds)]
        for seconds in bars
    ]
    return spread(regions, items, "blueprints")


def _painted_regions(mask: Tensor, waveforms: Tensor) -> list[list[Region]]:
    """Regions of each recording from a MASK [H, W] or [B, H, W]."""
    masks = mask if mask.ndim == 3 else mask[None]
    seconds = waveforms.shape[-1] / SAMPLE_RATE
    return spread([mask_regions(item, seconds) for item in masks], len(waveforms), "masks")


class AceComposerExtend(io.ComfyNode):
    @classmethod
    def define_schema(cls) -> io.Schema:
        return compat.Schema(
            node_id="AceComposerExtend",
            display_name="ACE-Step Extend",
            category=f"{CATEGORY}/edit",
            description="Make a recording longer, before it, after it or both. Connect the task to Encode and to "
            "Decode: then the recording stays sample for sample.",
            search_aliases=["outpaint", "continue", "longer", "intro", "outro"],
            inputs=[
                vae_input(),
                io.Audio.Input(
                    "audio",
                    tooltip="The recording to extend. Any sample rate, mono or stereo, from 1 s; it may be longer than "
                    "600 s.",
                ),
                io.Float.Input(
                    "before_seconds",
                    default=0.0,
                    min=0.0,
                    max=600.0,
                    step=0.1,
                    tooltip="New music before the recording, in seconds.",
                ),
                io.Float.Input(
                    "after_seconds",
                    default=30.0,
                    min=0.0,
                    max=600.0,
                    step=0.1,
                    tooltip="New music after the recording, in seconds.",
                ),
                compat.advanced(
                    io.Float.Input(
                        "context_seconds",
                        default=0.0,
                        min=0.0,
                        max=600.0,
                        step=1.0,
                        optional=True,
                        tooltip="How much of the recording next to the new part the model uses; less is faster. 0: as "
                        "much as fits into 600 s with the new part.",
                    )
                ),
                latent_input(),
            ],
            outputs=[task_wire()],
            hidden=[io.Hidden.unique_id],
        )

    @classmethod
    def execute(
        cls,
        vae: AceVae,
        audio: Mapping[str, Any] | None,
        latent: Mapping[str, Any] | None = None,
        **seconds: float,
    ) -> io.NodeOutput:
        recordings = source_audio(audio, max_seconds=math.inf)
        windows = [extend_window(waveform, **seconds) for waveform in recordings]
        if latent is None:
            sources = list(encode_source(NETWORKS, vae, torch.stack([window.waveform for window in windows])))
        else:
            given = given_sources(song_latents(dict(latent)), recordings)
            sources = [window_latents(*each) for each in zip(given, windows, strict=True)]
        songs = [extend_task(item, window) for item, window in zip(sources, windows, strict=True)]
        start, end = windows[0].start / SAMPLE_RATE, windows[0].end / SAMPLE_RATE
        return task_output(songs, f"the model renders {start:g}-{end:g} s of it")
