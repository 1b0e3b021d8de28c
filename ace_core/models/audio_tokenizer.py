"""Audio tokenizer and detokenizer: 25 Hz latents <-> 5 Hz codes, through finite scalar quantisation.

Matches `tokenizer.*` and `detokenizer.*` of the official checkpoints; the quantiser is ResidualFSQ with one stage
(vector_quantize_pytorch) over levels [8, 8, 8, 5, 5, 5] = 64 000 codes (Mentzer et al. 2023, "Finite Scalar
Quantization").

Traps:
- The quantiser and both of its projections run in fp32, whatever the rest does: a rounding flip is another code. Its
  layers are declared fp32, so a loader keeps them so.
- The soft clamp c * tanh(z / c) is followed by a hard clamp, not by a second tanh (ports that differ here produce other
  codes from the same audio).
- The published config class says 24 detokenizer layers; the files hold 2.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor, nn

from .layers import (
    AttentionFunction,
    EncoderConfig,
    encoder_layers,
    run_encoder_layers,
    scaled_dot_product_attention,
)
from .ops import Ops


@dataclass(frozen=True)
class AudioTokenizerConfig:
    """Shapes of the tokenizer and the detokenizer."""

    encoder: EncoderConfig
    latent_channels: int
    num_pooler_layers: int
    num_detokenizer_layers: int
    pool_window: int
    fsq_levels: tuple[int, ...]


def quantize(z: Tensor, levels: tuple[int, ...]) -> tuple[Tensor, Tensor]:
    """Quantise fp32 z [..., len(levels)].

    Returns:
        Level values in [-1, 1] with z's shape, and integer codes [...].
    """
    steps = torch.tensor(levels, device=z.device, dtype=torch.float32) - 1
    limit = 1 + 1 / steps
    clamped = (limit * torch.tanh(z / limit)).clamp(-1, 1)
    indices = torch.floor(steps * (clamped + 1) / 2 + 0.5)
    return 2 * indices / steps - 1, (indices.long() * _basis(levels, z.device)).sum(-1)


def level_values(codes: Tensor, levels: tuple[int, ...]) -> Tensor:
    """Level values in [-1, 1] [..., len(levels)] of integer codes [...]."""
    steps = torch.tensor(levels, device=codes.device) - 1
    return 2 * level_indices(codes, levels).float() / steps - 1


def level_indices(codes: Tensor, levels: tuple[int, ...]) -> Tensor:
    """Which value of each level integer codes [...] stand for, int64 [..., len(levels)]."""
    sizes = torch.tensor(levels, device=codes.device)
    return codes[..., None] // _basis(levels, codes.device) % sizes


def _basis(levels: tuple[int, ...], device: torch.device) -> Tensor:
    return torch.tensor((1, *levels[:-1]), device=device).cumprod(0)


class Quantizer(nn.Module):
    """Projections around the quantiser, fp32."""

    def __init__(
        self, hidden_size: int, levels: tuple[int, ...], *, ops: Ops, device: torch.device | str | None
    ) -> None:
        super().__init__()
        self.levels = levels
        self.project_in = ops.Linear(hidden_size, len(levels), dtype=torch.float32, device=device)
        self.project_out = ops.Linear(len(levels), hidden_size, dtype=torch.float32, device=device)


class AttentionPooler(nn.Module):
    """Groups of `pool_window` frames [G, window, hidden] -> one vector a group [G, hidden]."""

    def __init__(
        self,
        config: AudioTokenizerConfig,
        *,
        ops: Ops,
        dtype: torch.dtype | None = None,
        device: torch.device | str | None = None,
    ) -> None:
        super().__init__()
        encoder = config.encoder
        self.config = encoder
        self.embed_tokens = ops.Linear(encoder.hidden_size, encoder.hidden_size, dtype=dtype, device=device)
        self.special_token = nn.Parameter(torch.empty(1, 1, encoder.hidden_size, dtype=dtype, device=device))
        self.layers = encoder_layers(encoder, config.num_pooler_layers, ops=ops, dtype=dtype, device=device)
        self.norm = ops.RMSNorm(encoder.hidden_size, eps=encoder.rms_norm_eps, dtype=dtype, device=device)

    def forward(self, x: Tensor, attention: AttentionFunction) -> Tensor:
        x = self.embed_tokens(x)
        x = torch.cat((self.special_token.to(x).expand(x.shape[0], -1, -1), x), dim=1)
        x = run_encoder_layers(self.layers, x, self.config, attention)
        out: Tensor = self.norm(x[:, 0])
        return out


class Tokenizer(nn.Module):
    """Latents -> pooled vectors -> codes."""

    def __init__(
        self,
        config: AudioTokenizerConfig,
        *,
        ops: Ops,
        dtype: torch.dtype | None = None,
        device: torch.device | str | None = None,
    ) -> None:
        super().__init__()
        hidden_size = config.encoder.hidden_size
        self.audio_acoustic_proj = ops.Linear(config.latent_channels, hidden_size, dtype=dtype, device=device)
        self.attention_pooler = AttentionPooler(config, ops=ops, dtype=dtype, device=device)
        self.quantizer = Quantizer(hidden_size, config.fsq_levels, ops=ops, device=device)


class Detokenizer(nn.Module):
    """Quantised vectors [B, N, hidden] -> latents [B, N * window, channels]."""

    def __init__(
        self,
        config: AudioTokenizerConfig,
        *,
        ops: Ops,
        dtype: torch.dtype | None = None,
        device: torch.device | str | None = None,
    ) -> None:
        super().__init__()
        encoder = config.encoder
        hidden_size = encoder.hidden_size
        self.config = encoder
        self.embed_tokens = ops.Linear(hidden_size, hidden_size, dtype=dtype, device=device)
        self.special_tokens = nn.Parameter(torch.empty(1, config.pool_window, hidden_size, dtype=dtype, device=device))
        self.layers = encoder_layers(encoder, config.num_detokenizer_layers, ops=ops, dtype=dtype, device=device)
        self.norm = ops.RMSNorm(hidden_size, eps=encoder.rms_norm_eps, dtype=dtype, device=device)
        self.proj_out = ops.Linear(hidden_size, config.latent_channels, dtype=dtype, device=device)

    def forward(self, quantized: Tensor, attention: AttentionFunction) -> Tensor:
        batch, tokens, _ = quantized.shape
        x = self.embed_tokens(quantized).unsqueeze(2)
        x = (x + self.special_tokens.to(x)).flatten(0, 1)  # [B * N, window, hidden]
        x = run_encoder_layers(self.layers, x, self.config, attention)
        out: Tensor = self.proj_out(self.norm(x))
        return out.reshape(batch, tokens * x.shape[1], -1)


class AudioTokenizer(nn.Module):
    """Both directions between 25 Hz latents and 5 Hz codes; one root module, as the two are used together."""

    def __init__(
        self,
        config: AudioTokenizerConfig,
        *,
        ops: Ops,
        dtype: torch.dtype | None = None,
        device: torch.device | str | None = None,
    ) -> None:
        super().__init__()
        self.config = config
        self.tokenizer = Tokenizer(config, ops=ops, dtype=dtype, device=device)
        self.detokenizer = Detokenizer(config, ops=ops, dtype=dtype, device=device)

    def encode(self, latents: Tensor, attention: AttentionFunction = scaled_dot_product_attention) -> Tensor:
        """Latents [B, T, channels], T a multiple of the pool window -> codes [B, T / window] (int64).

        Raises:
            ValueError: T is not a multiple of the window. Pad with frames of the silence latent, never zeros.
        """
        window = self.config.pool_window
        batch, frames, channels = latents.shape
        if frames % window:
            raise ValueError(f"latents must hold a multiple of {window} frames, got {frames}; pad them with silence")
        x = self.tokenizer.audio_acoustic_proj(latents.reshape(-1, window, channels))
        pooled = self.tokenizer.attention_pooler(x, attention)
        _, codes = quantize(self.tokenizer.quantizer.project_in(pooled.float()), self.config.fsq_levels)
        return codes.view(batch, frames // window)

    def decode(
        self, codes: Tensor, dtype: torch.dtype, attention: AttentionFunction = scaled_dot_product_attention
    ) -> Tensor:
        """Codes [B, N] (0..63999) -> latents [B, N * window, channels], computed in `dtype`."""
        values = level_values(codes, self.config.fsq_levels)
        quantized = self.tokenizer.quantizer.project_out(values).to(dtype)
        out: Tensor = self.detokenizer(quantized, attention)
        return out
