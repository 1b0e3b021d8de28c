"""What comes in from the graph, checked before a node sees it: the same for every node.

The host checks constants of a prompt against the schema, but nothing that comes over a wire, and it lets NaN through
everywhere. Other packs give AUDIO of one song without a batch, and rates such as 44100.0; both are taken.
"""

from __future__ import annotations

import functools
import math
from collections.abc import Callable, Mapping
from numbers import Real
from typing import Any, cast

import torch
from comfy_api.v0_0_2 import io
from torch import Tensor

from ..ace_core.checks import shown
from ..ace_core.song_files.record import SongRecord
from .render.latents import RECORDS

DOWNMIX = "downmix"  # the switch of nodes that take surround


def check_inputs_of(node: type[io.ComfyNode]) -> None:
    """Have `node.execute` get nothing but inputs of the kinds that its schema names."""
    execute: Callable[..., io.NodeOutput] = vars(node)["execute"].__func__

    @functools.cache
    def kinds() -> dict[str, str]:  # when it first runs: the schemas list files of folders that are not known before
        return {given.id: given.io_type for given in node.define_schema().inputs}

    @functools.wraps(execute)
    def checked(cls: Any, /, **values: Any) -> io.NodeOutput:
        for name, value in values.items():
            kind = kinds().get(name, "")
            if value is None or kind not in _CHECKS:
                continue
            values[name] = _CHECKS[kind](name, value)
            if kind == io.Audio.io_type and DOWNMIX not in kinds():
                _refuse_surround(name, values[name]["waveform"])
        return execute(cls, **values)

    setattr(node, "execute", classmethod(checked))  # noqa: B010 - the host's class has no such attribute


def _number(name: str, value: Any) -> Any:
    if not isinstance(value, Real) or isinstance(value, float) and not math.isfinite(value):
        raise ValueError(f"{name} must be a number, got {shown(value)}: check what is connected to it")
    return value


def _whole_number(name: str, value: Any) -> int:
    if _number(name, value) != int(value):
        raise ValueError(f"{name} must be a whole number, got {shown(value)}: check what is connected to it")
    return int(value)


def _audio(name: str, value: Any) -> Mapping[str, Any]:
    """AUDIO with a batch of songs and a whole sample rate."""
    if not isinstance(value, Mapping) or not {"waveform", "sample_rate"} <= value.keys():
        raise ValueError(f"{name} must be audio with a waveform and a sample_rate, got {_kind(value)}")
    waveform = value["waveform"]
    if waveform is None:
        raise ValueError(f"{name} holds no audio: it may come from a video without sound")
    if not isinstance(waveform, Tensor):
        raise ValueError(f"the waveform of {name} must be a tensor, got {_kind(waveform)}")
    rate = _whole_number(f"the sample rate of {name}", value["sample_rate"])
    return {**value, "waveform": waveform[None] if waveform.ndim == 2 else waveform, "sample_rate": rate}


def _refuse_surround(name: str, waveform: Tensor) -> None:
    if waveform.ndim == 3 and waveform.shape[1] > 2:
        raise ValueError(
            f"{name} must be mono or stereo, got {waveform.shape[1]} channels: put Mix before this node, with its "
            f"{DOWNMIX} on"
        )


def _latent(name: str, value: Any) -> Mapping[str, Any]:
    samples = value.get("samples") if isinstance(value, Mapping) else None
    if not isinstance(samples, Tensor):
        raise ValueError(f"{name} must be latents, a tensor of samples, got {_kind(value)}")
    if not samples.numel():
        raise ValueError(f"{name} holds no songs, its shape is {list(samples.shape)}: check what is connected to it")
    if not torch.is_floating_point(samples):
        raise ValueError(f"{name} must be floating-point numbers, got {samples.dtype}")
    counts = value.get("sample_counts", [])
    if not isinstance(counts, list | tuple) or not all(type(count) is int and count > 0 for count in counts):
        raise ValueError(f"the sample_counts of {name} must be whole numbers above 0, got {shown(counts)}")
    records = value.get(RECORDS, ())
    if not isinstance(records, list | tuple) or not all(isinstance(record, SongRecord) for record in records):
        raise ValueError(f"the {RECORDS} of {name} must be song records, got {shown(records)}")
    return cast("Mapping[str, Any]", value)


def _mask(name: str, value: Any) -> Tensor:
    if not isinstance(value, Tensor) or not value.numel():
        size = list(value.shape) if isinstance(value, Tensor) else _kind(value)
        raise ValueError(f"{name} must be a mask with something in it, got {size}")
    return value


def _text(name: str, value: Any) -> str:
    if not isinstance(value, str):
        raise ValueError(f"{name} must be text, got {shown(value)}: check what is connected to it")
    return value


def _kind(value: object) -> str:
    """What a wrong value is, in a few words; its contents may be large."""
    names = f" with {', '.join(map(shown, value))}" if isinstance(value, Mapping) else ""
    return f"{type(value).__name__}{names}"


_CHECKS: Mapping[str, Callable[[str, Any], Any]] = {
    io.Float.io_type: _number,
    io.Int.io_type: _whole_number,
    io.Audio.io_type: _audio,
    io.Latent.io_type: _latent,
    io.Mask.io_type: _mask,
    io.String.io_type: _text,
}
