"""What the config of an adapter says about its numbers: scale, ranks, and how peft's rotations are meant.

A config is peft's `adapter_config.json`, or what stands for it in the header of a single file.

Trap: peft matches names of its patterns as regular expressions. Here they are names: a file gets to run no expression.
"""

from __future__ import annotations

import math
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple, TypeVar

from ..checkpoints.files import CheckpointError, WeightFiles
from ..checks import reason, shown
from ..json_files import checked_json
from .rotations import PeftRotation

Number = TypeVar("Number", int, float)

PEFT_TYPES = ("LORA", "LOHA", "LOKR", "OFT")
_DIFFUSERS_CONFIG = "lora_adapter_metadata"
_LOKR_CONFIG = "lokr_config"
_MODULE_NAME = re.compile(r"[A-Za-z0-9_.-]+")
_VERSION = re.compile(r"(\d+)\.(\d+)")
_HALVED_SINCE = (0, 18)  # the version of peft whose last term of the series counts by half


class AdapterScaling(NamedTuple):
    """What a config says about the scale; the patterns give some modules other values, by the ends of their names.

    Attributes:
        rotation: what it says about OFT; None if it is of another kind.
    """

    alpha: float | None
    rank: int | None
    alpha_pattern: Mapping[str, float]
    rank_pattern: Mapping[str, int]
    rank_stabilised: bool
    rotation: PeftRotation | None


def config_in_header(header: WeightFiles) -> dict[str, Any]:
    """The peft config that diffusers writes into the header, or other programs' settings under its names; maybe empty.

    Raises:
        CheckpointError: the header is damaged.
    """
    try:
        written = checked_json(header.metadata.get(_DIFFUSERS_CONFIG, "{}"))
        lokr = checked_json(header.metadata.get(_LOKR_CONFIG, "{}"))
        config = {name.removeprefix("transformer."): value for name, value in written.items()}
        return config or {"r": lokr.get("linear_dim"), "lora_alpha": header.metadata.get("lora_alpha")}
    except (ValueError, AttributeError) as error:
        raise CheckpointError(f"{header.path} has damaged metadata ({reason(error)}); download it again.") from error


def read_scaling(path: Path, config: Mapping[str, Any]) -> AdapterScaling:
    """What a peft config, complete or not, says about the numbers of `path`.

    Raises:
        CheckpointError: it is damaged, or of a method that is not supported.
    """
    kind = config.get("peft_type") or PEFT_TYPES[0]
    if kind not in PEFT_TYPES:
        raise CheckpointError(
            f"{path} is an adapter of the kind {shown(kind)} of peft, which is not supported. Choose one of "
            f"{', '.join(PEFT_TYPES)}, or merge it into its model with peft and load that."
        )
    alpha, rank = config.get("lora_alpha", config.get("alpha")), config.get("r")
    try:
        return AdapterScaling(
            alpha=None if alpha is None else _number(alpha),
            rank=None if rank is None else int(_number(rank)),
            alpha_pattern={name: _number(value) for name, value in (config.get("alpha_pattern") or {}).items()},
            rank_pattern={name: int(_number(value)) for name, value in (config.get("rank_pattern") or {}).items()},
            rank_stabilised=bool(config.get("use_rslora")),
            rotation=_rotation(config) if kind == "OFT" else None,
        )
    except (AttributeError, OverflowError, TypeError, ValueError) as error:
        raise CheckpointError(
            f"the adapter config of {path} is damaged ({reason(error)}); download it again."
        ) from error


def adapter_scale(stored_rank: int | None, spelled: str, alpha: float | None, settings: AdapterScaling) -> float:
    """The factor of the adapter of the module `spelled`.

    Args:
        stored_rank: what the shapes say; None where they say nothing.
        alpha: the value of its `.alpha` tensor, which counts before the settings.
    """
    rank = stored_rank or _by_pattern(settings.rank_pattern, spelled, settings.rank)
    stabilised = alpha is None and settings.rank_stabilised
    if alpha is None:
        alpha = _by_pattern(settings.alpha_pattern, spelled, settings.alpha)
    if alpha is None or rank is None:
        return 1.0
    return alpha / math.sqrt(rank) if stabilised else alpha / rank


def _rotation(config: Mapping[str, Any]) -> PeftRotation:
    """How peft turns; what an older config lacks has peft's default."""
    version = _VERSION.match(str(config.get("peft_version") or "0.0"))
    terms = int(_number(config.get("num_cayley_neumann_terms", 5)))
    if not 1 <= terms <= 64:
        raise ValueError(f"num_cayley_neumann_terms is {terms}")
    return PeftRotation(
        shared=bool(config.get("block_share")),
        largest_norm=_number(config.get("eps", 6e-5)) if config.get("coft") else None,
        terms=terms if config.get("use_cayley_neumann", True) else None,
        halved=version is not None and (int(version[1]), int(version[2])) >= _HALVED_SINCE,
    )


def _number(value: Any) -> float:
    try:
        number = float(value)
    except (TypeError, ValueError):
        number = math.nan
    if not math.isfinite(number):
        raise ValueError(f"{shown(value)} is no number to scale with")
    return number


def _by_pattern(pattern: Mapping[str, Number], module: str, default: Number | None) -> Number | None:
    """The value of the first name that `module` ends with; "^" before a name stands for the beginning.

    Raises:
        CheckpointError: a regular expression, which peft allows. One from a file could keep the program busy for ever.
    """
    for written, value in pattern.items():
        name = written.removeprefix("^").replace("\\.", ".")
        if not _MODULE_NAME.fullmatch(name):
            raise CheckpointError(
                f"the adapter config sets a value for {shown(written)}, a regular expression; only names of modules are"
                " read, such as layers.0.self_attn.q_proj. Write out the names it stands for."
            )
        if module == name or not written.startswith("^") and module.endswith("." + name):
            return value
    return default
