"""Wrong, damaged and unfinished files: each is refused with a sentence, and nothing is misread."""

from __future__ import annotations

import json
import shutil
import struct
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import tiny_checkpoints
import torch
from safetensors import safe_open
from safetensors.torch import load_file, save_file
from torch import Tensor

from ace_core.checkpoints.files import CheckpointError
from ace_core.checkpoints.inspection import (
    check_compatible,
    inspect_model,
    inspect_planner,
    inspect_text_encoder,
    inspect_vae,
)
from ace_core.checkpoints.loading import load_state_dict
from ace_core.checkpoints.silence import load_silence

Inspect = Callable[[Path], Any]


@pytest.fixture(scope="module")
def comfyui(tmp_path_factory: pytest.TempPathFactory) -> tiny_checkpoints.TinyPaths:
    return tiny_checkpoints.write_tiny(tmp_path_factory.mktemp("comfyui"), "comfyui")


@pytest.fixture(scope="module")
def sharded(tmp_path_factory: pytest.TempPathFactory) -> tiny_checkpoints.TinyPaths:
    return tiny_checkpoints.write_tiny(tmp_path_factory.mktemp("sharded"), "official_sharded")


def save(path: Path, tensors: dict[str, Tensor], metadata: dict[str, str] | None = None) -> Path:
    save_file(tensors, path, metadata)
    return path


def fake(path: Path, **shapes: tuple[int, ...]) -> Path:
    """A valid file with zero tensors of these names (double underscores stand for dots)."""
    return save(path, {name.replace("__", "."): torch.zeros(shape) for name, shape in shapes.items()})


def refusal(inspect: Inspect, path: Path) -> str:
    with pytest.raises(CheckpointError) as caught:
        inspect(path)
    message = str(caught.value)
    assert path.name in message
    assert message.endswith(".")
    return message


# Files of another kind


def test_language_model_as_text_encoder_and_the_reverse(tmp_path: Path, comfyui: tiny_checkpoints.TinyPaths) -> None:
    weights = load_file(comfyui.text_encoder)
    weights["model.embed_tokens.weight"] = torch.zeros(217_204, 8, dtype=torch.bfloat16)
    planner = save(tmp_path / "qwen_4b_ace15.safetensors", weights)
    message = refusal(inspect_text_encoder, planner)
    assert "5 Hz language model (the planner, 217204 tokens)" in message
    assert "qwen_0.6b_ace15.safetensors" in message
    message = refusal(inspect_planner, comfyui.text_encoder)
    assert "is the text encoder Qwen3-Embedding-0.6B" in message
    assert "acestep-5Hz-lm" in message
    assert inspect_planner(planner).role == "planner"


def test_qwen3_chat_model_is_not_the_embedding_model(tmp_path: Path, comfyui: tiny_checkpoints.TinyPaths) -> None:
    weights = load_file(comfyui.text_encoder)
    weights["model.embed_tokens.weight"] = torch.zeros(151_936, 8, dtype=torch.bfloat16)
    message = refusal(inspect_text_encoder, save(tmp_path / "qwen_3_06b_base.safetensors", weights))
    assert "a Qwen3 chat model (151936 tokens)" in message


@pytest.mark.parametrize(
    ("inspect", "given", "description"),
    [
        (inspect_model, "text_encoder", "is the text encoder Qwen3-Embedding-0.6B"),
        (inspect_model, "vae", "is the ACE-Step 1.5 VAE"),
        (inspect_text_encoder, "model", "is the ACE-Step 1.5 model itself"),
        (inspect_text_encoder, "vae", "is the ACE-Step 1.5 VAE"),
        (inspect_vae, "model", "is the ACE-Step 1.5 model itself"),
        (inspect_vae, "text_encoder", "is the text encoder Qwen3-Embedding-0.6B"),
    ],
)
def test_networks_in_one_anothers_place(
    comfyui: tiny_checkpoints.TinyPaths, inspect: Inspect, given: str, description: str
) -> None:
    message = refusal(inspect, getattr(comfyui, given))
    assert description in message
    assert "Choose " in message


def test_ace_step_1_0(tmp_path: Path) -> None:
    file = fake(tmp_path / "ace_step_v1_3.5b.safetensors", genre_embedder__weight=(4, 4), lyric_embs__weight=(4, 4))
    assert "an ACE-Step 1.0 checkpoint" in refusal(inspect_model, file)
    everything = {"model.diffusion_model.genre_embedder.weight": torch.zeros(4, 4), "vae.x": torch.zeros(1)}
    assert "an ACE-Step 1.0 checkpoint" in refusal(inspect_model, save(tmp_path / "all.safetensors", everything))
    vae = fake(tmp_path / "ace_step_vae.safetensors", vocoder__backbone__norm__weight=(4,))
    assert "the VAE of ACE-Step 1.0" in refusal(inspect_vae, vae)


@pytest.mark.parametrize(
    "name",
    [
        "base_model.model.layers.0.self_attn.q_proj.lora_A.weight",
        "diffusion_model.decoder.layers.0.self_attn.q_proj.lora_down.weight",
        "lora_unet_decoder_layers_0_self_attn_q_proj.lora_up.weight",
        "lycoris_layers_0_self_attn_q_proj.lokr_w1",
        "transformer.layers.0.cross_attn.to_q.lora_B.default.weight",
    ],
)
def test_adapters(tmp_path: Path, name: str) -> None:
    file = save(tmp_path / "style.safetensors", {name: torch.zeros(4, 4)})
    assert "a LoRA or LoKr adapter" in refusal(inspect_model, file)


def test_a_peft_folder_is_an_adapter_too(tmp_path: Path) -> None:
    folder = tmp_path / "adapter"
    folder.mkdir()
    save(folder / "adapter_model.safetensors", {"base_model.model.layers.0.mlp.lora_A.weight": torch.zeros(2, 2)})
    assert "a LoRA or LoKr adapter" in refusal(inspect_model, folder)


def test_an_unknown_model(tmp_path: Path) -> None:
    message = refusal(inspect_model, fake(tmp_path / "flux.safetensors", double_blocks__0__img_attn=(4, 4)))
    assert "double_blocks.0.img_attn" in message
    message = refusal(inspect_model, fake(tmp_path / "sd.safetensors", model__diffusion_model__out=(4,)))
    assert "a checkpoint of another model" in message


def test_one_component_of_a_pipeline_without_the_others(tmp_path: Path) -> None:
    pipeline = tiny_checkpoints.write_tiny(tmp_path, "diffusers").model
    lone = tmp_path / "transformer_only"
    shutil.copytree(pipeline / "transformer", lone)
    assert "only the transformer of a diffusers folder" in refusal(inspect_model, lone)


def test_a_vae_with_another_frame_rate(tmp_path: Path, comfyui: tiny_checkpoints.TinyPaths) -> None:
    weights = load_file(comfyui.vae)
    name = "encoder.layers.4.layers.4.parametrizations.weight.original1"  # stride 6 becomes 8
    weights[name] = torch.zeros(*weights[name].shape[:2], 16, dtype=torch.bfloat16)
    message = refusal(inspect_vae, save(tmp_path / "stable_audio.safetensors", weights))
    assert "2560 samples a frame" in message


# Files that are not safetensors, or not all of it


@pytest.mark.parametrize(
    ("name", "content", "sentence"),
    [
        ("acestep.gguf", b"GGUF\x03\x00\x00\x00" + bytes(64), "a GGUF file"),
        ("renamed.safetensors", b"GGUF\x03\x00\x00\x00" + bytes(64), "a GGUF file"),
        ("model.ckpt", b"PK\x03\x04" + bytes(64), "a PyTorch pickle"),
        ("model.pt", b"\x80\x02}q\x00." + bytes(64), "a PyTorch pickle"),
        ("page.safetensors", b"<!DOCTYPE html><html><body>Sign in</body></html>", "a web page"),
        ("empty.safetensors", b"", "is empty"),
        ("noise.safetensors", bytes(range(256)), "not a safetensors file"),
        ("broken.safetensors", struct.pack("<Q", 4) + b"{abc", "damaged safetensors header"),
        (
            "pointer.safetensors",
            b"version https://git-lfs.github.com/spec/v1\noid sha256:00\nsize 4800000000\n",
            "git-lfs pointer",
        ),
    ],
)
def test_other_formats(tmp_path: Path, name: str, content: bytes, sentence: str) -> None:
    file = tmp_path / name
    file.write_bytes(content)
    assert sentence in refusal(inspect_model, file)


@pytest.mark.parametrize("keep", [0.3, 0.999, 20])
def test_unfinished_downloads(tmp_path: Path, comfyui: tiny_checkpoints.TinyPaths, keep: float) -> None:
    content = comfyui.model.read_bytes()
    file = tmp_path / "acestep_v1.5_turbo.safetensors"
    file.write_bytes(content[: keep if isinstance(keep, int) else int(keep * len(content))])
    message = refusal(inspect_model, file)
    assert "is cut off" in message
    assert "Download it again" in message
    file.write_bytes(content + b"more")
    assert "is too long" in refusal(inspect_model, file)


def test_a_missing_path_and_an_empty_folder(tmp_path: Path) -> None:
    for inspect in (inspect_model, inspect_text_encoder, inspect_vae):
        assert "does not exist" in refusal(inspect, tmp_path / "gone.safetensors")
        assert "holds no weights" in refusal(inspect, tmp_path)
    (tmp_path / "acestep-v15-turbo-Q8_0.gguf").write_bytes(b"GGUF")
    with pytest.raises(CheckpointError, match="is a GGUF file"):
        inspect_model(tmp_path)


def test_a_folder_of_several_files(tmp_path: Path) -> None:
    for name in ("a", "b"):
        fake(tmp_path / f"{name}.safetensors", x=(1,))
    assert "several weight files (a.safetensors, b.safetensors)" in refusal(inspect_model, tmp_path)


def test_a_missing_shard_is_named(tmp_path: Path, sharded: tiny_checkpoints.TinyPaths) -> None:
    folder = tmp_path / "acestep-v15-turbo"
    shutil.copytree(sharded.model, folder)
    (folder / "model-00002-of-00003.safetensors").unlink()
    message = refusal(inspect_model, folder)
    assert "model-00002-of-00003.safetensors, which is not there" in message
    (folder / "model.safetensors.index.json").unlink()
    message = refusal(inspect_model, folder / "model-00001-of-00003.safetensors")
    assert "model.safetensors.index.json is missing" in message


def test_an_index_cannot_point_outside_its_folder(tmp_path: Path) -> None:
    index = tmp_path / "model.safetensors.index.json"
    for name in ("../secret.safetensors", "/etc/passwd", "a\\b.safetensors"):
        index.write_text(json.dumps({"weight_map": {"x": name}}))
        assert "not a plain file name" in refusal(inspect_model, index)


def test_an_index_that_disagrees_with_its_shards(tmp_path: Path) -> None:
    fake(tmp_path / "model-00001-of-00001.safetensors", a=(1,))
    index = tmp_path / "model.safetensors.index.json"
    index.write_text(json.dumps({"weight_map": {"b": "model-00001-of-00001.safetensors"}}))
    assert "disagree about b" in refusal(inspect_model, index)
    index.write_text("[]")
    assert "should hold a JSON object" in refusal(inspect_model, index)
    index.write_text("{")
    assert "cannot be read as JSON" in refusal(inspect_model, index)


# Every tensor accounted for


def test_missing_unexpected_and_misshapen_tensors_are_named(
    tmp_path: Path, comfyui: tiny_checkpoints.TinyPaths
) -> None:
    weights = load_file(comfyui.model)
    file = tmp_path / "damaged.safetensors"

    lost = [name for name in weights if name.startswith("decoder.layers.1.")]
    assert len(lost) == 19
    message = refusal(inspect_model, save(file, {name: weights[name] for name in weights if name not in lost}))
    assert "it lacks layers.1.cross_attn.k_norm.weight, " in message
    assert "(19 in all)" in message

    message = refusal(inspect_model, save(file, weights | {"decoder.layers.0.extra.weight": torch.zeros(3)}))
    assert "unknown decoder.layers.0.extra.weight" in message
    message = refusal(inspect_model, save(file, weights | {"vision.weight": torch.zeros(3)}))
    assert "no ACE-Step 1.5 model has: vision.weight" in message

    name = "decoder.layers.2.mlp.down_proj.weight"
    wrong = {name: torch.zeros(64, 90, dtype=torch.bfloat16)}
    message = refusal(inspect_model, save(file, weights | wrong))
    assert f"{name} [64, 90] instead of [64, 96]" in message


@pytest.mark.parametrize(
    "name", ["decoder.proj_in.1.weight", "encoder.text_projector.weight", "encoder.lyric_encoder.norm.weight"]
)
def test_a_lost_tensor_the_config_is_read_from_is_named_too(
    tmp_path: Path, comfyui: tiny_checkpoints.TinyPaths, name: str
) -> None:
    weights = load_file(comfyui.model)
    del weights[name]
    message = refusal(inspect_model, save(tmp_path / "damaged.safetensors", weights))
    assert "lacks " + name.split(".", 1)[1].replace("proj_in.1", "proj_in") in message


def test_layers_announced_by_the_config_must_be_there(tmp_path: Path) -> None:
    folder = tiny_checkpoints.write_tiny(tmp_path, "official").model
    config = json.loads((folder / "config.json").read_text())
    config["num_hidden_layers"] = 5
    (folder / "config.json").write_text(json.dumps(config))
    message = refusal(inspect_model, folder)
    assert "it lacks layers.4." in message


@pytest.mark.parametrize(
    ("setting", "value"),
    [
        ("rope_scaling", {"type": "yarn"}),
        ("hidden_act", "gelu"),
        ("use_sliding_window", False),
        ("layer_types", ["full_attention"] * 4),
        ("rope_parameters", {"rope_type": "yarn", "rope_theta": 1e6}),
    ],
)
def test_settings_the_networks_do_not_compute(tmp_path: Path, setting: str, value: object) -> None:
    folder = tiny_checkpoints.write_tiny(tmp_path, "official").model
    config = json.loads((folder / "config.json").read_text()) | {setting: value}
    (folder / "config.json").write_text(json.dumps(config))
    message = refusal(inspect_model, folder)
    assert setting.replace("rope_parameters", "rope_type") in message


def test_networks_of_different_models_do_not_fit_together(tmp_path: Path, comfyui: tiny_checkpoints.TinyPaths) -> None:
    model = inspect_model(comfyui.model)
    check_compatible(model, inspect_text_encoder(comfyui.text_encoder))
    weights = load_file(comfyui.text_encoder)
    wide = {}
    for name, tensor in weights.items():
        sizes = [2 * size if size == 8 and "_norm" not in name.split(".")[-2] else size for size in tensor.shape]
        wide[name] = torch.zeros(sizes, dtype=torch.bfloat16)
    text_encoder = inspect_text_encoder(save(tmp_path / "wide.safetensors", wide))
    with pytest.raises(CheckpointError, match=r"is 16 wide but .* expects 8"):
        check_compatible(model, text_encoder)


# Quantised and damaged numbers


@pytest.mark.parametrize(
    ("extra", "metadata"),
    [
        ({"scaled_fp8": torch.zeros(0)}, None),
        ({"decoder.layers.0.mlp.up_proj.scale_weight": torch.ones(1)}, None),
        ({"decoder.layers.0.mlp.up_proj.weight_scale": torch.ones(1)}, None),
        ({"decoder.layers.0.mlp.up_proj.comfy_quant": torch.zeros(8, dtype=torch.uint8)}, None),
        ({"decoder.layers.0.mlp.up_proj.weight.absmax": torch.ones(4)}, None),
        (
            {"decoder.layers.0.mlp.up_proj.weight.quant_state.bitsandbytes__nf4": torch.zeros(4, dtype=torch.uint8)},
            None,
        ),
        ({"decoder.layers.0.mlp.up_proj.weight": torch.zeros(96, 64, dtype=torch.int8)}, None),
        ({}, {"_quantization_metadata": "{}"}),
    ],
)
def test_quantised_files_are_refused(
    tmp_path: Path,
    comfyui: tiny_checkpoints.TinyPaths,
    extra: dict[str, Tensor],
    metadata: dict[str, str] | None,
) -> None:
    file = save(tmp_path / "acestep_v1.5_turbo_fp8_scaled.safetensors", load_file(comfyui.model) | extra, metadata)
    message = refusal(inspect_model, file)
    assert "is quantised (" in message
    assert "Use the bf16 file" in message


def test_a_quantised_planner_beside_plain_networks_is_left_alone(tmp_path: Path) -> None:
    file = tiny_checkpoints.write_tiny(tmp_path, "all_in_one").model
    planner = {"text_encoders.qwen3_2b.transformer.model.layers.0.mlp.up_proj.weight_scale": torch.ones(1)}
    file = save(tmp_path / "mixed.safetensors", load_file(file) | planner, {"_quantization_metadata": "{}"})
    assert inspect_model(file).layout == "all_in_one"
    assert inspect_text_encoder(file).layout == "all_in_one"
    assert inspect_vae(file).layout == "all_in_one"
    message = refusal(inspect_model, save(file, load_file(file) | {"control_model.x": torch.ones(1)}))
    assert "no all-in-one checkpoint has: control_model.x" in message


@pytest.mark.parametrize("value", [float("nan"), float("inf"), float("-inf")])
@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16, torch.float32, torch.float8_e5m2])
def test_nan_and_infinity_are_named(
    tmp_path: Path, comfyui: tiny_checkpoints.TinyPaths, dtype: torch.dtype, value: float
) -> None:
    weights = load_file(comfyui.model)
    name = "decoder.layers.3.mlp.up_proj.weight"
    damaged = weights[name].clone()
    damaged[17, 29] = value
    file = save(tmp_path / "damaged.safetensors", weights | {name: damaged.to(dtype)})
    source = inspect_model(file).dit
    with pytest.raises(CheckpointError, match=f"NaN or infinity in {name}"):
        load_state_dict(source)


def test_nan_in_float8_e4m3(tmp_path: Path, comfyui: tiny_checkpoints.TinyPaths) -> None:
    weights = load_file(comfyui.model)
    name = "decoder.layers.3.mlp.up_proj.weight"
    plain = weights[name].to(torch.float8_e4m3fn)
    load_state_dict(inspect_model(save(tmp_path / "plain.safetensors", weights | {name: plain})).dit)
    plain.view(torch.uint8)[17, 29] = 0xFF
    with pytest.raises(CheckpointError, match=f"NaN or infinity in {name}"):
        load_state_dict(inspect_model(save(tmp_path / "nan.safetensors", weights | {name: plain})).dit)


def test_large_finite_weights_pass(tmp_path: Path, comfyui: tiny_checkpoints.TinyPaths) -> None:
    weights = load_file(comfyui.model)
    name = "decoder.layers.3.mlp.up_proj.weight"
    weights[name] = torch.full_like(weights[name], torch.finfo(torch.bfloat16).max)
    load_state_dict(inspect_model(save(tmp_path / "large.safetensors", weights)).dit)


def test_a_file_replaced_between_inspection_and_loading(tmp_path: Path, comfyui: tiny_checkpoints.TinyPaths) -> None:
    file = Path(shutil.copy(comfyui.model, tmp_path / "acestep_v1.5_turbo.safetensors"))
    source = inspect_model(file).dit
    fake(file, x=(1,))
    with pytest.raises(CheckpointError, match="changed while it was being read"):
        load_state_dict(source)


# Silence latents


@pytest.mark.parametrize(
    "content",
    [
        {"silence": torch.zeros(1, 64, 100)},
        torch.zeros(1, 64, 100, dtype=torch.bfloat16),
        torch.zeros(64, 100),
        torch.zeros(1, 32, 100),
        torch.full((1, 64, 100), float("nan")),
    ],
    ids=["dictionary", "bf16", "two dimensions", "32 channels", "NaN"],
)
def test_wrong_silence_latents(tmp_path: Path, content: object) -> None:
    folder = tiny_checkpoints.write_tiny(tmp_path, "official").model
    torch.save(content, folder / "silence_latent.pt")
    with pytest.raises(CheckpointError, match=r"silence_latent\.pt"):
        load_silence(inspect_model(folder))


def test_a_silence_latent_that_runs_code_is_not_unpickled(tmp_path: Path) -> None:
    class Payload:
        def __reduce__(self) -> tuple[Any, ...]:
            return (Path.touch, (tmp_path / "executed",))

    folder = tiny_checkpoints.write_tiny(tmp_path, "official").model
    torch.save(Payload(), folder / "silence_latent.pt")
    with pytest.raises(CheckpointError, match="cannot be read as a tensor"):
        load_silence(inspect_model(folder))
    assert not (tmp_path / "executed").exists()


def test_headers_agree_with_the_safetensors_library(comfyui: tiny_checkpoints.TinyPaths) -> None:
    with safe_open(comfyui.model, framework="pt") as file:
        names = set(file.keys())
        entries = inspect_model(comfyui.model).dit.entries.values()
        for entry in entries:
            assert entry.tensor.name in names
            assert list(entry.shape) == file.get_slice(entry.tensor.name).get_shape()
            assert entry.tensor.dtype == file.get_slice(entry.tensor.name).get_dtype()
