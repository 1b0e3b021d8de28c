"""What each task makes of source audio: sources, masks and prompts by the published rules, and what is refused."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any, get_args

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from tiny_engine import SONG, Engine
from torch import Tensor

from ace_core.audio.splicing import SampleSpan, splice
from ace_core.audio.waveform import SAMPLE_RATE, SAMPLES_PER_FRAME, source_frames
from ace_core.checkpoints.variants import Variant
from ace_core.render.conditions import SongConditions, SongPrompt, song_conditions, source_latents, tokenize
from ace_core.render.prompts import caption_prompt
from ace_core.song.blueprint import Blueprint
from ace_core.song.regions import Region
from ace_core.stages.decode import finish_songs, splices_of
from ace_core.stages.encode import encode_songs
from ace_core.stages.sources import given_sources, source_waveforms, whole_frames
from ace_core.tasks import extend as extending
from ace_core.tasks.cover import cover_task
from ace_core.tasks.extend import ExtendWindow, extend_task, extend_window, window_latents
from ace_core.tasks.instructions import TaskName
from ace_core.tasks.repaint import repaint_task
from ace_core.tasks.song_task import BASE_TASKS, FrameSpan, SongTask, SourceHold, check_task, task_summary, text_task
from ace_core.tasks.stems import track_task

repeatable = settings(deadline=None, derandomize=True)

FRAMES = 300
SAMPLES = FRAMES * SAMPLES_PER_FRAME - 700  # 11.985 s: the last frame is not full
SECONDS = SAMPLES / SAMPLE_RATE
LATENTS = torch.randn(FRAMES, 64, generator=torch.Generator().manual_seed(1))
STRUCTURE = torch.randn(FRAMES, 64, generator=torch.Generator().manual_seed(2))
SILENCE = torch.randn(1, 400, 64, generator=torch.Generator().manual_seed(3))
PACKED, PLAIN_PACKED = torch.zeros(5, 8), torch.ones(4, 8)
WAVEFORM = torch.zeros(1).expand(2, SAMPLES)


def conditions(task: SongTask) -> SongConditions:
    return song_conditions(
        task,
        SongPrompt((), ()),
        PACKED,
        SILENCE,
        structure=STRUCTURE if task.follows_codes else None,
        second_packed=PLAIN_PACKED if task.follow_share < 1 else None,
    )


def repaint(*regions: tuple[float, float], **options: Any) -> SongTask:
    return repaint_task(LATENTS, WAVEFORM, [Region(*region) for region in regions], **options)


def tone(seconds: float, sample_rate: int, channels: int = 2, items: int = 1) -> Tensor:
    time = torch.arange(round(seconds * sample_rate)) / sample_rate
    return (0.5 * torch.sin(2 * math.pi * 440 * time)).expand(items, channels, -1)


@pytest.mark.parametrize("sample_rate", [8_000, 44_100, 48_000, 96_000])
@pytest.mark.parametrize("channels", [1, 2])
def test_any_rate_and_mono_become_48_khz_stereo(sample_rate: int, channels: int) -> None:
    waveform = source_waveforms(tone(2, sample_rate, channels, items=3), sample_rate)
    assert waveform.shape == (3, 2, 2 * SAMPLE_RATE)
    expected = tone(2, SAMPLE_RATE)[0]
    error = (waveform[1] - expected)[:, 2000:-2000]  # the filter sees an edge at both ends
    assert error.abs().max() < 0.01


def test_samples_at_48_khz_stay_bit_for_bit_even_above_full_scale() -> None:
    loud = 3 * tone(2, SAMPLE_RATE)
    assert torch.equal(source_waveforms(loud, SAMPLE_RATE), loud)


def test_the_vae_hears_whole_frames_within_full_scale() -> None:
    waveform = whole_frames(torch.linspace(-2, 2, 2 * 4000).view(2, 4000))
    assert waveform.shape == (2, 3 * SAMPLES_PER_FRAME)
    assert waveform.aminmax() == (-1, 1)
    assert not waveform[:, 4000:].any()
    assert whole_frames(torch.ones(2, 3840)).shape == (2, 3840)


@pytest.mark.parametrize(
    ("waveform", "sample_rate", "message"),
    [
        (None, 48_000, "there is no audio: it may come from"),
        (torch.full((1, 2, 96_000), math.nan), 48_000, "NaN or infinite"),
        (tone(2, 48_000)[0], 48_000, r"shape \[batch, channels, samples\]"),
        (torch.zeros(1, 2, 0), 48_000, "audio is empty"),
        (tone(2, 48_000, channels=6), 48_000, "mono or stereo, got 6 channels"),
        (torch.cat((tone(2, 48_000), torch.zeros(1, 2, 96_000))), 48_000, "item 2 of 2 of the audio is silent"),
        (tone(0.99, 8_000), 8_000, "lasts 0.99 s: give 1 s or more"),
        (tone(600.05, 100), 100, "lasts 600.05 s and the model takes 600 s at most: cut it"),
        (tone(2, 48_000), 0, "sample rate must be above 0 Hz, got 0"),
    ],
    ids=["none", "nan", "2-d", "empty", "surround", "silent", "short", "long", "rate"],
)
def test_unusable_audio_is_named(waveform: Tensor | None, sample_rate: int, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        source_waveforms(waveform, sample_rate)


def test_longer_audio_is_taken_where_a_task_can() -> None:
    assert source_waveforms(tone(601, 100), 100, max_seconds=math.inf).shape[-1] == 601 * SAMPLE_RATE


def test_frames_hold_all_samples_of_a_source() -> None:
    assert [source_frames(samples) for samples in (48_000, 245_760, 245_761, 28_800_000)] == [128, 128, 129, 15_000]


@pytest.mark.parametrize("name", get_args(TaskName))
@pytest.mark.parametrize("variant", get_args(Variant))
def test_stem_tasks_want_base_weights(name: TaskName, variant: Variant) -> None:
    task = SongTask(name, SAMPLES, LATENTS)
    if name not in ("extract", "lego", "complete") or variant == "base":
        assert check_task(task, SONG, variant, "a model") is None
    elif variant.startswith("turbo"):
        with pytest.raises(ValueError, match=f"{name} needs a base checkpoint and my-turbo is {variant}"):
            check_task(task, SONG, variant, "my-turbo")
    else:
        warning = check_task(task, SONG, variant, "my-model")
        assert warning is not None and warning.startswith(f"WARNING: {name} is made for base checkpoints and my-model")
    assert BASE_TASKS == ("extract", "lego", "complete")


@pytest.mark.parametrize(
    ("sides", "placed"),
    [
        ({"after_seconds": 20.0}, slice(0, 250)),
        ({"before_seconds": 4.0}, slice(100, 350)),
        ({"before_seconds": 4.0, "after_seconds": 2.0}, slice(100, 350)),
    ],
)
def test_given_latents_lie_where_the_recording_does(sides: dict[str, float], placed: slice) -> None:
    window = extend_window(tone(10, SAMPLE_RATE)[0], **sides)
    recording = torch.randn(250, 64, generator=torch.Generator().manual_seed(8))
    latents = window_latents(recording, window)
    assert len(latents) == -(-(window.end - window.start) // SAMPLES_PER_FRAME)
    assert torch.equal(latents[placed], recording)
    assert not torch.cat((latents[: placed.start], latents[placed.stop :])).any()


def test_a_context_cuts_given_latents() -> None:
    window = extend_window(tone(50, SAMPLE_RATE)[0], after_seconds=10.0, context_seconds=30.0)
    recording = torch.randn(1250, 64, generator=torch.Generator().manual_seed(8))
    latents = window_latents(recording, window)
    assert torch.equal(latents[:750], recording[500:]) and not latents[750:].any()
    with pytest.raises(ValueError, match="multiples of 0.04 s, got 0.1 s"):
        window_latents(recording[:250], extend_window(tone(10, SAMPLE_RATE)[0], before_seconds=0.1))


def test_given_latents_must_be_those_of_the_recordings() -> None:
    recordings, latents = tone(10, SAMPLE_RATE), torch.randn(250, 64)
    assert torch.equal(given_sources([latents], recordings)[0], latents)
    with pytest.raises(ValueError, match="latents of 2 songs for 1 recordings"):
        given_sources([latents, latents], recordings)
    for wrong in (latents[:249], torch.cat((latents, latents[:1]))):
        with pytest.raises(ValueError, match="the audio 10 s: connect those that it was decoded from"):
            given_sources([wrong], recordings)


def test_a_song_with_codes_has_five_frames_a_code() -> None:
    def frames(seconds: float, codes: int) -> int:
        return text_task(Blueprint(duration_seconds=seconds, audio_codes=[1] * codes)).frames

    assert [frames(30.5, 152), frames(12.34, 61), frames(30.0, 150)] == [760, 305, 750]
    assert [frames(30.0, 140), frames(30.0, 160)] == [750, 750]


REFUSED: dict[str, tuple[Callable[[], object], str]] = {
    "strength above 1": (lambda: cover_task(LATENTS, SAMPLES, strength=1.1), "cover strength must be 0 to 1, got 1.1"),
    "strength nan": (lambda: cover_task(LATENTS, SAMPLES, strength=math.nan), "cover strength must be 0 to 1, got nan"),
    "noise strength": (
        lambda: cover_task(LATENTS, SAMPLES, noise_strength=-0.1),
        "noise strength must be 0 to 1, got -0.1",
    ),
    "structure": (
        lambda: cover_task(LATENTS, SAMPLES, structure="notes"),
        "structure must be one of codes, latents, got 'notes'",
    ),
    "mode": (lambda: repaint((1, 2), mode="gentle"), "balanced, conservative, aggressive, got 'gentle'"),
    "repaint strength": (lambda: repaint((1, 2), strength=2), "repaint strength must be 0 to 1, got 2"),
    "no region": (lambda: repaint(), "no region to change"),
    "region behind the end": (lambda: repaint((12, 13)), "starts at 12 s and the audio ends at 11.98"),
    "no track": (lambda: track_task("extract", LATENTS, SAMPLES, []), "choose the track to extract"),
    "no tracks": (lambda: track_task("complete", LATENTS, SAMPLES, []), "choose the tracks to complete"),
    "unknown track": (lambda: track_task("lego", LATENTS, SAMPLES, ["banjo"]), "one of woodwinds, .*; got 'banjo'"),
    "two tracks to extract": (
        lambda: track_task("extract", LATENTS, SAMPLES, ["drums", "bass"]),
        "the task extract takes one track, got DRUMS, BASS",
    ),
    "two tracks to add": (
        lambda: track_task("lego", LATENTS, SAMPLES, ["drums", "bass"]),
        "the task lego takes one track, got DRUMS, BASS",
    ),
    "lego behind the end": (
        lambda: track_task("lego", LATENTS, SAMPLES, ["drums"], regions=[Region(20, 30)]),
        "starts at 20 s and the audio ends at 11.98",
    ),
    "regions to extract from": (
        lambda: track_task("extract", LATENTS, SAMPLES, ["drums"], regions=[Region(1, 2)]),
        "extract works on the whole song, only lego takes regions, got 1",
    ),
}


@pytest.mark.parametrize("name", REFUSED)
def test_options_outside_their_domain_are_refused(name: str) -> None:
    build, message = REFUSED[name]
    with pytest.raises(ValueError, match=message):
        build()


def test_cover_follows_the_structure_and_latents_the_sound() -> None:
    codes = conditions(cover_task(LATENTS, SAMPLES))
    sound = conditions(cover_task(LATENTS, SAMPLES, structure="latents"))
    assert torch.equal(codes.source, STRUCTURE)
    assert torch.equal(sound.source, LATENTS)
    for song in (codes, sound):
        assert (song.mask == 1).all()
        assert (song.samples, song.second, song.hold) == (SAMPLES, None, None)


def test_a_weaker_cover_hears_silence_and_the_text_in_its_last_steps() -> None:
    second = conditions(cover_task(LATENTS, SAMPLES, strength=0.4)).second
    assert second.switch_share == 0.4
    assert second.packed is PLAIN_PACKED
    assert torch.equal(second.source, SILENCE[0, :FRAMES])


def test_a_remix_starts_from_the_sound_and_not_from_its_codes() -> None:
    song = conditions(cover_task(LATENTS, SAMPLES, noise_strength=0.3))
    assert song.hold == SourceHold(noise_strength=0.3, share=0, fade_frames=0)
    assert torch.equal(song.clean, LATENTS)


def test_repaint_silences_what_the_mask_generates() -> None:
    song = conditions(repaint((2.0, 4.0)))
    assert song.mask.nonzero()[:, 0].tolist() == list(range(50, 100))
    assert torch.equal(song.source[50:100], SILENCE[0, 50:100])
    assert torch.equal(song.source[:50], LATENTS[:50]) and torch.equal(song.source[100:], LATENTS[100:])
    assert torch.equal(song.clean, LATENTS)


@pytest.mark.parametrize("task", ["extract", "lego", "complete"])
def test_stem_tasks_hear_the_source_as_it_is(task: TaskName) -> None:
    song = conditions(track_task(task, LATENTS, SAMPLES, ["Backing Vocals"]))
    assert torch.equal(song.source, LATENTS)
    assert (song.mask == 1).all()
    assert (song.second, song.hold) == (None, None)


def test_lego_keeps_hearing_the_source_where_it_adds() -> None:
    """The newer official rule; the older one silenced the source there."""
    task = track_task("lego", LATENTS, SAMPLES, ["drums"], regions=[Region(2, 4), Region(6, 7)])
    song = conditions(task)
    assert torch.equal(song.source, LATENTS)
    assert song.mask.nonzero()[:, 0].tolist() == [*range(50, 100), *range(150, 175)]
    assert song.hold is None


def test_lego_in_regions_is_silent_elsewhere() -> None:
    task = track_task("lego", LATENTS, SAMPLES, ["drums"], regions=[Region(2, 4), Region(6, 7)])
    assert track_task("lego", LATENTS, SAMPLES, ["drums"]).splice is None
    assert task.splice is not None and not task.splice.keeps_level
    assert "new: 2-4 s, 6-7 s" in task_summary(task)
    rendered = 0.2 * torch.randn(2, SAMPLES, generator=torch.Generator().manual_seed(3))
    stems, notes = finish_songs(rendered[None], [SAMPLES], splices=splices_of([task], [SAMPLES]))
    (stem,), fade = stems, round(0.05 * SAMPLE_RATE)
    assert notes == () and stem.shape == (2, SAMPLES)
    assert stem.abs().max() == pytest.approx(10 ** (-1 / 20))  # levelled as other songs are
    playing = torch.zeros(SAMPLES, dtype=torch.bool)
    for start, end in ((2, 4), (6, 7)):
        playing[start * SAMPLE_RATE - fade : end * SAMPLE_RATE + fade] = True
        part = slice(start * SAMPLE_RATE, end * SAMPLE_RATE)
        gain = stem[:, part] / rendered[:, part]
        torch.testing.assert_close(gain, gain.mean().expand_as(gain), atol=1e-4, rtol=1e-4)
    assert not stem[:, ~playing].any()
    before = slice(2 * SAMPLE_RATE - fade, 2 * SAMPLE_RATE)
    assert stem[:, before].abs().max() > 0  # it fades in, not cuts
    assert (stem[:, before] / rendered[:, before])[0].diff().min() > -1e-5


@pytest.mark.parametrize("structure", ["codes", "latents"])
def test_short_sources_are_continued_with_the_first_frames_of_silence(structure: str) -> None:
    task = cover_task(LATENTS[:100], 100 * SAMPLES_PER_FRAME - 5, structure=structure)
    expected = torch.cat((LATENTS[:100], SILENCE[0, :28]))
    assert torch.equal(source_latents(task, SILENCE), expected)
    song = conditions(task)
    assert torch.equal(song.source, STRUCTURE[:128] if structure == "codes" else expected)
    assert (len(song.mask), song.samples) == (128, 100 * SAMPLES_PER_FRAME - 5)


@pytest.mark.parametrize(
    ("options", "share", "frames", "fade"),
    [
        ({}, 0.5, 12, 0.025),
        ({"mode": "balanced", "strength": 0.2}, 0.8, 20, 0.04),
        ({"mode": "balanced", "strength": 0.9}, 0.1, 2, 0.01),
        ({"mode": "conservative", "strength": 0.9}, 1.0, 25, 0.05),
        ({"mode": "aggressive", "strength": 0.1}, 0.0, 0, 0.01),
    ],
)
def test_modes_are_the_published_numbers(options: Any, share: float, frames: int, fade: float) -> None:
    """But a splice never cuts, where the published one has no fade or none at all."""
    task = repaint((2, 4), **options)
    hold = task.hold or SourceHold()
    assert hold.share == pytest.approx(share)
    assert hold.fade_frames == frames
    assert task.splice.fade_samples == round(fade * SAMPLE_RATE)


@pytest.mark.parametrize(("strength", "mode"), [(0.0, "conservative"), (1.0, "aggressive")])
def test_balanced_ends_in_the_two_other_modes(strength: float, mode: str) -> None:
    assert repaint((2, 4), (5, 7), strength=strength) == repaint((2, 4), (5, 7), mode=mode)


@repeatable
@given(st.lists(st.integers(0, SAMPLES), min_size=2, max_size=12, unique=True))
def test_regions_are_generated_to_the_sample_and_masked_by_the_published_rule(edges: list[int]) -> None:
    edges = sorted(edges)[: len(edges) // 2 * 2]
    spans = [SampleSpan(*pair) for pair in zip(edges[::2], edges[1::2], strict=True)]
    task = repaint(*((start / SAMPLE_RATE, end / SAMPLE_RATE) for start, end in spans))
    assert task.splice.generated == tuple(spans)
    for (start, end), frames in zip(spans, task.regions, strict=True):
        first = min(start // SAMPLES_PER_FRAME, FRAMES - 1)
        last = FRAMES if end == SAMPLES else end // SAMPLES_PER_FRAME
        assert frames == FrameSpan(first, max(first + 1, last))


@repeatable
@given(st.lists(st.tuples(st.integers(0, 290), st.integers(1, 60)), min_size=1, max_size=6))
def test_several_regions_are_their_single_masks_together_and_silenced_one_by_one(drawn: list[tuple[int, int]]) -> None:
    regions = [(start / 25, (start + length) / 25) for start, length in drawn]
    together = conditions(repaint(*regions))
    mask, source = torch.zeros(FRAMES), LATENTS
    for region in regions:
        single = conditions(repaint_task(source, WAVEFORM, [Region(*region)]))
        mask, source = torch.maximum(mask, single.mask), single.source
    assert torch.equal(together.mask, mask)
    assert torch.equal(together.source, source)


def test_a_region_up_to_the_end_has_the_last_frame() -> None:
    for end in (SECONDS, 12.0, 500.0):
        task = repaint((10, end))
        assert task.regions == (FrameSpan(250, FRAMES),)
        assert task.splice.generated == (SampleSpan(480_000, SAMPLES),)


def window_of(samples: int, channels: int = 2, **options: float) -> ExtendWindow:
    waveform = torch.arange(1, samples + 1, dtype=torch.float32).expand(channels, -1)
    return extend_window(waveform, **options)


def task_of(window: ExtendWindow) -> SongTask:
    frames = -(-window.waveform.shape[1] // SAMPLES_PER_FRAME)
    return extend_task(torch.zeros(frames, 64), window)


@repeatable
@given(st.integers(48_000, 150_000), st.integers(0, 100_000), st.integers(0, 100_000))
def test_lengths_are_exact_to_the_sample(samples: int, before: int, after: int) -> None:
    if not before and not after:
        return
    window = window_of(samples, before_seconds=before / SAMPLE_RATE, after_seconds=after / SAMPLE_RATE)
    assert window.original.shape == (2, before + samples + after)
    assert window.original[0, before : before + samples].tolist() == list(range(1, samples + 1))
    assert not window.original[:, :before].any() and not window.original[:, before + samples :].any()
    assert (window.start, window.end) == (0, before + samples + after)
    assert sum(end - start for start, end in window.new) == before + after

    task = task_of(window)
    assert task.samples == before + samples + after
    assert task.splice.original.shape == window.original.shape
    generated = torch.zeros(len(task.source), dtype=torch.bool)
    for start, end in task.regions:
        generated[start:end] = True
    assert_every_new_sample_is_generated(generated, window)


def test_zeros_are_never_a_source() -> None:
    window = window_of(100_000, before_seconds=1.01, after_seconds=2.0)
    task = task_of(window)
    song = conditions(task)
    kept = song.mask[: len(task.source)] == 0
    samples = whole_frames(window.waveform)[0].view(-1, SAMPLES_PER_FRAME)
    assert (samples[kept] != 0).all()
    assert torch.equal(song.source[song.mask == 1], SILENCE[0, : len(song.mask)][song.mask == 1])


def test_beyond_600_s_a_window_hears_the_end_that_is_extended(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(extending, "MAX_DURATION_SECONDS", 10)
    monkeypatch.setattr(extending, "MIN_CONTEXT_SECONDS", 3)
    samples = 12 * SAMPLE_RATE + 77
    after = window_of(samples, 1, after_seconds=4.5)
    total = samples + 216_000
    assert (after.start, after.end, after.new) == (total - 480_000, total, (SampleSpan(samples, total),))
    before = window_of(samples, 1, before_seconds=4.5)
    assert (before.start, before.end, before.new) == (0, 480_000, (SampleSpan(0, 216_000),))
    for window in (after, before):
        task = task_of(window)
        assert task.samples == window.waveform.shape[1] == 480_000
        assert task.splice.original.shape[1] == total
        assert (task.splice.window_start, task.splice.generated) == (window.start, window.new)


def test_songs_grow_beyond_600_s_window_by_window(monkeypatch: pytest.MonkeyPatch) -> None:
    """What was there stays bit for bit, but for the fades into the new parts."""
    monkeypatch.setattr(extending, "MAX_DURATION_SECONDS", 5)
    monkeypatch.setattr(extending, "MIN_CONTEXT_SECONDS", 1)
    song = torch.full((2, 3 * SAMPLE_RATE + 5), 0.25)
    for turn in range(1, 4):
        after, before = 1.5, 0.2 * turn
        for options in ({"after_seconds": after}, {"before_seconds": before}):
            window = extend_window(song, **options)
            task = task_of(window)
            result = splice(torch.full((2, task.samples), turn / 10), task.splice)
            start = round(options.get("before_seconds", 0) * SAMPLE_RATE)
            assert result.shape[1] == song.shape[1] + round(sum(options.values()) * SAMPLE_RATE)
            fade = task.splice.fade_samples
            kept = slice(fade if start else 0, song.shape[1] if start else song.shape[1] - fade)
            assert torch.equal(result[:, start:][:, kept], song[:, kept])
            new = result[:, :start] if start else result[:, song.shape[1] :]
            assert (new == turn / 10).all()
            song = result
    assert song.shape[1] == 3 * SAMPLE_RATE + 5 + 3 * 72_000 + (9_600 + 19_200 + 28_800)


def test_context_limits_what_a_window_hears(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(extending, "MIN_CONTEXT_SECONDS", 3)
    samples = 8 * SAMPLE_RATE
    assert window_of(samples, after_seconds=2).waveform.shape[1] == 10 * SAMPLE_RATE
    short = window_of(samples, after_seconds=2, context_seconds=3.5)
    assert (short.start, short.end) == (4.5 * SAMPLE_RATE, 10 * SAMPLE_RATE)
    assert window_of(samples, after_seconds=2, context_seconds=99).start == 0


@pytest.mark.parametrize(
    ("seconds", "options", "message"),
    [
        (60, {}, "nothing to add"),
        (60, {"before_seconds": -1}, "not be negative, got -1 s before, 0 s after and 0 s of context"),
        (60, {"after_seconds": 571}, "571 s are too much for one extension, .* 600 s with 30 s of the audio"),
        (20, {"after_seconds": 700}, "700 s are too much for one extension, .* 600 s with 20 s of the audio"),
        (60, {"after_seconds": 5, "context_seconds": 10}, "context must be 30 s or more, or 0 .*, got 10 s"),
        (590, {"before_seconds": 6, "after_seconds": 5}, "both sides .* all 590 s of the audio, .* limit of 589 s"),
        (60, {"before_seconds": 1, "after_seconds": 1, "context_seconds": 40}, "all 60 s of the audio, .* of 40 s"),
    ],
)
def test_what_does_not_fit_says_what_to_do(seconds: int, options: Any, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        extend_window(torch.zeros(1).expand(2, seconds * SAMPLE_RATE), **options)


def assert_every_new_sample_is_generated(generated: Tensor, window: ExtendWindow) -> None:
    frame_of_sample = torch.arange(window.waveform.shape[1]) // SAMPLES_PER_FRAME
    covered = generated[frame_of_sample]
    for start, end in window.new:
        assert covered[start - window.start : end - window.start].all()
    old = covered.sum() - sum(end - start for start, end in window.new)
    assert 0 <= old < 2 * SAMPLES_PER_FRAME  # nothing but the frames at the seams


@pytest.mark.parametrize(
    ("task", "instruction"),
    [
        (cover_task(LATENTS, SAMPLES), "Generate audio semantic tokens based on the given conditions:"),
        (
            cover_task(LATENTS, SAMPLES, structure="latents"),
            "Generate audio semantic tokens based on the given conditions:",
        ),
        (repaint((2, 4)), "Repaint the mask area based on the given conditions:"),
        (
            track_task("extract", LATENTS, SAMPLES, ["backing vocals"]),
            "Extract the BACKING_VOCALS track from the audio:",
        ),
        (track_task("lego", LATENTS, SAMPLES, ["fx"]), "Generate the FX track based on the audio context:"),
        (
            track_task("complete", LATENTS, SAMPLES, ["drums", "bass", "Drums"]),
            "Complete the input track with DRUMS | BASS:",
        ),
    ],
)
def test_a_task_writes_its_instruction_and_its_sources_length(turbo: Engine, task: SongTask, instruction: str) -> None:
    tokenizer = turbo.text_encoder.tokenizer
    prompt = tokenize(tokenizer, SONG, task)
    expected = caption_prompt(SONG, instruction, duration_seconds=11.99)
    assert "duration: 11 seconds" in expected
    assert list(prompt.caption_ids) == tokenizer.encode_prompt(expected)
    assert prompt.lyric_ids == tokenize(tokenizer, SONG, text_task(SONG)).lyric_ids


def test_without_the_source_it_is_the_prompt_of_text_to_music(turbo: Engine) -> None:
    task = cover_task(LATENTS, FRAMES * SAMPLES_PER_FRAME, strength=0.5)
    tokenizer = turbo.text_encoder.tokenizer
    assert tokenize(tokenizer, SONG, task, following=False) == tokenize(tokenizer, SONG, text_task(SONG))


def test_the_source_decides_the_length_and_says_so(turbo: Engine) -> None:
    def lines(plan: Blueprint) -> list[str]:
        task = cover_task(LATENTS, 11 * SAMPLE_RATE, structure="latents")
        return [*encode_songs(turbo.networks, turbo.model, turbo.text_encoder, [plan], tasks=[task]).notes]

    assert lines(SONG)[1:] == ["the source decides the length, 11 s, not the blueprint's 12 s"]
    for plan in (Blueprint(caption="x"), Blueprint(caption="x", duration_seconds=11.05)):
        assert lines(plan)[1:] == []


def test_audio_codes_that_would_not_be_used_are_refused() -> None:
    plan = Blueprint(caption="x", audio_codes=(1, 2, 3))
    with pytest.raises(ValueError, match="has 3 audio codes and the task cover takes its source from audio"):
        check_task(cover_task(LATENTS, SAMPLES), plan, "turbo", "a model")


def test_errors_and_logs_show_a_task_in_a_few_words() -> None:
    task = repaint((2, 4))
    assert repr(task) == "repaint of 11.9854 s"
    assert len(repr(task.splice)) < 100
