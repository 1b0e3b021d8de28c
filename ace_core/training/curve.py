"""The loss over the steps as a picture, float [height, width, 3] from 0 to 1, drawn without any library.

Every step is a faint dot; the line is a moving average, because the loss of a step depends mostly on the noise level
that was drawn. The scale leaves out the highest hundredth of the losses. Numbers stand at the axes: loss above and
below, steps at the right end.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

_BACKGROUND = (0.08, 0.08, 0.10)
_AXIS = (0.35, 0.37, 0.40)
_TEXT = (0.75, 0.77, 0.80)
_DOT = (0.28, 0.42, 0.50)
_LINE = (0.98, 0.58, 0.20)
_LEFT, _RIGHT, _TOP, _BOTTOM = 56, 12, 12, 28
_DIGITS = {  # rows of three pixels, from the top
    "0": (7, 5, 5, 5, 7),
    "1": (2, 6, 2, 2, 7),
    "2": (7, 1, 7, 4, 7),
    "3": (7, 1, 7, 1, 7),
    "4": (5, 5, 7, 1, 1),
    "5": (7, 4, 7, 1, 7),
    "6": (7, 4, 7, 5, 7),
    "7": (7, 1, 2, 2, 2),
    "8": (7, 5, 7, 5, 7),
    "9": (7, 5, 7, 1, 7),
    ".": (0, 0, 0, 0, 2),
    "-": (0, 0, 7, 0, 0),
    "e": (0, 7, 7, 4, 7),
    "+": (0, 2, 7, 2, 0),
}
_GLYPH_SCALE = 2


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
    picture[_TOP : bottom + 1, _LEFT - 1] = torch.tensor(_AXIS)
    picture[bottom + 1, _LEFT - 1 : right + 1] = torch.tensor(_AXIS)
    columns = torch.linspace(_LEFT, right, len(values)).round().long()

    def rows(levels: Tensor) -> Tensor:
        share = ((highest - levels) / (highest - lowest)).clamp(0, 1)
        return (_TOP + share * (bottom - _TOP)).round().long()

    picture[rows(values), columns] = torch.tensor(_DOT)
    shown = torch.linspace(0, len(values) - 1, min(len(values), width)).round().long()
    _draw_line(picture, columns[shown], rows(smooth[shown]))
    _write(picture, f"{highest:.3g}", _TOP, 4)
    _write(picture, f"{lowest:.3g}", bottom - 5 * _GLYPH_SCALE, 4)
    _write(picture, "1", bottom + 8, _LEFT)
    steps = str(len(losses))
    _write(picture, steps, bottom + 8, right - 4 * _GLYPH_SCALE * len(steps))
    return picture


def smoothed(values: Tensor) -> Tensor:
    """Moving average of a twentieth of the values before each, fewer at the beginning."""
    window = max(len(values) // 20, 1)
    sums = torch.cat((torch.zeros(1, dtype=torch.float64), values.double().cumsum(0)))
    ends = torch.arange(1, len(values) + 1)
    starts = (ends - window).clamp(min=0)
    return ((sums[ends] - sums[starts]) / (ends - starts)).float()


def _draw_line(picture: Tensor, columns: Tensor, rows: Tensor) -> None:
    """Points joined column by column, two pixels thick."""
    colour = torch.tensor(_LINE)
    for start in range(max(len(rows) - 1, 1)):
        end = min(start + 1, len(rows) - 1)
        count = int(max((columns[end] - columns[start]).abs(), (rows[end] - rows[start]).abs())) + 1
        across = torch.linspace(float(columns[start]), float(columns[end]), count).round().long()
        down = torch.linspace(float(rows[start]), float(rows[end]), count).round().long()
        picture[down, across] = colour
        picture[(down + 1).clamp(max=picture.shape[0] - 1), across] = colour


def _write(picture: Tensor, text: str, top: int, left: int) -> None:
    """Digits, point, minus and exponent."""
    for place, character in enumerate(text):
        glyph = torch.tensor([[row >> bit & 1 for bit in (2, 1, 0)] for row in _DIGITS[character]], dtype=torch.bool)
        glyph = glyph.repeat_interleave(_GLYPH_SCALE, 0).repeat_interleave(_GLYPH_SCALE, 1)
        x = left + place * 4 * _GLYPH_SCALE
        picture[top : top + glyph.shape[0], x : x + glyph.shape[1]][glyph] = torch.tensor(_TEXT)
