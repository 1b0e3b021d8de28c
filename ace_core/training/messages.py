"""What a training run says about itself while it runs."""

from __future__ import annotations

from collections import deque

from .batches import batches_per_epoch
from .trainer import StepReport, TrainingTask
from .workers import ALONE, Workers

_STEPS_SHOWN = 50


class StepMessages:
    """Lines like: step 120 of 500 (epoch 15.0), loss 0.4312 (last 50: 0.4520), 2.3 s a step, 14:34 left."""

    def __init__(self, task: TrainingTask, workers: Workers = ALONE) -> None:
        settings = task.settings
        batches = settings.accumulation * workers.size
        self._steps_per_epoch = batches_per_epoch(task.lengths, settings.batch_size) / batches
        self._losses: deque[float] = deque(maxlen=_STEPS_SHOWN)
        self._times: deque[float] = deque(maxlen=_STEPS_SHOWN)

    def after(self, report: StepReport, now: float) -> str:
        """What to say after a step.

        Args:
            now: seconds of any clock.
        """
        self._losses.append(report.loss)
        self._times.append(now)
        mean = sum(self._losses) / len(self._losses)
        text = (
            f"step {report.done} of {report.total} (epoch {report.done / self._steps_per_epoch:.1f}), "
            f"loss {report.loss:.4f} (last {len(self._losses)}: {mean:.4f})"
        )
        if len(self._times) > 1:
            seconds = (self._times[-1] - self._times[0]) / (len(self._times) - 1)
            text += f", {seconds:.2f} s a step, {_clock(seconds * (report.total - report.done))} left"
        return text


def _clock(seconds: float) -> str:
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02}:{rest:02}" if hours else f"{minutes}:{rest:02}"
