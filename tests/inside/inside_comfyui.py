"""Runs the nodes inside a ComfyUI's own Python modules, without a server, and reports what was found as JSON.

    python tests/inside/inside_comfyui.py COMFYUI BASE_DIRECTORY

A process of its own, because ComfyUI reads its options from the command line while it is imported and takes over
top-level names (`nodes`, `utils`). `BASE_DIRECTORY/models` holds the small checkpoints. Each function in `CASES` gives
one entry of the report; tests/host/test_inside_comfyui.py says what it should be.

The meta device stands for an accelerator: it has no memory to fill, counts what is put there, and refuses to compute
with a tensor that lies elsewhere, so a weight that is not cast at use shows.
"""

from __future__ import annotations

import ast
import gc
import hashlib
import importlib
import importlib.util
import json
import logging
import shutil
import sys
import traceback
import weakref
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from types import ModuleType, SimpleNamespace
from typing import Any

import torch
from torch import Tensor, nn

PACK_ROOT = Path(__file__).resolve().parents[2]
PACK = "ace_composer_pack"
CPU, META = torch.device("cpu"), torch.device("meta")
SPLIT = "diffusion_models/acestep_v1.5_turbo.safetensors"
XL = "diffusion_models/acestep_v1.5_xl_turbo_bf16.safetensors"
PLANNER = "text_encoders/qwen_1.7b_ace15.safetensors"
HOST_ROOTS = {"comfy", "folder_paths", "server"}
SECONDS = 10.0
FRAMES = 250


def start_comfyui(comfyui: Path, base_directory: Path, *, cpu: bool = True) -> None:
    """Import ComfyUI, with options for a CPU or for what the machine has, and the pack under the name `PACK`."""
    sys.path.insert(0, str(comfyui))
    sys.argv = ["main.py", *(["--cpu"] if cpu else []), "--base-directory", str(base_directory)]
    importlib.import_module("comfy.options").enable_args_parsing()
    importlib.import_module("utils.extra_config")  # before `comfy/`, which has a module `utils`, gets onto the path
    spec = importlib.util.spec_from_file_location(PACK, PACK_ROOT / "__init__.py")
    assert spec is not None and spec.loader is not None
    pack = importlib.util.module_from_spec(spec)
    sys.modules[PACK] = pack
    spec.loader.exec_module(pack)
    pack_module("nodes.host.folders").register_model_folder()


def pack_module(name: str) -> Any:
    return importlib.import_module(f"{PACK}.{name}")


def weights_hash(network: nn.Module) -> str:
    """Of all of a network's parameters and buffers."""
    digest = hashlib.sha256()
    for name, tensor in sorted(network.state_dict().items()):
        digest.update(name.encode() + tensor.contiguous().flatten().view(torch.uint8).numpy().tobytes())
    return digest.hexdigest()


def management() -> Any:
    return importlib.import_module("comfy.model_management")


def node_output(class_name: str, *, hidden: Any = None, **inputs: Any) -> Any:
    """Run a node as ComfyUI does: in inference mode, with its hidden inputs."""
    found = getattr(pack_module("nodes"), class_name)
    prepared: Any = type(
        class_name, (found,), {"hidden": hidden or SimpleNamespace(unique_id=None, prompt=None, extra_pnginfo=None)}
    )
    with torch.inference_mode():
        return prepared.execute(**inputs)


def execute(class_name: str, **inputs: Any) -> tuple[Any, ...]:
    """The results of a node; see `node_output`."""
    return tuple(node_output(class_name, **inputs).args)


def load_models(model: str = SPLIT, variant: str = "auto", precision: str = "auto") -> tuple[Any, Any, Any]:
    choices = {"model": model, "text_encoder": "auto", "vae": "auto", "variant": variant, "precision": precision}
    return execute("AceComposerLoadModels", **choices)  # type: ignore[return-value]


def networks() -> Any:
    return pack_module("nodes.host.networks").NETWORKS


def patchers_of(loaded: tuple[Any, Any, Any]) -> dict[str, Any]:
    model, text_encoder, vae = loaded
    return {
        "dit": model.dit.patcher,
        "condition_encoder": model.condition_encoder.patcher,
        "audio_tokenizer": model.audio_tokenizer.patcher,
        "text_encoder": text_encoder.encoder.patcher,
        "vae": vae.vae.patcher,
    }


@contextmanager
def replaced(owner: Any, **attributes: Any) -> Iterator[None]:
    before = {name: getattr(owner, name) for name in attributes}
    for name, value in attributes.items():
        setattr(owner, name, value)
    try:
        yield
    finally:
        for name, value in before.items():
            setattr(owner, name, value)


@contextmanager
def accelerator() -> Iterator[None]:
    """Make the host believe that its device is `META`; models wait on the CPU."""
    device_functions = ("get_torch_device", "text_encoder_device", "vae_device")
    offload_functions = ("unet_offload_device", "text_encoder_offload_device", "vae_offload_device")
    functions: dict[str, Callable[..., torch.device]] = {name: lambda *_: META for name in device_functions}
    functions |= {name: lambda *_: CPU for name in offload_functions}
    with replaced(management(), **functions):
        yield


def model_patchers(model: str, load_device: torch.device) -> dict[str, Any]:
    """Fresh patchers of every network, in float32, for a device."""
    inspection = pack_module("ace_core.checkpoints.inspection")
    choice = pack_module("nodes.load.choices")
    files = inspection.inspect_model(choice.chosen_path("model", model, choice.model_places()))
    sources = {
        "dit": (files.dit, "diffusion"),
        "condition_encoder": (files.condition_encoder, "diffusion"),
        "audio_tokenizer": (files.audio_tokenizer, "diffusion"),
        "text_encoder": (
            inspection.inspect_text_encoder(choice.text_encoder(choice.TEXT_ENCODER_FILE, files).path),
            "text",
        ),
        "vae": (inspection.inspect_vae(choice.vae(choice.VAE_FILE, files).path), "vae"),
    }
    with accelerator() if load_device == META else replaced(management()):
        load = networks().load
        return {name: load(source, "float32", place).patcher for name, (source, place) in sources.items()}


def resident_bytes(network: nn.Module, device: torch.device) -> int:
    tensors: Iterable[Tensor] = (*network.parameters(), *network.buffers())
    return sum(tensor.numel() * tensor.element_size() for tensor in tensors if tensor.device == device)


def run_networks(patchers: dict[str, Any], device: torch.device) -> dict[str, Tensor]:
    """Every network once, on `device`, with inputs from one seed."""
    generator = torch.Generator().manual_seed(0)

    def noise(*shape: int) -> Tensor:
        return torch.randn(shape, generator=generator).to(device)

    dit, condition_encoder, audio_tokenizer, text_encoder, vae = (patchers[name].model for name in patchers)
    results: dict[str, Tensor] = {}
    with torch.inference_mode():
        width = dit.config.condition_size
        run = dit.prepare([noise(30, width), noise(20, width)], [1000.0, 500.0], 300, guided=True)
        results["dit"], results["dit without conditions"] = dit(
            noise(2, 300, 64), noise(2, 300, 128), 1, run, guided=True
        )
        texts = (noise(20, condition_encoder.config.text_hidden_size) for _ in range(2))
        results["condition_encoder"] = condition_encoder(*texts, [noise(750, 64)])
        codes = torch.arange(60).reshape(1, 60).to(device) * 997
        results["audio_tokenizer decode"] = audio_tokenizer.decode(codes, torch.float32)
        results["audio_tokenizer encode"] = audio_tokenizer.encode(noise(1, 50, 64))
        results["text_encoder"] = text_encoder(torch.arange(40).reshape(1, 40).to(device), torch.float32)
        results["vae decode"] = vae.decode(noise(1, 40, 64))
        results["vae encode"] = vae.encode(noise(1, 2, 19200))
    return results


# Cases


def sharing() -> dict[str, Any]:
    """Two loader nodes that name the same files, and one with another precision."""
    registry = networks().registry
    first, second = load_models(), load_models(variant="base")
    bfloat16 = load_models(precision="bfloat16")
    ours, theirs, others = patchers_of(first), patchers_of(second), patchers_of(bfloat16)
    result = {
        "the same patcher": [ours[name] is theirs[name] for name in ours],
        "the same silence": first[0].silence is second[0].silence,
        "kinds": [first[0].variant, second[0].variant],
        "another precision is another patcher": [ours[name] is not others[name] for name in ours],
        "inference tensors": [
            name for name in ours for parameter in ours[name].model.parameters() if parameter.is_inference()
        ],
    }
    with torch.inference_mode():
        for part in (
            first[0].dit,
            first[0].condition_encoder,
            first[0].audio_tokenizer,
            first[1].encoder,
            first[2].vae,
        ):
            networks().use(part)
    modules = [weakref.ref(patcher.model) for patcher in (*ours.values(), *others.values())]
    del first, ours, others, bfloat16, part
    gc.collect()
    result["alive while one loader's outputs are"] = [module() is not None for module in modules]
    del second, theirs
    gc.collect()
    result["alive after the last"] = sum(module() is not None for module in modules)
    result["registry entries after the last"] = len(registry._values)
    management().cleanup_models_gc()
    result["models the host still counts"] = len(management().loaded_models())
    return result


def partial_loading() -> dict[str, Any]:
    """How much of each network lies on the accelerator when the host allows a part of its size."""
    result: dict[str, Any] = {}
    for share in (0.1, 0.3, 0.6, 2.0):
        for name, patcher in model_patchers(SPLIT, META).items():
            size = patcher.model_size()
            patcher.partially_load(META, int(size * share))
            step = {
                "allowed": int(size * share),
                "resident": resident_bytes(patcher.model, META),
                "offloaded": resident_bytes(patcher.model, CPU),
                "size": size,
                "counted by the host": patcher.loaded_size(),
            }
            result.setdefault(name, []).append(step)
        del patcher
        gc.collect()
    return result


def streaming_to_an_accelerator() -> dict[str, Any]:
    """Networks run where their inputs are, whatever part of their weights is elsewhere."""
    result: dict[str, Any] = {}
    for model in (SPLIT, XL):
        for share in (0.0, 0.4):
            patchers = model_patchers(model, META)
            for patcher in patchers.values():
                patcher.partially_load(META, max(1, int(patcher.model_size() * share)))
            outputs = run_networks(patchers, META)
            result[f"{Path(model).stem} {share}"] = [str(output.device) for output in outputs.values()]
            del patchers, patcher
            gc.collect()
    return result


def streaming_keeps_results() -> dict[str, Any]:
    """On the CPU: networks of which the host loaded a part give what wholly loaded ones give."""
    patchers = model_patchers(SPLIT, CPU)
    for patcher in patchers.values():
        patcher.load(CPU, full_load=True)
    expected = run_networks(patchers, CPU)
    for patcher in patchers.values():
        patcher.detach()
        patcher.load(CPU, lowvram_model_memory=patcher.model_size() // 3)
    found = run_networks(patchers, CPU)
    streamed = {
        name: sum(hasattr(module, "prev_comfy_cast_weights") for module in patcher.model.modules())
        for name, patcher in patchers.items()
    }
    return {
        "partially loaded": [patcher.model.model_lowvram for patcher in patchers.values()],
        "streamed layers": streamed,
        "equal": {name: torch.equal(expected[name], found[name]) for name in expected},
    }


def cancel_in_a_layer() -> dict[str, str]:
    """What a run of each network raises once the user has asked: the host's layers look for that at every call."""
    patchers = model_patchers(SPLIT, CPU)
    return {name: raised_when_cancelled(run) for name, run in runs_of(patchers).items()}


def runs_of(patchers: dict[str, Any]) -> dict[str, Callable[[], object]]:
    """A short run of each network; what comes before it is done here."""
    dit, condition_encoder, audio_tokenizer, text_encoder, vae = (patchers[name].model for name in patchers)
    conditions = [torch.zeros(4, dit.config.condition_size)]
    with torch.inference_mode():
        run = dit.prepare(conditions, [1000.0], 128, guided=False)
    text = torch.zeros(4, condition_encoder.config.text_hidden_size)
    return {
        "dit": lambda: dit(torch.zeros(1, 128, 64), torch.zeros(1, 128, 128), 0, run, guided=False),
        "dit prepare": lambda: dit.prepare(conditions, [1000.0], 128, guided=False),
        "condition_encoder": lambda: condition_encoder(text, text, [torch.zeros(750, 64)]),
        "audio_tokenizer": lambda: audio_tokenizer.encode(torch.zeros(1, 5, 64)),
        "text_encoder": lambda: text_encoder(torch.zeros(1, 4, dtype=torch.long), torch.float32),
        "vae decode": lambda: vae.decode(torch.zeros(1, 4, 64)),
        "vae encode": lambda: vae.encode(torch.zeros(1, 2, 7680)),
    }


def raised_when_cancelled(run: Callable[[], object]) -> str:
    management().interrupt_current_processing(True)
    try:
        with torch.inference_mode():
            run()
        return "nothing"
    except BaseException as error:  # what it derives from depends on the host
        return type(error).__name__
    finally:
        management().interrupt_current_processing(False)


def cancel_between_steps() -> dict[str, Any]:
    """What a report of progress raises, before and after the user has asked; no server is here that would look."""
    report = pack_module("nodes.host.feedback").progress()
    report(1, 3)
    return {"cancelled": raised_when_cancelled(lambda: report(2, 3)), "afterwards": report(3, 3)}


def attention_of_the_host() -> dict[str, float]:
    """The largest difference between the host's chosen attention and PyTorch's, with shared key heads and masks."""
    host, layers = pack_module("nodes.host.networks"), pack_module("ace_core.models.layers")
    generator = torch.Generator().manual_seed(0)
    query, key, value = (torch.randn(3, heads, 256, 16, generator=generator) for heads in (8, 2, 2))
    masks = {
        "no mask": None,
        "key mask": layers.key_mask(torch.arange(256)[None] < torch.tensor([256, 100, 7])[:, None], torch.float32),
        "causal": layers.causal_mask(256, torch.float32, CPU),
    }
    attention = host.attention(torch.device("cuda"))
    return {
        name: float(
            (attention(query, key, value, mask) - layers.scaled_dot_product_attention(query, key, value, mask))
            .abs()
            .max()
        )
        for name, mask in masks.items()
    }


def songs_of_different_lengths() -> dict[str, Any]:
    """Several blueprints through the nodes: each song is what it is alone."""
    blueprint = pack_module("ace_core.song.blueprint").Blueprint
    songs = (blueprint(caption="slow piano", duration_seconds=10), blueprint(caption="rock", duration_seconds=12))
    model, text_encoder, vae = load_models()

    def render(plans: tuple[Any, ...], seed: int, batch_size: int = 1) -> tuple[dict[str, Any], Tensor]:
        encoder = {"model": model, "text_encoder": text_encoder, "blueprint": plans}
        (conditioning,) = execute("AceComposerEncode", **encoder)
        sampler = {"steps": 3, "shift": 0.0, "guidance": 0.0, "solver": "euler", "seed": seed, "batch_size": batch_size}
        (latent,) = execute("AceComposerSample", model=model, conditioning=conditioning, **sampler)
        (audio,) = execute("AceComposerDecode", vae=vae, latent=latent, normalize=False)
        return latent, audio["waveform"]

    latent, waveform = render(songs, seed=5, batch_size=2)
    result: dict[str, Any] = {"shape": list(waveform.shape), "sample_counts": latent["sample_counts"]}
    differences = []
    for item, song in enumerate(songs):
        _, alone = render((song,), seed=5 + item)
        differences.append(float((waveform[item, :, : alone.shape[2]] - alone[0]).abs().max()))
    result["differences"] = differences
    result["after the end"] = float(waveform[0, :, latent["sample_counts"][0] :].abs().max())
    for batch_size in (1, 3):
        try:
            render(songs, seed=5, batch_size=batch_size)
            result[f"batch_size {batch_size}"] = "rendered"
        except ValueError as error:
            result[f"batch_size {batch_size}"] = str(error)
    return result


def changes_said() -> dict[str, list[str]]:
    """What Sample shows in a first run, in the next, and where the correction is off."""
    blueprint = pack_module("ace_core.song.blueprint").Blueprint(caption="slow piano", duration_seconds=10)
    changes = pack_module("nodes.changes")
    changes._said.clear()
    model, text_encoder, _ = load_models()
    (conditioning,) = execute("AceComposerEncode", model=model, text_encoder=text_encoder, blueprint=(blueprint,))
    shown = {}
    for run, corrected in (("off", "off"), ("first", "auto"), ("second", "auto")):
        sampler = {"steps": 1, "seed": 1, "batch_size": 1, "wavelet_correction": corrected}
        output = node_output("AceComposerSample", model=model, conditioning=conditioning, **sampler)
        shown[run] = "\n".join(output.ui["text"]).splitlines()
    return {"note": [changes.WAVELET], **shown}


def paths() -> dict[str, str]:
    """Where names lead that a loader might be given; all of the files exist."""
    host = pack_module("nodes.host.folders")
    models = Path(importlib.import_module("folder_paths").models_dir)
    names = (
        "acestep_v1.5_turbo.safetensors",
        "../diffusion_models/acestep_v1.5_turbo.safetensors",
        "../vae/ace_1.5_vae.safetensors",
        "x/../../vae/ace_1.5_vae.safetensors",
        str(models / "vae" / "ace_1.5_vae.safetensors"),
        "..",
    )
    result = {}
    for name in names:
        try:
            found = host.model_path("diffusion_models", name)
            result[name.replace(str(models), "MODELS")] = found.relative_to(models).as_posix()
        except (FileNotFoundError, ValueError) as error:
            result[name.replace(str(models), "MODELS")] = type(error).__name__
    return result


def tokenizer_beside_a_planner() -> dict[str, Any]:
    """Whether a planner's fingerprint and grammar stay the same when a tokenizer is put beside it and removed again."""
    loader = pack_module("nodes.load.planner").AceComposerLoadPlanner
    models = Path(importlib.import_module("folder_paths").models_dir)
    tokenizer = models / "text_encoders" / "tokenizer.json"
    choices = {"planner": PLANNER, "precision": "auto"}

    def loaded() -> tuple[Any, Any]:
        (planner,) = execute("AceComposerLoadPlanner", **choices)
        return loader.fingerprint_inputs(**choices), planner.grammar

    before, again = loaded(), loaded()
    shutil.copyfile(models / "ace_step" / "Qwen3-Embedding-0.6B" / tokenizer.name, tokenizer)
    try:
        beside = loaded()
    finally:
        tokenizer.unlink()
    after = loaded()
    return {
        "unchanged": [before[0] == again[0], before[1] is again[1]],
        "beside": [before[0] == beside[0], before[1] is beside[1]],
        "removed": [before[0] == after[0], before[1] is after[1]],
    }


def host_names() -> dict[str, Any]:
    """Every name of ComfyUI that the nodes use, and those that this ComfyUI does not have."""
    used: dict[str, list[str]] = {}
    unresolved = []
    for path in sorted((PACK_ROOT / "nodes").rglob("*.py")):
        names = _names_of_comfyui(ast.parse(path.read_text(encoding="utf-8")))
        if names:
            used[path.relative_to(PACK_ROOT / "nodes").as_posix()] = sorted(names)
        unresolved += [name for name in sorted(names) if not _resolves(name)]
    return {"used": used, "unresolved": unresolved}


def _names_of_comfyui(tree: ast.Module) -> set[str]:
    """Dotted names below `HOST_ROOTS`, through imports and through variables that stand for a module."""
    aliases: dict[str, str] = {}
    names: set[str] = set()
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            for alias in node.names:
                root = alias.name.split(".")[0]
                if root in HOST_ROOTS:
                    aliases[alias.asname or root] = alias.name if alias.asname else root
                    names.add(alias.name)
        elif isinstance(node, ast.ImportFrom) and node.level == 0 and (node.module or "").split(".")[0] in HOST_ROOTS:
            for alias in node.names:
                aliases[alias.asname or alias.name] = f"{node.module}.{alias.name}"
                names.add(f"{node.module}.{alias.name}")
    for node in ast.walk(tree):
        if isinstance(node, ast.Assign) and isinstance(node.targets[0], ast.Name):
            dotted = _dotted(node.value, aliases)
            if dotted is not None:
                aliases[node.targets[0].id] = dotted
    chains = (_dotted(node, aliases) for node in ast.walk(tree) if isinstance(node, ast.Attribute))
    return names | {chain for chain in chains if chain is not None}


def _dotted(node: ast.expr, aliases: dict[str, str]) -> str | None:
    if isinstance(node, ast.Name):
        return aliases.get(node.id)
    if isinstance(node, ast.Attribute):
        owner = _dotted(node.value, aliases)
        return owner and f"{owner}.{node.attr}"
    return None


def _resolves(name: str) -> bool:
    root, *parts = name.split(".")
    found: Any = importlib.import_module(root)
    path = root
    for part in parts:
        path += f".{part}"
        if isinstance(found, ModuleType) and not hasattr(found, part):
            try:
                importlib.import_module(path)
            except ImportError:
                return False
        if not hasattr(found, part):
            return False
        found = getattr(found, part)
    return True


CASES: tuple[Callable[[], dict[str, Any]], ...] = (
    host_names,
    paths,
    sharing,
    partial_loading,
    streaming_to_an_accelerator,
    streaming_keeps_results,
    cancel_in_a_layer,
    cancel_between_steps,
    attention_of_the_host,
    songs_of_different_lengths,
    changes_said,
    tokenizer_beside_a_planner,
)


def main(cases: Iterable[Callable[[], dict[str, Any]]]) -> None:
    """Write what `cases` found to standard output."""
    comfyui, base_directory = map(Path, sys.argv[1:])
    start_comfyui(comfyui, base_directory)
    logging.getLogger().setLevel(logging.WARNING)
    report: dict[str, Any] = {}
    for case in cases:
        try:
            report[case.__name__] = case()
        except Exception:
            report[case.__name__] = {"error": traceback.format_exc()}
        gc.collect()
    sys.stdout.write(f"{json.dumps(report)}\n")


if __name__ == "__main__":
    main(CASES)
