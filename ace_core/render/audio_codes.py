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
from ..models.layers import AttentionFunction, scaled_dot_product_attention


def encode_audio_codes(
    audio_tokenizer: AudioTokenizer,
    latents: Tensor,
    silence: Tensor,
    *,
    device: torch.device,
    dtype: torch.dtype,
    attention: AttentionFunction = scaled_dot_product_attention,
) -> tuple[int, ...]:
    """Audio codes, one for each five frames begun, of latents [T, 64].

    Args:
        silence: the checkpoint's silence latent [1, T, 64].
    """
    missing = -len(latents) % audio_tokenizer.config.pool_window
    padded = torch.cat((latents, silence_frames(silence, missing)[0].to(latents)))
    codes = audio_tokenizer.encode(padded[None].to(device, dtype), attention)
    return tuple(codes[0].tolist())


def decode_audio_codes(
    audio_tokenizer: AudioTokenizer,
    codes: Sequence[int],
    *,
    device: torch.device,
    dtype: torch.dtype,
    attention: AttentionFunction = scaled_dot_product_attention,
) -> Tensor:
    """Latents [5 * N, 64] that N audio codes stand for, float32 on the CPU."""
    hints = audio_tokenizer.decode(torch.tensor(codes, device=device)[None], dtype, attention)
    return hints[0].float().cpu()
