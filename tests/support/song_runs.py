"""Runs of the published workflows in a test's ComfyUI: prompts to change, what was executed, what came out."""

from __future__ import annotations

import copy
import io
import json
from collections import Counter
from collections.abc import Iterator, Mapping
from typing import Any, NamedTuple

import av
import numpy as np
from comfyui_client import ComfyUIClient, PromptRejected, run_failure
from host_process import PACK_ROOT
from numpy.typing import NDArray
from safetensors.numpy import load as load_safetensors

from ace_core.song.blueprint import Blueprint
from ace_core.song.blueprint_json import blueprints_from_json

API_WORKFLOWS = PACK_ROOT / "workflows" / "api"
STEP_OF_16_BITS = 1 / 32768  # the host's own Save Audio writes so many
SHORT_SECONDS = 10.0  # the shortest song there is
RUN_TIMEOUT_SECONDS = 240.0
MOST_LATE_REPORTS = 40  # after asking to cancel; some are on their way, a stage that goes on makes a hundred or more
NODES = {
    "load": "AceComposerLoadModels",
    "blueprint": "AceComposerBlueprint",
    "encode": "AceComposerEncode",
    "sample": "AceComposerSample",
    "decode": "AceComposerDecode",
    "save": "AceComposerSaveSong",
}
PLANNER_NODES = {
    "planner": "AceComposerLoadPlanner",
    "write": "AceComposerWriteSong",
    "plan": "AceComposerPlan",
    "understand": "AceComposerUnderstand",
    "file": "AceComposerLoadBlueprint",
    "keep": "AceComposerSaveBlueprint",
    "audio": "LoadAudio",
    "text": "PreviewAny",
}
EDITING_NODES = {
    "cover": "AceComposerCover",
    "repaint": "AceComposerRepaint",
    "extend": "AceComposerExtend",
    "extract": "AceComposerExtract",
    "lego": "AceComposerLego",
    "complete": "AceComposerComplete",
    "backing": "AceComposerVocalToBacking",
    "reference": "AceComposerReferenceAudio",
    "stem": "AceComposerPickStem",
    "mix": "AceComposerMix",
}
LISTENING_NODES = {
    "lrc": "AceComposerLyricTiming",
    "score": "AceComposerScore",
    "best": "AceComposerBestOfN",
    "facts": "AceComposerAudioFacts",
}
SONG_NODES = {
    "song": "AceComposerLoadSong",
    "lora": "AceComposerLoadLora",
    "preview": "AceComposerPreviewSong",
    "pick": "AceComposerPickTake",
}
TRAINING_NODES = {
    "dataset": "AceComposerDataset",
    "label": "AceComposerLabelDataset",
    "preprocess": "AceComposerPreprocess",
    "train": "AceComposerTrainLora",
    "picture": "PreviewImage",
}

Prompt = dict[str, dict[str, Any]]


class Run(NamedTuple):
    """What a run did.

    Attributes:
        entry: ComfyUI's history entry. failure: why it failed, or None.
        executed: ids of the nodes that really ran, in their order. cached: ids of those that did not have to.
    """

    entry: Mapping[str, Any]
    failure: str | None
    executed: list[str]
    cached: set[str]


class Sound(NamedTuple):
    """A decoded audio file: samples [channels, samples] with full scale 1, and what the container says."""

    waveform: NDArray[np.float32]
    sample_rate: int
    codec: str


def song_prompt(**changes: Mapping[str, Any]) -> Prompt:
    """The text-to-music workflow, its song cut to the shortest length; `changes` are inputs by a name of `NODES`."""
    shortest = {"duration_seconds": SHORT_SECONDS}
    return published_prompt("text_to_music", **changes | {"blueprint": shortest | dict(changes.get("blueprint", {}))})


def published_prompt(workflow: str, **changes: Mapping[str, Any]) -> Prompt:
    """A published API workflow; its node ids are the names of the tables above, `changes` inputs by them.

    Of several nodes of a class, the first has the plain name, the next ones are ``lego_2``, ``lego_3``, ...
    """
    published = json.loads((API_WORKFLOWS / f"{workflow}.json").read_text(encoding="utf-8"))
    known = NODES | PLANNER_NODES | EDITING_NODES | LISTENING_NODES | SONG_NODES | TRAINING_NODES
    names_of_classes = {kind: name for name, kind in known.items()}
    names: dict[str, str] = {}
    counts: Counter[str] = Counter()
    for node_id, node in published.items():
        name = names_of_classes[node["class_type"]]
        counts[name] += 1
        names[node_id] = name if counts[name] == 1 else f"{name}_{counts[name]}"
    prompt: Prompt = {}
    for node_id, node in published.items():
        for name, value in node["inputs"].items():
            if isinstance(value, list):
                node["inputs"][name] = [names[value[0]], value[1]]
        prompt[names[node_id]] = node
    for name, inputs in changes.items():
        prompt[name]["inputs"].update(inputs)
    return prompt


def with_nodes(prompt: Prompt, **nodes: tuple[str, Mapping[str, Any]]) -> Prompt:
    """A copy of `prompt` with more nodes, each (class, inputs) under its id."""
    added = {name: {"class_type": kind, "inputs": dict(inputs)} for name, (kind, inputs) in nodes.items()}
    return {**copy.deepcopy(prompt), **added}


def latent_prompt(prompt: Prompt) -> Prompt:
    """`prompt` ending in the host's SaveLatent (node "latents") in place of the decoder: float32 results, and fast."""
    kept = {name: node for name, node in copy.deepcopy(prompt).items() if name not in ("decode", "save")}
    return with_nodes(kept, latents=("SaveLatent", {"samples": ["sample", 0], "filename_prefix": "latents/test"}))


def observe(client: ComfyUIClient, prompt: Prompt, *, on_event: Any = None) -> Run:
    """Run a prompt to its end, whatever that is."""
    executed: list[str] = []
    cached: set[str] = set()

    def note(event: Mapping[str, Any]) -> None:
        kind, data = event["type"], event["data"]
        if kind == "executing" and data["node"] is not None:
            executed.append(data["node"])
        elif kind == "execution_cached":
            cached.update(data["nodes"])
        if on_event is not None:
            on_event(event)

    entry = client.run(prompt, on_event=note, timeout_seconds=RUN_TIMEOUT_SECONDS)
    return Run(entry, run_failure(entry, prompt), executed, cached)


def succeed(client: ComfyUIClient, prompt: Prompt) -> Run:
    """`observe`, and fail the test with ComfyUI's words if the run fails."""
    run = observe(client, prompt)
    assert run.failure is None, run.failure
    return run


def refusal(client: ComfyUIClient, prompt: Prompt) -> str:
    """What the host says to a prompt, whether it refuses to queue it or the run fails."""
    try:
        failure = observe(client, prompt).failure
    except PromptRejected as rejected:
        return str(rejected)
    assert failure is not None
    return failure


def cancel(client: ComfyUIClient, prompt: Prompt, node: str) -> int:
    """Run a prompt and cancel it at the second report of `node`; returns how many more reports of it came.

    Fails the test if the run does not end there. How soon it ends is counted in reports, not in seconds, so that a busy
    machine changes nothing.
    """
    reports = 0

    def cancel_when_busy(event: Mapping[str, Any]) -> None:
        nonlocal reports
        if event["type"] == "progress" and event["data"]["node"] == node:
            reports += 1
            if reports == 2:
                client.cancel(event["data"]["prompt_id"])

    run = observe(client, prompt, on_event=cancel_when_busy)
    assert run.failure is not None and run.failure.startswith("interrupted at"), run.failure
    assert run.executed[-1] == node
    return reports - 2


def text_of(run: Run, node_id: str) -> str:
    """What a node showed."""
    return "\n".join(run.entry["outputs"][node_id]["text"])


def audio_files(client: ComfyUIClient, run: Run, node_id: str = "save") -> list[bytes]:
    """The audio files that a node made."""
    return [client.view(item) for item in run.entry["outputs"][node_id]["audio"]]


def sounds(client: ComfyUIClient, run: Run, node_id: str = "save") -> list[Sound]:
    """The audio files that a node made, decoded."""
    return [decode_sound(content) for content in audio_files(client, run, node_id)]


def decode_sound(content: bytes) -> Sound:
    """Decode a whole audio file."""
    with av.open(io.BytesIO(content)) as container:
        stream = container.streams.audio[0]
        blocks = list(_blocks(container, stream))
        return Sound(np.concatenate(blocks, axis=1), stream.rate, stream.codec_context.name)


def blueprints_of(client: ComfyUIClient, run: Run, node_id: str = "keep") -> tuple[Blueprint, ...]:
    """The blueprints that a Save Blueprint wrote."""
    (item,) = run.entry["outputs"][node_id]["files"]
    return blueprints_from_json(client.view(item).decode("utf-8"))


def output_name(run: Run, node_id: str, kind: str) -> str:
    """The first file of this kind that a node saved, as a loader's widget names files of the output folder."""
    item = run.entry["outputs"][node_id][kind][0]
    return f"{item['subfolder']}/{item['filename']} [output]"


def latents_of(client: ComfyUIClient, run: Run, node_id: str = "latents") -> NDArray[np.float32]:
    """The latents [B, 64, T] that the host's SaveLatent wrote."""
    (item,) = run.entry["outputs"][node_id]["latents"]
    return load_safetensors(client.view(item))["latent_tensor"]


def clear_cache(client: ComfyUIClient) -> None:
    """Make the host forget every result and every model.

    Its worker looks for this wish after a run, and a prompt that follows at once can overtake it; hence a run between.
    """
    client.post_json("/free", {"unload_models": True, "free_memory": True})
    succeed(client, {"between": {"class_type": "PreviewAny", "inputs": {"source": "cleared"}}})


def _blocks(container: Any, stream: Any) -> Iterator[NDArray[np.float32]]:
    resampler = av.AudioResampler(format="fltp")
    for frame in container.decode(stream):
        for part in resampler.resample(frame):
            yield np.asarray(part.to_ndarray(), dtype=np.float32)
