"""How well the lyric heads' attention follows the lyrics, from 0 to 1.

Matches the official `MusicLyricScorer`: coverage, monotonicity and confidence of the mean attention, in fp64.

- coverage: share of the lyric tokens that some frame attends to.
- monotonicity: share of neighbouring lyric tokens whose centres of attention do not run backwards.
- confidence: mean attention along the warping path, tags included.

Trap: the official code gives a song without words a coverage and monotonicity of 1. Here it has no score.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from torch import Tensor

from ..checkpoints.tokenizer import TextTokenizer
from ..models.dit import DiT
from ..progress import Progress
from ..render.conditions import SongConditions
from ..runtime import Runtime
from .dtw import WarpingPath, warping_path
from .lyric_attention import SEED, Matrix, lyric_attention, mean_attention
from .lyric_tokens import lyric_tokens

COVERED_ENERGY = 0.1
CENTROID_ENERGY = 0.01
BACKWARD_FRAMES = 9

_SMALLEST_RANGE = 1e-9


class AlignmentScore(NamedTuple):
    """Each from 0 to 1; `score` is coverage^2 * monotonicity^2 * confidence, rounded to four decimals."""

    coverage: float
    monotonicity: float
    confidence: float
    score: float


def score_alignment(
    dit: DiT,
    song: SongConditions,
    latents: Tensor,
    tokenizer: TextTokenizer,
    runtime: Runtime,
    *,
    level: float,
    seed: int = SEED,
    on_progress: Progress | None = None,
) -> AlignmentScore | None:
    """Listen to a finished song once and score how it follows its lyrics; `align_lyrics` has this score too.

    Args:
        song: its conditions. latents: its clean latents [T, 64].
        tokenizer: the text encoder's.
        level: 1 / steps of the sampler scores the song, `PURE_NOISE` what plan and codes alone let expect.
        seed: of the noise.
        on_progress: see `lyric_attention`.

    Returns:
        None for lyrics of tags alone, without listening.

    Raises:
        ValueError: conditions without a lyric prompt, and what `lyric_attention` refuses.
    """
    tokens = lyric_tokens(song.lyric_ids, tokenizer)
    if all(tokens.in_tag):
        return None
    heads = lyric_attention(
        dit,
        song,
        latents,
        tokens,
        runtime,
        level=level,
        seed=seed,
        on_progress=on_progress,
    )
    return alignment_score(mean_attention(heads), tokens.in_tag)


def alignment_score(attention: Matrix, in_tag: Sequence[bool]) -> AlignmentScore | None:
    """Score the mean attention [tokens, frames] of the lyric heads.

    Args:
        in_tag: for each token, whether it belongs to a structure tag and is not sung.

    Returns:
        None for lyrics of tags alone: there is nothing to sing.
    """
    sung = ~np.array(in_tag, dtype=np.bool_)
    if not sung.any():
        return None
    energy = _normalised(attention)
    path = warping_path(-(energy**2))
    exact = energy.astype(np.float64)
    coverage = float((exact[sung].max(axis=1) > COVERED_ENERGY).mean())
    monotonicity = _monotonicity(exact[sung])
    confidence = _confidence(exact, path)
    score = round(min(1.0, coverage**2 * monotonicity**2 * confidence), 4)
    return AlignmentScore(coverage, monotonicity, confidence, score)


def _normalised(attention: Matrix) -> Matrix:
    """Attention stretched to 0..1; zeros where all of it is the same."""
    lowest, highest = attention.min(), attention.max()
    if highest - lowest <= _SMALLEST_RANGE:
        return np.zeros_like(attention)
    energy: Matrix = (attention - lowest) / (highest - lowest)
    return energy


def _monotonicity(energy: NDArray[np.float64]) -> float:
    strong = np.where(energy > CENTROID_ENERGY, energy, 0)
    weight = strong.sum(axis=1)
    heard = weight > _SMALLEST_RANGE
    centroids = (strong[heard] @ np.arange(energy.shape[1])) / weight[heard]
    if len(centroids) < 2:
        return 1.0
    return float((centroids[1:] >= centroids[:-1] - BACKWARD_FRAMES).mean())


def _confidence(energy: NDArray[np.float64], path: WarpingPath) -> float:
    return float(energy[path.tokens, path.frames].mean())
