"""Tensor names of every published layout -> the names our networks use.

Two steps. Names of any layout become *official* names (`decoder.*`, `encoder.*`, `tokenizer.*`, `detokenizer.*`,
`null_condition_emb`; Oobleck as diffusers names it; Qwen3 without `model.`). Official names are then split over the
root modules that load separately.

Traps:
- diffusers renames attention projections and norms; its older conversions kept the official names. Both are read.
- In the stable-audio-tools naming of the VAE the same module has another number in the encoder (residual units first)
  and the decoder (residual units last), and snake parameters are [C] where the official file has [1, C, 1].
- Weight norm comes as `weight_g` + `weight_v` or as `parametrizations.weight.original0` + `original1`.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from typing import NamedTuple

from .files import StoredTensor

ALL_IN_ONE_MODEL = "model.diffusion_model."
ALL_IN_ONE_VAE = "vae."
ALL_IN_ONE_TEXT = "text_encoders."
SAVED_TEXT = "qwen3_"  # the same without that prefix, from ComfyUI's Save CLIP
ALL_IN_ONE_TEXT_ENCODERS = ("text_encoders.qwen3_06b.transformer.",)
ALL_IN_ONE_PLANNERS = ("text_encoders.qwen3_2b.transformer.", "text_encoders.qwen3_4b.transformer.")

DIFFUSERS_PREFIXES = {
    "transformer": "decoder.",
    "condition_encoder": "encoder.",
    "audio_tokenizer": "tokenizer.",
    "audio_token_detokenizer": "detokenizer.",
}
SILENCE = "silence_latent"

_TOP_LEVEL = ("null_condition_emb", SILENCE)
_DIFFUSERS_NAMES = {
    ".to_q.": ".q_proj.",
    ".to_k.": ".k_proj.",
    ".to_v.": ".v_proj.",
    ".to_out.0.": ".o_proj.",
    ".norm_q.": ".q_norm.",
    ".norm_k.": ".k_norm.",
}
_PATCH_NAMES = {"proj_in_conv.": "proj_in.1.", "proj_out_conv.": "proj_out.1."}

# Buffers that some tools save although every program computes them.
_COMPUTED = re.compile(
    r"(.*\.)?rotary_emb\.inv_freq"
    r"|tokenizer\.quantizer\.(layers\.\d+\.)?(_levels|_basis|implicit_codebook|scales|soft_clamp_input_value)"
)
_OUTPUT_HEAD = ("lm_head.weight", "logit_scale")

_STABLE_AUDIO = re.compile(
    r"(?P<half>encoder|decoder)\.layers\.(?P<top>\d+)(\.layers\.(?P<module>\d+))?(\.layers\.(?P<inner>\d+))?"
    r"\.(?P<leaf>[a-z].*)"
)
_UNIT_MODULES = ("snake1", "conv1", "snake2", "conv2")
_BLOCK_MODULES = {
    "encoder": ("res_unit1", "res_unit2", "res_unit3", "snake1", "conv1"),
    "decoder": ("snake1", "conv_t1", "res_unit1", "res_unit2", "res_unit3"),
}


class Entry(NamedTuple):
    """What fills one parameter: a stored tensor of `shape`, or with `gain` the direction of a weight norm."""

    shape: tuple[int, ...]
    tensor: StoredTensor
    gain: StoredTensor | None = None


class SplitNames(NamedTuple):
    """Entries of each root module of the model under its own parameter names, and the names of no module."""

    dit: dict[str, Entry]
    condition_encoder: dict[str, Entry]
    audio_tokenizer: dict[str, Entry]
    silence: StoredTensor | None
    unknown: list[str]


def strip_prefix(tensors: Mapping[str, StoredTensor], prefix: str) -> dict[str, StoredTensor]:
    """The tensors whose name starts with `prefix`, without it."""
    return {name[len(prefix) :]: tensor for name, tensor in tensors.items() if name.startswith(prefix)}


def official_from_diffusers(component: str, name: str) -> str:
    """Official name of a tensor in one component folder of a diffusers pipeline."""
    if name in _TOP_LEVEL:
        return name
    renames = _DIFFUSERS_NAMES | (_PATCH_NAMES if component == "transformer" else {})
    for theirs, official in renames.items():
        name = name.replace(theirs, official)
    return DIFFUSERS_PREFIXES[component] + name


def split_model(tensors: Mapping[str, StoredTensor]) -> SplitNames:
    """Distribute official names over DiT, condition encoder and audio tokenizer."""
    split = SplitNames({}, {}, {}, tensors.get(SILENCE), [])
    for name, tensor in tensors.items():
        entry = Entry(tensor.shape, tensor)
        if name.startswith("decoder.") and not _COMPUTED.fullmatch(name):
            short = name.removeprefix("decoder.")
            split.dit[re.sub(r"^(proj_in|proj_out)\.1\.", r"\1.", short)] = entry
        elif name == "null_condition_emb":
            split.dit[name] = entry
        elif name.startswith("encoder.") and not _COMPUTED.fullmatch(name):
            split.condition_encoder[name.removeprefix("encoder.")] = entry
        elif name.startswith(("tokenizer.", "detokenizer.")) and not _COMPUTED.fullmatch(name):
            split.audio_tokenizer[name] = entry
        elif name != SILENCE and not _COMPUTED.fullmatch(name):
            split.unknown.append(name)
    return split


def qwen3_entries(tensors: Mapping[str, StoredTensor]) -> dict[str, Entry]:
    """Qwen3 parameters, with or without the `model.` prefix, and without an output head."""
    entries = {}
    for name, tensor in tensors.items():
        short = name.removeprefix("model.")
        if not _COMPUTED.fullmatch(short) and short not in _OUTPUT_HEAD:
            entries[short] = Entry(tensor.shape, tensor)
    return entries


def output_head(tensors: Mapping[str, StoredTensor]) -> StoredTensor | None:
    """The output matrix of a Qwen3 where a file has one beside the embedding."""
    return tensors.get(_OUTPUT_HEAD[0], tensors.get(f"model.{_OUTPUT_HEAD[0]}"))


def vae_entries(tensors: Mapping[str, StoredTensor]) -> dict[str, Entry]:
    """Oobleck parameters with the weight norm resolved into (direction, gain) pairs."""
    last = {half: last_index(tensors, f"{half}.layers.") for half in _BLOCK_MODULES}
    named = {_official_vae_name(name, last): tensor for name, tensor in tensors.items()}
    entries = {}
    for name, tensor in named.items():
        if name.endswith(".weight_v") and (gain := named.get(name.removesuffix("_v") + "_g")) is not None:
            entries[name.removesuffix("_v")] = Entry(tensor.shape, tensor, gain)
        elif name.endswith((".alpha", ".beta")) and len(tensor.shape) == 1:
            entries[name] = Entry((1, *tensor.shape, 1), tensor)
        elif not (name.endswith(".weight_g") and name.removesuffix("_g") + "_v" in named):
            entries[name] = Entry(tensor.shape, tensor)
    return entries


def last_index(names: Iterable[str], prefix: str) -> int:
    """The highest N in names `{prefix}{N}.*`, -1 if there is none."""
    indices = (name.removeprefix(prefix).partition(".")[0] for name in names if name.startswith(prefix))
    return max((int(index) for index in indices if index.isdecimal()), default=-1)


def _official_vae_name(name: str, last: Mapping[str, int]) -> str:
    """Official name of a VAE tensor; `last` is the number of the last top-level module in stable-audio-tools naming."""
    name = name.replace("parametrizations.weight.original0", "weight_g")
    name = name.replace("parametrizations.weight.original1", "weight_v")
    match = _STABLE_AUDIO.fullmatch(name)
    if match is None:
        return name
    half, top, module, inner, leaf = match.group("half", "top", "module", "inner", "leaf")
    ends = {0: "conv1", last[half] - 1: "snake1", last[half]: "conv2"}
    if module is None:
        return f"{half}.{ends[int(top)]}.{leaf}" if int(top) in ends else name
    if int(module) >= len(_BLOCK_MODULES[half]) or inner is not None and int(inner) >= len(_UNIT_MODULES):
        return name
    path = f"{half}.block.{int(top) - 1}.{_BLOCK_MODULES[half][int(module)]}"
    return f"{path}.{leaf}" if inner is None else f"{path}.{_UNIT_MODULES[int(inner)]}.{leaf}"
