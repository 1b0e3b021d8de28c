"""A bar chart of scores: a bar a song, the best on top, [height, width, 3] from 0 to 1."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from PIL import Image, ImageDraw, ImageFont
from torch import Tensor

WIDTH = 640
ROW_HEIGHT = 34
MARGIN = 12
LABEL_WIDTH = 96
VALUE_WIDTH = 64
FONT_SIZE = 16

_BACKGROUND = (20, 20, 26)
_LANE = (38, 40, 48)
_KEPT = (90, 184, 216)
_OTHER = (92, 96, 108)
_TEXT = (226, 228, 234)


def score_chart(values: Sequence[float | None], order: Sequence[int], kept: int) -> Tensor:
    """Draw scores from 0 to 1.

    Args:
        values: a score for each song; None for a song without one.
        order: indices of the songs, best first. kept: how many of these are in the colour of the winners.
    """
    height = 2 * MARGIN + ROW_HEIGHT * len(order)
    image = Image.new("RGB", (WIDTH, height), _BACKGROUND)
    draw = ImageDraw.Draw(image)
    font = ImageFont.load_default(FONT_SIZE)
    left, right = MARGIN + LABEL_WIDTH, WIDTH - MARGIN - VALUE_WIDTH
    for place, index in enumerate(order):
        top = MARGIN + ROW_HEIGHT * place
        middle, bar = top + ROW_HEIGHT / 2, (top + 6, top + ROW_HEIGHT - 6)
        value = values[index]
        draw.text((MARGIN, middle), f"{place + 1}.  song {index + 1}", _TEXT, font, anchor="lm")
        draw.rectangle((left, bar[0], right, bar[1]), _LANE)
        if value:
            end = left + round(min(value, 1.0) * (right - left))
            draw.rectangle((left, bar[0], end, bar[1]), _KEPT if place < kept else _OTHER)
        draw.text((WIDTH - MARGIN, middle), "-" if value is None else f"{value:.3f}", _TEXT, font, anchor="rm")
    return torch.from_numpy(np.asarray(image).astype(np.float32) / 255)
