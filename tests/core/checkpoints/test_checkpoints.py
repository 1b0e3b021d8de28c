"""Loading: every layout gives the same tensors, nothing is copied that need not be, and any layer classes work."""

from __future__ import annotations

import json
import shutil
import sys
from pathlib import Path
from typing import Any

import pytest
import tiny_checkpoints
import torch
from diffusers.models.transformers.ace_step_transformer import AceStepTransformer1DModel
from diffusers.pipelines.ace_step.modeling_ace_step import AceStepAudioTokenizer, AceStepConditionEncoder
from safetensors import safe_open
from safetensors.torch import load_file, save_file
from torch import Tensor, nn
from torch.nn.utils.parametrizations import weight_norm

from ace_core.checkpoints.files import CheckpointError
from ace_core.checkpoints.inspection import (
    ModelFiles,
    WeightSource,
    inspect_model,
    inspect_text_encoder,
    inspect_vae,
)
from ace_core.checkpoints.loading import build_network, fuse_weight_norm, load_state_dict, weight_key
from ace_core.checkpoints.registry import WeightRegistry
from ace_core.checkpoints.variants import read_variant

Layouts = dict[tuple[str, str], tiny_checkpoints.TinyPaths]


class CastingOps:
    """Layers that cast their weights to their input's dtype, as a host's do, and allocate nothing sensible."""

    class Linear(nn.Linear):
        def reset_parameters(self) -> None:
            pass

        def forward(self, input: Tensor) -> Tensor:
            bias = None if self.bias is None else self.bias.to(input)
            return nn.functional.linear(input, self.weight.to(input), bias)

    class Embedding(nn.Embedding):
        def reset_parameters(self) -> None:
            pass

    class RMSNorm(nn.RMSNorm):
        def forward(self, x: Tensor) -> Tensor:
            return nn.functional.rms_norm(x, self.normalized_shape, self.weight.to(x), self.eps)

    class Conv1d(nn.Conv1d):
        def forward(self, input: Tensor) -> Tensor:
            bias = None if self.bias is None else self.bias.to(input)
            return self._conv_forward(input, self.weight.to(input), bias)

    class ConvTranspose1d(nn.ConvTranspose1d):
        pass


@pytest.fixture(scope="module")
def layouts(tmp_path_factory: pytest.TempPathFactory) -> Layouts:
    return {
        (layout, size): tiny_checkpoints.write_tiny(tmp_path_factory.mktemp(f"{layout}_{size}"), layout, size=size)
        for layout in tiny_checkpoints.LAYOUTS
        for size in ("2b", "xl")
    }


def sources(paths: tiny_checkpoints.TinyPaths) -> dict[str, WeightSource[Any]]:
    model = inspect_model(paths.model)
    assert model.audio_tokenizer is not None
    return {
        "dit": model.dit,
        "condition_encoder": model.condition_encoder,
        "audio_tokenizer": model.audio_tokenizer,
        "text_encoder": inspect_text_encoder(paths.text_encoder),
        "vae": inspect_vae(paths.vae),
    }


def same_bits(a: Tensor, b: Tensor) -> bool:
    return a.dtype == b.dtype and a.shape == b.shape and torch.equal(a.view(torch.uint8), b.view(torch.uint8))


@pytest.mark.parametrize("size", ["2b", "xl"])
def test_all_layouts_load_to_the_same_bits(layouts: Layouts, size: str) -> None:
    reference = {role: load_state_dict(source) for role, source in sources(layouts["official", size]).items()}
    for layout in tiny_checkpoints.LAYOUTS[1:]:
        for role, source in sources(layouts[layout, size]).items():
            weights = load_state_dict(source)
            assert weights.keys() == reference[role].keys()
            assert [name for name in weights if not same_bits(weights[name], reference[role][name])] == []


def test_what_is_loaded_is_what_was_written(layouts: Layouts) -> None:
    model = tiny_checkpoints.tiny_model("xl", "turbo", 0)
    weights = load_state_dict(sources(layouts["diffusers", "xl"])["dit"])
    written = {
        name.removeprefix("decoder.").replace("proj_in.1", "proj_in").replace("proj_out.1", "proj_out"): tensor
        for name, tensor in model.model.items()
        if name.startswith("decoder.") or name == "null_condition_emb"
    }
    assert weights.keys() == written.keys()
    assert all(torch.equal(weights[name], written[name]) for name in weights)


def test_layout_size_and_kind_are_detected(layouts: Layouts) -> None:
    expected = {"official_sharded": "official", "diffusers_sharded": "diffusers"}
    for (layout, size), paths in layouts.items():
        model = inspect_model(paths.model)
        assert (model.layout, model.size, model.variant) == (expected.get(layout, layout), size, "turbo")
        assert model.condition_encoder.config.timbre_cls_token == (size == "xl")
        assert model.dit.dtype == torch.bfloat16


def test_diffusers_reads_the_same_pipeline_folder(
    layouts: Layouts,
) -> None:
    root = layouts["diffusers_sharded", "xl"].model
    ours = sources(layouts["diffusers_sharded", "xl"])
    renames = dict(to_q="q_proj", to_k="k_proj", to_v="v_proj", norm_q="q_norm", norm_k="k_norm")

    def canonical(name: str) -> str:
        name = name.replace("to_out.0", "o_proj").replace("_conv.", ".")
        return ".".join(renames.get(part, part) for part in name.split("."))

    for folder, peer, role, prefix in (
        ("transformer", AceStepTransformer1DModel, "dit", ""),
        ("condition_encoder", AceStepConditionEncoder, "condition_encoder", ""),
        ("audio_tokenizer", AceStepAudioTokenizer, "audio_tokenizer", "tokenizer."),
    ):
        weights = load_state_dict(ours[role])
        theirs = peer.from_pretrained(root / folder, torch_dtype=torch.bfloat16).state_dict()
        theirs = {prefix + canonical(name): tensor for name, tensor in theirs.items()}
        shared = weights.keys() & theirs.keys()
        assert theirs.keys() - shared <= {"silence_latent", "null_condition_emb"}
        assert weights.keys() - shared <= {"null_condition_emb"} | {n for n in weights if n.startswith("detokenizer.")}
        assert [name for name in shared if not torch.equal(weights[name], theirs[name])] == []


@pytest.mark.parametrize(
    ("chosen", "layout"),
    [
        ("model.safetensors", "official"),
        ("model.safetensors.index.json", "official_sharded"),
        ("model-00002-of-00003.safetensors", "official_sharded"),
        ("transformer", "diffusers"),
        ("condition_encoder/diffusion_pytorch_model.safetensors", "diffusers"),
        ("transformer/diffusion_pytorch_model.safetensors.index.json", "diffusers_sharded"),
    ],
)
def test_a_file_inside_a_folder_leads_to_the_whole_model(layouts: Layouts, chosen: str, layout: str) -> None:
    folder = layouts[layout, "2b"].model
    model, whole = inspect_model(folder / chosen), inspect_model(folder)
    assert model.variant == "turbo"
    assert model.settings == whole.settings
    assert model.silence == whole.silence
    assert {entry.tensor for entry in model.dit.entries.values()} == {
        entry.tensor for entry in whole.dit.entries.values()
    }


def test_a_bundle_folder_leads_to_its_networks(tmp_path: Path) -> None:
    paths = tiny_checkpoints.write_tiny(tmp_path, "official")
    assert inspect_model(tmp_path).path == paths.model
    assert inspect_text_encoder(tmp_path).path == paths.text_encoder / "model.safetensors"
    assert inspect_vae(tmp_path).path == paths.vae / "diffusion_pytorch_model.safetensors"
    shutil.copytree(paths.model, tmp_path / "acestep-v15-base")
    with pytest.raises(ValueError, match=r"holds acestep-v15-base, acestep-v15-turbo\. Choose one"):
        inspect_model(tmp_path)


def test_a_network_is_called_as_its_published_folder_or_its_file(tmp_path: Path) -> None:
    folders = tiny_checkpoints.write_tiny(tmp_path / "official", "official")
    assert inspect_model(folders.model).dit.name == inspect_model(folders.model / "model.safetensors").dit.name
    assert inspect_model(folders.model).dit.name == "acestep-v15-turbo"
    assert inspect_text_encoder(folders.text_encoder).name == "Qwen3-Embedding-0.6B"
    assert inspect_vae(folders.vae).name == "vae"
    files = tiny_checkpoints.write_tiny(tmp_path / "comfyui", "comfyui")
    assert inspect_text_encoder(files.text_encoder).name == files.text_encoder.name
    assert inspect_model(files.model).dit.name == files.model.name


def test_the_config_of_a_flat_directory_is_not_the_models(tmp_path: Path) -> None:
    model = tiny_checkpoints.write_tiny(tmp_path, "comfyui").model
    (tmp_path / "config.json").write_text(json.dumps({"num_hidden_layers": 99, "rope_theta": 5}))
    assert inspect_model(model).settings == {"lyric_alignment_layers_config": {"1": [2, 3], "2": [0]}}  # its header's
    assert inspect_model(model).dit.config.rope_theta == 1e6


def test_settings_that_shapes_do_not_tell_come_from_the_config(tmp_path: Path) -> None:
    folder = tiny_checkpoints.write_tiny(tmp_path, "official").model
    config = json.loads((folder / "config.json").read_text())
    del config["rope_theta"]
    config |= {"rope_parameters": {"rope_theta": 5e5}, "sliding_window": 64, "rms_norm_eps": 1e-5}
    (folder / "config.json").write_text(json.dumps(config))
    model = inspect_model(folder)
    for found in (model.dit.config, model.condition_encoder.config.encoder):
        assert (found.rope_theta, found.sliding_window, found.rms_norm_eps) == (5e5, 64, 1e-5)


@pytest.mark.parametrize(
    ("name", "settings", "kind"),
    [
        ("acestep-v15-turbo", {}, "turbo"),
        ("acestep-v15-turbo-shift1", {"is_turbo": True, "model_version": "turbo"}, "turbo-shift1"),
        ("acestep-v15-turbo-shift3", {}, "turbo-shift3"),
        ("acestep-v15-turbo-continuous", {"is_turbo": True}, "turbo-continuous"),
        ("acestep-v15-turbo-fix-inst-shift-continuous", {}, "turbo-continuous"),
        ("acestep-v15-turbo-rl", {}, "turbo"),
        ("acestep-v15-xl-sftturbo50", {}, "sft-turbo"),
        ("acestep_v1.5_xl_sft_turbo_int8", {"is_turbo": False}, "sft-turbo"),
        ("my_style_merged_turbo.safetensors", {}, "turbo"),
        ("downloaded.safetensors", {"model_version": "acestep_sft_turbo_merge 00001"}, "sft-turbo"),
        ("acestep_v1.5_xl_base_bf16.safetensors", {}, "base"),
        ("ACESTEP_SFT.safetensors", {}, "sft"),
        ("my_model.safetensors", {}, None),
        ("acestep_v1.5_merge_sft_turbo_ta_0.5.safetensors", {}, "sft-turbo"),
        ("anything", {"is_turbo": True}, "turbo"),
        ("anything", {"is_turbo": False, "model_version": "xl_sft"}, "sft"),
        ("acestep-v15-base", {"is_turbo": False, "model_version": None}, "base"),
        ("acestep-v15-turbo", {"is_turbo": False}, None),
        ("acestep-v15-turbo", {"model_version": "base"}, "base"),
    ],
)
def test_kind_comes_from_the_config_else_from_the_name(name: str, settings: dict[str, Any], kind: str | None) -> None:
    assert read_variant(name, settings) == (kind, None)


@pytest.mark.parametrize(
    ("name", "variant", "parents"),
    [
        ("acestep_v1.5_merge_base_turbo_ta_0.5.safetensors", "sft-turbo", "turbo and base"),
        ("acestep-v15-merge-base-sft-xl-ta-0.5", "sft", "base and sft"),
        ("acestep-v15-merge-base-sft-turbo-xl-thirds", "sft-turbo", "turbo and base and sft"),
        ("my_merge.safetensors", "sft-turbo", "of unnamed models"),
    ],
)
def test_an_unknown_merge_gets_a_guess_and_a_note(name: str, variant: str, parents: str) -> None:
    reading = read_variant(name, {})
    assert reading.variant == variant
    assert reading.note is not None and f"({parents})" in reading.note and f"like {variant}" in reading.note


def test_the_title_that_comfyui_saves_names_a_renamed_merge(tmp_path: Path) -> None:
    file = tiny_checkpoints.write_tiny(tmp_path, "comfyui", kind="base").model
    with safe_open(file, "pt") as opened:
        tensors = {name: opened.get_tensor(name) for name in opened.keys()}  # noqa: SIM118
        header = opened.metadata() or {}
    renamed = tmp_path / "downloaded.safetensors"
    save_file(tensors, renamed, header | {"modelspec.title": "audio/acestep_merge_sft_turbo 00001"})
    assert inspect_model(renamed).variant == "sft-turbo"


def test_the_stems_checkpoint_is_refused(tmp_path: Path) -> None:
    folder = tiny_checkpoints.write_tiny(tmp_path, "official").model
    config = json.loads((folder / "config.json").read_text())
    (folder / "config.json").write_text(json.dumps(config | {"is_lego_sft": True}))
    with pytest.raises(CheckpointError, match="is_lego_sft to True"):
        inspect_model(folder)


def test_a_renamed_split_file_has_no_kind(tmp_path: Path) -> None:
    file = tiny_checkpoints.write_tiny(tmp_path, "comfyui", kind="base").model
    assert inspect_model(file).variant == "base"
    assert inspect_model(file.rename(tmp_path / "downloaded.safetensors")).variant is None


def test_same_dtype_is_not_copied(layouts: Layouts, monkeypatch: pytest.MonkeyPatch) -> None:
    from ace_core.checkpoints import loading

    source = inspect_model(layouts["comfyui", "2b"].model).dit
    read: list[dict[str, Tensor]] = []

    def remember(*arguments: Any) -> dict[str, Tensor]:
        read.append(load_state_dict(*arguments))
        return read[-1]

    monkeypatch.setattr(loading, "load_state_dict", remember)
    network = build_network(source, ops=nn, dtype=torch.bfloat16)
    stored = {name: tensor for name, tensor in load_state_dict(source).items()}
    for name, parameter in network.named_parameters():
        assert parameter.data_ptr() == read[0][name].data_ptr()
        assert torch.equal(parameter, stored[name])
    if sys.platform == "linux":
        for tensor in read[0].values():
            assert mapped_file(tensor.data_ptr()) == str(layouts["comfyui", "2b"].model)


def mapped_file(address: int) -> str:
    """The file behind an address of this process."""
    for line in Path("/proc/self/maps").read_text().splitlines():
        bounds, *_, path = line.split(maxsplit=5) if line.count(" ") > 5 else [*line.split(), ""]
        start, end = (int(bound, 16) for bound in bounds.split("-"))
        if start <= address < end:
            return path.strip()
    return ""


def test_the_quantiser_stays_fp32(layouts: Layouts) -> None:
    model = inspect_model(layouts["comfyui", "2b"].model)
    assert model.audio_tokenizer is not None
    network = build_network(model.audio_tokenizer, ops=nn, dtype=torch.bfloat16)
    dtypes = {name: parameter.dtype for name, parameter in network.named_parameters()}
    assert {dtype for name, dtype in dtypes.items() if ".quantizer." in name} == {torch.float32}
    assert {dtype for name, dtype in dtypes.items() if ".quantizer." not in name} == {torch.bfloat16}


def test_networks_are_ready_to_run_and_to_train(layouts: Layouts) -> None:
    with torch.inference_mode():
        source = inspect_text_encoder(layouts["official", "2b"].text_encoder)
        network = build_network(source, ops=nn, dtype=torch.float32)
        assert network(torch.tensor([[1, 2, 3]]), torch.float32).isfinite().all()
        assert not any(tensor.is_inference() for tensor in load_state_dict(source).values())
    assert not network.training
    assert not any(parameter.requires_grad or parameter.is_inference() for parameter in network.parameters())
    assert not any(tensor.is_meta for tensor in network.state_dict().values())
    network.requires_grad_(True)
    network(torch.tensor([[1, 2, 3]]), torch.float32).sum().backward()
    assert network.layers[0].mlp.gate_proj.weight.grad is not None


def test_the_global_random_state_is_left_alone(layouts: Layouts) -> None:
    before = torch.random.get_rng_state()
    build_network(inspect_vae(layouts["official", "2b"].vae), ops=nn, dtype=torch.float32)
    assert torch.equal(before, torch.random.get_rng_state())


def test_casting_layers_take_plain_float8(layouts: Layouts, tmp_path: Path) -> None:
    weights = load_file(layouts["comfyui", "2b"].model)
    file = tmp_path / "acestep_v1.5_turbo_fp8_e4m3fn.safetensors"
    save_file({name: tensor.to(torch.float8_e4m3fn) for name, tensor in weights.items()}, file)
    source = inspect_model(file).condition_encoder
    assert source.dtype == torch.float8_e4m3fn
    with pytest.raises(ValueError, match="need layers that cast at use"):
        build_network(source, ops=nn, dtype=source.dtype)
    network = build_network(source, ops=CastingOps, dtype=source.dtype)
    dtypes = {name: parameter.dtype for name, parameter in network.named_parameters()}
    assert dtypes["lyric_encoder.layers.0.mlp.up_proj.weight"] == torch.float8_e4m3fn
    assert dtypes["lyric_encoder.layers.0.input_layernorm.weight"] == torch.bfloat16
    assert dtypes["timbre_encoder.special_token"] == torch.bfloat16

    inputs = torch.randn(5, 8), torch.randn(7, 8), [torch.randn(10, 64)]
    plain = build_network(source, ops=nn, dtype=torch.float32)
    with torch.no_grad():
        cast, converted = (net(inputs[0], inputs[1], inputs[2]) for net in (network, plain))
    torch.testing.assert_close(cast, converted)


def test_float8_embeddings_are_widened(layouts: Layouts, tmp_path: Path) -> None:
    weights = load_file(layouts["comfyui", "2b"].text_encoder)
    file = tmp_path / "qwen_fp8.safetensors"
    save_file({name: tensor.to(torch.float8_e4m3fn) for name, tensor in weights.items()}, file)
    source = inspect_text_encoder(file)
    assert load_state_dict(source, source.dtype)["embed_tokens.weight"].dtype == torch.bfloat16


def test_weight_norm_is_fused_as_torch_does() -> None:
    conv = weight_norm(nn.ConvTranspose1d(6, 4, 5), dim=0)
    gain, direction = conv.parametrizations.weight.original0, conv.parametrizations.weight.original1
    with torch.no_grad():
        gain.mul_(1.7)
    torch.testing.assert_close(fuse_weight_norm(direction, gain), conv.weight, rtol=1e-6, atol=1e-7)


def test_two_loaders_share_the_registrys_copy(layouts: Layouts) -> None:
    registry = WeightRegistry()

    def load(model: ModelFiles) -> nn.Module:
        key = weight_key(model.dit, torch.bfloat16)
        return registry.get(key, lambda: build_network(model.dit, ops=nn, dtype=torch.bfloat16))

    path = layouts["official", "2b"].model
    first = load(inspect_model(path))
    assert load(inspect_model(path / "model.safetensors")) is first
    assert load(inspect_model(layouts["official", "xl"].model)) is not first
    assert weight_key(inspect_model(path).dit, torch.float32) != weight_key(inspect_model(path).dit, torch.bfloat16)
    config = path / "config.json"
    config.write_text(config.read_text() + " ")
    assert load(inspect_model(path)) is not first


def test_everything_tiny_fits_in_30_megabytes(tmp_path: Path) -> None:
    written = tiny_checkpoints.write_host_models(tmp_path)
    assert sum(file.stat().st_size for file in tmp_path.rglob("*") if file.is_file()) < 30e6
    models = {name: inspect_model(paths.model) for name, paths in written.items()}
    assert {name: (model.size, model.variant) for name, model in models.items()} == {
        "comfyui": ("2b", "turbo"),
        "comfyui_base": ("2b", "base"),
        "comfyui_xl": ("xl", "turbo"),
        "all_in_one": ("2b", "turbo"),
        "official": ("2b", "turbo"),
        "diffusers": ("2b", "turbo"),
    }


@pytest.mark.parametrize("seed", range(4))
def test_tiny_vaes_decode_noise_to_audible_bounded_sound(tmp_path: Path, seed: int) -> None:
    vae = build_network(
        inspect_vae(tiny_checkpoints.write_tiny(tmp_path, "comfyui", seed=seed).vae), ops=nn, dtype=torch.float32
    )
    latents = torch.randn(1, 50, 64, generator=torch.Generator().manual_seed(seed))
    with torch.no_grad():
        waveform = vae.decode(latents)
    assert waveform.shape == (1, 2, 50 * 1920)
    assert 0.1 < waveform.abs().max() < 1
    assert waveform.mean().abs() < 0.01
