"""Whole runs of the editing tasks: against diffusers, by what reaches the network at which step, and by properties.

Where diffusers follows the official rule, final latents are compared on shared weights. It deviates for a cover
strength below 1 (it blends two velocities in every step) and knows no noise strength, no held source and no retake: a
stand-in for the network records what it is given instead.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from types import SimpleNamespace
from typing import Any, NamedTuple, get_args

import pytest
import torch
from tiny_engine import CPU, SONG, Engine, cosine, peer_latents, stand_in_encode
from torch import Tensor

from ace_core.audio.reference import reference_windows
from ace_core.audio.splicing import splice
from ace_core.audio.waveform import SAMPLE_RATE
from ace_core.render.conditions import SecondConditions, SongConditions, SongPrompt, song_conditions
from ace_core.render.runs import render_latents
from ace_core.sampling.noise import Variation, initial_noise
from ace_core.sampling.options import SamplerOptions, resolve
from ace_core.sampling.settings import SamplerSettings
from ace_core.sampling.solvers import Solver
from ace_core.song.blueprint import Blueprint
from ace_core.song.regions import Region
from ace_core.stages.sources import source_waveforms, whole_frames
from ace_core.tasks.cover import cover_task
from ace_core.tasks.extend import extend_task, extend_window
from ace_core.tasks.repaint import repaint_task
from ace_core.tasks.song_task import SongTask, SourceHold
from ace_core.tasks.stems import track_task

TURBO = resolve(SamplerOptions(), "turbo").settings
BASE = resolve(SamplerOptions(steps=6, guidance=5.0), "base").settings
SOLVERS = get_args(Solver)


def recording(seconds: float, seed: int = 11) -> Tensor:
    """Noise of some colour [2, N]."""
    noise = torch.randn(2, round(seconds * SAMPLE_RATE), generator=torch.Generator().manual_seed(seed))
    return (0.2 * (noise + noise.roll(1, dims=1))).clamp(-1, 1)


WAVEFORM = source_waveforms(recording(12.1)[None], SAMPLE_RATE)[0]  # 302.5 frames: odd, and no multiple of a code
LATENTS = stand_in_encode(whole_frames(WAVEFORM))
SAMPLES, FRAMES = WAVEFORM.shape[1], len(LATENTS)


def render(
    engine: Engine, songs: Sequence[SongConditions], settings: SamplerSettings, seeds: Sequence[int], **options: Any
) -> list[Tensor]:
    return render_latents(engine.model.dit.network, songs, settings, seeds, CPU, **options)


def render_task(
    engine: Engine, task: SongTask, settings: SamplerSettings = TURBO, seed: int = 5, references: Sequence[Tensor] = ()
) -> Tensor:
    able = engine._replace(model=engine.model._replace(variant="base"))  # which variant may do what is tested elsewhere
    return render(engine, [able.conditions(SONG, task, references=references)], settings, [seed])[0]


PEER_TASKS: dict[str, tuple[SongTask, dict[str, Any]]] = {
    "repaint": (
        repaint_task(LATENTS, WAVEFORM, [Region(3.0, 7.5)], mode="aggressive"),
        {"task_type": "repaint", "repainting_start": 3.0, "repainting_end": 7.5},
    ),
    "repaint to the end": (
        repaint_task(LATENTS, WAVEFORM, [Region(8.0, 600.0)], mode="aggressive"),
        {"task_type": "repaint", "repainting_start": 8.0},
    ),
    "cover": (cover_task(LATENTS, SAMPLES), {"task_type": "cover"}),
    "extract": (
        track_task("extract", LATENTS, SAMPLES, ["vocals"]),
        {"task_type": "extract", "track_name": "vocals"},
    ),
    "lego": (track_task("lego", LATENTS, SAMPLES, ["drums"]), {"task_type": "lego", "track_name": "drums"}),
    "lego in a region": (
        track_task("lego", LATENTS, SAMPLES, ["backing vocals"], regions=[Region(2.0, 4.0)]),
        {"task_type": "lego", "track_name": "backing_vocals", "repainting_start": 2.0, "repainting_end": 4.0},
    ),
    "complete": (
        track_task("complete", LATENTS, SAMPLES, ["drums", "bass"]),
        {"task_type": "complete", "complete_track_classes": ["drums", "bass"]},
    ),
}


@pytest.mark.parametrize("kind", ["turbo", "base"])
@pytest.mark.parametrize("name", PEER_TASKS)
@torch.inference_mode()
def test_task_equals_diffusers(turbo: Engine, base: Engine, name: str, kind: str) -> None:
    """diffusers encodes whole frames only and samples the posterior; both sides get the stand-in's latents of them."""
    task, words = PEER_TASKS[name]
    engine, settings = {"turbo": (turbo, TURBO), "base": (base, BASE)}[kind]
    ours = render_task(engine, task, settings)
    theirs = peer_latents(
        engine,
        SONG,
        5,
        frames=FRAMES,
        duration_seconds=task.duration_seconds,
        src_audio=whole_frames(WAVEFORM),
        num_inference_steps=settings.steps,
        shift={"turbo": 3.0, "base": 1.0}[kind],
        guidance_scale=settings.guidance_scale,
        **words,
    )
    assert ours.shape == (303, 64)
    assert cosine(ours, theirs) >= 0.99999
    assert (ours - theirs).norm() / theirs.norm() <= 2e-3
    without_source = cover_task(LATENTS, SAMPLES, strength=0.0)
    assert cosine(ours, render_task(engine, without_source, settings)) < 0.999


@torch.inference_mode()
def test_reference_audio_equals_diffusers(turbo: Engine) -> None:
    """diffusers takes the same three windows; it reads position 0 of the 2B encoder as the official code does."""
    waveform = recording(41.3, seed=12)
    reference = stand_in_encode(reference_windows(waveform))
    assert reference.shape == (750, 64)
    task = cover_task(LATENTS, SAMPLES)
    ours = render_task(turbo, task, references=[reference])
    theirs = peer_latents(
        turbo,
        SONG,
        5,
        frames=FRAMES,
        duration_seconds=task.duration_seconds,
        src_audio=whole_frames(WAVEFORM),
        reference_audio=waveform,
        task_type="cover",
        shift=3.0,
    )
    assert cosine(ours, theirs) >= 0.99999
    assert cosine(ours, render_task(turbo, task)) < 0.9999


@torch.inference_mode()
def test_several_references_are_packed_in_their_order_between_lyrics_and_text(turbo: Engine) -> None:
    first, second = (stand_in_encode(reference_windows(recording(30, seed))) for seed in (1, 2))
    task = cover_task(LATENTS, SAMPLES)
    none, one, two, swapped = (
        turbo.conditions(SONG, task, references=references).packed
        for references in ([], [first], [first, second], [second, first])
    )
    assert one.shape == none.shape
    assert len(two) == len(one) + 1
    changed = (one != none).any(dim=1).nonzero()
    position = int(changed)
    assert torch.equal(two[: position + 1], one[: position + 1])
    assert torch.equal(two[position + 2 :], one[position + 1 :])
    assert torch.equal(two[position : position + 2], swapped[position : position + 2].flip(0))


class Call(NamedTuple):
    """What the network was given: latents, context and the packed conditions of each song, and the time step."""

    x: Tensor
    source: Tensor
    mask: Tensor
    packed: Sequence[Tensor]
    step: int


class RecordingDit:
    """Stands in for the network and remembers what it was given; its answer depends on all of it."""

    def __init__(self) -> None:
        self.calls: list[Call] = []

    def prepare(
        self, packed: Sequence[Tensor], thousandths: Sequence[float], frames: int, *, guided: bool, attention: object
    ) -> SimpleNamespace:
        return SimpleNamespace(packed=packed)

    def __call__(
        self, x: Tensor, context: Tensor, step: int, run: SimpleNamespace, *, guided: bool
    ) -> tuple[Tensor, Tensor | None]:
        source, mask = context.split(64, dim=-1)
        self.calls.append(Call(x.clone(), source, mask, run.packed, step))
        shift = torch.stack([item.mean() for item in run.packed])[:, None, None]
        velocity = torch.tanh(x.roll(1, dims=1)) - 0.5 * source + 0.3 * mask + shift
        return velocity, 0.5 * velocity if guided else None

    def render(
        self, songs: Sequence[SongConditions], settings: SamplerSettings, seeds: Sequence[int], **options: Any
    ) -> list[Tensor]:
        return render_latents(self, songs, settings, seeds, CPU, **options)


SILENCE = torch.randn(1, 400, 64, generator=torch.Generator().manual_seed(3))
STRUCTURE = torch.randn(FRAMES, 64, generator=torch.Generator().manual_seed(4))
PACKED, PLAIN_PACKED = torch.full((5, 8), 0.2), torch.full((4, 8), -0.2)


def recorded_conditions(task: SongTask) -> SongConditions:
    return song_conditions(
        task,
        SongPrompt((), ()),
        PACKED,
        SILENCE,
        structure=STRUCTURE if task.follows_codes else None,
        second_packed=PLAIN_PACKED if task.follow_share < 1 else None,
    )


@pytest.mark.parametrize(("strength", "cover_steps"), [(0.0, 0), (0.12, 0), (0.45, 3), (0.99, 7), (1.0, 8)])
def test_cover_strength_is_a_hard_switch(strength: float, cover_steps: int) -> None:
    """The official rule: int(steps * strength) steps hear the source, the others the text's conditions and silence."""
    dit = RecordingDit()
    dit.render([recorded_conditions(cover_task(LATENTS, SAMPLES, strength=strength))], TURBO, [1])
    assert len(dit.calls) == 8
    for step, call in enumerate(dit.calls):
        covers = step < cover_steps
        assert call.step == step
        assert torch.equal(call.source[0], STRUCTURE if covers else SILENCE[0, :FRAMES])
        assert torch.equal(call.packed[0], PACKED if covers else PLAIN_PACKED)
        assert (call.mask == 1).all()


@pytest.mark.parametrize(
    ("noise_strength", "first_step"), [(0.0, 0), (0.02, 0), (0.06, 1), (0.36, 5), (0.5, 6), (0.62, 7), (1.0, 7)]
)
@pytest.mark.parametrize("structure", ["codes", "latents"])
def test_noise_strength_starts_from_the_sound_at_the_nearest_level(
    noise_strength: float, first_step: int, structure: str
) -> None:
    dit = RecordingDit()
    task = cover_task(LATENTS, SAMPLES, strength=0.6, noise_strength=noise_strength, structure=structure)
    progress: list[tuple[int, int]] = []
    dit.render([recorded_conditions(task)], TURBO, [7], on_progress=lambda *done: progress.append(done))

    level = TURBO.timesteps[first_step]
    noise = initial_noise([7], FRAMES)[0]
    torch.testing.assert_close(dit.calls[0].x[0], level * noise + (1 - level) * LATENTS)
    steps = 8 - first_step
    assert progress == [(step + 1, steps) for step in range(steps)]
    hears_source = [torch.equal(call.packed[0], PACKED) for call in dit.calls]
    assert hears_source == [True] * int(steps * 0.6) + [False] * (steps - int(steps * 0.6))


def test_the_network_hears_lego_in_a_region_as_source_and_mask() -> None:
    dit = RecordingDit()
    task = track_task("lego", LATENTS, SAMPLES, ["drums"], regions=[Region(2, 4)])
    dit.render([recorded_conditions(task)], BASE, [1])
    assert len(dit.calls) == 6
    for call in dit.calls:
        assert torch.equal(call.source[0], LATENTS)
        assert call.mask[0, :, 0].nonzero()[:, 0].tolist() == list(range(50, 100))
        assert torch.equal(call.mask, call.mask[..., :1].expand_as(call.mask))


@pytest.mark.parametrize("solver", SOLVERS)
@pytest.mark.parametrize(
    ("mode", "strength", "held"), [("balanced", 0.5, 4), ("balanced", 0.7, 2), ("conservative", 0, 7)]
)
def test_the_source_is_held_after_each_of_the_first_steps(
    solver: Solver, mode: str, strength: float, held: int
) -> None:
    """But never the last: what the model made of its held surroundings fades into the source instead."""
    settings = resolve(SamplerOptions(solver=solver), "turbo").settings
    task = repaint_task(LATENTS, WAVEFORM, [Region(3, 5), Region(8, 9)], mode=mode, strength=strength)
    song = recorded_conditions(task._replace(hold=task.hold._replace(fade_frames=0)))
    dit = RecordingDit()
    first_calls = [0]
    result = dit.render([song], settings, [7], on_progress=lambda *_: first_calls.append(len(dit.calls)))[0]
    after_steps = [dit.calls[index].x[0] for index in first_calls[1:-1]] + [result]

    outside = song.mask == 0
    assert outside.sum() == FRAMES - 75
    noise = initial_noise([7], FRAMES)[0]
    for step, x in enumerate(after_steps):
        level = settings.timesteps[step + 1]
        source = level * noise + (1 - level) * LATENTS
        alike = torch.isclose(x, source, atol=1e-6).all(dim=1)
        if step < held:
            assert alike[outside].all()
        else:
            assert not alike[outside].any()
        assert not alike[~outside].any()


def test_the_result_turns_into_the_source_frame_by_frame() -> None:
    def rendered(mask: Tensor, fade_frames: int) -> Tensor:
        hold = SourceHold(fade_frames=fade_frames)
        return RecordingDit().render([SongConditions(PACKED, LATENTS, mask, SAMPLES, LATENTS, hold=hold)], TURBO, [7])[
            0
        ]

    mask = torch.zeros(FRAMES)
    mask[2:4] = mask[20:25] = mask[31:40] = mask[290:] = 1
    raw, faded = rendered(mask, 0), rendered(mask, 4)
    shares = torch.zeros(FRAMES)
    shares[2:4] = shares[20:25] = shares[31:40] = shares[290:] = 1
    ramp = torch.tensor([0.2, 0.4, 0.6, 0.8])
    shares[:2] = ramp[2:]  # the ramp does not get steeper at the edge of the song
    shares[16:20] = shares[286:290] = ramp
    shares[4:8] = shares[40:44] = ramp.flip(0)
    shares[25:31] = torch.tensor([0.8, 0.6, 0.4, 0.4, 0.6, 0.8])  # of two regions the nearer counts
    torch.testing.assert_close(faded, LATENTS + shares[:, None] * (raw - LATENTS), atol=1e-5, rtol=1e-5)
    assert torch.equal(faded[shares == 0], LATENTS[shares == 0])
    assert torch.equal(faded[shares == 1], raw[shares == 1])


@pytest.mark.parametrize("solver", SOLVERS)
@torch.inference_mode()
def test_a_variation_lies_between_two_songs(turbo: Engine, solver: Solver) -> None:
    settings = resolve(SamplerOptions(solver=solver), "turbo").settings
    songs = [turbo.conditions(SONG), turbo.conditions(Blueprint(caption="jazz", duration_seconds=10.0))]

    def retake(strength: float) -> list[Tensor]:
        return render(turbo, songs, settings, [1, 2], variation=Variation((31, 32), strength))

    ours, theirs = render(turbo, songs, settings, [1, 2]), render(turbo, songs, settings, [31, 32])
    for song, start, end in zip(range(2), ours, theirs, strict=True):
        assert torch.equal(retake(0.0)[song], start)
        assert (retake(1.0)[song] - end).abs().max() <= 1e-4
        distances = [(retake(strength)[song] - start).norm().item() for strength in (0.1, 0.3, 0.6)]
        assert 0 < distances[0] < distances[1] < distances[2]


def test_a_variation_has_one_seed_for_each_song() -> None:
    song = recorded_conditions(cover_task(LATENTS, SAMPLES))
    with pytest.raises(ValueError, match="got 1 variation seeds for 2 songs"):
        RecordingDit().render([song, song], TURBO, [1, 2], variation=Variation((3,), 0.5))


@pytest.mark.parametrize("regions", [[Region(3, 7)], [Region(0, 2), Region(11, 12)]])
@pytest.mark.parametrize(("strength", "mode"), [(0.0, "conservative"), (1.0, "aggressive")])
@torch.inference_mode()
def test_balanced_repaint_ends_in_the_pure_modes(
    turbo: Engine, regions: list[Region], strength: float, mode: str
) -> None:
    balanced = repaint_task(LATENTS, WAVEFORM, regions, strength=strength)
    pure = repaint_task(LATENTS, WAVEFORM, regions, mode=mode)
    assert torch.equal(render_task(turbo, balanced), render_task(turbo, pure))
    window = recording(12.1, seed=13)
    assert torch.equal(splice(window, balanced.splice), splice(window, pure.splice))


@pytest.mark.parametrize("kind", ["turbo", "base"])
@torch.inference_mode()
def test_cover_strength_ends_in_text_to_music_and_the_pure_cover(turbo: Engine, base: Engine, kind: str) -> None:
    engine, settings = {"turbo": (turbo, TURBO), "base": (base, BASE)}[kind]
    latents = LATENTS[:300]
    nothing = render_task(engine, cover_task(latents, 12 * SAMPLE_RATE, strength=0.0), settings)
    assert torch.equal(nothing, engine.render([SONG], settings, [5])[0])
    pure = render_task(engine, cover_task(latents, 12 * SAMPLE_RATE), settings)
    song = engine.conditions(SONG, cover_task(latents, 12 * SAMPLE_RATE))
    second = SecondConditions(torch.zeros(3, 64), torch.zeros(300, 64), 1.0)
    assert torch.equal(render(engine, [song._replace(second=second)], settings, [5])[0], pure)
    assert cosine(nothing, pure) < 0.999


BASELINES: dict[str, Callable[..., SongTask]] = {
    "cover": lambda **options: cover_task(LATENTS, SAMPLES, **options),
    "repaint": lambda **options: repaint_task(LATENTS, WAVEFORM, **{"regions": [Region(3, 5)]} | options),
    "extract": lambda tracks=("vocals",): track_task("extract", LATENTS, SAMPLES, tracks),
    "lego": lambda tracks=("drums",), regions=(): track_task("lego", LATENTS, SAMPLES, tracks, regions=regions),
    "complete": lambda tracks=("drums",): track_task("complete", LATENTS, SAMPLES, tracks),
}


@pytest.mark.parametrize(
    ("name", "options"),
    [
        ("cover", {"strength": 0.5}),
        ("cover", {"noise_strength": 0.5}),
        ("cover", {"structure": "latents"}),
        ("repaint", {"regions": [Region(3, 6)]}),
        ("repaint", {"regions": [Region(3, 5), Region(8, 9)]}),
        ("repaint", {"mode": "conservative"}),
        ("repaint", {"mode": "aggressive"}),
        ("repaint", {"strength": 0.2}),
        ("extract", {"tracks": ["drums"]}),
        ("lego", {"tracks": ["bass"]}),
        ("lego", {"regions": [Region(3, 6)]}),
        ("complete", {"tracks": ["drums", "bass"]}),
    ],
)
@torch.inference_mode()
def test_every_option_is_heard(base: Engine, name: str, options: dict[str, Any]) -> None:
    build = BASELINES[name]
    plain, changed = (render_task(base, task, BASE) for task in (build(), build(**options)))
    assert (plain - changed).abs().max() > 1e-3


@pytest.mark.parametrize("options", [{"before_seconds": 2}, {"after_seconds": 3}, {"context_seconds": 31}])
@torch.inference_mode()
def test_every_option_of_extend_is_heard(turbo: Engine, options: dict[str, float]) -> None:
    waveform = recording(40)

    def song(**options: float) -> Tensor:
        window = extend_window(waveform, **options)
        task = extend_task(stand_in_encode(whole_frames(window.waveform)), window)
        return render(turbo, [turbo.conditions(SONG, task)], TURBO, [5])[0]

    plain, changed = song(after_seconds=2), song(**{"after_seconds": 2} | options)
    assert plain.shape == (1050, 64)
    assert changed.shape != plain.shape


def mixed_tasks() -> list[SongTask | Blueprint]:
    """Tasks and plain songs of three lengths."""
    short = LATENTS[:275]
    window = extend_window(WAVEFORM[:, : 10 * SAMPLE_RATE], before_seconds=1.1, after_seconds=1.0)
    return [
        cover_task(LATENTS, SAMPLES, strength=0.5),
        SONG,
        repaint_task(LATENTS, WAVEFORM, [Region(3, 5)]),
        cover_task(LATENTS, SAMPLES, noise_strength=0.55),
        repaint_task(LATENTS, WAVEFORM, [Region(1, 2), Region(6, 9)], mode="conservative"),
        cover_task(short, 11 * SAMPLE_RATE, strength=0.0),
        repaint_task(LATENTS, WAVEFORM, [Region(0, 4)], mode="aggressive"),
        cover_task(LATENTS, SAMPLES, strength=0.5, noise_strength=0.55, structure="latents"),
        Blueprint(caption="jazz", lyrics="one word", duration_seconds=11.0),
        extend_task(stand_in_encode(whole_frames(window.waveform)), window),
        track_task("complete", LATENTS, SAMPLES, ["drums", "bass"]),
    ]


@pytest.mark.parametrize("solver", SOLVERS)
@torch.inference_mode()
def test_item_of_a_mixed_batch_equals_the_item_alone(base: Engine, solver: Solver) -> None:
    settings = resolve(SamplerOptions(steps=5, guidance=5.0, solver=solver), "base").settings
    songs = [
        base.conditions(task) if isinstance(task, Blueprint) else base.conditions(SONG, task) for task in mixed_tasks()
    ]
    seeds = list(range(40, 40 + len(songs)))
    others = tuple(range(90, 90 + len(songs)))
    progress: list[tuple[int, int]] = []
    together = render(
        base,
        songs,
        settings,
        seeds,
        variation=Variation(others, 0.2),
        on_progress=lambda *done: progress.append(done),
    )
    for song, seed, other, item in zip(songs, seeds, others, together, strict=True):
        alone = render(base, [song], settings, [seed], variation=Variation((other,), 0.2))[0]
        assert (item - alone).abs().max() <= 1e-4

    # 303 frames: 5 steps with a switch, 5 without, and 2 twice from the source; 300: 5; 275: 5 with and 5 without.
    assert progress == [(step, 29) for step in range(1, 30)]


def test_start_latents_and_a_start_from_the_source_exclude_each_other() -> None:
    song = recorded_conditions(cover_task(LATENTS, SAMPLES, noise_strength=0.4))
    with pytest.raises(ValueError, match=r"song 1 of 1 starts from its source \(noise strength 0.4\) and from given"):
        RecordingDit().render([song], TURBO, [1], start_latents=[LATENTS])


def test_more_than_eight_songs_take_turns() -> None:
    dit = RecordingDit()
    songs = [recorded_conditions(track_task("extract", LATENTS, SAMPLES, ["drums"]))] * 10
    progress: list[tuple[int, int]] = []
    results = dit.render(songs, TURBO, range(10), on_progress=lambda *done: progress.append(done))
    assert [len(call.x) for call in dit.calls] == [8] * 8 + [2] * 8
    assert progress == [(step, 16) for step in range(1, 17)]
    assert torch.equal(results[9], dit.render(songs[:1], TURBO, [9])[0])
