"""Training inside a ComfyUI's own Python modules, without a server; see inside_comfyui.py.

python tests/inside/inside_train.py COMFYUI BASE_DIRECTORY
"""

from __future__ import annotations

import gc
import importlib
import weakref
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
from inside_comfyui import execute, load_models, main, management, node_output, pack_module, replaced
from inside_lora import conditions_of, distance, forget, lora, sample, weights_hash
from safetensors import safe_open
from safetensors.torch import load_file

STEPS = 6


def data(base_model: str = "acestep-v15-turbo") -> Any:
    """Three random clips, as Preprocess writes them."""
    module = pack_module("ace_core.dataset.samples")
    folder = output_folder() / "data" / base_model
    folder.mkdir(parents=True, exist_ok=True)
    generator = torch.Generator().manual_seed(0)
    entries = []
    for frames in (60, 61, 80):
        latents, packed, source = (
            torch.randn(size, generator=generator) for size in ((frames, 64), (12, 64), (frames, 64))
        )
        module.write_sample(folder / f"{frames}.safetensors", module.TrainingSample(latents, packed, source))
        entries.append(module.SampleEntry(f"{frames}.safetensors", f"{frames}.wav", frames / 25, "a song"))
    module.write_manifest(folder, module.Manifest("songs", base_model, "zukkelpop", "hash of songs", tuple(entries)))
    return pack_module("nodes.wires").AceTrainingData(folder, module.read_manifest(folder))


def output_folder() -> Path:
    return Path(importlib.import_module("folder_paths").get_output_directory())


def lora_path(name: str) -> Path:
    return Path(importlib.import_module("folder_paths").get_full_path("loras", name))


def inputs(name: str, **changes: Any) -> dict[str, Any]:
    given = {"adapter": "LoRA", "preset": "auto", "rank": 4, "steps": STEPS, "learning_rate": 0.02, "seed": 1}
    given |= {"sample_every": 0, "batch_size": 2, "accumulation": 1, "warm_up": 1, "name": name}
    return given | changes


def train(model: Any, name: str, **changes: Any) -> tuple[Any, ...]:
    return execute("AceComposerTrainLora", model=model, data=data(), **inputs(name, **changes))


def states(name: str) -> list[Path]:
    return sorted((output_folder() / "ace_step_training_runs" / name).glob("*"))


# Cases


def training() -> dict[str, Any]:
    """A training with songs on the way, beside a branch without it."""
    models = load_models()
    model, _, vae = models
    conditioning = conditions_of(models)
    other = lora(model, train(model, "other", seed=9)[1])
    before, base_before = sample(other, conditioning), sample(model, conditioning)
    hashed = weights_hash_of_base(model)
    trees: list[weakref.ref[Any]] = []
    module = pack_module("ace_core.training.trainer")
    build = module.build_copy

    def remembered(*arguments: Any, **keywords: Any) -> Any:
        tree = build(*arguments, **keywords)
        trees.append(weakref.ref(tree))
        return tree

    with replaced(module, build_copy=remembered):
        output = node_output(
            "AceComposerTrainLora",
            model=model,
            data=data(),
            conditioning=conditioning,
            vae=vae,
            **inputs("styles/one", sample_every=3, adapter="DoRA"),
        )
    adapted, name, curve, heard = output.args
    gc.collect()
    with safe_open(lora_path(name), framework="pt") as file:
        metadata = file.metadata()
    after = sample(adapted, conditioning)
    return {
        "name": name,
        "text": output.ui["text"][0],
        "files": [item["filename"] for item in output.ui["audio"]],
        "files exist": all(
            (output_folder() / item["subfolder"] / item["filename"]).is_file() for item in output.ui["audio"]
        ),
        "heard": [list(heard["waveform"].shape), heard["sample_rate"], float(heard["waveform"].abs().max()) > 0],
        "curve": [list(curve.shape), float(curve.min()), float(curve.max())],
        "metadata": metadata,
        "shown": repr(adapted).partition(" + ")[2],
        "base weights": weights_hash_of_base(model) == hashed,
        "other branch": torch.equal(sample(other, conditioning), before),
        "base branch": torch.equal(sample(model, conditioning), base_before),
        "change": distance(after, base_before),
        "loaded": distance(sample(lora(model, name), conditioning), after),
        "trees left": sum(tree() is not None for tree in trees),
        "states left": [path.name for path in states("styles/one")],
        "gradients on": [
            name
            for name, weight in model.dit.network.named_parameters()
            if weight.requires_grad or weight.grad is not None
        ],
        "peft in the shared network": [
            n for n, _ in model.dit.network.named_modules() if "lora" in n or "base_layer" in n
        ],
    }


def weights_hash_of_base(model: Any) -> str:
    """The weights as they are without adapters."""
    management().unload_all_models()
    return weights_hash(model.dit.network)


def cancelling() -> dict[str, Any]:
    """A training cancelled after three steps, and the same node again."""
    models = load_models()
    whole = load_file(lora_path(train(models[0], "whole")[1]))
    host, node = pack_module("nodes.host.feedback"), pack_module("nodes.train.train_lora")
    said: list[str] = []

    def cancel_after_three(_: object, text: str) -> None:
        said.append(text)
        if text.startswith(f"step 3 of {STEPS}"):
            management().interrupt_current_processing(True)

    error = None
    with replaced(host, show_text=cancel_after_three), replaced(node, SECONDS_BETWEEN_TEXTS=0.0):
        try:
            train(models[0], "part")
        except BaseException as raised:
            error = type(raised).__name__
    (state,) = states("part")
    with safe_open(state, framework="pt") as file:
        losses = len(file.get_tensor("losses"))
    again: list[str] = []
    with replaced(host, show_text=lambda _, text: again.append(text)), replaced(node, SECONDS_BETWEEN_TEXTS=0.0):
        (_, name, curve, _) = train(models[0], "part")
    part = load_file(lora_path(name))
    del models
    forget()
    return {
        "error": error,
        "steps in the checkpoint": losses,
        "said": [text.split(",")[0].split(" (")[0] for text in again[1:]],
        "first": [said[0].splitlines()[-1], again[0].splitlines()[-1]],
        "equal": whole.keys() == part.keys() and all(torch.equal(whole[key], part[key]) for key in whole),
        "states left": len(states("part")),
    }


def kinds() -> dict[str, Any]:
    """Every kind of adapter in every style, on an XL base model too, through Load LoRA."""
    models = load_models()
    conditioning = conditions_of(models)
    base = sample(models[0], conditioning)
    result = {}
    for adapter, style in (("LoRA", "PEFT folder"), ("DoRA", "PEFT folder"), ("LoKr", "ComfyUI file")):
        adapted, name, *_ = train(models[0], f"kinds/{adapter}", adapter=adapter, style=style)
        found = sample(adapted, conditioning)
        result[adapter] = {
            "name": name,
            "change": distance(found, base),
            "loaded": distance(sample(lora(models[0], name), conditioning), found),
        }
    return result


def refusals() -> dict[str, str]:
    models = load_models()
    model = models[0]
    trained = train(model, "refused/first")[0]
    networks = pack_module("nodes.host.networks").NETWORKS
    small = replaced(networks, device_bytes=lambda _: 2**28)

    def with_little_memory() -> object:
        with small:
            return train(model, "refused/x")

    attempts: dict[str, Callable[[], object]] = {
        "adapters": lambda: train(trained, "refused/x"),
        "other base": lambda: execute(
            "AceComposerTrainLora", model=model, data=data("acestep-v15-xl-sft"), **inputs("refused/x")
        ),
        "sample": lambda: train(model, "refused/x", sample_every=2),
        "style": lambda: train(model, "refused/x", adapter="LoKr", style="PEFT folder"),
        "optimizer": lambda: train(model, "refused/x", optimizer="adamw8bit"),
        "memory": with_little_memory,
        "outside": lambda: train(model, "../x"),
        "diverged": lambda: train(model, "refused/x", learning_rate=1e30, steps=5),
    }
    result = {}
    for name, attempt in attempts.items():
        try:
            attempt()
            result[name] = "nothing"
        except Exception as error:
            result[name] = f"{type(error).__name__}: {error}"
    return result


CASES: tuple[Callable[[], dict[str, Any]], ...] = (training, cancelling, kinds, refusals)


if __name__ == "__main__":
    main(CASES)
