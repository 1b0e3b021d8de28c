"""The VAE of the music box: an exact Oobleck whose weights are calculated, not trained.

Decoder: latents trigger pieces of waveform. Every layer but the first, the one of stride 10 and the last passes samples
on: residual units add nothing, snakes are the identity within 2e-12 x^2, and strides 4, 4, 6 only move channels to
time. The last stride doubles the rate from 24 to 48 kHz. Encoder: the same shuffles back, and for each channel the
waveform that answers 1 to the channel's own sound and 0 to all others at all shifts (biorthogonal duals, with a ridge
that keeps foreign audio bounded).

Traps:
- A residual unit that does nothing has `weight_g` 0 but a `weight_v` that is not: weight norm divides by its length.
- A dual is three frames long. Its third frame is read through the neighbouring tap, so that at the edges of a song zero
  padding is never read where samples were.
- Sound that starts between two frames is not in this world: a shift of one frame costs 20 dB.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn

from ..checkpoints.loading import fuse_weight_norm
from ..models.oobleck import Oobleck, OobleckConfig
from .sounds import CHANNELS, DICE, FRAME, one_shot_sounds, sustained_sounds

_STRIDES = (2, 4, 4, 6, 10)
_WIDTH = 2
_MULTIPLES = (1, 4, 16, 96, 72)
CODEC_CONFIG = OobleckConfig(
    audio_channels=2,
    latent_channels=CHANNELS,
    encoder_channels=_WIDTH,
    decoder_channels=_WIDTH,
    channel_multiples=_MULTIPLES,
    strides=_STRIDES,
)
POSTERIOR_STD = -7.0  # of every latent, as the network stores it: about 0.001

_WIDTHS = tuple(_WIDTH * multiple for multiple in (1, *_MULTIPLES))
_STEP = FRAME // _STRIDES[-1]  # 24 kHz samples of a step of the widest layer
_UNITS = _WIDTHS[-1]
_RIDGE = 1e-3
_LOUD, _STRAIGHT = -8.0, 11.0  # of a snake that does nothing


def codec_weights() -> dict[str, Tensor]:
    """Every tensor of the published `vae` layout, fp32; takes some seconds."""
    weights = _Weights()
    _passing_layers(weights)
    _decoder(weights)
    weights.convolution("encoder.block.4.conv1", torch.zeros(_UNITS, _WIDTHS[4], 2 * _STRIDES[-1]))
    weights.convolution("encoder.conv2", torch.zeros(2 * CHANNELS, _UNITS, 3))
    _encoder(weights, _heard_sounds(weights.tensors))
    return weights.tensors


class _Weights:
    """Tensors under their published names."""

    def __init__(self) -> None:
        self.tensors: dict[str, Tensor] = {}

    def convolution(self, name: str, kernel: Tensor, bias: Tensor | None = None) -> None:
        """A weight-normed convolution [out, in, taps] (transposed: [in, out, taps]) as direction and length."""
        rows = kernel.flatten(1)
        length = rows.norm(dim=1)
        direction = rows.clone()
        direction[length == 0, 0] = 1
        direction /= direction.norm(dim=1, keepdim=True)
        self.tensors[f"{name}.weight_v"] = direction.view_as(kernel)
        self.tensors[f"{name}.weight_g"] = length.view(-1, 1, 1)
        if name == "decoder.conv2":
            return
        outputs = kernel.shape[1] if "conv_t1" in name else kernel.shape[0]
        self.tensors[f"{name}.bias"] = torch.zeros(outputs) if bias is None else bias

    def snake(self, name: str, channels: int) -> None:
        self.tensors[f"{name}.alpha"] = torch.full((1, channels, 1), _LOUD)
        self.tensors[f"{name}.beta"] = torch.full((1, channels, 1), _STRAIGHT)

    def block(self, name: str, channels: int, snake_channels: int) -> None:
        """What a block has beside its stride: three residual units and a snake."""
        for unit in (1, 2, 3):
            for half, taps in ((1, 7), (2, 1)):
                self.snake(f"{name}.res_unit{unit}.snake{half}", channels)
                self.convolution(f"{name}.res_unit{unit}.conv{half}", torch.zeros(channels, channels, taps))
        self.snake(f"{name}.snake1", snake_channels)


def _passing_layers(weights: _Weights) -> None:
    """All that only moves samples: both ends at 48 kHz and the strides 2, 4, 4 and 6."""
    four, seven = _half_band()
    ends = torch.zeros(2, 2, 7)
    ends[0, 0] = ends[1, 1] = seven
    weights.convolution("encoder.conv1", ends)
    weights.convolution("decoder.conv2", ends)
    weights.snake("encoder.snake1", _UNITS)
    weights.snake("decoder.snake1", _WIDTH)
    halving = torch.zeros(2, 2, 4)
    halving[0, 0] = halving[1, 1] = four
    for index, stride in enumerate(_STRIDES):
        back = len(_STRIDES) - 1 - index
        weights.block(f"encoder.block.{index}", _WIDTHS[index], _WIDTHS[index])
        weights.block(f"decoder.block.{back}", _WIDTHS[index], _WIDTHS[index + 1])
        if stride == _STRIDES[0]:
            weights.convolution("encoder.block.0.conv1", halving / 4)
            weights.convolution(f"decoder.block.{back}.conv_t1", halving)
        elif stride != _STRIDES[-1]:
            weights.convolution(f"encoder.block.{index}.conv1", _shuffle(_WIDTHS[index], stride))
            weights.convolution(f"decoder.block.{back}.conv_t1", _shuffle(_WIDTHS[index], stride))


def _shuffle(channels: int, stride: int) -> Tensor:
    """[channels * stride, channels, 2 * stride]: sample j of a step is the j-th set of channels."""
    kernel = torch.zeros(channels * stride, channels, 2 * stride)
    for sample in range(stride):
        for channel in range(channels):
            kernel[sample * channels + channel, channel, stride // 2 + sample] = 1
    return kernel


def _half_band() -> tuple[Tensor, Tensor]:
    """Filters of 4 and 7 taps that together pass what is below 9 kHz of 48, by weighted least squares."""
    four = torch.tensor([0.25, 0.75, 0.75, 0.25], dtype=torch.float64)
    turns = torch.linspace(0, math.pi, 400, dtype=torch.float64)
    shapes = torch.tensor(
        [[0, 0, 0, 1, 0, 0, 0], [0, 0, 1, 0, 1, 0, 0], [0, 1, 0, 0, 0, 1, 0], [1, 0, 0, 0, 0, 0, 1]],
        dtype=torch.float64,
    )

    def response(taps: Tensor) -> Tensor:
        delays = torch.arange(len(taps)) - (len(taps) - 1) / 2
        return (taps * torch.cos(turns[:, None] * delays)).sum(1)

    wanted = torch.where(turns < 0.42 * math.pi, 2.0, 0.0).double()
    weight = torch.where(turns < 0.40 * math.pi, 6.0, torch.where(turns > 0.62 * math.pi, 1.0, 0.0)).double()
    responses = torch.stack([response(four) * response(shape) for shape in shapes], dim=1)
    parts = torch.linalg.lstsq(responses * weight[:, None], (wanted * weight)[:, None]).solution
    return four.float(), (parts * shapes).sum(0).float()


def _piece(sound: Tensor) -> Tensor:
    """Two frames [2, 1920] as the kernel of a unit: 192 channels of samples and sides, 20 steps."""
    return sound.view(2, 20, _STEP).permute(2, 0, 1).reshape(2 * _STEP, 20)


def _decoder(weights: _Weights) -> None:
    """Each unit sounds one piece of two frames; a one-shot sound takes three, started 0, 2 and 3 frames later."""
    first = torch.zeros(_UNITS, CHANNELS, 7)
    bank = torch.zeros(_UNITS, _WIDTHS[4], 20)
    unit = 0
    for channel, sound in one_shot_sounds().items():
        whole = torch.zeros(2, 6 * FRAME)  # from half a frame before the onset on
        whole[:, FRAME // 2 : FRAME // 2 + sound.shape[1]] = sound
        for delay, start, end in ((0, 0, 2), (2, 2, 4), (3, 4, 5)):
            piece = torch.zeros(2, 2 * FRAME)
            place = (start - delay) * FRAME
            piece[:, place : place + (end - start) * FRAME] = whole[:, start * FRAME : end * FRAME]
            bank[unit] = _piece(piece)
            first[unit, channel, 3 - delay] = 1
            unit += 1
    for channel, sound in sustained_sounds().items():
        bank[unit] = _piece(sound)
        first[unit, channel, 3] = 1
        unit += 1
    weights.convolution("decoder.conv1", first)
    weights.convolution("decoder.block.0.conv_t1", bank)


def _heard_sounds(tensors: dict[str, Tensor]) -> Tensor:
    """Each channel's sound [64, 2, 17 frames] as it reaches the encoder's widest stride, its onset in frame 8."""
    vae = Oobleck(CODEC_CONFIG, ops=nn)
    fused = {}
    for name, tensor in tensors.items():
        stem, _, part = name.rpartition("_")
        if part == "v":
            fused[stem] = fuse_weight_norm(tensor, tensors[f"{stem}_g"])
        elif part != "g":
            fused[name] = tensor
    vae.load_state_dict(fused)
    vae.requires_grad_(False)
    latents = torch.zeros(CHANNELS, 17, CHANNELS)
    latents[torch.arange(CHANNELS), 8, torch.arange(CHANNELS)] = 1
    heard: list[Tensor] = []
    widest = vae.get_submodule("encoder.block.4.conv1")
    hook = widest.register_forward_pre_hook(lambda _, inputs: heard.append(inputs[0]))
    for channel in range(CHANNELS):
        vae.encode(vae.decode(latents[channel : channel + 1]))
    hook.remove()
    return torch.cat(heard).transpose(1, 2).reshape(CHANNELS, -1, 2).transpose(1, 2)


def _encoder(weights: _Weights, heard: Tensor) -> None:
    """The duals: each [2, 3 frames], answering 1 to its own sound and 0 to every other that reaches its window."""
    span, start = 3 * FRAME, 8 * FRAME - FRAME // 2
    sounds: list[Tensor] = []
    own: list[tuple[int, int]] = []
    for shift in range(-7, 4):
        place = start - shift * FRAME
        segments = heard[:, :, place : place + span].reshape(CHANNELS, -1).double()
        for channel in range(CHANNELS):
            if segments[channel].norm() > 1e-6:
                if shift == 0:
                    own.append((channel, len(sounds)))
                sounds.append(segments[channel])
    matrix = torch.stack(sounds)
    gram = matrix @ matrix.T
    ridge = _RIDGE * gram.diagonal().mean() * torch.eye(len(gram), dtype=gram.dtype)
    duals = torch.linalg.solve(gram + ridge, matrix)[[index for _, index in own]].float()
    bank = torch.zeros(_UNITS, _WIDTHS[4], 20)
    collect = torch.zeros(2 * CHANNELS, _UNITS, 3)
    for (channel, _), dual in zip(own, duals.view(-1, 2, 3, FRAME), strict=True):
        later = torch.stack((torch.zeros(2, FRAME), dual[:, 2]), dim=1)
        for half, (piece, tap) in enumerate(((dual[:, :2], 1), (later, 2))):
            unit = 2 * channel + half
            bank[unit] = _piece(piece.reshape(2, 2 * FRAME))
            collect[channel, unit, tap] = 1
    assert DICE not in dict(own)
    weights.convolution("encoder.block.4.conv1", bank)
    spread = torch.cat((torch.zeros(CHANNELS), torch.full((CHANNELS,), POSTERIOR_STD)))
    weights.convolution("encoder.conv2", collect, spread)
