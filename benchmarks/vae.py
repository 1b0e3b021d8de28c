"""The VAE at its published size against diffusers' AutoencoderOobleck: same random weights, 10 s of audio.

Cases: `decode`, `encode` (seconds against the peer's), `decode600` (600 s of audio; no peer, `ratio` is the peak memory
above the weights as a share of the 1.5 GB it may take).
"""

from __future__ import annotations

import torch
from diffusers import AutoencoderOobleck
from torch import Tensor, nn

from ace_core.audio.waveform import LATENT_CHANNELS, SAMPLE_RATE, latent_frames
from ace_core.models.oobleck import Oobleck, OobleckConfig
from ace_core.render.vae import decode_latents, encode_waveforms
from ace_core.runtime import Runtime

from .common import Options, PeakMemory, Result, interleaved_medians, parse_options, report, timed

PUBLISHED = OobleckConfig(
    audio_channels=2,
    latent_channels=LATENT_CHANNELS,
    encoder_channels=128,
    decoder_channels=128,
    channel_multiples=(1, 2, 4, 8, 16),
    strides=(2, 4, 4, 6, 10),
)
DURATION_SECONDS = 10
LONG_DURATION_SECONDS = 600
LONG_MEMORY_LIMIT_BYTES = 1_500_000_000


def build_ours(options: Options) -> Oobleck:
    """Our network with seeded random weights that keep activations below 1."""
    generator = torch.Generator().manual_seed(0)
    ours = Oobleck(PUBLISHED, ops=nn, device="meta")
    weights = {}
    for name, parameter in ours.named_parameters():
        scale = 0.5 / parameter[0].numel() ** 0.5 if name.endswith(".weight") else 0.1
        weights[name] = (torch.randn(parameter.shape, generator=generator) * scale).to(options.device, options.dtype)
    ours.load_state_dict(weights, assign=True)
    return ours.eval()


def build_peer(ours: Oobleck) -> AutoencoderOobleck:
    """Diffusers' network over our tensors: every weight is its own direction, its norm the gain."""
    with torch.device("meta"):
        peer = AutoencoderOobleck(
            encoder_hidden_size=PUBLISHED.encoder_channels,
            downsampling_ratios=list(PUBLISHED.strides),
            channel_multiples=list(PUBLISHED.channel_multiples),
            decoder_channels=PUBLISHED.decoder_channels,
            decoder_input_channels=PUBLISHED.latent_channels,
            audio_channels=PUBLISHED.audio_channels,
            sampling_rate=SAMPLE_RATE,
        )
    weights: dict[str, Tensor] = {}
    for name, tensor in ours.state_dict().items():
        if name.endswith(".weight"):
            weights[f"{name}_v"] = tensor
            weights[f"{name}_g"] = tensor.flatten(1).norm(dim=1)[:, None, None]
        else:
            weights[name] = tensor
    peer.load_state_dict(weights, assign=True)
    return peer.eval()


def against_peer(options: Options) -> Result:
    ours = build_ours(options)
    peer = build_peer(ours)
    generator = torch.Generator().manual_seed(1)
    frames = latent_frames(DURATION_SECONDS)
    if options.case == "decode":
        latents = torch.randn(1, frames, LATENT_CHANNELS, generator=generator)
        peer_latents = latents.transpose(1, 2).to(options.device, options.dtype)

        def run_ours() -> Tensor:
            return decode_latents(ours, latents, Runtime(options.device, options.dtype))

        def run_peer() -> Tensor:
            waveform: Tensor = peer.decode(peer_latents).sample
            return waveform
    else:
        samples = frames * PUBLISHED.samples_per_frame
        waveforms = 0.3 * torch.randn(1, PUBLISHED.audio_channels, samples, generator=generator)
        peer_waveforms = waveforms.to(options.device, options.dtype)

        def run_ours() -> Tensor:
            return encode_waveforms(ours, waveforms, Runtime(options.device, options.dtype))

        def run_peer() -> Tensor:
            mean: Tensor = peer.encode(peer_waveforms).latent_dist.mode()
            return mean.transpose(1, 2)

    with PeakMemory(options.device) as peak:
        result = run_ours()
    expected = run_peer().to("cpu", torch.float32)
    relative_error = ((result - expected).norm() / expected.norm()).item()
    del result, expected
    seconds = interleaved_medians(
        {"ours": run_ours, "peer": run_peer}, repeats=options.repeats, device=options.device, warm_up=0
    )
    return Result(
        name="vae",
        case=options.case,
        ours_seconds=seconds["ours"],
        peer_seconds=seconds["peer"],
        ratio=seconds["ours"] / seconds["peer"],
        peak_memory_bytes=peak.bytes,
        setup_seconds=0.0,
        extra={"duration_seconds": DURATION_SECONDS, "relative_error": relative_error},
    )


def long_decode(options: Options) -> Result:
    ours = build_ours(options)
    generator = torch.Generator().manual_seed(1)
    latents = torch.randn(1, latent_frames(LONG_DURATION_SECONDS), LATENT_CHANNELS, generator=generator)
    with PeakMemory(options.device) as peak:
        seconds = timed(lambda: decode_latents(ours, latents, Runtime(options.device, options.dtype)), options.device)
    return Result(
        name="vae",
        case=options.case,
        ours_seconds=seconds,
        peer_seconds=None,
        ratio=peak.bytes / LONG_MEMORY_LIMIT_BYTES,
        peak_memory_bytes=peak.bytes,
        setup_seconds=0.0,
        extra={
            "duration_seconds": LONG_DURATION_SECONDS,
            "memory_limit_bytes": LONG_MEMORY_LIMIT_BYTES,
            "ratio_of": "peak_memory_bytes / memory_limit_bytes",
        },
    )


@torch.inference_mode()
def main() -> None:
    options = parse_options("vae", ("decode", "encode", "decode600"), repeats=3)
    result = long_decode(options) if options.case == "decode600" else against_peer(options)
    report(result, options, "diffusers")


if __name__ == "__main__":
    main()
