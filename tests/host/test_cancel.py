"""Cancel: a long stage ends within a few steps after the user asks, and the host goes on with the next song."""

from __future__ import annotations

import pytest
from comfyui_client import ComfyUIClient
from song_runs import MOST_LATE_REPORTS, cancel, song_prompt, sounds, succeed

SONG_SECONDS = 240.0


@pytest.mark.slow
@pytest.mark.parametrize(
    ("node", "options"),
    [("sample", {"sample": {"steps": 200}}), ("decode", {"sample": {"steps": 1}, "decode": {"tile_seconds": 2.0}})],
    ids=["sampler", "decoder"],
)
def test_a_long_stage_is_cancelled(client: ComfyUIClient, node: str, options: dict[str, dict[str, object]]) -> None:
    (expected,) = sounds(client, succeed(client, song_prompt(sample={"seed": 60})))
    long = song_prompt(blueprint={"duration_seconds": SONG_SECONDS}, **options)
    assert cancel(client, long, node) <= MOST_LATE_REPORTS

    afterwards = succeed(client, song_prompt(sample={"seed": 61}))
    assert afterwards.executed[-3:] == ["sample", "decode", "save"]
    again = succeed(client, song_prompt(sample={"seed": 60}, decode={"tile_seconds": 0.5}))  # not from the cache
    (sound,) = sounds(client, again)
    assert abs(sound.waveform - expected.waveform).max() <= 1 / 32768


def test_a_waiting_song_is_cancelled_without_harm_to_the_running_one(client: ComfyUIClient) -> None:
    running = client.submit(song_prompt(sample={"seed": 62, "steps": 60}))
    waiting = client.submit(song_prompt(sample={"seed": 63}))
    client.cancel(waiting)
    entry = client.wait(running, timeout_seconds=120.0)
    assert entry["status"]["status_str"] == "success"
    assert waiting not in client.get_json("/history")
