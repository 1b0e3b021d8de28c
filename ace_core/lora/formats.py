"""What an adapter file holds: which weights it adapts, whose, how, at which scale, and for which model. Headers only.

Reads safetensors in every style that names.py knows, alone or as a peft folder (`adapter_config.json` beside
`adapter_model.safetensors`). Where alpha comes from, first found: the tensor `.alpha`, the peft config, the peft config
that diffusers writes into the header (`lora_adapter_metadata`); without any of them the scale is 1.

Trap: nothing in the weights says whether they were trained on turbo or base. It is in a model's name, if anywhere.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Collection, Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

import torch
from torch import Tensor

from ..checkpoints.files import CheckpointError, StoredTensor, damage_named, name_some, read_header, read_json
from ..checkpoints.inspection import Size
from ..checkpoints.registry import WeightKey, stamp
from ..checkpoints.tensors import tensor_reader
from ..checkpoints.variants import Variant, is_distilled, read_variant
from .adapters import OFT_KINDS, Adapter, AdapterKind, AdapterWeights
from .names import AdapterName, Target, parse_name
from .rotations import lycoris_blocks, peft_blocks
from .scaling import AdapterScaling, adapter_scale, config_in_header, read_scaling
from .stored_adapters import StoredAdapter, stored_adapter
from .targets import (
    BASE_FIELDS,
    OTHER_TARGET,
    TARGET_NAMES,
    refuse_foreign,
    refuse_other_target,
    said_target,
    targets_of,
)

PEFT_WEIGHTS = "adapter_model.safetensors"
PEFT_PICKLE = "adapter_model.bin"  # what older peft saved; never opened
PEFT_CONFIG = "adapter_config.json"
PUBLISHED_WIDTHS: Mapping[Target, Mapping[int, str]] = {
    "model": {2048: "2B", 2560: "XL"},
    "planner": {1024: "0.6B", 2048: "1.7B", 2560: "4B"},
}
KIND_NAMES: dict[AdapterKind, str] = {"lora": "LoRA", "loha": "LoHa", "lokr": "LoKr", "oft": "OFT", "oft_inputs": "OFT"}

_ACE_STEP_NAME = re.compile(r"ace[-_ .]?step", re.IGNORECASE)


class Base(NamedTuple):
    """The model an adapter was made for, as far as its file says."""

    size: Size | None
    variant: Variant | None


@dataclass(frozen=True, eq=False)
class AdapterFiles:
    """An adapter on disk.

    Attributes:
        path: the weight file.
        target: whose weights it adapts.
        is_said: whether names or file say so; otherwise it is only what was asked for.
        weights: the adapted weights by their name in the network.
        others: how many weights of the other target the file adapts besides.
        unmatched: names of the tensors that belong to no weight of either.
        files: every file the result depends on.
        metadata: the header's.
    """

    path: Path
    target: Target
    is_said: bool
    weights: Mapping[str, StoredAdapter]
    others: int
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
    if path.is_dir() and not weights.is_file() and (path / PEFT_PICKLE).is_file():
        weights = path / PEFT_PICKLE
    config = weights.with_name(PEFT_CONFIG)
    return (weights, config) if weights.name == PEFT_WEIGHTS and config.is_file() else (weights,)


def inspect_adapter(path: Path, target: Target | None = None) -> AdapterFiles:
    """Inspect a LoRA, LoHa, LoKr, OFT or DoRA file, or a peft folder.

    Args:
        target: whose weights are to be adapted; None for whatever the file is for.

    Raises:
        CheckpointError: it is something else, damaged, of a kind that is not supported, or none of it belongs to the
            target; the message names the file and the tensors.
    """
    with damage_named(path):
        return _inspect_adapter(adapter_files(path), target)


def _inspect_adapter(files: tuple[Path, ...], target: Target | None) -> AdapterFiles:
    header = read_header(files[0])
    peft_config = read_json(files[1]) if len(files) == 2 else config_in_header(header)
    names = {name: parsed for name in header.tensors if (parsed := parse_name(name)) is not None}
    unmatched = tuple(name for name in header.tensors if name not in names)
    if not names:
        raise refuse_foreign(header, target or "model")
    said = said_target((header.metadata, peft_config))
    owners = targets_of(names.values(), said)
    if target is None:
        target = "planner" if "planner" in owners.values() and "model" not in owners.values() else "model"
    mine = {name: parsed for name, parsed in names.items() if owners[parsed.prefix] in (target, None)}
    if not mine:
        reason = "its file says so" if said is not None else f"it holds {next(iter(names))}"
        raise refuse_other_target(header.path, target, reason)
    weights = _stored_adapters(header.path, header.tensors, mine)
    settings = read_scaling(header.path, peft_config)
    if settings.rotation is None and any(stored.kind == "oft_inputs" for stored in weights.values()):
        raise CheckpointError(
            f"{header.path} is an OFT of peft, whose numbers mean nothing without its {PEFT_CONFIG}: put that "
            f"beside {PEFT_WEIGHTS}, as peft saves them."
        )
    return AdapterFiles(
        path=header.path,
        target=target,
        is_said=target in owners.values(),
        weights=weights,
        others=len({parsed.weight for name, parsed in names.items() if name not in mine}),
        unmatched=unmatched,
        settings=settings,
        base=_base((header.metadata, peft_config)),
        files=files,
        metadata=header.metadata,
    )


def _stored_adapters(
    path: Path, tensors: Mapping[str, StoredTensor], names: Mapping[str, AdapterName]
) -> dict[str, StoredAdapter]:
    """The adapters that tensors make, by the weights they adapt."""
    found: dict[str, dict[str, StoredTensor]] = {}
    for name, parsed in names.items():
        parts = found.setdefault(parsed.weight, {})
        if parsed.part in parts:
            raise CheckpointError(
                f"{path} holds {name} and {parts[parsed.part].name}, which are the same; keep one adapter."
            )
        parts[parsed.part] = tensors[name]
    spelled = {parsed.weight: parsed.spelled for parsed in names.values()}
    return {weight: stored_adapter(path, weight, spelled[weight], parts) for weight, parts in found.items()}


def check_fits(
    adapter: AdapterFiles, shapes: Mapping[str, tuple[int, ...]], model: str, variant: Variant | None = None
) -> tuple[str, ...]:
    """Compare an adapter with the model or the planner it goes on.

    Args:
        shapes: of the network's parameters. model: what errors call it. variant: of the model; None for a planner.

    Returns:
        Remarks for the user, none if there is nothing to say.

    Raises:
        CheckpointError: it is one of the planner on a model, or the reverse; shapes differ, and an adapter for XL on 2B
            says so.
    """
    wanted: Target = "planner" if variant is None else "model"
    if adapter.target != wanted:
        raise refuse_other_target(
            adapter.path, wanted, "its file says so" if adapter.is_said else "as it was asked for"
        )
    shared = adapter.settings.rotation is not None and adapter.settings.rotation.shared
    wrong = [name for name, stored in adapter.weights.items() if not stored.fits(shapes.get(name), shared=shared)]
    if wrong:
        name, other = wrong[0], adapter.target
        maybe = (
            "" if adapter.is_said else f" Or it is one for {TARGET_NAMES[OTHER_TARGET[other]]}: its file does not say."
        )
        raise CheckpointError(
            f"{adapter.path} does not fit {model}: it was made for a {other} that is "
            f"{_width(other, name, adapter.weights[name].shape)}, this one is {_width(other, name, shapes.get(name))}. "
            f"Shapes differ in {name_some(wrong, 3)}. Choose an adapter that was trained on this {other}, or the other "
            f"{other}.{maybe}"
        )
    remarks = []
    if not adapter.is_said:
        remarks.append(
            "nothing in the file says whether it was made for the model or the planner, whose weights have the same "
            f"names: it is used as one of {TARGET_NAMES[adapter.target]}"
        )
    if adapter.others:
        other_name = TARGET_NAMES[OTHER_TARGET[adapter.target]]
        remarks.append(f"the file also adapts {adapter.others} weights of {other_name}: load it there too")
    if adapter.unmatched:
        owner = TARGET_NAMES[adapter.target].rpartition(" ")[2]
        remarks.append(f"not used, because the {owner} has nothing of that name: {name_some(adapter.unmatched, 20)}")
    trained_on = adapter.base.variant
    if variant is not None and trained_on is not None and not _are_alike(trained_on, variant):
        remarks.append(
            f"it was trained on a {trained_on} model and this one is {variant}: expect it to work poorly, and use the "
            f"{trained_on} model where you can"
        )
    scaled = [stored for stored in adapter.weights.values() if stored.kind not in OFT_KINDS]
    if scaled and adapter.settings.alpha is None and all(stored.alpha is None for stored in scaled):
        remarks.append(f"the file does not say its alpha (peft keeps it in {PEFT_CONFIG}); alpha = rank is assumed")
    return tuple(remarks)


def describe_adapter(adapter: AdapterFiles) -> str:
    """One line: kinds, ranks or sizes of blocks, and number of weights."""
    stored = adapter.weights.values()
    kinds = {KIND_NAMES[item.kind] + (" (DoRA)" if item.magnitude else "") for item in stored}
    ranks = _from_to("rank", {item.rank for item in stored if item.rank is not None})
    blocks = _from_to("block size", {item.blocks[1] for item in stored if item.blocks is not None})
    return f"{' and '.join(sorted(kinds))}{ranks}{blocks}, {len(adapter.weights)} weights"


def adapter_key(adapter: AdapterFiles) -> WeightKey:
    """The registry key of an adapter's tensors; a changed file gives another key."""
    return WeightKey(f"adapter of {adapter.target}", stamp(adapter.files), "as stored")


def load_adapter(adapter: AdapterFiles) -> AdapterWeights:
    """Read the tensors, copied into memory, so that trainers need not wait to write over their files.

    Raises:
        CheckpointError: a tensor holds NaN or infinity, or the file changed since it was inspected.
    """
    with torch.inference_mode(False), torch.no_grad(), tensor_reader() as read_mapped:

        def read(stored: StoredTensor) -> Tensor:
            return read_mapped(stored).clone()

        return AdapterWeights(
            {
                name: _rotation(stored, adapter.settings, read)
                if stored.kind in OFT_KINDS
                else _addition(stored, adapter.settings, read)
                for name, stored in adapter.weights.items()
            }
        )


def _addition(stored: StoredAdapter, settings: AdapterScaling, read: Callable[[StoredTensor], Tensor]) -> Adapter:
    """A LoRA, LoHa or LoKr in memory."""
    alpha = None if stored.alpha is None else read(stored.alpha).item()
    magnitude = None if stored.magnitude is None else read(stored.magnitude)
    if magnitude is not None and magnitude.ndim == 1:  # peft's: over the inputs
        magnitude = magnitude[:, None]
    factors = tuple(tuple(read(tensor) for tensor in factor) for factor in stored.factors)
    return Adapter(stored.kind, adapter_scale(stored.rank, stored.spelled, alpha, settings), factors, magnitude)


def _rotation(stored: StoredAdapter, settings: AdapterScaling, read: Callable[[StoredTensor], Tensor]) -> Adapter:
    """An OFT in memory, as the blocks to multiply with."""
    ((tensor,),) = stored.factors
    if stored.kind == "oft":
        alpha = 0.0 if stored.alpha is None else read(stored.alpha).item()
        blocks = lycoris_blocks(read(tensor), alpha, None if stored.rescale is None else read(stored.rescale))
    else:
        assert settings.rotation is not None  # inspected
        blocks = peft_blocks(read(tensor), settings.rotation)
    return Adapter(stored.kind, 1.0, ((blocks,),), None)


def _are_alike(trained_on: Variant, used_on: Variant) -> bool:
    return trained_on == used_on or is_distilled(trained_on) and is_distilled(used_on)


def _base(fields: Iterable[Mapping[str, Any]]) -> Base:
    """Size and kind from the base model's name, where one of `fields` holds a name of ACE-Step."""
    for field in fields:
        for key in BASE_FIELDS:
            for name in reversed(str(field.get(key) or "").replace("\\", "/").split("/")):
                if _ACE_STEP_NAME.search(name):
                    return Base("xl" if "xl" in name.lower() else "2b", read_variant(name, {}).variant)
    return Base(None, None)


def _from_to(what: str, numbers: Collection[int]) -> str:
    if not numbers:
        return ""
    ends = sorted({min(numbers), max(numbers)})
    return f", {what} {' to '.join(map(str, ends))}"


def _width(target: Target, name: str, shape: tuple[int | None, ...] | None) -> str:
    """How wide the network of a weight is, in words."""
    if shape is None:
        return f"without {name}"
    outwards = name.endswith((".o_proj.weight", ".down_proj.weight")) or not name.startswith("layers.")
    width = shape[0] if outwards else shape[1]
    if width is None:
        return f"of another size ({name} of {shape[0] or shape[1]})"
    published = PUBLISHED_WIDTHS[target]
    return f"{width} wide ({published[width]})" if width in published else f"{width} wide"
