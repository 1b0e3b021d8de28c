"""Waiting for a run, with the events and history entries of a server in any order they may come."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

import pytest
from comfyui_client import ComfyUIClient

RUN = "d0b1f5f6-0000-4000-8000-000000000000"
ENTRY = {"status": {"messages": []}}
INTERRUPTED = {"type": "execution_interrupted", "data": {"prompt_id": RUN, "node_id": "3"}}
LAST = {"type": "executing", "data": {"prompt_id": RUN, "node": None}}
OTHER = {"type": "executing", "data": {"prompt_id": "another", "node": None}}
STATUS = {"type": "status", "data": {}}


class Events:
    """A websocket that receives these events, None for a quiet moment, and is quiet afterwards."""

    def __init__(self, *events: Mapping[str, Any] | None) -> None:
        self.left = list(events)

    def receive(self, timeout_seconds: float) -> str | None:
        event = self.left.pop(0) if self.left else None
        return None if event is None else json.dumps(event)


@pytest.mark.parametrize(
    ("events", "histories", "seen"),
    [
        ([STATUS, INTERRUPTED, LAST], [ENTRY], [INTERRUPTED, LAST]),
        ([None, INTERRUPTED, LAST], [ENTRY, ENTRY], [INTERRUPTED, LAST]),
        ([None, INTERRUPTED, None], [ENTRY], [INTERRUPTED]),
        ([OTHER, None, None, LAST], [None, None, ENTRY], [LAST]),
        ([], [None, ENTRY], []),
    ],
    ids=["in order", "history before the last events", "no last event", "a long silence", "ended before"],
)
def test_a_run_has_ended_when_its_last_event_and_its_history_are_there(
    monkeypatch: pytest.MonkeyPatch,
    events: list[Mapping[str, Any] | None],
    histories: list[Mapping[str, Any] | None],
    seen: list[Mapping[str, Any]],
) -> None:
    client, answers, reported = ComfyUIClient(), iter(histories), []
    client._websocket = Events(*events)  # type: ignore[assignment]
    monkeypatch.setattr(client, "get_json", lambda path: {RUN: entry} if (entry := next(answers)) else {})
    assert client.wait(RUN, on_event=reported.append) == ENTRY
    assert reported == seen
    assert next(answers, "all asked for") == "all asked for"
