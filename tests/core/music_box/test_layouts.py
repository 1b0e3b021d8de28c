"""Every layout and every precision plays the same songs."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from music_box_engine import NETWORKS, Engine, hits, likeness, load_music_box, plan_of
from music_box_layouts import write_layout
from songbook import random_songs, rendered
from tiny_checkpoints import LAYOUTS, Layout

from ace_core.checkpoints.inspection import inspect_model
from ace_core.music_box.files import MusicBoxFiles
from ace_core.stages.load import inspect_models, load_models

SONGS = 3
NOTES = ("drums", "bass", "keyboard", "guitar")


@pytest.mark.parametrize("layout", [layout for layout in LAYOUTS if layout != "official"])
def test_every_layout_plays_the_same_songs(
    box: Engine, box_files: MusicBoxFiles, tmp_path: Path, layout: Layout
) -> None:
    """The weights are the same numbers, so the latents are the same to the bit."""
    paths = write_layout(box_files, tmp_path / "models", layout)
    model = inspect_model(paths.model)
    assert model.layout == layout.removesuffix("_sharded") and model.variant == "turbo"
    sources = inspect_models(model, paths.text_encoder, paths.vae)
    other = Engine(*load_models(NETWORKS, sources, precision="float32"))
    for song, ours, theirs in zip(
        songs := random_songs(SONGS, seed=9, seconds=10), rendered(box, songs), rendered(other, songs), strict=True
    ):
        assert likeness(hits(ours, NOTES), hits(theirs, NOTES)) > 0.98, song
        assert torch.equal(ours, theirs)
    assert torch.equal(box.decode(ours), other.decode(ours))


def test_bfloat16_plays_the_same_songs(box: Engine, box_files: MusicBoxFiles) -> None:
    half = load_music_box(box_files, "turbo", "bfloat16")
    for song in random_songs(4, seed=4, seconds=10):
        one, other = (engine.render([plan_of(song)], [1])[0] for engine in (box, half))
        assert likeness(hits(one), hits(other)) > 0.98
