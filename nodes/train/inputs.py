"""Advanced inputs of Train LoRA."""

from __future__ import annotations

from dataclasses import fields
from typing import Any, get_args

from comfy_api.v0_0_2 import io

from ...ace_core.training.adapted_copy import AttentionBlocks
from ...ace_core.training.hyperparameters import MAX_TRAINING_STEPS
from ...ace_core.training.optimizers import OptimizerName
from ...ace_core.training.training_options import AUTO, Recompute, TrainingOptions
from .. import compat
from ..load.lora import STYLES


def advanced_inputs() -> list[Any]:
    """The options that few people need, with the defaults of `TrainingOptions`."""
    defaults = {entry.name: entry.default for entry in fields(TrainingOptions)}

    def number(kind: Any, name: str, least: float, most: float, tooltip: str, **more: Any) -> Any:
        return kind.Input(name, default=defaults[name], min=least, max=most, optional=True, tooltip=tooltip, **more)

    def choice(name: str, options: list[str], tooltip: str) -> Any:
        return io.Combo.Input(name, options=options, default=defaults[name], optional=True, tooltip=tooltip)

    inputs = [
        number(io.Float, "alpha", 0.0, 1024.0, "The adapter is scaled by alpha / rank. 0: twice the rank.", step=1.0),
        number(
            io.Float,
            "dropout",
            0.0,
            0.5,
            "Share of the adapter's inputs dropped at random, against overfitting; LoRA and DoRA.",
            step=0.01,
        ),
        choice(
            "attention",
            list(get_args(AttentionBlocks)),
            "Which attention to train. self: how the sound relates to itself. cross: how it follows "
            "caption and lyrics.",
        ),
        choice(
            "optimizer",
            [AUTO, *get_args(OptimizerName)],
            "auto: that of the preset. adamw8bit needs the package bitsandbytes, prodigy needs "
            "prodigyopt; adafactor needs the least memory.",
        ),
        number(
            io.Int,
            "batch_size",
            0,
            64,
            "Clips in a batch; only clips of equal length share one. 0: that of the preset.",
        ),
        number(io.Int, "accumulation", 0, 64, "Gradient accumulation: batches for each step. 0: that of the preset."),
        number(
            io.Int,
            "warm_up",
            -1,
            10_000,
            "Warm-up: steps with a rising learning rate. -1: a tenth of all, at most 100.",
        ),
        number(
            io.Float, "weight_decay", 0.0, 1.0, "Weight decay: pulls the adapter's weights towards zero.", step=0.001
        ),
        number(
            io.Float,
            "max_seconds",
            1.0,
            600.0,
            "Longer clips are cropped to a random part of this length, a new one each time. Less "
            "needs less memory and time.",
            step=1.0,
        ),
        number(
            io.Float,
            "condition_dropout",
            -1.0,
            1.0,
            "Share of the clips trained without caption and lyrics. -1: 0.15 for base and sft, whose "
            "guidance needs it, 0 for turbo.",
            step=0.01,
        ),
        number(
            io.Float,
            "average",
            0.0,
            0.9999,
            "Decay of a moving average (EMA) of the weights to save, e.g. 0.99. 0: save the last weights.",
            step=0.0001,
        ),
        choice(
            "recompute",
            list(get_args(Recompute)),
            "Gradient checkpointing: compute each layer twice to save memory. auto: only if it would "
            "not fit otherwise.",
        ),
        io.Int.Input(
            "save_every",
            default=100,
            min=1,
            max=MAX_TRAINING_STEPS,
            optional=True,
            tooltip="Steps between checkpoints, from which an interrupted training continues.",
        ),
        io.Combo.Input(
            "style",
            options=list(STYLES),
            default=next(iter(STYLES)),
            optional=True,
            tooltip="ComfyUI file: loads here and in ComfyUI's own LoRA loader. PEFT folder: loads here, in "
            "the official app and in diffusers; not for LoKr.",
        ),
    ]
    return [compat.advanced(widget) for widget in inputs]
