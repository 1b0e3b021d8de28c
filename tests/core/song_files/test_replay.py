"""How a song was rendered: settings that come back as they were used, and records that cannot be."""

from __future__ import annotations

from dataclasses import asdict, replace

import pytest
import torch

from ace_core.sampling.noise import Variation
from ace_core.sampling.options import SamplerOptions, as_used, resolve
from ace_core.song_files.record import SongRecord, record_from_json, record_to_json
from ace_core.song_files.replay import (
    FIRST_OPTIONS,
    codes_strength,
    latents_hash,
    replay_of,
    sources_left_out,
    what_differs,
)

OPTIONS = SamplerOptions(
    steps=30,
    shift=1.7,
    guidance=4.5,
    solver="heun",
    guidance_method="adg",
    guidance_start=0.1,
    guidance_end=0.9,
    official_precision=True,
)


def record(seeds: dict[str, int] | None = None, **settings: object) -> SongRecord:
    return SongRecord(seeds=seeds or {"render": 7}, settings=asdict(OPTIONS) | settings)


@pytest.mark.parametrize(
    ("variant", "options", "used"),
    [
        ("turbo", SamplerOptions(), {"steps": 8, "shift": 3.0, "guidance": 1.0}),
        ("turbo", SamplerOptions(guidance=5.0), {"steps": 8, "shift": 3.0, "guidance": 1.0}),
        ("base", SamplerOptions(), {"steps": 50, "shift": 1.0, "guidance": 7.0}),
        ("sft", SamplerOptions(steps=12), {"steps": 12, "shift": 1.0, "guidance": 7.0}),
        ("base", OPTIONS, {}),
        ("turbo", SamplerOptions(steps=9, custom_timesteps="1, 0.3"), {"steps": 0, "shift": 0.0, "guidance": 1.0}),
    ],
)
def test_what_was_used_means_the_same_again(variant: str, options: SamplerOptions, used: dict[str, object]) -> None:
    resolved = resolve(options, variant)
    recorded = as_used(options, variant, resolved)
    assert recorded == asdict(options) | used
    for other in (variant, "base"):
        assert resolve(SamplerOptions(**recorded), other).settings == resolved.settings


def test_a_record_comes_back_through_its_json() -> None:
    before = replace(record(variation_strength=0.3), seeds={"render": 7, "variation": 2**64 - 1}, latents="ab" * 32)
    after = record_from_json(record_to_json(before))
    assert after == before
    assert replay_of(after) == (OPTIONS, (7,), Variation((2**64 - 1,), 0.3), 0)


def test_a_song_of_a_batch_has_its_place_among_as_many() -> None:
    seeds = {"render": 1, "variation": 10}
    replay = replay_of(record(seeds, variation_strength=0.5, batch_size=4, batch_item=2))
    assert replay.seeds == (2**64 - 1, 0, 1, 2) and replay.kept == 2
    assert replay.variation == Variation((8, 9, 10, 11), 0.5)


def test_records_from_before_an_option_have_the_song_of_that_time() -> None:
    old = record()
    settings = {name: value for name, value in old.settings.items() if name in FIRST_OPTIONS}
    assert set(asdict(OPTIONS)) - set(settings) >= {"wavelet_correction", "noise", "snap_timesteps"}
    options = replay_of(replace(old, settings=settings)).options
    assert options == OPTIONS and options.wavelet_correction == "off"
    with pytest.raises(ValueError, match="steps cannot be None"):
        replay_of(replace(old, settings={"wavelet_correction": "on"}))


def test_whole_numbers_may_stand_for_floats() -> None:
    shift = replay_of(record(shift=2)).options.shift
    assert shift == 2.0 and isinstance(shift, float)
    assert codes_strength(record(codes_strength=0)) == 0.0 and codes_strength(record()) == 1.0


@pytest.mark.parametrize(
    ("damage", "words"),
    [
        ({"steps": "8"}, "steps cannot be '8'"),
        ({"steps": True}, "steps cannot be True"),
        ({"steps": 8.5}, "steps cannot be 8.5"),
        ({"official_precision": 1}, "official_precision cannot be 1"),
        ({"shift": False}, "shift cannot be False"),
        ({"wavelet_correction": 1}, "wavelet_correction cannot be 1"),
        ({"noise": 1.5}, "noise cannot be 1.5"),
        ({"solver": 3}, "solver cannot be 3"),
        ({"batch_size": 9, "batch_item": 0}, "number 0 of 9"),
        ({"batch_size": 2, "batch_item": 2}, "number 2 of 2"),
        ({"batch_size": 2, "batch_item": -1}, "number -1 of 2"),
        ({"batch_size": 0}, "batch_item cannot be None"),
        ({"batch_size": 2}, "batch_item cannot be None"),
    ],
)
def test_damaged_settings_are_refused(damage: dict[str, object], words: str) -> None:
    with pytest.raises(ValueError, match=words):
        replay_of(record(**damage))


def test_what_is_missing_is_named() -> None:
    with pytest.raises(ValueError, match="saved without its latents"):
        replay_of(SongRecord(seeds={"render": 1}))
    with pytest.raises(ValueError, match="it has no seed"):
        replay_of(record({"plan": 1}))
    with pytest.raises(ValueError, match="variation_strength cannot be None"):
        replay_of(record({"render": 1, "variation": 2}))
    with pytest.raises(ValueError, match="codes_strength cannot be 'all'"):
        codes_strength(record(codes_strength="all"))


def test_the_hash_is_of_the_bits_and_not_of_the_memory_layout() -> None:
    latents = torch.randn(30, 64, generator=torch.Generator().manual_seed(0))
    assert latents_hash(latents.T.contiguous().T) == latents_hash(latents)
    changed = latents.clone()
    changed[29, 63] = torch.nextafter(changed[29, 63], torch.tensor(9.0))
    assert latents_hash(changed) != latents_hash(latents) != latents_hash(latents[:29])


def test_sources_and_differences_in_words() -> None:
    assert sources_left_out(record()) is None
    sentence = sources_left_out(record(task="cover of 10 s", timbre="1 reference(s)"))
    assert sentence is not None and "a task (cover of 10 s), a timbre (1 reference(s))" in sentence
    assert what_differs({"a": 1, "b": "", "c": False}, {"a": 1, "b": "x", "d": 0}) == [
        "b: none in the file, x now",
        "c: False in the file, none now",
        "d: none in the file, 0 now",
    ]
