"""What a path holds: layout, variant, and for each network a `WeightSource` that accounts for every tensor.

Only headers and `config.json` are read; nothing here touches tensor data, so a 10 GB file takes milliseconds.

Traps:
- XL is recognised by its condition encoder being narrower than the decoder. Only XL prepends the timbre CLS token.
- Split files carry no config: turbo, base or sft is then only in the file name; a renamed file has no variant.
- An all-in-one checkpoint also holds planners. They are left out here.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, replace
from functools import lru_cache
from pathlib import Path
from typing import Any, Generic, Literal, NamedTuple, TypeVar

import torch
from torch import nn

from ..models.audio_tokenizer import AudioTokenizer
from ..models.condition_encoder import ConditionEncoder
from ..models.dit import DiT
from ..models.oobleck import Oobleck
from ..models.qwen3 import Qwen3
from . import configs, keys, kinds
from .files import CheckpointError, StoredTensor, WeightFiles, damage_named, name_some, read_weights
from .keys import Entry
from .layouts import (
    TEXT_ENCODER_FOLDERS,
    VAE_FOLDERS,
    component_root,
    is_pipeline,
    model_root,
    published_name,
    settings_beside,
)
from .leftovers import own_weights
from .variants import Variant, read_variant

Layout = Literal["official", "comfyui", "all_in_one", "diffusers"]
Size = Literal["2b", "xl"]
Network = TypeVar("Network", bound=nn.Module)

SILENCE_FILE = "silence_latent.pt"

DTYPES = {
    "BF16": torch.bfloat16,
    "F16": torch.float16,
    "F32": torch.float32,
    "F8_E4M3": torch.float8_e4m3fn,
    "F8_E5M2": torch.float8_e5m2,
}


class Uninitialised:
    """torch.nn's layers without the random initialisation, which takes longer than loading them."""

    class Linear(nn.Linear):
        def reset_parameters(self) -> None:
            """Leave the parameters as allocated."""

    class Conv1d(nn.Conv1d):
        def reset_parameters(self) -> None:
            """Leave the parameters as allocated."""

    class ConvTranspose1d(nn.ConvTranspose1d):
        def reset_parameters(self) -> None:
            """Leave the parameters as allocated."""

    class Embedding(nn.Embedding):
        def reset_parameters(self) -> None:
            """Leave the parameters as allocated."""

    class RMSNorm(nn.RMSNorm):
        def reset_parameters(self) -> None:
            """Leave the parameters as allocated."""


class Parameter(NamedTuple):
    """Shape of a parameter and the dtype its network declares it in."""

    shape: tuple[int, ...]
    dtype: torch.dtype


@dataclass(frozen=True, eq=False)
class WeightSource(Generic[Network]):
    """Everything needed to load one network, checked against that network's parameters.

    Attributes:
        role: what the network is for ("dit", "text_encoder", ...); part of the registry's key.
        network: the module class. config: its config.
        layout: the naming the files use. path: what the user chose.
        entries: parameter name -> where it is stored.
        files: every file the result depends on, configs and indices included.
        dtype: the dtype most of the weights are stored in.
        notes: sentences about what of the files is not used.
        equal: pairs of stored tensors that must be the same: an output matrix that the embedding stands for.
    """

    role: str
    network: Callable[..., Network]
    config: Any
    layout: Layout
    path: Path
    entries: Mapping[str, Entry]
    files: tuple[Path, ...]
    dtype: torch.dtype
    notes: tuple[str, ...] = ()
    equal: tuple[tuple[StoredTensor, StoredTensor], ...] = ()

    @property
    def name(self) -> str:
        """What users call it: of a published folder the folder's name, whatever the file in it is called."""
        return self.path.parent.name if self.layout == "official" and self.path.is_file() else self.path.name


@dataclass(frozen=True, eq=False)
class ModelFiles:
    """An ACE-Step 1.5 model on disk.

    Attributes:
        variant: None where neither a config nor a name tells; the user has to choose then.
        variant_note: a sentence for the user where the variant is a guess (merges).
        notes: sentences about what of the files is not used.
        audio_tokenizer: None in diffusers folders converted without it (no audio codes, no cover).
        silence: the official `silence_latent.pt`, the stored buffer, or None (compute it with the VAE).
        settings: the merged `config.json` of the model, empty for files without one.
    """

    path: Path
    layout: Layout
    size: Size
    variant: Variant | None
    variant_note: str | None
    dit: WeightSource[DiT]
    condition_encoder: WeightSource[ConditionEncoder]
    audio_tokenizer: WeightSource[AudioTokenizer] | None
    silence: Path | StoredTensor | None
    settings: Mapping[str, Any]
    notes: tuple[str, ...] = ()


class _NetworkFiles(NamedTuple):
    """The tensors of one network, its settings, their layout, every file involved, and what is not used of them."""

    path: Path
    tensors: Mapping[str, StoredTensor]
    settings: dict[str, Any]
    layout: Layout
    files: tuple[Path, ...]
    notes: tuple[str, ...]


def inspect_model(path: Path | str) -> ModelFiles:
    """Inspect an ACE-Step 1.5 model in any layout.

    Raises:
        CheckpointError: it is something else, quantised, incomplete, or of shapes that do not fit together; the message
            names the file and the tensors.
    """
    path = Path(path)
    with damage_named(path):
        return _inspect_model(path)


def _inspect_model(path: Path) -> ModelFiles:
    root = model_root(path)
    if is_pipeline(root):
        return _inspect_pipeline(root)
    return _model(_network_files(root, path, kinds.MODEL)._replace(path=root))


def inspect_text_encoder(path: Path | str) -> WeightSource[Qwen3]:
    """Inspect a Qwen3-Embedding-0.6B in any layout; see `inspect_model` for errors."""
    return _inspect_qwen3(Path(path), TEXT_ENCODER_FOLDERS, kinds.TEXT_ENCODER)


def inspect_planner(path: Path | str) -> WeightSource[Qwen3]:
    """Inspect an ACE-Step 5 Hz language model (a file or a folder); see `inspect_model` for errors."""
    return _inspect_qwen3(Path(path), (), kinds.PLANNER)


def _inspect_qwen3(path: Path, folders: Iterable[str], kind: str) -> WeightSource[Qwen3]:
    with damage_named(path):
        files = _network_files(component_root(path, folders), path, kind)
        entries = keys.qwen3_entries(files.tensors)
        config = configs.qwen3_config(entries, files.settings, files.path)
        source = _source(kind.replace(" ", "_"), Qwen3, config, files, entries)
        head = None if kind == kinds.TEXT_ENCODER else keys.output_head(files.tensors)
        if head is None:
            return source
        embedding = entries["embed_tokens.weight"].tensor
        if (head.shape, head.dtype) != (embedding.shape, embedding.dtype):
            raise other_output_head(path)
        return replace(source, equal=((head, embedding),))


def other_output_head(path: Path) -> CheckpointError:
    """The error for a planner whose output matrix is not its token embedding."""
    return CheckpointError(
        f"{path} has an output matrix of its own (lm_head.weight), which no ACE-Step planner has: there the token "
        "embedding is used. Save it with tied embeddings, as transformers does by itself."
    )


def inspect_vae(path: Path | str) -> WeightSource[Oobleck]:
    """Inspect an ACE-Step 1.5 VAE in any layout; see `inspect_model` for errors."""
    with damage_named(Path(path)):
        files = _network_files(component_root(Path(path), VAE_FOLDERS), Path(path), kinds.VAE)
        entries = keys.vae_entries(files.tensors)
        return _source("vae", Oobleck, configs.oobleck_config(entries, files.path), files, entries)


def check_compatible(model: ModelFiles, text_encoder: WeightSource[Qwen3]) -> None:
    """Raise CheckpointError if the two were not made for one another; a VAE of other channels was refused before."""
    wanted, given = model.condition_encoder.config.text_hidden_size, text_encoder.config.hidden_size
    if wanted != given:
        raise CheckpointError(
            f"{text_encoder.path} is {given} wide but {model.path} expects {wanted}. "
            f"Choose {kinds.WANTED[kinds.TEXT_ENCODER]}."
        )


@lru_cache(maxsize=32)
def parameters(network: Callable[..., nn.Module], config: Any, dtype: torch.dtype) -> Mapping[str, Parameter]:
    """Every parameter of `network(config)` when it is built in `dtype`; takes no memory."""
    module = network(config, ops=Uninitialised, dtype=dtype, device="meta")
    return {name: Parameter(tuple(tensor.shape), tensor.dtype) for name, tensor in module.state_dict().items()}


def _inspect_pipeline(root: Path) -> ModelFiles:
    tensors: dict[str, StoredTensor] = {}
    settings: dict[str, Any] = {}
    files: list[Path] = []
    for component in reversed(keys.DIFFUSERS_PREFIXES):
        folder = root / component
        if not folder.is_dir() and component.startswith("audio_"):
            continue
        weights = read_weights(folder)
        component_settings, config_files = settings_beside(weights, folder)
        kinds.refuse_quantised(weights, component_settings)
        tensors |= {keys.official_from_diffusers(component, name): tensor for name, tensor in weights.tensors.items()}
        settings |= component_settings
        files += (*weights.files, *config_files)
    if kinds.identify(tensors) != kinds.MODEL:
        raise kinds.refuse(root, "a diffusers pipeline of another model", kinds.MODEL)
    return _model(_NetworkFiles(root, tensors, settings, "diffusers", tuple(files), ()))


def _model(read: _NetworkFiles) -> ModelFiles:
    path, settings = read.path, read.settings
    split = keys.split_model(read.tensors)
    if split.unknown:
        raise CheckpointError(f"{path} holds tensors no ACE-Step 1.5 model has: {name_some(sorted(split.unknown))}.")
    dit = configs.dit_config(split.dit, settings, path)
    width = _condition_width(split.condition_encoder, dit.hidden_size)
    size: Size = "2b" if dit.hidden_size == width else "xl"
    conditioner = configs.condition_encoder_config(
        split.condition_encoder, settings, path, timbre_cls_token=size == "xl"
    )
    tokenizer = None
    if split.audio_tokenizer:
        config = configs.audio_tokenizer_config(split.audio_tokenizer, settings, path)
        tokenizer = _source("audio_tokenizer", AudioTokenizer, config, read, split.audio_tokenizer)
    silence = (path if path.is_dir() else path.parent) / SILENCE_FILE
    reading = read_variant(published_name(path), settings)
    return ModelFiles(
        path=path,
        layout=read.layout,
        size=size,
        variant=reading.variant,
        variant_note=reading.note,
        dit=_source("dit", DiT, dit, read, split.dit),
        condition_encoder=_source("condition_encoder", ConditionEncoder, conditioner, read, split.condition_encoder),
        audio_tokenizer=tokenizer,
        silence=silence if silence.is_file() else split.silence,
        settings=settings,
        notes=read.notes,
    )


def _condition_width(entries: Mapping[str, Entry], default: int) -> int:
    norm = entries.get("lyric_encoder.norm.weight")
    return default if norm is None else norm.shape[0]


def _network_files(root: Path, chosen: Path, wanted: str) -> _NetworkFiles:
    """What is read for one network that is `wanted`.

    Args:
        root: where it lies. chosen: what the user chose, which may be the folder of several.
    """
    weights, notes = own_weights(read_weights(root))
    kind = kinds.identify(weights.tensors)
    settings, config_files = settings_beside(weights, chosen)
    layout: Layout = "official" if config_files else "comfyui"
    if kind in kinds.SEVERAL_NETWORKS:
        layout, weights = "all_in_one", _part(weights, wanted)
        kind = kinds.MODEL if wanted == kinds.MODEL else kinds.identify(weights.tensors)
    if kind != wanted:
        raise kinds.refuse(chosen, kind, wanted)
    kinds.refuse_quantised(weights, settings)
    return _NetworkFiles(weights.path, weights.tensors, settings, layout, (*weights.files, *config_files), notes)


def _source(
    role: str,
    network: Callable[..., Network],
    config: Any,
    read: _NetworkFiles,
    entries: Mapping[str, Entry],
) -> WeightSource[Network]:
    """The source, once every parameter has its tensor, every tensor its parameter, and the shapes agree."""
    expected = {name: wanted.shape for name, wanted in parameters(network, config, torch.float32).items()}
    missing = sorted(expected.keys() - entries.keys())
    unexpected = sorted(entry.tensor.name for name, entry in entries.items() if name not in expected)
    wrong = sorted(
        f"{entry.tensor.name} {list(entry.shape)} instead of {list(expected[name])}"
        for name, entry in entries.items()
        if name in expected and not _fits(entry, expected[name])
    )
    problems = [
        f"{label} {name_some(names)}"
        for label, names in (("it lacks", missing), ("it has unknown", unexpected), ("shapes are wrong:", wrong))
        if names
    ]
    if problems:
        raise CheckpointError(f"{read.path} does not fit the {role.replace('_', ' ')}: {'; '.join(problems)}.")
    dtype = _main_dtype(entries.values())
    return WeightSource(role, network, config, read.layout, read.path, entries, read.files, dtype, read.notes)


def _fits(entry: Entry, shape: tuple[int, ...]) -> bool:
    gain_fits = entry.gain is None or entry.gain.shape == (shape[0], *(1 for _ in shape[1:]))
    return entry.shape == shape and gain_fits


def _main_dtype(entries: Iterable[Entry]) -> torch.dtype:
    sizes: dict[str, int] = {}
    for entry in entries:
        sizes[entry.tensor.dtype] = sizes.get(entry.tensor.dtype, 0) + torch.Size(entry.shape).numel()
    return DTYPES[max(sizes, key=sizes.__getitem__)]


def _part(weights: WeightFiles, wanted: str) -> WeightFiles:
    """The network that is `wanted` in a file of several; its metadata may be about others."""
    owners = (keys.ALL_IN_ONE_MODEL, keys.ALL_IN_ONE_VAE, keys.ALL_IN_ONE_TEXT, keys.SAVED_TEXT)
    unknown = sorted(name for name in weights.tensors if not name.startswith(owners))
    if unknown:
        raise CheckpointError(f"{weights.path} holds tensors no all-in-one checkpoint has: {name_some(unknown)}.")
    prefix = kinds.part_prefix(weights.tensors, kinds.PREFIXES[wanted])
    if prefix is None:
        held = " and ".join(map(kinds.spoken, kinds.held_kinds(weights.tensors))) or "nothing that is known"
        raise CheckpointError(
            f"{weights.path} holds no {kinds.spoken(wanted)}, only {held}. Choose {kinds.WANTED[wanted]}."
        )
    return weights._replace(tensors=keys.strip_prefix(weights.tensors, prefix), metadata={})
