"""The small planners are what the published ones are: every layout loads to the same network."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from tiny_planner import PLANNER_LAYOUTS, TINY, PlannerLayout, planner_weights, write_tiny_planner
from torch import nn

from ace_core.checkpoints.inspection import inspect_planner
from ace_core.checkpoints.loading import build_network
from ace_core.planner.linear import decoding_ops


@pytest.mark.parametrize("layout", PLANNER_LAYOUTS)
def test_every_layout_loads(tmp_path: Path, layout: PlannerLayout) -> None:
    source = inspect_planner(write_tiny_planner(tmp_path, layout, seed=2))
    network = build_network(source, ops=decoding_ops(nn), dtype=torch.float32)
    assert source.config == TINY
    weights = network.state_dict()
    assert weights.keys() == planner_weights(2).keys()
    assert all(torch.equal(weights[name], tensor.float()) for name, tensor in planner_weights(2).items())
