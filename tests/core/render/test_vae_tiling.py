"""Tiles of the VAE: equal to the untiled result, any length, any tile, and smaller ones when memory runs out."""

from __future__ import annotations

import weakref
from typing import Any

import pytest
import torch
from networks import random_weights, relative_error
from torch import Tensor, nn
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves

from ace_core.models import oobleck
from ace_core.models.oobleck import Oobleck, OobleckConfig, decoder_context_frames, encoder_context_frames
from ace_core.render.vae import choose_tile_frames, decode_latents, decode_memory_bytes, encode_waveforms
from ace_core.runtime import Runtime

CPU = Runtime()
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


@pytest.mark.parametrize(("frames", "tile"), [(200, 64), (131, 33), (40, 512), (97, 96), (70, None)])
@torch.inference_mode()
def test_tiled_decode_equals_untiled(vae: Oobleck, frames: int, tile: int | None) -> None:
    latents = noise(2, frames, 8)
    tiled = decode_latents(vae, latents, CPU, tile_frames=tile)
    assert tiled.shape == (2, 2, frames * 48)
    assert relative_error(tiled, vae.decode(latents)) <= 1e-5


@pytest.mark.parametrize(("samples", "tile"), [(200 * 48, 64), (131 * 48 + 47, 33), (40 * 48 + 1, 512)])
@torch.inference_mode()
def test_tiled_encode_equals_untiled(vae: Oobleck, samples: int, tile: int) -> None:
    waveforms = noise(2, 2, samples)
    tiled = encode_waveforms(vae, waveforms, CPU, tile_frames=tile)
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
    keywords = {"runtime": CPU, "tile_frames": 128, "out_of_memory": OutOfMemoryError}
    result = decode_latents(Cramped(), latents, **keywords)
    assert max(sizes) > limit >= sizes[-1]
    assert relative_error(result, vae.decode(latents)) <= 1e-5

    limit = 3
    with pytest.raises(MemoryError, match="--cpu-vae"):
        decode_latents(Cramped(), latents, **keywords)


@torch.inference_mode()
def test_progress_counts_frames_and_its_exception_ends_the_work(vae: Oobleck) -> None:
    seen: list[tuple[int, int]] = []
    latents = noise(2, 100, 8)
    decode_latents(vae, latents, CPU, tile_frames=64, on_progress=lambda *at: seen.append(at))
    assert seen == [(64, 200), (100, 200), (164, 200), (200, 200)]

    def cancel(done: int, total: int) -> None:
        raise InterruptedError

    with pytest.raises(InterruptedError):
        decode_latents(vae, latents, CPU, tile_frames=64, on_progress=cancel)


def test_tile_choice_follows_the_free_memory() -> None:
    choices = [choose_tile_frames(CONFIG, free, torch.float32) for free in (0, 10**6, 2 * 10**6, 10**9)]
    assert choices[0] == 32
    assert choices[-1] == 512
    assert choices == sorted(choices)
    for free, tile in zip((10**6, 2 * 10**6, 10**9), choices[1:], strict=True):
        assert tile == 32 or decode_memory_bytes(CONFIG, tile, torch.float32) <= free


class LiveBytes(TorchDispatchMode):
    """Counts the bytes of the storages that operators have returned and that are still alive."""

    def __init__(self) -> None:
        super().__init__()
        self.users: dict[int, int] = {}
        self.now = self.peak = 0

    def __torch_dispatch__(self, function: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        result = function(*args, **(kwargs or {}))
        for tensor in tree_leaves(result):
            if isinstance(tensor, Tensor):
                storage = tensor.untyped_storage()
                self._count(storage.data_ptr(), storage.nbytes(), 1)
                weakref.finalize(tensor, self._count, storage.data_ptr(), storage.nbytes(), -1)
        return result

    def _count(self, address: int, size: int, users: int) -> None:
        before = self.users.pop(address, 0)
        if before + users:
            self.users[address] = before + users
        self.now += size * (bool(before + users) - bool(before))
        self.peak = max(self.peak, self.now)


@torch.no_grad()
def test_memory_estimate_covers_a_tile_in_one_piece(vae: Oobleck, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(oobleck, "_SLICE_ELEMENTS", 1 << 40)
    estimate = decode_memory_bytes(CONFIG, 200, torch.float32)
    latents = noise(1, 200 + 2 * decoder_context_frames(CONFIG), 8)
    with LiveBytes() as live:
        vae.decode(latents)
    assert live.peak <= estimate <= 1.5 * live.peak


def test_no_graph_is_kept_where_gradients_are_on() -> None:
    vae = Oobleck(CONFIG, ops=nn)
    latents = encode_waveforms(vae, noise(1, 2, 480), CPU)
    waveform = decode_latents(vae, latents, CPU)
    assert not latents.requires_grad
    assert not waveform.requires_grad


def test_inputs_that_cannot_be_right_are_refused(vae: Oobleck) -> None:
    keywords: dict[str, Any] = {"runtime": CPU}
    with pytest.raises(ValueError, match="got 47"):
        encode_waveforms(vae, torch.zeros(1, 2, 47), **keywords)
    with pytest.raises(ValueError, match=r"\[batch, 2, samples\], got \[1, 1, 480\]"):
        encode_waveforms(vae, torch.zeros(1, 1, 480), **keywords)
    with pytest.raises(ValueError, match=r"\[batch, frames, 8\], got \[1, 8, 100\]"):
        decode_latents(vae, torch.zeros(1, 8, 100), **keywords)
    with pytest.raises(ValueError, match="at least 1 latent frame, got 0"):
        decode_latents(vae, torch.zeros(1, 100, 8), tile_frames=0, **keywords)
