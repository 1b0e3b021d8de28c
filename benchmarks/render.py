"""A whole song at the published 2B turbo size: 8 DiT steps, then the VAE. No peer; `ratio`: per second of audio.

Cases: `song` (240 s, meant for a GPU: `--device cuda --dtype bfloat16`), `short` (10 s, for a CPU).
"""

from __future__ import annotations

import statistics

import torch
from torch import nn

from ace_core.audio.waveform import latent_frames, sample_count
from ace_core.checkpoints.inspection import Network
from ace_core.models.dit import DiT
from ace_core.models.oobleck import Oobleck, OobleckConfig
from ace_core.render.conditions import SongConditions
from ace_core.render.runs import render_latents
from ace_core.render.vae import decode_latents
from ace_core.runtime import Runtime
from ace_core.sampling.options import SamplerOptions, resolve

from .common import PeakMemory, Result, parse_options, report, timed
from .dit import CONDITION_TOKENS, PUBLISHED_2B

DURATIONS_SECONDS = {"song": 240, "short": 10}
PUBLISHED_VAE = OobleckConfig(
    audio_channels=2,
    latent_channels=64,
    encoder_channels=128,
    decoder_channels=128,
    channel_multiples=(1, 2, 4, 8, 16),
    strides=(2, 4, 4, 6, 10),
)


def random_network(network: Network, device: torch.device, dtype: torch.dtype) -> Network:
    """Small seeded random weights on the device."""
    generator = torch.Generator(device).manual_seed(0)
    weights = {
        name: torch.randn(parameter.shape, generator=generator, device=device, dtype=dtype) * 0.02
        for name, parameter in network.named_parameters()
    }
    network.load_state_dict(weights, assign=True)
    return network.eval().requires_grad_(False)


@torch.inference_mode()
def main() -> None:
    options = parse_options("render", tuple(DURATIONS_SECONDS), repeats=3)
    device, dtype = options.device, options.dtype
    seconds = DURATIONS_SECONDS[options.case]
    frames = latent_frames(seconds)
    dit = random_network(DiT(PUBLISHED_2B, ops=nn, device="meta"), device, dtype)
    vae = random_network(Oobleck(PUBLISHED_VAE, ops=nn, device="meta"), device, dtype)
    generator = torch.Generator().manual_seed(1)
    packed = torch.randn(CONDITION_TOKENS, PUBLISHED_2B.condition_size, generator=generator)
    source = torch.randn(frames, 64, generator=generator)
    song = SongConditions(packed, source, torch.ones(frames), sample_count(seconds), source)
    settings = resolve(SamplerOptions(), "turbo").settings
    latents: list[torch.Tensor] = []

    def render() -> None:
        latents[:] = render_latents(dit, [song], settings, [0], Runtime(device, dtype))

    def decode_song() -> torch.Tensor:
        return decode_latents(vae, latents[0][None], Runtime(device, dtype))

    setup_seconds = timed(render, device) + timed(decode_song, device)
    with PeakMemory(device) as peak:
        render()
        decode_song()
    render_seconds = statistics.median(timed(render, device) for _ in range(options.repeats))
    decode_seconds = statistics.median(timed(decode_song, device) for _ in range(options.repeats))
    total = render_seconds + decode_seconds
    result = Result(
        name="render",
        case=options.case,
        ours_seconds=total,
        peer_seconds=None,
        ratio=total / seconds,
        peak_memory_bytes=peak.bytes,
        setup_seconds=setup_seconds,
        extra={"dit_seconds": render_seconds, "decode_seconds": decode_seconds, "audio_seconds": seconds},
    )
    report(result, options)


if __name__ == "__main__":
    main()
