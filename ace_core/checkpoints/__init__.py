"""Reading published weights in any layout: what a path holds, its networks, silence latent and tokenizer.

model = inspect_model("models/ace_step/acestep-v15-turbo")     # headers only
dit = build_network(model.dit, ops=torch.nn, dtype=model.dit.dtype)
"""

from .files import CheckpointError
from .inspection import (
    ModelFiles,
    WeightSource,
    check_compatible,
    inspect_model,
    inspect_planner,
    inspect_text_encoder,
    inspect_vae,
)
from .loading import build_network, load_state_dict, weight_key
from .silence import compute_silence, load_silence, silence_frames
from .tokenizer import TextTokenizer, find_planner_tokenizer, find_tokenizer, load_tokenizer, tokenizer_files

__all__ = [
    "CheckpointError",
    "ModelFiles",
    "TextTokenizer",
    "WeightSource",
    "build_network",
    "check_compatible",
    "compute_silence",
    "find_planner_tokenizer",
    "find_tokenizer",
    "inspect_model",
    "inspect_planner",
    "inspect_text_encoder",
    "inspect_vae",
    "load_silence",
    "load_state_dict",
    "load_tokenizer",
    "silence_frames",
    "tokenizer_files",
    "weight_key",
]
