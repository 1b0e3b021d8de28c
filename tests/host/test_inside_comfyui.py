"""What the nodes ask of ComfyUI, and what its memory management may do to them: see tests/inside/inside_comfyui.py."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

NETWORKS = ("dit", "condition_encoder", "audio_tokenizer", "text_encoder", "vae")
Report = dict[str, dict[str, Any]]


@pytest.fixture(scope="module")
def report(run_inside: Callable[[str], Report]) -> Report:
    return run_inside("inside_comfyui.py")


def case(report: Report, name: str) -> dict[str, Any]:
    found = report[name]
    assert "error" not in found, found["error"]
    return found


def test_every_name_of_comfyui_exists_and_only_the_host_room_uses_them(report: Report) -> None:
    names = case(report, "host_names")
    assert names["unresolved"] == []
    assert {Path(file).parent.as_posix() for file in names["used"]} == {"host"}
    assert "comfy.model_management.load_models_gpu" in names["used"]["host/networks.py"]
    assert "folder_paths.get_filename_list" in names["used"]["host/folders.py"]


def test_a_name_leads_into_its_folder_or_nowhere(report: Report) -> None:
    own = "diffusion_models/acestep_v1.5_turbo.safetensors"
    assert case(report, "paths") == {
        "acestep_v1.5_turbo.safetensors": own,
        "../diffusion_models/acestep_v1.5_turbo.safetensors": own,
        "../vae/ace_1.5_vae.safetensors": "FileNotFoundError",
        "x/../../vae/ace_1.5_vae.safetensors": "FileNotFoundError",
        "MODELS/vae/ace_1.5_vae.safetensors": "FileNotFoundError",
        "..": "FileNotFoundError",
    }


def test_loaders_of_the_same_files_share_one_copy(report: Report) -> None:
    sharing = case(report, "sharing")
    assert sharing["the same patcher"] == [True] * len(NETWORKS)
    assert sharing["the same silence"]
    assert sharing["kinds"] == ["turbo", "base"]
    assert sharing["another precision is another patcher"] == [True] * len(NETWORKS)


def test_weights_live_as_long_as_somebody_uses_them(report: Report) -> None:
    sharing = case(report, "sharing")
    shared, others = [True] * len(NETWORKS), [False] * len(NETWORKS)
    assert sharing["alive while one loader's outputs are"] == shared + others
    assert sharing["alive after the last"] == 0
    assert sharing["registry entries after the last"] == 0
    assert sharing["models the host still counts"] == 0


def test_weights_loaded_in_a_node_can_be_trained(report: Report) -> None:
    assert case(report, "sharing")["inference tensors"] == []


@pytest.mark.parametrize("network", NETWORKS)
def test_the_host_may_load_a_part_of_a_network(report: Report, network: str) -> None:
    steps = case(report, "partial_loading")[network]
    for step in steps:
        assert step["resident"] + step["offloaded"] == step["size"]
        assert step["resident"] == step["counted by the host"]
        assert step["resident"] <= step["allowed"]
    residents = [step["resident"] for step in steps]
    assert residents == sorted(residents)
    assert residents[0] < residents[-1] and steps[0]["offloaded"] > 0
    assert residents[-1] == steps[-1]["size"]


def test_networks_run_where_their_inputs_are_though_weights_are_elsewhere(report: Report) -> None:
    streaming = case(report, "streaming_to_an_accelerator")
    assert len(streaming) == 4  # 2B and XL, nothing loaded and a part
    for devices in streaming.values():
        assert devices == ["meta"] * 8


def test_streaming_does_not_change_results(report: Report) -> None:
    streaming = case(report, "streaming_keeps_results")
    assert streaming["partially loaded"] == [True] * len(NETWORKS)
    assert all(layers > 0 for layers in streaming["streamed layers"].values()), streaming["streamed layers"]
    assert set(streaming["equal"].values()) == {True}, streaming["equal"]


def test_every_network_ends_at_a_layer_call_when_cancelled(report: Report) -> None:
    runs = ("dit prepare", "dit", "condition_encoder", "audio_tokenizer", "text_encoder", "vae decode", "vae encode")
    assert case(report, "cancel_in_a_layer") == dict.fromkeys(runs, "InterruptProcessingException")


def test_a_report_of_progress_ends_the_run_when_cancelled(report: Report) -> None:
    assert case(report, "cancel_between_steps") == {"cancelled": "InterruptProcessingException", "afterwards": None}


def test_the_hosts_attention_is_used_correctly(report: Report) -> None:
    for name, difference in case(report, "attention_of_the_host").items():
        assert difference <= 1e-5, name


def test_songs_of_different_lengths_in_one_batch_equal_each_alone(report: Report) -> None:
    songs = case(report, "songs_of_different_lengths")
    assert songs["shape"] == [2, 2, 12 * 48000]
    assert songs["sample_counts"] == [10 * 48000, 12 * 48000]
    assert max(songs["differences"]) <= 1e-5
    assert songs["after the end"] == 0
    assert songs["batch_size 1"] == "rendered"
    assert "set it to 1 or 2" in songs["batch_size 3"]


def test_a_tokenizer_put_beside_a_planner_is_loaded(report: Report) -> None:
    planner = case(report, "tokenizer_beside_a_planner")
    assert planner == {"unchanged": [True, True], "beside": [False, False], "removed": [True, True]}


def test_a_changed_sound_is_said_once(report: Report) -> None:
    said = case(report, "changes_said")
    (note,) = said["note"]
    assert "wavelet_correction off" in note
    assert note in said["first"]
    assert note not in said["off"] and note not in said["second"]
