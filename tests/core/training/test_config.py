"""TOML files, headless runs, and several processes."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file
from tiny_checkpoints import write_tiny
from training_data import write_random_data

from ace_core.training.__main__ import main
from ace_core.training.config import read_config

ROOT = Path(__file__).parents[3]
TRAINING = "steps = 6\nrank = 4\nlearning_rate = 0.01\nbatch_size = 1\nwarm_up = 1\n"


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("headless")
    write_tiny(folder / "models", "comfyui")
    write_random_data(folder / "data")
    return folder


def write_config(folder: Path, output: str, training: str = TRAINING, top: str = "") -> Path:
    path = folder / f"{output}.toml"
    text = f'model = "models/acestep_v1.5_turbo.safetensors"\ndata = "data"\noutput = "out/{output}"\ndevice = "cpu"\n'
    path.write_text(f"{text}{top}\n[training]\n{training}", encoding="utf-8")
    return path


def test_a_config_is_trained_and_written(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main([str(write_config(folder, "one"))]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert lines[-1] == str(folder / "out" / "one.safetensors")
    assert "step 6 of 6" in lines[-2]
    assert len(load_file(lines[-1])) == 32 * 3
    assert list((folder / "out").iterdir()) == [folder / "out" / "one.safetensors"]
    assert main([str(folder / "one.toml")]) == 1
    assert "is there already" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("model = ", "cannot be read as TOML"),
        ('data = "x"\noutput = "x"', "model is missing"),
        ('model = "m"\ndata = "d"\noutput = "o"\nsteps = 3', "there is no entry 'steps'; the entries are variant"),
        ('model = "m"\ndata = "d"\noutput = "o"\n[training]\nsteps = "3"', "steps must be int, got '3'"),
        ('model = "m"\ndata = "d"\noutput = "o"\n[training]\nstep = 3', "there is no entry 'step'"),
        ('model = "m"\ndata = "d"\noutput = "o"\ndtype = "float16"', "dtype must be one of auto, bfloat16, float32"),
        ('model = "m"\ndata = "d"\noutput = "o"\nsave_every = 0', "save_every must be 1 or more"),
        ('model = "m"\ndata = "d"\noutput = "o"\ntraining = 3', "training must be a table"),
    ],
)
def test_a_wrong_config_is_named(tmp_path: Path, text: str, said: str) -> None:
    path = tmp_path / "config.toml"
    path.write_text(text, encoding="utf-8")
    with pytest.raises(ValueError, match=said):
        read_config(path)


def test_whole_numbers_serve_as_floats(tmp_path: Path) -> None:
    path = tmp_path / "config.toml"
    path.write_text('model = "m"\ndata = "/d"\noutput = "o"\n[training]\nlearning_rate = 1', encoding="utf-8")
    config = read_config(path)
    assert config.wishes.learning_rate == 1.0 and config.model == tmp_path / "m" and config.data == Path("/d")
    assert config.torch_dtype == (torch.bfloat16 if torch.cuda.is_available() else torch.float32)


@pytest.mark.slow
def test_two_processes_do_what_one_does(folder: Path) -> None:
    """The same batches, shared out; gradients differ in rounding only."""
    write_config(folder, "alone", TRAINING + "accumulation = 2\n")
    write_config(folder, "shared", TRAINING + "accumulation = 1\n")
    assert main([str(folder / "alone.toml")]) == 0
    launcher = [sys.executable, "-m", "accelerate.commands.accelerate_cli", "launch", "--multi_gpu"]
    options = ["--num_processes=2", "--num_machines=1", "--mixed_precision=no", "--dynamo_backend=no"]
    program = ["-m", "ace_core.training", str(folder / "shared.toml")]
    result = subprocess.run([*launcher, *options, *program], cwd=ROOT, capture_output=True, text=True, check=False)
    assert result.returncode == 0, result.stderr[-3000:]
    assert result.stdout.count("step 6 of 6") == 1
    alone, shared = (load_file(folder / "out" / f"{name}.safetensors") for name in ("alone", "shared"))
    assert alone.keys() == shared.keys()
    for name in alone:
        assert (alone[name] - shared[name]).abs().max() <= 1e-4, name
