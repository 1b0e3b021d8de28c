"""Prompts byte for byte: against strings of the published code and against diffusers' own pipeline functions.

diffusers writes duration 0 as missing and takes track names in any spelling; the cases here are those both define.
"""

from __future__ import annotations

import itertools

import pytest
from diffusers.pipelines.ace_step.pipeline_ace_step import SFT_GEN_PROMPT, TASK_INSTRUCTIONS, AceStepPipeline

from ace_core.render.prompts import (
    CAPTION_TEMPLATE,
    caption_prompt,
    check_token_counts,
    lyric_prompt,
    metas_block,
)
from ace_core.song.blueprint import Blueprint
from ace_core.song.fields import TRACKS
from ace_core.tasks.instructions import TaskName, task_instruction


def test_the_caption_prompt_with_every_value() -> None:
    blueprint = Blueprint(
        caption="A sad {piano} ballad", bpm=95, key="F# minor", time_signature=6, duration_seconds=184.9
    )
    assert caption_prompt(blueprint, task_instruction("text2music"), duration_seconds=184.9) == (
        "# Instruction\nFill the audio semantic mask based on the given conditions:\n\n"
        "# Caption\nA sad {piano} ballad\n\n"
        "# Metas\n- bpm: 95\n- timesignature: 6\n- keyscale: F# minor\n- duration: 184 seconds\n<|endoftext|>\n"
    )


def test_missing_values_are_not_available_and_a_missing_duration_is_30_seconds() -> None:
    assert caption_prompt(Blueprint(), "Do it", duration_seconds=None) == (
        "# Instruction\nDo it:\n\n# Caption\n\n\n"
        "# Metas\n- bpm: N/A\n- timesignature: N/A\n- keyscale: N/A\n- duration: 30 seconds\n<|endoftext|>\n"
    )


def test_the_lyric_prompt_has_no_final_newline() -> None:
    assert lyric_prompt(Blueprint(lyrics="[Verse]\nrain", language="zh")) == (
        "# Languages\nzh\n\n# Lyric\n[Verse]\nrain<|endoftext|>"
    )


def test_open_lyrics_are_instrumental_in_an_unknown_language() -> None:
    expected = "# Languages\nunknown\n\n# Lyric\n[Instrumental]<|endoftext|>"
    assert lyric_prompt(Blueprint()) == lyric_prompt(Blueprint(lyrics="[inst]")) == expected


def test_a_rewritten_caption_is_what_the_renderer_reads() -> None:
    prompt = caption_prompt(Blueprint(caption="user", rewritten_caption="better"), "x:", duration_seconds=60)
    assert "# Caption\nbetter\n\n" in prompt


def test_the_rendered_length_wins_over_the_field() -> None:
    prompt = caption_prompt(Blueprint(duration_seconds=20), "x:", duration_seconds=45.99)
    assert "- duration: 45 seconds\n" in prompt


@pytest.mark.parametrize(
    ("task", "tracks", "instruction"),
    [
        ("text2music", (), "Fill the audio semantic mask based on the given conditions:"),
        ("repaint", (), "Repaint the mask area based on the given conditions:"),
        ("cover", (), "Generate audio semantic tokens based on the given conditions:"),
        ("cover-nofsq", (), "Generate audio semantic tokens based on the given conditions:"),
        ("extract", (), "Extract the track from the audio:"),
        ("extract", ("vocals",), "Extract the VOCALS track from the audio:"),
        ("lego", (), "Generate the track based on the audio context:"),
        ("lego", ("Backing vocals",), "Generate the BACKING_VOCALS track based on the audio context:"),
        ("complete", (), "Complete the input track:"),
        ("complete", ("drums", "bass"), "Complete the input track with DRUMS | BASS:"),
    ],
)
def test_task_instructions(task: TaskName, tracks: tuple[str, ...], instruction: str) -> None:
    assert task_instruction(task, tracks) == instruction


@pytest.mark.parametrize(
    ("task", "tracks", "message"),
    [
        ("remix", (), "task must be one of text2music, cover, .* complete; got 'remix'"),
        ("cover", ("drums",), "the task cover takes no tracks, got DRUMS"),
        ("lego", ("drums", "bass"), "the task lego takes one track, got DRUMS, BASS"),
        ("extract", ("banjo",), "track must be one of .*; got 'banjo'"),
    ],
)
def test_wrong_tasks_and_tracks_are_errors(task: TaskName, tracks: tuple[str, ...], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        task_instruction(task, tracks)


def test_instructions_equal_those_of_diffusers() -> None:
    plain: tuple[TaskName, ...] = ("text2music", "repaint", "cover")
    for task in plain:
        assert task_instruction(task) == TASK_INSTRUCTIONS[task]
    one_track: tuple[TaskName, ...] = ("extract", "lego")
    for task, track in itertools.product(one_track, (None, *TRACKS)):
        expected = AceStepPipeline._get_task_instruction(task, track_name=track)
        assert task_instruction(task, [track] if track else []) == expected
    for count in range(len(TRACKS) + 1):
        expected = AceStepPipeline._get_task_instruction("complete", complete_track_classes=list(TRACKS[:count]))
        assert task_instruction("complete", TRACKS[:count]) == expected


def test_the_template_equals_that_of_diffusers() -> None:
    ours = CAPTION_TEMPLATE.format(instruction="{}", caption="{}", metas="{}")
    assert ours == SFT_GEN_PROMPT


@pytest.mark.parametrize("bpm", [None, 30, 300])
@pytest.mark.parametrize("time_signature", [None, 2, 6])
@pytest.mark.parametrize("key", [None, "C major", "B\u266d minor"])
@pytest.mark.parametrize("duration_seconds", [None, 10.0, 10.96, 599.999])
def test_whole_prompts_equal_those_of_diffusers(
    bpm: int | None, time_signature: int | None, key: str | None, duration_seconds: float | None
) -> None:
    blueprint = Blueprint(
        caption="folk: warm, 'breathy' # vocal\nsecond line",
        lyrics="[Verse]\n\u96e8\u304c\n\n[Chorus]\nfalls",
        language="ja",
        bpm=bpm,
        key=key,
        time_signature=time_signature,
        duration_seconds=duration_seconds,
    )
    text, lyrics = AceStepPipeline._format_prompt(
        AceStepPipeline,
        prompt=blueprint.caption,
        lyrics=blueprint.lyrics,
        vocal_language="ja",
        audio_duration=duration_seconds,
        instruction="Repaint the mask area",
        bpm=bpm,
        keyscale=key,
        timesignature=None if time_signature is None else str(time_signature),
    )
    assert caption_prompt(blueprint, "Repaint the mask area", duration_seconds=duration_seconds) == text
    assert lyric_prompt(blueprint) == lyrics
    assert metas_block(bpm=bpm, time_signature=time_signature, key=key, duration_seconds=duration_seconds) in text


def test_prompts_at_their_limits_pass() -> None:
    check_token_counts(caption_tokens=256, lyric_tokens=2048)


@pytest.mark.parametrize(
    ("caption_tokens", "lyric_tokens", "parts"),
    [
        (300, 10, ["300 tokens", "256", "shorten the caption by 44 tokens"]),
        (10, 2049, ["2049 tokens", "2048", "shorten the lyrics by 1 tokens"]),
        (257, 5000, ["257 tokens", "5000 tokens", "shorten the caption by 1 ", "shorten the lyrics by 2952 "]),
    ],
)
def test_prompts_over_their_limits_say_both_numbers(caption_tokens: int, lyric_tokens: int, parts: list[str]) -> None:
    with pytest.raises(ValueError) as caught:
        check_token_counts(caption_tokens, lyric_tokens)
    assert all(part in str(caught.value) for part in parts)
