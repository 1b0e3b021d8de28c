"""When each lyric line of a finished song is sung.

Matches the official `MusicStampsAligner` (`dit_alignment_score.py`): dynamic time warping through the consensus of the
lyric heads gives each token its frames, and a line ends at a newline.

One difference, on purpose. The consensus has its lowest value wherever the heads hear nothing: in an intro, in an
interlude, under a token that nobody sings. There the rule for ties decides where the path runs, and the published times
of a line after an interlude begin with the interlude. Here a token lasts from the first to the last of its frames in
which it is heard, and what a line holds before and after the tokens that are heard is moved to them.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from torch import Tensor

from ..audio.waveform import SAMPLE_RATE
from ..checkpoints.tokenizer import TextTokenizer
from ..models.dit import DiT
from ..progress import Progress
from ..render.conditions import SongConditions
from ..runtime import Runtime
from .alignment_score import AlignmentScore, alignment_score
from .dtw import Frames, WarpingPath, warping_path
from .lyric_attention import SEED, Matrix, lyric_attention, read_attention
from .lyric_tokens import LyricTokens, lyric_tokens
from .timed_lyrics import TimedLyrics, TimedToken, group_lines, line_slices


class AlignedLyrics(NamedTuple):
    """Timed lyrics and how well the song follows them; no score for a song without words."""

    timed: TimedLyrics
    score: AlignmentScore | None


def align_lyrics(
    dit: DiT,
    song: SongConditions,
    latents: Tensor,
    tokenizer: TextTokenizer,
    runtime: Runtime,
    *,
    steps: int,
    seed: int = SEED,
    on_progress: Progress | None = None,
) -> AlignedLyrics:
    """Time and score the lyrics of a finished song.

    Args:
        song: its conditions. latents: its clean latents [T, 64].
        tokenizer: the text encoder's.
        steps: of the sampler; the song is listened to at the noise level of its last step.
        seed: of that noise.
        on_progress: see `lyric_attention`.

    Raises:
        ValueError: steps below 1, conditions without a lyric prompt, and what `lyric_attention` refuses.
    """
    if steps < 1:
        raise ValueError(f"steps must be 1 or more, got {steps}")
    tokens = lyric_tokens(song.lyric_ids, tokenizer)
    heads = lyric_attention(
        dit,
        song,
        latents,
        tokens,
        runtime,
        level=1 / steps,
        seed=seed,
        on_progress=on_progress,
    )
    read = read_attention(heads)
    timed = time_lyrics(read.consensus, tokens, song.samples / SAMPLE_RATE)
    return AlignedLyrics(timed, alignment_score(read.mean, tokens.in_tag))


def time_lyrics(consensus: Matrix, tokens: LyricTokens, duration_seconds: float) -> TimedLyrics:
    """Lines of the lyrics with their times, from the consensus [tokens, frames] of the heads.

    Every frame lasts an equal part of the duration; a token starts and ends where its first and its last frame start.
    """
    path = warping_path(-consensus)
    first, last = _frame_spans(path, len(tokens.texts))
    is_heard = consensus[path.tokens, path.frames] > consensus.min()
    heard_path = WarpingPath(path.tokens[is_heard], path.frames[is_heard])
    heard = np.unique(heard_path.tokens)
    heard_first, heard_last = _frame_spans(heard_path, len(tokens.texts))
    first[heard], last[heard] = heard_first[heard], heard_last[heard]
    for line in line_slices(tokens.texts):
        heard_here = heard[(heard >= line.start) & (heard < line.stop)]
        if len(heard_here):
            first[line.start : heard_here[0]] = last[line.start : heard_here[0]] = first[heard_here[0]]
            first[heard_here[-1] + 1 : line.stop] = last[heard_here[-1] + 1 : line.stop] = last[heard_here[-1]]
    frame_seconds = duration_seconds / consensus.shape[1]
    timed = [
        TimedToken(text, start * frame_seconds, end * frame_seconds, in_tag)
        for text, start, end, in_tag in zip(tokens.texts, first.tolist(), last.tolist(), tokens.in_tag, strict=True)
    ]
    return TimedLyrics(group_lines(timed), duration_seconds)


def _frame_spans(path: WarpingPath, tokens: int) -> tuple[Frames, Frames]:
    """First and last frame of each token on a path; what a token that is not on it gets is of no meaning."""
    first, last = np.zeros(tokens, dtype=np.int64), np.zeros(tokens, dtype=np.int64)
    last[path.tokens] = path.frames  # numpy keeps the last value assigned to an index
    first[path.tokens[::-1]] = path.frames[::-1]
    return first, last
