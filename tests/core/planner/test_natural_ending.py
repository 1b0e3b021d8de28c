"""A song that ended by itself has fewer codes than its length: the renderer sees silence after them."""

from __future__ import annotations

import pytest
import torch

from ace_core.render.conditions import SongPrompt, song_conditions
from ace_core.song.blueprint import Blueprint
from ace_core.tasks.song_task import text_task

SECONDS = 10.0
FRAMES = 250


@pytest.mark.parametrize("codes", [1, 31, 49, 50, 60])
def test_structure_go_on_with_silence_up_to_the_songs_length(codes: int) -> None:
    generator = torch.Generator().manual_seed(codes)
    structure = torch.randn(codes * 5, 64, generator=generator)
    silence = torch.randn(1, 750, 64, generator=generator)

    task = text_task(Blueprint(duration_seconds=SECONDS, audio_codes=(1,) * codes))
    song = song_conditions(task, SongPrompt((1,), (2,)), torch.zeros(4, 8), silence, structure=structure)

    assert song.source.shape == (FRAMES, 64) and song.mask.shape == (FRAMES,)
    assert song.samples == SECONDS * 48_000
    kept = min(len(structure), FRAMES)
    assert torch.equal(song.source[:kept], structure[:kept])
    assert torch.equal(song.source[kept:], silence[0, : FRAMES - kept])
