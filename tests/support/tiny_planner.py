"""Small seeded 5 Hz planners in the published layouts, and transformers' model over the same weights.

A planner has all 217204 published rows, so every token id is the real one, but only 32 numbers a row. Embeddings are
small against what the layers add, so that the next token depends on all of the text and not just on the last token.

    python tests/tiny_planner.py MODELS_DIR     # adds ComfyUI's file to a ComfyUI models directory
"""

from __future__ import annotations

import json
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Literal

import torch
from safetensors.torch import save_file
from tiny_checkpoints import PLANNER_ROWS, tiny_tokenizer
from torch import Tensor, nn
from transformers import Qwen3Config as PeerConfig
from transformers import Qwen3ForCausalLM

from ace_core.models.qwen3 import Qwen3, Qwen3Config
from ace_core.planner.linear import decoding_ops
from ace_core.planner.vocabulary import FIRST_CODE

PlannerLayout = Literal["official", "official_sharded", "comfyui", "all_in_one"]
PLANNER_LAYOUTS: tuple[PlannerLayout, ...] = ("official", "official_sharded", "comfyui", "all_in_one")
EMBEDDING_SIZE = 0.2
NEWLINES = (198, 624, 715, 345, 510, 401, 280, 3646)
FIELD_NAMES = (15136, 17021, 10563, 11528)  # the first token of each
STOP_TOKEN = 151_645
ENDINGS = (*NEWLINES, *FIELD_NAMES)
ENDING_FACTOR = 16

TINY = Qwen3Config(
    vocab_size=PLANNER_ROWS,
    hidden_size=32,
    intermediate_size=48,
    num_layers=2,
    num_heads=4,
    num_kv_heads=2,
    head_dim=16,
    rope_theta=1e6,
    rms_norm_eps=1e-6,
)


def planner_weights(seed: int, config: Qwen3Config = TINY) -> dict[str, Tensor]:
    """bf16 weights under official names."""
    generator = torch.Generator().manual_seed(seed)
    weights = {}
    for name, parameter in Qwen3(config, ops=nn, device="meta").named_parameters():
        noise = torch.randn(parameter.shape, generator=generator)
        if parameter.ndim == 1:
            tensor = 1 + 0.1 * noise
        elif name == "embed_tokens.weight":
            tensor = EMBEDDING_SIZE * noise
        else:
            tensor = 2 * noise / parameter.shape[1] ** 0.5
        weights[name] = tensor.to(torch.bfloat16)
    return weights


def planner_network(weights: Mapping[str, Tensor], config: Qwen3Config = TINY) -> Qwen3:
    """The planner in fp32."""
    network = Qwen3(config, ops=decoding_ops(nn), device="meta")
    network.load_state_dict({name: tensor.float() for name, tensor in weights.items()}, assign=True)
    return network.eval().requires_grad_(False)


def planner_peer(weights: Mapping[str, Tensor], config: Qwen3Config = TINY) -> Qwen3ForCausalLM:
    """transformers' model in fp32."""
    peer = Qwen3ForCausalLM(PeerConfig(**planner_settings(config)))
    peer.load_state_dict({f"model.{name}": tensor.float() for name, tensor in weights.items()}, strict=False)
    peer.tie_weights()
    return peer.eval().requires_grad_(False)


def planner_settings(config: Qwen3Config = TINY) -> dict[str, object]:
    """`config.json` of an official folder."""
    return {
        "architectures": ["Qwen3Model"],
        "model_type": "qwen3",
        "dtype": "bfloat16",
        "vocab_size": config.vocab_size,
        "hidden_size": config.hidden_size,
        "intermediate_size": config.intermediate_size,
        "num_hidden_layers": config.num_layers,
        "num_attention_heads": config.num_heads,
        "num_key_value_heads": config.num_kv_heads,
        "head_dim": config.head_dim,
        "hidden_act": "silu",
        "max_position_embeddings": 40960,
        "rms_norm_eps": config.rms_norm_eps,
        "rope_theta": 1000000,
        "rope_scaling": None,
        "sliding_window": None,
        "use_sliding_window": False,
        "tie_word_embeddings": True,
    }


def planner_tokenizer() -> dict[str, Any]:
    """`tokenizer.json` of an official folder: the small tokenizer with a token for each row of audio codes."""
    document: dict[str, Any] = json.loads(tiny_tokenizer().to_str())
    flags = dict.fromkeys(("single_word", "lstrip", "rstrip", "normalized", "special"), False)
    document["added_tokens"] += [
        {"id": FIRST_CODE + code, "content": f"<|audio_code_{code}|>"} | flags
        for code in range(PLANNER_ROWS - FIRST_CODE)
    ]
    return document


def write_tiny_planner(root: Path, layout: PlannerLayout, *, seed: int = 0, short_answers: bool = False) -> Path:
    """Write a planner under `root` (created) and say what to choose: a folder, or a file of ComfyUI's.

    short_answers: what ends a text is so loud that it comes within a few dozen tokens of the real Qwen vocabulary.
    """
    root.mkdir(parents=True, exist_ok=True)
    weights = planner_weights(seed)
    if short_answers:
        embedding = weights["embed_tokens.weight"]
        embedding[list(ENDINGS)] *= ENDING_FACTOR
        embedding[STOP_TOKEN] = embedding[list(ENDINGS)].sum(0)  # what ends a line is soon followed by the stop token
    if layout == "comfyui":
        path = root / "qwen_1.7b_ace15.safetensors"
        save_file({f"model.{name}": tensor for name, tensor in weights.items()}, path)
        return path
    if layout == "all_in_one":  # with no more of the other networks than tells what it is
        path = root / "ace_step_1.5_turbo_aio.safetensors"
        prefix = "text_encoders.qwen3_4b.transformer.model."
        others = {"model.diffusion_model.encoder.lyric_encoder.norm.weight": torch.ones(8)}
        save_file({prefix + name: tensor for name, tensor in weights.items()} | others, path)
        return path
    folder = root / "acestep-5Hz-lm-0.6B"
    folder.mkdir(exist_ok=True)
    _write_json(folder / "config.json", planner_settings())
    _write_json(folder / "tokenizer.json", planner_tokenizer())
    if layout == "official":
        save_file(weights, folder / "model.safetensors")
        return folder
    weight_map = {}
    for number in (1, 2):
        file = f"model-{number:05d}-of-00002.safetensors"
        part = {name: weights[name] for name in list(weights)[number - 1 :: 2]}
        save_file(part, folder / file)
        weight_map |= dict.fromkeys(part, file)
    _write_json(folder / "model.safetensors.index.json", {"metadata": {}, "weight_map": weight_map})
    return folder


def _write_json(path: Path, content: Mapping[str, object]) -> None:
    path.write_text(json.dumps(content, indent=2) + "\n", encoding="utf-8")


def main() -> None:
    if len(sys.argv) != 2:
        raise SystemExit("usage: python tests/tiny_planner.py MODELS_DIR")
    sys.stdout.write(f"{write_tiny_planner(Path(sys.argv[1]) / 'text_encoders', 'comfyui')}\n")


if __name__ == "__main__":
    main()
