"""The nodes' contract, compared with tests/data/object_info.json: what saved workflows and automation rely on.

Every supported host must give the same projection of its /object_info. Adding an input at the end of a node is a
compatible change; renaming, removing or reordering breaks what users have saved. After a compatible change:

    ACE_COMPOSER_UPDATE_SNAPSHOTS=1 python dev.py test host -- -k object_info
"""

from __future__ import annotations

import json
import os
import shutil
from dataclasses import asdict
from pathlib import Path
from typing import Any

from comfyui_client import ComfyUIClient
from contract import own_nodes, projection
from node_texts import as_json, english_texts
from tiny_checkpoints import write_tiny

from ace_core.sampling.options import SamplerOptions

SNAPSHOT = Path(__file__).parents[1] / "data" / "object_info.json"
ENGLISH = Path(__file__).parents[2] / "locales" / "en" / "nodeDefs.json"
UPDATE_VARIABLE = "ACE_COMPOSER_UPDATE_SNAPSHOTS"


def as_text(value: Any) -> str:
    return json.dumps(value, indent=2, ensure_ascii=True) + "\n"


def test_object_info_is_the_committed_contract(client: ComfyUIClient) -> None:
    found = as_text({node_id: projection(node_id, node) for node_id, node in own_nodes(client).items()})
    if os.environ.get(UPDATE_VARIABLE):
        SNAPSHOT.write_text(found, encoding="ascii")
    assert found == SNAPSHOT.read_text(encoding="ascii"), f"see the top of {Path(__file__).name}"


def test_the_english_texts_are_those_of_the_nodes(client: ComfyUIClient) -> None:
    """The page shows the translation, the host's API and older pages what the nodes say."""
    assert as_json(english_texts(own_nodes(client))) == ENGLISH.read_text(encoding="utf-8"), "run 'python dev.py texts'"


def test_the_loader_offers_every_layout(client: ComfyUIClient) -> None:
    inputs = own_nodes(client)["AceComposerLoadModels"]["input"]["required"]
    offered = {name: set(inputs[name][1]["options"]) for name in ("model", "text_encoder", "vae")}
    assert offered["model"] >= {
        "acestep_v1.5_turbo.safetensors",
        "acestep_v1.5_base.safetensors",
        "acestep_v1.5_xl_turbo_bf16.safetensors",
        "ace_step_1.5_turbo_aio.safetensors",
        "acestep-v15-turbo",
        "acestep-v15-turbo-diffusers",
    }
    assert offered["text_encoder"] >= {
        "auto",
        "qwen_0.6b_ace15.safetensors",
        "ace_step_1.5_turbo_aio.safetensors",
        "Qwen3-Embedding-0.6B",
        "ace_step/acestep-v15-turbo-diffusers/text_encoder",
    }
    assert offered["vae"] >= {"auto", "ace_1.5_vae.safetensors", "ace_step/vae"}
    assert not offered["model"] & (offered["text_encoder"] - {"ace_step_1.5_turbo_aio.safetensors"})


def test_the_published_planner_is_the_default(client: ComfyUIClient) -> None:
    inputs = own_nodes(client)["AceComposerLoadPlanner"]["input"]["required"]
    choices = inputs["planner"][1]["options"]
    assert choices[0] == "qwen_1.7b_ace15.safetensors"
    assert "qwen_0.6b_ace15.safetensors" in choices


def test_inputs_that_came_later_mean_what_the_node_did_before(client: ComfyUIClient) -> None:
    """`before` of an input is for the page, the default of `execute` for prompts; both must say the same."""
    found = {
        (node_id, name): details["before"]
        for node_id, node in own_nodes(client).items()
        for group in node["input"].values()
        for name, (_, details) in ((name, spec) for name, spec in group.items() if len(spec) > 1)
        if "before" in details
    }
    old = asdict(SamplerOptions())
    assert found == {("AceComposerSample", name): old[name] for name in ("wavelet_correction", "snap_timesteps")}


def test_a_model_that_arrives_later_is_offered(client: ComfyUIClient, models_directory: Path) -> None:
    folder = models_directory / "ace_step" / "later"
    before = offered_models(client)
    try:
        paths = write_tiny(folder, "official_sharded")
        name = paths.model.name  # there are two of this name now, which are shown with their folders
        assert offered_models(client) - before == {f"ace_step/later/{name}", f"ace_step/{name}"}
        assert before - offered_models(client) == {name}
    finally:
        shutil.rmtree(folder)
    assert offered_models(client) == before


def offered_models(client: ComfyUIClient) -> set[str]:
    return set(own_nodes(client)["AceComposerLoadModels"]["input"]["required"]["model"][1]["options"])
