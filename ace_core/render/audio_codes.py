"""Latents of one song <-> its audio codes, 25 frames and 5 codes a second.

Trap: latents that do not fill the last group of five frames are padded with the first frames of the silence latent, as
the official tokenizer does; zeros would be out of distribution.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from ..checkpoints.silence import silence_frames
from ..models.audio_tokenizer import AudioTokenizer
from ..runtime import Runtime


def encode_audio_codes(
    audio_tokenizer: AudioTokenizer,
    latents: Tensor,
    silence: Tensor,
    runtime: Runtime,
) -> tuple[int, ...]:
    """Audio codes, one for each five frames begun, of latents [T, 64].

    Args:
        silence: the checkpoint's silence latent [1, T, 64].
    """
    missing = -len(latents) % audio_tokenizer.config.pool_window
    padded = torch.cat((latents, silence_frames(silence, missing)[0].to(latents)))
    codes = audio_tokenizer.encode(runtime.take(padded)[None], runtime.attention)
    return tuple(codes[0].tolist())


def decode_audio_codes(
    audio_tokenizer: AudioTokenizer,
    codes: Sequence[int],
    runtime: Runtime,
) -> Tensor:
    """Latents [5 * N, 64] that N audio codes stand for, float32 on the CPU."""
    indices = torch.tensor(codes, device=runtime.device)[None]
    return audio_tokenizer.decode(indices, runtime.dtype, runtime.attention)[0].float().cpu()
