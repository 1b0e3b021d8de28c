"""Files as training leaves them: states of optimizers, averaged copies, wrapped names. The same weights, and notes."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import tiny_checkpoints
import torch
from safetensors.torch import load_file, save_file
from tiny_planner import planner_weights
from torch import Tensor

from ace_core.checkpoints.files import CheckpointError
from ace_core.checkpoints.inspection import inspect_model, inspect_planner, inspect_text_encoder, inspect_vae
from ace_core.checkpoints.loading import load_state_dict

Tensors = dict[str, Tensor]
INSPECT: dict[str, Callable[[Path], Any]] = {
    "model": inspect_model,
    "text_encoder": inspect_text_encoder,
    "vae": inspect_vae,
}


@pytest.fixture(scope="module")
def tiny(tmp_path_factory: pytest.TempPathFactory) -> tiny_checkpoints.TinyPaths:
    return tiny_checkpoints.write_tiny(tmp_path_factory.mktemp("tiny"), "comfyui")


def loaded(source: Any) -> Tensors:
    """The weights of a source; of a model those of its decoder."""
    return load_state_dict(source.dit if hasattr(source, "dit") else source, torch.float32)


def assert_same(found: Any, expected: Any) -> None:
    ours, theirs = loaded(found), loaded(expected)
    assert ours.keys() == theirs.keys()
    assert all(torch.equal(ours[name], theirs[name]) for name in ours)


def written(path: Path, tensors: Tensors) -> Path:
    save_file({name: tensor.clone() for name, tensor in tensors.items()}, path)
    return path


def averages(tensors: Tensors) -> Tensors:
    return {name: tensor + 1 for name, tensor in tensors.items()}


STATES: Tensors = {
    "optimizer.state.0.exp_avg": torch.zeros(3),
    "optimizer.state.0.exp_avg_sq": torch.zeros(3),
    "lr_scheduler.last_epoch": torch.zeros(1),
    "decoder.layers.0.mlp.up_proj.weight.exp_avg": torch.zeros(3),
    "global_step": torch.zeros(1),
}


@pytest.mark.parametrize("network", INSPECT)
def test_states_of_training_are_left_out_and_named(
    tmp_path: Path, tiny: tiny_checkpoints.TinyPaths, network: str
) -> None:
    plain: Path = getattr(tiny, network)
    found = INSPECT[network](written(tmp_path / plain.name, load_file(plain) | STATES))
    assert_same(found, INSPECT[network](plain))
    (note,) = found.notes
    assert note.startswith("not used: 5 tensors that training left in the file (") and "lr_scheduler" in note
    assert INSPECT[network](plain).notes == ()


EMA_NAMES: dict[str, Callable[[str], str]] = {
    "ema.": lambda name: f"ema.{name}",
    "ema_model.": lambda name: f"ema_model.{name}",
    "model_ema.": lambda name: f"model_ema.{name}",
    "model_ema.module.": lambda name: f"model_ema.module.{name}",
    "part_ema.": lambda name: "_ema.".join(name.split(".", 1)),
}


@pytest.mark.parametrize("network", INSPECT)
@pytest.mark.parametrize("spelling", EMA_NAMES)
def test_of_plain_and_averaged_weights_the_plain_ones_are_used(
    tmp_path: Path, tiny: tiny_checkpoints.TinyPaths, network: str, spelling: str
) -> None:
    plain: Path = getattr(tiny, network)
    weights = load_file(plain)
    twins = {EMA_NAMES[spelling](name): tensor for name, tensor in averages(weights).items() if "." in name}
    found = INSPECT[network](written(tmp_path / plain.name, weights | twins))
    assert_same(found, INSPECT[network](plain))
    (note,) = found.notes
    assert f"holds {len(twins)} weights a second time, averaged over training (EMA: " in note
    assert note.endswith("): the plain ones are used")


@pytest.mark.parametrize("spelling", ["ema.", "model_ema.module."])
def test_where_there_are_only_averaged_weights_they_are_used(
    tmp_path: Path, tiny: tiny_checkpoints.TinyPaths, spelling: str
) -> None:
    only = {EMA_NAMES[spelling](name): tensor for name, tensor in load_file(tiny.model).items()}
    found = inspect_model(written(tmp_path / "acestep_turbo_ema.safetensors", only | STATES))
    assert_same(found, inspect_model(tiny.model))
    assert [note.split(" (")[0] for note in found.notes] == [
        "the file holds averaged weights only",
        "not used: 5 tensors that training left in the file",
    ]


@pytest.mark.parametrize(
    "wrapper", ["module.", "_orig_mod.", "model.", "diffusion_model.", "model.module.", "state_dict.model._orig_mod."]
)
def test_wrapped_names_of_a_model_are_read(tmp_path: Path, tiny: tiny_checkpoints.TinyPaths, wrapper: str) -> None:
    file = written(
        tmp_path / "acestep_turbo.safetensors", {wrapper + name: t for name, t in load_file(tiny.model).items()}
    )
    found = inspect_model(file)
    assert_same(found, inspect_model(tiny.model))
    assert found.notes == ()


def test_the_vae_of_a_training_run_is_read(tmp_path: Path, tiny: tiny_checkpoints.TinyPaths) -> None:
    """As stable-audio-tools keeps it: wrapped, with the averaged one and the discriminator."""
    weights = load_file(tiny.vae)
    run = {f"autoencoder.{name}": tensor for name, tensor in weights.items()}
    run |= {f"autoencoder_ema.ema_model.{name}": tensor for name, tensor in averages(weights).items()}
    run |= {"discriminator.convs.0.weight": torch.zeros(2, 2)}
    found = inspect_vae(written(tmp_path / "my_vae.safetensors", run))
    assert_same(found, inspect_vae(tiny.vae))
    assert len(found.notes) == 2


def test_an_all_in_one_checkpoint_says_it_once_for_each_network(tmp_path: Path) -> None:
    file = tiny_checkpoints.write_tiny(tmp_path, "all_in_one").model
    found = written(tmp_path / "more_turbo.safetensors", load_file(file) | STATES)
    for inspect in INSPECT.values():
        assert_same(inspect(found), inspect(file))
        assert len(inspect(found).notes) == 1


def test_what_is_no_leftover_is_still_refused(tmp_path: Path, tiny: tiny_checkpoints.TinyPaths) -> None:
    weights = load_file(tiny.model)
    file = written(tmp_path / "acestep_turbo.safetensors", weights | {"vision.weight": torch.zeros(2)} | STATES)
    with pytest.raises(CheckpointError, match=r"no ACE-Step 1\.5 model has: vision\.weight\."):
        inspect_model(file)


def test_half_of_the_weights_and_their_averages_are_no_model(tmp_path: Path, tiny: tiny_checkpoints.TinyPaths) -> None:
    weights = load_file(tiny.model)
    twins = {f"ema.{name}": tensor for name, tensor in weights.items()}
    missing = "decoder.layers.1.mlp.up_proj.weight"
    file = written(tmp_path / "a_turbo.safetensors", {n: t for n, t in weights.items() if n != missing} | twins)
    with pytest.raises(CheckpointError, match=r"it lacks layers\.1\.mlp\.up_proj\.weight"):
        inspect_model(file)


def test_a_decoder_alone_is_named(tmp_path: Path, tiny: tiny_checkpoints.TinyPaths) -> None:
    decoder = {name: tensor for name, tensor in load_file(tiny.model).items() if name.startswith("decoder.")}
    with pytest.raises(
        CheckpointError, match="only the decoder of an ACE-Step 1.5 model, without its condition encoder"
    ):
        inspect_model(written(tmp_path / "acestep_turbo.safetensors", decoder))


@pytest.mark.parametrize("name", ["lm_head.weight", "model.lm_head.weight"])
def test_a_planner_may_hold_its_embedding_as_output_matrix(tmp_path: Path, name: str) -> None:
    """Side-Step merges its adapters into the planner, and some programs save tied weights twice."""
    weights = planner_weights(0)
    head = {name: weights["embed_tokens.weight"].clone()}
    file = written(tmp_path / "acestep-5Hz-lm-1.7B-artist.safetensors", weights | head)
    loaded_weights = loaded(inspect_planner(file))
    assert loaded_weights.keys() == weights.keys()
    head[name][1000, 3] += 1
    source = inspect_planner(written(file, weights | head))
    with pytest.raises(CheckpointError, match=r"an output matrix of its own \(lm_head\.weight\).*Save it with tied"):
        load_state_dict(source)
