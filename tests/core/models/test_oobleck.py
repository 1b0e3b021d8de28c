"""The VAE against diffusers' AutoencoderOobleck on shared random weights, whole and in slices; its published keys."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from diffusers import AutoencoderOobleck
from networks import relative_error
from torch import Tensor, nn

from ace_core.models import oobleck
from ace_core.models.oobleck import Oobleck, OobleckConfig, decoder_context_frames, encoder_context_frames

KEYS = Path(__file__).parents[2] / "data" / "keys" / "vae_official.json"
PUBLISHED = OobleckConfig(
    audio_channels=2,
    latent_channels=64,
    encoder_channels=128,
    decoder_channels=128,
    channel_multiples=(1, 2, 4, 8, 16),
    strides=(2, 4, 4, 6, 10),
)
SMALL = OobleckConfig(
    audio_channels=2,
    latent_channels=8,
    encoder_channels=16,
    decoder_channels=12,
    channel_multiples=(1, 2, 3),
    strides=(2, 4, 6),
)
SMALL_SLICE_ELEMENTS = 1800  # between 9 and 75 frames a slice, depending on the block


def build_peer(seed: int) -> AutoencoderOobleck:
    torch.manual_seed(seed)
    peer = AutoencoderOobleck(
        encoder_hidden_size=SMALL.encoder_channels,
        downsampling_ratios=list(SMALL.strides),
        channel_multiples=list(SMALL.channel_multiples),
        decoder_channels=SMALL.decoder_channels,
        decoder_input_channels=SMALL.latent_channels,
        audio_channels=SMALL.audio_channels,
        sampling_rate=48_000,
    )
    for name, parameter in peer.named_parameters():
        if name.endswith((".alpha", ".beta")):
            nn.init.normal_(parameter, std=0.3)
        elif name.endswith("weight_g"):
            parameter.data.mul_(torch.rand_like(parameter) + 0.5)
    return peer.eval().requires_grad_(False)


def fused(weights: dict[str, Tensor]) -> dict[str, Tensor]:
    """Plain weights for (gain, direction) pairs: w = g v / ||v||, the norm over all but the first dimension."""
    plain = {}
    for name, tensor in weights.items():
        if name.endswith("weight_v"):
            gain = weights[name.removesuffix("v") + "g"]
            plain[name.removesuffix("_v")] = gain * tensor / tensor.flatten(1).norm(dim=1)[:, None, None]
        elif not name.endswith("weight_g"):
            plain[name] = tensor
    return plain


def build_ours(peer: AutoencoderOobleck) -> Oobleck:
    ours = Oobleck(SMALL, ops=nn, device="meta")
    ours.load_state_dict(fused(peer.state_dict()), assign=True)
    return ours.eval().requires_grad_(False)


def noise(*shape: int) -> Tensor:
    return torch.randn(shape, generator=torch.Generator().manual_seed(sum(shape)))


@pytest.fixture(params=[oobleck._SLICE_ELEMENTS, SMALL_SLICE_ELEMENTS], ids=["whole", "sliced"])
def slicing(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(oobleck, "_SLICE_ELEMENTS", request.param)


@pytest.mark.usefixtures("slicing")
@pytest.mark.parametrize(("seed", "frames"), [(0, 1), (1, 37), (2, 90)])
def test_decode_matches_diffusers(seed: int, frames: int) -> None:
    peer = build_peer(seed)
    latents = noise(1, frames, SMALL.latent_channels)
    waveform = build_ours(peer).decode(latents)
    assert waveform.shape == (1, 2, frames * SMALL.samples_per_frame)
    assert relative_error(waveform, peer.decode(latents.transpose(1, 2)).sample) <= 1e-4


@pytest.mark.usefixtures("slicing")
@pytest.mark.parametrize(("seed", "samples"), [(0, 48), (1, 37 * 48 + 1), (2, 90 * 48 + 47), (3, 24 * 48)])
def test_encode_matches_diffusers(seed: int, samples: int) -> None:
    peer = build_peer(seed)
    waveform = noise(1, 2, samples)
    posterior = build_ours(peer).encode_distribution(waveform)
    expected = peer.encode(waveform).latent_dist
    assert posterior.mean.shape == posterior.std.shape == (1, samples // 48, SMALL.latent_channels)
    assert relative_error(posterior.mean, expected.mean.transpose(1, 2)) <= 1e-4
    assert relative_error(posterior.std, expected.std.transpose(1, 2)) <= 1e-4
    assert torch.equal(build_ours(peer).encode(waveform), posterior.mean)


@pytest.mark.usefixtures("slicing")
def test_items_of_a_batch_do_not_touch_each_other_or_the_input() -> None:
    ours = build_ours(build_peer(0))
    latents, waveforms = noise(3, 29, SMALL.latent_channels), noise(3, 2, 29 * 48)
    latents_before, waveforms_before = latents.clone(), waveforms.clone()
    decoded, encoded = ours.decode(latents), ours.encode(waveforms)
    assert torch.equal(latents, latents_before)
    assert torch.equal(waveforms, waveforms_before)
    for item in range(3):
        assert relative_error(decoded[item : item + 1], ours.decode(latents[item : item + 1])) <= 1e-5
        assert relative_error(encoded[item : item + 1], ours.encode(waveforms[item : item + 1])) <= 1e-5


class CastingLayers:
    """Layers as a host passes them: weights keep their own dtype and are cast to the input's in `forward`."""

    class Conv1d(nn.Conv1d):
        def forward(self, x: Tensor) -> Tensor:
            return self._conv_forward(x, self.weight.to(x), None if self.bias is None else self.bias.to(x))

    class ConvTranspose1d(nn.ConvTranspose1d):
        def forward(self, x: Tensor) -> Tensor:  # type: ignore[override]
            weight, bias = self.weight.to(x), self.bias.to(x)
            return nn.functional.conv_transpose1d(x, weight, bias, self.stride, self.padding)


def test_weights_may_be_kept_in_another_dtype_than_the_input() -> None:
    weights = {name: tensor.bfloat16() for name, tensor in build_ours(build_peer(0)).state_dict().items()}
    kept = Oobleck(SMALL, ops=CastingLayers, dtype=torch.bfloat16, device="meta")
    kept.load_state_dict(weights, assign=True)
    plain = Oobleck(SMALL, ops=nn, device="meta")
    plain.load_state_dict({name: tensor.float() for name, tensor in weights.items()}, assign=True)
    latents, waveform = noise(1, 20, SMALL.latent_channels), noise(1, 2, 20 * 48)
    assert torch.equal(kept.decode(latents), plain.decode(latents))
    assert torch.equal(kept.encode(waveform), plain.encode(waveform))


def test_published_size_has_the_published_keys_and_shapes() -> None:
    published = {name: torch.empty(shape, device="meta") for name, shape in json.loads(KEYS.read_text()).items()}
    expected = {name: tensor.shape for name, tensor in fused(published).items()}
    ours = Oobleck(PUBLISHED, ops=nn, device="meta").state_dict()
    assert {name: tensor.shape for name, tensor in ours.items()} == expected


def test_reach_at_the_published_size() -> None:
    assert decoder_context_frames(PUBLISHED) == 9
    assert encoder_context_frames(PUBLISHED) == 7


def test_configs_that_would_lose_samples_are_refused() -> None:
    with pytest.raises(ValueError, match=r"even, got \(2, 3, 6\)"):
        replace(SMALL, strides=(2, 3, 6))
    with pytest.raises(ValueError, match="one channel multiple per stride"):
        replace(SMALL, strides=(2, 4))
