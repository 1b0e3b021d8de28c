"""What a path holds: layout, variant, and for each network a `WeightSource` that accounts for every tensor.

Only headers and `config.json` are read; nothing here touches tensor data, so a 10 GB file takes milliseconds.
A path may be a weight file, one shard or index of a set, the folder of one network, a diffusers pipeline folder, or the
official bundle that holds all of them in subfolders.

Traps:
- XL is recognised by its condition encoder being narrower than the decoder. Only XL prepends the timbre CLS token.
- Split files carry no config: turbo, base or sft is then only in the file name; a renamed file has no variant.
- An all-in-one checkpoint also holds planners. They are left out here.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any, Generic, Literal, NamedTuple, TypeVar

import torch
from torch import nn

from ..json_files import checked_json
from ..models.audio_tokenizer import AudioTokenizer
from ..models.condition_encoder import ConditionEncoder
from ..models.dit import DiT
from ..models.oobleck import Oobleck
from ..models.qwen3 import Qwen3
from . import configs, keys, kinds
from .files import (
    CheckpointError,
    StoredTensor,
    WeightFiles,
    damage_named,
    has_weights,
    name_some,
    read_json,
    read_weights,
)
from .keys import Entry
from .variants import Variant, read_variant

Layout = Literal["official", "comfyui", "all_in_one", "diffusers"]
Size = Literal["2b", "xl"]
Network = TypeVar("Network", bound=nn.Module)

MODEL_FOLDER = "acestep-v15-*"
TEXT_ENCODER_FOLDERS = ("text_encoder", "Qwen3-Embedding-0.6B")
VAE_FOLDERS = ("vae",)
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
    """

    role: str
    network: Callable[..., Network]
    config: Any
    layout: Layout
    path: Path
    entries: Mapping[str, Entry]
    files: tuple[Path, ...]
    dtype: torch.dtype

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
    root = _model_root(path)
    if is_pipeline(root):
        return _inspect_pipeline(root)
    weights = read_weights(root)
    kind = kinds.identify(weights.tensors)
    settings, config_files = _settings(weights, root)
    layout: Layout = "official" if config_files else "comfyui"
    if kind == kinds.ALL_IN_ONE:
        layout, weights = "all_in_one", _part(weights, keys.ALL_IN_ONE_MODEL)
    elif kind != kinds.MODEL:
        raise kinds.refuse(path, kind, kinds.MODEL)
    kinds.refuse_quantised(weights, settings)
    return _model(root, layout, weights.tensors, settings, (*weights.files, *config_files))


def inspect_text_encoder(path: Path | str) -> WeightSource[Qwen3]:
    """Inspect a Qwen3-Embedding-0.6B in any layout; see `inspect_model` for errors."""
    with damage_named(Path(path)):
        weights, settings, layout, files = _network_files(
            Path(path), TEXT_ENCODER_FOLDERS, keys.ALL_IN_ONE_TEXT_ENCODERS, kinds.TEXT_ENCODER
        )
        entries = keys.qwen3_entries(weights.tensors, embedding_model=True)
        config = configs.qwen3_config(entries, settings, weights.path)
        return _source("text_encoder", Qwen3, config, layout, weights.path, entries, files)


def inspect_planner(path: Path | str) -> WeightSource[Qwen3]:
    """Inspect an ACE-Step 5 Hz language model (a file or a folder); see `inspect_model` for errors."""
    with damage_named(Path(path)):
        weights, settings, layout, files = _network_files(Path(path), (), keys.ALL_IN_ONE_PLANNERS, kinds.PLANNER)
        entries = keys.qwen3_entries(weights.tensors, embedding_model=False)
        config = configs.qwen3_config(entries, settings, weights.path)
        return _source("planner", Qwen3, config, layout, weights.path, entries, files)


def inspect_vae(path: Path | str) -> WeightSource[Oobleck]:
    """Inspect an ACE-Step 1.5 VAE in any layout; see `inspect_model` for errors."""
    with damage_named(Path(path)):
        weights, settings, layout, files = _network_files(Path(path), VAE_FOLDERS, (keys.ALL_IN_ONE_VAE,), kinds.VAE)
        entries = keys.vae_entries(weights.tensors)
        config = configs.oobleck_config(entries, weights.path)
        return _source("vae", Oobleck, config, layout, weights.path, entries, files)


def component_beside(model: ModelFiles, folders: Sequence[str]) -> Path | None:
    """Where a model brings its text encoder or its VAE: in the same checkpoint or pipeline, or beside it in a bundle.

    Args:
        folders: the names that the component has in official bundles, such as `VAE_FOLDERS`.
    """
    if model.layout in ("all_in_one", "diffusers"):
        return model.path
    if model.layout != "official":
        return None
    return next((path for path in (model.path.parent / folder for folder in folders) if path.is_dir()), None)


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
        component_settings, config_files = _settings(weights, folder)
        kinds.refuse_quantised(weights, component_settings)
        tensors |= {keys.official_from_diffusers(component, name): tensor for name, tensor in weights.tensors.items()}
        settings |= component_settings
        files += (*weights.files, *config_files)
    if kinds.identify(tensors) != kinds.MODEL:
        raise kinds.refuse(root, "a diffusers pipeline of another model", kinds.MODEL)
    return _model(root, "diffusers", tensors, settings, tuple(files))


def _model(
    path: Path,
    layout: Layout,
    tensors: Mapping[str, StoredTensor],
    settings: Mapping[str, Any],
    files: tuple[Path, ...],
) -> ModelFiles:
    split = keys.split_model(tensors)
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
        tokenizer = _source("audio_tokenizer", AudioTokenizer, config, layout, path, split.audio_tokenizer, files)
    silence = (path if path.is_dir() else path.parent) / SILENCE_FILE
    reading = read_variant(_published_name(path), settings)
    return ModelFiles(
        path=path,
        layout=layout,
        size=size,
        variant=reading.variant,
        variant_note=reading.note,
        dit=_source("dit", DiT, dit, layout, path, split.dit, files),
        condition_encoder=_source(
            "condition_encoder", ConditionEncoder, conditioner, layout, path, split.condition_encoder, files
        ),
        audio_tokenizer=tokenizer,
        silence=silence if silence.is_file() else split.silence,
        settings=settings,
    )


def _condition_width(entries: Mapping[str, Entry], default: int) -> int:
    norm = entries.get("lyric_encoder.norm.weight")
    return default if norm is None else norm.shape[0]


def _network_files(
    path: Path, folders: Iterable[str], all_in_one_prefixes: Sequence[str], wanted: str
) -> tuple[WeightFiles, dict[str, Any], Layout, tuple[Path, ...]]:
    """The tensors of one network that is `wanted`, its settings, their layout, and every file involved."""
    weights = read_weights(_component_root(path, folders))
    kind = kinds.identify(weights.tensors)
    settings, config_files = _settings(weights, path)
    layout: Layout = "official" if config_files else "comfyui"
    if kind == kinds.ALL_IN_ONE:
        layout, weights = "all_in_one", _part(weights, *all_in_one_prefixes)
        kind = kinds.identify(weights.tensors)
    if kind != wanted:
        raise kinds.refuse(path, kind, wanted)
    kinds.refuse_quantised(weights, settings)
    return weights, settings, layout, (*weights.files, *config_files)


def _source(
    role: str,
    network: Callable[..., Network],
    config: Any,
    layout: Layout,
    path: Path,
    entries: Mapping[str, Entry],
    files: tuple[Path, ...],
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
        raise CheckpointError(f"{path} does not fit the {role.replace('_', ' ')}: {'; '.join(problems)}.")
    return WeightSource(role, network, config, layout, path, entries, files, _main_dtype(entries.values()))


def _fits(entry: Entry, shape: tuple[int, ...]) -> bool:
    gain_fits = entry.gain is None or entry.gain.shape == (shape[0], *(1 for _ in shape[1:]))
    return entry.shape == shape and gain_fits


def _main_dtype(entries: Iterable[Entry]) -> torch.dtype:
    sizes: dict[str, int] = {}
    for entry in entries:
        sizes[entry.tensor.dtype] = sizes.get(entry.tensor.dtype, 0) + torch.Size(entry.shape).numel()
    return DTYPES[max(sizes, key=sizes.__getitem__)]


def _part(weights: WeightFiles, *prefixes: str) -> WeightFiles:
    """The network under the one of `prefixes` that an all-in-one checkpoint has; its metadata may be about others."""
    owners = (keys.ALL_IN_ONE_MODEL, keys.ALL_IN_ONE_VAE, keys.ALL_IN_ONE_TEXT)
    unknown = sorted(name for name in weights.tensors if not name.startswith(owners))
    if unknown:
        raise CheckpointError(f"{weights.path} holds tensors no all-in-one checkpoint has: {name_some(unknown)}.")
    for prefix in prefixes:
        if tensors := keys.strip_prefix(weights.tensors, prefix):
            return weights._replace(tensors=tensors, metadata={})
    wanted = " or ".join(f"{prefix}*" for prefix in prefixes)
    raise CheckpointError(f"{weights.path} is an all-in-one checkpoint without {wanted}; choose a separate file.")


def _settings(weights: WeightFiles, chosen: Path) -> tuple[dict[str, Any], tuple[Path, ...]]:
    """`config.json` beside weights of a published folder; a flat model directory's belongs to something else.

    Without it, the header of a safetensors file may name the heads that follow the lyrics, as JSON under the name that
    `config.json` has for them: a single file of a size that was never published has no other place to do so.
    """
    folder = weights.path if weights.path.is_dir() else weights.path.parent
    published = weights.path.is_dir() or weights.path.name.startswith(("model.", "diffusion_pytorch_model."))
    config = folder / "config.json"
    if (published or chosen.is_dir()) and config.is_file():
        return read_json(config), (config,)
    title = weights.metadata.get("modelspec.title")  # ComfyUI's Save Model writes the name it was saved under
    settings = {} if title is None else {"model_version": title}
    heads = weights.metadata.get(configs.LYRIC_HEADS)
    if heads is None:
        return settings, ()
    try:
        return settings | {configs.LYRIC_HEADS: checked_json(heads)}, ()
    except ValueError as error:
        raise CheckpointError(f"the header of {weights.path} sets {configs.LYRIC_HEADS} to no JSON: {error}") from error


def _published_name(path: Path) -> str:
    """The name a variant may be read from: a published folder's own, whatever its files are called."""
    return path.parent.name if path.name.startswith(("model.", "model-")) else path.name


def is_pipeline(path: Path) -> bool:
    """Whether a folder has the diffusers layout."""
    return all((path / component).is_dir() for component in ("transformer", "condition_encoder"))


def _model_root(path: Path) -> Path:
    """The file or folder the model is read from: a component leads to its pipeline, a bundle to its one model."""
    if not path.exists():
        raise CheckpointError(f"{path} does not exist.")
    folder = path if path.is_dir() else path.parent
    if folder.name in keys.DIFFUSERS_PREFIXES and is_pipeline(folder.parent):
        return folder.parent
    if not path.is_dir() or is_pipeline(path) or has_weights(path):
        return path
    models = sorted(child for child in path.glob(MODEL_FOLDER) if child.is_dir())
    if len(models) > 1:
        raise CheckpointError(
            f"{path} holds {name_some([model.name for model in models])}. Choose one of these folders."
        )
    return models[0] if models else path


def _component_root(path: Path, folders: Iterable[str]) -> Path:
    """`path`, or for a pipeline or bundle its first existing one of `folders`."""
    if not path.exists():
        raise CheckpointError(f"{path} does not exist.")
    if path.is_dir() and not has_weights(path):
        for folder in folders:
            if (path / folder).is_dir():
                return path / folder
    return path
