"""Small seeded checkpoints in every published layout, with the true tensor names.

The networks are ACE-Step 1.5 in miniature: same structure, same strides, same number of latent channels, few layers and
narrow widths. The weights are random, scaled so that a run ends in bounded, audible noise. One seed gives the same
model in every layout, so all of them must load to the same tensors.

The text encoder has the published 151669 embedding rows (of 8 numbers), so it works with the real Qwen vocabulary as
well as with the small tokenizer written beside the folder layouts, whose special tokens have their published ids.

    python tests/tiny_checkpoints.py MODELS_DIR     # fills a ComfyUI models directory
"""

from __future__ import annotations

import json
import math
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, Literal

if not __package__:  # run as a script: the repository is not on the path
    sys.path.insert(0, str(Path(__file__).resolve().parents[2]))

import torch
from adapter_files import STYLES, attention_shapes, random_lora
from networks import PEER_NAMES, random_state
from safetensors.torch import save_file
from tokenizers import Tokenizer, decoders, normalizers, pre_tokenizers, processors, trainers
from tokenizers.models import BPE
from torch import Tensor, nn

from ace_core.checkpoints.inspection import inspect_vae
from ace_core.checkpoints.loading import build_network
from ace_core.checkpoints.silence import compute_silence
from ace_core.checkpoints.tokenizer import (
    END_OF_TEXT,
    FIRST_SPECIAL_ID,
    SPECIAL_TOKENS,
    added_tokens,
    word_splitter,
)
from ace_core.models.audio_tokenizer import AudioTokenizer, AudioTokenizerConfig
from ace_core.models.condition_encoder import ConditionEncoder, ConditionEncoderConfig
from ace_core.models.dit import DiT, DiTConfig
from ace_core.models.layers import EncoderConfig
from ace_core.models.qwen3 import Qwen3, Qwen3Config

Layout = Literal["official", "official_sharded", "comfyui", "all_in_one", "diffusers", "diffusers_sharded"]
Size = Literal["2b", "xl"]
Kind = Literal["turbo", "base", "sft"]
Weights = Mapping[str, Tensor]

LAYOUTS: tuple[Layout, ...] = (
    "official",
    "official_sharded",
    "comfyui",
    "all_in_one",
    "diffusers",
    "diffusers_sharded",
)
LORAS = ("my_style.safetensors", "my_singer.safetensors")
EMBEDDING_ROWS = FIRST_SPECIAL_ID + len(SPECIAL_TOKENS)
PLANNER_ROWS = 217_204
VAE_CHANNELS = 6
CHANNEL_MULTIPLES = (1, 2, 4, 8, 16)
STRIDES = (2, 4, 4, 6, 10)
LATENT_CHANNELS = 64

_ENCODER = EncoderConfig(
    hidden_size=64,
    intermediate_size=96,
    num_heads=4,
    num_kv_heads=2,
    head_dim=16,
    sliding_window=128,
    rope_theta=1e6,
    rms_norm_eps=1e-6,
)
_TEXT_ENCODER = Qwen3Config(
    vocab_size=EMBEDDING_ROWS,
    hidden_size=8,
    intermediate_size=16,
    num_layers=2,
    num_heads=2,
    num_kv_heads=1,
    head_dim=8,
    rope_theta=1e6,
    rms_norm_eps=1e-6,
)
_FSQ_LEVELS = (8, 8, 8, 5, 5, 5)
_HEADER = {"lyric_alignment_layers_config": '{"1": [2, 3], "2": [0]}'}  # of single files, which have no config.json


@dataclass(frozen=True)
class TinyPaths:
    """What a user would choose: each a file or a folder, depending on the layout."""

    model: Path
    text_encoder: Path
    vae: Path


@dataclass(frozen=True)
class TinyModel:
    """The weights of one seed under official names, before they are written in a layout."""

    size: Size
    kind: Kind
    model: Weights
    text_encoder: Weights
    vae: Weights  # with weight_g and weight_v
    silence: Tensor  # [1, 15000, 64] fp32


def dit_config(size: Size) -> DiTConfig:
    """Config of the small decoder; XL's is wider than the condition encoder and its attention wider than itself."""
    xl = size == "xl"
    return DiTConfig(
        hidden_size=80 if xl else _ENCODER.hidden_size,
        intermediate_size=112 if xl else 96,
        num_layers=4,
        num_heads=8 if xl else 4,
        num_kv_heads=2,
        head_dim=16,
        condition_size=_ENCODER.hidden_size,
        in_channels=3 * LATENT_CHANNELS,
        latent_channels=LATENT_CHANNELS,
        patch_size=2,
        sliding_window=128,
        rope_theta=1e6,
        rms_norm_eps=1e-6,
    )


def write_tiny(root: Path, layout: Layout, *, size: Size = "2b", kind: Kind = "turbo", seed: int = 0) -> TinyPaths:
    """Write one small model under `root` (created) and say what to choose."""
    root.mkdir(parents=True, exist_ok=True)
    model = tiny_model(size, kind, seed)
    if layout == "comfyui":
        return write_split_files(root, root, root, model)
    if layout == "all_in_one":
        return write_all_in_one(root, model)
    if layout in ("diffusers", "diffusers_sharded"):
        return _write_diffusers(root, model, shards=2 if layout == "diffusers_sharded" else 1)
    return _write_official(root, model, shards=3 if layout == "official_sharded" else 1)


def write_host_models(models_dir: Path, *, seed: int = 0) -> dict[str, TinyPaths]:
    """Fill a ComfyUI models directory with every layout, 2B turbo unless the key says otherwise, and two LoRAs.

    Returns:
        What was written: "comfyui", "comfyui_base", "comfyui_xl", "all_in_one", "official", "diffusers".
    """
    models_dir.mkdir(parents=True, exist_ok=True)
    turbo = tiny_model("2b", "turbo", seed)
    split = {
        name: models_dir / name for name in ("diffusion_models", "text_encoders", "vae", "checkpoints", "ace_step")
    }
    for folder in split.values():
        folder.mkdir(exist_ok=True)
    _write_loras(models_dir / "loras", turbo, seed)

    def write_split(model: TinyModel) -> TinyPaths:
        return write_split_files(split["diffusion_models"], split["text_encoders"], split["vae"], model)

    return {
        "comfyui": write_split(turbo),
        "comfyui_base": write_split(tiny_model("2b", "base", seed)),
        "comfyui_xl": write_split(tiny_model("xl", "turbo", seed)),
        "all_in_one": write_all_in_one(split["checkpoints"], turbo),
        "official": _write_official(split["ace_step"], turbo, shards=1),
        "diffusers": _write_diffusers(split["ace_step"] / "acestep-v15-turbo-diffusers", turbo, shards=1),
    }


def _write_loras(folder: Path, model: TinyModel, seed: int) -> None:
    """The adapters of the published workflows; small ones, which fit turbo and base alike."""
    folder.mkdir(exist_ok=True)
    decoder = {name.removeprefix("decoder."): tensor for name, tensor in model.model.items() if "decoder." in name}
    for number, name in enumerate(LORAS):
        STYLES["comfyui"](folder / name, random_lora(attention_shapes(decoder), seed=seed + number, size=0.05))


def tiny_model(size: Size, kind: Kind, seed: int) -> TinyModel:
    """The weights of `seed`. Text encoder, VAE and silence do not depend on size and kind."""
    config = dit_config(size)
    conditioner = ConditionEncoderConfig(_ENCODER, _TEXT_ENCODER.hidden_size, LATENT_CHANNELS, 2, 2, size == "xl")
    tokenizer = AudioTokenizerConfig(_ENCODER, LATENT_CHANNELS, 2, 2, 5, _FSQ_LEVELS)
    dit = random_state(DiT(config, ops=nn, device="meta"), seed, torch.bfloat16)
    model = {("" if name == "null_condition_emb" else "decoder.") + _patch_name(name): dit[name] for name in dit}
    encoder = random_state(ConditionEncoder(conditioner, ops=nn, device="meta"), seed + 1, torch.bfloat16)
    model |= {f"encoder.{name}": tensor for name, tensor in encoder.items()}
    model |= random_state(AudioTokenizer(tokenizer, ops=nn, device="meta"), seed + 2, torch.bfloat16)
    text_encoder, vae, silence = _shared(seed)
    return TinyModel(size, kind, model, text_encoder, vae, silence)


def tiny_tokenizer() -> Tokenizer:
    """A byte-level BPE of a few hundred tokens, with Qwen3's rules, special tokens and their published ids."""
    backend = Tokenizer(BPE())
    trainer = trainers.BpeTrainer(
        vocab_size=600, initial_alphabet=sorted(pre_tokenizers.ByteLevel.alphabet()), show_progress=False
    )
    backend.pre_tokenizer = word_splitter()
    backend.train_from_iterator(_CORPUS, trainer)
    trained = json.loads(backend.to_str())["model"]
    special = {token: FIRST_SPECIAL_ID + index for index, token in enumerate(SPECIAL_TOKENS)}
    merges = [tuple(pair) for pair in trained["merges"]]
    tokenizer = Tokenizer(BPE(vocab=trained["vocab"] | special, merges=merges))
    tokenizer.pre_tokenizer = word_splitter()
    tokenizer.normalizer = normalizers.NFC()
    tokenizer.decoder = decoders.ByteLevel()
    tokenizer.post_processor = processors.Sequence(
        [
            processors.ByteLevel(trim_offsets=False),
            processors.TemplateProcessing(single=f"$A {END_OF_TEXT}", special_tokens=[(END_OF_TEXT, FIRST_SPECIAL_ID)]),
        ]
    )
    tokenizer.add_tokens(added_tokens())
    return tokenizer


def diffusers_weights(model: TinyModel) -> dict[str, dict[str, Tensor]]:
    """The model under diffusers' names, a dictionary for each component folder."""
    renames = (("proj_in.1.", "proj_in_conv."), ("proj_out.1.", "proj_out_conv."), *PEER_NAMES)
    folders = {
        "decoder": "transformer",
        "encoder": "condition_encoder",
        "tokenizer": "audio_tokenizer",
        "detokenizer": "audio_token_detokenizer",
    }
    components: dict[str, dict[str, Tensor]] = {folder: {} for folder in folders.values()}
    for name, tensor in model.model.items():
        head, _, rest = name.partition(".")
        for official, theirs in renames:
            rest = rest.replace(official, theirs)
        if rest:
            components[folders[head]][rest] = tensor
        else:
            components["condition_encoder"][head] = tensor
    components["condition_encoder"]["silence_latent"] = model.silence.to(torch.bfloat16)
    return components


def stable_audio_vae(vae: Weights, *, parametrizations: bool) -> dict[str, Tensor]:
    """The VAE as stable-audio-tools names it: numbered modules, snake parameters [C]."""
    unit = {"snake1": 0, "conv1": 1, "snake2": 2, "conv2": 3}
    blocks = {
        "encoder": {"res_unit1": 0, "res_unit2": 1, "res_unit3": 2, "snake1": 3, "conv1": 4},
        "decoder": {"snake1": 0, "conv_t1": 1, "res_unit1": 2, "res_unit2": 3, "res_unit3": 4},
    }
    ends = {"conv1": 0, "snake1": len(STRIDES) + 1, "conv2": len(STRIDES) + 2}
    leaves = {"weight_g": "parametrizations.weight.original0", "weight_v": "parametrizations.weight.original1"}
    renamed = {}
    for name, tensor in vae.items():
        half, *modules, leaf = name.split(".")
        if modules[0] == "block":
            numbers = [int(modules[1]) + 1, blocks[half][modules[2]], *(unit[module] for module in modules[3:])]
        else:
            numbers = [ends[modules[0]]]
        path = "".join(f".layers.{number}" for number in numbers)
        leaf = leaves.get(leaf, leaf) if parametrizations else leaf
        renamed[f"{half}{path}.{leaf}"] = tensor.flatten() if leaf in ("alpha", "beta") else tensor
    return renamed


def _patch_name(name: str) -> str:
    return name.replace("proj_in.", "proj_in.1.").replace("proj_out.", "proj_out.1.")


def _random_vae(seed: int) -> dict[str, Tensor]:
    """Oobleck weights that keep activations near 1 and end in a waveform that peaks between 0.1 and 1."""
    generator = torch.Generator().manual_seed(seed)
    weights: dict[str, Tensor] = {}

    def noise(*shape: int) -> Tensor:
        return torch.randn(shape, generator=generator)

    def conv(name: str, shape: tuple[int, int, int], gain: float, bias: int | None, *, high_pass: bool = False) -> None:
        direction = noise(*shape)
        if high_pass:  # snakes are positive on average; without this the waveform would sit on an offset
            direction -= direction.mean(dim=2, keepdim=True)
        if bias is not None:
            weights[f"{name}.bias"] = 0.05 * noise(bias)
        weights[f"{name}.weight_g"] = gain * (1 + 0.1 * noise(shape[0], 1, 1))
        weights[f"{name}.weight_v"] = direction

    def snake(name: str, channels: int) -> None:
        weights[f"{name}.alpha"] = 0.1 * noise(1, channels, 1)
        weights[f"{name}.beta"] = 0.1 * noise(1, channels, 1)

    def unit(name: str, channels: int) -> None:
        snake(f"{name}.snake1", channels)
        conv(f"{name}.conv1", (channels, channels, 7), 0.6, channels)
        snake(f"{name}.snake2", channels)
        conv(f"{name}.conv2", (channels, channels, 1), 0.3, channels)

    widths = [VAE_CHANNELS * multiple for multiple in (1, *CHANNEL_MULTIPLES)]
    conv("encoder.conv1", (widths[0], 2, 7), 3.0, widths[0])
    for index, stride in enumerate(STRIDES):
        block, width, wider = f"encoder.block.{index}", widths[index], widths[index + 1]
        for number in (1, 2, 3):
            unit(f"{block}.res_unit{number}", width)
        snake(f"{block}.snake1", width)
        conv(f"{block}.conv1", (wider, width, 2 * stride), 0.6, wider)
    snake("encoder.snake1", widths[-1])
    conv("encoder.conv2", (2 * LATENT_CHANNELS, widths[-1], 3), 6.0, 2 * LATENT_CHANNELS)

    conv("decoder.conv1", (widths[-1], LATENT_CHANNELS, 7), 1.0, widths[-1])
    for index, stride in enumerate(reversed(STRIDES)):
        block, width, narrower = f"decoder.block.{index}", widths[-1 - index], widths[-2 - index]
        snake(f"{block}.snake1", width)
        conv(f"{block}.conv_t1", (width, narrower, 2 * stride), 0.7 * math.sqrt(narrower * stride / width), narrower)
        for number in (1, 2, 3):
            unit(f"{block}.res_unit{number}", narrower)
    snake("decoder.snake1", widths[0])
    conv("decoder.conv2", (2, widths[0], 7), 0.1, None, high_pass=True)
    return {name: tensor.to(torch.bfloat16) for name, tensor in weights.items()}


@lru_cache(maxsize=4)
def _shared(seed: int) -> tuple[Weights, Weights, Tensor]:
    """Text encoder, VAE and silence latent, which do not depend on the model's size and kind."""
    text_encoder = random_state(Qwen3(_TEXT_ENCODER, ops=nn, device="meta"), seed + 3, torch.bfloat16)
    vae = _random_vae(seed + 4)
    with TemporaryDirectory() as folder:
        file = Path(folder) / "vae.safetensors"
        save_file(vae, file)
        network = build_network(inspect_vae(file), ops=nn, dtype=torch.float32)
        with torch.no_grad():
            silence = compute_silence(network.encode)
        del network
    return text_encoder, vae, silence


def write_split_files(diffusion_models: Path, text_encoders: Path, vaes: Path, model: TinyModel) -> TinyPaths:
    """Write ComfyUI's three files."""
    names = {"2b": f"acestep_v1.5_{model.kind}.safetensors", "xl": f"acestep_v1.5_xl_{model.kind}_bf16.safetensors"}
    paths = TinyPaths(
        diffusion_models / names[model.size],
        text_encoders / "qwen_0.6b_ace15.safetensors",
        vaes / "ace_1.5_vae.safetensors",
    )
    save_file(dict(model.model), paths.model, metadata=_HEADER)
    save_file({f"model.{name}": tensor for name, tensor in model.text_encoder.items()}, paths.text_encoder)
    save_file(stable_audio_vae(model.vae, parametrizations=True), paths.vae)
    return paths


def write_all_in_one(folder: Path, model: TinyModel) -> TinyPaths:
    """Write ComfyUI's one file of everything, with a part of a planner."""
    size = "_xl" if model.size == "xl" else ""
    path = folder / f"ace_step_1.5{size}_{model.kind}_aio.safetensors"
    weights = {f"model.diffusion_model.{name}": tensor for name, tensor in model.model.items()}
    weights |= {f"vae.{name}": tensor for name, tensor in stable_audio_vae(model.vae, parametrizations=False).items()}
    text_encoder = "text_encoders.qwen3_06b.transformer.model."
    weights |= {text_encoder + name: tensor for name, tensor in model.text_encoder.items()}
    planner = "text_encoders.qwen3_2b.transformer.model."  # only enough of it to be in the way
    weights[planner + "embed_tokens.weight"] = torch.zeros(PLANNER_ROWS // 64, 8, dtype=torch.bfloat16)
    weights[planner + "norm.weight"] = torch.ones(8, dtype=torch.bfloat16)
    save_file(weights, path, metadata=_HEADER)
    return TinyPaths(path, path, path)


def _write_official(root: Path, model: TinyModel, *, shards: int) -> TinyPaths:
    size = "xl-" if model.size == "xl" else ""
    paths = TinyPaths(root / f"acestep-v15-{size}{model.kind}", root / "Qwen3-Embedding-0.6B", root / "vae")
    for folder in (paths.model, paths.text_encoder, paths.vae):
        folder.mkdir(parents=True, exist_ok=True)
    _write_json(paths.model / "config.json", official_config(model.size, model.kind))
    save_shards(paths.model, "model", model.model, shards)
    torch.save(model.silence.transpose(1, 2).contiguous(), paths.model / "silence_latent.pt")
    _write_text_encoder(paths.text_encoder, model.text_encoder, shards)
    _write_tokenizer(paths.text_encoder)
    _write_vae(paths.vae, model.vae)
    return paths


def _write_diffusers(root: Path, model: TinyModel, *, shards: int) -> TinyPaths:
    configs = diffusers_configs(official_config(model.size, model.kind))
    for component, weights in diffusers_weights(model).items():
        (root / component).mkdir(parents=True, exist_ok=True)
        _write_json(root / component / "config.json", configs[component])
        save_shards(root / component, "diffusion_pytorch_model", weights, shards)
    _write_text_encoder(root / "text_encoder", model.text_encoder, shards)
    _write_tokenizer(root / "tokenizer")
    _write_vae(root / "vae", model.vae)
    (root / "scheduler").mkdir(exist_ok=True)
    scheduler = {"_class_name": "FlowMatchEulerDiscreteScheduler", "num_train_timesteps": 1, "shift": 1.0}
    _write_json(root / "scheduler" / "scheduler_config.json", scheduler)
    index = {component: ["diffusers", config["_class_name"]] for component, config in configs.items()}
    index |= {
        "vae": ["diffusers", "AutoencoderOobleck"],
        "text_encoder": ["transformers", "Qwen3Model"],
        "tokenizer": ["transformers", "PreTrainedTokenizerFast"],
        "scheduler": ["diffusers", "FlowMatchEulerDiscreteScheduler"],
    }
    _write_json(root / "model_index.json", {"_class_name": "AceStepPipeline", "_diffusers_version": "0.39.0", **index})
    return TinyPaths(root, root, root)


def official_config(size: Size, kind: Kind) -> dict[str, Any]:
    """`config.json` of an official folder."""
    dit = dit_config(size)
    config = {
        "architectures": ["AceStepConditionGenerationModel"],
        "model_type": "acestep",
        "dtype": "bfloat16",
        "hidden_size": dit.hidden_size,
        "intermediate_size": dit.intermediate_size,
        "num_hidden_layers": dit.num_layers,
        "num_attention_heads": dit.num_heads,
        "num_key_value_heads": dit.num_kv_heads,
        "head_dim": dit.head_dim,
        "layer_types": ["full_attention" if index % 2 else "sliding_attention" for index in range(dit.num_layers)],
        "use_sliding_window": True,
        "sliding_window": dit.sliding_window,
        "rope_theta": 1000000,
        "rope_scaling": None,
        "rms_norm_eps": dit.rms_norm_eps,
        "hidden_act": "silu",
        "attention_bias": False,
        "attention_dropout": 0.0,
        "in_channels": dit.in_channels,
        "audio_acoustic_hidden_dim": dit.latent_channels,
        "patch_size": dit.patch_size,
        "text_hidden_dim": _TEXT_ENCODER.hidden_size,
        "timbre_hidden_dim": LATENT_CHANNELS,
        "timbre_fix_frame": 750,
        "num_lyric_encoder_hidden_layers": 2,
        "num_timbre_encoder_hidden_layers": 2,
        "num_attention_pooler_hidden_layers": 2,
        "num_audio_decoder_hidden_layers": 24,
        "pool_window_size": 5,
        "fsq_dim": _ENCODER.hidden_size,
        "fsq_input_levels": list(_FSQ_LEVELS),
        "fsq_input_num_quantizers": 1,
        "is_turbo": kind == "turbo",
        "model_version": f"xl_{kind}" if size == "xl" else kind,
    }
    if size == "xl":
        config["encoder_hidden_size"] = _ENCODER.hidden_size
        config["encoder_intermediate_size"] = _ENCODER.intermediate_size
        config["encoder_num_attention_heads"] = _ENCODER.num_heads
        config["encoder_num_key_value_heads"] = _ENCODER.num_kv_heads
    return config


def diffusers_configs(official: Mapping[str, Any]) -> dict[str, dict[str, Any]]:
    """`config.json` of each component folder, from that of an official folder."""

    def pick(names: str) -> dict[str, Any]:
        return {name: official[name] for name in names.split() if name in official}

    def of_encoder(name: str) -> Any:
        return official.get(f"encoder_{name}", official[name])

    shared = pick("head_dim rope_theta rms_norm_eps sliding_window")
    sizes = "hidden_size intermediate_size num_attention_heads num_key_value_heads"
    encoder = shared | {name: of_encoder(name) for name in sizes.split()}
    tokens = encoder | pick("audio_acoustic_hidden_dim pool_window_size num_attention_pooler_hidden_layers")
    transformer = shared | pick(
        f"{sizes} num_hidden_layers in_channels audio_acoustic_hidden_dim patch_size layer_types"
    )
    conditions = pick("text_hidden_dim timbre_hidden_dim num_lyric_encoder_hidden_layers")
    conditions |= pick("num_timbre_encoder_hidden_layers")
    return {
        "transformer": {
            "_class_name": "AceStepTransformer1DModel",
            **transformer,
            **pick("is_turbo model_version"),
            "encoder_hidden_size": of_encoder("hidden_size"),
        },
        "condition_encoder": {"_class_name": "AceStepConditionEncoder", **encoder, **conditions},
        "audio_tokenizer": {
            "_class_name": "AceStepAudioTokenizer",
            **tokens,
            **pick("fsq_dim fsq_input_levels fsq_input_num_quantizers"),
        },
        "audio_token_detokenizer": {"_class_name": "AceStepAudioTokenDetokenizer", **tokens},
    }


def _write_text_encoder(folder: Path, weights: Weights, shards: int) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    config = {
        "architectures": ["Qwen3Model"],
        "model_type": "qwen3",
        "dtype": "bfloat16",
        "vocab_size": _TEXT_ENCODER.vocab_size,
        "hidden_size": _TEXT_ENCODER.hidden_size,
        "intermediate_size": _TEXT_ENCODER.intermediate_size,
        "num_hidden_layers": _TEXT_ENCODER.num_layers,
        "num_attention_heads": _TEXT_ENCODER.num_heads,
        "num_key_value_heads": _TEXT_ENCODER.num_kv_heads,
        "head_dim": _TEXT_ENCODER.head_dim,
        "hidden_act": "silu",
        "max_position_embeddings": 32768,
        "rms_norm_eps": _TEXT_ENCODER.rms_norm_eps,
        "rope_theta": 1000000,
        "rope_scaling": None,
        "sliding_window": None,
        "use_sliding_window": False,
        "tie_word_embeddings": True,
    }
    _write_json(folder / "config.json", config)
    save_shards(folder, "model", weights, shards)


def _write_tokenizer(folder: Path) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    tiny_tokenizer().save(str(folder / "tokenizer.json"))
    config = {"tokenizer_class": "PreTrainedTokenizerFast", "pad_token": END_OF_TEXT, "model_max_length": 131072}
    _write_json(folder / "tokenizer_config.json", config)


def _write_vae(folder: Path, weights: Weights) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    config = {
        "_class_name": "AutoencoderOobleck",
        "audio_channels": 2,
        "channel_multiples": list(CHANNEL_MULTIPLES),
        "decoder_channels": VAE_CHANNELS,
        "decoder_input_channels": LATENT_CHANNELS,
        "downsampling_ratios": list(STRIDES),
        "encoder_hidden_size": VAE_CHANNELS,
        "sampling_rate": 48000,
    }
    _write_json(folder / "config.json", config)
    save_shards(folder, "diffusion_pytorch_model", weights, 1)


def save_shards(folder: Path, stem: str, weights: Weights, shards: int) -> None:
    """One file, or `shards` of them with their index."""
    if shards == 1:
        save_file(dict(weights), folder / f"{stem}.safetensors")
        return
    weight_map = {}
    for number in range(shards):
        file = f"{stem}-{number + 1:05d}-of-{shards:05d}.safetensors"
        part = {name: weights[name] for name in list(weights)[number::shards]}
        save_file(part, folder / file)
        weight_map |= dict.fromkeys(part, file)
    total = sum(tensor.numel() * tensor.element_size() for tensor in weights.values())
    index = {"metadata": {"total_size": total}, "weight_map": weight_map}
    _write_json(folder / f"{stem}.safetensors.index.json", index)


def _write_json(path: Path, content: Mapping[str, Any]) -> None:
    path.write_text(json.dumps(content, indent=2) + "\n", encoding="utf-8")


_CORPUS = (
    "# Instruction\nFill the audio semantic mask based on the given conditions:\n\n# Caption\nA bright pop song with "
    "warm synths, tight drums, a driving bass and a female voice.\n\n# Metas\n- bpm: 120\n- timesignature: 4\n"
    "- keyscale: C major\n- duration: 30 seconds\n",
    "Generate audio semantic tokens based on the given conditions:\nRepaint the mask area:",
    "# Languages\nen\n\n# Lyric\n[Verse 1]\nWalking down the street with the radio on\nEvery night I hear your song\n"
    "\n[Chorus]\nSing it to the stars and let it go\nEverything is moving soft and slow\n[Instrumental]",
    "slow acoustic guitar ballad, piano, strings, melancholic, male vocals, lo-fi, electronic, house, rock, jazz",
    "fast energetic dance track with heavy kick, distorted lead, choir, brass, flute, saxophone, organ, N/A minor",
)


def main() -> None:
    if len(sys.argv) != 2:
        raise SystemExit("usage: python tests/tiny_checkpoints.py MODELS_DIR")
    for name, paths in write_host_models(Path(sys.argv[1])).items():
        print(f"{name}: {paths.model}")


if __name__ == "__main__":
    main()
