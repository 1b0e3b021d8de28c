from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from math import prod

import torch
from torch import Tensor, nn

from .ops import Ops

_DILATIONS = (1, 3, 9)
_UNIT_REACH = 3 * sum(_DILATIONS)
_SLICE_ELEMENTS = 1 << 20


@dataclass(frozen=True)
class OobleckConfig:
    audio_channels: int = 2
    latent_channels: int = 64
    encoder_channels: int = 128
    decoder_channels: int = 128
    channel_multiples: tuple[int, ...] = (1, 2, 4, 8, 16)
    strides: tuple[int, ...] = (2, 4, 4, 6, 10)

    @property
    def samples_per_frame(self) -> int:
        return prod(self.strides)


class Snake(nn.Module):
    def __init__(self, channels, *, dtype=None, device=None) -> None:
        super().__init__()
        self.alpha = nn.Parameter(torch.zeros(1, channels, 1, dtype=dtype, device=device))
        self.beta = nn.Parameter(torch.zeros(1, channels, 1, dtype=dtype, device=device))

    def forward(self, x: Tensor) -> Tensor:
        alpha = self.alpha.to(x).exp()
        scale = (self.beta.to(x).exp() + 1e-9).reciprocal()
        h = (x * alpha).sin_().square_()
        return h.mul_(scale).add_(x)


class ResUnit(nn.Module):
    def __init__(self, c, dilation, *, ops, dtype, device):
        super().__init__()
        self.snake1 = Snake(c, dtype=dtype, device=device)
        self.conv1 = ops.Conv1d(c, c, 7, dilation=dilation, padding=3 * dilation, dtype=dtype, device=device)
        self.snake2 = Snake(c, dtype=dtype, device=device)
        self.conv2 = ops.Conv1d(c, c, 1, dtype=dtype, device=device)

    def forward(self, x):
        return self.conv2(self.snake2(self.conv1(self.snake1(x)))).add_(x)


class DecoderBlock(nn.Module):
    def __init__(self, c, d, stride, *, ops, dtype, device):
        super().__init__()
        self.stride = stride
        self.snake1 = Snake(c, dtype=dtype, device=device)
        self.conv_t1 = ops.ConvTranspose1d(
            c, d, 2 * stride, stride=stride, padding=stride // 2, dtype=dtype, device=device
        )
        self.res_unit1 = ResUnit(d, 1, ops=ops, dtype=dtype, device=device)
        self.res_unit2 = ResUnit(d, 3, ops=ops, dtype=dtype, device=device)
        self.res_unit3 = ResUnit(d, 9, ops=ops, dtype=dtype, device=device)

    def forward(self, x):
        return self.res_unit3(self.res_unit2(self.res_unit1(self.conv_t1(self.snake1(x)))))


class Decoder(nn.Module):
    def __init__(self, config, *, ops, dtype, device):
        super().__init__()
        c = config.decoder_channels
        w = [c * m for m in (1, *config.channel_multiples)][::-1]
        kw = dict(dtype=dtype, device=device)
        self.conv1 = ops.Conv1d(config.latent_channels, w[0], 7, padding=3, **kw)
        self.block = nn.ModuleList(
            [DecoderBlock(w[i], w[i + 1], s, ops=ops, **kw) for i, s in enumerate(config.strides[::-1])]
        )
        self.snake1 = Snake(c, **kw)
        self.conv2 = ops.Conv1d(c, config.audio_channels, 7, padding=3, bias=False, **kw)

    def forward(self, x):
        x = self.conv1(x)
        for b in self.block[:-1]:
            x = in_slices(b, x, b.stride, _UNIT_REACH, b.res_unit1.conv1.out_channels)
        last = self.block[-1]
        return in_slices(
            lambda h: self.conv2(self.snake1(last(h))),
            x,
            last.stride,
            _UNIT_REACH + 3,
            last.res_unit1.conv1.out_channels,
            self.conv2.out_channels,
        )


def in_slices(f, x, stride, reach, channels, out_channels=None):
    B, C, T = x.shape
    n = max(1, _SLICE_ELEMENTS // (channels * stride))
    if n >= T:
        return f(x)
    context = -(-(reach + 2 * stride) // stride)
    out = x.new_empty(B, out_channels or channels, T * stride)
    for i in range(0, T, n):
        j = min(i + n, T)
        lo, hi = max(0, i - context), min(T, j + context)
        h = f(x[:, :, lo:hi])
        out[:, :, i * stride : j * stride] = h[:, :, (i - lo) * stride : (j - lo) * stride]
    return out


class Oobleck(nn.Module):
    def __init__(self, config, *, ops, dtype=None, device=None):
        super().__init__()
        self.decoder = Decoder(config, ops=ops, dtype=dtype, device=device)

    def decode(self, z):
        return self.decoder(z.transpose(1, 2))
