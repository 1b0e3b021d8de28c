"""The options that choose models, and the models that they choose."""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple, get_args

import torch

from ..checkpoints import kinds
from ..checkpoints.inspection import inspect_model, inspect_planner
from ..checkpoints.variants import VARIANTS
from ..loaded import AceModel, AcePlanner, AceTextEncoder, AceVae
from ..lora.adapters import AppliedAdapter, Strengths
from ..lora.formats import AdapterFiles, adapter_key, load_adapter
from ..lora.merging import adapted_network
from ..plain_networks import PlainNetworks, PlainPart, best_device
from ..runtime import Networks, Precision
from ..stages.load import inspect_lora, inspect_models, inspect_planner_lora, load_models, load_planner
from .console import Console
from .models_folder import FoundModels, add_models_option


class SongModels(NamedTuple):
    """A model with what goes with it."""

    model: AceModel
    text_encoder: AceTextEncoder
    vae: AceVae


def add_model_options(parser: argparse.ArgumentParser) -> None:
    add_device_options(parser)
    parser.add_argument("--model", type=Path, metavar="NAME", help="which of several: a name or a path")
    parser.add_argument("--text-encoder", type=Path, metavar="NAME")
    parser.add_argument("--vae", type=Path, metavar="NAME")
    parser.add_argument("--variant", choices=VARIANTS, help="of a renamed file")
    parser.add_argument(
        "--lora",
        action="append",
        default=[],
        metavar="FILE[=STRENGTH]",
        help="a path, or a name in loras; may be given several times",
    )


def add_planner_options(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--planner", type=Path, metavar="NAME", help="which of several: a name or a path")
    parser.add_argument("--int8", action="store_true", help="keep the planner's weights as int8, on a CPU")
    parser.add_argument(
        "--planner-lora",
        action="append",
        default=[],
        metavar="FILE[=STRENGTH]",
        help="of the planner: a path, or a name in loras; may be given several times",
    )


def add_device_options(parser: argparse.ArgumentParser) -> None:
    add_models_option(parser)
    parser.add_argument("--device", type=torch.device, help="cuda, mps or cpu; default: a GPU where there is one")
    parser.add_argument("--precision", choices=get_args(Precision), default="auto")
    parser.add_argument("--low-memory", action="store_true", help="keep one network on the device at a time")


def networks_of(options: argparse.Namespace, console: Console) -> PlainNetworks:
    """What runs the networks of a command."""
    return PlainNetworks(options.device or best_device(), keep=not options.low_memory, progress=console.progress)


def song_models(networks: Networks, found: FoundModels, options: argparse.Namespace, console: Console) -> SongModels:
    """Load the chosen model with its LoRAs, its text encoder and its VAE.

    Raises:
        ValueError: one of them is missing, damaged or of another model.
    """
    console.stage("load")
    files = inspect_model(found.choose(kinds.MODEL, options.model))
    sources = inspect_models(
        files,
        found.beside(files, kinds.TEXT_ENCODER, options.text_encoder),
        found.beside(files, kinds.VAE, options.vae),
    )
    for note in sources.notes:
        console.note(note)
    model, text_encoder, vae = load_models(networks, sources, variant=options.variant, precision=options.precision)
    for choice in options.lora:
        model = _with_lora(model, choice, found, console)
    console.note(f"{model!r} on {networks.device_name(networks.device_of(model.dit))}")
    return SongModels(model, text_encoder, vae)


def song_planner(networks: Networks, found: FoundModels, options: argparse.Namespace, console: Console) -> AcePlanner:
    """Load the chosen planner.

    Raises:
        ValueError: it is missing or damaged.
    """
    console.stage("load")
    path = found.choose(kinds.PLANNER, options.planner)
    for note in inspect_planner(path).notes:
        console.note(note)
    planner = load_planner(networks, path, precision=options.precision, int8=options.int8)
    for choice in options.planner_lora:
        planner = _with_planner_lora(planner, choice, found, console)
    console.note(f"{planner!r} on {networks.device_name(networks.device_of(planner.lm))}")
    return planner


def _with_lora(model: AceModel, choice: str, found: FoundModels, console: Console) -> AceModel:
    """The model with an adapter, given as FILE or FILE=STRENGTH; a file of the folder loras needs its name only."""
    path, strength = _lora_choice(choice, found, "--lora")
    files, remarks = inspect_lora(path, model)
    applied = _applied(path, strength, files, remarks, console)
    adapted = PlainPart(adapted_network(model.dit.network, applied), model.dit.dtype)
    return model._replace(dit=adapted, adapters=(*model.adapters, applied))


def _with_planner_lora(planner: AcePlanner, choice: str, found: FoundModels, console: Console) -> AcePlanner:
    """The planner with an adapter; see `_with_lora`."""
    path, strength = _lora_choice(choice, found, "--planner-lora")
    files, remarks = inspect_planner_lora(path, planner)
    applied = _applied(path, strength, files, remarks, console)
    adapted = PlainPart(adapted_network(planner.lm.network, applied), planner.lm.dtype)
    return planner._replace(lm=adapted, adapters=(*planner.adapters, applied))


def _applied(
    path: Path, strength: float, files: AdapterFiles, remarks: Sequence[str], console: Console
) -> AppliedAdapter:
    for remark in remarks:
        console.note(remark)
    return AppliedAdapter(path.name, load_adapter(files), Strengths(strength), adapter_key(files).files)


def _lora_choice(choice: str, found: FoundModels, option: str) -> tuple[Path, float]:
    """The path and the strength of a choice."""
    name, strength = choice, "1"
    if "=" in choice and not Path(choice).exists():
        name, _, strength = choice.rpartition("=")
    try:
        return next((path for path in (Path(name), found.root / "loras" / name) if path.exists()), Path(name)), float(
            strength
        )
    except ValueError as error:
        raise ValueError(f"{option} takes FILE or FILE=STRENGTH with a number, got {choice!r}") from error
