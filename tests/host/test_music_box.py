"""The music box in a real ComfyUI: what is asked is heard, without a model of one's own."""

from __future__ import annotations

import re
import shutil
from pathlib import Path

from comfyui_client import ComfyUIClient
from song_runs import Prompt, published_prompt, sounds, succeed, text_of, with_nodes

from ace_core.music_box import files as music_box_files

NAME = "music box (built in)"


def measured(prompt: Prompt) -> Prompt:
    """The prompt with its song measured beside its plan (node "facts")."""
    saved = prompt["save"]["inputs"]
    facts = {"audio": saved["audio"], "blueprint": saved["blueprint"]}
    return with_nodes(prompt, facts=("AceComposerAudioFacts", facts))


def test_the_workflow_without_models_plays_the_tempo_and_key_asked(client: ComfyUIClient) -> None:
    prompt = published_prompt("try_it_without_models", blueprint={"duration_seconds": 20.0, "key": "D minor"})
    prompt["blueprint"]["inputs"]["bpm"] = 112
    run = succeed(client, measured(prompt))
    (sound,) = sounds(client, run)
    assert sound.waveform.shape == (2, 20 * 48_000)
    facts = text_of(run, "facts")
    assert re.search(r"bpm asked 112, measured (110|55|220)\.\d", facts), facts
    assert "key asked D minor, measured D minor" in facts
    said = text_of(run, "encode")
    assert "112 bpm is played at 110" in said and "toy" in said


def test_a_song_from_one_line(client: ComfyUIClient) -> None:
    prompt = published_prompt("simple_mode", write={"idea": "a cheerful rock song with drums, bass and piano"})
    prompt["load"]["inputs"] |= {"model": NAME, "text_encoder": "auto", "vae": "auto"}
    prompt["planner"]["inputs"]["planner"] = NAME
    prompt["plan"]["inputs"]["guidance"] = 1.0
    prompt["blueprint"]["inputs"]["duration_seconds"] = 20.0
    run = succeed(client, measured(prompt))
    assert "acestep-5Hz-lm-music-box" in text_of(run, "planner")
    planned = text_of(run, "plan")
    assert "bpm: 140 (planned)" in planned and "key: G major (planned)" in planned and "100 codes (planned)" in planned
    assert re.search(r"bpm asked 140, measured (140|70)\.\d", text_of(run, "facts")), text_of(run, "facts")


def test_a_copy_under_another_name_says_what_it_is(client: ComfyUIClient, models_directory: Path) -> None:
    copied = models_directory / "ace_step" / "acestep-v15-turbo-renamed"
    box = music_box_files.built_in()
    for source, target in ((box.model, copied), (box.text_encoder, models_directory / "ace_step" / "text_encoder")):
        shutil.copytree(source, target)
    try:
        chosen = {"model": copied.name, "text_encoder": "ace_step/text_encoder", "vae": "auto"}
        prompt = published_prompt("try_it_without_models", load=chosen, sample={"steps": 1})
        assert "toy" in text_of(succeed(client, prompt), "encode")
    finally:
        shutil.rmtree(copied)
        shutil.rmtree(models_directory / "ace_step" / "text_encoder")


def test_the_music_box_is_the_last_choice(client: ComfyUIClient) -> None:
    for node, name in (("AceComposerLoadModels", "model"), ("AceComposerLoadPlanner", "planner")):
        kind, details = client.get_json(f"/object_info/{node}")[node]["input"]["required"][name]
        offered = details["options"] if kind == "COMBO" else kind
        assert offered[-1] == NAME and len(offered) > 1
