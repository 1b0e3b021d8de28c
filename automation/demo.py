"""Renders two workflows in a real ComfyUI and says what came out: what `dev.py demo` starts.

Without models the music box plays, which comes with the pack, and its tempo and key are measured beside those asked
for. It knows no audio codes, so the planner writes none. `--models music-box` runs every workflow with it
(`demo_of_all.py`).
"""

from __future__ import annotations

import argparse
import math
import sys
import tempfile
import textwrap
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

import av
import numpy as np
from comfyui_client import ComfyUIClient, HostError
from demo_of_all import AUDIO_SUFFIXES, run_all
from host_process import PACK_ROOT, HostProcess, HostStartError
from hosts import find_comfyui
from music_box_workflows import LOADER, MUSIC_BOX_OPTION, WORKFLOWS, measured, with_music_box
from run_workflow import Job, load_prompt, run_jobs, set_input_text
from serve import has_accelerator
from stand_in_models import models_folder

WORKFLOW = WORKFLOWS / "text_to_music.json"
PLANNER_WORKFLOW = WORKFLOWS / "simple_mode.json"
NOTICE = """\
This is the music box, the small model that comes with the pack. The released models know far more.
With ACE-Step 1.5 checkpoints in a ComfyUI models folder: python dev.py demo --models DIR"""


class AudioSummary(NamedTuple):
    duration_seconds: float
    channels: int
    sample_rate: int
    peak_dbfs: float
    rms_dbfs: float


def summarise_audio(path: Path) -> AudioSummary:
    """Decode a whole file and measure it; full scale is 1.0."""
    with av.open(str(path)) as container:
        stream = container.streams.audio[0]
        sample_rate, channels = stream.rate, stream.channels
        resampler = av.AudioResampler(format="fltp")
        blocks = [part.to_ndarray() for frame in container.decode(stream) for part in resampler.resample(frame)]
    waveform = np.concatenate(blocks, axis=1)  # [channels, samples]
    return AudioSummary(
        duration_seconds=waveform.shape[1] / sample_rate,
        channels=channels,
        sample_rate=sample_rate,
        peak_dbfs=_decibels(float(np.abs(waveform).max())),
        rms_dbfs=_decibels(float(np.sqrt(np.mean(np.square(waveform, dtype=np.float64))))),
    )


def choose_model(client: ComfyUIClient, prompt: dict[str, Any]) -> None:
    """Put an ACE-Step model that the host offers, turbo first, in the place of one that it does not offer.

    What goes with it is then found beside it.
    """
    inputs = next(node["inputs"] for node in prompt.values() if node["class_type"] == LOADER)
    nodes = client.get_json(f"/object_info/{LOADER}")
    if LOADER not in nodes:
        raise HostError("ComfyUI has started without this pack; 'dev.py serve' keeps the log that says why")
    kind, details = nodes[LOADER]["input"]["required"]["model"]
    offered = details["options"] if kind == "COMBO" else kind
    candidates = sorted((name for name in offered if "ace" in name.lower()), key=lambda name: "turbo" not in name)
    if inputs["model"] not in offered and candidates:
        inputs |= {"model": candidates[0], "text_encoder": "auto", "vae": "auto"}
        print(f"model: {candidates[0]}", file=sys.stderr)


def models_choice(text: str) -> Path | str:
    """The type of --models: a folder, or the music box by name."""
    return text if text == MUSIC_BOX_OPTION else models_folder(text)


def render(host: HostProcess, jobs: Sequence[Job], output: Path) -> list[Path]:
    """Start the host, run the jobs, return the result files; raises HostError with the host's own words."""
    results: list[Path] = []
    print("starting ComfyUI...", file=sys.stderr)
    with host, ComfyUIClient(host.url) as client:
        print(f"ComfyUI answers at {host.url}", file=sys.stderr)
        for job in jobs:
            choose_model(client, dict(job.prompt))
        if run_jobs(client, jobs, output, on_result=results.append, messages=sys.stderr):
            raise HostError("the demo did not render; the reason is above")
    return results


def main() -> int:
    parser = argparse.ArgumentParser(prog="dev.py demo", description="Render the text-to-music workflow.")
    parser.add_argument(
        "--models",
        type=models_choice,
        metavar="DIR",
        help=f"a ComfyUI models folder; {MUSIC_BOX_OPTION} runs every workflow with the model of the pack",
    )
    parser.add_argument("--output", type=Path, default=PACK_ROOT / "output", metavar="DIR", help="default: %(default)s")
    parser.add_argument("--set", action="append", default=[], metavar="NODE_TITLE.INPUT=VALUE", help="change an input")
    options = parser.parse_args()
    comfyui = find_comfyui()
    if comfyui is None:
        parser.error("there is no ComfyUI yet; start this through dev.py, which prepares one")
    try:
        if options.models == MUSIC_BOX_OPTION:
            return 1 if run_all(comfyui, options.output) else 0
        prompt = load_prompt(WORKFLOW)
        for change in options.set:
            address, _, text = change.partition("=")
            set_input_text(prompt, address, text)
        jobs = [Job(prompt, "")]
        if options.models is None:
            planned = load_prompt(PLANNER_WORKFLOW)
            jobs = [
                Job(measured(with_music_box(workflow)), path.stem)
                for path, workflow in ((WORKFLOW, prompt), (PLANNER_WORKFLOW, planned))
            ]
        with tempfile.TemporaryDirectory(prefix="ace-composer-demo-") as scratch:
            cpu = options.models is None or not has_accelerator()
            host = HostProcess(comfyui, Path(scratch), models=options.models, cpu=cpu)
            paths = render(host, jobs, options.output)
    except (HostError, HostStartError, ValueError) as error:
        print(f"error: {error}", file=sys.stderr)
        return 1
    for path in paths:
        print(path)
        if path.suffix == ".txt":
            print(textwrap.indent(path.read_text(encoding="utf-8"), "  "))
        elif path.suffix in AUDIO_SUFFIXES:
            audio = summarise_audio(path)
            print(
                f"  {audio.duration_seconds:.2f} s, {audio.channels} channels, {audio.sample_rate} Hz, "
                f"peak {audio.peak_dbfs:.1f} dBFS, level {audio.rms_dbfs:.1f} dBFS RMS"
            )
    if options.models is None:
        print(NOTICE)
    return 0


def _decibels(amplitude: float) -> float:
    return 20.0 * math.log10(amplitude) if amplitude > 0.0 else -math.inf


if __name__ == "__main__":
    sys.exit(main())
