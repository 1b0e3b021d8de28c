"""The picture of the losses."""

from __future__ import annotations

import pytest
import torch

from ace_core.analysis.loss_chart import loss_picture, smoothed


@pytest.mark.parametrize("losses", [[0.5], [1.0, 1.0, 1.0], [0.0, 0.0], [3.0, 1e-7], list(range(5000))])
def test_every_run_has_a_picture(losses: list[float]) -> None:
    picture = loss_picture(losses)
    assert picture.shape == (384, 768, 3) and picture.dtype == torch.float32
    assert 0 <= picture.min() and picture.max() <= 1 and picture.isfinite().all()


def test_the_line_falls_with_the_loss() -> None:
    picture = loss_picture([2.0 - step / 100 for step in range(150)])
    line = (picture - torch.tensor((0.98, 0.58, 0.20))).abs().sum(dim=2) < 1e-4
    rows = [line[:, column].nonzero().float().mean() for column in (70, 400, 740)]
    assert rows[0] < rows[1] < rows[2]


def test_the_average_sees_the_past_only() -> None:
    values = torch.zeros(100)
    values[50:] = 1
    average = smoothed(values)
    assert average[49] == 0 and 0 < average[50] < 1 and average[60] == 1
