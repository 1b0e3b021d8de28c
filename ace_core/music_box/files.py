"""The music box on disk: folders in the official layout, made when they are first used.

Only what was learned is kept beside the code (`weights/`, embedding rows in use). The rest is calculated in seconds:
the VAE, the transformer with the metronome as its silence latent, and the embedding tables with their empty rows.
"""

from __future__ import annotations

import hashlib
import json
import os
import secrets
import shutil
import tempfile
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, NamedTuple

import torch
from safetensors import safe_open
from safetensors.torch import load_file, save
from torch import Tensor
from torch.nn import functional as F

from ..audio.waveform import LATENT_FRAME_RATE, MAX_DURATION_SECONDS, SAMPLE_RATE
from ..checkpoints.inspection import TEXT_ENCODER_FOLDERS, VAE_FOLDERS
from ..models.qwen3 import Qwen3Config
from ..planner.vocabulary import FIRST_CODE
from ..tensor_files import write_tensors
from . import codec, planner, renderer, tagger, tokenizer_weights
from .clock import metronome
from .code_book import code_vectors
from .remarks import ABOUT
from .small_lm import TrainedRows
from .sounds import CHANNELS

MUSIC_BOX_FOLDER = "acestep-v15-turbo-music-box"
WEIGHTS = Path(__file__).with_name("weights")
TAGGER_FILE = "text_encoder.safetensors"
PLANNER_FILE = "planner.safetensors"
PLANNER_FOLDER = "acestep-5Hz-lm-music-box"
ROWS, IDS, VECTORS = "rows", "ids", "vectors"
LESSON = "lesson"
DTYPE = torch.bfloat16
BLOCK = 4096

_UNFINISHED = ".music_box_"
_ABANDONED_SECONDS = 3600
_TEXT_ENCODER_FOLDER = TEXT_ENCODER_FOLDERS[-1]
_VAE_FOLDER = VAE_FOLDERS[0]


class MusicBoxFiles(NamedTuple):
    """Where the parts are."""

    model: Path
    text_encoder: Path
    vae: Path
    planner: Path


def built_in() -> MusicBoxFiles:
    """The folders of the music box beside its code, or where that cannot be written to, below the temporary folder."""
    beside = Path(__file__).with_name("built")
    writable = os.access(beside if beside.is_dir() else beside.parent, os.W_OK)
    return music_box_files(beside if writable else Path(tempfile.gettempdir()) / "ace_composer_music_box")


def music_box_files(cache: Path) -> MusicBoxFiles:
    """The folders of the music box below `cache`, made if they are not there, in place of those of earlier versions.

    They are made elsewhere and moved into place whole, so that another process sees all of them or none.
    """
    root = cache / f"music_box_{_fingerprint()}"
    if not root.is_dir():
        cache.mkdir(parents=True, exist_ok=True)
        for abandoned in cache.glob(f"{_UNFINISHED}*"):  # of a process that was killed: making them takes seconds
            if time.time() - abandoned.stat().st_mtime > _ABANDONED_SECONDS:
                shutil.rmtree(abandoned, ignore_errors=True)
        unfinished = cache / f"{_UNFINISHED}{secrets.token_hex(8)}"  # mkdtemp would keep other users out
        try:
            unfinished.mkdir()
            _write_all(unfinished)
            _move(unfinished, root)
            for outdated in cache.glob("music_box_*"):
                if outdated != root:
                    shutil.rmtree(outdated, ignore_errors=True)
        finally:
            shutil.rmtree(unfinished, ignore_errors=True)
    return MusicBoxFiles(
        *(root / name for name in (MUSIC_BOX_FOLDER, _TEXT_ENCODER_FOLDER, _VAE_FOLDER, PLANNER_FOLDER))
    )


def write_rows(path: Path, trained: TrainedRows, lesson: str) -> None:
    """Keep a trained language model without its unused rows.

    Args:
        lesson: a hash of what it was taught (`small_lm.hash_of_lesson`).
    """
    tensors = {name: tensor.to(DTYPE) for name, tensor in trained.weights.items()}
    tensors |= {ROWS: trained.rows.to(DTYPE), IDS: trained.ids.int(), VECTORS: trained.vectors.to(DTYPE)}
    write_tensors(path, tensors, {LESSON: lesson})


def lesson_of(path: Path) -> str:
    """The hash of what kept weights were taught."""
    with safe_open(path, framework="pt") as file:
        lesson: str = file.metadata()[LESSON]
    return lesson


def _fingerprint() -> str:
    """Changes with anything that the folders are made from."""
    digest = hashlib.sha256()
    for path in sorted((*Path(__file__).parent.glob("*.py"), *WEIGHTS.glob("*.safetensors"))):
        digest.update(path.read_bytes())
    return digest.hexdigest()[:12]


def _move(unfinished: Path, root: Path) -> None:
    try:
        os.rename(unfinished, root)
    except OSError:
        if not root.is_dir():  # else another process was faster
            raise


def _write_all(root: Path) -> None:
    parts: tuple[tuple[str, Callable[[Path], None]], ...] = (
        (MUSIC_BOX_FOLDER, _write_model),
        (_TEXT_ENCODER_FOLDER, _write_text_encoder),
        (_VAE_FOLDER, _write_vae),
        (PLANNER_FOLDER, _write_planner),
    )
    for name, write in parts:
        (root / name).mkdir()
        write(root / name)


def _write_model(folder: Path) -> None:
    patched = {"proj_in.": "proj_in.1.", "proj_out.": "proj_out.1."}
    tensors = {}
    for name, tensor in renderer.dit_weights().items():
        for plain, official in patched.items():
            name = name.replace(plain, official)
        tensors[name if name == "null_condition_emb" else f"decoder.{name}"] = tensor
    encoder = renderer.condition_encoder_weights()
    tensors |= {f"encoder.{name}": tensor for name, tensor in encoder.items()}
    tensors |= tokenizer_weights.audio_tokenizer_weights()
    tensors["silence_latent"] = metronome(MAX_DURATION_SECONDS * LATENT_FRAME_RATE)[None]
    _save(folder / "model.safetensors", tensors)
    _save_json(folder / "config.json", _model_config())


def _model_config() -> dict[str, Any]:
    dit, conditioner = renderer.renderer_configs()
    tokenizer = tokenizer_weights.tokenizer_config()
    return {
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
        "rope_theta": int(dit.rope_theta),
        "rope_scaling": None,
        "rms_norm_eps": dit.rms_norm_eps,
        "hidden_act": "silu",
        "attention_bias": False,
        "attention_dropout": 0.0,
        "in_channels": dit.in_channels,
        "audio_acoustic_hidden_dim": dit.latent_channels,
        "patch_size": dit.patch_size,
        "text_hidden_dim": conditioner.text_hidden_size,
        "timbre_hidden_dim": CHANNELS,
        "timbre_fix_frame": 750,
        "num_lyric_encoder_hidden_layers": conditioner.num_lyric_layers,
        "num_timbre_encoder_hidden_layers": conditioner.num_timbre_layers,
        "num_attention_pooler_hidden_layers": tokenizer.num_pooler_layers,
        "pool_window_size": tokenizer.pool_window,
        "fsq_input_levels": list(tokenizer.fsq_levels),
        "is_turbo": True,
        "model_version": "turbo",
        "about": ABOUT,
    }


def _write_text_encoder(folder: Path) -> None:
    _write_qwen3(folder, WEIGHTS / TAGGER_FILE, tagger.TAGGER_CONFIG)


def _write_planner(folder: Path) -> None:
    _write_qwen3(folder, WEIGHTS / PLANNER_FILE, planner.PLANNER_CONFIG)


def _write_qwen3(folder: Path, kept: Path, config: Qwen3Config) -> None:
    """A language model with its whole embedding table, zeros where no row was kept."""
    tensors = load_file(kept)
    table = torch.zeros(config.vocab_size, config.hidden_size, dtype=DTYPE)
    table[tensors.pop(IDS).long()] = tensors.pop(ROWS)
    vectors = tensors.pop(VECTORS).float()
    if len(vectors):
        codes = F.embedding_bag(code_vectors(), F.pad(vectors, (0, 0, 0, 1)), mode="sum")
        table[FIRST_CODE : FIRST_CODE + len(codes)] = codes.to(DTYPE)
    _save(folder / "model.safetensors", {"embed_tokens.weight": table, **tensors})
    settings = {
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
        "max_position_embeddings": 32_768,
        "rms_norm_eps": config.rms_norm_eps,
        "rope_theta": int(config.rope_theta),
        "rope_scaling": None,
        "sliding_window": None,
        "use_sliding_window": False,
        "tie_word_embeddings": True,
    }
    _save_json(folder / "config.json", settings)


def _write_vae(folder: Path) -> None:
    _save(folder / "diffusion_pytorch_model.safetensors", codec.codec_weights())
    config = codec.CODEC_CONFIG
    settings = {
        "_class_name": "AutoencoderOobleck",
        "audio_channels": config.audio_channels,
        "channel_multiples": list(config.channel_multiples),
        "decoder_channels": config.decoder_channels,
        "decoder_input_channels": config.latent_channels,
        "downsampling_ratios": list(config.strides),
        "encoder_hidden_size": config.encoder_channels,
        "sampling_rate": SAMPLE_RATE,
    }
    _save_json(folder / "config.json", settings)


def _save(path: Path, tensors: Mapping[str, Tensor]) -> None:
    """Most of the weights are zeros; blocks of them become holes that take no room, where the file system has holes."""
    data = memoryview(save({name: tensor.to(DTYPE).contiguous() for name, tensor in tensors.items()}))
    with path.open("wb") as file:
        for start in range(0, len(data), BLOCK):
            block = data[start : start + BLOCK]
            if any(block):
                file.seek(start)
                file.write(block)
        file.truncate(len(data))


def _save_json(path: Path, settings: Mapping[str, Any]) -> None:
    path.write_text(json.dumps(settings, indent=2) + "\n", encoding="utf-8")
