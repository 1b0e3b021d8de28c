"""A song that ended by itself has fewer codes than its length: the renderer sees silence after them."""

from __future__ import annotations

import pytest
import torch

from ace_core.render.conditions import SongPrompt, song_conditions

SECONDS = 10.0
FRAMES = 250


@pytest.mark.parametrize("codes", [1, 31, 49, 50, 60])
def test_hints_go_on_with_silence_up_to_the_songs_length(codes: int) -> None:
    generator = torch.Generator().manual_seed(codes)
    hints = torch.randn(codes * 5, 64, generator=generator)
    silence = torch.randn(1, 750, 64, generator=generator)

    song = song_conditions(torch.zeros(4, 8), SongPrompt((1,), (2,), SECONDS, None), silence, hints=hints)

    assert song.source.shape == (FRAMES, 64) and song.mask.shape == (FRAMES,)
    assert song.sample_count == SECONDS * 48_000
    kept = min(len(hints), FRAMES)
    assert torch.equal(song.source[:kept], hints[:kept])
    assert torch.equal(song.source[kept:], silence[0, : FRAMES - kept])
