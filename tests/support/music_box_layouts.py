"""The music box in the other published layouts, made from its official folders."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

from safetensors.torch import load_file
from tiny_checkpoints import (
    Layout,
    TinyModel,
    TinyPaths,
    diffusers_configs,
    diffusers_weights,
    save_shards,
    write_all_in_one,
    write_split_files,
)

from ace_core.music_box.files import MusicBoxFiles

SILENCE = "silence_latent"
SHARDS = 3


def write_layout(files: MusicBoxFiles, root: Path, layout: Layout) -> TinyPaths:
    """Write the music box under `root`, in any layout but "official", which it has, and say what to choose.

    ComfyUI's files carry the silence latent as a tensor, which those that are published do not: the metronome is in it.
    """
    root.mkdir(parents=True)
    model = _stored(files)
    if layout == "comfyui":
        return write_split_files(root, root, root, model)
    if layout == "all_in_one":
        return write_all_in_one(root, model)
    shards = SHARDS if layout.endswith("_sharded") else 1
    if layout == "official_sharded":
        folder = root / files.model.name
        folder.mkdir()
        shutil.copy(files.model / "config.json", folder)
        save_shards(folder, "model", model.model, shards)
        return TinyPaths(folder, files.text_encoder, files.vae)
    _write_pipeline(root, files, model, shards)
    return TinyPaths(root, root, root)


def _stored(files: MusicBoxFiles) -> TinyModel:
    weights = load_file(files.model / "model.safetensors")
    text_encoder = load_file(files.text_encoder / "model.safetensors")
    vae = load_file(files.vae / "diffusion_pytorch_model.safetensors")
    return TinyModel("2b", "turbo", weights, text_encoder, vae, weights[SILENCE])


def _write_pipeline(root: Path, files: MusicBoxFiles, model: TinyModel, shards: int) -> None:
    """Write a diffusers folder; without a tokenizer, as the music box has that of the package."""
    configs = diffusers_configs(json.loads((files.model / "config.json").read_text(encoding="utf-8")))
    for component, weights in diffusers_weights(model).items():
        if weights:
            (root / component).mkdir()
            (root / component / "config.json").write_text(json.dumps(configs[component]), encoding="utf-8")
            save_shards(root / component, "diffusion_pytorch_model", weights, shards)
    shutil.copytree(files.text_encoder, root / "text_encoder")
    shutil.copytree(files.vae, root / "vae")
    (root / "model_index.json").write_text(json.dumps({"_class_name": "AceStepPipeline"}), encoding="utf-8")
