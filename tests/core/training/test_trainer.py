"""The loop: the same to the bit after any interruption, the shared network untouched, memory flat."""

from __future__ import annotations

import gc
import random
import subprocess
import sys
import time
import weakref
from pathlib import Path

import psutil
import pytest
import torch
from killed_training import STEPS, WRITING_SECONDS
from safetensors.torch import load_file
from training_data import random_sample, write_data, write_random_data
from training_runs import (
    SHORT,
    Stopped,
    assert_equal_to_the_bit,
    run,
    short_settings,
    short_task,
    stop_after,
    weights_hash,
)

from ace_core.dataset.samples import Manifest
from ace_core.models.dit import DiT
from ace_core.training import trainer
from ace_core.training.adapted_copy import TrainedKind
from ace_core.training.messages import StepMessages
from ace_core.training.run_state import load_state, save_state
from ace_core.training.trainer import StepReport

ROOT = Path(__file__).parents[3]


@pytest.fixture
def manifest(tmp_path: Path) -> Manifest:
    return write_random_data(tmp_path / "data")


@pytest.mark.parametrize(
    ("kind", "optimizer", "average"),
    [
        ("lora", "adamw", 0.9),
        ("dora", "adafactor", 0.0),
        ("lokr", "prodigy", 0.0),
        ("lora", "prodigy", 0.9),
    ],
)
@pytest.mark.parametrize("calls", [1, 70])
def test_a_stopped_run_ends_with_the_same_weights(
    tmp_path: Path, dit: DiT, manifest: Manifest, kind: TrainedKind, optimizer: str, average: float, calls: int
) -> None:
    rate = 1.0 if optimizer == "prodigy" else 1e-2
    settings = short_settings(kind, optimizer=optimizer, average=average, learning_rate=rate)
    task = short_task(tmp_path / "data", manifest, settings)
    whole = run(dit, task, tmp_path / "whole.safetensors")
    state_file = tmp_path / "part.safetensors"
    with pytest.raises(Stopped):
        run(dit, task, state_file, check=stop_after(calls))
    state = load_state(state_file)
    assert state is not None and (calls == 1) == (state.step == 0) and state.step < settings.steps
    assert_equal_to_the_bit(run(dit, task, state_file), whole)
    assert len(whole.losses) == settings.steps


def test_recomputing_changes_nothing(tmp_path: Path, dit: DiT, manifest: Manifest) -> None:
    for kind in ("lora", "dora", "lokr"):
        runs = []
        for recompute in (True, False):
            task = short_task(tmp_path / "data", manifest, short_settings(kind, recompute=recompute, steps=4))
            runs.append(run(dit, task, tmp_path / f"{kind}{recompute}.safetensors"))
        assert_equal_to_the_bit(*runs)


def test_another_seed_or_setting_is_another_run(tmp_path: Path, dit: DiT, manifest: Manifest) -> None:
    tasks = [
        short_task(tmp_path / "data", manifest, settings)
        for settings in (SHORT, short_settings(seed=8), short_settings(average=0.5), short_settings(dropout=0.2))
    ]
    files = {task.state_file(tmp_path, "model", torch.float32) for task in tasks}
    files |= {
        tasks[0].state_file(tmp_path, "other", torch.float32),
        tasks[0].state_file(tmp_path, "model", torch.bfloat16),
    }
    assert len(files) == 6
    same = short_task(tmp_path / "data", manifest, short_settings(recompute=False))
    assert same.state_file(tmp_path, "model", torch.float32) in files
    losses = [run(dit, task, file).losses for task, file in zip(tasks[:2], sorted(files), strict=False)]
    assert losses[0] != losses[1]


def test_a_cancel_in_the_backward_pass_changes_nothing(tmp_path: Path, dit: DiT, manifest: Manifest) -> None:
    """Every place where a run may be cancelled, over more than one step."""
    task = short_task(tmp_path / "data", manifest, short_settings(steps=2, accumulation=1))
    whole = run(dit, task, tmp_path / "whole.safetensors")
    for calls in range(1, 24, 3):
        state_file = tmp_path / f"{calls}.safetensors"
        with pytest.raises(Stopped):
            run(dit, task, state_file, check=stop_after(calls))
        assert_equal_to_the_bit(run(dit, task, state_file), whole)


def test_nothing_of_the_shared_network_changes_and_the_tree_is_freed(
    tmp_path: Path, dit: DiT, manifest: Manifest, monkeypatch: pytest.MonkeyPatch
) -> None:
    trees = []
    build = trainer.build_copy

    def remembered(*arguments: object, **keywords: object) -> DiT:
        tree = build(*arguments, **keywords)  # type: ignore[arg-type]
        trees.append(weakref.ref(tree))
        return tree

    monkeypatch.setattr(trainer, "build_copy", remembered)
    before, addresses = weights_hash(dit), [parameter.data_ptr() for parameter in dit.parameters()]
    state = torch.get_rng_state()
    run(dit, short_task(tmp_path / "data", manifest), tmp_path / "state.safetensors")
    assert weights_hash(dit) == before
    assert [parameter.data_ptr() for parameter in dit.parameters()] == addresses
    assert all(parameter.grad is None and not parameter.requires_grad for parameter in dit.parameters())
    assert torch.equal(torch.get_rng_state(), state)
    gc.collect()
    assert [tree() for tree in trees] == [None]


def test_samples_see_the_weights_that_would_be_kept_and_change_nothing(
    tmp_path: Path, dit: DiT, manifest: Manifest
) -> None:
    task = short_task(tmp_path / "data", manifest, short_settings(average=0.9))
    whole = run(dit, task, tmp_path / "whole.safetensors")
    seen: dict[int, torch.Tensor] = {}
    name = "layers.0.self_attn.q_proj"

    def look(step: int, tree: DiT) -> None:
        assert not tree.training
        seen[step] = tree.get_submodule(f"{name}.lora_B.default").weight.detach().clone()  # type: ignore[union-attr, operator]

    looked = run(dit, task, tmp_path / "looked.safetensors", on_sample=look, sample_every=4)
    assert_equal_to_the_bit(looked, whole)
    assert list(seen) == [4, 8]
    assert torch.equal(seen[8], whole.adapters[f"{name}.weight"].factors[0][0])


def test_a_batch_is_the_mean_of_its_clips(tmp_path: Path, dit: DiT, monkeypatch: pytest.MonkeyPatch) -> None:
    """Two clips as one batch and in turns give the same step, but for rounding; their conditions differ in length."""
    manifest = write_data(tmp_path / "data", [random_sample(60, 0, tokens=9), random_sample(60, 1, tokens=15)])
    reports: list[StepReport] = []
    seeded = trainer.seeded
    for batches in (((0, 1),), ((0,), (1,))):
        settings = short_settings(dropout=0.0, batch_size=len(batches[0]), accumulation=len(batches), steps=1)
        task = short_task(tmp_path / "data", manifest, settings)
        draws = iter((3, 4))  # the same for a clip, whatever its batch and place
        monkeypatch.setattr(trainer, "batch_clips", lambda *arguments, given=batches: given[arguments[-1]])
        monkeypatch.setattr(trainer, "seeded", lambda *_, given=draws: seeded(next(given)))
        run(dit, task, tmp_path / f"{len(batches)}.safetensors", on_step=reports.append)
    assert reports[0].loss == pytest.approx(reports[1].loss, rel=1e-5)
    assert reports[0].gradient == pytest.approx(reports[1].gradient, rel=1e-4)


def test_a_loss_that_is_no_number_ends_the_run(tmp_path: Path, dit: DiT, manifest: Manifest) -> None:
    settings = short_settings(learning_rate=1e30, warm_up=0)
    with pytest.raises(ValueError, match=r"training has diverged: in step \d+ .* lower learning rate than 1e\+30"):
        run(dit, short_task(tmp_path / "data", manifest, settings), tmp_path / "state.safetensors")


def test_data_of_another_model_is_refused(tmp_path: Path, dit: DiT) -> None:
    manifest = write_random_data(tmp_path, base_model="acestep-v15-xl-base")
    with pytest.raises(ValueError, match="made with acestep-v15-xl-base and the model is acestep-v15-turbo"):
        short_task(tmp_path, manifest)
    wide = write_data(tmp_path / "wide", [random_sample(50, 0, width=32)])
    with pytest.raises(ValueError, match="conditions 32 wide and the model expects 64"):
        short_task(tmp_path / "wide", wide)


def test_a_checkpoint_that_is_broken_is_named(tmp_path: Path, dit: DiT, manifest: Manifest) -> None:
    task = short_task(tmp_path / "data", manifest)
    state_file = tmp_path / "state.safetensors"
    state_file.write_bytes(b"nothing")
    with pytest.raises(ValueError, match=r"state\.safetensors cannot be continued .* delete it"):
        run(dit, task, state_file)
    state_file.unlink()
    with pytest.raises(Stopped):
        run(dit, task, state_file, check=stop_after(50))
    state = load_state(state_file)
    assert state is not None
    state.adapter.popitem()
    save_state(state_file, state)
    with pytest.raises(ValueError, match="belongs to another training"):
        run(dit, task, state_file)


@pytest.mark.slow
def test_a_killed_run_ends_with_the_same_weights(tmp_path: Path) -> None:
    """Killed without warning, three times while it writes a checkpoint."""
    folders = [tmp_path / "whole", tmp_path / "killed"]
    for folder in folders:
        write_random_data(folder / "data")
    script = [sys.executable, str(ROOT / "tests" / "support" / "killed_training.py")]
    subprocess.run([*script, str(folders[0])], check=True, capture_output=True)
    generator = random.Random(0)
    steps = [0]
    for _ in range(3):
        with subprocess.Popen([*script, str(folders[1])], stdout=subprocess.PIPE, stderr=subprocess.STDOUT) as process:
            assert process.stdout is not None
            lines = [process.stdout.readline() for _ in range(generator.randint(2, 4))]
            time.sleep(generator.uniform(0, WRITING_SECONDS))
            process.kill()
        assert lines[-1] == b"writing\n", lines
        state = load_state(folders[1] / "state.safetensors")
        assert state is not None
        steps.append(state.step)
    assert list((folders[1]).glob("*.unfinished")) and steps == sorted(steps) and 0 < steps[-1] < STEPS
    subprocess.run([*script, str(folders[1])], check=True, capture_output=True)
    whole, killed = (load_file(folder / "trained.safetensors") for folder in folders)
    assert whole.keys() == killed.keys()
    assert all(torch.equal(whole[name], killed[name]) for name in whole)


@pytest.mark.slow
def test_memory_is_flat_over_many_steps(tmp_path: Path, dit: DiT, manifest: Manifest) -> None:
    settings = short_settings(steps=500, batch_size=1, accumulation=1)
    process = psutil.Process()
    resident: list[int] = []
    objects: list[int] = []

    def note(report: StepReport) -> None:
        if report.done % 100 == 0:
            gc.collect()
            resident.append(process.memory_info().rss)
            objects.append(sum(issubclass(type(item), torch.Tensor) for item in gc.get_objects()))

    run(dit, short_task(tmp_path / "data", manifest, settings), tmp_path / "s.safetensors", on_step=note, save_every=50)
    assert max(objects[1:]) - min(objects[1:]) <= 2
    assert resident[-1] - resident[1] < 4 << 20


def test_time_left_is_told(tmp_path: Path, manifest: Manifest) -> None:
    messages = StepMessages(short_task(tmp_path / "data", manifest))
    assert messages.after(StepReport(1, 8, 2.0, 1.0), 10.0) == "step 1 of 8 (epoch 1.0), loss 2.0000 (last 1: 2.0000)"
    text = messages.after(StepReport(2, 8, 1.0, 1.0), 400.0)
    assert text == "step 2 of 8 (epoch 2.0), loss 1.0000 (last 2: 1.5000), 390.00 s a step, 39:00 left"


def test_a_cancelled_step_ends_at_once(tmp_path: Path, dit: DiT, manifest: Manifest) -> None:
    """Between two calls of the check lies no more than a layer, forward or backward."""
    moments: list[float] = []
    long = write_random_data(tmp_path / "long", [1500])
    settings = short_settings(steps=1, accumulation=1, recompute=False)
    started = time.perf_counter()
    run(
        dit,
        short_task(tmp_path / "long", long, settings),
        tmp_path / "s",
        check=lambda: moments.append(time.perf_counter()),
    )
    ended = time.perf_counter()
    assert len(moments) == 2 * dit.config.num_layers
    gaps = [later - earlier for earlier, later in zip(moments, moments[1:], strict=False)]
    assert max(gaps) < 0.7 * (ended - started)
