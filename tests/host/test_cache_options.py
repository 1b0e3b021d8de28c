"""ComfyUI told to keep no results, or one: everything runs each time, and twice the same."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from comfyui_client import ComfyUIClient
from host_process import HostProcess
from song_runs import latent_prompt, latents_of, song_prompt, succeed


@pytest.mark.parametrize("options", [["--cache-none"], ["--cache-lru", "1"]], ids=" ".join)
def test_a_song_is_the_same_whatever_the_host_keeps(
    start_host: Callable[..., HostProcess], models_directory: Path, options: list[str]
) -> None:
    host = start_host(models=models_directory, extra_arguments=options)
    prompt = latent_prompt(song_prompt(sample={"steps": 1}))
    with ComfyUIClient(host.url) as client:
        first, second = (succeed(client, prompt) for _ in range(2))
        assert np.array_equal(latents_of(client, first), latents_of(client, second))
    if options == ["--cache-none"]:
        assert {"load", "encode", "sample"} <= set(second.executed)
