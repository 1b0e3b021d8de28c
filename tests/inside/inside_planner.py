"""Runs Load Planner inside a ComfyUI's own Python modules: precisions, int8 weights, memory, the order of its choices.

    python tests/inside/inside_planner.py COMFYUI BASE_DIRECTORY

Reports what was found as JSON; tests/host/test_planner_inside.py says what it should be.
"""

from __future__ import annotations

import gc
import weakref
from typing import Any

import torch
from inside_comfyui import (
    CPU,
    META,
    PLANNER,
    accelerator,
    execute,
    main,
    management,
    pack_module,
    replaced,
    weights_hash,
)
from torch import Tensor

CODES = 12


def load_planner(precision: str = "auto", weights: str = "full") -> Any:
    (planner,) = execute("AceComposerLoadPlanner", planner=PLANNER, precision=precision, weights=weights)
    return planner


def with_lora(planner: Any, name: str, strength: float = 1.0) -> Any:
    (adapted,) = execute("AceComposerLoadPlannerLora", planner=planner, lora=name, strength=strength)
    return adapted


def ready_planner(planner: Any, **room: int) -> Any:
    networks = pack_module("nodes.host.networks").NETWORKS
    return pack_module("ace_core.stages.plan").ready_planner(networks, planner, tokens=100, **room)


def codes_of(planner: Any) -> list[list[int]]:
    """Codes of two songs, through the host's memory management."""
    codes, sampling = pack_module("ace_core.planner.code_generation"), pack_module("ace_core.planner.token_choice")
    ready = ready_planner(planner, songs=2, branches=2)
    arguments = ([[5, 6, 7], [8]], [[9]] * 2, [CODES] * 2, sampling.SamplingParameters(), [1, 2])
    with torch.inference_mode():
        return codes.generate_codes(ready.lm, *arguments, guidance_scale=2, runtime=ready.runtime)


# Cases


def sharing() -> dict[str, Any]:
    """Loaders of one file with different weights and precisions, and what is left when nobody uses them."""
    planners = {
        "full": load_planner(),
        "full again": load_planner(precision="float32"),
        "int8": load_planner(weights="int8"),
        "int8 again": load_planner(weights="int8"),
        "bfloat16": load_planner(precision="bfloat16"),
    }
    distinct = {id(planner.lm.patcher) for planner in planners.values()}
    result = {
        "patchers": len(distinct),
        "full is shared": planners["full"].lm.patcher is planners["full again"].lm.patcher,
        "int8 is shared": planners["int8"].lm.patcher is planners["int8 again"].lm.patcher,
        "grammars": len({id(planner.grammar) for planner in planners.values()}),
        "bytes": {name: planners[name].lm.patcher.model_size() for name in ("full", "int8", "bfloat16")},
        "codes": {name: codes_of(planners[name]) for name in ("full", "int8", "bfloat16", "full again", "int8 again")},
        "inference tensors": sum(
            tensor.is_inference() for planner in planners.values() for tensor in planner.lm.patcher.model.parameters()
        ),
    }
    networks = [weakref.ref(planner.lm.patcher.model) for planner in planners.values()]
    del planners
    gc.collect()
    management().cleanup_models_gc()
    result["alive after the last"] = sum(network() is not None for network in networks)
    return result


def adapters() -> dict[str, Any]:
    """Branches with other adapters, one after the other and again, for both kinds of weights."""
    result: dict[str, Any] = {}
    for weights in ("full", "int8"):
        base = load_planner(weights=weights)
        hashed = weights_hash(base.lm.patcher.model)
        branches = {
            "base": lambda base=base: base,
            "lora": lambda base=base: with_lora(base, "artist"),
            "lokr": lambda base=base: with_lora(base, "artist_lokr.safetensors", 0.5),
            "both": lambda base=base: with_lora(with_lora(base, "artist"), "artist_lokr.safetensors", 0.5),
            "off": lambda base=base: with_lora(base, "artist", 0.0),
        }
        alone = {}
        for name, branch in branches.items():
            alone[name] = codes_of(branch())
            management().unload_all_models()
        planners = {name: branch() for name, branch in branches.items()}
        order = (*planners, *reversed(planners), "base")
        result[weights] = {
            "equal to each alone": all(codes_of(planners[name]) == alone[name] for name in order),
            "different": len({str(codes) for codes in alone.values()}),
            "off is base": alone["off"] == alone["base"],
            "shown": repr(planners["both"]),
        }
        management().unload_all_models()
        result[weights]["base unchanged"] = weights_hash(base.lm.patcher.model) == hashed
        tensors = {tensor.data_ptr() for tensor in base.lm.network.parameters()}
        result[weights]["weights are shared"] = tensors <= {
            tensor.data_ptr() for tensor in planners["both"].lm.network.state_dict().values()
        }
    return result


def streamed_adapters() -> dict[str, Any]:
    """On the CPU: an adapted planner of which the host loaded a part, and changes the rest at use."""
    planner = with_lora(load_planner(), "artist")
    expected, states = codes_of(planner), states_of(planner)
    management().unload_all_models()
    planner.lm.patcher.load(CPU, lowvram_model_memory=planner.lm.patcher.model_size() // 3)
    layers = planner.lm.network.modules()
    result: dict[str, Any] = {"streamed layers": sum(bool(getattr(layer, "weight_function", [])) for layer in layers)}
    with replaced(management(), load_models_gpu=lambda *_, **__: None):
        result["distance"] = float((states_of(planner) - states).abs().max())
        result["equal"] = codes_of(planner) == expected
    planner.lm.patcher.detach()
    return result


def states_of(planner: Any) -> Tensor:
    """Hidden states of a few rows, which take the layers' quick way."""
    ready = ready_planner(planner, songs=1)
    with torch.inference_mode():
        states: Tensor = ready.lm(torch.arange(1, 5)[None], torch.float32)
    return states


def int8_on_an_accelerator() -> dict[str, str]:
    with accelerator():
        try:
            load_planner(weights="int8")
        except ValueError as error:
            return {"refused": str(error)}
    return {"refused": "not at all"}


def streaming_to_an_accelerator() -> dict[str, Any]:
    """A planner of which the host loaded nothing or a part reads a prompt and takes steps where its inputs are."""
    decoding, linear = pack_module("ace_core.planner.decoding"), pack_module("ace_core.planner.linear")
    result: dict[str, Any] = {}
    for share in (0.0, 0.4):
        with accelerator():
            planner = load_planner(precision="float32")
        planner.lm.patcher.partially_load(META, max(1, int(planner.lm.patcher.model_size() * share)))
        lm = planner.lm.patcher.model
        with torch.inference_mode():
            decoder = decoding.CachedDecoder(lm, 2, 20, dtype=torch.float32, device=META)
            decoder.read_prompts(([1, 2, 3], [4]), lambda: None)
            hidden = decoder.static_step()(torch.tensor([5, 6], device=META))
            head = linear.logits_head(lm.embed_tokens, 0, 100, dtype=torch.float32, device=META)
            result[str(share)] = [str(hidden.device), str(head(hidden).device)]
        del planner, lm, decoder, head, hidden
        gc.collect()
    return result


def streaming_keeps_results() -> dict[str, Any]:
    """On the CPU: a planner of which the host loaded a part writes what a wholly loaded one writes."""
    planner = load_planner()
    expected = codes_of(planner)
    planner.lm.patcher.detach()
    planner.lm.patcher.load(CPU, lowvram_model_memory=planner.lm.patcher.model_size() // 3)
    lowvram = planner.lm.patcher.model.model_lowvram
    with replaced(management(), load_models_gpu=lambda *_, **__: None):
        return {"partially loaded": lowvram, "equal": codes_of(planner) == expected}


def cancel() -> dict[str, str]:
    """What writing codes raises once the user has asked."""
    sampling = pack_module("ace_core.planner.token_choice").SamplingParameters()
    raised: dict[str, str] = {}
    for name in ("full", "int8"):
        ready = ready_planner(load_planner(weights=name), songs=1)
        management().interrupt_current_processing(True)
        try:
            with torch.inference_mode():
                pack_module("ace_core.planner.code_generation").generate_codes(
                    ready.lm, [[1]], None, [9], sampling, [0]
                )
            raised[name] = "nothing"
        except BaseException as error:  # what it derives from depends on the host
            raised[name] = type(error).__name__
        finally:
            management().interrupt_current_processing(False)
    return raised


def choices() -> dict[str, list[str]]:
    """The list of planners for some files of a user; the first one is the default."""
    folders, choice = pack_module("nodes.host.folders"), pack_module("nodes.load.choices")
    files = {
        "text_encoders": [
            "clip_l.safetensors",
            "glm_4_9b.safetensors",
            "qwen_0.6b_ace15.safetensors",
            "qwen_1.7b_ace15.safetensors",
            "t5xxl.safetensors",
        ],
        "checkpoints": ["ace_step_1.5_turbo_aio.safetensors", "sd15.safetensors"],
        "ace_step": [
            f"{folder}/{name}"
            for folder in ("acestep-5hz-lm-0.6B", "acestep-v15-turbo")
            for name in ("config.json", "model.safetensors")
        ],
    }

    def options() -> list[str]:
        with replaced(folders, model_files=lambda folder: files.get(folder, [])):
            return choice.planner_places()

    result = {"all": options()}
    with replaced(folders, model_files=lambda folder: files.get(folder, [])):
        result["models"] = choice.model_places()
    del files["ace_step"], files["text_encoders"][3]
    result["without a planner"] = options()
    return result


def dequantised() -> dict[str, float]:
    """How far the int8 network's hidden states are from the full one's, relative to their size."""
    full, int8 = load_planner().lm.patcher.model, load_planner(weights="int8").lm.patcher.model
    ids = torch.arange(1, 40)[None]

    def states(network: Any) -> Tensor:
        with torch.inference_mode():
            return network(ids, torch.float32)

    return {"relative error": float((states(int8) - states(full)).norm() / states(full).norm())}


CASES = (
    sharing,
    adapters,
    streamed_adapters,
    int8_on_an_accelerator,
    streaming_to_an_accelerator,
    streaming_keeps_results,
    cancel,
    choices,
    dequantised,
)

if __name__ == "__main__":
    main(CASES)
