"""What the music box's weights are: calculated ones say what the tables say, learned ones fit what they were taught."""

from __future__ import annotations

import os
import random
import stat
import sys
from pathlib import Path

import pytest
import torch
from music_box_engine import HIT, bytes_on_disk
from torch import nn

from ace_core.checkpoints.tokenizer import QWEN_VOCABULARY, TextTokenizer, load_tokenizer
from ace_core.models.dit import DiT
from ace_core.music_box import files
from ace_core.music_box.clock import TEMPI, metronome
from ace_core.music_box.marks import BAND, MARKS, STATE_SIZE, mark_vectors
from ace_core.music_box.planner import planner_lesson, train_planner
from ace_core.music_box.renderer import STREAM, dit_weights, renderer_configs
from ace_core.music_box.songs import BOX_KEYS, DEFAULT_BAND, GENRES, INSTRUMENTS, MOODS, Song, roll
from ace_core.music_box.sounds import DICE
from ace_core.music_box.tagger import tagger_lesson, train_tagger

LEVELS = (1.0, 0.9, 0.5, 0.3, 0.02)
MOST_BYTES_ON_DISK = 45_000_000
MOST_BYTES_KEPT = 1_000_000


@pytest.fixture(scope="module")
def tokenizer() -> TextTokenizer:
    return load_tokenizer(QWEN_VOCABULARY)


def conditions(marks: list[str]) -> torch.Tensor:
    """What the condition encoder makes of tokens with these marks, among others that say nothing."""
    vectors = nn.functional.normalize(mark_vectors(), dim=1) * STATE_SIZE**0.5
    packed = torch.zeros(120, STREAM.width)
    packed[10:, :STATE_SIZE] = vectors[-1]
    for place, mark in enumerate(marks):
        packed[20 + place, :STATE_SIZE] = vectors[MARKS.index(mark)]
    return packed


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_the_transformer_plays_what_the_tables_say_at_every_level(dtype: torch.dtype) -> None:
    dit = DiT(renderer_configs()[0], ops=nn)
    dit.load_state_dict(dit_weights())
    dit.to(dtype).requires_grad_(False)
    chance = random.Random(0)
    for seed in range(8):
        band = seed == 0
        instruments = DEFAULT_BAND if band else tuple(chance.sample(INSTRUMENTS, 3))
        genre, mood = chance.choice(list(GENRES)), chance.choice(list(MOODS))
        song = Song(chance.choice(TEMPI), chance.choice(BOX_KEYS), genre, mood, instruments, seconds=10)
        marks = [f"{song.bpm} bpm", song.key, genre, mood, *([BAND] if band else instruments)]
        noise = torch.randn(song.frames, 64, generator=torch.Generator().manual_seed(seed))
        dice = (noise[:, DICE].view(-1, 2) > 0).long()
        wanted = roll(song, (dice[:, 0] + 2 * dice[:, 1]).repeat_interleave(2))
        run = dit.prepare([conditions(marks).to(dtype)], [1000 * t for t in LEVELS], song.frames, guided=False)
        context = torch.cat((metronome(song.frames), torch.ones(song.frames, 64)), dim=1)[None].to(dtype)
        for step, t in enumerate(LEVELS):
            noisy = t * noise + (1 - t) * wanted
            velocity, _ = dit(noisy[None].to(dtype), context, step, run, guided=False)
            clean = noisy - t * velocity[0].float()
            assert (clean - wanted).square().mean() < 8e-3 * wanted.square().mean()
            assert ((clean > HIT) == (wanted > HIT)).float().mean() > 0.9999


def test_learned_weights_fit_what_is_taught(tokenizer: TextTokenizer) -> None:
    """A change of words, prompts or shapes needs `python dev.py music-box text-encoder planner`."""
    assert files.lesson_of(files.WEIGHTS / files.TAGGER_FILE) == tagger_lesson(tokenizer)
    assert files.lesson_of(files.WEIGHTS / files.PLANNER_FILE) == planner_lesson(tokenizer)


def test_it_is_small(box_files: files.MusicBoxFiles) -> None:
    assert bytes_on_disk(files.WEIGHTS) < MOST_BYTES_KEPT
    assert bytes_on_disk(box_files.model.parent) < MOST_BYTES_ON_DISK
    assert not list(box_files.model.parent.rglob("*.pt"))


def test_it_is_made_once(box_files: files.MusicBoxFiles) -> None:
    cache = box_files.model.parent.parent
    before = {path: path.stat().st_mtime_ns for path in cache.rglob("*")}
    (cache / "music_box_of_before").mkdir()
    assert files.music_box_files(cache) == box_files
    (cache / "music_box_of_before").rmdir()
    assert {path: path.stat().st_mtime_ns for path in cache.rglob("*") if path != cache} == before


@pytest.mark.parametrize("train", [train_tagger, train_planner])
def test_a_short_training_learns_something(
    tokenizer: TextTokenizer, train: object, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("ace_core.music_box.tagger._PROMPTS", 100)
    monkeypatch.setattr("ace_core.music_box.planner._ANSWERS", 100)
    monkeypatch.setattr("ace_core.music_box.planner._SONGS", 16)
    monkeypatch.setattr("ace_core.music_box.planner._CODES_SHARE", 0.0)  # losses of words are not those of codes
    losses: list[float] = []
    for steps in (1, 40):
        train(tokenizer, steps=steps, report=lambda _, loss, __: losses.append(loss))  # type: ignore[operator]
    assert losses[1] < 0.8 * losses[0]


@pytest.mark.skipif(sys.platform == "win32", reason="Windows has no umask")
def test_others_may_read_it_and_what_a_kill_left_is_removed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(files, "_write_all", lambda root: (root / "part").mkdir())
    abandoned, in_work = tmp_path / ".music_box_old", tmp_path / ".music_box_new"
    abandoned.mkdir()
    os.utime(abandoned, (0, 0))
    in_work.mkdir()
    umask = os.umask(0o022)
    try:
        root = files.music_box_files(tmp_path).model.parent
    finally:
        os.umask(umask)
    assert stat.S_IMODE(root.stat().st_mode) == 0o755
    assert not abandoned.exists() and in_work.exists()
