"""Oobleck, the autoencoder between 48 kHz stereo and the 25 Hz latents of the diffusion transformer.

Same network as diffusers' `AutoencoderOobleck` and the published `vae` folder, with the same parameter names;
weight norm is fused into `.weight` when the checkpoint is read. Latents are `[B, T, 64]`, without scale or shift.

Notable:

* On a CPU a block runs over its signal in slices that the allocator keeps and the cache mostly holds: with whole
  signals half of the time goes into page faults. Every slice is computed with the neighbouring samples it depends on,
  so the result is that of one pass. Other devices take the whole signal as one slice.
* The last decoder block runs together with the output layers, and the first encoder block with the input layer: no
  full-rate signal with 128 channels is ever stored for longer than a slice.

Traps:

* Snake parameters are logarithms. They are raw parameters, hence cast at use.
* The published encoder samples from its posterior; `encode` returns the mean, which is repeatable.
* Zero padding belongs to the two ends of the signal only. It stays right in a slice because a slice includes
  neighbours up to the reach of its layers, and outputs nearer to a cut than that are dropped.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from math import ceil, prod
from typing import NamedTuple, cast

import torch
import torch.nn.functional as functional
from torch import Tensor, nn

from .ops import Ops

_DILATIONS = (1, 3, 9)
_KERNEL_SIZE = 7
_KERNEL_REACH = _KERNEL_SIZE // 2
_UNITS_REACH = _KERNEL_REACH * sum(_DILATIONS)
_POSTERIOR_MIN_STD = 1e-4

# 8 MiB of fp32: measured best between 2 and 16 MiB on a CPU with 1 MiB of second-level cache per core.
_SLICE_ELEMENTS = 1 << 21


@dataclass(frozen=True)
class OobleckConfig:
    """Shapes of the network; `strides` are the encoder's, from the waveform inwards.

    `channel_multiples` scale `encoder_channels` and `decoder_channels` after each stride. Raises ValueError for
    odd strides (the published padding would drop samples) and for lists of different lengths.
    """

    audio_channels: int
    latent_channels: int
    encoder_channels: int
    decoder_channels: int
    channel_multiples: tuple[int, ...]
    strides: tuple[int, ...]

    def __post_init__(self) -> None:
        if any(stride % 2 for stride in self.strides):
            raise ValueError(f"Oobleck strides must be even, got {self.strides}")
        if len(self.channel_multiples) != len(self.strides):
            raise ValueError(
                f"Oobleck needs one channel multiple per stride, got {self.channel_multiples} for {self.strides}"
            )

    @property
    def samples_per_frame(self) -> int:
        return prod(self.strides)


class Posterior(NamedTuple):
    """Mean and standard deviation of the latents, each `[B, T, latent_channels]`."""

    mean: Tensor
    std: Tensor


def decoder_context_frames(config: OobleckConfig) -> int:
    """Latent frames on each side that one decoded frame depends on (9 at the published size)."""
    reach = _KERNEL_REACH
    for stride in config.strides:
        reach = _upsampling_context(stride, reach)
    return reach + _KERNEL_REACH


def encoder_context_frames(config: OobleckConfig) -> int:
    """Frames' worth of samples on each side that one encoded frame depends on (7 at the published size: 12165 samples).

    The frame's own samples are not counted.
    """
    reach = 1
    for stride in reversed(config.strides):
        reach = reach * stride + stride // 2 + _UNITS_REACH
    return ceil((reach + _KERNEL_REACH) / config.samples_per_frame)


class Snake(nn.Module):
    """x + sin(exp(alpha) x)^2 / exp(beta), per channel."""

    def __init__(self, channels: int, *, dtype: torch.dtype | None = None, device: torch.device | None = None) -> None:
        super().__init__()
        self.alpha = nn.Parameter(torch.zeros(1, channels, 1, dtype=dtype, device=device))
        self.beta = nn.Parameter(torch.zeros(1, channels, 1, dtype=dtype, device=device))

    def forward(self, x: Tensor) -> Tensor:
        frequency = self.alpha.to(x).exp()
        height = (self.beta.to(x).exp() + 1e-9).reciprocal()
        return torch.addcmul(x, (x * frequency).sin_().square_(), height)


class ResidualUnit(nn.Module):
    def __init__(
        self, channels: int, dilation: int, *, ops: Ops, dtype: torch.dtype | None, device: torch.device | None
    ) -> None:
        super().__init__()
        self.snake1 = Snake(channels, dtype=dtype, device=device)
        self.conv1 = ops.Conv1d(
            channels,
            channels,
            _KERNEL_SIZE,
            dilation=dilation,
            padding=_KERNEL_REACH * dilation,
            dtype=dtype,
            device=device,
        )
        self.snake2 = Snake(channels, dtype=dtype, device=device)
        self.conv2 = ops.Conv1d(channels, channels, 1, dtype=dtype, device=device)

    def forward(self, x: Tensor) -> Tensor:
        update: Tensor = self.conv2(self.snake2(self.conv1(self.snake1(x))))
        return update.add_(x)


class EncoderBlock(nn.Module):
    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        stride: int,
        *,
        ops: Ops,
        dtype: torch.dtype | None,
        device: torch.device | None,
    ) -> None:
        super().__init__()
        self.stride = stride
        self.out_channels = out_channels
        self.elements_per_frame = in_channels * stride
        self.res_unit1 = ResidualUnit(in_channels, _DILATIONS[0], ops=ops, dtype=dtype, device=device)
        self.res_unit2 = ResidualUnit(in_channels, _DILATIONS[1], ops=ops, dtype=dtype, device=device)
        self.res_unit3 = ResidualUnit(in_channels, _DILATIONS[2], ops=ops, dtype=dtype, device=device)
        self.snake1 = Snake(in_channels, dtype=dtype, device=device)
        self.conv1 = ops.Conv1d(
            in_channels, out_channels, 2 * stride, stride=stride, padding=stride // 2, dtype=dtype, device=device
        )

    def forward(self, x: Tensor) -> Tensor:
        x = self.res_unit1(x)
        x = self.res_unit2(x)
        x = self.res_unit3(x)
        downsampled: Tensor = self.conv1(self.snake1(x))
        return downsampled


class DecoderBlock(nn.Module):
    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        stride: int,
        *,
        ops: Ops,
        dtype: torch.dtype | None,
        device: torch.device | None,
    ) -> None:
        super().__init__()
        self.stride = stride
        self.out_channels = out_channels
        self.elements_per_frame = out_channels * stride
        self.snake1 = Snake(in_channels, dtype=dtype, device=device)
        self.conv_t1 = ops.ConvTranspose1d(
            in_channels, out_channels, 2 * stride, stride=stride, padding=stride // 2, dtype=dtype, device=device
        )
        self.res_unit1 = ResidualUnit(out_channels, _DILATIONS[0], ops=ops, dtype=dtype, device=device)
        self.res_unit2 = ResidualUnit(out_channels, _DILATIONS[1], ops=ops, dtype=dtype, device=device)
        self.res_unit3 = ResidualUnit(out_channels, _DILATIONS[2], ops=ops, dtype=dtype, device=device)

    def forward(self, x: Tensor) -> Tensor:
        x = self.conv_t1(self.snake1(x))
        x = self.res_unit1(x)
        x = self.res_unit2(x)
        x = self.res_unit3(x)
        return x


class Encoder(nn.Module):
    def __init__(
        self, config: OobleckConfig, *, ops: Ops, dtype: torch.dtype | None, device: torch.device | None
    ) -> None:
        super().__init__()
        widths = [config.encoder_channels * multiple for multiple in (1, *config.channel_multiples)]
        self.conv1 = ops.Conv1d(
            config.audio_channels, widths[0], _KERNEL_SIZE, padding=_KERNEL_REACH, dtype=dtype, device=device
        )
        self.block = nn.ModuleList(
            EncoderBlock(widths[index], widths[index + 1], stride, ops=ops, dtype=dtype, device=device)
            for index, stride in enumerate(config.strides)
        )
        self.snake1 = Snake(widths[-1], dtype=dtype, device=device)
        self.conv2 = ops.Conv1d(widths[-1], 2 * config.latent_channels, 3, padding=1, dtype=dtype, device=device)

    def forward(self, waveform: Tensor) -> Tensor:
        """[B, audio_channels, N] -> [B, 2 * latent_channels, N // samples_per_frame]"""
        first, *rest = cast("Iterable[EncoderBlock]", self.block)
        x = _in_slices(lambda piece: first(self.conv1(piece)), waveform, _downsampling(first, reach=_KERNEL_REACH))
        for block in rest:
            x = _in_slices(block, x, _downsampling(block, reach=0))
        moments: Tensor = self.conv2(self.snake1(x))
        return moments


class Decoder(nn.Module):
    def __init__(
        self, config: OobleckConfig, *, ops: Ops, dtype: torch.dtype | None, device: torch.device | None
    ) -> None:
        super().__init__()
        widths = [config.decoder_channels * multiple for multiple in (*reversed(config.channel_multiples), 1)]
        self.conv1 = ops.Conv1d(
            config.latent_channels, widths[0], _KERNEL_SIZE, padding=_KERNEL_REACH, dtype=dtype, device=device
        )
        self.block = nn.ModuleList(
            DecoderBlock(widths[index], widths[index + 1], stride, ops=ops, dtype=dtype, device=device)
            for index, stride in enumerate(reversed(config.strides))
        )
        self.snake1 = Snake(widths[-1], dtype=dtype, device=device)
        self.conv2 = ops.Conv1d(
            widths[-1],
            config.audio_channels,
            _KERNEL_SIZE,
            padding=_KERNEL_REACH,
            bias=False,
            dtype=dtype,
            device=device,
        )

    def forward(self, latents: Tensor) -> Tensor:
        """[B, latent_channels, T] -> [B, audio_channels, T * samples_per_frame]"""
        *rest, last = cast("Iterable[DecoderBlock]", self.block)
        x: Tensor = self.conv1(latents)
        for block in rest:
            x = _in_slices(block, x, _upsampling(block, reach=0, out_channels=block.out_channels))
        output = _upsampling(last, reach=_KERNEL_REACH, out_channels=self.conv2.out_channels)
        return _in_slices(lambda piece: self.conv2(self.snake1(last(piece))), x, output)


class Oobleck(nn.Module):
    """The autoencoder. Layers come from `ops`; parameters are created in `dtype` on `device`."""

    def __init__(
        self,
        config: OobleckConfig,
        *,
        ops: Ops,
        dtype: torch.dtype | None = None,
        device: torch.device | None = None,
    ) -> None:
        super().__init__()
        self.config = config
        self.encoder = Encoder(config, ops=ops, dtype=dtype, device=device)
        self.decoder = Decoder(config, ops=ops, dtype=dtype, device=device)

    def decode(self, latents: Tensor) -> Tensor:
        """`latents` [B, T, latent_channels] -> waveform [B, audio_channels, T * samples_per_frame], not clipped."""
        waveform: Tensor = self.decoder(latents.transpose(1, 2))
        return waveform

    def encode_distribution(self, waveform: Tensor) -> Posterior:
        """`waveform` [B, audio_channels, N] -> posterior of N // samples_per_frame latent frames."""
        mean, scale = self.encoder(waveform).transpose(1, 2).chunk(2, dim=-1)
        return Posterior(mean, functional.softplus(scale) + _POSTERIOR_MIN_STD)

    def encode(self, waveform: Tensor) -> Tensor:
        """`waveform` [B, audio_channels, N] -> posterior mean [B, N // samples_per_frame, latent_channels]."""
        return self.encode_distribution(waveform).mean


class _Slicing(NamedTuple):
    """How a block relates to time; a frame is its sample on the low-rate side.

    A frame is `input_step` samples of the input and `output_step` of the output, and depends on `context_frames` more
    frames on each side. `slice_frames` is what a CPU computes at a time.
    """

    slice_frames: int
    context_frames: int
    input_step: int
    output_step: int
    out_channels: int


def _upsampling_context(stride: int, reach: int) -> int:
    """Input frames on each side that a frame of a decoder block depends on, read `reach` samples further."""
    return (_UNITS_REACH + reach + stride + stride // 2 - 1) // stride


def _upsampling(block: DecoderBlock, *, reach: int, out_channels: int) -> _Slicing:
    slice_frames = max(1, _SLICE_ELEMENTS // block.elements_per_frame)
    return _Slicing(slice_frames, _upsampling_context(block.stride, reach), 1, block.stride, out_channels)


def _downsampling(block: EncoderBlock, *, reach: int) -> _Slicing:
    slice_frames = max(1, _SLICE_ELEMENTS // block.elements_per_frame)
    context_frames = ceil((_UNITS_REACH + reach + block.stride // 2) / block.stride)
    return _Slicing(slice_frames, context_frames, block.stride, 1, block.out_channels)


def _in_slices(layers: Callable[[Tensor], Tensor], x: Tensor, slicing: _Slicing) -> Tensor:
    """`layers(x)` of [B, C, N], on a CPU computed slice by slice."""
    slice_frames, context_frames, input_step, output_step, out_channels = slicing
    frames = x.shape[-1] // input_step
    if x.device.type != "cpu" or slice_frames >= frames:
        return layers(x)
    result = x.new_empty(x.shape[0], out_channels, frames * output_step)
    for start in range(0, frames, slice_frames):
        stop = min(start + slice_frames, frames)
        first = max(0, start - context_frames)
        last = stop + context_frames
        # the last slice also reads the samples that follow the last whole frame
        piece = layers(x[:, :, first * input_step : last * input_step if last < frames else None])
        kept = slice((start - first) * output_step, (stop - first) * output_step)
        result[:, :, start * output_step : stop * output_step] = piece[:, :, kept]
    return result
