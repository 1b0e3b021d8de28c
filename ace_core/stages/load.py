"""Load: weight files in any published layout to what the other stages take."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import NamedTuple

import torch
from torch import Tensor

from ..checkpoints.inspection import (
    ModelFiles,
    WeightSource,
    check_compatible,
    inspect_planner,
    inspect_text_encoder,
    inspect_vae,
    parameters,
)
from ..checkpoints.loading import weight_key
from ..checkpoints.registry import FileStamp, WeightKey, stamp
from ..checkpoints.silence import compute_silence, load_silence
from ..checkpoints.tokenizer import find_planner_tokenizer, find_tokenizer, tokenizer_files
from ..checkpoints.variants import VARIANTS, Variant
from ..loaded import AceModel, AcePlanner, AceTextEncoder, AceVae
from ..lora.formats import AdapterFiles, check_fits, inspect_adapter
from ..models.oobleck import Oobleck
from ..models.qwen3 import Qwen3
from ..planner.grammar import build_grammar
from ..render.vae import encode_waveforms
from ..runtime import Networks, Precision


class ModelSources(NamedTuple):
    """An inspected model with the text encoder and the VAE that go with it."""

    model: ModelFiles
    text_encoder: WeightSource[Qwen3]
    vae: WeightSource[Oobleck]

    @property
    def stamps(self) -> tuple[FileStamp, ...]:
        """Change with any file that the result depends on."""
        sources = (self.model.dit, self.model.condition_encoder, self.text_encoder, self.vae)
        paths = [path for source in sources for path in source.files]
        paths += tokenizer_files(self.text_encoder.path)
        if isinstance(self.model.silence, Path):
            paths.append(self.model.silence)
        return stamp(paths)

    @property
    def notes(self) -> tuple[str, ...]:
        """Sentences about what of the files is not used."""
        parts = (("", self.model.notes), ("text encoder: ", self.text_encoder.notes), ("VAE: ", self.vae.notes))
        named: dict[str, str] = {}  # an all-in-one file says the same three times
        for name, notes in parts:
            named = {note: name for note in notes} | named
        return tuple(f"{name}{note}" for note, name in named.items())


def inspect_models(model: ModelFiles, text_encoder: Path, vae: Path) -> ModelSources:
    """Inspect what goes with a model; only headers are read.

    Raises:
        CheckpointError: see `inspect_model`; a text encoder of another model.
    """
    sources = ModelSources(model, inspect_text_encoder(text_encoder), inspect_vae(vae))
    check_compatible(model, sources.text_encoder)
    return sources


def load_models(
    networks: Networks, sources: ModelSources, *, variant: Variant | None = None, precision: Precision = "auto"
) -> tuple[AceModel, AceTextEncoder, AceVae]:
    """Load a model with its text encoder and VAE.

    Args:
        variant: of a renamed file; None for what the file says.

    Raises:
        ValueError: the variant is neither given nor said by the file.
        CheckpointError: damaged weights.
    """
    model, text_source, vae_source = sources
    variant = variant or model.variant
    if variant is None:
        raise ValueError(
            f"{model.path.name} does not say whether it is a turbo, base or sft model: choose it in 'variant' "
            f"({', '.join(VARIANTS)})"
        )
    update = networks.progress()
    dit = networks.load(model.dit, precision, "diffusion")
    update(1, 5)
    condition_encoder = networks.load(model.condition_encoder, precision, "diffusion")
    update(2, 5)
    audio_tokenizer = None
    if model.audio_tokenizer is not None:
        audio_tokenizer = networks.load(model.audio_tokenizer, precision, "diffusion")
    update(3, 5)
    text_encoder = networks.load(text_source, precision, "text")
    update(4, 5)
    vae = networks.load(vae_source, precision, "vae")
    update(5, 5)
    ace_vae = AceVae(vae_source.name, vae, stamp(vae_source.files))
    tokenizer = find_tokenizer(text_source.path, text_source.config.vocab_size)
    parts = (model.dit, model.condition_encoder, model.audio_tokenizer)
    return (
        AceModel(
            model.dit.name,
            model.size,
            variant,
            dit,
            condition_encoder,
            audio_tokenizer,
            _silence(networks, model, vae_source, ace_vae),
            files=stamp(path for source in parts if source is not None for path in source.files),
            about=str(model.settings.get("about", "")),
        ),
        AceTextEncoder(text_source.name, text_encoder, tokenizer, stamp(text_source.files)),
        ace_vae,
    )


def inspect_lora(path: Path, model: AceModel) -> tuple[AdapterFiles, tuple[str, ...]]:
    """Inspect an adapter for a model, with remarks on what of it cannot be used; only headers are read.

    Raises:
        CheckpointError: no adapter, or one that does not fit.
    """
    files = inspect_adapter(path, "model")
    shapes = {name: tuple(tensor.shape) for name, tensor in model.dit.network.state_dict().items()}
    return files, check_fits(files, shapes, repr(model), model.variant)


def inspect_planner_lora(path: Path, planner: AcePlanner) -> tuple[AdapterFiles, tuple[str, ...]]:
    """Inspect an adapter for a planner; see `inspect_lora`."""
    files = inspect_adapter(path, "planner")
    wanted = parameters(Qwen3, planner.lm.network.config, torch.float32)
    return files, check_fits(files, {name: item.shape for name, item in wanted.items()}, repr(planner))


def planner_stamps(path: Path) -> tuple[FileStamp, ...]:
    """Change with any file that a planner and its grammar depend on."""
    return stamp(_planner_files(inspect_planner(path)))


def load_planner(networks: Networks, path: Path, *, precision: Precision = "auto", int8: bool = False) -> AcePlanner:
    """Load a 5 Hz language model with the grammar of its tokenizer.

    Args:
        int8: keep its matrices as int8; for a CPU.

    Raises:
        CheckpointError: it is something else, or damaged.
    """
    source = inspect_planner(path)
    grammar_key = WeightKey("planner grammar", stamp(_planner_files(source)), "")
    return AcePlanner(
        source.name,
        networks.load(source, precision, "planner", int8=int8),
        networks.registry.get(
            grammar_key, lambda: build_grammar(find_planner_tokenizer(source.path, source.config.vocab_size))
        ),
        stamp(source.files),
    )


def _silence(networks: Networks, model: ModelFiles, vae_source: WeightSource[Oobleck], vae: AceVae) -> Tensor:
    """The silence latent; for checkpoints that bring none what the VAE makes of silence, computed once."""
    stored = load_silence(model)
    if stored is not None:
        return stored

    def build() -> Tensor:
        network, runtime = networks.use(vae.vae)
        return compute_silence(lambda waveform: encode_waveforms(network, waveform, runtime))

    return networks.registry.get(weight_key(vae_source, vae.vae.dtype)._replace(role="silence"), build)


def _planner_files(source: WeightSource[Qwen3]) -> Iterable[Path]:
    """Every file that the planner and its grammar depend on."""
    return (*source.files, *tokenizer_files(source.path))
