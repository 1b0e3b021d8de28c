"""The editing workflows as they are published, on music of known tempo and stems: what each makes of it, what it keeps,
what runs again, Cancel, refusals."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from itertools import combinations, pairwise
from typing import Any

import numpy as np
import pytest
from comfyui_client import ComfyUIClient
from host_process import HostProcess
from music import Music, band, write_wav
from song_runs import Prompt, Run, cancel, observe, published_prompt, sounds, succeed, text_of, with_nodes

from ace_core.song.tracks import GENRE_TRACKS

RATE = 48_000
SECONDS = 10.3  # ends within a latent frame
SAMPLES = int(SECONDS * RATE)
LONGEST_FADE = round(0.05 * RATE)
STEPS = 4
STEMS = ("vocals", "drums", "bass", "guitar")
WORKFLOWS = (
    "build_a_band",
    "complete",
    "cover",
    "extend",
    "extract_stems",
    "reference_timbre",
    "repaint",
    "vocal_to_backing",
)


@pytest.fixture(scope="module")
def music() -> Music:
    return band(SECONDS, bpm=96, key="D minor", sample_rate=RATE)


@pytest.fixture(scope="module")
def uploaded(host: HostProcess, music: Music, tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[str, str]]:
    """Files of the music in the host's input folder: the whole band, and its lead alone, mono at another rate."""
    folder = tmp_path_factory.mktemp("recordings")
    lead = band(SECONDS, bpm=96, key="D minor", sample_rate=44_100, channels=1).stems["lead"]
    with ComfyUIClient(host.url) as client:
        yield {
            "band": client.upload(write_wav(folder / "workflow_band.wav", music.mix, RATE)),
            "lead": client.upload(write_wav(folder / "workflow_lead.wav", lead, 44_100)),
        }


def edited(workflow: str, file: str, **changes: Mapping[str, Any]) -> Prompt:
    """A published editing workflow on a file, with few steps and seeds that stay."""
    prompt = published_prompt(workflow, audio={"audio": file})
    for name, node in prompt.items():
        if name.startswith("sample"):
            node["inputs"].update(steps=STEPS, seed=5)
    for name, inputs in changes.items():
        prompt[name]["inputs"].update(inputs)
    return prompt


def shape(seconds: float) -> tuple[int, int]:
    return 2, round(seconds * RATE)


def as_saved(waveform: np.ndarray) -> np.ndarray:
    """Samples [channels, samples] as `write_wav` rounds them."""
    return np.round(waveform * 32767).astype(np.int16) / np.float32(32768)


def lowered_decibels(run: Run, node: str) -> float:
    """By how much a Mix says that it lowered its only item."""
    found = re.search(r"lowered by ([\d.]+) dB", text_of(run, node))
    return float(found[1]) if found else 0.0


def test_cover_is_as_long_as_the_song_and_follows_it(client: ComfyUIClient, uploaded: Mapping[str, str]) -> None:
    run = succeed(client, edited("cover", uploaded["band"]))
    # Of the small models' audio codes nearly all are the same, whatever they hear; the latents are not.
    latents = [edited("cover", uploaded[name], cover={"structure": "latents"}) for name in ("band", "lead")]
    songs = [sounds(client, done)[0].waveform for done in (run, *(succeed(client, prompt) for prompt in latents))]
    assert {song.shape for song in songs} == {shape(SECONDS)} and songs[0].std() > 0.01
    assert min(np.abs(one - other).max() for one, other in combinations(songs, 2)) > 0.01
    assert text_of(run, "encode").startswith("cover of 10.3 s, caption ")


def test_repaint_changes_the_region_alone(client: ComfyUIClient, uploaded: Mapping[str, str], music: Music) -> None:
    run = succeed(client, edited("repaint", uploaded["band"], repaint={"start": 4.0, "end": 6.5}))
    ((new, _, _),) = sounds(client, run)
    old, start, end = as_saved(music.mix), 4 * RATE, round(6.5 * RATE)
    assert new.shape == old.shape
    assert np.array_equal(new[:, : start - LONGEST_FADE], old[:, : start - LONGEST_FADE])
    assert np.array_equal(new[:, end + LONGEST_FADE :], old[:, end + LONGEST_FADE :])
    assert np.abs(new - old)[:, start:end].std() > 0.01


def test_decode_knows_the_task_without_its_wire(client: ComfyUIClient, uploaded: Mapping[str, str]) -> None:
    region = {"repaint": {"start": 4.0, "end": 6.0}}
    wired = edited("repaint", uploaded["band"], **region)
    alone = edited("repaint", uploaded["band"], **region)
    del alone["decode"]["inputs"]["task"]
    raw = edited("repaint", uploaded["band"], **region, decode={"splice": False})
    runs = [succeed(client, prompt) for prompt in (wired, alone, raw)]
    with_wire, without_wire, whole = (sounds(client, run)[0].waveform for run in runs)
    assert np.array_equal(with_wire, without_wire)
    assert "repaint, as the latents say: the rest is the recording" in text_of(runs[1], "decode")
    assert "The latents carry their task" in text_of(runs[0], "sample")
    assert np.abs(whole - with_wire)[:, : 3 * RATE].max() > 0.001 and "splice is off" in text_of(runs[2], "decode")


def test_a_song_just_made_is_repainted_from_its_latents(client: ComfyUIClient, uploaded: Mapping[str, str]) -> None:
    prompt = edited("repaint", uploaded["band"], repaint={"start": 4.0, "end": 6.5})
    made = {name: dict(prompt["sample"]["inputs"]) for name in ("first",)}
    plan = {**prompt["encode"]["inputs"]}
    plan.pop("task")
    prompt = with_nodes(
        prompt,
        plain=("AceComposerEncode", plan),
        first=("AceComposerSample", {**made["first"], "conditioning": ["plain", 0]}),
        song=(
            "AceComposerDecode",
            {"vae": prompt["decode"]["inputs"]["vae"], "latent": ["first", 0], "normalize": False},
        ),
    )
    prompt["blueprint"]["inputs"]["duration_seconds"] = 10.0
    prompt["repaint"]["inputs"] |= {"audio": ["song", 0], "latent": ["first", 0]}
    run = succeed(client, prompt)
    assert "repaint of 10 s, new: 4-6.5 s" in text_of(run, "repaint")
    ((from_latents, _, _),) = sounds(client, run)
    del prompt["repaint"]["inputs"]["latent"]
    ((encoded, _, _),) = sounds(client, succeed(client, prompt))
    region = slice(4 * RATE, round(6.5 * RATE))
    assert from_latents.shape == encoded.shape == shape(10.0)
    assert np.array_equal(from_latents[:, : 3 * RATE], encoded[:, : 3 * RATE])
    assert np.abs(from_latents - encoded)[:, region].max() > 1e-4


def test_a_retake_of_latents_has_their_seed(client: ComfyUIClient, uploaded: Mapping[str, str]) -> None:
    prompt = edited("cover", uploaded["band"])
    wires = {"conditioning": ["encode", 0], "seed": 3, "strength": 0.0, "latent": ["sample", 0]}
    again = {**prompt["sample"]["inputs"], "conditioning": ["retake", 0], "seed": 999}
    prompt = with_nodes(prompt, retake=("AceComposerRetake", wires), again=("AceComposerSample", again))
    before = succeed(client, prompt)
    prompt["decode"]["inputs"]["latent"] = ["again", 0]
    after = succeed(client, prompt)
    assert "retake of seed 5 with seed 3, strength 0" in text_of(after, "again")
    assert np.array_equal(sounds(client, before)[0].waveform, sounds(client, after)[0].waveform)


def test_repaint_counts_bars_by_the_blueprint(client: ComfyUIClient, uploaded: Mapping[str, str]) -> None:
    bars = {"unit": "bars", "start": 2.0, "end": 3.0}
    run = succeed(client, edited("repaint", uploaded["band"], blueprint={"bpm": 96}, repaint=bars))
    assert text_of(run, "repaint") == "repaint of 10.3 s, new: 2.5-5 s"


def test_extend_adds_to_the_recording(client: ComfyUIClient, uploaded: Mapping[str, str], music: Music) -> None:
    run = succeed(client, edited("extend", uploaded["band"], extend={"before_seconds": 1.5, "after_seconds": 3.0}))
    ((new, _, _),) = sounds(client, run)
    old, start = as_saved(music.mix), round(1.5 * RATE)
    kept = slice(start + LONGEST_FADE, start + SAMPLES - LONGEST_FADE)
    assert new.shape == shape(SECONDS + 4.5)
    assert np.array_equal(new[:, kept], old[:, LONGEST_FADE:-LONGEST_FADE])
    assert new[:, :start].std() > 0.01 and new[:, start + SAMPLES :].std() > 0.01


def test_extract_gives_a_file_for_each_stem(client: ComfyUIClient, uploaded: Mapping[str, str]) -> None:
    run = succeed(client, edited("extract_stems", uploaded["band"]))
    assert text_of(run, "extract").splitlines() == [f"extract ({track}) of 10.3 s" for track in STEMS]
    stems = [sounds(client, run, save)[0].waveform for save in ("save", "save_2", "save_3", "save_4")]
    assert {stem.shape for stem in stems} == {shape(SECONDS)}
    assert min(np.abs(one - other).max() for one, other in pairwise(stems)) > 1e-3


def test_a_band_is_the_sum_of_its_layers(client: ComfyUIClient, uploaded: Mapping[str, str], music: Music) -> None:
    prompt = edited("build_a_band", uploaded["band"])
    run = succeed(client, prompt)
    layers = [sounds(client, run, save)[0].waveform for save in ("save", "save_2", "save_3")]
    ((result, _, _),) = sounds(client, run, "save_4")
    assert [text_of(run, lego) for lego in ("lego", "lego_2", "lego_3")] == [
        f"lego ({track}) of 10.3 s" for track in ("drums", "bass", "keyboard")
    ]
    assert {layer.shape for layer in (*layers, result)} == {shape(SECONDS)}
    together = as_saved(music.mix) + sum(layers)
    assert np.abs(result).max() <= 1
    assert result * 10 ** (lowered_decibels(run, "mix_3") / 20) == pytest.approx(together, abs=0.02)

    prompt["sample_2"]["inputs"]["seed"] = 6  # the bass and what hears it, not the drums
    again = succeed(client, prompt).executed
    assert {"sample", "lego_2", "mix"}.isdisjoint(again) and {"sample_2", "mix_2", "sample_3", "mix_3"} <= set(again)


def test_complete_names_the_tracks(client: ComfyUIClient, uploaded: Mapping[str, str]) -> None:
    run = succeed(client, edited("complete", uploaded["lead"]))
    ((result, _, _),) = sounds(client, run)
    assert result.shape == shape(SECONDS) and result.std() > 0.01
    assert text_of(run, "complete") == "complete (drums, bass, keyboard) of 10.3 s"


def test_backing_for_a_voice_can_have_the_voice_in_it(client: ComfyUIClient, uploaded: Mapping[str, str]) -> None:
    run = succeed(client, edited("vocal_to_backing", uploaded["lead"]))
    ((alone, _, _),) = sounds(client, run)
    assert alone.shape == shape(SECONDS) and alone.std() > 0.01
    assert text_of(run, "backing") == f"complete ({', '.join(GENRE_TRACKS['pop'])}) of 10.3 s"
    run = succeed(client, edited("vocal_to_backing", uploaded["lead"], mix={"mute_2": False}))
    ((together, _, _),) = sounds(client, run)
    assert run.executed == ["mix", "save"]
    voice = together * 10 ** (lowered_decibels(run, "mix") / 20) - alone
    assert voice.std() > 0.01 and np.allclose(voice[0], voice[1], atol=0.02)  # a mono file in the middle


def test_a_reference_gives_its_sound_and_not_its_length(client: ComfyUIClient, uploaded: Mapping[str, str]) -> None:
    shortest = {"duration_seconds": 12.0}
    runs = [
        succeed(client, edited("reference_timbre", uploaded[name], blueprint=shortest)) for name in ("band", "lead")
    ]
    like_band, like_lead = (sounds(client, run)[0].waveform for run in runs)
    assert like_band.shape == like_lead.shape == shape(12.0)
    assert np.abs(like_band - like_lead).max() > 1e-2


@pytest.mark.parametrize("workflow", WORKFLOWS)
def test_a_workflow_is_cancelled_while_it_samples(
    client: ComfyUIClient, uploaded: Mapping[str, str], workflow: str
) -> None:
    cancel(client, edited(workflow, uploaded["band"], sample={"steps": 200, "seed": 9}), "sample")


@pytest.mark.parametrize("workflow", WORKFLOWS)
def test_a_workflow_refuses_silence(client: ComfyUIClient, uploaded: Mapping[str, str], workflow: str) -> None:
    silence = ("EmptyAudio", {"duration": SECONDS, "sample_rate": RATE, "channels": 2})
    failure = observe(client, with_nodes(edited(workflow, uploaded["band"]), audio=silence)).failure
    assert failure is not None and "item 1 of 1 of the audio is silent" in failure


@pytest.mark.parametrize(
    ("workflow", "changes", "words"),
    [
        ("repaint", {"repaint": {"start": 11.0, "end": 12.0}}, "starts at 11 s and the audio ends at 10.3 s"),
        ("repaint", {"repaint": {"unit": "bars"}, "blueprint": {"bpm": 0}}, "bars need the song's bpm"),
        ("extend", {"extend": {"after_seconds": 0.0}}, "there is nothing to add"),
        ("extract_stems", {"extract": dict.fromkeys(STEMS, False)}, "every track is switched off"),
        ("extract_stems", {"stem_4": {"track": "brass"}}, "the audio has no stem 'brass'"),
        ("build_a_band", {"lego": {"regions": "8-4"}}, "must end after it starts, got 8 to 4"),
        ("complete", {"complete": {"drums": False, "bass": False, "keyboard": False}}, "every track is switched off"),
        ("vocal_to_backing", {"backing": {"more_tracks": "bagpipes"}}, "got 'bagpipes'"),
        ("vocal_to_backing", {"mix": {"mute_1": True}}, "are muted"),
        ("vocal_to_backing", {"load": {"variant": "turbo"}}, "complete needs a base checkpoint"),
    ],
)
def test_what_a_workflow_cannot_do_is_said(
    client: ComfyUIClient,
    uploaded: Mapping[str, str],
    workflow: str,
    changes: Mapping[str, Mapping[str, Any]],
    words: str,
) -> None:
    failure = observe(client, edited(workflow, uploaded["band"], **changes)).failure
    assert failure is not None and words in failure
