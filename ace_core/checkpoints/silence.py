"""The silence latent: what the VAE makes of digital silence, the model's word for "nothing here".

It fills empty sources, pads short ones, and is the timbre of songs without a reference. Zeros are not a substitute: the
model never saw them and answers with drones. Official folders hold it as `silence_latent.pt` ([1, 64, 15000], fp32),
diffusers folders as a buffer ([1, 15000, 64], in the dtype of the conversion), ComfyUI files not at all.

Traps:
- The official file is channels first; everything here is [1, T, 64].
- Its first frames differ from the rest (the VAE sees the edge of the audio). An encoded clip has such frames at both
  ends, so what is repeated comes from the middle.
- It is a pickle. Only tensors are unpickled.
"""

from __future__ import annotations

import pickle
from collections.abc import Callable
from pathlib import Path

import torch
from torch import Tensor

from ..audio.waveform import LATENT_CHANNELS, LATENT_FRAME_RATE, MAX_DURATION_SECONDS, SAMPLE_RATE
from ..checks import DAMAGE, reason
from .files import CheckpointError, StoredTensor
from .inspection import ModelFiles
from .tensors import check_finite, tensor_reader

SILENCE_FRAMES = MAX_DURATION_SECONDS * LATENT_FRAME_RATE
ENCODED_SECONDS = 10


def load_silence(model: ModelFiles) -> Tensor | None:
    """The model's stored silence latent [1, T, 64] in fp32, None if it has none (see `compute_silence`).

    Raises:
        CheckpointError: what is stored is not one finite tensor of 64 channels.
    """
    if model.silence is None:
        return None
    if isinstance(model.silence, StoredTensor):
        path, name = model.silence.file, model.silence.name
        with tensor_reader() as read:
            silence = read(model.silence).float()
    else:
        path, name = model.silence, "its tensor"
        silence = _unpickled(path).transpose(1, 2).contiguous()
    if silence.ndim != 3 or silence.shape[0] != 1 or silence.shape[2] != LATENT_CHANNELS:
        raise CheckpointError(f"{path} holds a silence latent of shape {list(silence.shape)}; delete or replace it.")
    check_finite(silence, name, path)
    return silence


def compute_silence(encode: Callable[[Tensor], Tensor]) -> Tensor:
    """Silence latent [1, 15000, 64] of a model that stores none.

    Args:
        encode: the VAE's encoder, waveform [1, 2, samples] at 48 kHz -> latents [1, T, 64] (the mean, not a sample).
    """
    latents = encode(torch.zeros(1, 2, ENCODED_SECONDS * SAMPLE_RATE)).float().cpu()
    return silence_frames(latents[:, : latents.shape[1] // 2 + 1], SILENCE_FRAMES)


def silence_frames(silence: Tensor, frames: int) -> Tensor:
    """The first `frames` frames of silence [1, T, 64]; beyond its end the (steady) middle frame is repeated."""
    length = silence.shape[1]
    steady = silence[:, length // 2, None].expand(-1, max(0, frames - length), -1)
    return torch.cat((silence[:, :frames], steady), dim=1)


def padded_with_silence(latents: Tensor, frames: int, silence: Tensor) -> Tensor:
    """Latents [T, 64] with silence, from its beginning, up to `frames`."""
    missing = max(0, frames - len(latents))
    return torch.cat((latents, silence_frames(silence, missing)[0].to(latents)))


def _unpickled(path: Path) -> Tensor:
    try:
        content = torch.load(path, map_location="cpu", weights_only=True)
    except (*DAMAGE, pickle.UnpicklingError) as error:
        raise CheckpointError(f"{path} cannot be read as a tensor ({reason(error)}); download it again.") from error
    if not isinstance(content, Tensor) or content.dtype != torch.float32 or content.ndim != 3:
        raise CheckpointError(
            f"{path} does not hold one fp32 tensor [1, {LATENT_CHANNELS}, frames]; download it again."
        )
    if content.nbytes > path.stat().st_size:  # a view of one number, say, that takes the memory of a million
        raise CheckpointError(f"{path} names more numbers than it holds; download it again.")
    return content
