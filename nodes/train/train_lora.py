"""Train LoRA: a LoRA, DoRA or LoKr from preprocessed songs, put on the model and saved where Load LoRA finds it."""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
from comfy_api.v0_0_2 import io
from torch import Tensor

from ...ace_core.analysis.loss_chart import loss_picture
from ...ace_core.audio.finishing import Finish
from ...ace_core.audio.waveform import SAMPLE_RATE
from ...ace_core.checks import check_choice
from ...ace_core.files import write_atomically
from ...ace_core.loaded import AceModel, AceVae
from ...ace_core.lora.adapters import AppliedAdapter, Strengths
from ...ace_core.lora.formats import inspect_adapter
from ...ace_core.lora.saving import AdapterStyle, base_model_name
from ...ace_core.models.dit import DiT
from ...ace_core.render.runs import render_latents
from ...ace_core.runtime import Runtime
from ...ace_core.sampling.options import OFFERED, resolve
from ...ace_core.song_files.encoding import ENCODINGS, Sound, encode
from ...ace_core.stages.decode import decode_songs, finish_songs
from ...ace_core.stages.encode import AceConditioning
from ...ace_core.training.adapted_copy import TrainedKind, attach_weights, detach_weights
from ...ace_core.training.hyperparameters import MAX_RANK, MAX_TRAINING_STEPS, PRESETS
from ...ace_core.training.messages import StepMessages
from ...ace_core.training.results import check_style, goes_on, save_trained_once
from ...ace_core.training.trainer import StepReport, Trained, train
from ...ace_core.training.training_options import AUTO, TrainingOptions, TrainingPlan, plan_training
from .. import compat
from ..host import adapters, feedback, folders, networks, results
from ..host.networks import NETWORKS
from ..load.lora import FOLDER, STYLES, lora_name_input
from ..node import CATEGORY, shown
from ..wires import AceConditioningWire, AceModelWire, AceTrainingData, AceTrainingDataWire, AceVaeWire
from .inputs import advanced_inputs

ADAPTERS: dict[str, TrainedKind] = {"LoRA": "lora", "DoRA": "dora", "LoKr": "lokr"}
STATE_FOLDER = "ace_step_training_runs"
SAMPLE_ENCODING = "flac 16 bit"
SECONDS_BETWEEN_TEXTS = 0.5


class AceComposerTrainLora(io.ComfyNode):
    @classmethod
    def define_schema(cls) -> io.Schema:
        return compat.Schema(
            node_id="AceComposerTrainLora",
            display_name="ACE-Step Train LoRA",
            category=f"{CATEGORY}/train",
            description="Train a LoRA, DoRA or LoKr on preprocessed songs and apply it to the model. Cancel "
            "keeps the progress: run the node again to continue.",
            search_aliases=["finetune", "fine-tune", "learn style", "dreambooth", "lokr", "dora"],
            inputs=[
                AceModelWire.Input(
                    "model", tooltip="From Load Models, without adapters: the model that the adapter is for."
                ),
                AceTrainingDataWire.Input("data", tooltip="From Preprocess, made with the same model."),
                lora_name_input(),
                io.Combo.Input(
                    "adapter",
                    options=list(ADAPTERS),
                    default=next(iter(ADAPTERS)),
                    tooltip="LoRA: the standard. DoRA: trains magnitude and direction separately, somewhat slower. "
                    "LoKr: small files, trains faster.",
                ),
                io.Combo.Input(
                    "preset",
                    options=[AUTO, *PRESETS],
                    default=AUTO,
                    tooltip="Rank, optimizer and batch size for a GPU with this much memory. auto: the largest that "
                    "fits. A run that needs more memory is refused.",
                ),
                io.Int.Input(
                    "rank",
                    default=0,
                    min=0,
                    max=MAX_RANK,
                    tooltip="Capacity of the adapter. 0: that of the preset, 16 to 128.",
                ),
                io.Int.Input(
                    "steps",
                    default=500,
                    min=1,
                    max=MAX_TRAINING_STEPS,
                    tooltip="Training steps. The node shows how often each clip was seen; 50 to 200 times is a good "
                    "start, far more risks overfitting.",
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
                    max=MAX_TRAINING_STEPS,
                    tooltip="Render the connected conditioning every so many steps to the output folder. 0: never.",
                ),
                AceConditioningWire.Input(
                    "conditioning",
                    optional=True,
                    tooltip="From Encode: the song to render during training, always with this node's seed.",
                ),
                AceVaeWire.Input("vae", optional=True, tooltip="From Load Models: decodes the songs."),
                *advanced_inputs(),
            ],
            outputs=[
                AceModelWire.Output("ace_model", display_name="model", tooltip="The model with the trained adapter."),
                io.String.Output("lora", display_name="lora", tooltip="Name of the adapter in Load LoRA."),
                io.Image.Output(
                    "loss_curve",
                    display_name="loss_curve",
                    tooltip="Loss of every step as dots, with a moving average.",
                ),
                io.Audio.Output("sample", display_name="sample", tooltip="The last song rendered during training."),
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
        **options: Any,
    ) -> io.NodeOutput:
        check_choice("adapter", adapter, ADAPTERS)
        check_choice("style", style, STYLES)
        kept_name = results.name_of(
            name.replace("%", "_"), cls.hidden
        ).name  # the same on the day that training goes on
        name, notes = results.name_of(name, cls.hidden)
        folders.new_model_name(FOLDER, name)  # refuses a name that leads elsewhere, before anything is done
        samples = _samples(model, conditioning, vae, sample_every, options["seed"], name)
        plan = _plan(model, data, TrainingOptions(adapter=ADAPTERS[adapter], **options))
        check_style(plan.task, STYLES[style])
        state_file = plan.task.state_file(folders.output_path(f"{STATE_FOLDER}/{kept_name}"), model.name, model.dtype)
        begun = "going on" if goes_on(state_file) else "starting"
        feedback.show_text(cls.hidden.unique_id, "\n".join((*plan.notes, begun)))
        trained = _trained(model, plan, state_file, save_every, samples, sample_every, cls.hidden.unique_id)
        file, lora = _saved(trained, plan, name, STYLES[style], model.dtype, state_file)
        summary = "\n".join(
            (f"{FOLDER}/{lora}", f"{len(trained.losses)} steps, loss {trained.last_loss:.4f}", *plan.notes, *notes)
        )
        sound = samples.last if samples is not None else None
        return shown(
            summary,
            _adapted(model, file),
            lora,
            loss_picture(trained.losses)[None],
            feedback.nothing() if sound is None else {"waveform": sound[None], "sample_rate": SAMPLE_RATE},
            **({"audio": samples.files} if samples is not None else {}),
        )


class _Samples:
    """Songs rendered while training, the first of a conditioning with one seed: `files` so far, the `last` [2, N]."""

    def __init__(self, model: AceModel, conditioning: AceConditioning, vae: AceVae, seed: int, prefix: str) -> None:
        self.files: list[dict[str, str]] = []
        self.last: Tensor | None = None
        self._model, self._song, self._vae = model, conditioning.songs[0], vae
        self._seed, self._prefix = seed, prefix

    def render(self, step: int, tree: DiT, plan: TrainingPlan) -> None:
        """Render with the copy as it is; it gets its weights again, because the host may move them for the VAE."""
        device = NETWORKS.device_of(self._model.dit)
        settings = resolve(OFFERED, self._model.variant).settings
        runtime = Runtime(device, self._model.dtype, networks.attention(device))
        with torch.inference_mode():
            latents = render_latents(tree, [self._song], settings, [self._seed], runtime, on_progress=_check_only)
            detach_weights(tree)
            samples = [self._song.samples]
            decoded = decode_songs(NETWORKS, self._vae, latents, samples, on_progress=_check_only)
            self.last = finish_songs(decoded, samples, Finish(normalize=False))[0][0]
        ((path, item),) = results.new_output_files(f"{self._prefix}_step{step:06}", ".flac")
        content, _ = encode(Sound(self.last, SAMPLE_RATE), ENCODINGS[SAMPLE_ENCODING], {"comment": f"step {step}"})
        write_atomically(path, lambda unfinished: unfinished.write_bytes(content))
        self.files.append(item)
        with torch.inference_mode():
            network, runtime = NETWORKS.use(self._model.dit, _bytes_above_weights(plan), whole=True)
        attach_weights(tree, network, runtime)


def _check_only(done: int, total: int) -> None:
    """Progress of what lies within a step: nothing is shown, Cancel is obeyed."""
    feedback.check_cancelled()


def _trained(
    model: AceModel,
    plan: TrainingPlan,
    state_file: Path,
    save_every: int,
    samples: _Samples | None,
    sample_every: int,
    node_id: str | None,
) -> Trained:
    """Train on the device; afterwards the memory goes back."""
    try:
        network, runtime = NETWORKS.use(model.dit, _bytes_above_weights(plan), whole=True)
        return train(
            network,
            plan.task,
            runtime,
            state_file=state_file,
            save_every=save_every,
            check=feedback.check_cancelled,
            on_step=_reporter(node_id, plan),
            on_sample=None if samples is None else lambda step, tree: samples.render(step, tree, plan),
            sample_every=sample_every,
        )
    finally:
        networks.give_memory_back()


def _saved(
    trained: Trained, plan: TrainingPlan, name: str, style: AdapterStyle, dtype: torch.dtype, state_file: Path
) -> tuple[Path, str]:
    """Write the adapter; its file or folder, and its name in Load LoRA."""
    root, _ = folders.new_model_name(FOLDER, name)
    file = save_trained_once(
        root, lambda: folders.new_model_name(FOLDER, name)[1], state_file, trained, plan.task, style, dtype
    )
    place = file.parent if style == "peft" else file
    return place, place.relative_to(root).as_posix()


def _adapted(model: AceModel, place: Path) -> AceModel:
    """The model with an adapter that was saved."""
    weights = adapters.adapter_weights(inspect_adapter(place, "model"), model.dit)
    applied = AppliedAdapter(place.name, weights, Strengths())
    dit = adapters.with_adapter(model.dit, applied)
    return model._replace(dit=dit, adapters=(applied,))


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


def _plan(model: AceModel, data: AceTrainingData, options: TrainingOptions) -> TrainingPlan:
    if model.adapters:
        raise ValueError(
            f"{model!r} has adapters already, and what is trained over them would only work with them: connect the "
            "model of Load Models"
        )
    return plan_training(
        model.dit.network,
        data.folder,
        data.manifest,
        options,
        base_model=base_model_name(model.size, model.variant),
        variant=model.variant,
        device=NETWORKS.device_of(model.dit),
        dtype=model.dtype,
        device_bytes=NETWORKS.device_bytes(model.dit),
    )


def _bytes_above_weights(plan: TrainingPlan) -> int:
    return plan.memory.adapter + plan.memory.activations


def _reporter(node_id: str | None, plan: TrainingPlan) -> Callable[[StepReport], None]:
    """What moves the bar after each step, and shows text every now and then."""
    update, messages = feedback.progress(), StepMessages(plan.task)
    shown = 0.0

    def report(step: StepReport) -> None:
        nonlocal shown
        now = time.monotonic()
        text = messages.after(step, now)
        if now - shown >= SECONDS_BETWEEN_TEXTS:
            feedback.show_text(node_id, text)
            shown = now
        update(step.done, step.total)

    return report
