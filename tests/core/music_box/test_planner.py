"""The music box's planner through the engine's stages: plans follow the words of a request."""

from __future__ import annotations

import random
from dataclasses import replace

from music_box_engine import NETWORKS, Engine, playing, tempo_is
from songbook import Record, share

from ace_core.audio.waveform import SAMPLES_PER_FRAME
from ace_core.loaded import AcePlanner
from ace_core.music_box.clock import TEMPI, nearest_tempo
from ace_core.music_box.code_book import clock_codes
from ace_core.music_box.planner_lessons import VERSE_OF_MOOD, planned
from ace_core.music_box.words import listed_caption
from ace_core.planner.writing import OFFERED_WRITE_PARAMETERS
from ace_core.song.blueprint import Blueprint
from ace_core.stages.listen import Recording, score_alignments, with_plans
from ace_core.stages.plan import plan_songs, write_songs

PLAN = Blueprint(caption="warm pop", lyrics="[Instrumental]", key="C major", time_signature=4, language="unknown")
CAPTIONS = 24


def test_plans_are_those_of_the_words(planner: AcePlanner) -> None:
    """Of captions as people write them; words in any order, some of them unwanted, it gets right four times in five."""
    chance = random.Random(7)
    captions = ["a cheerful song about robots", *(listed_caption(chance) for _ in range(CAPTIONS - 1))]
    right = 0
    for seed, caption in enumerate(captions):
        caption = caption.split(", no ")[0].split(", without ")[0]
        wanted = planned(caption)
        song = Blueprint(caption=caption, lyrics="[Instrumental]")
        (plan,) = plan_songs(NETWORKS, planner, [song], [seed], write_codes=False).blueprints
        right += (plan.bpm, plan.key, plan.rewritten_caption) == (wanted["bpm"], wanted["keyscale"], wanted["caption"])
    assert right >= 0.95 * CAPTIONS


def test_what_the_user_decided_stays(planner: AcePlanner) -> None:
    song = Blueprint(caption="sad piano ballad", lyrics="[Instrumental]", bpm=101, key="Eb minor")
    (plan,) = plan_songs(NETWORKS, planner, [song], [1], write_codes=False).blueprints
    assert (plan.bpm, plan.key, plan.caption) == (101, "Eb minor", "sad piano ballad")
    assert plan.rewritten_caption == "sad ballad song with keyboard"


def test_a_song_is_written_from_one_line(planner: AcePlanner) -> None:
    for idea, mood in (
        ("a dark techno track with vocals", "dark"),
        ("a sad piano ballad about rain, female vocal", "sad"),
    ):
        (song,) = write_songs(NETWORKS, planner, idea, [3], OFFERED_WRITE_PARAMETERS).blueprints
        assert song.lyrics == VERSE_OF_MOOD[mood] and song.language == "en"
        assert song.caption is not None and song.caption.startswith(mood)


def test_codes_keep_the_tempo_of_the_plan(planner: AcePlanner, record_property: Record) -> None:
    plans = [replace(PLAN, bpm=bpm, duration_seconds=30) for bpm in (*TEMPI, 112)]
    right = []
    for plan in plans:
        (song,) = plan_songs(NETWORKS, planner, [plan], [plan.bpm or 0]).blueprints
        assert song.audio_codes is not None and plan.bpm is not None
        right.append([*song.audio_codes] == clock_codes(nearest_tempo(plan.bpm), len(song.audio_codes)))
    record_property("tempi with right codes", share(right))
    assert share(right) >= 0.9


def test_a_song_plays_as_its_plan_with_codes_says(planner: AcePlanner, box: Engine) -> None:
    asked = Blueprint(caption="dark techno with drums and bass")
    (plan,) = plan_songs(NETWORKS, planner, [asked], [4]).blueprints
    plan = replace(plan, duration_seconds=20, audio_codes=(plan.audio_codes or ())[:100])
    (latents,) = box.render([plan], [1])
    assert tempo_is(box.decode(latents), plan.bpm or 0) and playing(latents) == {"drums", "bass"}


def test_a_song_with_words_is_scored_without_an_alignment(box: Engine) -> None:
    plan = replace(PLAN, lyrics="[Verse]\nOpen the door, run to the shore")
    (latents,) = box.render([plan], [1])
    (finished,) = with_plans(
        NETWORKS, box.model, box.text_encoder, [Recording(latents, len(latents) * SAMPLES_PER_FRAME)], [plan]
    )
    assert score_alignments(NETWORKS, box.model, box.text_encoder, [finished], plan_alone=True) == [[None], [None]]
