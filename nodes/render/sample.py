"""Sample: render the latents of one song or a batch."""

from __future__ import annotations

from typing import Any

from comfy_api.v0_0_2 import io

from ...ace_core import checks
from ...ace_core.loaded import AceModel
from ...ace_core.sampling.guidance import GUIDANCE
from ...ace_core.sampling.noise import NOISE_KINDS
from ...ace_core.sampling.options import OFFERED, USUAL_SCALER, WAVELET_CORRECTIONS, SamplerOptions, resolve
from ...ace_core.sampling.solvers import SOLVERS
from ...ace_core.sampling.steadying import MAX_VELOCITY_CLAMP
from ...ace_core.sampling.wavelet import MAX_SCALER, PLANNED_SCALERS, TEXT_SCALERS
from ...ace_core.song.fields import MAX_BATCH_SIZE
from ...ace_core.stages.encode import AceConditioning
from ...ace_core.stages.render import new_take, render_songs, replayed_take, take_notes
from .. import changes, compat
from ..host import feedback
from ..host.networks import NETWORKS
from ..node import CATEGORY, shown
from ..wires import AceConditioningWire, AceModelWire, AceRecord, AceRecordWire
from .latents import TASKS, rendered_latent, song_latents

TASK_NOTE = "The latents carry their task, so Decode puts them into the recording. Save Latent would lose it."


class AceComposerSample(io.ComfyNode):
    @classmethod
    def define_schema(cls) -> io.Schema:
        return compat.Schema(
            node_id="AceComposerSample",
            display_name="ACE-Step Sample",
            category=f"{CATEGORY}/render",
            description="Render the latents of a song with the diffusion transformer. Leave a value at 0 to use "
            "the checkpoint's default; the node shows the values used.",
            search_aliases=["music", "text to music", "ksampler", "denoise"],
            inputs=[
                AceModelWire.Input("model", tooltip="From Load Models."),
                AceConditioningWire.Input("conditioning", tooltip="From Encode, the song to render."),
                io.Int.Input(
                    "seed",
                    default=0,
                    min=0,
                    max=0xFFFFFFFFFFFFFFFF,
                    control_after_generate=True,
                    tooltip="The same seed gives the same song. Item i of a batch uses seed + i and equals that seed "
                    "rendered alone.",
                ),
                io.Int.Input(
                    "batch_size",
                    default=1,
                    min=1,
                    max=MAX_BATCH_SIZE,
                    tooltip="How many versions of one song to render. With several blueprints: 1, or their number.",
                ),
                io.Int.Input(
                    "steps",
                    default=0,
                    min=0,
                    max=200,
                    tooltip="Denoising steps. 0: 8 for turbo, 50 for base and sft, 22 for merges of sft and turbo.",
                ),
                io.Float.Input(
                    "shift",
                    default=0.0,
                    min=0.0,
                    max=10.0,
                    step=0.1,
                    tooltip="Above 1 spends more steps at high noise, where the form of the song is decided. 0: 3 "
                    "for turbo, 1 for turbo-shift1, base and sft. A wrong shift is the most common cause of bad sound.",
                ),
                io.Float.Input(
                    "guidance",
                    default=0.0,
                    min=0.0,
                    max=15.0,
                    step=0.1,
                    tooltip="Guidance scale: how strongly the song follows caption and lyrics. 1: off, twice as "
                    "fast. 0: 7 for base and sft, 4 for merges of sft and turbo. Turbo models have guidance "
                    "built in and take none.",
                ),
                io.Combo.Input(
                    "solver",
                    options=list(SOLVERS),
                    default="euler",
                    tooltip="euler: the published default. heun: more exact, two evaluations a step, for base and "
                    "sft. sde: adds new seeded noise in every step.",
                ),
                io.Latent.Input(
                    "latent",
                    optional=True,
                    tooltip="Start from these latents instead of pure noise; used when denoise is below 1. They must "
                    "be as long as the song.",
                ),
                io.Float.Input(
                    "denoise",
                    default=1.0,
                    min=0.01,
                    max=1.0,
                    step=0.01,
                    optional=True,
                    tooltip="How much of the connected latent to replace; 1 replaces everything, small values stay "
                    "close to it.",
                ),
                compat.advanced(
                    io.Combo.Input(
                        "guidance_method",
                        options=list(GUIDANCE),
                        default="apg",
                        optional=True,
                        tooltip="apg (default): adaptive projected guidance. cfg: plain classifier-free guidance, "
                        "harsher. adg: angle-based. adg_w_norm: adg that keeps the level. adg_wo_clip: adg "
                        "without the limit on the angle.",
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
                        tooltip="Lowest noise level t at which guidance is applied; t runs from 1 (noise) to 0 "
                        "(music).",
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
                        tooltip="Highest noise level t at which guidance is applied.",
                    )
                ),
                compat.advanced(
                    io.String.Input(
                        "custom_timesteps",
                        default="",
                        optional=True,
                        tooltip="Noise levels from at most 1 down to 0, separated by commas, e.g. 1, 0.9, 0.75, 0.5, "
                        "0. Replaces steps and shift.",
                    )
                ),
                compat.advanced(
                    io.String.Input(
                        "seeds",
                        default="",
                        optional=True,
                        tooltip="One seed for each song, separated by commas. Replaces seed.",
                    )
                ),
                compat.advanced(
                    io.Boolean.Input(
                        "official_precision",
                        default=False,
                        optional=True,
                        tooltip="Round time steps, latents and updates to bfloat16 as the official code does. The "
                        "noise of a seed stays another: set noise to official for songs of the official program.",
                    )
                ),
                AceRecordWire.Input(
                    "replay",
                    optional=True,
                    tooltip="From Load Song: render that song again with its own seed and settings, and report "
                    "whether it is the same. The settings of this node are not used.",
                ),
                compat.added(
                    io.Combo.Input(
                        "wavelet_correction",
                        options=list(WAVELET_CORRECTIONS),
                        default=OFFERED.wavelet_correction,
                        optional=True,
                        tooltip="Corrects low and high frequencies of the latents after each step (DCW), as the "
                        "official program does for turbo. auto: on for turbo, off for base, sft and merges. off: the "
                        "sound of workflows from before version 1.1.",
                    ),
                    SamplerOptions.wavelet_correction,
                ),
                _scaler_input(
                    "wavelet_low", "low frequencies, strongest at high noise", TEXT_SCALERS.low, PLANNED_SCALERS.low
                ),
                _scaler_input(
                    "wavelet_high", "high frequencies, strongest at low noise", TEXT_SCALERS.high, PLANNED_SCALERS.high
                ),
                compat.advanced(
                    compat.added(
                        io.Boolean.Input(
                            "snap_timesteps",
                            default=OFFERED.snap_timesteps,
                            optional=True,
                            tooltip="For turbo: move custom_timesteps to the nearest of the 20 levels it was distilled "
                            "at, as the official program does. The node shows them.",
                        ),
                        SamplerOptions.snap_timesteps,
                    )
                ),
                compat.advanced(
                    io.Combo.Input(
                        "noise",
                        options=list(NOISE_KINDS),
                        default=OFFERED.noise,
                        optional=True,
                        tooltip="reproducible: a seed gives the same noise on every machine. official: drawn on the "
                        "render device in the data type of the model, so that a seed of the official program "
                        "gives its song; use official_precision too.",
                    )
                ),
                compat.advanced(
                    io.Float.Input(
                        "velocity_clamp",
                        default=OFFERED.velocity_clamp,
                        min=0.0,
                        max=MAX_VELOCITY_CLAMP,
                        step=0.1,
                        optional=True,
                        tooltip="Largest norm of a predicted velocity, in norms of the latents. 0: no limit. Try 2 "
                        "for songs that distort.",
                    )
                ),
                compat.advanced(
                    io.Float.Input(
                        "velocity_smoothing",
                        default=OFFERED.velocity_smoothing,
                        min=0.0,
                        max=0.95,
                        step=0.01,
                        optional=True,
                        tooltip="Share of the previous step's velocity in each step (an exponential moving "
                        "average). 0: none. Try 0.1 for unsteady songs.",
                    )
                ),
            ],
            outputs=[
                io.Latent.Output(
                    "latent_out", display_name="latent", tooltip="Latents [batch, 64, frames], 25 frames per second."
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
        latent: dict[str, Any] | None = None,
        seeds: str = "",
        replay: AceRecord | None = None,
        **options: Any,
    ) -> io.NodeOutput:
        take = (
            new_take(conditioning, SamplerOptions(**options), _seed_list(seeds) or seed, batch_size)
            if replay is None
            else replayed_take(replay, conditioning, batch_size)
        )
        resolved = resolve(take.options, model.variant, has_start_latents=latent is not None)
        notes = (
            *take_notes(take, resolved),
            *changes.once(
                changes.WAVELET, applies=take.options.wavelet_correction == "auto" and resolved.settings.corrected
            ),
            *changes.once(changes.SHIFT_1, applies=model.variant == "turbo-shift1" and take.options.shift == 0),
        )
        summary = "\n".join(notes)
        feedback.show_text(cls.hidden.unique_id, summary)
        start_latents = () if latent is None else song_latents(latent)
        rendered = render_songs(NETWORKS, model, take, resolved, start_latents=start_latents)
        latent_out = rendered_latent(rendered, model.silence)
        task_note = TASK_NOTE if TASKS in latent_out else None
        return shown("\n".join(filter(None, (rendered.comparison, summary, task_note))), latent_out)


def _scaler_input(name: str, band: str, usual: float, planned: float) -> Any:
    return compat.advanced(
        io.Float.Input(
            name,
            default=USUAL_SCALER,
            min=USUAL_SCALER,
            max=MAX_SCALER,
            step=0.005,
            optional=True,
            tooltip=f"Wavelet correction of {band}. -1: {usual:g}, or {planned:g} with a plan's audio codes. 0: none.",
        )
    )


def _seed_list(text: str) -> list[int]:
    try:
        return [int(part) for part in text.replace(",", " ").split()]
    except ValueError as error:
        raise ValueError(f"seeds must be whole numbers separated by commas, got {checks.shown(text)}") from error
