"""What ComfyUI saves, renamed files and community VAEs: which networks a file holds, and what goes with a model."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import tiny_checkpoints
import torch
from safetensors.torch import load_file, save_file
from tiny_planner import planner_weights, write_tiny_planner
from torch import Tensor

from ace_core.checkpoints import kinds
from ace_core.checkpoints.components import component_beside, folder_kind, holders_of, network_kinds
from ace_core.checkpoints.files import CheckpointError
from ace_core.checkpoints.inspection import inspect_model, inspect_planner, inspect_text_encoder, inspect_vae
from ace_core.checkpoints.loading import load_state_dict

MODEL = "model.diffusion_model."
Tensors = dict[str, Tensor]


@pytest.fixture(scope="module")
def tiny(tmp_path_factory: pytest.TempPathFactory) -> tiny_checkpoints.TinyPaths:
    return tiny_checkpoints.write_tiny(tmp_path_factory.mktemp("tiny"), "comfyui")


def prefixed(path: Path, prefix: str) -> Tensors:
    return {prefix + name: tensor for name, tensor in load_file(path).items()}


def saved_model(path: Path, tiny: tiny_checkpoints.TinyPaths, **graph: str) -> Path:
    """What ComfyUI's Save Model writes: the diffusion model alone, and the graph in the header."""
    nodes = {name: {"class_type": "UNETLoader", "inputs": {"unet_name": file}} for name, file in graph.items()}
    save_file(prefixed(tiny.model, MODEL), path, metadata={"prompt": json.dumps(nodes)})
    return path


def saved_text_encoders(tiny: tiny_checkpoints.TinyPaths) -> Tensors:
    """What its Save CLIP writes: both language models in one file, each behind its name."""
    planner = {f"qwen3_2b.transformer.model.{name}": tensor for name, tensor in planner_weights(0).items()}
    return {
        **prefixed(tiny.text_encoder, "qwen3_06b.transformer."),
        **planner,
        "qwen3_06b.logit_scale": torch.tensor(4.6),
        "qwen3_2b.logit_scale": torch.tensor(4.6),
    }


def test_a_merge_of_save_model_brings_no_text_encoder_and_no_vae(
    tmp_path: Path, tiny: tiny_checkpoints.TinyPaths
) -> None:
    """Comfy-Org/ComfyUI issue 13637."""
    path = saved_model(tmp_path / "my_merge_turbo_00001_.safetensors", tiny)
    model = inspect_model(path)
    assert network_kinds(path) == (kinds.MODEL,)
    assert component_beside(model, kinds.TEXT_ENCODER) is None and component_beside(model, kinds.VAE) is None
    expected, found = (load_state_dict(source.dit) for source in (inspect_model(tiny.model), model))
    assert all(torch.equal(found[name], tensor) for name, tensor in expected.items())
    with pytest.raises(CheckpointError, match=r"holds no text encoder, only model\. Choose the text encoder Qwen3"):
        inspect_text_encoder(path)
    with pytest.raises(CheckpointError, match=r"holds no VAE, only model\."):
        inspect_vae(path)
    with pytest.raises(CheckpointError, match=r"holds no planner, only model\."):
        inspect_planner(path)


def test_a_checkpoint_of_save_checkpoint_brings_what_it_holds(tmp_path: Path, tiny: tiny_checkpoints.TinyPaths) -> None:
    text = {f"text_encoders.{name}": tensor for name, tensor in saved_text_encoders(tiny).items()}
    path, without = tmp_path / "my_turbo_00001_.safetensors", tmp_path / "without_vae_turbo.safetensors"
    save_file({**prefixed(tiny.model, MODEL), **text, **prefixed(tiny.vae, "vae.")}, path)
    save_file({**prefixed(tiny.model, MODEL), **text}, without)
    assert network_kinds(path) == (kinds.MODEL, kinds.TEXT_ENCODER, kinds.PLANNER, kinds.VAE)
    assert component_beside(inspect_model(path), kinds.VAE) == path
    assert component_beside(inspect_model(without), kinds.VAE) is None
    assert component_beside(inspect_model(without), kinds.TEXT_ENCODER) == without
    for inspect in (inspect_text_encoder, inspect_planner, inspect_vae):
        assert inspect(path).layout == "all_in_one"


def test_the_file_of_save_clip_holds_text_encoder_and_planner(tmp_path: Path, tiny: tiny_checkpoints.TinyPaths) -> None:
    path = tmp_path / "ComfyUI_00001_.safetensors"
    save_file(saved_text_encoders(tiny), path)
    assert network_kinds(path) == (kinds.TEXT_ENCODER, kinds.PLANNER)
    expected = load_state_dict(inspect_text_encoder(tiny.text_encoder))
    found = load_state_dict(inspect_text_encoder(path))
    assert found.keys() == expected.keys()
    assert all(torch.equal(found[name], tensor) for name, tensor in expected.items())
    assert load_state_dict(inspect_planner(path)).keys() == planner_weights(0).keys()
    with pytest.raises(CheckpointError, match=r"holds no model, only text encoder and planner\. Choose an ACE-Step"):
        inspect_model(path)


@pytest.mark.parametrize(
    ("name", "sources", "variant", "noted"),
    [
        (
            "mine_00001_.safetensors",
            ("acestep_v1.5_turbo.safetensors", "sub/acestep_v1.5_sft.safetensors"),
            "sft-turbo",
            True,
        ),
        ("mine_00001_.safetensors", ("ACE\\acestep_v1.5_base.safetensors",), "base", True),
        ("my_merge.safetensors", ("acestep_v1.5_base.safetensors", "acestep_v1.5_sft.safetensors"), "sft", True),
        ("mine_turbo_00001_.safetensors", ("acestep_v1.5_turbo.safetensors",), "turbo", False),
        ("acestep_merge_sft_turbo.safetensors", ("a_turbo.safetensors", "b_base.safetensors"), "sft-turbo", False),
        ("mine_00001_.safetensors", ("somebody.safetensors",), None, False),
        ("mine_turbo.safetensors", ("somebody.safetensors",), "turbo", False),
    ],
)
def test_a_saved_model_is_of_the_variant_it_was_made_from(
    tmp_path: Path,
    tiny: tiny_checkpoints.TinyPaths,
    name: str,
    sources: tuple[str, ...],
    variant: str | None,
    noted: bool,
) -> None:
    path = saved_model(tmp_path / name, tiny, **{str(number): source for number, source in enumerate(sources)})
    model = inspect_model(path)
    assert model.variant == variant
    assert (model.variant_note is not None) == noted
    if noted:
        assert f"{name} was saved from " in str(model.variant_note)


@pytest.mark.parametrize("prompt", ["", "[", "[1]", '{"1": 2}', '{"1": {"inputs": {"unet_name": 5}}}'])
def test_a_header_without_a_graph_says_nothing(tmp_path: Path, tiny: tiny_checkpoints.TinyPaths, prompt: str) -> None:
    path = tmp_path / "mine_00001_.safetensors"
    save_file(prefixed(tiny.model, MODEL), path, metadata={"prompt": prompt})
    assert inspect_model(path).variant is None


def test_renamed_files_are_known_by_what_is_in_them(tmp_path: Path, tiny: tiny_checkpoints.TinyPaths) -> None:
    names = {"one.safetensors": tiny.text_encoder, "two.safetensors": tiny.vae, "three.safetensors": tiny.model}
    paths = []
    for name, path in names.items():
        paths.append(tmp_path / name)
        paths[-1].write_bytes(path.read_bytes())
    (tmp_path / "broken.safetensors").write_bytes(b"GGUF" + bytes(60))
    paths.append(tmp_path / "broken.safetensors")
    assert holders_of(kinds.TEXT_ENCODER, paths) == [paths[0]]
    assert holders_of(kinds.VAE, paths) == [paths[1]]
    assert holders_of(kinds.PLANNER, paths) == []
    paths[0].write_bytes(tiny.vae.read_bytes())
    assert holders_of(kinds.VAE, paths) == paths[:2]


def test_a_community_vae_of_the_same_file_name_is_called_as_its_folder(
    tmp_path: Path, tiny: tiny_checkpoints.TinyPaths
) -> None:
    """ScragVAE: config.json and diffusion_pytorch_model.safetensors, as the official folder has them."""
    official = tiny_checkpoints.write_tiny(tmp_path / "official", "official").vae
    folder = tmp_path / "Ace-Step-1.5-ScragVAE"
    folder.mkdir()
    for file in official.iterdir():
        (folder / file.name).write_bytes(file.read_bytes())
    assert folder_kind(folder / "config.json") == kinds.VAE
    assert inspect_vae(folder / "diffusion_pytorch_model.safetensors").name == "Ace-Step-1.5-ScragVAE"


def test_folders_are_known_by_their_configs(tmp_path: Path) -> None:
    paths = tiny_checkpoints.write_tiny(tmp_path / "official", "official")
    planner = write_tiny_planner(tmp_path / "planner", "official")
    found = [folder_kind(path / "config.json") for path in (paths.model, paths.text_encoder, paths.vae, planner)]
    assert found == [kinds.MODEL, kinds.TEXT_ENCODER, kinds.VAE, kinds.PLANNER]
    for content in ("[]", "{", '{"architectures": []}', '{"architectures": "x", "vocab_size": []}', "{}"):
        (tmp_path / "config.json").write_text(content, encoding="utf-8")
        assert folder_kind(tmp_path / "config.json") is None
    chat = {"architectures": ["Qwen3ForCausalLM"], "vocab_size": kinds.CHAT_MODEL_ROWS}
    (tmp_path / "config.json").write_text(json.dumps(chat), encoding="utf-8")
    assert folder_kind(tmp_path / "config.json") is None
    assert folder_kind(tmp_path / "gone.json") is None


def test_an_official_bundle_and_a_pipeline_bring_what_lies_beside(tmp_path: Path) -> None:
    official = tiny_checkpoints.write_tiny(tmp_path / "official", "official")
    pipeline = tiny_checkpoints.write_tiny(tmp_path / "pipeline", "diffusers").model
    assert component_beside(inspect_model(official.model), kinds.VAE) == official.vae
    assert component_beside(inspect_model(official.model), kinds.TEXT_ENCODER) == official.text_encoder
    assert component_beside(inspect_model(pipeline), kinds.VAE) == pipeline
    assert network_kinds(pipeline) == (kinds.MODEL, kinds.TEXT_ENCODER, kinds.VAE)
    (pipeline / "vae").rename(tmp_path / "elsewhere")
    assert component_beside(inspect_model(pipeline), kinds.VAE) is None
