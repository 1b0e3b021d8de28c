"""What an adapter file holds: which weights it adapts, how, at which scale, and for which model. Headers only.

Reads safetensors in every style that names.py knows, alone or as a peft folder (`adapter_config.json` beside
`adapter_model.safetensors`). Where alpha comes from, first found: the tensor `.alpha`, the peft config, the peft config
that diffusers writes into the header (`lora_adapter_metadata`); without any of them the scale is 1.

Traps:
- A whole LoKr (w1 and w2 not factored) has no rank in its shapes. LyCORIS writes alpha = dim then; the dim is in the
  header's `lokr_config`. peft scales these too, with the rank of its config.
- peft matches names of its patterns as regular expressions. Here they are names: a file gets to run no expression.
- Nothing in the weights says whether they were trained on turbo or base. It is in a model's name, if anywhere.
"""

from __future__ import annotations

import itertools
import math
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple, TypeVar

import torch
from torch import Tensor

from ..checkpoints.files import (
    CheckpointError,
    StoredTensor,
    WeightFiles,
    damage_named,
    name_some,
    read_header,
    read_json,
)
from ..checkpoints.inspection import Size
from ..checkpoints.registry import WeightKey, stamp
from ..checkpoints.tensors import tensor_reader
from ..checkpoints.variants import Variant, is_distilled, read_variant
from ..checks import reason, shown
from ..json_files import checked_json
from .adapters import Adapter, AdapterKind, AdapterWeights
from .names import parse_name

PEFT_WEIGHTS = "adapter_model.safetensors"
PEFT_CONFIG = "adapter_config.json"
PUBLISHED_WIDTHS = {2048: "2B", 2560: "XL"}
KIND_NAMES: dict[AdapterKind, str] = {"lora": "LoRA", "loha": "LoHa", "lokr": "LoKr"}

Number = TypeVar("Number", int, float)

_FACTORS: dict[AdapterKind, tuple[tuple[tuple[str, ...], ...], ...]] = {  # for each matrix the ways to store it
    "lora": ((("up", "down"),),),
    "loha": ((("hada_w1_a", "hada_w1_b"),), (("hada_w2_a", "hada_w2_b"),)),
    "lokr": (
        (("lokr_w1",), ("lokr_w1_a", "lokr_w1_b")),
        (("lokr_w2",), ("lokr_w2_a", "lokr_w2_b")),
    ),
}
_DTYPES = ("F32", "F16", "BF16")
_PEFT_TYPES = ("LORA", "LOHA", "LOKR")
_DIFFUSERS_CONFIG = "lora_adapter_metadata"
_LOKR_CONFIG = "lokr_config"
_BASE_FIELDS = (  # of the header and of a peft config; what trainers write the base model's name or path into
    "base_model",
    "base_model_name_or_path",
    "modelspec.architecture",
    "ss_base_model_version",
    "ss_sd_model_name",
)
_MODULE_NAME = re.compile(r"[A-Za-z0-9_.-]+")
_ACE_STEP_NAME = re.compile(r"ace[-_ .]?step", re.IGNORECASE)


class StoredAdapter(NamedTuple):
    """An adapter of one weight as it lies in a file; see `Adapter`.

    Attributes:
        spelled: the module as the file spells it.
        alpha: its scalar tensor, if there is one.
    """

    kind: AdapterKind
    spelled: str
    factors: tuple[tuple[StoredTensor, ...], ...]
    alpha: StoredTensor | None
    magnitude: StoredTensor | None

    @property
    def rank(self) -> int | None:
        """Inner size of the factored matrices; None where all are whole."""
        return next((factor[1].shape[0] for factor in reversed(self.factors) if len(factor) == 2), None)

    @property
    def shape(self) -> tuple[int, ...]:
        """Shape of the adapted weight."""
        shapes = [(factor[0].shape[0], factor[-1].shape[1]) for factor in self.factors]
        return (shapes[0][0] * shapes[1][0], shapes[0][1] * shapes[1][1]) if self.kind == "lokr" else shapes[0]


class AdapterScaling(NamedTuple):
    """What a config says about the scale; the patterns give some modules other values, by the ends of their names."""

    alpha: float | None
    rank: int | None
    alpha_pattern: Mapping[str, float]
    rank_pattern: Mapping[str, int]
    rank_stabilised: bool


class Base(NamedTuple):
    """The model an adapter was made for, as far as its file says."""

    size: Size | None
    variant: Variant | None


@dataclass(frozen=True, eq=False)
class AdapterFiles:
    """An adapter on disk.

    Attributes:
        path: the weight file.
        weights: the adapted weights by their name in the DiT.
        unmatched: names of the tensors that belong to no weight of the decoder.
        files: every file the result depends on.
        metadata: the header's.
    """

    path: Path
    weights: Mapping[str, StoredAdapter]
    unmatched: tuple[str, ...]
    settings: AdapterScaling
    base: Base
    files: tuple[Path, ...]
    metadata: Mapping[str, str]


def adapter_files(path: Path) -> tuple[Path, ...]:
    """The files an adapter is read from: a weight file, and for peft's also the config beside it.

    Args:
        path: a weight file, or a peft folder.
    """
    weights = path / PEFT_WEIGHTS if path.is_dir() else path
    config = weights.with_name(PEFT_CONFIG)
    return (weights, config) if weights.name == PEFT_WEIGHTS and config.is_file() else (weights,)


def inspect_adapter(path: Path) -> AdapterFiles:
    """Inspect a LoRA, LoHa, LoKr or DoRA file, or a peft folder.

    Raises:
        CheckpointError: it is something else, damaged, of a kind that is not supported, or none of it belongs to the
            decoder of ACE-Step 1.5; the message names the file and the tensors.
    """
    with damage_named(path):
        return _inspect_adapter(adapter_files(path))


def _inspect_adapter(files: tuple[Path, ...]) -> AdapterFiles:
    header = read_header(files[0])
    peft_config = read_json(files[1]) if len(files) == 2 else _config_in_header(header)
    found: dict[str, dict[str, StoredTensor]] = {}
    spelled: dict[str, str] = {}
    unmatched = []
    for name, tensor in header.tensors.items():
        parsed = parse_name(name)
        if parsed is None:
            unmatched.append(name)
        elif parsed.part in found.setdefault(parsed.weight, {}):
            other = found[parsed.weight][parsed.part].name
            raise CheckpointError(f"{header.path} holds {name} and {other}, which are the same; keep one adapter.")
        else:
            found[parsed.weight][parsed.part] = tensor
            spelled[parsed.weight] = parsed.spelled
    if not found:
        raise CheckpointError(
            f"nothing in {header.path} belongs to the decoder of ACE-Step 1.5: it holds "
            f"{name_some(unmatched) or 'no tensors'}. Choose a LoRA, LoHa or LoKr made for ACE-Step 1.5 (not 1.0)."
        )
    weights = {name: _stored_adapter(header.path, name, spelled[name], parts) for name, parts in found.items()}
    _refuse_other_dtypes(header.path, weights)
    return AdapterFiles(
        path=header.path,
        weights=weights,
        unmatched=tuple(unmatched),
        settings=_settings(header.path, peft_config),
        base=_base((header.metadata, peft_config)),
        files=files,
        metadata=header.metadata,
    )


def check_fits(
    adapter: AdapterFiles, shapes: Mapping[str, tuple[int, ...]], model: str, variant: Variant
) -> tuple[str, ...]:
    """Compare an adapter with the model it goes on.

    Args:
        shapes: of the DiT's parameters. model: what errors call the model. variant: of the model.

    Returns:
        Remarks for the user, none if there is nothing to say.

    Raises:
        CheckpointError: shapes differ; an adapter for XL on 2B says so.
    """
    wrong = [name for name, stored in adapter.weights.items() if stored.shape != shapes.get(name)]
    if wrong:
        name = wrong[0]
        raise CheckpointError(
            f"{adapter.path} does not fit {model}: it was made for a model that is "
            f"{_width(name, adapter.weights[name].shape)}, this one is {_width(name, shapes.get(name))}. Shapes differ "
            f"in {name_some(wrong, 3)}. Choose an adapter that was trained on this model, or the other model."
        )
    remarks = []
    if adapter.unmatched:
        remarks.append(f"not used, because the decoder has nothing of that name: {name_some(adapter.unmatched, 20)}")
    trained_on = adapter.base.variant
    if trained_on not in (None, variant) and not (is_distilled(trained_on) and is_distilled(variant)):
        remarks.append(
            f"it was trained on a {trained_on} model and this one is {variant}: expect it to work poorly, and use the "
            f"{trained_on} model where you can"
        )
    if adapter.settings.alpha is None and all(stored.alpha is None for stored in adapter.weights.values()):
        remarks.append(f"the file does not say its alpha (peft keeps it in {PEFT_CONFIG}); alpha = rank is assumed")
    return tuple(remarks)


def describe_adapter(adapter: AdapterFiles) -> str:
    """One line: kinds, ranks and number of weights."""
    kinds = {KIND_NAMES[stored.kind] + (" (DoRA)" if stored.magnitude else "") for stored in adapter.weights.values()}
    ranks = sorted({stored.rank for stored in adapter.weights.values() if stored.rank is not None})
    sizes = f", rank {' to '.join(str(rank) for rank in sorted({ranks[0], ranks[-1]}))}" if ranks else ""
    return f"{' and '.join(sorted(kinds))}{sizes}, {len(adapter.weights)} weights"


def adapter_key(adapter: AdapterFiles) -> WeightKey:
    """The registry key of an adapter's tensors; a changed file gives another key."""
    return WeightKey("adapter", stamp(adapter.files), "as stored")


def load_adapter(adapter: AdapterFiles) -> AdapterWeights:
    """Read the tensors, copied into memory, so that trainers need not wait to write over their files.

    Raises:
        CheckpointError: a tensor holds NaN or infinity, or the file changed since it was inspected.
    """
    with torch.inference_mode(False), torch.no_grad(), tensor_reader() as read_mapped:

        def read(stored: StoredTensor) -> Tensor:
            return read_mapped(stored).clone()

        weights = {}
        for name, stored in adapter.weights.items():
            alpha = None if stored.alpha is None else read(stored.alpha).item()
            magnitude = None if stored.magnitude is None else read(stored.magnitude)
            if magnitude is not None and magnitude.ndim == 1:  # peft's: over the inputs
                magnitude = magnitude[:, None]
            factors = tuple(tuple(read(tensor) for tensor in factor) for factor in stored.factors)
            weights[name] = Adapter(stored.kind, adapter_scale(stored, alpha, adapter.settings), factors, magnitude)
        return AdapterWeights(weights)


def adapter_scale(stored: StoredAdapter, alpha: float | None, settings: AdapterScaling) -> float:
    """The factor of one adapter; `alpha` is the value of its `.alpha` tensor, which counts before the settings."""
    rank = stored.rank or _by_pattern(settings.rank_pattern, stored.spelled, settings.rank)
    stabilised = alpha is None and settings.rank_stabilised
    if alpha is None:
        alpha = _by_pattern(settings.alpha_pattern, stored.spelled, settings.alpha)
    if alpha is None or rank is None:
        return 1.0
    return alpha / math.sqrt(rank) if stabilised else alpha / rank


def _stored_adapter(path: Path, weight: str, spelled: str, parts: Mapping[str, StoredTensor]) -> StoredAdapter:
    """The adapter that the parts of one weight make, once they are complete and fit together."""
    for kind, choices in _FACTORS.items():
        for names in itertools.product(*choices):
            if {part for factor in names for part in factor} == parts.keys() - {"alpha", "magnitude"}:
                factors = tuple(tuple(parts[part] for part in factor) for factor in names)
                stored = StoredAdapter(kind, spelled, factors, parts.get("alpha"), parts.get("magnitude"))
                _check_shapes(path, stored)
                return stored
    raise CheckpointError(
        f"{path} holds {', '.join(sorted(parts))} for {weight}. That is no whole LoRA, LoHa or LoKr of a matrix; "
        "other kinds are not supported."
    )


def _check_shapes(path: Path, stored: StoredAdapter) -> None:
    """Raise CheckpointError if the tensors of one adapter cannot be multiplied, or its magnitude does not fit."""
    tensors = [tensor for factor in stored.factors for tensor in factor]
    products = [factor for factor in stored.factors if len(factor) == 2]
    fits = all(len(tensor.shape) == 2 for tensor in tensors)
    fits = fits and all(first.shape[1] == second.shape[0] for first, second in products)
    if fits and stored.kind == "loha":
        fits = len({(first.shape[0], second.shape[1]) for first, second in stored.factors}) == 1
    if stored.alpha is not None:
        fits = fits and math.prod(stored.alpha.shape) == 1
        tensors.append(stored.alpha)
    if fits and stored.magnitude is not None:
        rows, columns = stored.shape
        fits = stored.magnitude.shape in ((rows,), (rows, 1), (1, columns))
        tensors.append(stored.magnitude)
    if not fits:
        shapes = name_some([f"{tensor.name} {list(tensor.shape)}" for tensor in tensors])
        raise CheckpointError(f"{path} holds tensors that do not fit together: {shapes}. Download it again.")


def _refuse_other_dtypes(path: Path, weights: Mapping[str, StoredAdapter]) -> None:
    for stored in weights.values():
        for tensor in (*itertools.chain(*stored.factors), stored.alpha, stored.magnitude):
            if tensor is not None and tensor.dtype not in _DTYPES:
                raise CheckpointError(
                    f"{path} holds {tensor.name} as {tensor.dtype}; an adapter is read in {', '.join(_DTYPES)}."
                )


def _config_in_header(header: WeightFiles) -> dict[str, Any]:
    """The peft config that diffusers writes into the header, or LyCORIS' settings under peft's names; maybe empty."""
    try:
        written = checked_json(header.metadata.get(_DIFFUSERS_CONFIG, "{}"))
        lokr = checked_json(header.metadata.get(_LOKR_CONFIG, "{}"))
        config = {name.removeprefix("transformer."): value for name, value in written.items()}
        return config or {"r": lokr.get("linear_dim")}
    except (ValueError, AttributeError) as error:
        raise CheckpointError(f"{header.path} has damaged metadata ({reason(error)}); download it again.") from error


def _settings(path: Path, config: Mapping[str, Any]) -> AdapterScaling:
    """What a peft config, complete or not, says about the scale."""
    kind = config.get("peft_type") or _PEFT_TYPES[0]
    if kind not in _PEFT_TYPES:
        raise CheckpointError(f"{path} is a {str(kind)[:80]} adapter of peft. Choose one of {', '.join(_PEFT_TYPES)}.")
    alpha, rank = config.get("lora_alpha", config.get("alpha")), config.get("r")
    try:
        return AdapterScaling(
            alpha=None if alpha is None else float(alpha),
            rank=None if rank is None else int(rank),
            alpha_pattern={name: float(value) for name, value in (config.get("alpha_pattern") or {}).items()},
            rank_pattern={name: int(value) for name, value in (config.get("rank_pattern") or {}).items()},
            rank_stabilised=bool(config.get("use_rslora")),
        )
    except (AttributeError, OverflowError, TypeError, ValueError) as error:
        raise CheckpointError(
            f"the adapter config of {path} is damaged ({reason(error)}); download it again."
        ) from error


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


def _base(fields: Iterable[Mapping[str, Any]]) -> Base:
    """Size and kind from the base model's name, where one of `fields` holds a name of ACE-Step."""
    for field in fields:
        for key in _BASE_FIELDS:
            for name in reversed(str(field.get(key) or "").replace("\\", "/").split("/")):
                if _ACE_STEP_NAME.search(name):
                    return Base("xl" if "xl" in name.lower() else "2b", read_variant(name, {}).variant)
    return Base(None, None)


def _width(name: str, shape: tuple[int, ...] | None) -> str:
    """How wide the model of a weight is, in words."""
    if shape is None:
        return f"without {name}"
    outwards = name.endswith((".o_proj.weight", ".down_proj.weight")) or not name.startswith("layers.")
    width = shape[0] if outwards else shape[1]
    return f"{width} wide ({PUBLISHED_WIDTHS[width]})" if width in PUBLISHED_WIDTHS else f"{width} wide"
