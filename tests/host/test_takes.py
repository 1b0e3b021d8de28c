"""What nodes tell the page's player of takes, and Pick Take, in a real ComfyUI."""

from __future__ import annotations

import base64
from typing import Any

import numpy as np
import pytest
from comfyui_client import ComfyUIClient
from song_runs import Prompt, Run, decode_sound, latents_of, refusal, song_prompt, sounds, succeed, with_nodes

SEED = 7
SONGS = 3


def takes_prompt(**nodes: Any) -> Prompt:
    prompt = song_prompt(sample={"seed": SEED, "batch_size": SONGS, "steps": 2})
    return with_nodes(prompt, **nodes)


def takes_of(run: Run, node: str) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = run.entry["outputs"][node]["ace_takes"]
    return found


def test_a_preview_is_the_songs_that_are_saved(client: ComfyUIClient) -> None:
    heard = {"audio": ["decode", 0], "latent": ["sample", 0]}
    run = succeed(client, takes_prompt(heard=("AceComposerPreviewSong", heard)))
    takes = takes_of(run, "heard")
    assert [(take["number"], take["seed"], take["score"], take["picked"]) for take in takes] == [
        (number, str(SEED + number - 1), None, False) for number in range(1, SONGS + 1)
    ]
    for take, saved in zip(takes, sounds(client, run), strict=True):
        assert take["file"]["type"] == "temp"
        sound = decode_sound(client.view(take["file"]))
        assert (
            take["seconds"]
            == sound.waveform.shape[1] / sound.sample_rate
            == saved.waveform.shape[1] / saved.sample_rate
        )
        assert np.abs(sound.waveform - saved.waveform).max() <= 2 / 2**15
        peaks = base64.b64decode(take["peaks"])
        assert max(peaks) == pytest.approx(255 * np.abs(saved.waveform).max(), abs=1)
        assert -60 < take["loudness"] < 0


def test_saved_songs_are_heard_from_their_files(client: ComfyUIClient) -> None:
    run = succeed(client, takes_prompt())
    assert [take["file"] for take in takes_of(run, "save")] == run.entry["outputs"]["save"]["audio"]


def test_the_same_sound_is_written_once(client: ComfyUIClient) -> None:
    two = {name: ("AceComposerPreviewSong", {"audio": ["decode", 0]}) for name in ("one", "two")}
    run = succeed(client, takes_prompt(**two))
    files = [[take["file"]["filename"] for take in takes_of(run, name)] for name in two]
    assert files[0] == files[1] and len(set(files[0])) == SONGS


def test_the_takes_that_were_picked_go_on_in_their_order(client: ComfyUIClient) -> None:
    picked = {"takes": "3, 1", "audio": ["decode", 0], "latent": ["sample", 0], "blueprint": ["blueprint", 0]}
    prompt = takes_prompt(
        pick=("AceComposerPickTake", picked),
        heard=("AceComposerPreviewSong", {"audio": ["pick", 0], "latent": ["pick", 1]}),
        all_latents=("SaveLatent", {"samples": ["sample", 0], "filename_prefix": "latents/all"}),
        latents=("SaveLatent", {"samples": ["pick", 1], "filename_prefix": "latents/picked"}),
    )
    run = succeed(client, prompt)
    assert [take["seed"] for take in takes_of(run, "heard")] == [str(SEED + 2), str(SEED)]
    np.testing.assert_array_equal(latents_of(client, run), latents_of(client, run, "all_latents")[[2, 0]])


@pytest.mark.parametrize(
    ("inputs", "words"),
    [
        ({"takes": "4", "audio": ["decode", 0]}, "there is no take 4: the batch has 3 songs"),
        ({"takes": "0", "audio": ["decode", 0]}, "there is no take 0"),
        ({"takes": "first", "audio": ["decode", 0]}, "takes must be numbers such as 1, 3, got 'first'"),
        ({"takes": "1"}, "connect the songs to choose from"),
        (
            {"takes": "1", "audio": ["other", 0], "latent": ["sample", 0]},
            "latent holds 3 songs and audio 1: connect those of one batch",
        ),
    ],
)
def test_what_cannot_be_picked_is_an_error(client: ComfyUIClient, inputs: dict[str, Any], words: str) -> None:
    other = {"takes": "1", "audio": ["decode", 0]}
    nodes = {"pick": ("AceComposerPickTake", inputs), "other": ("AceComposerPickTake", other)}
    prompt = takes_prompt(
        **nodes,
        shown=("PreviewAny", {"source": ["pick", 0 if "audio" in inputs else 1]}),
    )
    assert words in refusal(client, prompt)
