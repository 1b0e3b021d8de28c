"""Runs every node inside a ComfyUI with wrong values on every input, and Save Song with the sound of other packs.

    python tests/inside/inside_graph_inputs.py COMFYUI BASE_DIRECTORY

tests/host/test_graph_inputs.py says what the report should be; see inside_comfyui.py.
"""

from __future__ import annotations

import math
from types import SimpleNamespace
from typing import Any

import torch
from inside_comfyui import main, node_output, pack_module

SOUND = torch.linspace(-0.5, 0.5, 4800).repeat(1, 2, 1)
FLAT = torch.zeros(1, 64, 128)
WRONG: dict[str, list[Any]] = {
    "FLOAT": [math.nan, math.inf, -math.inf, "1"],
    "INT": [math.nan, 1.5, "1", [1]],
    "STRING": [1, b"text"],
    "AUDIO": [
        {},
        {"waveform": SOUND},
        {"waveform": None, "sample_rate": 48_000},
        {"waveform": [0.0], "sample_rate": 48_000},
        {"waveform": SOUND, "sample_rate": None},
        {"waveform": SOUND, "sample_rate": "48000"},
        {"waveform": SOUND, "sample_rate": math.nan},
        SOUND,
    ],
    "LATENT": [
        {},
        {"samples": None},
        {"samples": FLAT[:0]},
        {"samples": FLAT.int()},
        {"samples": FLAT, "sample_counts": "many"},
        {"samples": FLAT, "sample_counts": [48_000.0]},
        {"samples": FLAT, "ace_records": ["record"]},
        FLAT,
    ],
    "MASK": [torch.zeros(1, 8, 0), "mask"],
}
SOUNDS: dict[str, Any] = {
    "float64": SOUND.double(),
    "float16": SOUND.half(),
    "int16": (SOUND * 32_767).to(torch.int16),
    "one song": SOUND[0],
    "transposed": SOUND.transpose(1, 2).contiguous().transpose(1, 2),
    "with a gradient": SOUND.clone().requires_grad_(),
}
WRONG_NAMES = ["half \ud800", "../../x", "/tmp/x"]
MENDED_NAMES = ["x" * 300, "y" * 200, "a\0b", f"{'z' * 300}/x"]
BROKEN: dict[str, tuple[Any, Any]] = {
    "nan": (SOUND * math.nan, 48_000),
    "empty": (SOUND[..., :0], 48_000),
    "6 channels": (SOUND[:, :1].repeat(1, 6, 1), 48_000),
    "4 dimensions": (SOUND[None], 48_000),
    "rate 0": (SOUND, 0),
    "rate -1": (SOUND, -1),
    "rate 2000000000": (SOUND, 2_000_000_000),
    "level 1e30": (SOUND * 1e30, 48_000),
}


def wrong_inputs() -> dict[str, Any]:
    """Inputs that took a wrong value, or said so in other words than a ValueError that names them."""
    pack_module("nodes.host.folders").register_dataset_folder()
    silent, checked = [], 0
    for node in pack_module("nodes").NODES:
        for given in node.define_schema().inputs:
            for value in WRONG.get(given.io_type, ()):
                checked += 1
                said = _said(node.__name__, **{given.id: value})
                if not said.startswith("ValueError: ") or given.id not in said or len(said) > 300:
                    silent.append(f"{node.__name__}.{given.id} of {value!r}: {said}"[:300])
    return {"silent": silent, "checked": checked}


def saved_sound() -> dict[str, Any]:
    """What Save Song says to sound of every kind, in every encoding."""
    encodings = list(pack_module("ace_core.song_files.encoding").ENCODINGS)
    return {
        name: {
            encoding: _saved({"waveform": sound, "sample_rate": rate}, encoding)
            for encoding in encodings
            for rate in (48_000.0, 44_100)
        }
        for name, sound in SOUNDS.items()
    }


def broken_sound() -> dict[str, Any]:
    encodings = list(pack_module("ace_core.song_files.encoding").ENCODINGS)
    return {
        name: {encoding: _saved({"waveform": sound, "sample_rate": rate}, encoding) for encoding in encodings}
        for name, (sound, rate) in BROKEN.items()
    }


def wrong_names() -> dict[str, Any]:
    """What Save Song and Save Blueprint say to names that no file can have."""
    said = {}
    for name in (*WRONG_NAMES, *MENDED_NAMES):
        plan = (pack_module("ace_core.song.blueprint").Blueprint(),)
        said[ascii(name)] = [
            _saved({"waveform": SOUND, "sample_rate": 48_000}, "flac 24 bit", name),
            _said("AceComposerSaveBlueprint", blueprint=plan, filename_prefix=name),
        ]
    return said


def _saved(audio: dict[str, Any], encoding: str, name: str = "songs/x") -> str:
    plan = pack_module("ace_core.song.blueprint").Blueprint()
    return _said(
        "AceComposerSaveSong",
        audio=audio,
        blueprint=(plan,),
        filename_prefix=name,
        encoding=encoding,
        title="",
    )


def _said(class_name: str, **inputs: Any) -> str:
    """The error of a node, or an empty text."""
    try:
        with_hidden = SimpleNamespace(unique_id=None, extra_pnginfo=None, prompt=None)
        node_output(class_name, hidden=with_hidden, **inputs)
    except Exception as error:
        return f"{type(error).__name__}: {error}"
    return ""


if __name__ == "__main__":
    main((wrong_inputs, saved_sound, broken_sound, wrong_names))
