"""The planner's workflows in a real ComfyUI with a small planner: valid plans, seeds, the cache, replays, refusals."""

from __future__ import annotations

import json
import re
import wave
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pytest
from comfyui_client import ComfyUIClient
from host_process import HostProcess
from song_runs import (
    MOST_LATE_REPORTS,
    SHORT_SECONDS,
    Prompt,
    Run,
    Sound,
    blueprints_of,
    cancel,
    clear_cache,
    output_name,
    published_prompt,
    refusal,
    sounds,
    succeed,
    text_of,
    with_nodes,
)

from ace_core.song.blueprint import Blueprint, fields_left_auto
from ace_core.song.blueprint_json import blueprints_to_json
from ace_core.song.fields import CODE_COUNT, INSTRUMENTAL_LYRICS

SHORT_CODES = 50
PLAN_SEED = 11
LYRICS_SEED = 2  # with it the small planner writes few words
USER_FIELDS = {"caption": "indie folk, fingerpicked guitar", "lyrics": "[Verse]\nMorning frost", "bpm": 96}
PLAN = {"seed": PLAN_SEED, "rewrite_caption": False}  # captions take the small planner long
KEEP = ("AceComposerSaveBlueprint", {"blueprint": ["plan", 0], "filename_prefix": "blueprints/test"})


class Planned(NamedTuple):
    """A run of plan_and_render: what ran, its plans, its songs."""

    run: Run
    songs: tuple[Blueprint, ...]
    sounds: list[Sound]


def short_batch(**changes: Mapping[str, Any]) -> Prompt:
    blueprint = {**USER_FIELDS, "language": "auto", "duration_seconds": SHORT_SECONDS}
    prompt = published_prompt("plan_and_render", blueprint=blueprint, plan=PLAN, sample={"seed": 5})
    for name, inputs in changes.items():
        prompt[name]["inputs"].update(inputs)
    return prompt


def only_plan(**changes: Mapping[str, Any]) -> Prompt:
    """`short_batch` for one song, without the rendering."""
    prompt = short_batch(**changes | {"plan": {"batch_size": 1} | dict(changes.get("plan", {}))})
    return {name: prompt[name] for name in ("planner", "blueprint", "plan", "keep")}


def render_blueprint(name: str, **changes: Mapping[str, Any]) -> Prompt:
    return published_prompt("replay_codes", **{"file": {"file": name}, "sample": {"seed": 5}} | changes)


def listen(source: tuple[str, Mapping[str, Any]]) -> Prompt:
    """An Audio to Codes with this source of audio."""
    codes = {"model": ["load", 0], "vae": ["load", 2], "audio": ["audio", 0]}
    prompt = with_nodes({}, audio=source, codes=("AceComposerAudioToCodes", codes))
    keep = (KEEP[0], KEEP[1] | {"blueprint": ["codes", 0]})
    text = ("PreviewAny", {"source": ["codes", 1]})
    return with_nodes({**prompt, "load": published_prompt("text_to_music")["load"]}, keep=keep, text=text)


@pytest.fixture(scope="module")
def planned(host: HostProcess) -> Planned:
    """The four songs of plan_and_render, from an empty cache."""
    with ComfyUIClient(host.url) as client:
        clear_cache(client)
        run = succeed(client, short_batch())
        return Planned(run, blueprints_of(client, run), sounds(client, run))


def test_plan_and_render_makes_four_songs(planned: Planned) -> None:
    assert len(planned.songs) == len(planned.sounds) == 4
    assert sorted(planned.run.executed) == sorted(short_batch())
    for sound in planned.sounds:
        assert sound.waveform.shape == (2, int(SHORT_SECONDS * 48000))
        assert sound.waveform.std() > 0.01


def test_every_plan_is_whole_and_keeps_what_the_user_set(planned: Planned) -> None:
    for song in planned.songs:
        assert fields_left_auto(song) == ()
        assert {name: getattr(song, name) for name in USER_FIELDS} == USER_FIELDS
        assert song.duration_seconds == SHORT_SECONDS
        assert song.planned == {"language", "key", "time_signature", "audio_codes"}
        assert song.audio_codes is not None and len(song.audio_codes) == SHORT_CODES
        assert max(song.audio_codes) < CODE_COUNT


def test_the_songs_of_a_batch_differ(planned: Planned) -> None:
    assert len({song.audio_codes for song in planned.songs}) == 4


def test_the_nodes_show_the_plan(planned: Planned) -> None:
    shown = text_of(planned.run, "plan")
    assert shown.count("audio_codes: 50 codes (planned)") == 4
    assert shown.count("bpm: 96\n") == 4 and shown.count("key: ") == 4
    assert "qwen_1.7b_ace15.safetensors" in text_of(planned.run, "planner")


def test_a_song_of_a_batch_equals_its_seed_alone(client: ComfyUIClient, planned: Planned) -> None:
    alone = succeed(client, only_plan(plan={"seed": PLAN_SEED + 2}))
    assert blueprints_of(client, alone) == (planned.songs[2],)


def test_a_second_run_executes_nothing(client: ComfyUIClient) -> None:
    succeed(client, only_plan(plan={"write_codes": False}))
    second = succeed(client, only_plan(plan={"write_codes": False}))
    assert second.executed == [] and second.cached == set(only_plan())


def test_a_new_sound_needs_no_new_plan(client: ComfyUIClient, planned: Planned) -> None:
    succeed(client, short_batch())
    run = succeed(client, short_batch(sample={"seed": 6}))
    assert run.executed == ["sample", "decode", "save"]
    assert np.abs(sounds(client, run)[0].waveform - planned.sounds[0].waveform).max() > 0.1


def test_each_song_of_a_batch_has_a_plan_of_its_own(client: ComfyUIClient) -> None:
    open_facts = {"blueprint": {"bpm": 0, "duration_seconds": 0.0}}
    run = succeed(client, only_plan(**open_facts, plan={"batch_size": 4, "write_codes": False}))
    songs = blueprints_of(client, run)
    assert len({(song.bpm, song.key, song.duration_seconds) for song in songs}) == 4
    for song in songs:
        assert song.planned == {"bpm", "duration_seconds", "language", "key", "time_signature"}
    alone = succeed(client, only_plan(**open_facts, plan={"seed": PLAN_SEED + 3, "write_codes": False}))
    assert blueprints_of(client, alone) == (songs[3],)


def test_a_caption_is_rewritten_for_the_renderer_only(client: ComfyUIClient) -> None:
    prompt = short_batch(plan={"rewrite_caption": True, "batch_size": 2})
    run = succeed(client, prompt)
    songs = blueprints_of(client, run)
    assert len({song.rewritten_caption for song in songs}) == 2
    for song in songs:
        assert song.caption == USER_FIELDS["caption"] and song.origin("caption") == "user"
        assert song.rewritten_caption and song.origin("rewritten_caption") == "planner"
        assert f"rewritten_caption: {song.rewritten_caption[:20]}" in text_of(run, "plan")
    plain = succeed(client, short_batch(plan={"rewrite_caption": False, "batch_size": 2}))
    assert caption_tokens(run) != caption_tokens(plain)
    assert np.abs(sounds(client, run)[0].waveform - sounds(client, plain)[0].waveform).max() > 0.01


def caption_tokens(run: Run) -> list[str]:
    """How long the renderer's caption prompts are, as Encode shows it."""
    return re.findall(r"caption (\d+)/", text_of(run, "encode"))


def test_a_natural_ending_is_followed_by_silence(client: ComfyUIClient, planned: Planned) -> None:
    run = succeed(client, short_batch(plan={"natural_ending": True}))
    songs = blueprints_of(client, run)
    counts = [len(song.audio_codes or ()) for song in songs]
    assert SHORT_CODES - 20 <= min(counts) < SHORT_CODES
    for song, exact in zip(songs, planned.songs, strict=True):
        assert exact.audio_codes is not None
        assert song.audio_codes == exact.audio_codes[: len(song.audio_codes or ())]
    assert "the music ends by itself after" in text_of(run, "plan")
    assert all(sound.waveform.shape == (2, int(SHORT_SECONDS * 48000)) for sound in sounds(client, run))


def test_int8_weights_write_codes(client: ComfyUIClient, planned: Planned) -> None:
    run = succeed(client, only_plan(planner={"weights": "int8"}))
    (song,) = blueprints_of(client, run)
    assert song.audio_codes is not None and len(song.audio_codes) == SHORT_CODES
    assert song.audio_codes != planned.songs[0].audio_codes
    assert text_of(run, "planner").endswith("float32, int8 weights")


def test_more_than_eight_blueprints_keep_their_own_plans(client: ComfyUIClient, tmp_path: Path) -> None:
    songs = [Blueprint(caption="rock", lyrics="la", bpm=60 + number, duration_seconds=10) for number in range(9)]
    path = tmp_path / "nine.json"
    path.write_text(blueprints_to_json(songs), encoding="utf-8")
    prompt = with_nodes(only_plan(), file=("AceComposerLoadBlueprint", {"file": client.upload(path)}))
    prompt["plan"]["inputs"] |= {"blueprint": ["file", 0], "write_codes": False}
    planned_songs = blueprints_of(client, succeed(client, prompt))
    assert [song.bpm for song in planned_songs] == [song.bpm for song in songs]
    assert len({(song.key, song.time_signature) for song in planned_songs}) > 2
    prompt["plan"]["inputs"]["seed"] = PLAN_SEED + 8
    prompt["file"]["inputs"]["file"] = client.upload(_one_song(tmp_path, songs[8]))
    assert blueprints_of(client, succeed(client, prompt)) == planned_songs[8:]


def _one_song(folder: Path, song: Blueprint) -> Path:
    path = folder / "one.json"
    path.write_text(blueprints_to_json([song]), encoding="utf-8")
    return path


def test_a_plan_can_be_shared(client: ComfyUIClient) -> None:
    run = succeed(client, only_plan(plan={"share_plan": True, "batch_size": 2}))
    one, other = blueprints_of(client, run)
    assert one.audio_codes != other.audio_codes
    assert replace(other, audio_codes=one.audio_codes) == one


def test_a_saved_blueprint_gives_the_same_sound_without_the_planner(client: ComfyUIClient, planned: Planned) -> None:
    prompt = render_blueprint(output_name(planned.run, "keep", "files"))
    replayed = sounds(client, succeed(client, prompt))
    assert len(replayed) == len(planned.sounds)
    for one, other in zip(replayed, planned.sounds, strict=True):
        assert np.array_equal(one.waveform, other.waveform)


def test_codes_change_the_sound(client: ComfyUIClient, planned: Planned) -> None:
    name = output_name(planned.run, "keep", "files")
    (without, *_) = sounds(client, succeed(client, render_blueprint(name, encode={"codes_strength": 0.0})))
    assert np.abs(without.waveform - planned.sounds[0].waveform).max() > 0.1


@pytest.mark.parametrize("instrumental", [False, True])
def test_simple_mode_makes_a_song_from_one_line(client: ComfyUIClient, instrumental: bool) -> None:
    decided = {"duration_seconds": SHORT_SECONDS, "lyrics": "" if instrumental else "[Verse]\nIt rains"}
    prompt = published_prompt(
        "simple_mode",
        blueprint={**decided, "instrumental": instrumental},
        write={"seed": 3},
        plan={"seed": 4},
        sample={"seed": 5},
    )
    run = succeed(client, with_nodes(prompt, keep=KEEP))
    (song,), (sound,) = blueprints_of(client, run), sounds(client, run)
    assert fields_left_auto(song) == () and song.duration_seconds == SHORT_SECONDS
    assert song.lyrics == (INSTRUMENTAL_LYRICS if instrumental else "[Verse]\nIt rains")
    assert song.origin("caption") == song.origin("bpm") == song.origin("key") == "planner"
    assert song.audio_codes is not None and len(song.audio_codes) == SHORT_CODES
    assert sound.waveform.shape == (2, int(SHORT_SECONDS * 48000))
    assert "caption: " in text_of(run, "write")


def test_simple_mode_writes_lyrics_for_the_renderer(client: ComfyUIClient) -> None:
    prompt = published_prompt("simple_mode", blueprint={"duration_seconds": SHORT_SECONDS}, write={"seed": LYRICS_SEED})
    del prompt["plan"]
    for name in ("encode", "save"):
        prompt[name]["inputs"]["blueprint"] = ["write", 0]
    keep = (KEEP[0], KEEP[1] | {"blueprint": ["write", 0]})
    run = succeed(client, with_nodes(prompt, keep=keep, text=("PreviewAny", {"source": ["write", 1]})))
    (song,) = blueprints_of(client, run)
    assert song.lyrics and song.lyrics != INSTRUMENTAL_LYRICS and song.origin("lyrics") == "planner"
    assert song.lyrics in text_of(run, "text")
    without = succeed(client, replaced_lyrics(prompt, INSTRUMENTAL_LYRICS))
    assert lyric_tokens(run) != lyric_tokens(without)
    assert np.abs(sounds(client, run)[0].waveform - sounds(client, without)[0].waveform).max() > 0.01


def replaced_lyrics(prompt: Prompt, lyrics: str) -> Prompt:
    """The prompt with other lyrics in what `write` wrote."""
    edit = {"blueprint": ["write", 0], "changes": json.dumps({"lyrics": lyrics})}
    edited = with_nodes(prompt, edit=("AceComposerEditBlueprint", edit))
    edited["encode"]["inputs"]["blueprint"] = ["edit", 0]
    return edited


def lyric_tokens(run: Run) -> list[str]:
    """How long the renderer's lyric prompts are, as Encode shows it."""
    return re.findall(r"lyrics (\d+)/", text_of(run, "encode"))


def test_the_instrumental_switch_writes_no_lyrics(client: ComfyUIClient) -> None:
    prompt = published_prompt("simple_mode", write={"instrumental": True, "batch_size": 2, "seed": 8})
    prompt = {name: prompt[name] for name in ("planner", "blueprint", "write")}
    run = succeed(client, with_nodes(prompt, keep=(KEEP[0], KEEP[1] | {"blueprint": ["write", 0]})))
    for song in blueprints_of(client, run):
        assert (song.lyrics, song.language) == (INSTRUMENTAL_LYRICS, "unknown")
        assert fields_left_auto(song) == ()


def test_understanding_a_sound_gives_a_blueprint_and_its_text(client: ComfyUIClient, planned: Planned) -> None:
    prompt = published_prompt("understand_audio", audio={"audio": output_name(planned.run, "save", "audio")})
    run = succeed(client, prompt)
    (song,) = blueprints_of(client, run)
    assert song.duration_seconds == SHORT_SECONDS
    assert song.audio_codes is not None and len(song.audio_codes) == SHORT_CODES
    assert song.origin("audio_codes") == "user"
    assert fields_left_auto(song) == () and song.caption
    assert f"bpm: {song.bpm} (planned)" in text_of(run, "understand")
    assert f"bpm: {song.bpm} (planned)" in text_of(run, "text")
    assert song.caption in text_of(run, "text")  # all of it, where the node shows its beginning


def test_a_recording_becomes_codes(client: ComfyUIClient, planned: Planned) -> None:
    run = succeed(client, listen(("LoadAudio", {"audio": output_name(planned.run, "save", "audio")})))
    (song,) = blueprints_of(client, run)
    assert song.audio_codes is not None and len(song.audio_codes) == SHORT_CODES
    assert text_of(run, "codes") == f"{SHORT_CODES} codes, {SHORT_SECONDS:g} s"
    assert text_of(run, "text").count("<|audio_code_") == SHORT_CODES


def test_an_edited_blueprint(client: ComfyUIClient, planned: Planned) -> None:
    changes = 'Here you are:\n```json\n{"bpm": 72, "keyscale": "Am"}\n```\nAnything else?'
    edit = ("AceComposerEditBlueprint", {"blueprint": ["file", 0], "changes": changes})
    file = ("AceComposerLoadBlueprint", {"file": output_name(planned.run, "keep", "files")})
    keep = (KEEP[0], KEEP[1] | {"blueprint": ["edit", 0]})
    run = succeed(client, with_nodes({}, file=file, edit=edit, keep=keep))
    for song, before in zip(blueprints_of(client, run), planned.songs, strict=True):
        assert song == replace(before, bpm=72, key="A minor", planned=before.planned - {"key"})


# What is refused.


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ('{"bpm": 72', "changes must be JSON such as"),
        ("[1]", "changes must be a JSON object"),
        ('{"tempo": 72}', "tempo"),
        ('{"bpm": 5}', "30 to 300"),
    ],
)
def test_changes_that_cannot_be_made(client: ComfyUIClient, changes: str, words: str) -> None:
    edit = ("AceComposerEditBlueprint", {"blueprint": ["blueprint", 0], "changes": changes})
    keep = (KEEP[0], KEEP[1] | {"blueprint": ["edit", 0]})
    blueprint = {"blueprint": published_prompt("plan_and_render")["blueprint"]}
    text = refusal(client, with_nodes(blueprint, edit=edit, keep=keep))
    assert "AceComposerEditBlueprint" in text and words in text


def test_silence_cannot_be_heard(client: ComfyUIClient) -> None:
    silence = ("EmptyAudio", {"duration": 12.0, "sample_rate": 44100, "channels": 2})
    assert "item 1 of 1 of the audio is silent" in refusal(client, listen(silence))


def test_audio_above_600_s_is_refused(client: ComfyUIClient, tmp_path: Path) -> None:
    path = tmp_path / "long.wav"
    with wave.open(str(path), "wb") as file:
        file.setnchannels(1)
        file.setsampwidth(2)
        file.setframerate(8000)
        file.writeframes(b"\x00\x10\x00\xf0" * (8000 * 601 // 2))
    text = refusal(client, listen(("LoadAudio", {"audio": client.upload(path)})))
    assert "the audio lasts 601.00 s and the model takes 600 s" in text


def test_a_text_encoder_is_no_planner(client: ComfyUIClient) -> None:
    text = refusal(client, only_plan(planner={"planner": "text_encoders/qwen_0.6b_ace15.safetensors"}))
    assert "Load Planner" in text and "text encoder" in text


def test_a_planner_is_no_text_encoder(client: ComfyUIClient) -> None:
    text = refusal(client, short_batch(load={"text_encoder": "text_encoders/qwen_1.7b_ace15.safetensors"}))
    assert "Load Models" in text and "5 Hz language model" in text


@pytest.mark.parametrize(
    "name",
    ["../models/vae/x.json", "../host.log [output]", "../../host.log [input]", "/etc/passwd", "missing.json", ""],
)
def test_a_blueprint_file_outside_the_folders(client: ComfyUIClient, name: str) -> None:
    text = refusal(client, render_blueprint(name))
    assert "Load Blueprint" in text and ("there is no file" in text or "not in [" in text)


def test_a_blueprint_file_with_something_else(client: ComfyUIClient, tmp_path: Path) -> None:
    path = tmp_path / "other.json"
    path.write_text(json.dumps({"nodes": []}), encoding="utf-8")
    assert "this is not a blueprint file" in refusal(client, render_blueprint(client.upload(path)))


@pytest.mark.parametrize("prefix", ["../outside", "blueprints/../../outside", "/tmp/outside"])
def test_a_blueprint_is_saved_below_the_output_folder_only(
    client: ComfyUIClient, host: HostProcess, prefix: str
) -> None:
    prompt = only_plan(plan={"write_codes": False}, keep={"filename_prefix": prefix})
    assert "leads out of" in refusal(client, prompt)
    assert not list(host.base_directory.rglob("outside*")) and not list(Path("/tmp").glob("outside*"))


def test_a_negative_prompt_needs_guidance(client: ComfyUIClient) -> None:
    text = refusal(client, only_plan(plan={"guidance": 1.0, "negative_prompt": "noise"}))
    assert "a negative prompt needs guidance" in text
    run = succeed(client, only_plan(plan={"write_codes": False, "negative_prompt": "noise"}))
    assert "the negative prompt does nothing: no codes are written" in text_of(run, "plan")


def test_planning_is_cancelled(client: ComfyUIClient) -> None:
    long = only_plan(blueprint={"duration_seconds": 600.0}, plan={"batch_size": 4, "seed": 90})
    assert cancel(client, long, "plan") <= MOST_LATE_REPORTS
    succeed(client, only_plan(plan={"write_codes": False, "seed": 91}))
