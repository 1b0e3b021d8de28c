"""The music box's planner hears songs of the box: Understand, Score, and the best of eight takes."""

from __future__ import annotations

import random
from collections.abc import Sequence
from dataclasses import replace

import torch
from music_box_engine import NETWORKS, Engine, plan_of
from planted_faults import FAULTS
from songbook import TASKS, Record, Recording, random_songs, share
from torch import Tensor

from ace_core.audio.waveform import SAMPLES_PER_FRAME
from ace_core.listening.song_scores import SongScores, ranking, song_scores
from ace_core.loaded import AcePlanner
from ace_core.music_box.songs import INSTRUMENTS
from ace_core.music_box.words import caption_marks, own_key
from ace_core.song.blueprint import Blueprint
from ace_core.stages import listen
from ace_core.stages.plan import understand_waveforms

TAKES, GOOD = 8, 3
TRIALS = max(12, TASKS)


def scores(planner: AcePlanner, box: Engine, songs: Sequence[Tensor], plans: Sequence[Blueprint]) -> list[SongScores]:
    recordings = [listen.Recording(latents, len(latents) * SAMPLES_PER_FRAME) for latents in songs]
    heard = listen.score_with_planner(NETWORKS, planner, box.model, recordings, plans)
    return [song_scores(score, None, None) for score in heard]


def test_understand_hears_tempo_key_and_instruments(
    planner: AcePlanner, box: Engine, songbook: list[Recording], record_property: Record
) -> None:
    waveforms = torch.stack([recording.waveform for recording in songbook])
    seeds = range(len(songbook))
    plans = understand_waveforms(NETWORKS, planner, box.model, box.vae, waveforms, seeds).blueprints
    pairs = [(plan, recording.song) for plan, recording in zip(plans, songbook, strict=True)]
    tempo = share([plan.bpm == song.bpm for plan, song in pairs])
    key = share([plan.key is not None and own_key(plan.key) == song.key for plan, song in pairs])
    named = [set(caption_marks(plan.caption or "").values()) for plan, _ in pairs]
    instruments = share(
        [
            (name in words) == (name in song.instruments)
            for words, (_, song) in zip(named, pairs, strict=True)
            for name in INSTRUMENTS
        ]
    )
    for name, value in (("tempo", tempo), ("key", key), ("instruments", instruments)):
        record_property(name, value)
    assert tempo >= 0.85 and key >= 0.9 and instruments >= 0.9


def test_score_prefers_the_right_caption(
    planner: AcePlanner, box: Engine, songbook: list[Recording], record_property: Record
) -> None:
    songs = [recording.latents for recording in songbook]
    right = [recording.plan for recording in songbook]
    wrong = [replace(plan, caption=other.caption) for plan, other in zip(right, right[1:] + right[:1], strict=True)]
    pairs = zip(scores(planner, box, songs, right), scores(planner, box, songs, wrong), strict=True)
    preferred = share([one.parts["caption"] > other.parts["caption"] for one, other in pairs])
    record_property("right caption", preferred)
    assert preferred >= 0.9


def test_score_prefers_the_undamaged_song(
    planner: AcePlanner, box: Engine, songbook: list[Recording], record_property: Record
) -> None:
    songs = [recording.latents for recording in songbook]
    plans = [recording.plan for recording in songbook]
    damaged = [FAULTS[number % len(FAULTS)](latents) for number, latents in enumerate(songs)]
    pairs = zip(scores(planner, box, songs, plans), scores(planner, box, damaged, plans), strict=True)
    preferred = share([(one.total or 0) > (other.total or 0) for one, other in pairs])
    record_property("undamaged song", preferred)
    assert preferred >= 0.9


def test_the_best_of_eight_takes_is_a_good_one(planner: AcePlanner, box: Engine, record_property: Record) -> None:
    chance = random.Random(5)
    found = []
    for number, song in enumerate(random_songs(TRIALS, seed=6)):
        plan = plan_of(song, word=number)
        takes = [box.render([plan], [seed])[0] for seed in range(GOOD)]
        takes += [FAULTS[place % len(FAULTS)](takes[place % GOOD]) for place in range(TAKES - GOOD)]
        order = chance.sample(range(TAKES), TAKES)
        best = ranking(scores(planner, box, [takes[place] for place in order], [plan] * TAKES))[0]
        found.append(order[best] < GOOD)
    record_property("best of eight", share(found))
    assert share(found) >= 0.9
