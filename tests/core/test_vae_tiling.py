"""Tiles of the VAE: equal to the untiled result, any length, any tile, and smaller ones when memory runs out."""

from __future__ import annotations

import pytest
import torch
from networks import random_weights, relative_error
from torch import Tensor, nn

from ace_core.models.oobleck import Oobleck, OobleckConfig, decoder_context_frames, encoder_context_frames
from ace_core.vae import choose_tile_frames, decode, decode_memory_bytes, encode

CPU = torch.device("cpu")
CONFIG = OobleckConfig(
    audio_channels=2,
    latent_channels=8,
    encoder_channels=4,
    decoder_channels=4,
    channel_multiples=(1, 2, 2),
    strides=(2, 4, 6),
)


@pytest.fixture(scope="module")
def vae() -> Oobleck:
    """Weights small enough that fp32 rounding is not amplified from layer to layer."""
    network = random_weights(Oobleck(CONFIG, ops=nn, device="meta"), 0)
    for parameter in network.parameters():
        parameter.mul_(0.3)
    return network


def noise(*shape: int) -> Tensor:
    return torch.randn(shape, generator=torch.Generator().manual_seed(sum(shape)))


@pytest.mark.parametrize(("frames", "tile"), [(200, 64), (131, 33), (40, 512), (97, 96)])
@torch.inference_mode()
def test_tiled_decode_equals_untiled(vae: Oobleck, frames: int, tile: int) -> None:
    latents = noise(2, frames, 8)
    tiled = decode(vae, latents, device=CPU, dtype=torch.float32, tile_frames=tile)
    assert tiled.shape == (2, 2, frames * 48)
    assert relative_error(tiled, vae.decode(latents)) <= 1e-5


@pytest.mark.parametrize(("samples", "tile"), [(200 * 48, 64), (131 * 48 + 47, 33), (40 * 48 + 1, 512)])
@torch.inference_mode()
def test_tiled_encode_equals_untiled(vae: Oobleck, samples: int, tile: int) -> None:
    waveforms = noise(2, 2, samples)
    tiled = encode(vae, waveforms, device=CPU, dtype=torch.float32, tile_frames=tile)
    assert tiled.shape == (2, samples // 48, 8)
    assert relative_error(tiled, vae.encode(waveforms)) <= 1e-5


@torch.inference_mode()
def test_context_is_exactly_what_the_network_reaches() -> None:
    """A change just inside the stated reach changes the middle frame; one just outside does not."""
    vae = random_weights(Oobleck(CONFIG, ops=nn, device="meta"), 0)
    for context, run, length in (
        (decoder_context_frames(CONFIG), lambda x: vae.decode(x)[:, :, 50 * 48 : 51 * 48], 1),
        (encoder_context_frames(CONFIG), lambda x: vae.encode(x.transpose(1, 2))[:, 50], 48),
    ):
        x = noise(1, 101 * length, 8 if length == 1 else 2)
        before = run(x)
        for distance, reaches in ((context + 1, False), (context, True)):
            changed = x.clone()
            changed[:, (50 - distance) * length : (51 - distance) * length] += 100
            assert bool((run(changed) != before).any()) is reaches


@torch.inference_mode()
def test_out_of_memory_halves_the_tile_and_then_says_what_to_do(vae: Oobleck) -> None:
    class OutOfMemoryError(RuntimeError):
        pass

    limit = 70
    sizes: list[int] = []

    class Cramped:
        config = CONFIG

        def decode(self, latents: Tensor) -> Tensor:
            sizes.append(latents.shape[1])
            if latents.shape[1] > limit:
                raise OutOfMemoryError
            return vae.decode(latents)

    latents = noise(1, 200, 8)
    keywords = {"device": CPU, "dtype": torch.float32, "tile_frames": 128, "out_of_memory": OutOfMemoryError}
    result = decode(Cramped(), latents, **keywords)
    assert max(sizes) > limit >= sizes[-1]
    assert relative_error(result, vae.decode(latents)) <= 1e-5

    limit = 3
    with pytest.raises(MemoryError, match="--cpu-vae"):
        decode(Cramped(), latents, **keywords)


@torch.inference_mode()
def test_progress_counts_frames_and_its_exception_ends_the_work(vae: Oobleck) -> None:
    seen: list[tuple[int, int]] = []
    latents = noise(2, 100, 8)
    decode(vae, latents, device=CPU, dtype=torch.float32, tile_frames=64, on_progress=lambda *at: seen.append(at))
    assert seen == [(64, 200), (100, 200), (164, 200), (200, 200)]

    def cancel(done: int, total: int) -> None:
        raise InterruptedError

    with pytest.raises(InterruptedError):
        decode(vae, latents, device=CPU, dtype=torch.float32, tile_frames=64, on_progress=cancel)


def test_tile_choice_follows_the_free_memory() -> None:
    choices = [choose_tile_frames(CONFIG, free, torch.float32) for free in (0, 10**6, 2 * 10**6, 10**9)]
    assert choices[0] == 32
    assert choices[-1] == 512
    assert choices == sorted(choices)
    for free, tile in zip((10**6, 2 * 10**6, 10**9), choices[1:], strict=True):
        assert tile == 32 or decode_memory_bytes(CONFIG, tile, torch.float32) <= free


@torch.inference_mode()
def test_audio_shorter_than_a_frame_is_refused(vae: Oobleck) -> None:
    with pytest.raises(ValueError, match="got 47"):
        encode(vae, torch.zeros(1, 2, 47), device=CPU, dtype=torch.float32)
