"""The loss over the steps as a picture, float [height, width, 3] from 0 to 1,.

Every step is a faint dot; the line is a moving average, because the loss of a step depends mostly on the noise level
that was drawn. The scale leaves out the highest hundredth of the losses. Numbers stand at the axes: loss above and
below, steps at the right end.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager

import numpy as np
import torch
from PIL import Image, ImageDraw, ImageFont
from torch import Tensor

_BACKGROUND = (0.08, 0.08, 0.10)
_AXIS = (0.35, 0.37, 0.40)
_TEXT = (0.75, 0.77, 0.80)
_DOT = (0.28, 0.42, 0.50)
_LINE = (0.98, 0.58, 0.20)
_LEFT, _RIGHT, _TOP, _BOTTOM = 56, 12, 12, 28
_FONT_SIZE = 14
_LINE_WIDTH = 2


def loss_picture(losses: Sequence[float], width: int = 768, height: int = 384) -> Tensor:
    """The curve of `losses`, one a step, at least one."""
    picture = torch.tensor(_BACKGROUND).repeat(height, width, 1)
    values = torch.tensor(losses, dtype=torch.float32)
    smooth = smoothed(values)
    highest = float(values.quantile(0.99).maximum(smooth.max()))
    lowest = float(values.min())
    if highest - lowest < 1e-6 * max(abs(highest), 1e-30):
        lowest, highest = lowest - 0.5 * abs(lowest) - 1e-12, highest + 0.5 * abs(highest) + 1e-12
    right, bottom = width - _RIGHT - 1, height - _BOTTOM - 1
    columns = torch.linspace(_LEFT, right, len(values)).round().long()

    def rows(levels: Tensor) -> Tensor:
        share = ((highest - levels) / (highest - lowest)).clamp(0, 1)
        return (_TOP + share * (bottom - _TOP)).round().long()

    def points(levels: Tensor, shown: Tensor) -> list[tuple[int, int]]:
        return [*zip(columns[shown].tolist(), rows(levels[shown]).tolist(), strict=True)]

    every = torch.arange(len(values))
    some = torch.linspace(0, len(values) - 1, min(len(values), width)).round().long()
    font = ImageFont.load_default(_FONT_SIZE)
    with _painted(picture, _AXIS) as draw:
        draw.line([(_LEFT - 1, _TOP), (_LEFT - 1, bottom + 1), (right, bottom + 1)], fill=1)
    with _painted(picture, _DOT) as draw:
        draw.point(points(values, every), fill=1)
    with _painted(picture, _LINE) as draw:
        line = points(smooth, some)
        draw.line(line if len(line) > 1 else line * 2, fill=1, width=_LINE_WIDTH)
    with _painted(picture, _TEXT) as draw:
        draw.text((_LEFT - 6, _TOP), f"{highest:.3g}", 1, font, anchor="rt")
        draw.text((_LEFT - 6, bottom), f"{lowest:.3g}", 1, font, anchor="rb")
        draw.text((_LEFT, bottom + 8), "1", 1, font, anchor="lt")
        draw.text((right, bottom + 8), str(len(values)), 1, font, anchor="rt")
    return picture


@contextmanager
def _painted(picture: Tensor, colour: tuple[float, float, float]) -> Iterator[ImageDraw.ImageDraw]:
    """Something to draw with; what is drawn gets this colour in the picture."""
    height, width, _ = picture.shape
    mask = Image.new("1", (width, height))
    yield ImageDraw.Draw(mask)
    picture[torch.from_numpy(np.array(mask))] = torch.tensor(colour)


def smoothed(values: Tensor) -> Tensor:
    """Moving average of a twentieth of the values before each, fewer at the beginning."""
    window = max(len(values) // 20, 1)
    sums = torch.cat((torch.zeros(1, dtype=torch.float64), values.double().cumsum(0)))
    ends = torch.arange(1, len(values) + 1)
    starts = (ends - window).clamp(min=0)
    return ((sums[ends] - sums[starts]) / (ends - starts)).float()
