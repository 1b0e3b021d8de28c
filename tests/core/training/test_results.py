"""One adapter of one run, whenever it is killed."""

from __future__ import annotations

from collections.abc import Callable
from itertools import count
from pathlib import Path
from typing import Any

import pytest
import torch
from training_data import write_random_data
from training_runs import run, short_settings, short_task

from ace_core.dataset.samples import read_manifest
from ace_core.models.dit import DiT
from ace_core.training import results
from ace_core.training.results import goes_on, save_trained_once
from ace_core.training.trainer import Trained, TrainingTask


class Killed(BaseException):
    pass


@pytest.fixture
def task(tmp_path: Path) -> TrainingTask:
    write_random_data(tmp_path / "data")
    return short_task(tmp_path / "data", read_manifest(tmp_path / "data"), short_settings(steps=1, accumulation=1))


def save(folder: Path, trained: Trained, task: TrainingTask) -> Path:
    def new_name() -> str:
        taken = {path.stem for path in (folder / "loras").glob("*.safetensors")}
        return next(name for number in count(1) if (name := f"t_{number}") not in taken)

    return save_trained_once(
        folder / "loras", new_name, folder / "state.safetensors", trained, task, "comfyui", torch.float32
    )


@pytest.mark.parametrize("steps_before", range(4))
def test_a_kill_between_any_two_steps_of_saving_leaves_one_adapter(
    tmp_path: Path, dit: DiT, task: TrainingTask, monkeypatch: pytest.MonkeyPatch, steps_before: int
) -> None:
    """The steps: noting the name, writing the adapter, removing the state, removing the note."""
    state_file = tmp_path / "state.safetensors"
    trained = run(dit, task, state_file)
    steps: list[tuple[Any, str]] = [(results, "write_text_atomically"), (results, "save_trained"), (Path, "unlink")]
    done = 0

    def killing(step: Callable[..., object]) -> Callable[..., object]:
        def step_or_kill(*args: Any) -> object:
            nonlocal done
            if done == steps_before:
                raise Killed
            done += 1
            return step(*args)

        return step_or_kill

    with monkeypatch.context() as patch, pytest.raises(Killed):
        for module, name in steps:
            patch.setattr(module, name, killing(getattr(module, name)))
        save(tmp_path, trained, task)
    if goes_on(state_file):
        save(tmp_path, run(dit, task, state_file), task)
    assert [path.name for path in (tmp_path / "loras").iterdir()] == ["t_1.safetensors"]
    assert not goes_on(state_file) and list(tmp_path.glob("state*")) == []
    run(dit, task, state_file)
    assert save(tmp_path, trained, task).name == "t_2.safetensors"
