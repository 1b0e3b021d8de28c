"""Train LoRA: a LoRA, DoRA or LoKr from preprocessed songs, put on the model and saved where Load LoRA finds it."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import fields
from pathlib import Path
from typing import Any, get_args

import torch
from comfy_api.v0_0_2 import io, ui
from torch import Tensor

from ...ace_core.analysis.loss_chart import loss_picture
from ...ace_core.audio.vae import choose_tile_frames, decode, decode_memory_bytes
from ...ace_core.audio.waveform import SAMPLE_RATE, check_audible, limit_peak
from ...ace_core.files import write_whole
from ...ace_core.lora.adapters import AppliedAdapter, Strengths
from ...ace_core.lora.formats import inspect_adapter
from ...ace_core.lora.saving import base_model_name
from ...ace_core.models.dit import DiT
from ...ace_core.render.runs import render_latents
from ...ace_core.sampling.settings import resolve_settings
from ...ace_core.song_files.encoding import ENCODINGS, Sound, encode
from ...ace_core.training.adapted_copy import AdapterKind, Attention, lend_weights, take_weights_back
from ...ace_core.training.hyperparameters import MAX_RANK, MAX_STEPS, PRESETS
from ...ace_core.training.messages import StepMessages
from ...ace_core.training.optimizers import OptimizerName
from ...ace_core.training.results import check_style, save_trained
from ...ace_core.training.trainer import StepReport, train
from ...ace_core.training.training_options import AUTO, Plan, Recompute, Wishes, plan_training
from .. import compat
from ..host import adapters, feedback, folders, networks, results
from ..load.lora import FOLDER, STYLES
from ..wires import (
    AceConditioning,
    AceConditioningWire,
    AceModel,
    AceModelWire,
    AceTrainingData,
    AceTrainingDataWire,
    AceVae,
    AceVaeWire,
)

ADAPTERS: dict[str, AdapterKind] = {"LoRA": "lora", "DoRA": "dora", "LoKr": "lokr"}
STATE_FOLDER = "ace_step_training_runs"
SAMPLE_ENCODING = "flac 16 bit"
SECONDS_BETWEEN_TEXTS = 0.5


class AceComposerTrainLora(io.ComfyNode):
    @classmethod
    def define_schema(cls) -> io.Schema:
        return compat.Schema(
            node_id="AceComposerTrainLora",
            display_name="ACE-Step Train LoRA",
            category="audio/ACE Composer",
            description="Train a LoRA, DoRA or LoKr on preprocessed songs and put it on the model. Cancel keeps what "
            "was learned: the same node goes on from there.",
            search_aliases=["finetune", "fine-tune", "learn style", "dreambooth", "lokr", "dora"],
            inputs=[
                AceModelWire.Input("model", tooltip="From Load Models, without adapters: the model that will be used."),
                AceTrainingDataWire.Input("data", tooltip="From Preprocess, made with the same model."),
                io.String.Input(
                    "name", default="ace_step/my_style", tooltip="Name below models/loras; a number is added."
                ),
                io.Combo.Input(
                    "adapter",
                    options=list(ADAPTERS),
                    default=next(iter(ADAPTERS)),
                    tooltip="LoRA: the usual. DoRA: learns size and direction apart, somewhat slower. LoKr: small "
                    "files, learns faster.",
                ),
                io.Combo.Input(
                    "preset",
                    options=[AUTO, *PRESETS],
                    default=AUTO,
                    tooltip="Rank, optimiser and batch by the memory of the GPU; a run that needs more is refused. "
                    "auto: the largest for this device.",
                ),
                io.Int.Input(
                    "rank",
                    default=0,
                    min=0,
                    max=MAX_RANK,
                    tooltip="How much the adapter can hold. 0: that of the preset, 16 to 128.",
                ),
                io.Int.Input(
                    "steps",
                    default=500,
                    min=1,
                    max=MAX_STEPS,
                    tooltip="Changes of the weights. The node shows how often every clip has been seen; 50 to 200 "
                    "times are a start.",
                ),
                io.Float.Input(
                    "learning_rate",
                    default=0.0,
                    min=0.0,
                    max=10.0,
                    step=0.00001,
                    round=False,
                    tooltip="0: 0.0001 for LoRA and DoRA, 0.001 for LoKr, 0.01 with adafactor, 1 with prodigy.",
                ),
                io.Int.Input(
                    "seed",
                    default=42,
                    min=0,
                    max=0xFFFFFFFFFFFFFFFF,
                    tooltip="The same seed and data give the same adapter on the same device.",
                ),
                io.Int.Input(
                    "sample_every",
                    default=0,
                    min=0,
                    max=MAX_STEPS,
                    tooltip="Render the connected conditioning every so many steps into the output folder. 0: never.",
                ),
                AceConditioningWire.Input(
                    "conditioning", optional=True, tooltip="From Encode: the song to render while training."
                ),
                AceVaeWire.Input("vae", optional=True, tooltip="From Load Models: decodes the songs."),
                *_advanced_inputs(),
            ],
            outputs=[
                AceModelWire.Output("ace_model", display_name="model", tooltip="The model with the trained adapter."),
                io.String.Output("lora", display_name="lora", tooltip="The adapter's name in Load LoRA."),
                io.Image.Output("loss_curve", display_name="loss_curve", tooltip="The loss over the steps."),
                io.Audio.Output(
                    "sample", display_name="sample", tooltip="The last song that was rendered while training."
                ),
            ],
            is_output_node=True,
            hidden=[io.Hidden.unique_id],
        )

    @classmethod
    def execute(
        cls,
        model: AceModel,
        data: AceTrainingData,
        name: str,
        adapter: str,
        sample_every: int,
        conditioning: AceConditioning | None = None,
        vae: AceVae | None = None,
        style: str = "ComfyUI file",
        save_every: int = 100,
        **wishes: Any,
    ) -> io.NodeOutput:
        compat.check_choices(cls.define_schema(), adapter=adapter, style=style)
        samples = _samples(model, conditioning, vae, sample_every, wishes["seed"], name)
        plan = _plan(model, data, Wishes(adapter=ADAPTERS[adapter], **wishes))
        check_style(plan.task, STYLES[style])
        folder = folders.output_path(f"{STATE_FOLDER}/{name}")
        state_file = plan.task.state_file(folder, model.name, model.dtype)
        folders.new_model_name(FOLDER, name)  # the name leads nowhere else
        unique_id = cls.hidden.unique_id
        feedback.show_text(unique_id, "\n".join((*plan.notes, "going on" if state_file.exists() else "starting")))

        with _on_device(model, plan) as (network, device):
            trained = train(
                network,
                plan.task,
                device=device,
                dtype=model.dtype,
                state_file=state_file,
                save_every=save_every,
                attention=networks.attention(device),
                check=feedback.check_cancelled,
                on_step=_reporter(unique_id, plan),
                on_sample=None if samples is None else lambda step, tree: samples.render(step, tree, plan),
                sample_every=sample_every,
            )
        root, new_name = folders.new_model_name(FOLDER, name)
        file = save_trained(root / new_name, trained, plan.task, STYLES[style], model.dtype)
        state_file.unlink()
        place = file.parent if STYLES[style] == "peft" else file
        lora = place.relative_to(root).as_posix()
        applied = AppliedAdapter(place.name, adapters.adapter_weights(inspect_adapter(place), model.dit), Strengths())
        adapted = model._replace(
            dit=adapters.with_adapter(model.dit, applied.adapter, applied.strengths), adapters=(applied,)
        )
        summary = "\n".join(
            (f"{FOLDER}/{lora}", f"{len(trained.losses)} steps, loss {trained.last_loss:.4f}", *plan.notes)
        )
        feedback.show_text(unique_id, summary)
        shown = ui.PreviewText(summary).as_dict() | ({"audio": samples.files} if samples is not None else {})
        sound = samples.last if samples is not None else None
        return io.NodeOutput(
            adapted,
            lora,
            loss_picture(trained.losses)[None],
            feedback.nothing() if sound is None else {"waveform": sound[None], "sample_rate": SAMPLE_RATE},
            ui=shown,
        )


class _Samples:
    """Songs rendered while training, the first of a conditioning with one seed: `files` so far, the `last` [2, N]."""

    def __init__(self, model: AceModel, conditioning: AceConditioning, vae: AceVae, seed: int, prefix: str) -> None:
        self.files: list[dict[str, str]] = []
        self.last: Tensor | None = None
        self._model, self._song, self._vae = model, conditioning.songs[0], vae
        self._seed, self._prefix = seed, prefix

    def render(self, step: int, tree: DiT, plan: Plan) -> None:
        """Render with the tree as it is; it lends its weights anew, because the host may move them for the VAE."""
        device = self._model.dit.load_device
        with torch.inference_mode():
            (latents,) = render_latents(
                tree,
                [self._song],
                resolve_settings(self._model.kind).settings,
                [self._seed],
                device=device,
                dtype=self._model.dtype,
                attention=networks.attention(device),
                on_progress=lambda done, total: feedback.check_cancelled(),
            )
            take_weights_back(tree)
            self.last = limit_peak(self._decoded(latents))[0]
        ((path, item),) = results.new_output_files(f"{self._prefix}_step{step:06}", ".flac")
        content, _ = encode(Sound(self.last, SAMPLE_RATE), ENCODINGS[SAMPLE_ENCODING], {"comment": f"step {step}"})
        write_whole(path, lambda unfinished: unfinished.write_bytes(content))
        self.files.append(item)
        with torch.inference_mode():
            network, device = networks.load(self._model.dit, _bytes_above_weights(plan), whole=True)
        lend_weights(tree, network, device, self._model.dtype)

    def _decoded(self, latents: Tensor) -> Tensor:
        config, dtype = self._vae.patcher.model.config, self._vae.dtype
        tile_frames = choose_tile_frames(config, networks.total_memory_bytes(self._vae.patcher) // 2, dtype)
        tile_frames = min(tile_frames, len(latents))
        network, device = networks.load(self._vae.patcher, decode_memory_bytes(config, tile_frames, dtype))
        waveform: Tensor = decode(
            network,
            latents[None],
            device=device,
            dtype=dtype,
            tile_frames=tile_frames,
            out_of_memory=networks.OUT_OF_MEMORY,
            on_progress=lambda done, total: feedback.check_cancelled(),
        )[..., : self._song.sample_count]
        check_audible(waveform)
        return waveform


def _samples(
    model: AceModel, conditioning: AceConditioning | None, vae: AceVae | None, every: int, seed: int, name: str
) -> _Samples | None:
    if every == 0:
        return None
    if conditioning is None or vae is None:
        raise ValueError(
            f"sample_every is {every}, but a song to render needs conditioning and vae: connect both, or set it to 0"
        )
    return _Samples(model, conditioning, vae, seed, f"{STATE_FOLDER}/{name}/{Path(name).name}")


def _plan(model: AceModel, data: AceTrainingData, wishes: Wishes) -> Plan:
    if model.adapters:
        raise ValueError(
            f"{model!r} has adapters already, and what is trained over them would only work with them: connect the "
            "model of Load Models"
        )
    return plan_training(
        model.dit.model,
        data.folder,
        data.manifest,
        wishes,
        base_model=base_model_name(model.size, model.kind),
        kind=model.kind,
        device=model.dit.load_device,
        dtype=model.dtype,
        device_bytes=networks.total_memory_bytes(model.dit),
    )


@contextmanager
def _on_device(model: AceModel, plan: Plan) -> Iterator[tuple[DiT, torch.device]]:
    """The whole network on its device while the block runs; afterwards the memory goes back."""
    try:
        yield networks.load(model.dit, _bytes_above_weights(plan), whole=True)
    finally:
        networks.give_memory_back()


def _bytes_above_weights(plan: Plan) -> int:
    return plan.memory.adapter + plan.memory.activations


def _reporter(unique_id: str | None, plan: Plan) -> Any:
    """What moves the bar after each step, and shows text every now and then."""
    update, messages = feedback.progress(), StepMessages(plan.task)
    shown = 0.0

    def report(step: StepReport) -> None:
        nonlocal shown
        now = time.monotonic()
        text = messages.after(step, now)
        if now - shown >= SECONDS_BETWEEN_TEXTS:
            feedback.show_text(unique_id, text)
            shown = now
        update(step.done, step.total)

    return report


def _advanced_inputs() -> list[Any]:
    """The wishes that few people have, with the defaults of `Wishes`."""
    defaults = {entry.name: entry.default for entry in fields(Wishes)}

    def number(kind: Any, name: str, least: float, most: float, tooltip: str, **more: Any) -> Any:
        return kind.Input(name, default=defaults[name], min=least, max=most, optional=True, tooltip=tooltip, **more)

    def choice(name: str, options: list[str], tooltip: str) -> Any:
        return io.Combo.Input(name, options=options, default=defaults[name], optional=True, tooltip=tooltip)

    inputs = [
        number(io.Float, "alpha", 0.0, 1024.0, "Scale of the change is alpha / rank. 0: twice the rank.", step=1.0),
        number(
            io.Float,
            "dropout",
            0.0,
            0.5,
            "Share of the adapter's inputs left out at random, against learning by heart; LoRA and DoRA.",
            step=0.01,
        ),
        choice(
            "attention", list(get_args(Attention)), "self: how the sound follows itself. cross: how it follows text."
        ),
        choice(
            "optimizer",
            [AUTO, *get_args(OptimizerName)],
            "auto: that of the preset. adamw8bit needs bitsandbytes, prodigy needs prodigyopt; adafactor takes least "
            "memory.",
        ),
        number(io.Int, "batch_size", 0, 64, "Clips at once, if equally long. 0: that of the preset."),
        number(io.Int, "accumulation", 0, 64, "Batches before the weights change. 0: that of the preset."),
        number(io.Int, "warm_up", -1, 10_000, "Steps with a rising learning rate. -1: a tenth, at most 100."),
        number(io.Float, "weight_decay", 0.0, 1.0, "Pulls the adapter towards nothing.", step=0.001),
        number(
            io.Float,
            "max_seconds",
            1.0,
            600.0,
            "Longer clips are cut to a random part of this length. Less takes less memory and time.",
            step=1.0,
        ),
        number(
            io.Float,
            "condition_dropout",
            -1.0,
            1.0,
            "Share of the clips shown without caption and lyrics. -1: 0.15 for base and sft, whose guidance needs it, "
            "0 for turbo.",
            step=0.01,
        ),
        number(
            io.Float,
            "average",
            0.0,
            0.9999,
            "Keep a moving average of the weights with this decay, such as 0.99. 0: the last weights.",
            step=0.0001,
        ),
        choice(
            "recompute",
            list(get_args(Recompute)),
            "Compute each layer twice to save memory. auto: only where it would not fit otherwise.",
        ),
        io.Int.Input(
            "save_every",
            default=100,
            min=1,
            max=MAX_STEPS,
            optional=True,
            tooltip="Steps between checkpoints, from which a killed training goes on.",
        ),
        io.Combo.Input(
            "style",
            options=list(STYLES),
            default=next(iter(STYLES)),
            optional=True,
            tooltip="ComfyUI file: loads here and in ComfyUI's own LoRA loader. PEFT folder: loads here, in the "
            "official application and in diffusers; not for LoKr.",
        ),
    ]
    return [compat.advanced(widget) for widget in inputs]
