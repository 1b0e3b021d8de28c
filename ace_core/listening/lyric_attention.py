"""How strongly each moment of a song attends to each token of its lyrics.

Matches the extraction and denoising of the official `get_lyric_timestamp`, `get_lyric_score` and
`MusicStampsAligner`: one conditional pass over the finished latents with some noise, in which certain cross-attention
heads follow the singing. A frame of the results is one position of the network: two latent frames, 12.5 a second.

Traps:
- The text and timbre conditions take part in the softmax; only the rows of the lyrics are kept.
- The consensus applies softmax to weights that are softmaxed already. It is what the threshold was tuned to.
- The official medians come from `torch.quantile`, which refuses more than 16.8 million numbers (7 heads of 800 tokens
  over 240 s). Here they are taken head by head, with the same interpolation, and no head is kept.
- A song below 5.12 s has more latent frames than sound; the frames after its end are not a place for a word.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from ..audio.waveform import LATENT_FRAME_RATE, SAMPLES_PER_FRAME
from ..models.dit import DiT, DiTConfig, LayerHeads
from ..progress import Progress
from ..render.conditions import SongConditions
from ..render.runs import render_memory_bytes
from ..runtime import Runtime
from ..sampling.noise import initial_noise
from ..sampling.solvers import add_noise
from .lyric_tokens import LyricTokens

SEED = 42  # of the noise, unless another is asked for
PURE_NOISE = 1.0  # the level at which nothing but the conditions says where a word will be

PUBLISHED_HEADS = {  # number of layers -> heads
    24: (
        LayerHeads(2, (6,)),
        LayerHeads(3, (10, 11)),
        LayerHeads(4, (3,)),
        LayerHeads(5, (8, 9)),
        LayerHeads(6, (8,)),
    ),
    32: (
        LayerHeads(3, (18, 27)),
        LayerHeads(4, (22,)),
        LayerHeads(5, (5, 6, 7)),
        LayerHeads(6, (2, 12, 13)),
        LayerHeads(7, (20, 21)),
    ),
}

_MEDIAN_WEIGHT = 2.0
_SMALLEST_DEVIATION = 1e-9

Matrix = NDArray[np.float32]
"""Lyric tokens x frames."""


class LyricAttention(NamedTuple):
    """What the heads agree on: their plain mean, which is scored, and the consensus, which is timed."""

    mean: Matrix
    consensus: Matrix


def lyric_heads(config: DiTConfig) -> tuple[LayerHeads, ...]:
    """The heads that follow the lyrics, by ascending layer: the checkpoint's own, else those of its published size.

    Raises:
        ValueError: a network of another size that does not name any.
    """
    heads = config.lyric_heads or PUBLISHED_HEADS.get(config.num_layers)
    if heads is None:
        raise ValueError(
            f"the lyric-attention heads of this model are unknown: it has {config.num_layers} layers, the "
            "published ones 24 (2B) and 32 (XL). If you know, add lyric_alignment_layers_config to its config.json"
        )
    return heads


def has_lyric_heads(config: DiTConfig) -> bool:
    """Whether it is known which heads of a network follow the lyrics."""
    return bool(config.lyric_heads) or config.num_layers in PUBLISHED_HEADS


def lyric_attention(
    dit: DiT,
    song: SongConditions,
    latents: Tensor,
    tokens: LyricTokens,
    runtime: Runtime,
    *,
    level: float,
    seed: int = SEED,
    on_progress: Progress | None = None,
) -> Iterator[Tensor]:
    """One pass over a finished song, as far as the last head that follows the lyrics.

    Args:
        song: its conditions.
        latents: clean latents [T, 64] of the song.
        tokens: of the song's lyrics.
        level: how much of the input is noise; 1 / steps of the sampler hears the song, `PURE_NOISE` the plan alone.
        on_progress: called after each head with (heads done, heads in all).

    Yields:
        For each head, the share [tokens, frames] that each frame gives to each token, float32 on the network's device.

    Raises:
        ValueError: a level outside 0..1, latents of another length than the song, or heads that nobody knows.
    """
    if not 0 < level <= 1:
        raise ValueError(f"the noise level must be above 0 and at most 1, got {level:g}")
    if len(latents) != len(song.source):
        raise ValueError(
            f"the latents have {len(latents)} frames ({len(latents) / LATENT_FRAME_RATE:g} s), but the conditioning is "
            f"of a song of {len(song.source)} ({len(song.source) / LATENT_FRAME_RATE:g} s): give the conditioning "
            "that the latents were made with, or one of the same duration"
        )
    heads = lyric_heads(dit.config)
    frames = song_positions(song, dit.config)
    run = dit.prepare(
        [runtime.take(song.packed)],
        [1000 * level],
        len(latents),
        guided=False,
        layers=heads[-1].layer + 1,
        attention=runtime.attention,
    )
    x = add_noise(
        latents[None].to(runtime.device, torch.float32), initial_noise((seed,), len(latents)).to(runtime.device), level
    )
    context = runtime.take(torch.cat((song.source, song.mask[:, None].expand_as(song.source)), dim=-1)[None])
    total = sum(len(layer.heads) for layer in heads)
    for done, weights in enumerate(dit.lyric_attention(x, context, 0, run, heads, tokens.rows), 1):
        yield weights[:, :frames]
        if on_progress is not None:
            on_progress(done, total)


def song_positions(song: SongConditions, config: DiTConfig) -> int:
    """Positions of the network in which the song sounds."""
    positions = -(-len(song.source) // config.patch_size)
    return min(positions, -(-song.samples // (SAMPLES_PER_FRAME * config.patch_size)))


def mean_attention(heads: Iterable[Tensor]) -> Matrix:
    """Mean of heads [tokens, frames].

    Raises:
        ValueError: the network gave NaN.
    """
    total, count = torch.zeros(()), 0
    for weights in heads:
        total = weights + total.to(weights)
        count += 1
    return _checked(total / count)


def read_attention(heads: Iterable[Tensor]) -> LyricAttention:
    """Mean and consensus of heads [tokens, frames], without keeping them.

    The consensus of a head is softmax over frames times softmax over tokens, from which twice the median of each row
    and then of each column is taken; what is left is squared. The heads are standardised together and averaged.

    Raises:
        ValueError: the network gave NaN.
    """
    mean = sharpened = torch.zeros(())
    means, squares = [], []
    for index, weights in enumerate(heads):
        head = _sharpened(weights)
        variance, head_mean = torch.var_mean(head, correction=0)
        means.append(head_mean.item())
        squares.append(variance.item() + head_mean.item() ** 2)
        mean = mean.add_(weights) if index else weights.clone()
        sharpened = head.add_(sharpened.to(head))
    count = len(means)
    overall = sum(means) / count
    deviation = max(0.0, sum(squares) / count - overall**2) ** 0.5
    standardised = sharpened.div_(count).sub_(overall).div_(deviation + _SMALLEST_DEVIATION)
    return LyricAttention(_checked(mean.div_(count)), _checked(standardised))


def _sharpened(weights: Tensor) -> Tensor:
    agreed = weights.softmax(dim=1).mul_(weights.softmax(dim=0))
    for dim in (1, 0):
        agreed.sub_(_median(agreed, dim), alpha=_MEDIAN_WEIGHT).relu_()
    return agreed.square_()


def _median(x: Tensor, dim: int) -> Tensor:
    """The middle value, or halfway between the two in the middle; `torch.median` gives the lower of these."""
    lower = x.median(dim, keepdim=True).values
    if x.shape[dim] % 2:
        return lower
    return lower.lerp(-(-x).median(dim, keepdim=True).values, 0.5)


def _checked(matrix: Tensor) -> Matrix:
    values: Matrix = matrix.cpu().numpy()
    if not np.isfinite(values).all():
        raise ValueError("the model's attention is not a number (NaN): its weights or the latents are broken")
    return values


def lyric_attention_memory_bytes(
    config: DiTConfig, song: SongConditions, tokens: LyricTokens, dtype: torch.dtype
) -> int:
    """Estimate of what `lyric_attention` and `read_attention` need: a sampling step, and the attention that is kept."""
    positions = -(-len(song.source) // config.patch_size)
    step = render_memory_bytes(config, [song], guided=False, dtype=dtype)
    return step + 4 * positions * (2 * len(song.packed) + 7 * len(tokens.texts))
