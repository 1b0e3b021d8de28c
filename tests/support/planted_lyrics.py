"""Lyrics in several scripts, and a stand-in for the network whose attention is planted."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any, NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from ace_core.audio.waveform import SAMPLES_PER_FRAME
from ace_core.checkpoints.tokenizer import TextTokenizer
from ace_core.listening.lyric_tokens import LyricTokens, lyric_tokens
from ace_core.models.dit import DiTConfig, LayerHeads
from ace_core.render.conditions import SongConditions
from ace_core.render.prompts import lyric_prompt
from ace_core.song.blueprint import Blueprint

LYRICS = {
    "latin": (
        "en",
        "[Verse 1]\nWalking down the street\nCaf\u00e9 lights, na\u00efve hearts\n\n[Chorus]\nSing it loud: <3 & more",
    ),
    "chinese": (
        "zh",
        "[\u4e3b\u6b4c]\n\u57ce\u5e02\u7684\u706f\u5149\u4eae\u4e86\n\u6211\u5728\u8fd9\u91cc\uff0c\u7b49\u4f60\u3002",
    ),
    "thai": (
        "th",
        "\u0e04\u0e34\u0e14\u0e16\u0e36\u0e07\u0e40\u0e18\u0e2d\u0e17\u0e38\u0e01\u0e27\u0e31\u0e19\n"
        "\u0e23\u0e31\u0e01\u0e40\u0e18\u0e2d\u0e19\u0e30",
    ),
    "emoji": (
        "unknown",
        "[Hook \U0001f3a4]\nset it on \U0001f525\U0001f525\n"
        "love \u2764\ufe0f you \U0001f468\u200d\U0001f469\u200d\U0001f467\n"
        "wave \U0001f44b\U0001f3fd \U0001f1f9\U0001f1ed\U0001f1ef\U0001f1f5",
    ),
}
CONFIG = DiTConfig(
    hidden_size=64,
    intermediate_size=96,
    num_layers=4,
    num_heads=4,
    num_kv_heads=2,
    head_dim=16,
    condition_size=48,
    in_channels=192,
    latent_channels=64,
    patch_size=2,
    sliding_window=16,
    rope_theta=1e6,
    rms_norm_eps=1e-6,
    lyric_heads=(LayerHeads(1, (0, 3)), LayerHeads(2, (1,))),
)


class Lyrics(NamedTuple):
    """Lyrics, the ids of their prompt, and what is known of its tokens."""

    text: str
    ids: tuple[int, ...]
    tokens: LyricTokens


def prompted(tokenizer: TextTokenizer, language: str, text: str) -> Lyrics:
    ids = tuple(tokenizer.encode_prompt(lyric_prompt(Blueprint(lyrics=text, language=language))))
    return Lyrics(text, ids, lyric_tokens(ids, tokenizer))


def song_of(ids: Sequence[int], frames: int, *, samples: int | None = None, condition_size: int = 48):
    """Conditions of a song: random ones for the lyrics, one timbre token and five of the caption."""
    generator = torch.Generator().manual_seed(len(ids))
    packed = torch.randn(len(ids) + 6, condition_size, generator=generator)
    source = torch.randn(frames, 64, generator=generator)
    return SongConditions(
        packed,
        source,
        torch.ones(frames),
        frames * SAMPLES_PER_FRAME if samples is None else samples,
        source,
        lyric_ids=tuple(ids),
    )


class PlantedDiT:
    """Gives out prepared heads [tokens, S] instead of computing any, and keeps what it was asked for."""

    config = CONFIG

    def __init__(self, heads: Sequence[Tensor]) -> None:
        self.heads = heads
        self.asked: list[Any] = []

    def prepare(self, conditions: Sequence[Tensor], thousandths: Sequence[float], frames: int, **how: object) -> str:
        self.asked += [tuple(thousandths), frames, how["layers"]]
        return "run"

    def lyric_attention(
        self, x: Tensor, context: Tensor, step: int, run: object, heads: Sequence[LayerHeads], tokens: slice
    ) -> Iterator[Tensor]:
        self.asked += [x, context, tokens]
        assert (step, run, tuple(heads)) == (0, "run", CONFIG.lyric_heads)
        yield from self.heads


class Planted(NamedTuple):
    """Frames of each token, and heads [tokens, frames] that attend accordingly."""

    first: NDArray[np.int64]
    last: NDArray[np.int64]
    heads: list[Tensor]


def plant(tokens: int, frames: int, seed: int, *, silences: Sequence[int] = ()) -> Planted:
    """Sing tokens one after the other, each for some frames.

    Args:
        silences: tokens before which 20 frames belong to nobody.
    """
    rng = np.random.default_rng(seed)
    room = frames - 20 * len(silences)
    starts = np.concatenate(([0], np.sort(rng.choice(np.arange(1, room), tokens - 1, replace=False)), [room]))
    pauses = np.zeros(tokens, dtype=np.int64)
    np.add.at(pauses, list(silences), 20)
    first = starts[:-1] + np.cumsum(pauses)
    last = first + np.diff(starts) - 1
    heads = []
    for _ in range(3):
        weights = rng.uniform(0, 0.3 / tokens, (tokens, frames))
        for token in range(tokens):
            weights[token, first[token] : last[token] + 1] = rng.uniform(0.6, 0.9, last[token] + 1 - first[token])
        heads.append(torch.from_numpy(weights).float())
    return Planted(first, last, heads)
