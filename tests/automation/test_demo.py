"""What the demo says about a file, and which model it picks."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import av
import demo
import numpy as np
import pytest
from run_workflow import load_prompt


@pytest.mark.parametrize(("suffix", "codec", "sample_format"), [("flac", "flac", "s16"), ("wav", "pcm_f32le", "flt")])
def test_duration_and_level_of_a_file(tmp_path: Path, suffix: str, codec: str, sample_format: str) -> None:
    """A full-scale square wave has a peak and a level of 0 dBFS; half of it is 6.02 dB less."""
    path = tmp_path / f"square.{suffix}"
    square = np.where(np.arange(72000) // 50 % 2, 0.5, -0.5).astype(np.float32)
    samples = np.stack([square, square], axis=1).reshape(1, -1)  # [1, left right left right ...]
    packed = (samples * 32768).astype(np.int16) if sample_format == "s16" else samples
    with av.open(str(path), "w") as container:
        stream = container.add_stream(codec, rate=48000, layout="stereo", format=sample_format)
        frame = av.AudioFrame.from_ndarray(packed, format=sample_format, layout="stereo")
        frame.sample_rate = 48000
        for packet in [*stream.encode(frame), *stream.encode(None)]:
            container.mux(packet)
    summary = demo.summarise_audio(path)
    assert summary[:3] == (1.5, 2, 48000)
    assert summary.peak_dbfs == pytest.approx(-6.02, abs=0.01)
    assert summary.rms_dbfs == pytest.approx(-6.02, abs=0.01)


class Offering:
    """A server whose loader node offers these models."""

    def __init__(self, *names: str) -> None:
        self._names = list(names)

    def get_json(self, path: str) -> Any:
        name = path.rpartition("/")[2]
        return {name: {"input": {"required": {"model": ["COMBO", {"options": self._names}]}}}}


@pytest.mark.parametrize(
    ("offered", "chosen"),
    [
        (("flux.safetensors", "acestep-v15-base", "acestep-v15-turbo"), "acestep-v15-turbo"),
        (("flux.safetensors", "acestep_base.safetensors"), "acestep_base.safetensors"),
        (("flux.safetensors",), None),
    ],
)
def test_the_demo_takes_the_model_that_is_there(offered: tuple[str, ...], chosen: str | None) -> None:
    prompt = load_prompt(demo.WORKFLOW)
    loader = next(node for node in prompt.values() if node["class_type"] == demo.LOADER)
    original = loader["inputs"]["model"]
    demo.choose_model(Offering(*offered, original), prompt)
    assert loader["inputs"]["model"] == original
    demo.choose_model(Offering(*offered), prompt)
    assert loader["inputs"]["model"] == (chosen or original)
    assert (loader["inputs"]["text_encoder"] == loader["inputs"]["vae"] == "auto") == (chosen is not None)
