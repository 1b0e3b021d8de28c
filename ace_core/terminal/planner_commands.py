"""`plan` and `understand`: plans from ideas, and plans from recordings."""

from __future__ import annotations

import argparse
import json
from pathlib import Path
from typing import Any

from ..audio.downmix import downmixed
from ..audio.waveform import MAX_DURATION_SECONDS
from ..files import write_text_atomically
from ..planner.requests import PlannedSongs
from ..sampling.noise import item_seeds
from ..song.blueprint_json import blueprints_to_json
from ..song_files.encoding import read_sound
from ..stages.plan import plan_songs, understand_waveforms
from ..stages.sources import source_waveforms
from .console import Console
from .model_options import (
    add_device_options,
    add_model_options,
    add_planner_options,
    networks_of,
    song_models,
    song_planner,
)
from .models_folder import find_models
from .output_files import add_overwrite_option, prepare_outputs
from .plan_options import add_plan_options, plans_of


def add_plan_command(parser: argparse.ArgumentParser) -> None:
    add_plan_options(parser)
    add_device_options(parser)
    add_planner_options(parser)
    _add_output(parser)
    parser.add_argument("--batch", type=int, default=1, metavar="N", help="how many plans to write of one idea")
    parser.add_argument("--no-codes", action="store_true", help="without audio codes")
    parser.add_argument("--rewrite-caption", action="store_true", help="write a richer caption")


def plan(options: argparse.Namespace, console: Console) -> Any:
    """Fill what plans leave open and write their audio codes.

    Raises:
        ValueError: what is asked for cannot be done.
        OSError: a file that cannot be read or written.
    """
    plans = plans_of(options, console)
    _prepare_output(options)
    networks = networks_of(options, console)
    planner = song_planner(networks, find_models(options.models), options, console)
    console.stage("plan")
    planned = plan_songs(
        networks,
        planner,
        plans,
        item_seeds(options.seed, max(len(plans), options.batch)),
        write_codes=not options.no_codes,
        rewrite_caption=options.rewrite_caption,
    )
    return _give(planned, options, console)


def add_understand_command(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("audio", type=Path, help=f"an audio file, 1 to {MAX_DURATION_SECONDS} s")
    add_model_options(parser)
    add_planner_options(parser)
    _add_output(parser)
    parser.add_argument("--downmix", action="store_true", help="take surround, as stereo")
    parser.add_argument("--keep-codes", action="store_true", help="keep the audio's codes, so that a render follows it")


def understand(options: argparse.Namespace, console: Console) -> Any:
    """Describe a recording as a plan.

    Raises:
        ValueError: what is asked for cannot be done.
        OSError: a file that cannot be read or written.
    """
    sound = read_sound(options.audio)
    _prepare_output(options)
    networks = networks_of(options, console)
    found = find_models(options.models)
    model, _, vae = song_models(networks, found, options, console)
    planner = song_planner(networks, found, options, console)
    console.stage("understand")
    waveform = downmixed(sound.waveform) if options.downmix else sound.waveform
    waveforms = source_waveforms(waveform[None], sound.sample_rate)
    described = understand_waveforms(
        networks, planner, model, vae, waveforms, (options.seed,), keep_codes=options.keep_codes
    )
    return _give(described, options, console)


def _add_output(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--out", type=Path, metavar="PLAN.json", help="default: printed")
    add_overwrite_option(parser)
    parser.add_argument("--seed", type=int, default=0)


def _prepare_output(options: argparse.Namespace) -> None:
    if options.out is not None:
        prepare_outputs([options.out], overwrite=options.overwrite)


def _give(planned: PlannedSongs, options: argparse.Namespace, console: Console) -> Any:
    """Write or print plans."""
    text = blueprints_to_json(planned.blueprints)
    for note in planned.notes:
        console.note(note)
    if options.out is None:
        console.result(text.rstrip())
    else:
        write_text_atomically(options.out, text)
        console.result(str(options.out))
    return json.loads(text)
