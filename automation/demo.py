"""Renders workflows/api/text_to_music.json in a real ComfyUI and says what came out: what `dev.py demo` starts."""

from __future__ import annotations

import argparse
import math
import sys
import tempfile
from pathlib import Path
from typing import NamedTuple

import av
import numpy as np
from comfyui_client import ComfyUIClient, HostError
from host_process import PACK_ROOT, HostProcess, HostStartError, find_comfyui
from run_workflow import Job, load_prompt, run_jobs, set_input_text
from serve import has_accelerator
from stand_in_models import NOTICE, write_stand_in_models

WORKFLOW = PACK_ROOT / "workflows" / "api" / "text_to_music.json"
AUDIO_SUFFIXES = {".flac", ".mp3", ".opus", ".wav"}


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


def render(
    comfyui: Path, models: Path, output: Path, base_directory: Path, cpu: bool, changes: list[str]
) -> list[Path]:
    """Start the host, run the workflow, return the result files; raises HostError with the host's own words."""
    prompt = load_prompt(WORKFLOW)
    for change in changes:
        address, _, text = change.partition("=")
        set_input_text(prompt, address, text)
    print("starting ComfyUI...", file=sys.stderr)
    results: list[Path] = []
    with HostProcess(find_comfyui(), base_directory, models=models, cpu=cpu) as host, ComfyUIClient(host.url) as client:
        print(f"ComfyUI answers at {host.url}", file=sys.stderr)
        if run_jobs(client, [Job(prompt, "")], output, on_result=results.append):
            raise HostError("the demo did not render; the reason is above")
    return results


def main() -> int:
    parser = argparse.ArgumentParser(prog="dev.py demo", description="Render the text-to-music workflow.")
    parser.add_argument("--models", type=Path, metavar="DIR", help="a ComfyUI models folder (default: small stand-ins)")
    parser.add_argument("--output", type=Path, default=PACK_ROOT / "output", metavar="DIR", help="default: %(default)s")
    parser.add_argument("--set", action="append", default=[], metavar="NODE_TITLE.INPUT=VALUE", help="change an input")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="ace-composer-demo-") as scratch:
        base_directory = Path(scratch)
        models = options.models or write_stand_in_models(base_directory / "stand_in_models")
        cpu = options.models is None or not has_accelerator()
        try:
            paths = render(models, options.output, base_directory / "base", cpu=cpu, changes=options.set)
        except (HostError, HostStartError, ValueError) as error:
            print(f"error: {error}", file=sys.stderr)
            return 1
    for path in paths:
        print(path)
        if path.suffix in AUDIO_SUFFIXES:
            audio = summarise_audio(path)
            print(
                f"  {audio.duration_seconds:.2f} s, {audio.channels} channels, {audio.sample_rate} Hz, "
                f"peak {audio.peak_dbfs:.1f} dBFS, level {audio.rms_dbfs:.1f} dBFS RMS"
            )
    if options.models is None:
        print(NOTICE.format(command="demo"))
    return 0


def _decibels(amplitude: float) -> float:
    return 20.0 * math.log10(amplitude) if amplitude > 0.0 else -math.inf


if __name__ == "__main__":
    sys.exit(main())
