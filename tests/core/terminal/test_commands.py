"""`python -m ace_core`: songs from every published layout, plans, reports, exit statuses and sentences, Ctrl-C."""

from __future__ import annotations

import io
import json
import os
import signal
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from adapter_files import attention_shapes, random_lora, write_diffusers_file
from numpy.typing import NDArray
from planner_adapters import write_planner_lokr
from recordings_of_kinds import write_recording
from safetensors.torch import load_file, save_file
from tiny_checkpoints import LAYOUTS, Layout, write_tiny
from tiny_planner import planner_weights

from ace_core.song.blueprint import Blueprint, fields_left_auto
from ace_core.song.blueprint_json import blueprints_from_json, blueprints_to_json
from ace_core.song_files.encoding import read_sound
from ace_core.song_files.files import read_record
from ace_core.terminal.console import Console
from ace_core.terminal.main import main

ROOT = Path(__file__).resolve().parents[3]
SONG = ("--caption", "slow folk, male voice", "--duration", "10", "--steps", "2")


def run(*arguments: str | Path) -> int:
    return main([str(argument) for argument in arguments])


def samples(path: Path) -> NDArray[np.float32]:
    waveform: NDArray[np.float32] = read_sound(path).waveform.numpy()
    return waveform


@pytest.fixture(scope="module")
def models(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A ComfyUI models folder with one model and a planner."""
    from tiny_planner import write_tiny_planner

    root = tmp_path_factory.mktemp("models")
    for name in ("diffusion_models", "text_encoders", "vae", "loras"):
        (root / name).mkdir()
    paths = write_tiny(root / "all", "comfyui")
    paths.model.rename(root / "diffusion_models" / paths.model.name)
    paths.text_encoder.rename(root / "text_encoders" / paths.text_encoder.name)
    paths.vae.rename(root / "vae" / paths.vae.name)
    write_tiny_planner(root / "text_encoders", "comfyui", short_answers=True)
    return root


@pytest.fixture(scope="module")
def song(models: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A rendered song."""
    path = tmp_path_factory.mktemp("song") / "song.wav"
    assert run("render", *SONG, "--models", models, "--out", path, "--seed", "7") == 0
    return path


@pytest.mark.parametrize("layout", LAYOUTS)
def test_every_layout_gives_the_same_song(layout: Layout, models: Path, song: Path, tmp_path: Path) -> None:
    write_tiny(tmp_path / "models", layout)
    out = tmp_path / "out" / "song.wav"
    # Folders bring a small tokenizer of their own.
    words = ("--text-encoder", models / "text_encoders" / "qwen_0.6b_ace15.safetensors")
    assert run("render", *SONG, "--models", tmp_path / "models", *words, "--out", out, "--seed", "7") == 0
    kept_in_bfloat16 = layout.startswith("diffusers")  # the silence latent, which the others have or compute in float32
    assert np.allclose(samples(out), samples(song), rtol=0, atol=2e-3 if kept_in_bfloat16 else 0)
    assert np.abs(samples(out)).max() > 0.5


def test_a_song_knows_how_it_was_made(song: Path) -> None:
    record = read_record(song)
    assert record.blueprint is not None
    assert (record.blueprint.caption, record.blueprint.duration_seconds) == ("slow folk, male voice", 10.0)
    assert record.seeds["render"] == 7
    assert record.settings["steps"] == 2


def test_songs_of_a_batch_are_those_of_their_seeds(models: Path, song: Path, tmp_path: Path) -> None:
    out = tmp_path / "songs.wav"
    assert run("render", *SONG, "--models", models, "--out", out, "--seed", "6", "--batch", "2", "--low-memory") == 0
    assert sorted(path.name for path in tmp_path.iterdir()) == ["songs_1.wav", "songs_2.wav"]
    assert read_record(tmp_path / "songs_2.wav").seeds["render"] == 7
    assert np.allclose(samples(tmp_path / "songs_2.wav"), samples(song), atol=1e-3)
    assert not np.allclose(samples(tmp_path / "songs_1.wav"), samples(song), atol=0.1)


def test_plans_of_a_file_with_options_over_them(models: Path, tmp_path: Path) -> None:
    plans = (
        Blueprint(caption="a waltz", bpm=90, audio_codes=tuple(range(50)), duration_seconds=10.0),
        Blueprint(caption="a march", bpm=120, duration_seconds=12.0),
    )
    (tmp_path / "plan.json").write_text(blueprints_to_json(plans), encoding="utf-8")
    (tmp_path / "words.txt").write_text("[Verse]\nHello", encoding="utf-8")
    out = tmp_path / "song.flac"
    changes = ("--bpm", "100", "--lyrics", tmp_path / "words.txt")
    assert run("render", tmp_path / "plan.json", *changes, "--models", models, "--out", out, "--steps", "1") == 0
    made = [read_record(tmp_path / f"song_{number}.flac").blueprint for number in (1, 2)]
    assert [(plan.caption, plan.bpm, plan.lyrics) for plan in made if plan is not None] == [
        ("a waltz", 100, "[Verse]\nHello"),
        ("a march", 100, "[Verse]\nHello"),
    ]
    assert [len(samples(tmp_path / f"song_{number}.flac")[0]) for number in (1, 2)] == [480_000, 576_000]


def test_a_lora_changes_the_song_by_its_strength(models: Path, song: Path, tmp_path: Path) -> None:
    (model,) = (models / "diffusion_models").iterdir()
    state = load_file(model)
    decoder = {name.removeprefix("decoder."): tensor for name, tensor in state.items() if "decoder." in name}
    lora = models / "loras" / "style.safetensors"
    write_diffusers_file(lora, random_lora(attention_shapes(decoder), seed=1))
    made = {}
    for strength, choice in (("0", f"{lora}=0"), ("1", lora.name)):
        out = tmp_path / f"{strength}.wav"
        assert run("render", *SONG, "--models", models, "--out", out, "--seed", "7", "--lora", choice) == 0
        made[strength] = samples(out)
    assert np.array_equal(made["0"], samples(song))
    assert np.abs(made["1"] - samples(song)).max() > 0.01


def test_json_is_all_there_is_on_standard_output(
    models: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "song.flac"
    assert run("render", *SONG, "--models", models, "--out", out, "--json") == 0
    printed = capsys.readouterr()
    result = json.loads(printed.out)
    assert (result["files"], result["seeds"]) == ([str(out)], [0])
    assert result["settings"].startswith("2 steps, shift 3")
    assert printed.err == ""


def test_notes_go_to_standard_error(models: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    out = tmp_path / "song.flac"
    assert run("render", *SONG, "--models", models, "--out", out) == 0
    printed = capsys.readouterr()
    assert printed.out == f"{out}\n"
    assert "2 steps, shift 3, euler, no guidance, wavelet correction" in printed.err.splitlines()


def test_a_plan_is_written_and_rendered(models: Path, tmp_path: Path) -> None:
    plan = tmp_path / "plan.json"
    assert run("plan", "--caption", "jazz", "--duration", "10", "--models", models, "--out", plan, "--seed", "3") == 0
    (planned,) = blueprints_from_json(plan.read_text(encoding="utf-8"))
    assert (planned.caption, fields_left_auto(planned)) == ("jazz", ())
    assert planned.audio_codes is not None and len(planned.audio_codes) == 50
    assert run("render", plan, "--models", models, "--out", tmp_path / "jazz.flac", "--steps", "1") == 0
    assert read_record(tmp_path / "jazz.flac").blueprint == planned


def test_several_plans_without_codes_are_printed(models: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run("plan", "--caption", "jazz", "--models", models, "--batch", "2", "--no-codes") == 0
    plans = blueprints_from_json(capsys.readouterr().out)
    assert [plan.audio_codes for plan in plans] == [None, None]
    assert plans[0] != plans[1]


@pytest.mark.slow
def test_a_planner_lora_writes_other_codes(models: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    lokr = write_planner_lokr(models / "loras" / "artist.safetensors", planner_weights(0))
    closed = ("--bpm", "90", "--key", "C major", "--time-signature", "4", "--duration", "10", "--language", "unknown")
    song = ("plan", "--caption", "jazz", "--instrumental", *closed, "--models", models)

    def codes(*options: str) -> Any:
        assert run(*song, *options) == 0
        (plan,) = blueprints_from_json(capsys.readouterr().out)
        return plan.audio_codes

    base, adapted, off = codes(), codes("--planner-lora", "artist.safetensors"), codes("--planner-lora", f"{lokr}=0")
    assert base == off and adapted != base
    assert inspected(lokr, capsys)["of"] == "planner"
    style = write_diffusers_file(tmp_path / "style.safetensors", random_lora({"layers.0.cross_attn.q_proj": (64, 64)}))
    assert run(*song, "--planner-lora", str(style)) != 0
    assert "of the model's decoder" in capsys.readouterr().err
    assert run(*song, "--planner-lora", f"{lokr}=much") != 0
    assert "--planner-lora takes FILE or FILE=STRENGTH" in capsys.readouterr().err


@pytest.mark.slow
def test_a_recording_becomes_a_plan(models: Path, song: Path, capsys: pytest.CaptureFixture[str]) -> None:
    seed = ("--seed", "5")  # with it the small planner writes few words
    assert run("understand", song, "--models", models, "--keep-codes", *seed, "--json") == 0
    (plan,) = blueprints_from_json(capsys.readouterr().out)
    assert plan.duration_seconds == 10.0
    assert plan.audio_codes is not None and len(plan.audio_codes) == 50


@pytest.mark.slow
def test_surround_becomes_a_plan_where_it_is_asked_for(
    models: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    surround = write_recording(tmp_path / "surround.flac", "flac", "flac", "5.1")
    assert run("understand", surround, "--models", models) == 1
    assert "must be mono or stereo, got 6 channels" in capsys.readouterr().err
    assert run("understand", surround, "--models", models, "--downmix", "--seed", "5", "--json") == 0
    (plan,) = blueprints_from_json(capsys.readouterr().out)
    assert plan.duration_seconds is not None


def inspected(path: Path, capsys: pytest.CaptureFixture[str]) -> dict[str, Any]:
    assert run("inspect", path, "--json") == 0
    facts: dict[str, Any] = json.loads(capsys.readouterr().out)
    return facts


def test_inspect_says_what_files_are(models: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (model,) = (models / "diffusion_models").iterdir()
    facts = inspected(model, capsys)
    assert {name: facts[name] for name in ("kind", "size", "variant", "layout", "dtype", "lacks")} == {
        "kind": "model",
        "size": "2b",
        "variant": "turbo",
        "layout": "comfyui",
        "dtype": "bfloat16",
        "lacks": ["the silence latent (computed with the VAE)"],
    }
    assert facts["parameters"] > 100_000
    for path, kind in (("text_encoders/qwen_0.6b_ace15.safetensors", "text encoder"), ("vae", "vae")):
        found = models / path
        assert inspected(next(found.iterdir()) if found.is_dir() else found, capsys)["kind"] == kind
    assert inspected(models / "text_encoders" / "qwen_1.7b_ace15.safetensors", capsys)["kind"] == "planner"
    write_tiny(tmp_path, "diffusers", kind="sft")
    facts = inspected(tmp_path, capsys)
    assert (facts["kind"], facts["variant"], facts["layout"]) == ("model", "sft", "diffusers")


def test_inspect_describes_an_adapter(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    write_diffusers_file(tmp_path / "style.safetensors", random_lora({"layers.0.cross_attn.q_proj": (64, 64)}, seed=1))
    facts = inspected(tmp_path / "style.safetensors", capsys)
    assert (facts["kind"], facts["of"]) == ("adapter", "model")
    assert "LoRA" in facts["adapter"] and "not used" not in facts


def test_inspect_names_leftovers_and_what_several_networks_are(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    file = write_tiny(tmp_path, "all_in_one").model
    assert inspected(file, capsys)["holds"] == ["model", "text encoder", "vae"]
    file = write_tiny(tmp_path, "comfyui").vae
    save_file({**load_file(file), "optimizer.state.0.exp_avg": torch.ones(1)}, file)
    (note,) = inspected(file, capsys)["notes"]
    assert "1 tensors that training left in the file" in note


def test_doctor_names_what_is_there_and_what_is_missing(
    models: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run("doctor", "--models", models, "--json") == 0
    found = json.loads(capsys.readouterr().out)
    assert found["packages"]["torch"] == torch.__version__.split("+")[0]
    assert {kind: len(paths) for kind, paths in found["models"].items()} == {
        "model": 1,
        "text encoder": 1,
        "vae": 1,
        "planner": 1,
    }
    (tmp_path / "loop").symlink_to(tmp_path, target_is_directory=True)
    assert run("doctor", "--models", tmp_path) == 0
    lines = capsys.readouterr().out.splitlines()
    missing = [line for line in lines if "MISSING" in line]
    assert [line.split(":")[0] for line in missing] == ["model", "text encoder", "vae", "planner"]
    assert all("https://huggingface.co/" in line for line in missing)


def test_a_missing_package_is_one_sentence(tmp_path: Path) -> None:
    (tmp_path / "tqdm.py").write_text("raise ModuleNotFoundError(name='tqdm')", encoding="ascii")
    environment = {**os.environ, "PYTHONPATH": str(tmp_path)}
    command = [sys.executable, "-m", "ace_core", "doctor"]
    result = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True, check=False)
    assert (result.returncode, result.stderr) == (1, "ace_core: a package is missing: pip install tqdm\n")


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        (("render", "--models", "{models}", "--out", "song.flac"), "there is no song: give a PLAN.json, or --caption"),
        (("render", *SONG, "--out", "song.flac", "--models", "nowhere"), "there is no nowhere: --models must be"),
        (("render", *SONG, "--out", "song.flac", "--models", "{empty}"), "holds no model: put an ACE-Step 1.5 model"),
        (("render", *SONG, "--out", "song.ogg", "--models", "{models}"), "--out must end in one of flac, wav, mp3"),
        (
            ("render", *SONG, "--out", "song.mp3", "--encoding", "flac 24 bit", "--models", "{models}"),
            "--encoding flac 24 bit makes a flac file, but --out is song.mp3",
        ),
        (("render", *SONG, "--out", "{there}", "--models", "{models}"), "is there already: choose another --out"),
        (("render", *SONG, "--out", "a.wav", "--batch", "9", "--models", "{models}"), "--batch must be 1 to 8, got 9"),
        (
            ("render", *SONG, "--bpm", "1000", "--out", "a.wav", "--models", "{models}"),
            "bpm must be auto or a whole number from 30 to 300, got '1000'",
        ),
        (("render", "no.json", "--out", "a.wav", "--models", "{models}"), "No such file or directory: 'no.json'"),
        (("render", "{there}", "--out", "a.wav", "--models", "{models}"), "is not valid JSON"),
        (
            ("render", *SONG, "--out", "a.wav", "--models", "{models}", "--model", "xl"),
            "there is no model xl in {models}: it holds acestep_v1.5_turbo.safetensors",
        ),
        (
            ("render", *SONG, "--out", "a.wav", "--models", "{models}", "--lora", "x.safetensors=much"),
            "--lora takes FILE or FILE=STRENGTH with a number, got 'x.safetensors=much'",
        ),
        (("plan", "--caption", "x", "--models", "{models}", "--out", "{there}"), "is there already: choose another"),
        (("plan", "--caption", "x", "--models", "{empty}"), "holds no planner: put an ACE-Step 5 Hz language model"),
        (("understand", "no.wav", "--models", "{models}"), "no.wav"),
        (("inspect", "{there}"), "song.flac"),
        (("inspect", "nowhere.safetensors"), "nowhere.safetensors"),
        (("train", "nowhere.toml"), "nowhere.toml"),
    ],
)
def test_failures_are_one_sentence_and_status_1(
    arguments: Sequence[str],
    sentence: str,
    models: Path,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    (tmp_path / "empty").mkdir()
    (tmp_path / "song.flac").write_bytes(b"\xff\xfe")
    monkeypatch.chdir(tmp_path / "empty")
    places = {"models": models, "empty": tmp_path / "empty", "there": tmp_path / "song.flac"}
    assert run(*(argument.format(**places) for argument in arguments)) == 1
    printed = capsys.readouterr()
    assert sentence.format(**places) in printed.err
    assert "Traceback" not in printed.err and printed.out == ""
    assert [*(tmp_path / "empty").iterdir()] == []
    assert (tmp_path / "song.flac").read_bytes() == b"\xff\xfe"


@pytest.mark.parametrize("arguments", [(), ("sing",), ("render", "--out", "x.wav", "--solver", "rk45"), ("inspect",)])
def test_wrong_arguments_are_status_2(arguments: Sequence[str], capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as stopped:
        run(*arguments)
    assert stopped.value.code == 2
    assert "usage: python -m ace_core" in capsys.readouterr().err


def test_ctrl_c_ends_a_render_without_a_file(models: Path, tmp_path: Path) -> None:
    options = ["--caption", "long", "--duration", "600", "--steps", "200", "--custom-timesteps", ""]
    command = [sys.executable, "-m", "ace_core", "render", *options, "--models", models, "--out", tmp_path / "song.wav"]
    program = subprocess.Popen(
        command,
        cwd=ROOT,
        env=os.environ,
        stderr=subprocess.PIPE,
        text=True,
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),  # a shell's background jobs ignore it
    )
    assert program.stderr is not None
    for line in program.stderr:
        if "steps, shift" in line:  # rendering begins
            program.send_signal(signal.SIGINT)
    assert program.wait(60) == 130
    assert [*tmp_path.iterdir()] == []


def test_a_bar_is_drawn_on_a_terminal_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    class Terminal(io.StringIO):
        def isatty(self) -> bool:
            return True

    for stream, drawn in ((Terminal(), True), (io.StringIO(), False)):
        monkeypatch.setattr(sys, "stderr", stream)
        console = Console()
        console.stage("render")
        update = console.progress()
        update(1, 2)
        update(2, 2)
        assert ("render" in stream.getvalue()) == drawn
