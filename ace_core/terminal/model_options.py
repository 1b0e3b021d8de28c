"""The options that choose models, and the models that they choose."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import NamedTuple, get_args

import torch

from ..checkpoints import kinds
from ..checkpoints.inspection import inspect_model
from ..checkpoints.variants import VARIANTS
from ..loaded import AceModel, AcePlanner, AceTextEncoder, AceVae
from ..lora.adapters import AppliedAdapter, Strengths
from ..lora.formats import adapter_key, load_adapter
from ..lora.merging import merged_network
from ..plain_networks import PlainNetworks, PlainPart, best_device
from ..runtime import Networks, Precision
from ..stages.load import inspect_lora, inspect_models, load_models, load_planner
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
    model, text_encoder, vae = load_models(networks, sources, variant=options.variant, precision=options.precision)
    for choice in options.lora:
        model = _with_lora(model, choice, found.root, console)
    console.note(f"{model!r} on {networks.device_name(networks.device_of(model.dit))}")
    return SongModels(model, text_encoder, vae)


def song_planner(networks: Networks, found: FoundModels, options: argparse.Namespace, console: Console) -> AcePlanner:
    """Load the chosen planner.

    Raises:
        ValueError: it is missing or damaged.
    """
    console.stage("load")
    path = found.choose(kinds.PLANNER, options.planner)
    planner = load_planner(networks, path, precision=options.precision, int8=options.int8)
    console.note(f"{planner!r} on {networks.device_name(networks.device_of(planner.lm))}")
    return planner


def _with_lora(model: AceModel, choice: str, models: Path, console: Console) -> AceModel:
    """The model with an adapter, given as FILE or FILE=STRENGTH; a file of the folder loras needs its name only."""
    name, strength = _lora_choice(choice)
    path = next((path for path in (Path(name), models / "loras" / name) if path.exists()), Path(name))
    files, remarks = inspect_lora(path, model)
    for remark in remarks:
        console.note(remark)
    applied = AppliedAdapter(path.name, load_adapter(files), Strengths(strength), adapter_key(files).files)
    merged = PlainPart(merged_network(model.dit.network, applied), model.dit.dtype)
    return model._replace(dit=merged, adapters=(*model.adapters, applied))


def _lora_choice(choice: str) -> tuple[str, float]:
    if "=" not in choice or Path(choice).exists():
        return choice, 1.0
    file, _, strength = choice.rpartition("=")
    try:
        return file, float(strength)
    except ValueError as error:
        raise ValueError(f"--lora takes FILE or FILE=STRENGTH with a number, got {choice!r}") from error
