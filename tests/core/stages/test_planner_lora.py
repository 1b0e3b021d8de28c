"""Adapters on the planner: states as peft's around transformers' model, branches, int8 weights, and the record."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import pytest
import torch
from adapter_files import random_lora, write_diffusers_file
from planner_adapters import BASE_NAME, peft_planner, write_planner_lokr, write_planner_lora
from tiny_planner import planner_weights, write_tiny_planner
from torch import Tensor

from ace_core.checkpoints.files import CheckpointError
from ace_core.loaded import AcePlanner
from ace_core.lora.adapters import AppliedAdapter, Strengths, weight_change
from ace_core.lora.formats import load_adapter
from ace_core.lora.merging import adapted_network
from ace_core.plain_networks import PlainNetworks, PlainPart
from ace_core.song.blueprint import Blueprint, with_user_values
from ace_core.stages.load import inspect_planner_lora, load_planner
from ace_core.stages.plan import plan_songs

IDS = torch.arange(1, 40)[None]
NETWORKS = PlainNetworks(torch.device("cpu"))
SONG = Blueprint(
    caption="folk",
    lyrics="[Instrumental]",
    language="unknown",
    bpm=90,
    key="C major",
    time_signature=4,
    duration_seconds=10.0,
)


@pytest.fixture(scope="module")
def weights() -> dict[str, Tensor]:
    return planner_weights(0)


@pytest.fixture(scope="module")
def planners(tmp_path_factory: pytest.TempPathFactory) -> Mapping[str, AcePlanner]:
    path = write_tiny_planner(tmp_path_factory.mktemp("planner"), "official")
    return {name: load_planner(NETWORKS, path, precision="float32", int8=name == "int8") for name in ("full", "int8")}


def adapted(planner: AcePlanner, path: Path, strength: float = 1.0) -> AcePlanner:
    files, remarks = inspect_planner_lora(path, planner)
    assert remarks == ()
    applied = AppliedAdapter(path.name, load_adapter(files), Strengths(strength))
    network = adapted_network(planner.lm.network, applied)
    return planner._replace(lm=PlainPart(network, planner.lm.dtype), adapters=(*planner.adapters, applied))


def states(planner: AcePlanner) -> Tensor:
    with torch.inference_mode():
        return planner.lm.network(IDS, torch.float32)


def distance(one: Tensor, other: Tensor) -> float:
    """Relative to the size of the other."""
    return float((one - other).norm() / other.norm())


@pytest.mark.parametrize("kind", ["LoRA", "DoRA", "OFT"])
def test_the_states_are_those_of_peft(
    tmp_path: Path, planners: Mapping[str, AcePlanner], weights: dict[str, Tensor], kind: str
) -> None:
    peer = peft_planner(weights, kind)
    peer.save_pretrained(tmp_path / "artist")
    with torch.inference_mode():
        expected = peer(IDS, output_hidden_states=True).hidden_states[-1]
        base = peer.get_base_model()
    found = states(adapted(planners["full"], tmp_path / "artist"))
    assert base.config.num_hidden_layers == 2
    assert distance(found, expected) <= 1e-5
    assert distance(states(planners["full"]), expected) > 0.05


@pytest.mark.parametrize("kind", ["LoRA", "DoRA", "OFT", "LoKr"])
def test_int8_weights_take_every_kind(
    tmp_path: Path, planners: Mapping[str, AcePlanner], weights: dict[str, Tensor], kind: str
) -> None:
    """As near to the adapted full planner as the int8 planner is to the full one."""
    path = tmp_path / "artist"
    if kind == "LoKr":
        path = write_planner_lokr(tmp_path / "lokr_weights.safetensors", weights)
    else:
        write_planner_lora(path, weights, kind)
    full, small = (adapted(planners[name], path) for name in ("full", "int8"))
    rounding = distance(states(planners["int8"]), states(planners["full"]))
    assert 0 < distance(states(small), states(full)) <= 3 * rounding
    assert distance(states(full), states(planners["full"])) > 5 * rounding


@pytest.mark.parametrize("name", ["full", "int8"])
def test_branches_do_not_change_one_another(
    tmp_path: Path, planners: Mapping[str, AcePlanner], weights: dict[str, Tensor], name: str
) -> None:
    one = write_planner_lora(tmp_path / "one", weights, seed=1)
    two = write_planner_lora(tmp_path / "two", weights, seed=2)
    base = planners[name]
    before = states(base)
    first = states(adapted(base, one))
    chained = adapted(adapted(base, one), two, -0.5)
    both = states(chained)
    assert torch.equal(states(base), before)
    assert torch.equal(states(adapted(base, one)), first)
    assert torch.equal(states(adapted(base, one, 0.0)), before)
    assert torch.equal(states(chained), both)
    assert min(distance(first, before), distance(both, first)) > 0.02
    assert chained.signature == "acestep-5Hz-lm-0.6B + one x 1 + two x -0.5"
    assert repr(chained) == "ACE-Step 1.5 planner (acestep-5Hz-lm-0.6B) + one x 1 + two x -0.5"


def test_every_matrix_gets_its_change(
    tmp_path: Path, planners: Mapping[str, AcePlanner], weights: dict[str, Tensor]
) -> None:
    planner = adapted(planners["full"], write_planner_lora(tmp_path / "a", weights))
    changes = planner.adapters[0].adapter.weights
    assert changes.keys() == {name for name, tensor in weights.items() if "proj" in name and tensor.ndim == 2}
    state = planner.lm.network.state_dict()
    for name, adapter in changes.items():
        weight = weights[name].float()
        assert torch.allclose(state[name], weight + weight_change(weight, adapter, 1.0), atol=1e-6)


def test_codes_follow_the_adapter_and_the_plan_names_it(
    tmp_path: Path, planners: Mapping[str, AcePlanner], weights: dict[str, Tensor]
) -> None:
    """With guidance, through the key cache: what the adapted weights write, which the base does not."""
    planner = adapted(planners["full"], write_planner_lora(tmp_path / "artist", weights))

    def planned(by: AcePlanner) -> Blueprint:
        (song,) = plan_songs(NETWORKS, by, [SONG], [3], rewrite_caption=False).blueprints
        return song

    song, again, base = planned(planner), planned(planner), planned(planners["full"])
    assert song == again and song.audio_codes != base.audio_codes
    assert (song.planner, base.planner) == ("acestep-5Hz-lm-0.6B + artist x 1", "acestep-5Hz-lm-0.6B")
    (kept,) = plan_songs(NETWORKS, planners["full"], [song], [3], write_codes=False, rewrite_caption=False).blueprints
    assert kept.planner == song.planner  # there was nothing to plan
    assert with_user_values(song, audio_codes=None).planner == ""


def test_an_adapter_of_the_decoder_is_refused(tmp_path: Path, planners: Mapping[str, AcePlanner]) -> None:
    path = write_diffusers_file(tmp_path / "style.safetensors", random_lora({"layers.0.self_attn.q_proj": (64, 32)}))
    with pytest.raises(
        CheckpointError, match=r"of the model's decoder .*, not of the planner. Put it on the model: Load"
    ):
        inspect_planner_lora(path, planners["full"])


def test_an_adapter_of_a_larger_planner_is_refused(
    tmp_path: Path, planners: Mapping[str, AcePlanner], weights: dict[str, Tensor]
) -> None:
    more = {**weights, **{name.replace("layers.1", "layers.27"): tensor for name, tensor in weights.items()}}
    path = write_planner_lokr(tmp_path / "lokr_weights.safetensors", more)
    with pytest.raises(CheckpointError, match=r"this one is without layers\.27\."):
        inspect_planner_lora(path, planners["full"])


def test_the_folder_is_what_side_step_saves(tmp_path: Path, weights: dict[str, Tensor]) -> None:
    folder = write_planner_lora(tmp_path / "artist", weights)
    assert {path.name for path in folder.iterdir()} >= {"adapter_model.safetensors", "adapter_config.json"}
    assert BASE_NAME in (folder / "adapter_config.json").read_text(encoding="utf-8")
