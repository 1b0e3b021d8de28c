"""Planted attention is recovered; what a real network's attention gives is in order and within the song."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from networks import random_weights
from planted_lyrics import CONFIG, Lyrics, PlantedDiT, plant, prompted, song_of
from torch import nn

from ace_core.checkpoints.tokenizer import TextTokenizer
from ace_core.listening.dtw import warping_path
from ace_core.listening.lyric_alignment import align_lyrics, time_lyrics
from ace_core.listening.lyric_attention import read_attention
from ace_core.listening.lyric_tokens import LyricTokens
from ace_core.listening.timed_lyrics import TimedLyrics
from ace_core.models.dit import DiT
from ace_core.runtime import Runtime

CPU = {"runtime": Runtime()}
FRAME_SECONDS = 0.08


def lyric_lines(text: str) -> list[str]:
    return [line.strip() for line in text.split("\n") if line.strip()]


def check_order(timed: TimedLyrics) -> None:
    """Lines and tokens follow one another within the song."""
    last = 0.0
    for line in timed.lines:
        assert round(line.tokens[0].start_seconds, 3) == line.start_seconds
        assert round(line.tokens[-1].end_seconds, 3) == line.end_seconds
        for token in line.tokens:
            assert last <= token.start_seconds <= token.end_seconds
            last = token.end_seconds
    assert last < timed.duration_seconds


@pytest.mark.parametrize("seed", range(5))
def test_planted_tokens_are_recovered_to_one_frame(lyrics: Lyrics, seed: int, tokenizer: TextTokenizer) -> None:
    count, frames = len(lyrics.tokens.texts), 300
    planted = plant(count, frames, seed)
    dit = PlantedDiT(planted.heads)
    aligned = align_lyrics(dit, song_of(lyrics.ids, 600), torch.zeros(600, 64), tokenizer, steps=8, **CPU)
    timed = aligned.timed

    assert timed.duration_seconds == 24
    assert [line.text for line in timed.lines] == lyric_lines(lyrics.text)
    check_order(timed)
    tokens = [token for line in timed.lines for token in line.tokens]
    assert [token.text for token in tokens] == list(lyrics.tokens.texts)
    starts = np.array([token.start_seconds for token in tokens]) / FRAME_SECONDS
    ends = np.array([token.end_seconds for token in tokens]) / FRAME_SECONDS
    assert np.abs(starts - planted.first).max() <= 1
    assert np.abs(ends - planted.last).max() <= 1


@pytest.mark.parametrize("seed", range(5))
def test_lines_start_after_an_intro_and_an_interlude(lyrics: Lyrics, seed: int, tokenizer: TextTokenizer) -> None:
    """Silence before each line; the warping path alone gives it to one of its neighbours."""
    texts = lyrics.tokens.texts
    begins = [0, *(index + 1 for index, text in enumerate(texts[:-1]) if "\n" in text)]
    planted = plant(len(texts), 300, seed, silences=begins)
    timed = time_lyrics(read_attention(planted.heads).consensus, lyrics.tokens, 24.0)

    check_order(timed)
    starts = np.array([line.start_seconds for line in timed.lines]) / FRAME_SECONDS
    ends = np.array([line.end_seconds for line in timed.lines]) / FRAME_SECONDS
    assert [line.text for line in timed.lines] == lyric_lines(lyrics.text)
    assert np.abs(starts - planted.first[begins]).max() <= 1
    assert np.abs(ends - planted.last[[*(begin - 1 for begin in begins[1:]), -1]]).max() <= 1


def tokens_of(*texts: str) -> LyricTokens:
    return LyricTokens(0, texts, (False,) * len(texts))


def spans(consensus: list[list[float]], *texts: str) -> list[tuple[float, float]]:
    """Frames of each token; the song has one second for each."""
    matrix = np.array(consensus, dtype=np.float32)
    timed = time_lyrics(matrix, tokens_of(*texts), float(matrix.shape[1]))
    return [(token.start_seconds, token.end_seconds) for line in timed.lines for token in line.tokens]


def test_a_token_lasts_as_long_as_it_is_heard() -> None:
    assert spans([[0, 5, 5, 0, 0, 0], [0, 0, 0, 0, 5, 5]], "a ", "b") == [(1, 2), (4, 5)]


def test_where_everything_is_heard_a_token_lasts_as_long_as_the_path() -> None:
    consensus = [[9, 9, -1, -1], [-1, -1, 9, 9], [-2, -2, -2, 0.5]]
    path = warping_path(-np.array(consensus, dtype=np.float32))
    assert list(zip(path.tokens, path.frames, strict=True)) == [(0, 0), (0, 1), (1, 2), (1, 3), (2, 3)]
    assert spans(consensus, "a ", "b ", "c") == [(0, 1), (2, 3), (3, 3)]


def test_unheard_tokens_of_a_line_move_to_the_heard_ones() -> None:
    nothing = [0.0] * 6
    heard = [0.0, 0.0, 0.0, 7.0, 7.0, 0.0]
    assert spans([nothing, heard, nothing, nothing], "(", "la", ")", "\n") == [(3, 3), (3, 4), (4, 4), (4, 4)]


def test_a_line_that_is_not_heard_lies_between_its_neighbours() -> None:
    consensus = [[0.0] * 8 for _ in range(4)]
    consensus[0][1], consensus[3][6] = 5, 5
    first, *tag, last = spans(consensus, "la\n", "[x", "]\n", "la")
    assert (first, last) == ((1, 1), (6, 6))
    assert [1.0, 1.0] <= [time for span in tag for time in span] <= [6.0, 6.0]


def test_a_short_song_ends_before_its_latents(tokenizer: TextTokenizer) -> None:
    lyrics = prompted(tokenizer, "en", "la\nla la")
    planted = plant(len(lyrics.tokens.texts), 25, seed=0)
    heads = [torch.cat((head, torch.rand(len(head), 39)), dim=1) for head in planted.heads]
    song = song_of(lyrics.ids, 128, samples=96_000)
    timed = align_lyrics(PlantedDiT(heads), song, torch.zeros(128, 64), tokenizer, steps=8, **CPU).timed
    check_order(timed)
    assert timed.duration_seconds == 2
    starts = [token.start_seconds for line in timed.lines for token in line.tokens]
    assert np.abs(np.array(starts) / FRAME_SECONDS - planted.first).max() <= 1


@pytest.mark.parametrize("frames", [128, 131])
@torch.no_grad()
def test_a_network_of_random_weights_gives_times_in_order(
    lyrics: Lyrics, frames: int, tokenizer: TextTokenizer
) -> None:
    dit = random_weights(DiT(CONFIG, ops=nn, device="meta"), 0)
    song = song_of(lyrics.ids, frames)
    latents = torch.randn(frames, 64, generator=torch.Generator().manual_seed(1))
    aligned = align_lyrics(dit, song, latents, tokenizer, steps=8, **CPU)
    check_order(aligned.timed)
    assert [line.text for line in aligned.timed.lines] == lyric_lines(lyrics.text)
    assert aligned.score is not None
    again = align_lyrics(dit, song, latents, tokenizer, steps=8, **CPU)
    assert again == aligned
    other_noise = align_lyrics(dit, song, latents, tokenizer, steps=8, seed=1, **CPU)
    assert other_noise.score != aligned.score


def test_an_instrumental_has_no_score(tokenizer: TextTokenizer) -> None:
    lyrics = prompted(tokenizer, "en", "[Instrumental]")
    planted = plant(len(lyrics.tokens.texts), 64, seed=0)
    aligned = align_lyrics(
        PlantedDiT(planted.heads), song_of(lyrics.ids, 128), torch.zeros(128, 64), tokenizer, steps=8, **CPU
    )
    assert aligned.score is None
    assert [line.is_tag for line in aligned.timed.lines] == [True]


def test_refuses_fewer_steps_than_one(tokenizer: TextTokenizer) -> None:
    with pytest.raises(ValueError, match="steps must be 1 or more, got 0"):
        align_lyrics(PlantedDiT([]), song_of(range(9), 128), torch.zeros(128, 64), tokenizer, steps=0, **CPU)
