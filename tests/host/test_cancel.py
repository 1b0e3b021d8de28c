"""Cancel: a long stage ends within a few steps after the user asks, and the host goes on with the next song.

How soon is counted in what the node reports, not in seconds, so that a busy machine changes nothing.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, NamedTuple

import pytest
from comfyui_client import ComfyUIClient
from song_runs import Prompt, Run, observe, song_prompt, sounds, succeed

SONG_SECONDS = 240.0
ALLOWED_SHARE = 0.25  # of the stage, between asking and its last report; reports travel, so it may be more than a step


class Cancelled(NamedTuple):
    """A cancelled run; how much of the stage was done, 0 to 1, when the user asked and when it ended."""

    run: Run
    asked_at: float
    ended_at: float


def cancelled(client: ComfyUIClient, prompt: Prompt, node: str) -> Cancelled:
    """Run a prompt and cancel it at the second report of `node`."""
    reports: list[float] = []
    asked_at = 0.0

    def cancel_when_busy(event: Mapping[str, Any]) -> None:
        nonlocal asked_at
        data = event["data"]
        if event["type"] == "progress" and data["node"] == node:
            reports.append(data["value"] / data["max"])
            if len(reports) == 2:
                asked_at = reports[-1]
                client.cancel(data["prompt_id"])

    run = observe(client, prompt, on_event=cancel_when_busy)
    return Cancelled(run, asked_at, reports[-1])


@pytest.mark.slow
@pytest.mark.parametrize(
    ("node", "options"),
    [("sample", {"sample": {"steps": 200}}), ("decode", {"sample": {"steps": 1}, "decode": {"tile_seconds": 2.0}})],
    ids=["sampler", "decoder"],
)
def test_a_long_stage_is_cancelled(client: ComfyUIClient, node: str, options: dict[str, dict[str, object]]) -> None:
    (expected,) = sounds(client, succeed(client, song_prompt(sample={"seed": 60})))
    run, asked_at, ended_at = cancelled(
        client, song_prompt(blueprint={"duration_seconds": SONG_SECONDS}, **options), node
    )
    assert run.failure is not None and run.failure.startswith("interrupted at")
    assert run.executed[-1] == node and {"execution_error", "execution_success"}.isdisjoint(run.times)
    assert 0 < asked_at <= ended_at <= asked_at + ALLOWED_SHARE

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
