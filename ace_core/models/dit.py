"""Diffusion transformer of ACE-Step 1.5, 2B and XL.

Matches `decoder.*` of the official checkpoints (`AceStepDiTModel`), with `proj_in.1` and `proj_out.1` named `proj_in`
and `proj_out`, plus the top-level `null_condition_emb`.

What is constant over the steps of one run is computed once, by `DiT.prepare`: the condition embedding, the
cross-attention keys and values of each layer, the time embeddings of all steps and the rotary tables. It is an argument
of `forward`, never state of the module.

Traps:
- The input is source latents (64), generation mask (64), noisy latents (64), in this order.
- XL's attention is wider than its residual stream (32 heads of 128 over 2560).
- `time_embed_r` sees t - r = 0 in every published checkpoint. Its output is not zero.
- The null condition is one row: softmax over equal keys is uniform, so its cross-attention is a constant per layer, and
  queries, softmax and output projection of the null half of a guided batch are never computed.
- The two halves of a guided batch share their input, hence everything before the first cross-attention.
- Conditions of different lengths are padded and masked here. The official code and diffusers attend to the padding, so
  their results depend on the other items of the batch.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import islice
from typing import NamedTuple, TypeAlias, cast

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from .layers import (
    Attention,
    AttentionFunction,
    Rotary,
    SwiGLU,
    key_mask,
    rotary_table,
    scaled_dot_product_attention,
    sliding_attention,
    sliding_mask,
)
from .ops import Ops

TIME_SINUSOID_SIZE = 256


class LayerHeads(NamedTuple):
    """Some attention heads of one layer."""

    layer: int
    heads: tuple[int, ...]


@dataclass(frozen=True)
class DiTConfig:
    """Shapes and constants of the diffusion transformer; `condition_size` is the condition encoder's width.

    `lyric_heads` is what a checkpoint's own config says of the heads whose cross-attention follows the lyrics, by
    ascending layer; empty where it says nothing.
    """

    hidden_size: int
    intermediate_size: int
    num_layers: int
    num_heads: int
    num_kv_heads: int
    head_dim: int
    condition_size: int
    in_channels: int
    latent_channels: int
    patch_size: int
    sliding_window: int
    rope_theta: float
    rms_norm_eps: float
    lyric_heads: tuple[LayerHeads, ...] = ()


class KeyValue(NamedTuple):
    """Keys and values [B, K, L, D] of the conditions in one layer."""

    key: Tensor
    value: Tensor


class DiTRun(NamedTuple):
    """What stays the same over the steps of one run; made by `DiT.prepare`, read by `DiT.forward`."""

    conditions: tuple[KeyValue, ...]  # one a layer
    condition_mask: Tensor | None  # additive [B, 1, 1, L], None without padding
    null_outputs: tuple[Tensor, ...] | None  # cross-attention output of the null condition [hidden], one a layer
    time_embeddings: Tensor  # [N, hidden]
    modulations: Tensor  # [N, 6, hidden]
    rotary: Rotary
    window_mask: Tensor | None
    attention: AttentionFunction


ModulationRows: TypeAlias = tuple[Tensor, ...]  # shift, scale, gate


class TimeEmbedding(nn.Module):
    """Sinusoid of thousandths -> embedding [N, hidden] and modulation [N, 6, hidden]."""

    def __init__(
        self,
        hidden_size: int,
        *,
        ops: Ops,
        dtype: torch.dtype | None = None,
        device: torch.device | str | None = None,
    ) -> None:
        super().__init__()
        self.linear_1 = ops.Linear(TIME_SINUSOID_SIZE, hidden_size, dtype=dtype, device=device)
        self.linear_2 = ops.Linear(hidden_size, hidden_size, dtype=dtype, device=device)
        self.time_proj = ops.Linear(hidden_size, 6 * hidden_size, dtype=dtype, device=device)

    def forward(self, thousandths: Tensor, dtype: torch.dtype) -> tuple[Tensor, Tensor]:
        half = TIME_SINUSOID_SIZE // 2
        indices = torch.arange(half, device=thousandths.device, dtype=torch.float32)
        angles = thousandths[:, None] * torch.exp(indices * (-math.log(10000) / half))
        sinusoid = torch.cat((angles.cos(), angles.sin()), dim=-1).to(dtype)
        embedding = self.linear_2(F.silu(self.linear_1(sinusoid)))
        return embedding, self.time_proj(F.silu(embedding)).unflatten(-1, (6, -1))


class DiTLayer(nn.Module):
    """Modulated self-attention, plain cross-attention, modulated SwiGLU."""

    def __init__(
        self,
        config: DiTConfig,
        index: int,
        *,
        ops: Ops,
        dtype: torch.dtype | None = None,
        device: torch.device | str | None = None,
    ) -> None:
        super().__init__()

        def norm() -> nn.Module:
            return ops.RMSNorm(config.hidden_size, eps=config.rms_norm_eps, dtype=dtype, device=device)

        self.index = index
        self.window = config.sliding_window if index % 2 == 0 else None  # how far self-attention sees, None: everything
        self.self_attn_norm = norm()
        self.self_attn = Attention(config, ops=ops, dtype=dtype, device=device)
        self.cross_attn_norm = norm()
        self.cross_attn = Attention(config, ops=ops, dtype=dtype, device=device)
        self.mlp_norm = norm()
        self.mlp = SwiGLU(config.hidden_size, config.intermediate_size, ops=ops, dtype=dtype, device=device)
        self.scale_shift_table = nn.Parameter(torch.empty(1, 6, config.hidden_size, dtype=dtype, device=device))

    def forward(self, x: Tensor, modulation: Tensor, run: DiTRun, *, guided: bool = False) -> Tensor:
        """Hidden states after this layer.

        Args:
            x: [B, S, hidden]; from the second layer of a guided pass on [2B, S, hidden], the unconditional ones last.
            modulation: of each item [B, 6, hidden], or of all [1, 6, hidden].
        """
        to_self, to_feed_forward = self.modulation_rows(modulation)
        x = self.attend_to_self(x, to_self, run)
        x = self.attend_to_conditions(x, run, guided=guided)
        return self.feed_forward(x, to_feed_forward)

    def null_output(self, null_condition: Tensor) -> Tensor:
        """Cross-attention output [hidden] when the conditions are one row [1, 1, hidden]."""
        attn = self.cross_attn
        value = attn.value(null_condition)  # [1, K, 1, D]
        return attn.output(value.repeat_interleave(attn.num_heads // value.shape[1], dim=1))[0, 0]

    def attend_to_self(self, x: Tensor, rows: ModulationRows, run: DiTRun) -> Tensor:
        shift, scale, gate = rows
        normed = torch.addcmul(shift, self.self_attn_norm(x), 1 + scale)
        attn = self.self_attn
        query, key = attn.rotate(attn.query(normed), run.rotary), attn.rotate(attn.key(normed), run.rotary)
        value = attn.value(normed)
        if self.window is None:
            heads = run.attention(query, key, value, None)
        else:
            heads = sliding_attention(query, key, value, self.window, run.window_mask, run.attention)
        return torch.addcmul(x, gate, attn.output(heads))

    def attend_to_conditions(self, x: Tensor, run: DiTRun, *, guided: bool = False) -> Tensor:
        conditions = run.conditions[self.index]
        items = conditions.key.shape[0]
        conditioned = x[:items]
        query = self.cross_attn.query(self.cross_attn_norm(conditioned))
        heads = run.attention(query, conditions.key, conditions.value, run.condition_mask)
        conditioned = conditioned + self.cross_attn.output(heads)
        if not guided:
            return conditioned
        assert run.null_outputs is not None, "prepared without guidance"
        unconditional = x if self.index == 0 else x[items:]  # both share everything before the first cross-attention
        return torch.cat((conditioned, unconditional + run.null_outputs[self.index]))

    def attention_weights(self, x: Tensor, key: Tensor, heads: Sequence[int], tokens: slice) -> Iterator[Tensor]:
        """What each position gives to `tokens` of the conditions, one head [tokens, S] after the other, float32.

        Args:
            x: [1, S, hidden]. key: of all conditions [1, K, L, D]; they share the softmax.
        """
        queries = self.cross_attn.query(self.cross_attn_norm(x))[0]
        queries_per_key = queries.shape[0] // key.shape[1]
        for head in heads:
            scaled_query = queries[head].float().T * self.cross_attn.head_dim**-0.5
            yield (key[0, head // queries_per_key].float() @ scaled_query).softmax(dim=0)[tokens]

    def modulation_rows(self, modulation: Tensor) -> tuple[ModulationRows, ModulationRows]:
        """Shift, scale and gate of self-attention, and those of the feed-forward."""
        rows = (self.scale_shift_table.to(modulation) + modulation).chunk(6, dim=1)
        return rows[:3], rows[3:]

    def feed_forward(self, x: Tensor, rows: ModulationRows) -> Tensor:
        shift, scale, gate = rows
        return torch.addcmul(x, gate, self.mlp(torch.addcmul(shift, self.mlp_norm(x), 1 + scale)))


class DiT(nn.Module):
    """Predicts the velocity noise - data of latents at 25 frames a second."""

    def __init__(
        self,
        config: DiTConfig,
        *,
        ops: Ops,
        dtype: torch.dtype | None = None,
        device: torch.device | str | None = None,
    ) -> None:
        super().__init__()
        self.config = config
        hidden_size, patch = config.hidden_size, config.patch_size
        self.proj_in = ops.Conv1d(config.in_channels, hidden_size, patch, stride=patch, dtype=dtype, device=device)
        self.time_embed = TimeEmbedding(hidden_size, ops=ops, dtype=dtype, device=device)
        self.time_embed_r = TimeEmbedding(hidden_size, ops=ops, dtype=dtype, device=device)
        self.condition_embedder = ops.Linear(config.condition_size, hidden_size, dtype=dtype, device=device)
        self.layers = nn.ModuleList(
            DiTLayer(config, index, ops=ops, dtype=dtype, device=device) for index in range(config.num_layers)
        )
        self.norm_out = ops.RMSNorm(hidden_size, eps=config.rms_norm_eps, dtype=dtype, device=device)
        self.proj_out = ops.ConvTranspose1d(
            hidden_size, config.latent_channels, patch, stride=patch, dtype=dtype, device=device
        )
        self.scale_shift_table = nn.Parameter(torch.empty(1, 2, hidden_size, dtype=dtype, device=device))
        self.null_condition_emb = nn.Parameter(torch.empty(1, 1, config.condition_size, dtype=dtype, device=device))

    def _layers(self) -> Sequence[DiTLayer]:
        return cast("Sequence[DiTLayer]", self.layers)

    def prepare(
        self,
        conditions: Sequence[Tensor],
        thousandths: Sequence[float],
        frames: int,
        *,
        guided: bool,
        layers: int | None = None,
        attention: AttentionFunction = scaled_dot_product_attention,
    ) -> DiTRun:
        """Compute once what every step of a run needs.

        Args:
            conditions: packed conditions of each song [L_i, condition_size], all of one dtype and device: those the
                network then runs in. Lengths may differ.
            thousandths: t * 1000 of each step, the input of the time sinusoid.
            frames: latent frames T of the songs.
            guided: whether `forward` will be asked for the unconditional velocity too.
            layers: how many of the layers will run, all of them for `forward`.
        """
        x = nn.utils.rnn.pad_sequence(list(conditions), batch_first=True)
        lengths = torch.tensor([item.shape[0] for item in conditions], device=x.device)
        valid = torch.arange(x.shape[1], device=x.device) < lengths[:, None]
        ragged = len({item.shape[0] for item in conditions}) > 1

        embedded = self.condition_embedder(x)
        keys_and_values = tuple(
            KeyValue(layer.cross_attn.key(embedded), layer.cross_attn.value(embedded))
            for layer in islice(self._layers(), layers)
        )
        null_outputs = None
        if guided:
            null_condition = self.condition_embedder(self.null_condition_emb.to(x))
            null_outputs = tuple(layer.null_output(null_condition) for layer in self._layers())

        steps = torch.tensor(thousandths, dtype=torch.float32, device=x.device)
        embedding, modulation = self.time_embed(steps, x.dtype)
        embedding_r, modulation_r = self.time_embed_r(torch.zeros_like(steps[:1]), x.dtype)

        config = self.config
        tokens = -(-frames // config.patch_size)
        positions = torch.arange(tokens, device=x.device)
        return DiTRun(
            conditions=keys_and_values,
            condition_mask=key_mask(valid, x.dtype) if ragged else None,
            null_outputs=null_outputs,
            time_embeddings=embedding + embedding_r,
            modulations=modulation + modulation_r,
            rotary=rotary_table(positions, config.head_dim, config.rope_theta, x.dtype),
            window_mask=sliding_mask(tokens, config.sliding_window, x.dtype, x.device),
            attention=attention,
        )

    def forward(
        self, x: Tensor, context: Tensor, step: int, run: DiTRun, *, guided: bool
    ) -> tuple[Tensor, Tensor | None]:
        """Velocity of noisy latents.

        Args:
            x: noisy latents [B, T, 64]. context: source latents and generation mask [B, T, 128].
            step: index into the `thousandths` given to `prepare`.
            guided: also compute the velocity under the null condition; `prepare` must have been told.

        Returns:
            The conditional velocity [B, T, 64] and the unconditional one, or None.
        """
        frames = x.shape[1]
        hidden = self.patches(x, context, run.time_embeddings.dtype)
        modulation = run.modulations[step : step + 1]
        for layer in self._layers():
            hidden = layer(hidden, modulation, run, guided=guided)
        velocity = self.velocity(hidden, run.time_embeddings[step : step + 1], frames)
        if not guided:
            return velocity, None
        conditional, unconditional = velocity.chunk(2)
        return conditional, unconditional

    def lyric_attention(
        self, x: Tensor, context: Tensor, step: int, run: DiTRun, heads: Sequence[LayerHeads], tokens: slice
    ) -> Iterator[Tensor]:
        """Cross-attention of some heads to some condition tokens, one head after the other.

        Runs up to the cross-attention of the last layer named, no further.

        Args:
            x: noisy latents [1, T, 64]. context: source latents and generation mask [1, T, 128].
            step: index into the `thousandths` given to `prepare`, which must have prepared the layers that run.
            heads: by ascending layer.
            tokens: which of the conditions.

        Yields:
            The softmax over all conditions, its rows `tokens` [tokens, ceil(T / 2)], float32.
        """
        hidden = self.patches(x, context, run.time_embeddings.dtype)
        modulation = run.modulations[step : step + 1]
        wanted = dict(heads)
        last_layer = heads[-1].layer
        for index, layer in enumerate(self._layers()):
            to_self, to_feed_forward = layer.modulation_rows(modulation)
            hidden = layer.attend_to_self(hidden, to_self, run)
            if index in wanted:
                yield from layer.attention_weights(hidden, run.conditions[index].key, wanted[index], tokens)
            if index == last_layer:
                return
            hidden = layer.feed_forward(layer.attend_to_conditions(hidden, run), to_feed_forward)

    def patches(self, x: Tensor, context: Tensor, dtype: torch.dtype) -> Tensor:
        """Input [B, ceil(T / 2), hidden] of the first layer."""
        frames = torch.cat((context.to(dtype), x.to(dtype)), dim=-1)
        frames = F.pad(frames, (0, 0, 0, -x.shape[1] % self.config.patch_size)).transpose(1, 2)
        patches: Tensor = self.proj_in(frames)
        return patches.transpose(1, 2).contiguous()  # elementwise operations would keep the other layout to the end

    def velocity(self, hidden: Tensor, time_embeddings: Tensor, frames: int) -> Tensor:
        """Velocity [B, T, 64] from the output of the last layer.

        Args:
            time_embeddings: of each item [B, hidden], or of all [1, hidden].
        """
        table = self.scale_shift_table.to(time_embeddings) + time_embeddings[:, None]
        shift, scale = table.chunk(2, dim=1)
        hidden = torch.addcmul(shift, self.norm_out(hidden), 1 + scale)
        velocity: Tensor = self.proj_out(hidden.transpose(1, 2)).transpose(1, 2)
        return velocity[:, :frames]
