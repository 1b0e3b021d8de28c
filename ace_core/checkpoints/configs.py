"""Network configs from tensor shapes, with `config.json` for what shapes do not tell.

Widths, head counts, layer counts and strides come from the tensors, so a file without a config loads too. Only the
sliding window, rotary base, norm epsilon and quantiser levels are settings; their defaults are the published values.

Traps:
- XL's attention is wider than its hidden size, so heads come from `q_proj` and the width of `q_norm`.
- The published config class says 24 detokenizer layers; the detokenizer has as many as the attention pooler (2).
- A layer count in the config that exceeds the file's is kept, so that the lost layers are reported as missing.
- Newer transformers versions write `rope_theta` into `rope_parameters`.
- `lyric_alignment_layers_config` has layer numbers for keys, which JSON makes text; its order is any.
"""

from __future__ import annotations

import math
import operator
from collections.abc import Mapping, Sequence
from pathlib import Path

from ..audio.waveform import LATENT_CHANNELS, SAMPLES_PER_FRAME
from ..checks import shown
from ..models.audio_tokenizer import AudioTokenizerConfig
from ..models.condition_encoder import ConditionEncoderConfig
from ..models.dit import DiTConfig, LayerHeads
from ..models.layers import EncoderConfig
from ..models.oobleck import OobleckConfig
from ..models.qwen3 import Qwen3Config
from .config_values import (
    Settings,
    layer_count,
    levels_setting,
    list_setting,
    positive_setting,
    table_setting,
    whole_setting,
)
from .files import CheckpointError
from .keys import Entry, last_index

SLIDING_WINDOW = 128
ROPE_THETA = 1_000_000.0
RMS_NORM_EPS = 1e-6
FSQ_LEVELS = (8, 8, 8, 5, 5, 5)
LYRIC_HEADS = "lyric_alignment_layers_config"

Entries = Mapping[str, Entry]


def dit_config(entries: Entries, settings: Settings, path: Path) -> DiTConfig:
    """Config of the diffusion transformer."""
    refuse_other_settings(settings, path, sliding=True)
    hidden_size, in_channels, patch_size = _shape(entries, "proj_in.weight", 3, path)
    heads, kv_heads, head_dim = _heads(entries, "layers.0.self_attn.", path)
    num_layers = layer_count(entries, "layers.", settings, "num_hidden_layers", path)
    return DiTConfig(
        hidden_size=hidden_size,
        intermediate_size=_shape(entries, "layers.0.mlp.gate_proj.weight", 2, path)[0],
        num_layers=num_layers,
        num_heads=heads,
        num_kv_heads=kv_heads,
        head_dim=head_dim,
        condition_size=_shape(entries, "condition_embedder.weight", 2, path)[1],
        in_channels=in_channels,
        latent_channels=_shape(entries, "proj_out.weight", 3, path)[1],
        patch_size=patch_size,
        sliding_window=whole_setting(settings, "sliding_window", SLIDING_WINDOW, path),
        rope_theta=_rope_theta(settings, path),
        rms_norm_eps=positive_setting(settings, "rms_norm_eps", RMS_NORM_EPS, path),
        lyric_heads=_lyric_heads(settings.get(LYRIC_HEADS) or {}, num_layers, heads, path),
    )


def condition_encoder_config(
    entries: Entries, settings: Settings, path: Path, *, timbre_cls_token: bool
) -> ConditionEncoderConfig:
    """Config of the condition encoder; whether it has a CLS token (XL) follows from the decoder, hence an argument."""
    lyric = "lyric_encoder.layers."
    timbre = "timbre_encoder.layers."
    return ConditionEncoderConfig(
        encoder=_encoder(entries, lyric + "0.", settings, path),
        text_hidden_size=_shape(entries, "text_projector.weight", 2, path)[1],
        timbre_size=_shape(entries, "timbre_encoder.embed_tokens.weight", 2, path)[1],
        num_lyric_layers=layer_count(entries, lyric, settings, "num_lyric_encoder_hidden_layers", path),
        num_timbre_layers=layer_count(entries, timbre, settings, "num_timbre_encoder_hidden_layers", path),
        timbre_cls_token=timbre_cls_token,
    )


def audio_tokenizer_config(entries: Entries, settings: Settings, path: Path) -> AudioTokenizerConfig:
    """Config of the audio tokenizer and detokenizer."""
    pooler = "tokenizer.attention_pooler.layers."
    announced = "num_attention_pooler_hidden_layers"
    return AudioTokenizerConfig(
        encoder=_encoder(entries, pooler + "0.", settings, path),
        latent_channels=_shape(entries, "tokenizer.audio_acoustic_proj.weight", 2, path)[1],
        num_pooler_layers=layer_count(entries, pooler, settings, announced, path),
        num_detokenizer_layers=layer_count(entries, "detokenizer.layers.", settings, announced, path),
        pool_window=_shape(entries, "detokenizer.special_tokens", 3, path)[1],
        fsq_levels=levels_setting(settings, "fsq_input_levels", FSQ_LEVELS, path),
    )


def qwen3_config(entries: Entries, settings: Settings, path: Path) -> Qwen3Config:
    """Config of the text encoder or the planner."""
    refuse_other_settings(settings, path, sliding=False)
    rows, hidden_size = _shape(entries, "embed_tokens.weight", 2, path)
    heads, kv_heads, head_dim = _heads(entries, "layers.0.self_attn.", path)
    return Qwen3Config(
        vocab_size=rows,
        hidden_size=hidden_size,
        intermediate_size=_shape(entries, "layers.0.mlp.gate_proj.weight", 2, path)[0],
        num_layers=layer_count(entries, "layers.", settings, "num_hidden_layers", path),
        num_heads=heads,
        num_kv_heads=kv_heads,
        head_dim=head_dim,
        rope_theta=_rope_theta(settings, path),
        rms_norm_eps=positive_setting(settings, "rms_norm_eps", RMS_NORM_EPS, path),
    )


def oobleck_config(entries: Entries, path: Path) -> OobleckConfig:
    """Config of the VAE.

    Raises:
        CheckpointError: it is an Oobleck of another frame rate (Stable Audio's has 2048 samples a frame).
    """
    channels, audio_channels, _ = _shape(entries, "encoder.conv1.weight", 3, path)
    blocks = last_index(entries, "encoder.block.") + 1
    convolutions = [_shape(entries, f"encoder.block.{index}.conv1.weight", 3, path) for index in range(blocks)]
    strides = tuple(kernel // 2 for _, _, kernel in convolutions)
    latent_channels = _shape(entries, "decoder.conv1.weight", 3, path)[1]
    if math.prod(strides) != SAMPLES_PER_FRAME or latent_channels != LATENT_CHANNELS:
        raise CheckpointError(
            f"{path} is a VAE with {math.prod(strides)} samples a frame and {latent_channels} channels; ACE-Step 1.5 "
            f"has {SAMPLES_PER_FRAME} and {LATENT_CHANNELS}. Choose ace_1.5_vae.safetensors or the folder vae."
        )
    return OobleckConfig(
        audio_channels=audio_channels,
        latent_channels=latent_channels,
        encoder_channels=channels,
        decoder_channels=_shape(entries, "decoder.conv2.weight", 3, path)[1],
        channel_multiples=tuple(width // channels for width, _, _ in convolutions),
        strides=strides,
    )


def refuse_other_settings(settings: Settings, path: Path, *, sliding: bool) -> None:
    """Raise CheckpointError for settings of config.json that no published model has and our networks do not compute.

    Args:
        sliding: whether even layers attend within a window (the model) or all layers to everything (Qwen3).
    """
    published: dict[str, object] = {
        "hidden_act": "silu",
        "rope_scaling": None,
        "use_sliding_window": sliding,
        "fsq_input_num_quantizers": 1,
        "is_lego_sft": False,  # the stems checkpoint takes captions of another form
    }
    found = {name: settings.get(name, value) for name, value in published.items()}
    parameters = table_setting(settings, "rope_parameters", path)
    published["rope_type"], found["rope_type"] = "default", parameters.get("rope_type", "default")
    layer_types = list_setting(settings, "layer_types", path)
    even = "sliding_attention" if sliding else "full_attention"
    published["layer_types"] = ["full_attention" if index % 2 else even for index in range(len(layer_types))]
    found["layer_types"] = layer_types
    for name, value in published.items():
        if found[name] != value:
            raise CheckpointError(
                f"the config.json of {path} sets {name} to {shown(found[name])}. Every published model has "
                f"{shown(value)}; nothing else is supported."
            )


def _encoder(entries: Entries, layer: str, settings: Settings, path: Path) -> EncoderConfig:
    intermediate_size, hidden_size = _shape(entries, layer + "mlp.gate_proj.weight", 2, path)
    heads, kv_heads, head_dim = _heads(entries, layer + "self_attn.", path)
    return EncoderConfig(
        hidden_size=hidden_size,
        intermediate_size=intermediate_size,
        num_heads=heads,
        num_kv_heads=kv_heads,
        head_dim=head_dim,
        sliding_window=whole_setting(settings, "sliding_window", SLIDING_WINDOW, path),
        rope_theta=_rope_theta(settings, path),
        rms_norm_eps=positive_setting(settings, "rms_norm_eps", RMS_NORM_EPS, path),
    )


def _lyric_heads(
    setting: Mapping[str, Sequence[int]], num_layers: int, num_heads: int, path: Path
) -> tuple[LayerHeads, ...]:
    """The heads {layer: [head, ...]} that config.json names for lyric alignment, by ascending layer."""
    try:
        chosen = sorted(LayerHeads(int(layer), tuple(map(operator.index, heads))) for layer, heads in setting.items())
        legal = all(
            layer in range(num_layers) and heads and all(head in range(num_heads) for head in heads)
            for layer, heads in chosen
        )
    except (AttributeError, OverflowError, TypeError, ValueError):
        legal = False
    if not legal:
        raise CheckpointError(
            f"the config.json or header of {path} sets {LYRIC_HEADS} to {shown(setting)}. It must name heads of "
            f'layers, such as {{"3": [10, 11]}}; the model has {num_layers} layers of {num_heads} heads.'
        )
    return tuple(chosen)


def _heads(entries: Entries, attention: str, path: Path) -> tuple[int, int, int]:
    (head_dim,) = _shape(entries, attention + "q_norm.weight", 1, path)
    queries, _ = _shape(entries, attention + "q_proj.weight", 2, path)
    keys, _ = _shape(entries, attention + "k_proj.weight", 2, path)
    return queries // head_dim, keys // head_dim, head_dim


def _rope_theta(settings: Settings, path: Path) -> float:
    place = settings if settings.get("rope_theta") else table_setting(settings, "rope_parameters", path)
    return positive_setting(place, "rope_theta", ROPE_THETA, path)


def _shape(entries: Entries, name: str, dimensions: int, path: Path) -> tuple[int, ...]:
    """Shape of the tensor `name`, which every model of this kind has."""
    if name not in entries:
        raise CheckpointError(f"{path} lacks {name}; the file is incomplete. Download it again.")
    shape = entries[name].shape
    if len(shape) != dimensions or min(shape) < 1:
        raise CheckpointError(f"{path} holds {name} with shape {list(shape)}; it should have {dimensions} dimensions.")
    return shape
