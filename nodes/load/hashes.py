"""Which weight files are behind the model wires, by name and hash, for song files."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

from ...ace_core.checkpoints.registry import FileStamp
from ...ace_core.loaded import AceModel, AcePlanner, AceTextEncoder, AceVae
from ..host import feedback, networks
from ..wires import AceModelWire, AcePlannerWire, AceTextEncoderWire, AceVaeWire

HASH_CHARACTERS = 16
_WEIGHT_SUFFIXES = (".safetensors", ".sft")

ModelWire = AceModel | AceTextEncoder | AceVae | AcePlanner | None


def model_inputs(purpose: str) -> list[Any]:
    """Optional inputs for everything that has weight files; `purpose` says what they are for."""
    kinds = {"model": AceModelWire, "text_encoder": AceTextEncoderWire, "vae": AceVaeWire, "planner": AcePlannerWire}
    return [kind.Input(name, optional=True, tooltip=purpose) for name, kind in kinds.items()]


def model_hashes(*wires: ModelWire) -> tuple[dict[str, str], list[str]]:
    """Hashes of the weight files behind these wires by folder and file, and a sentence about each that has none.

    Reads each file once a session, with progress; see `FileHashes`.
    """
    files = [file for wire in wires if wire is not None for file in _weight_files(wire)]
    hashes: dict[str, str] = {}
    notes = []
    for file, digest in networks.file_hashes.get(files, feedback.progress()).items():
        path = Path(file.path)
        name = f"{path.parent.name}/{path.name}"
        if digest is None:
            notes.append(f"{name} has changed on the disk since it was loaded: it has no hash")
            continue
        while hashes.get(name, digest[:HASH_CHARACTERS]) != digest[:HASH_CHARACTERS]:
            name += "'"  # two adapters of one trainer have the same file and folder names
        hashes[name] = digest[:HASH_CHARACTERS]
    return hashes, notes


def _weight_files(wire: AceModel | AceTextEncoder | AceVae | AcePlanner) -> Iterator[FileStamp]:
    adapters = wire.adapters if isinstance(wire, AceModel | AcePlanner) else ()
    for file in (*wire.files, *(file for adapter in adapters for file in adapter.files)):
        if Path(file.path).suffix in _WEIGHT_SUFFIXES:
            yield file
