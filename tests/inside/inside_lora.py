"""Adapters on a model inside a ComfyUI's own Python modules, without a server; see inside_comfyui.py.

    python tests/inside/inside_lora.py COMFYUI BASE_DIRECTORY

`BASE_DIRECTORY/models` holds the small checkpoints, and the adapters that tests/host/test_lora.py writes into `loras`.
"""

from __future__ import annotations

import copy
import gc
import importlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
from inside_comfyui import (
    CPU,
    META,
    SPLIT,
    execute,
    load_models,
    main,
    management,
    model_patchers,
    node_output,
    pack_module,
    raised_when_cancelled,
    replaced,
    resident_bytes,
    weights_hash,
)
from safetensors.torch import load_file
from torch import Tensor

BASE = "diffusion_models/acestep_v1.5_base.safetensors"
SECONDS = 10.0
STEPS = 2
Models = tuple[Any, Any, Any]


def lora(model: Any, name: str, strength: float = 1.0, self_: float = 1.0, cross: float = 1.0) -> Any:
    strengths = {"strength": strength, "strength_self": self_, "strength_cross": cross}
    (adapted,) = execute("AceComposerLoadLora", model=model, lora=name, **strengths)
    return adapted


def conditions_of(models: Models, task: Any = None) -> Any:
    model, text_encoder, _ = models
    song = pack_module("ace_core.song.blueprint").Blueprint(caption="slow piano", duration_seconds=SECONDS)
    inputs = {"model": model, "text_encoder": text_encoder, "blueprint": (song,), "task": task}
    (conditioning,) = execute("AceComposerEncode", **inputs)
    return conditioning


def sample(model: Any, conditioning: Any) -> Tensor:
    sampler = {"seed": 3, "batch_size": 1, "steps": STEPS, "shift": 0.0, "guidance": 0.0, "solver": "euler"}
    (latent,) = execute("AceComposerSample", model=model, conditioning=conditioning, **sampler)
    samples: Tensor = latent["samples"]
    return samples.clone()


def merged(model: Any) -> Any:
    """The same model with its adapters written into a copy of its weights, by the formula of a LoRA."""
    management().unload_all_models()
    network = copy.deepcopy(model.dit.network)
    weights = network.state_dict()
    for applied in model.adapters:
        for name, adapter in applied.adapter.weights.items():
            ((up, down),) = adapter.factors
            weights[name] += applied.strengths.of(name) * adapter.scale * (up @ down)
    patcher = importlib.import_module("comfy.model_patcher").ModelPatcher(network, CPU, CPU)
    part = pack_module("nodes.host.networks").Patched(patcher, model.dtype)
    return model._replace(dit=part, adapters=())


def distance(one: Tensor, other: Tensor) -> float:
    return float((one - other).abs().max())


def forget() -> None:
    """Drop what nothing holds any more."""
    gc.collect()
    management().cleanup_models_gc()


# Cases


def branches() -> dict[str, Any]:
    """Branches with other adapters, one after the other and again, against each alone in a model loaded anew."""
    chosen: dict[str, Callable[[Any], Any]] = {
        "base": lambda model: model,
        "one": lambda model: lora(model, "one.safetensors"),
        "two": lambda model: lora(model, "two", 0.5),
        "dora": lambda model: lora(model, "dora", 0.7),
        "one, two": lambda model: lora(lora(model, "one.safetensors"), "two", -1.5, 0.5, 2.0),
        "two, one": lambda model: lora(lora(model, "two", -1.5, 0.5, 2.0), "one.safetensors"),
    }
    alone = {}
    for name, adapted in chosen.items():
        models = load_models()
        alone[name] = sample(adapted(models[0]), conditions_of(models))
        del models
        forget()

    models = load_models()
    conditioning = conditions_of(models)
    before = weights_hash(models[0].dit.network)
    branched = {name: adapted(models[0]) for name, adapted in chosen.items()}
    order = [*chosen, *reversed(chosen), "one", "base", "two"]
    equal = [torch.equal(sample(branched[name], conditioning), alone[name]) for name in order]
    patchers = {name: model.dit.network is models[0].dit.network for name, model in branched.items()}
    result = {
        "equal to each alone": equal,
        "one network": list(patchers.values()),
        "distances from the base": {
            name: distance(latents, alone["base"]) for name, latents in alone.items() if name != "base"
        },
        "order": distance(alone["one, two"], alone["two, one"]),
        "shown": [repr(branched[name]).partition(" + ")[2] for name in ("base", "one", "one, two")],
    }
    sample(branched["one, two"], conditioning)
    management().unload_all_models()
    result["base unchanged"] = weights_hash(models[0].dit.network) == before
    sample(branched["two"], conditioning)
    sample(models[0], conditioning)
    result["base unchanged while loaded"] = weights_hash(models[0].dit.network) == before
    return result


def unloading() -> dict[str, Any]:
    """An adapted model that the host unloads, whole or to a part, is the same when it comes back."""
    models = load_models()
    conditioning = conditions_of(models)
    adapted = lora(lora(models[0], "one.safetensors"), "dora")
    expected = sample(adapted, conditioning)
    management().unload_all_models()
    result = {"after unloading": torch.equal(sample(adapted, conditioning), expected)}
    adapted.dit.patcher.partially_unload(CPU, adapted.dit.patcher.model_size() // 2)
    result["after unloading a part"] = torch.equal(sample(adapted, conditioning), expected)
    management().unload_all_models()
    adapted.dit.patcher.load(CPU, lowvram_model_memory=adapted.dit.patcher.model_size() // 3)
    result["streamed layers"] = sum(bool(getattr(m, "weight_function", [])) for m in adapted.dit.network.modules())
    result["partially loaded"] = adapted.dit.network.model_lowvram
    with replaced(management(), load_models_gpu=lambda *_, **__: None):
        result["distance when streamed"] = distance(sample(adapted, conditioning), expected)
    adapted.dit.patcher.detach()
    return result


def dynamic_loading() -> dict[str, Any]:
    """Newer hosts copy the adapters' tensors into one buffer on the accelerator before they add them to a weight."""
    patching = importlib.import_module("comfy.model_patcher")
    dit = lora(lora(lora(load_models()[0], "one.safetensors"), "dora", 0.5), "oft.safetensors", 0.5).dit.patcher
    weights = dit.model.state_dict()
    differences = []
    for name in dit.patches:
        patch = patching.LowVramPatch(name, dit.patches)
        expected = patch(weights[name].clone())
        if hasattr(patch, "prepare"):
            buffer = torch.zeros(patch.memory_required(), dtype=torch.uint8)
            patch.prepare(buffer, None, copy=True)
            assert patch.prepared_patches is not None
        differences.append(distance(patch(weights[name].clone()), expected))
        differences.append(distance(patch(weights[name].clone().bfloat16()).float(), expected.bfloat16().float()))
    return {"weights": len(dit.patches), "largest distances": [max(differences[0::2]), max(differences[1::2])]}


def partial_loading() -> dict[str, Any]:
    """How much of an adapted decoder lies on an accelerator when the host allows a part of its size; it runs there."""
    steps = []
    for share in (0.1, 0.3, 0.6, 2.0):
        model = load_models()[0]._replace(dit=None, condition_encoder=None, audio_tokenizer=None)
        forget()
        patched = pack_module("nodes.host.networks").Patched
        model = model._replace(dit=patched(model_patchers(SPLIT, META)["dit"], torch.float32))
        dit = lora(lora(model, "one.safetensors"), "dora").dit.patcher
        size = dit.model_size()
        dit.partially_load(META, int(size * share))
        steps.append(
            {
                "allowed": int(size * share),
                "resident": resident_bytes(dit.model, META),
                "offloaded": resident_bytes(dit.model, CPU),
                "size": size,
                "counted by the host": dit.loaded_size(),
                "ran on": str(run_dit(dit).device),
            }
        )
        del model, dit
        forget()
    return {"steps": steps}


def run_dit(dit: Any) -> Tensor:
    conditions = [torch.zeros(4, dit.model.config.condition_size, device=META)]
    with torch.inference_mode():
        run = dit.model.prepare(conditions, [1000.0], 128, guided=False)
        inputs = (torch.zeros(1, 128, size, device=META) for size in (64, 128))
        velocity: Tensor = dit.model(*inputs, 0, run, guided=False)[0]
    return velocity


def reading() -> dict[str, Any]:
    """How often adapter files are read; the host forgets a node's outputs before it runs the node again."""
    host = pack_module("nodes.host.adapters")
    read: list[str] = []
    load = host.load_adapter

    def counted(files: Any) -> Any:
        read.append(files.path.name)
        return load(files)

    models = load_models()
    with replaced(host, load_adapter=counted):
        for strength in (1.0, 0.5, 0.0, -1.0):
            stacked = lora(lora(models[0], "one.safetensors", strength), "two", strength)
            del stacked
            gc.collect()
        result: dict[str, Any] = {"strengths": list(read)}
        path = Path(importlib.import_module("folder_paths").get_full_path("loras", "one.safetensors"))
        content = path.read_bytes()
        path.write_bytes(content)
        lora(models[0], "one.safetensors")
        result["after it was replaced"] = read[2:]
        kept = len(host._kept_adapters)
        del models
        forget()
        result["kept while the model is, and afterwards"] = [kept, len(host._kept_adapters)]
        result["registry entries afterwards"] = len(host.NETWORKS.registry._values)
    return result


def tasks() -> dict[str, Any]:
    """In every task an adapted model gives what one with the same changes in its weights gives."""
    models = load_models(model=BASE)
    model, _, vae = models
    adapted = lora(lora(model, "one.safetensors"), "two", 0.5, 2.0, -1.0)
    truth = merged(adapted)
    generator = torch.Generator().manual_seed(0)
    audio = {"waveform": 0.1 * torch.randn(1, 2, int(SECONDS * 48000), generator=generator), "sample_rate": 48000}
    switches = {track: track == "drums" for track in pack_module("ace_core.song.fields").TRACKS}
    cover = {"strength": 1.0, "noise_strength": 0.0, "structure": "codes"}
    repaint = {"start": 2.0, "end": 6.0, "unit": "seconds", "mode": "balanced", "strength": 0.5}
    made: dict[str, tuple[str, dict[str, Any]]] = {
        "cover": ("AceComposerCover", cover),
        "repaint": ("AceComposerRepaint", repaint),
        "extract": ("AceComposerExtract", switches),
        "lego": ("AceComposerLego", {"track": "drums"}),
        "complete": ("AceComposerComplete", switches),
    }
    result: dict[str, Any] = {}
    for name in ("text2music", *made):
        task = None
        if name in made:
            node, inputs = made[name]
            task = execute(node, vae=vae, audio=audio, **inputs)[0]
        conditioning = conditions_of(models, task)
        latents = sample(adapted, conditioning)
        result[name] = {
            "from the merged": distance(latents, sample(truth, conditioning)),
            "from the base": distance(latents, sample(model, conditioning)),
        }
    return result


def saving() -> dict[str, Any]:
    """Adapters joined into one file, in both styles, and the difference of two models."""
    models = load_models()
    conditioning = conditions_of(models)
    joined = lora(lora(models[0], "one.safetensors"), "two", 0.5)
    expected = sample(joined, conditioning)
    result: dict[str, Any] = {"base": distance(sample(models[0], conditioning), expected)}
    saver = {"rank": 64, "precision": "float32"}
    for style in ("ComfyUI file", "PEFT folder"):
        text = saved_as(joined, f"saved/{style}", style=style, **saver)
        found = sample(lora(models[0], text.splitlines()[0].removeprefix("loras/")), conditioning)
        result[style] = {"text": text, "distance": distance(found, expected)}
    tuned = merged(joined)._replace(name="tuned")
    text = saved_as(tuned, "saved/tuned", style="ComfyUI file", base=models[0], **saver)
    found = sample(lora(models[0], text.splitlines()[0].removeprefix("loras/")), conditioning)
    result["two models"] = {"text": text, "distance": distance(found, expected)}
    tuned.dit.network.norm_out.weight.data += 1
    result["norms"] = saved_as(tuned, "saved/norms", style="ComfyUI file", base=models[0], **saver)
    result["resized"] = saved_as(joined, "saved/resized", style="ComfyUI file", rank=2)
    result["cancelled"] = raised_when_cancelled(
        lambda: saved_as(joined, "saved/cancelled", style="PEFT folder", **saver)
    )
    folder = Path(importlib.import_module("folder_paths").get_folder_paths("loras")[0])
    result["files of the cancelled"] = [path.name for path in folder.glob("saved/cancelled*")]
    result["stock"] = stock_loader(models[0], "saved/ComfyUI file_00001_.safetensors")
    return result


def saved_as(model: Any, name: str, **inputs: Any) -> str:
    """Save, and give the text that the node shows."""
    output = node_output("AceComposerSaveLora", model=model, name=name, **inputs)
    return str(output.ui["text"][0])


def stock_loader(model: Any, name: str) -> dict[str, Any]:
    """A file in ComfyUI's names through ComfyUI's own loader, against ours."""
    path = importlib.import_module("folder_paths").get_full_path("loras", name)
    tensors, weights = load_file(path), model.dit.network.state_dict()
    names = {
        f"diffusion_model.decoder.{key.removesuffix('.weight')}": key for key in weights if key.endswith(".weight")
    }
    patches = importlib.import_module("comfy.lora").load_lora(tensors, names)
    (applied,) = lora(model, name).adapters
    change = pack_module("ace_core.lora.adapters").weight_change
    differences = []
    for key, adapter in applied.adapter.weights.items():
        theirs = patches[key].calculate_weight(weights[key].clone(), key, 1.0, 1.0, None, lambda x: x)
        differences.append(distance(theirs, weights[key] + change(weights[key], adapter, 1.0)))
    return {"same weights": patches.keys() == applied.adapter.weights.keys(), "distance": max(differences)}


def refusals() -> dict[str, str]:
    """What is said about adapters that cannot be used, and about strengths that change nothing."""
    models = load_models()
    attempts: dict[str, Callable[[], object]] = {
        "other size": lambda: lora(models[0], "xl.safetensors"),
        "not there": lambda: lora(models[0], "gone.safetensors"),
        "outside": lambda: lora(models[0], "../vae/ace_1.5_vae.safetensors"),
        "a model": lambda: lora(models[0], "model.safetensors"),
        "no adapters": lambda: saved_as(models[0], "x", rank=4, style="ComfyUI file"),
        "same model": lambda: saved_as(models[0], "x", rank=4, style="ComfyUI file", base=models[0]),
        "name outside": lambda: saved_as(lora(models[0], "two"), "../x", rank=4, style="ComfyUI file"),
        "sizes": lambda: saved_as(
            models[0],
            "x",
            rank=4,
            style="ComfyUI file",
            base=load_models(model="diffusion_models/acestep_v1.5_xl_turbo_bf16.safetensors")[0],
        ),
    }
    result = {}
    for name, attempt in attempts.items():
        try:
            attempt()
            result[name] = "nothing"
        except Exception as error:
            result[name] = f"{type(error).__name__}: {error}"
    return result


CASES: tuple[Callable[[], dict[str, Any]], ...] = (
    branches,
    unloading,
    dynamic_loading,
    partial_loading,
    reading,
    tasks,
    saving,
    refusals,
)


if __name__ == "__main__":
    main(CASES)
