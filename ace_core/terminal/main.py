"""Commands, their exit status, and what a failure says.

Results go to standard output, progress and notes to standard error. Exit status: 0 done, 1 a sentence on standard error
says why not, 2 wrong arguments, 130 Ctrl-C. A traceback is a mistake in this program.
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import torch

from . import doctor_command, inspect_command, planner_commands, render_command
from .console import Console


class Command(NamedTuple):
    """A command: its line of help, what adds its options, and what runs it and returns its result for `--json`."""

    help: str
    add_options: Callable[[argparse.ArgumentParser], None]
    run: Callable[[argparse.Namespace, Console], Any]


COMMANDS = {
    "render": Command("render songs from a plan or from options", render_command.add_options, render_command.run),
    "plan": Command(
        "plan a song with the 5 Hz language model", planner_commands.add_plan_command, planner_commands.plan
    ),
    "understand": Command(
        "describe a recording: caption, lyrics, bpm, key",
        planner_commands.add_understand_command,
        planner_commands.understand,
    ),
    "inspect": Command("say what a weight file is", inspect_command.add_options, inspect_command.run),
    "doctor": Command(
        "say what is installed and which models are found", doctor_command.add_options, doctor_command.run
    ),
}


def main(arguments: Sequence[str] | None = None) -> int:
    """Run a command line; returns its exit status."""
    arguments = sys.argv[1:] if arguments is None else arguments
    if arguments[:1] == ["train"]:
        return _train(arguments[1:])
    options = _parser().parse_args(arguments)
    try:
        with torch.inference_mode():
            result = COMMANDS[options.command].run(options, Console(quiet=options.json))
    except KeyboardInterrupt:
        sys.stderr.write("\ncancelled\n")
        return 130
    except torch.OutOfMemoryError:
        sys.stderr.write("ace_core: the device has too little memory: try --low-memory, or fewer songs at a time\n")
        return 1
    except (ValueError, OSError) as error:
        sys.stderr.write(f"ace_core: {error}\n")
        return 1
    if options.json:
        sys.stdout.write(json.dumps(result, ensure_ascii=False, indent=1) + "\n")
    return 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m ace_core", description="ACE-Step 1.5 music from a terminal.")
    commands = parser.add_subparsers(dest="command", required=True, metavar="COMMAND")
    for name, command in COMMANDS.items():
        added = commands.add_parser(name, help=command.help, description=command.help)
        command.add_options(added)
        added.add_argument("--json", action="store_true", help="print the result as JSON, and no progress")
    commands.add_parser("train", help="train a LoRA as a TOML file says (CONFIG.toml)", add_help=False)
    return parser


def _train(arguments: Sequence[str]) -> int:
    from ..training.__main__ import main as train

    try:
        return train(list(arguments))
    except KeyboardInterrupt:
        sys.stderr.write("\ncancelled; the same command goes on from the last whole step\n")
        return 130
