"""Condition encoder: lyrics, reference timbre and caption become the one sequence the DiT attends to.

Matches `encoder.*` of the official checkpoints (`AceStepConditionEncoder`).

Traps:
- `lyric_encoder.embed_tokens` and `timbre_encoder.embed_tokens` are Linear layers, despite the name. Lyrics enter as
  rows of the text encoder's embedding table; no language model runs over them.
- The order of the packed sequence is lyric, timbre, text. Lyric timing relies on the lyrics being first.
- The timbre vector is position 0 of the timbre encoder: of the prepended `special_token` in XL checkpoints, of the
  first audio frame in 2B ones (which carry the token without using it). diffusers 0.42.1 never prepends it.
- One song at a time: there is no padding inside this network, so a song's conditions never depend on its batch.
- The last lyric layer reaches magnitudes around 5e5: never run this in fp16.
"""

from __future__ import annotations

from collections.abc import Sequence
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

TIMBRE_FRAMES = 750  # 30 s at 25 Hz, `timbre_fix_frame` of the published configs


@dataclass(frozen=True)
class ConditionEncoderConfig:
    """Shapes of the condition encoder; `timbre_cls_token` is True for XL checkpoints only."""

    encoder: EncoderConfig
    text_hidden_size: int
    timbre_size: int
    num_lyric_layers: int
    num_timbre_layers: int
    timbre_cls_token: bool


class LyricEncoder(nn.Module):
    """Token embeddings of the lyrics [1, L, text_hidden] -> [1, L, hidden]."""

    def __init__(
        self,
        config: ConditionEncoderConfig,
        *,
        ops: Ops,
        dtype: torch.dtype | None = None,
        device: torch.device | str | None = None,
    ) -> None:
        super().__init__()
        encoder = config.encoder
        self.config = encoder
        self.embed_tokens = ops.Linear(config.text_hidden_size, encoder.hidden_size, dtype=dtype, device=device)
        self.layers = encoder_layers(encoder, config.num_lyric_layers, ops=ops, dtype=dtype, device=device)
        self.norm = ops.RMSNorm(encoder.hidden_size, eps=encoder.rms_norm_eps, dtype=dtype, device=device)

    def forward(self, embeddings: Tensor, attention: AttentionFunction) -> Tensor:
        hidden = run_encoder_layers(self.layers, self.embed_tokens(embeddings), self.config, attention)
        out: Tensor = self.norm(hidden)
        return out


class TimbreEncoder(nn.Module):
    """Reference latents [N, frames, 64] -> one vector a reference [N, hidden]."""

    def __init__(
        self,
        config: ConditionEncoderConfig,
        *,
        ops: Ops,
        dtype: torch.dtype | None = None,
        device: torch.device | str | None = None,
    ) -> None:
        super().__init__()
        encoder = config.encoder
        self.config = encoder
        self.cls_token = config.timbre_cls_token
        self.embed_tokens = ops.Linear(config.timbre_size, encoder.hidden_size, dtype=dtype, device=device)
        self.special_token = nn.Parameter(torch.empty(1, 1, encoder.hidden_size, dtype=dtype, device=device))
        self.layers = encoder_layers(encoder, config.num_timbre_layers, ops=ops, dtype=dtype, device=device)
        self.norm = ops.RMSNorm(encoder.hidden_size, eps=encoder.rms_norm_eps, dtype=dtype, device=device)

    def forward(self, references: Tensor, attention: AttentionFunction) -> Tensor:
        hidden = self.embed_tokens(references)
        if self.cls_token:
            hidden = torch.cat((self.special_token.to(hidden).expand(hidden.shape[0], -1, -1), hidden), dim=1)
        hidden = run_encoder_layers(self.layers, hidden, self.config, attention)
        out: Tensor = self.norm(hidden[:, 0])
        return out


class ConditionEncoder(nn.Module):
    """Caption states, lyric embeddings and reference latents of one song -> packed conditions."""

    def __init__(
        self,
        config: ConditionEncoderConfig,
        *,
        ops: Ops,
        dtype: torch.dtype | None = None,
        device: torch.device | str | None = None,
    ) -> None:
        super().__init__()
        self.config = config
        self.text_projector = ops.Linear(
            config.text_hidden_size, config.encoder.hidden_size, bias=False, dtype=dtype, device=device
        )
        self.lyric_encoder = LyricEncoder(config, ops=ops, dtype=dtype, device=device)
        self.timbre_encoder = TimbreEncoder(config, ops=ops, dtype=dtype, device=device)

    def forward(
        self,
        text: Tensor,
        lyrics: Tensor,
        references: Sequence[Tensor],
        attention: AttentionFunction = scaled_dot_product_attention,
    ) -> Tensor:
        """Pack the conditions of one song.

        Args:
            text: last hidden states of the caption prompt [Lt, text_hidden].
            lyrics: embedding rows of the lyric prompt [Ll, text_hidden].
            references: timbre latents, each [frames, 64]; silence (`TIMBRE_FRAMES` frames) when there is none.

        Returns:
            [Ll + len(references) + Lt, hidden], in the order lyric, timbre, text.
        """
        lyric_states = self.lyric_encoder(lyrics[None], attention)[0]
        timbre_states = torch.cat([self.timbre_encoder(reference[None], attention) for reference in references])
        return torch.cat((lyric_states, timbre_states, self.text_projector(text)))
