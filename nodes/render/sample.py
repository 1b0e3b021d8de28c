"""Sample: render the latents of one song or a batch."""

from __future__ import annotations

from typing import Any, get_args

from comfy_api.v0_0_2 import io, ui
from torch import Tensor

from ...ace_core.render.conditions import SongConditions
from ...ace_core.render.runs import render_latents, render_memory_bytes
from ...ace_core.sampling.guidance import GuidanceMethod
from ...ace_core.sampling.noise import item_seeds
from ...ace_core.sampling.solvers import Solver
from ...ace_core.song_files.replay import MAX_BATCH_SIZE, SamplerWishes
from .. import compat
from ..host import feedback, networks
from ..wires import AceConditioning, AceConditioningWire, AceModel, AceModelWire, AceRecord, AceRecordWire
from .latents import RECORDS, song_latents, to_latent
from .takes import batch_count, comparison, records_of, replayed_take, take_of


class AceComposerSample(io.ComfyNode):
    @classmethod
    def define_schema(cls) -> io.Schema:
        return compat.Schema(
            node_id="AceComposerSample",
            display_name="ACE-Step Sample",
            category="audio/ACE Composer",
            description="Render the latents of a song with the diffusion transformer. 0 on a widget means: what the "
            "checkpoint wants. The node shows what it used.",
            search_aliases=["music", "text to music", "ksampler", "denoise"],
            inputs=[
                AceModelWire.Input("model", tooltip="From Load Models."),
                AceConditioningWire.Input("conditioning", tooltip="From Encode."),
                io.Int.Input(
                    "seed",
                    default=0,
                    min=0,
                    max=0xFFFFFFFFFFFFFFFF,
                    control_after_generate=True,
                    tooltip="The same seed gives the same song. Item i of a batch uses seed + i, and equals that seed "
                    "rendered alone.",
                ),
                io.Int.Input(
                    "batch_size",
                    default=1,
                    min=1,
                    max=MAX_BATCH_SIZE,
                    tooltip="How many versions of one song to render. With several blueprints: 1, or their number.",
                ),
                io.Int.Input("steps", default=0, min=0, max=200, tooltip="0: 8 for turbo, 50 for base and sft."),
                io.Float.Input(
                    "shift",
                    default=0.0,
                    min=0.0,
                    max=10.0,
                    step=0.1,
                    tooltip="Above 1: more steps at high noise. 0: 3 for turbo, 1 for base and sft. A wrong shift is "
                    "the most common cause of bad sound.",
                ),
                io.Float.Input(
                    "guidance",
                    default=0.0,
                    min=0.0,
                    max=15.0,
                    step=0.1,
                    tooltip="How strongly to follow the blueprint; 1 is off. 0: 7 for base and sft. Turbo has it built "
                    "in and takes none.",
                ),
                io.Combo.Input(
                    "solver",
                    options=list(get_args(Solver)),
                    default="euler",
                    tooltip="euler: as published. heun: two evaluations a step, for base and sft. sde: fresh seeded "
                    "noise in every step.",
                ),
                io.Latent.Input("latent", optional=True, tooltip="Start from these latents instead of pure noise."),
                io.Float.Input(
                    "denoise",
                    default=1.0,
                    min=0.01,
                    max=1.0,
                    step=0.01,
                    optional=True,
                    tooltip="How much of the connected latents to replace; 1 replaces everything.",
                ),
                compat.advanced(
                    io.Combo.Input(
                        "guidance_method",
                        options=list(get_args(GuidanceMethod)),
                        default="apg",
                        optional=True,
                        tooltip="apg: as published. cfg: plain, harsher. adg: angle-based.",
                    )
                ),
                compat.advanced(
                    io.Float.Input(
                        "guidance_start",
                        default=0.0,
                        min=0.0,
                        max=1.0,
                        step=0.01,
                        optional=True,
                        tooltip="Lowest noise level t at which guidance acts; t runs from 1 (noise) to 0 (music).",
                    )
                ),
                compat.advanced(
                    io.Float.Input(
                        "guidance_end",
                        default=1.0,
                        min=0.0,
                        max=1.0,
                        step=0.01,
                        optional=True,
                        tooltip="Highest noise level t at which guidance acts.",
                    )
                ),
                compat.advanced(
                    io.String.Input(
                        "custom_timesteps",
                        default="",
                        optional=True,
                        tooltip="Noise levels from 1 down to 0, separated by commas, instead of steps and shift.",
                    )
                ),
                compat.advanced(
                    io.String.Input(
                        "seeds",
                        default="",
                        optional=True,
                        tooltip="One seed for each item, separated by commas, instead of seed, seed + 1, ...",
                    )
                ),
                compat.advanced(
                    io.Boolean.Input(
                        "official_precision",
                        default=False,
                        optional=True,
                        tooltip="Round time steps and latents to bfloat16 like the official code does.",
                    )
                ),
                AceRecordWire.Input(
                    "replay",
                    optional=True,
                    tooltip="From Load Song: renders that song again, with its seed and settings instead of those on "
                    "this node, and says whether it is the same.",
                ),
            ],
            outputs=[
                io.Latent.Output(
                    "latent_out", display_name="latent", tooltip="Latents [batch, 64, frames] at 25 frames a second."
                )
            ],
            hidden=[io.Hidden.unique_id],
        )

    @classmethod
    def execute(
        cls,
        model: AceModel,
        conditioning: AceConditioning,
        seed: int,
        batch_size: int,
        steps: int,
        shift: float,
        guidance: float,
        solver: Solver,
        latent: dict[str, Any] | None = None,
        denoise: float = 1.0,
        guidance_method: GuidanceMethod = "apg",
        guidance_start: float = 0.0,
        guidance_end: float = 1.0,
        custom_timesteps: str = "",
        seeds: str = "",
        official_precision: bool = False,
        replay: AceRecord | None = None,
    ) -> io.NodeOutput:
        if replay is None:
            item_seed_list = item_seeds(_seed_list(seeds) or seed, batch_count(conditioning, batch_size))
            wishes = SamplerWishes(
                steps,
                shift,
                guidance,
                solver,
                denoise,
                guidance_method,
                guidance_start,
                guidance_end,
                custom_timesteps,
                official_precision,
            )
            take = take_of(conditioning, wishes, item_seed_list)
        else:
            take = replayed_take(replay, conditioning, batch_size)
        resolved = take.wishes.resolve(model.kind, has_start_latents=latent is not None)
        summary = "\n".join((*take.notes, resolved.summary, *resolved.notes))
        feedback.show_text(cls.hidden.unique_id, summary)

        settings = resolved.settings
        network, device = networks.load(
            model.dit,
            render_memory_bytes(model.dit.model.config, take.songs, guided=settings.uses_guidance, dtype=model.dtype),
        )
        latents = render_latents(
            network,
            take.songs,
            settings,
            take.seeds,
            device=device,
            dtype=model.dtype,
            start_latents=None if latent is None else _start_latents(latent, take.songs),
            variation=take.variation,
            attention=networks.attention(device),
            on_progress=feedback.progress(),
        )
        starts_from_latents = latent is not None and settings.timesteps[0] < 1
        records = records_of(take, model, device, resolved, latents, starts_from_latents=starts_from_latents)[take.kept]
        if replay is not None:
            summary = f"{comparison(replay, records[0])}\n{summary}"
            feedback.show_text(cls.hidden.unique_id, summary)
        counts = [song.sample_count for song in take.songs[take.kept]]
        latent_out = to_latent(latents[take.kept], counts, model.silence) | {RECORDS: tuple(records)}
        return io.NodeOutput(latent_out, ui=ui.PreviewText(summary))


def _seed_list(text: str) -> list[int]:
    try:
        return [int(part) for part in text.replace(",", " ").split()]
    except ValueError as error:
        raise ValueError(f"seeds must be whole numbers separated by commas, got {text!r}") from error


def _start_latents(latent: dict[str, Any], songs: tuple[SongConditions, ...]) -> list[Tensor]:
    """Latents [T, 64] to start each song from, without what pads a batch; one item serves all."""
    items = song_latents(latent)
    if len(items) == 1:
        items = items * len(songs)
    if len(items) != len(songs):
        raise ValueError(f"got {len(items)} latents to start from for a batch of {len(songs)}: give 1 or as many")
    return items
