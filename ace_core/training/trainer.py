"""The training loop: from a folder of samples and a frozen network to an adapter.

A step takes `accumulation` batches on every process, each example weighing the same, clips the gradients and changes
the weights. The loss is the mean square error of the velocity. Everything random about step n follows from the seed and
n, so a run that was killed goes on from its last checkpoint to the weights of a run that was not, to the bit on one
device.

Traps:
- An exception (Cancel, Ctrl-C, no memory) leaves a checkpoint of the last whole step behind, unless it comes while
  weights are being changed.
- The shared network is only read. Its tensors are lent to a private tree and given back at the end, whatever happens.
- Inside a host everything runs in inference mode. Training leaves it, and clones nothing of the shared network.
"""

from __future__ import annotations

import math
import statistics
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import NamedTuple

import torch
from torch import Tensor, nn

from ..checkpoints.variants import Variant
from ..checks import shown
from ..dataset.samples import Manifest, read_sample
from ..lora.adapters import Adapter
from ..models.dit import DiT
from ..progress import CancelCheck
from ..runtime import Runtime
from .adapted_copy import adapter_parameters, attach_weights, build_copy, detach_weights, trained_adapters
from .adapted_layers import seed_dropout
from .batches import Example, batch_clips, make_example
from .hyperparameters import TrainingSettings, check_settings, fingerprint
from .optimizers import learning_rate_share, make_optimizer, optimizer_state, restore_optimizer
from .run_state import RunState, load_state, save_state, state_path
from .seeds import seeded
from .velocity import batch_losses
from .workers import ALONE, Workers, add_up

_LAST_STEPS = 50


class TrainingTask(NamedTuple):
    """What to train on what.

    Attributes:
        folder, manifest: the samples. lengths: frames of each, after cutting to the settings' window.
        condition_tokens: of the sample with the most. variant: of the model.
    """

    folder: Path
    manifest: Manifest
    lengths: tuple[int, ...]
    condition_tokens: int
    variant: Variant
    settings: TrainingSettings

    def state_file(self, folder: Path, model: str, dtype: torch.dtype, workers: Workers = ALONE) -> Path:
        """Where a run of this task keeps its checkpoint; another file for everything else that decides the result.

        Args:
            model: name of the model's file. workers: their number decides how many examples a step sees.
        """
        others = {"dataset": self.manifest.dataset_hash, "base_model": self.manifest.base_model, "model": model}
        others |= {"kind": self.variant, "dtype": str(dtype), "workers": str(workers.size)}
        return state_path(folder, fingerprint(self.settings, **others))


class StepReport(NamedTuple):
    """What a step did: the number of steps done, of steps in all, the step's loss and the gradients' length."""

    done: int
    total: int
    loss: float
    gradient: float


class Trained(NamedTuple):
    """The adapters by the weight's name in the DiT, and the loss of every step."""

    adapters: dict[str, Adapter]
    losses: list[float]

    @property
    def last_loss(self) -> float:
        """Mean of the last steps, because the loss of one depends mostly on its noise level."""
        return statistics.fmean(self.losses[-_LAST_STEPS:])


def plan_task(
    folder: Path, manifest: Manifest, settings: TrainingSettings, *, base_model: str, variant: Variant, width: int
) -> TrainingTask:
    """Look at every sample before training starts.

    Args:
        base_model: of the network to train, as `lora.saving.base_model_name` spells it. width: of its conditions.

    Raises:
        ValueError: settings outside their domain; samples of another model, missing or broken.
    """
    check_settings(settings)
    if manifest.base_model != base_model:
        raise ValueError(
            f"the training data {shown(manifest.name)} was made with {manifest.base_model[:80]} and the model is "
            f"{base_model}: train {manifest.base_model[:80]}, or preprocess the songs with {base_model}"
        )
    lengths, condition_tokens = [], 0
    for entry in manifest.samples:
        sample = read_sample(folder / entry.file)
        if sample.packed.shape[1] != width:
            raise ValueError(
                f"{entry.file} has conditions {sample.packed.shape[1]} wide and the model expects {width}: "
                "preprocess the songs with this model"
            )
        lengths.append(min(len(sample.latents), settings.max_frames))
        condition_tokens = max(condition_tokens, len(sample.packed))
    return TrainingTask(folder, manifest, tuple(lengths), condition_tokens, variant, settings)


def train(
    shared: DiT,
    task: TrainingTask,
    runtime: Runtime,
    *,
    state_file: Path,
    save_every: int,
    workers: Workers = ALONE,
    check: CancelCheck = lambda: None,
    on_step: Callable[[StepReport], None] = lambda report: None,
    on_sample: Callable[[int, DiT], None] | None = None,
    sample_every: int = 0,
) -> Trained:
    """Train an adapter, going on from `state_file` if it exists.

    Args:
        shared: the network; its weights are read where they lie and stay as they are.
        runtime: what to compute on and in; adapters are float32.
        save_every: steps between checkpoints.
        check: called in every layer; what it raises ends the run, with a checkpoint.
        on_step: called after each step.
        on_sample: called every `sample_every` steps with the steps done and the tree, in evaluation mode and with the
            weights that would be kept.

    Raises:
        ValueError: the loss is no number any more; the state file is damaged; the optimizer is not installed.
    """
    with torch.inference_mode(False):
        tree = build_copy(shared, task.settings.adapter, task.settings.seed)
        try:
            attach_weights(tree, shared, runtime)
            run = TrainingRun(tree, task, state_file, workers)
            if run.step == 0 and workers.leads:
                run.save()  # a run that is killed at once is known, too
            with run.saved_when_interrupted():
                while run.step < task.settings.steps:
                    loss = run.gradients(runtime, check)
                    report = run.change_weights(loss)
                    if workers.leads and (run.step % save_every == 0 or run.step == task.settings.steps):
                        run.save()
                    on_step(report)
                    if on_sample is not None and sample_every and run.step % sample_every == 0:
                        with run.kept_weights(), torch.no_grad():
                            on_sample(run.step, tree.eval())
                        tree.train()
            return Trained(trained_adapters(tree, run.average or None), run.losses)
        finally:
            detach_weights(tree)


class TrainingRun:
    """A run between two steps: its tree, optimizer, moving average and losses."""

    def __init__(self, tree: DiT, task: TrainingTask, state_file: Path, workers: Workers) -> None:
        settings = task.settings
        self.tree = tree.train()
        self.task = task
        self.state_file = state_file
        self.workers = workers
        self.parameters = adapter_parameters(tree)
        self.optimizer = make_optimizer(
            settings.optimizer, self.parameters.values(), settings.learning_rate, settings.weight_decay
        )
        self.losses: list[float] = []
        self.average: dict[str, Tensor] = {}
        if settings.average:
            self.average = {name: parameter.detach().clone() for name, parameter in self.parameters.items()}
        self._changing = False
        state = load_state(state_file)
        if state is not None:
            self._restore(state)

    @property
    def step(self) -> int:
        """Steps done."""
        return len(self.losses)

    def gradients(self, runtime: Runtime, check: CancelCheck) -> Tensor:
        """Fill in the gradients of the next step; returns its loss."""
        settings, workers = self.task.settings, self.workers
        self.optimizer.zero_grad(set_to_none=True)
        first = self.step * settings.accumulation * workers.size
        indices = range(first, first + settings.accumulation * workers.size)
        clips = {index: batch_clips(self.task.lengths, settings.batch_size, settings.seed, index) for index in indices}
        examples_in_step = sum(map(len, clips.values()))
        loss = torch.zeros((), device=runtime.device)
        with torch.enable_grad():
            for index in indices[workers.rank :: workers.size]:
                seed_dropout(self.tree, f"{settings.seed}:dropout:{index}")
                losses = batch_losses(
                    self.tree,
                    [self._example(clip, index, place) for place, clip in enumerate(clips[index])],
                    runtime,
                    recompute=settings.recompute,
                    check=check,
                )
                share = losses.sum() / examples_in_step
                share.backward()  # type: ignore[no-untyped-call]
                loss += share.detach()
        add_up(self.parameters.values(), loss, workers)
        return loss

    def change_weights(self, loss: Tensor) -> StepReport:
        """Clip the gradients and take the step.

        Raises:
            ValueError: loss or gradients are no numbers; no weight has changed then.
        """
        settings, step = self.task.settings, self.step
        length = nn.utils.clip_grad_norm_(self.parameters.values(), settings.largest_gradient)
        report = StepReport(step + 1, settings.steps, float(loss), float(length))
        if not (math.isfinite(report.loss) and math.isfinite(report.gradient)):
            raise ValueError(
                f"training has diverged: in step {step + 1} the loss is {report.loss:g} and the gradient "
                f"{report.gradient:g}. Choose a lower learning rate than {settings.learning_rate:g}"
            )
        share = learning_rate_share(settings.optimizer, step, settings.steps, settings.warm_up)
        for group in self.optimizer.param_groups:
            group["lr"] = settings.learning_rate * share
        self._changing = True
        self.optimizer.step()
        if self.average:
            decay = min(settings.average, (1 + step) / (10 + step))
            torch._foreach_lerp_(
                list(self.average.values()), [value.detach() for value in self.parameters.values()], 1 - decay
            )
        self.losses.append(report.loss)
        self._changing = False
        return report

    def save(self) -> None:
        """Write a checkpoint."""
        optimizer, rest = optimizer_state(self.optimizer)
        adapter, average = (
            {name: value.detach().to("cpu", copy=True).contiguous() for name, value in values.items()}
            for values in (self.parameters, self.average)
        )
        save_state(self.state_file, RunState(self.step, self.losses, adapter, average, optimizer, rest))

    @contextmanager
    def saved_when_interrupted(self) -> Iterator[None]:
        """Write a checkpoint when the block ends with an exception, if the weights are those of a whole step."""
        try:
            yield
        except BaseException:
            if self.workers.leads and not self._changing:
                self.save()
            raise

    @contextmanager
    def kept_weights(self) -> Iterator[None]:
        """The tree with the weights that would be kept: the moving average, if there is one."""
        trained = {name: parameter.detach().clone() for name, parameter in self.parameters.items()}
        self._set(self.average)
        try:
            yield
        finally:
            self._set(trained)

    def _example(self, clip: int, index: int, place: int) -> Example:
        settings = self.task.settings
        sample = read_sample(self.task.folder / self.task.manifest.samples[clip].file)
        return make_example(
            sample,
            self.task.variant,
            seeded(settings.seed, "example", index, place),
            max_frames=settings.max_frames,
            condition_dropout=settings.condition_dropout,
        )

    def _restore(self, state: RunState) -> None:
        if state.adapter.keys() != self.parameters.keys() or state.average.keys() != self.average.keys():
            raise ValueError(f"{self.state_file} belongs to another training: delete it to start over")
        self._set(state.adapter)
        for name, value in state.average.items():
            self.average[name].copy_(value)
        restore_optimizer(self.optimizer, state.optimizer, state.optimizer_rest)
        self.losses = state.losses

    def _set(self, values: dict[str, Tensor]) -> None:
        with torch.no_grad():
            for name, value in values.items():
                self.parameters[name].copy_(value)
