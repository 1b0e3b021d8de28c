"""Every published file layout, by its inventory of names and shapes: each tensor has its parameter and the reverse."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from pathlib import Path

import pytest
import tiny_checkpoints

from ace_core.checkpoints import inspection, keys
from ace_core.checkpoints.files import CheckpointError, StoredTensor, WeightFiles
from ace_core.checkpoints.inspection import (
    WeightSource,
    inspect_model,
    inspect_planner,
    inspect_text_encoder,
    inspect_vae,
)
from ace_core.models.dit import DiTConfig
from ace_core.models.oobleck import OobleckConfig
from ace_core.models.qwen3 import Qwen3Config

INVENTORIES = Path(__file__).parents[2] / "data" / "keys"
PUBLISHED_DIT = {
    "2b": DiTConfig(2048, 6144, 24, 16, 8, 128, 2048, 192, 64, 2, 128, 1e6, 1e-6),
    "xl": DiTConfig(2560, 9728, 32, 32, 8, 128, 2048, 192, 64, 2, 128, 1e6, 1e-6),
}
PUBLISHED_QWEN3 = {
    "text_encoder": Qwen3Config(151_669, 1024, 3072, 28, 16, 8, 128, 1e6, 1e-6),
    "lm_0.6B": Qwen3Config(217_204, 1024, 3072, 28, 16, 8, 128, 1e6, 1e-6),
    "lm_1.7B": Qwen3Config(217_204, 2048, 6144, 28, 16, 8, 128, 1e6, 1e-6),
    "lm_4B": Qwen3Config(217_204, 2560, 9728, 36, 32, 8, 128, 1e6, 1e-6),
}
PUBLISHED_VAE = OobleckConfig(2, 64, 128, 128, (1, 2, 4, 8, 16), (2, 4, 4, 6, 10))

Pretend = Callable[..., Path]


def inventory(name: str) -> dict[str, tuple[int, ...]]:
    return {key: tuple(shape) for key, shape in json.loads((INVENTORIES / f"{name}.json").read_text()).items()}


@pytest.fixture
def pretend(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Pretend:
    """Makes the tensors of an inventory, with other names if wanted, appear under the returned path."""

    def make(shapes: dict[str, tuple[int, ...]], *, pipeline: bool = False) -> Path:
        def read(path: Path) -> WeightFiles:
            prefix = f"{path.name}/" if pipeline else ""
            tensors = {
                name.removeprefix(prefix): StoredTensor(path, name, "BF16", shape)
                for name, shape in shapes.items()
                if name.startswith(prefix)
            }
            return WeightFiles(path, tensors, {}, (path,))

        monkeypatch.setattr(inspection, "read_weights", read)
        if not pipeline:
            return tmp_path
        for component in keys.DIFFUSERS_PREFIXES:
            (tmp_path / component).mkdir()
        return tmp_path

    return make


def stored_names(*sources: WeightSource) -> list[str]:
    entries = [entry for source in sources for entry in source.entries.values()]
    names = [entry.tensor.name for entry in entries]
    return sorted(names + [entry.gain.name for entry in entries if entry.gain is not None])


@pytest.mark.parametrize("prefix", ["", "model.diffusion_model."])
@pytest.mark.parametrize("size", ["2b", "xl"])
def test_official_and_comfyui_names_cover_the_model(pretend: Pretend, size: str, prefix: str) -> None:
    shapes = {prefix + name: shape for name, shape in inventory(f"dit_{size}_official").items()}
    model = inspect_model(pretend(shapes))
    assert model.size == size
    assert model.dit.config == PUBLISHED_DIT[size]
    assert model.condition_encoder.config.timbre_cls_token == (size == "xl")
    assert model.condition_encoder.config.num_lyric_layers == 8
    assert model.condition_encoder.config.num_timbre_layers == 4
    assert model.audio_tokenizer is not None
    assert model.audio_tokenizer.config.num_detokenizer_layers == 2
    assert stored_names(model.dit, model.condition_encoder, model.audio_tokenizer) == sorted(shapes)


@pytest.mark.parametrize("size", ["2b", "xl"])
def test_diffusers_names_give_the_same_parameters(pretend: Pretend, size: str) -> None:
    official = inspect_model(pretend(inventory(f"dit_{size}_official")))
    shapes = inventory(f"dit_{size}_diffusers")
    model = inspect_model(pretend(shapes, pipeline=True))
    assert model.layout == "diffusers"
    assert model.size == size
    assert isinstance(model.silence, StoredTensor)
    assert model.audio_tokenizer is not None and official.audio_tokenizer is not None
    covered = stored_names(model.dit, model.condition_encoder, model.audio_tokenizer)
    assert sorted([*covered, model.silence.name]) == sorted(shapes)
    for ours, theirs in (
        (model.dit, official.dit),
        (model.condition_encoder, official.condition_encoder),
        (model.audio_tokenizer, official.audio_tokenizer),
    ):
        assert ours.config == theirs.config
        assert {name: entry.shape for name, entry in ours.entries.items()} == {
            name: entry.shape for name, entry in theirs.entries.items()
        }


@pytest.mark.parametrize("prefix", ["", "model."])
@pytest.mark.parametrize("name", sorted(PUBLISHED_QWEN3))
def test_qwen3_names_with_and_without_prefix(pretend: Pretend, name: str, prefix: str) -> None:
    shapes = {prefix + key: shape for key, shape in inventory(name).items()}
    inspect = inspect_text_encoder if name == "text_encoder" else inspect_planner
    source = inspect(pretend(shapes))
    assert source.config == PUBLISHED_QWEN3[name]
    assert stored_names(source) == sorted(shapes)


def test_an_embedding_model_may_carry_an_unused_head_but_a_planner_only_its_embedding(pretend: Pretend) -> None:
    head = {"lm_head.weight": (151_669, 1024)}
    text_encoder = inspect_text_encoder(pretend(inventory("text_encoder") | head))
    assert "lm_head.weight" not in text_encoder.entries and text_encoder.equal == ()
    with pytest.raises(CheckpointError, match=r"an output matrix of its own \(lm_head\.weight\)"):
        inspect_planner(pretend(inventory("lm_0.6B") | head))
    shapes = inventory("lm_0.6B")
    planner = inspect_planner(pretend(shapes | {"lm_head.weight": shapes["embed_tokens.weight"]}))
    assert "lm_head.weight" not in planner.entries
    assert [[tensor.name for tensor in pair] for pair in planner.equal] == [["lm_head.weight", "embed_tokens.weight"]]


@pytest.mark.parametrize("prefix", ["", "vae."])
@pytest.mark.parametrize("weight_norm", ["parametrizations", "weight_g"])
def test_comfyui_vae_names_give_the_official_parameters(pretend: Pretend, weight_norm: str, prefix: str) -> None:
    official_shapes = inventory("vae_official")
    official = inspect_vae(pretend(official_shapes))
    assert official.config == PUBLISHED_VAE
    assert stored_names(official) == sorted(official_shapes)

    shapes = inventory("vae_comfyui")
    if weight_norm == "weight_g":
        shapes = {
            name.replace("parametrizations.weight.original0", "weight_g").replace(
                "parametrizations.weight.original1", "weight_v"
            ): shape
            for name, shape in shapes.items()
        }
    shapes = {prefix + name: shape for name, shape in shapes.items()}
    rest = {"model.diffusion_model." + name: shape for name, shape in inventory("dit_2b_official").items()}
    source = inspect_vae(pretend(shapes | rest if prefix else shapes))
    assert source.config == PUBLISHED_VAE
    assert stored_names(source) == sorted(shapes)
    assert {name: entry.shape for name, entry in source.entries.items()} == {
        name: entry.shape for name, entry in official.entries.items()
    }


def test_older_diffusers_conversions_keep_official_attention_names(pretend: Pretend) -> None:
    names = {"to_q": "q_proj", "to_k": "k_proj", "to_v": "v_proj", "to_out.0": "o_proj", "norm_q": "q_norm"}
    names["norm_k"] = "k_norm"
    shapes = {
        re.sub("|".join(names), lambda match: names[match.group()], name): shape
        for name, shape in inventory("dit_2b_diffusers").items()
        if not name.startswith("audio_")
    }
    root = pretend(shapes, pipeline=True)
    for component in ("audio_tokenizer", "audio_token_detokenizer"):
        (root / component).rmdir()
    model = inspect_model(root)
    assert model.audio_tokenizer is None
    assert model.dit.config == PUBLISHED_DIT["2b"]


@pytest.mark.parametrize("extra", ["tokenizer.quantizer.scales", "tokenizer.quantizer.layers.0._levels"])
def test_computed_buffers_are_not_parameters(pretend: Pretend, extra: str) -> None:
    shapes = inventory("dit_2b_official") | {extra: (6,), "decoder.rotary_emb.inv_freq": (64,)}
    model = inspect_model(pretend(shapes))
    assert model.dit.config == PUBLISHED_DIT["2b"]


def test_tiny_checkpoints_have_the_published_names() -> None:
    for size in ("2b", "xl"):
        model = tiny_checkpoints.tiny_model(size, "turbo", 0)
        expected = {name for name in inventory(f"dit_{size}_official") if within_tiny(name)}
        assert set(model.model) == expected
        written = tiny_checkpoints.diffusers_weights(model)
        ours = {f"{folder}/{name}" for folder, weights in written.items() for name in weights}
        assert ours == {name for name in inventory(f"dit_{size}_diffusers") if within_tiny(name)}
    assert set(model.text_encoder) == {name for name in inventory("text_encoder") if within_tiny(name)}
    assert set(model.vae) == set(inventory("vae_official"))
    assert set(tiny_checkpoints.stable_audio_vae(model.vae, parametrizations=True)) == set(inventory("vae_comfyui"))


def within_tiny(name: str) -> bool:
    decoder = name.startswith(("decoder.", "transformer/"))
    match = re.search(r"layers\.(\d+)\.", name)
    return match is None or int(match.group(1)) < (4 if decoder else 2)
