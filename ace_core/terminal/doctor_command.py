"""`doctor`: what is installed, which models are found where, what is missing and where to get it."""

from __future__ import annotations

import argparse
import platform
from importlib.metadata import PackageNotFoundError, version
from typing import Any

import torch

from ..checkpoints import kinds
from ..plain_networks import best_device
from .console import Console
from .models_folder import MODELS_LINK, add_models_option, find_models

PACKAGES = {  # what for
    "torch": "everything",
    "numpy": "everything",
    "torchaudio": "audio of other sample rates",
    "safetensors": "weights",
    "tokenizers": "text",
    "av": "audio files",
    "Pillow": "pictures",
    "PyYAML": "datasets",
    "psutil": "the size of memory",
    "tqdm": "progress bars",
    "peft": "training",
}


def add_options(parser: argparse.ArgumentParser) -> None:
    add_models_option(parser)


def run(options: argparse.Namespace, console: Console) -> dict[str, Any]:
    """Print the state of things; what is missing is named, not an error."""
    device = best_device()
    name = torch.cuda.get_device_name(device) if device.type == "cuda" else device.type
    result: dict[str, Any] = {"python": platform.python_version(), "device": name, "packages": {}, "models": {}}
    console.result(f"Python {result['python']}, device {name}")
    for package, purpose in PACKAGES.items():
        result["packages"][package] = found = _version(package)
        console.result(f"{package}: {found or f'MISSING, needed for {purpose}: pip install {package}'}")
    if options.models is None:
        console.result("models: not looked for, give --models DIR")
        return result
    for kind, places in find_models(options.models).paths.items():
        paths = result["models"][kind] = [str(path) for path in places]
        console.result(f"{kind}: {', '.join(paths) or f'MISSING: put {kinds.WANTED[kind]} there, from {MODELS_LINK}'}")
    return result


def _version(package: str) -> str | None:
    try:
        return version(package)
    except PackageNotFoundError:
        return None
