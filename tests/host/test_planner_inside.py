"""Load Planner inside ComfyUI's own modules: see tests/inside/inside_planner.py."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

Report = dict[str, dict[str, Any]]


@pytest.fixture(scope="module")
def report(run_inside: Callable[[str], Report], planner_loras: Path) -> Report:
    return run_inside("inside_planner.py")


def case(report: Report, name: str) -> dict[str, Any]:
    found = report[name]
    assert "error" not in found, found["error"]
    return found


def test_each_kind_of_weights_has_one_patcher(report: Report) -> None:
    sharing = case(report, "sharing")
    assert sharing["full is shared"] and sharing["int8 is shared"]
    assert sharing["patchers"] == 3  # full, int8 and bfloat16
    assert sharing["grammars"] == 1
    assert sharing["inference tensors"] == 0
    assert sharing["alive after the last"] == 0


@pytest.mark.parametrize("weights", ["full", "int8"])
def test_branches_with_adapters_do_not_change_one_another(report: Report, weights: str) -> None:
    branches = case(report, "adapters")[weights]
    assert branches["equal to each alone"] and branches["off is base"] and branches["different"] == 4
    assert branches["base unchanged"] and branches["weights are shared"]
    assert branches["shown"].endswith(" + artist x 1 + artist_lokr.safetensors x 0.5")


def test_adapters_are_added_to_streamed_weights(report: Report) -> None:
    streamed = case(report, "streamed_adapters")
    assert streamed["streamed layers"] > 0
    assert streamed["distance"] <= 1e-4 and streamed["equal"]


def test_int8_weights_take_a_quarter(report: Report) -> None:
    sizes = case(report, "sharing")["bytes"]
    assert sizes["bfloat16"] < 0.51 * sizes["full"]
    assert sizes["int8"] < 0.3 * sizes["full"]  # the scales count more the narrower a matrix is


def test_int8_weights_are_not_read_as_full_ones(report: Report) -> None:
    codes = case(report, "sharing")["codes"]
    assert codes["full"] == codes["full again"] and codes["int8"] == codes["int8 again"]
    assert codes["int8"] != codes["full"]
    assert 0 < case(report, "dequantised")["relative error"] < 0.1


def test_int8_weights_are_refused_on_an_accelerator(report: Report) -> None:
    assert case(report, "int8_on_an_accelerator")["refused"] == (
        "int8 weights are for a CPU, but this ComfyUI uses meta: choose full weights"
    )


def test_a_planner_runs_though_its_weights_are_elsewhere(report: Report) -> None:
    assert case(report, "streaming_to_an_accelerator") == {"0.0": ["meta", "meta"], "0.4": ["meta", "meta"]}


def test_a_partly_loaded_planner_writes_the_same_codes(report: Report) -> None:
    assert case(report, "streaming_keeps_results") == {"partially loaded": True, "equal": True}


def test_a_planner_ends_when_cancelled(report: Report) -> None:
    assert case(report, "cancel") == dict.fromkeys(("full", "int8"), "InterruptProcessingException")


def test_planners_come_first_in_the_list(report: Report) -> None:
    choices = case(report, "choices")
    assert choices["all"] == [
        "text_encoders/qwen_1.7b_ace15.safetensors",
        "ace_step/acestep-5hz-lm-0.6B",
        "checkpoints/ace_step_1.5_turbo_aio.safetensors",
        "text_encoders/clip_l.safetensors",
        "text_encoders/glm_4_9b.safetensors",
        "text_encoders/qwen_0.6b_ace15.safetensors",
        "text_encoders/t5xxl.safetensors",
        "checkpoints/sd15.safetensors",
        "music box/planner",
    ]
    assert choices["models"] == [
        "checkpoints/ace_step_1.5_turbo_aio.safetensors",
        "checkpoints/sd15.safetensors",
        "ace_step/acestep-v15-turbo",
        "music box/model",
    ]
    assert choices["without a planner"][0] == "checkpoints/ace_step_1.5_turbo_aio.safetensors"
