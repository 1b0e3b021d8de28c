"""Properties over random blueprints, spellings, durations and batches."""

from __future__ import annotations

import string

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from ace_core.audio import waveform as audio
from ace_core.render.prompts import caption_prompt, lyric_prompt
from ace_core.song.blueprint import (
    Blueprint,
    fields_left_auto,
    resolved_duration,
    with_planned_values,
    with_user_values,
)
from ace_core.song.blueprint_json import blueprints_from_json, blueprints_to_json
from ace_core.song.fields import (
    AUTO_FIELDS,
    CODE_COUNT,
    KEYS,
    MAX_BPM,
    MIN_BPM,
    SONG_FIELDS,
    TIME_SIGNATURES,
    normalize_audio_codes,
    normalize_bpm,
    normalize_duration,
    normalize_key,
    normalize_language,
    normalize_time_signature,
)
from ace_core.song.languages import LANGUAGES
from ace_core.tasks.instructions import task_instruction

repeatable = settings(deadline=None, derandomize=True)

durations = st.floats(audio.MIN_DURATION_SECONDS, audio.MAX_DURATION_SECONDS)
printable_text = st.text(
    st.characters(exclude_categories=["Cc", "Cs"], exclude_characters="<") | st.just("\n"), max_size=80
)

field_values = {
    "caption": printable_text,
    "lyrics": printable_text,
    "language": st.sampled_from(LANGUAGES),
    "bpm": st.integers(MIN_BPM, MAX_BPM),
    "key": st.sampled_from(KEYS),
    "time_signature": st.sampled_from(list(TIME_SIGNATURES)),
    "duration_seconds": durations,
    "audio_codes": st.lists(st.integers(0, CODE_COUNT - 1), max_size=60).map(tuple),
    "rewritten_caption": printable_text,
}
some_values = st.fixed_dictionaries({}, optional=field_values)
blueprints = st.builds(
    lambda user, planned: with_planned_values(with_user_values(Blueprint(), **user), **planned),
    some_values,
    some_values,
)


@repeatable
@given(st.lists(blueprints, min_size=1, max_size=4))
def test_json_round_trips_exactly(songs: list[Blueprint]) -> None:
    text = blueprints_to_json(songs)
    assert blueprints_from_json(text) == tuple(songs)
    assert blueprints_to_json(blueprints_from_json(text)) == text
    assert text.encode("utf-8").decode("utf-8") == text


@repeatable
@given(blueprints)
def test_building_a_blueprint_from_its_own_fields_changes_nothing(blueprint: Blueprint) -> None:
    values = {name: getattr(blueprint, name) for name in SONG_FIELDS}
    assert Blueprint(**values, planned=blueprint.planned) == blueprint
    assert hash(Blueprint(**values, planned=blueprint.planned)) == hash(blueprint)


@repeatable
@given(blueprints, some_values)
def test_planning_fills_what_is_open_and_keeps_what_the_user_wrote(
    blueprint: Blueprint, plan: dict[str, object]
) -> None:
    planned = with_planned_values(blueprint, **plan)
    for name in SONG_FIELDS:
        if blueprint.origin(name) == "user":
            assert getattr(planned, name) == getattr(blueprint, name)
            assert planned.origin(name) == "user"
        elif name in plan and getattr(Blueprint(**{name: plan[name]}), name) is not None:
            assert planned.origin(name) == "planner"
            assert getattr(planned, name) == getattr(Blueprint(**{name: plan[name]}), name)
        else:
            assert getattr(planned, name) == getattr(blueprint, name)
    still_open = fields_left_auto(planned)
    assert set(still_open) <= set(AUTO_FIELDS)
    assert all(planned.origin(name) == "auto" for name in still_open)


@repeatable
@given(blueprints)
def test_a_user_value_can_always_be_taken_back(blueprint: Blueprint) -> None:
    assert with_user_values(blueprint, **dict.fromkeys(SONG_FIELDS)) == Blueprint()


@repeatable
@given(blueprints)
def test_prompts_are_whole_for_every_blueprint(blueprint: Blueprint) -> None:
    seconds, _ = resolved_duration(blueprint)
    caption = caption_prompt(blueprint, task_instruction("text2music"), duration_seconds=seconds)
    lyrics = lyric_prompt(blueprint)
    assert caption.count("<|endoftext|>") == lyrics.count("<|endoftext|>") == 1
    assert caption.endswith(f"- duration: {int(seconds)} seconds\n<|endoftext|>\n")
    assert audio.MIN_DURATION_SECONDS <= seconds <= audio.MAX_DURATION_SECONDS


any_case = st.sampled_from([str.upper, str.lower, str.title, str])
padding = st.text(" \t", max_size=3)


@repeatable
@given(st.sampled_from("ABCDEFG"), st.sampled_from(["", "#", "b", "\u266f", "\u266d"]), st.data())
def test_every_spelling_of_a_key_gives_the_same_key(note: str, accidental: str, data: st.DataObject) -> None:
    mode = data.draw(st.sampled_from(["minor", "major"]))
    words = {"minor": ["m", "min", "Minor", "MINOR", "moll"], "major": ["M", "maj", "Major", "dur"]}[mode]
    letter = data.draw(st.sampled_from([note, note.lower()]))
    if mode == "major" and data.draw(st.booleans()):
        spelled = note + accidental
    else:
        separator = data.draw(st.sampled_from(["", " ", "-", "_", ":", "  "]))
        word = data.draw(st.sampled_from(words if letter.isupper() else [word for word in words if word != "M"]))
        spelled = letter + accidental + separator + word
    key = normalize_key(data.draw(padding) + spelled + data.draw(padding))
    assert key == f"{note}{accidental} {mode}"
    assert key in KEYS


@repeatable
@given(st.text(max_size=12) | st.text(string.ascii_letters + "#b0123456789/ .:-", max_size=8))
def test_any_text_is_refused_or_normalised_into_the_domain_for_good(text: str) -> None:
    domains = {
        normalize_key: lambda value: value in KEYS,
        normalize_language: lambda value: value in LANGUAGES,
        normalize_bpm: lambda value: value in range(MIN_BPM, MAX_BPM + 1),
        normalize_time_signature: lambda value: value in TIME_SIGNATURES,
        normalize_duration: lambda value: audio.MIN_DURATION_SECONDS <= value <= audio.MAX_DURATION_SECONDS,
        normalize_audio_codes: lambda value: all(0 <= code < CODE_COUNT for code in value),
    }
    for normalize, is_in_domain in domains.items():
        try:
            value = normalize(text)
        except ValueError:
            continue
        assert value is None or is_in_domain(value)
        assert normalize(value) == value


@repeatable
@given(st.sampled_from(LANGUAGES), any_case, padding)
def test_language_codes_ignore_case_and_space(code: str, change_case: object, space: str) -> None:
    assert callable(change_case)
    assert normalize_language(space + change_case(code) + space) == code


@repeatable
@given(durations, durations)
def test_frames_and_samples_follow_the_duration(one: float, other: float) -> None:
    shorter, longer = sorted((one, other))
    assert audio.latent_frames(shorter) <= audio.latent_frames(longer)
    assert audio.sample_count(shorter) <= audio.sample_count(longer)
    assert audio.code_count(shorter) <= audio.code_count(longer)
    frames, samples = audio.latent_frames(one), audio.sample_count(one)
    assert samples <= frames * audio.SAMPLES_PER_FRAME
    assert samples <= one * audio.SAMPLE_RATE < samples + audio.SAMPLES_PER_FRAME
    assert audio.code_count(one) * audio.LATENT_FRAME_RATE // audio.CODE_RATE <= frames


@repeatable
@given(st.floats(0, audio.MIN_DURATION_SECONDS))
def test_short_audio_has_at_least_128_frames(seconds: float) -> None:
    assert audio.latent_frames(seconds) >= audio.MIN_LATENT_FRAMES
    assert audio.sample_count(seconds) <= seconds * audio.SAMPLE_RATE


@repeatable
@given(st.integers(1, 8), st.integers(1, 2), st.integers(1, 300), st.floats(1e-4, 100), st.integers(0, 2**32))
def test_levels_and_normalisation_do_not_mix_batch_items(
    batch: int, channels: int, samples: int, gain: float, seed: int
) -> None:
    waveform = gain * torch.randn(batch, channels, samples, generator=torch.Generator().manual_seed(seed))
    operations = (audio.peak_normalize, audio.limit_peak, audio.peak_dbfs, audio.rms_dbfs, audio.to_stereo)
    for operation in operations:
        together = operation(waveform)
        alone = torch.cat([operation(item[None]) for item in waveform])
        torch.testing.assert_close(together, alone, rtol=1e-6, atol=1e-6)
    once = audio.peak_normalize(waveform)
    torch.testing.assert_close(audio.peak_normalize(once), once)
    assert torch.equal(audio.limit_peak(audio.limit_peak(waveform)), audio.limit_peak(waveform))


@repeatable
@given(st.integers(1, 60), st.integers(1, 60), st.integers(0, 80))
def test_a_cross_fade_has_the_length_of_both_less_the_overlap(first: int, second: int, overlap: int) -> None:
    parts = torch.ones(1, 2, first), torch.ones(1, 2, second)
    if overlap > min(first, second):
        with pytest.raises(ValueError, match="overlap"):
            audio.crossfade(*parts, overlap)
    else:
        assert audio.crossfade(*parts, overlap).shape == (1, 2, first + second - overlap)
