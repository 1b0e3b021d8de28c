"""`doctor`: what is installed, which models are found where, what is missing and where to get it."""

from __future__ import annotations

import argparse
import platform
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

import torch

from ..checkpoints import kinds
from ..plain_networks import best_device
from .models_folder import LINKS, find_models
from .progress_bar import Say

PACKAGES = {  # what for
    "torch": "everything",
    "torchaudio": "audio of other sample rates",
    "safetensors": "weights",
    "tokenizers": "text",
    "av": "audio files",
    "tqdm": "this program",
    "peft": "training",
}


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--models", type=Path, metavar="DIR", help="a folder with models, such as ComfyUI's")


def run(options: argparse.Namespace, say: Say) -> dict[str, Any]:
    """Print the state of things; what is missing is named, not an error."""
    device = best_device()
    name = torch.cuda.get_device_name(device) if device.type == "cuda" else device.type
    result: dict[str, Any] = {"python": platform.python_version(), "device": name, "packages": {}, "models": {}}
    say.result(f"Python {result['python']}, device {name}")
    for package, purpose in PACKAGES.items():
        result["packages"][package] = found = _version(package)
        say.result(f"{package}: {found or f'MISSING, needed for {purpose}: pip install {package}'}")
    if options.models is not None:
        models = find_models(options.models)
        for kind in (kinds.MODEL, kinds.TEXT_ENCODER, kinds.VAE, kinds.PLANNER):
            paths = result["models"][kind] = [str(path) for path in models.of(kind)]
            wanted = f"MISSING: put {kinds.WANTED[kind]} there, from {LINKS[kind]}"
            say.result(f"{kind}: {', '.join(paths) or wanted}")
    return result


def _version(package: str) -> str | None:
    try:
        return version(package)
    except PackageNotFoundError:
        return None
