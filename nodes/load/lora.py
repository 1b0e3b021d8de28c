"""Load LoRA and Save LoRA: adapters on a model, and the difference of models as an adapter."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import PurePosixPath
from typing import Any

import torch
from comfy_api.v0_0_2 import io
from torch import Tensor, nn

from ...ace_core.checkpoints.files import PICKLE_SUFFIXES, name_some
from ...ace_core.checkpoints.registry import stamp
from ...ace_core.checks import check_choice
from ...ace_core.loaded import AceModel
from ...ace_core.lora.adapters import AppliedAdapter, Strengths, joined_change
from ...ace_core.lora.extraction import Extraction, extract_lora
from ...ace_core.lora.formats import (
    PEFT_PICKLE,
    PEFT_WEIGHTS,
    AdapterFiles,
    adapter_files,
    adapter_key,
    describe_adapter,
)
from ...ace_core.lora.saving import AdapterStyle, base_model_name, save_adapter
from ...ace_core.runtime import Part
from ...ace_core.stages.load import inspect_lora
from .. import compat
from ..host import adapters, feedback, folders, networks, results
from ..host.networks import NETWORKS
from ..node import CATEGORY, fingerprint, shown
from ..wires import AceModelWire
from .choices import check_offered

FOLDER = "loras"
SUFFIXES = (".safetensors", ".sft")
STYLES: dict[str, AdapterStyle] = {"ComfyUI file": "comfyui", "PEFT folder": "peft"}
MAX_RANK = 512
PRECISIONS = ("bfloat16", "float16", "float32")
WORKING_BYTES = 1 << 30  # for a few matrices of the largest model, in float32


class AceComposerLoadLora(io.ComfyNode):
    @classmethod
    def define_schema(cls) -> io.Schema:
        return compat.Schema(
            node_id="AceComposerLoadLora",
            display_name="ACE-Step Load LoRA",
            category=f"{CATEGORY}/load",
            description="Apply a LoRA, LoHa, LoKr, OFT or DoRA to the model, in any published file format. Several "
            "can be chained; other branches of the graph keep the model without it.",
            search_aliases=["adapter", "lokr", "dora", "oft", "lycoris", "peft", "style"],
            inputs=[
                AceModelWire.Input("model", tooltip="From Load Models or another Load LoRA."),
                io.Combo.Input(
                    "lora",
                    options=lora_options(),
                    tooltip="A safetensors file in models/loras, or a PEFT folder in it. Those of the planner go into "
                    "Load Planner LoRA.",
                ),
                io.Float.Input(
                    "strength",
                    default=1.0,
                    min=-10.0,
                    max=10.0,
                    step=0.05,
                    tooltip="1: as trained. 0: off. Negative values push away from the style.",
                ),
                compat.advanced(
                    io.Float.Input(
                        "strength_self",
                        default=1.0,
                        min=-10.0,
                        max=10.0,
                        step=0.05,
                        optional=True,
                        tooltip="Multiplies the strength in self-attention (how the sound relates to itself).",
                    )
                ),
                compat.advanced(
                    io.Float.Input(
                        "strength_cross",
                        default=1.0,
                        min=-10.0,
                        max=10.0,
                        step=0.05,
                        optional=True,
                        tooltip="Multiplies the strength in cross-attention (how the sound follows caption, lyrics and "
                        "timbre).",
                    )
                ),
            ],
            outputs=[
                AceModelWire.Output(
                    "ace_model", display_name="model", tooltip="The model with the adapter. Connect it to Sample."
                )
            ],
            hidden=[io.Hidden.unique_id],
        )

    @classmethod
    def fingerprint_inputs(cls, lora: str, **_: object) -> str:
        return fingerprint(stamp(adapter_files(folders.model_path(FOLDER, lora))))

    @classmethod
    def execute(
        cls, model: AceModel, lora: str, strength: float, strength_self: float = 1.0, strength_cross: float = 1.0
    ) -> io.NodeOutput:
        check_offered("lora", lora, lora_options())
        files, remarks = inspect_lora(folders.model_path(FOLDER, lora), model)
        applied = applied_adapter(lora, files, model.dit, Strengths(strength, strength_self, strength_cross))
        adapted = model._replace(
            dit=adapters.with_adapter(model.dit, applied),
            adapters=(*model.adapters, applied),
        )
        lines = (f"{applied!r}: {describe_adapter(files)}", *_useless_strengths(applied), *remarks)
        return shown("\n".join(lines), adapted)


class AceComposerSaveLora(io.ComfyNode):
    @classmethod
    def define_schema(cls) -> io.Schema:
        return compat.Schema(
            node_id="AceComposerSaveLora",
            display_name="ACE-Step Save LoRA",
            category=f"{CATEGORY}/load",
            description="Save the adapters on a model, or the difference of two models, as one LoRA of any rank.",
            search_aliases=["extract lora", "resize lora", "merge lora", "svd", "export"],
            inputs=[
                AceModelWire.Input("model", tooltip="The model with adapters from Load LoRA, or a fine-tuned model."),
                lora_name_input(),
                io.Int.Input(
                    "rank",
                    default=64,
                    min=1,
                    max=MAX_RANK,
                    tooltip="Largest rank. A higher rank keeps more of the difference and makes a larger file; the "
                    "node shows how much was kept.",
                ),
                io.Combo.Input(
                    "style",
                    options=list(STYLES),
                    default=next(iter(STYLES)),
                    tooltip="ComfyUI file: loads here and in ComfyUI's own LoRA loader. PEFT folder: loads here, in "
                    "the official app, PEFT and diffusers.",
                ),
                AceModelWire.Input(
                    "base",
                    optional=True,
                    tooltip="Save how model differs from this one. Not connected: the adapters on model are merged "
                    "into one.",
                ),
                compat.advanced(
                    io.Combo.Input(
                        "precision",
                        options=list(PRECISIONS),
                        default="bfloat16",
                        optional=True,
                        tooltip="Data type of the file. float32 makes it twice as large.",
                    )
                ),
            ],
            outputs=[],
            is_output_node=True,
            hidden=[io.Hidden.unique_id],
        )

    @classmethod
    def execute(
        cls,
        model: AceModel,
        name: str,
        rank: int,
        style: str,
        base: AceModel | None = None,
        precision: str = "bfloat16",
    ) -> io.NodeOutput:
        check_choice("style", style, STYLES)
        check_choice("precision", precision, PRECISIONS)
        _check_models(model, base)
        filled = results.name_of(name, cls.hidden)
        root, new_name = folders.new_model_name(FOLDER, filled.name)
        device = NETWORKS.device_of(model.dit)
        networks.make_room(device, WORKING_BYTES)
        extraction = extract_lora(_differences(model, base, device), rank)
        start = model if base is None else base
        saved = save_adapter(
            root / new_name,
            extraction.adapters,
            STYLES[style],
            base_model=base_model_name(start.size, start.variant),
            metadata={"source": _source(model, base), "kept_share": f"{extraction.kept_share:.6f}"},
            dtype=getattr(torch, precision),
        )
        place = (saved.parent if STYLES[style] == "peft" else saved).relative_to(root).as_posix()
        return shown("\n".join((f"{FOLDER}/{place}", _size(extraction), *_left_out(model, base), *filled.notes)))


def applied_adapter(lora: str, files: AdapterFiles, part: Part[nn.Module], strengths: Strengths) -> AppliedAdapter:
    """The adapter of a choice, read for a network; trainers call all their folders alike, so its name is the choice."""
    name = lora.replace("\\", "/")
    return AppliedAdapter(name, adapters.adapter_weights(files, part), strengths, adapter_key(files).files)


def lora_name_input() -> Any:
    return io.String.Input(
        "name",
        default="ace_step/my_style",
        tooltip="Name in models/loras; a number is added, so no file is overwritten. %date:yyyy-MM-dd% and "
        "%Node.widget% are filled in.",
    )


def lora_options() -> list[str]:
    """The adapters in the host's folder: safetensors files, and for a file of peft the folder it lies in.

    Pickles are offered too, as ComfyUI does: who chooses one reads why it is not opened. Those beside an adapter are
    states of its trainer.
    """
    names = {PurePosixPath(name.replace("\\", "/")): name for name in folders.model_files(FOLDER)}
    with_adapters = {path.parent for path in names if path.suffix in SUFFIXES and path.parent.name}
    options = []
    for path, name in names.items():
        if path.suffix in PICKLE_SUFFIXES and path.parent in with_adapters:
            continue
        if path.name in (PEFT_WEIGHTS, PEFT_PICKLE) and path.parent.name:
            options.append(path.parent.as_posix())
        elif path.suffix in (*SUFFIXES, *PICKLE_SUFFIXES):
            options.append(name)
    return options


def _useless_strengths(applied: AppliedAdapter) -> Iterator[str]:
    """Remarks on strengths that change nothing."""
    strengths = applied.strengths
    if strengths.overall == 0:
        yield "strength 0: the model stays as it is"
    for kind, factor in (("self", strengths.self_attention), ("cross", strengths.cross_attention)):
        if factor != 1 and not any(f".{kind}_attn." in name for name in applied.adapter.weights):
            yield f"strength_{kind} changes nothing: the file has no {kind}-attention"


def _check_models(model: AceModel, base: AceModel | None) -> None:
    if base is None:
        if not model.adapters:
            raise ValueError(
                f"{model!r} has no adapters: put Load LoRA before this node, or connect the model it was tuned from "
                "to base"
            )
        return
    shapes, base_shapes = (
        {name: tuple(tensor.shape) for name, tensor in item.dit.network.state_dict().items()} for item in (model, base)
    )
    if shapes != base_shapes:
        raise ValueError(f"model is {model!r} and base is {base!r}: only models of one size have a difference")


def _differences(model: AceModel, base: AceModel | None, device: torch.device) -> Iterator[tuple[str, Tensor]]:
    """How the matrices of `model` with its adapters differ from those of `base` with its own, or without any."""
    weights = adapters.base_weights(model.dit)
    base_weights = {} if base is None else adapters.base_weights(base.dit)
    adapted = {name for applied in model.adapters for name in applied.adapter.weights}
    names = [
        name for name, weight in weights.items() if _is_matrix(name, weight) and (base is not None or name in adapted)
    ]
    update = feedback.progress()
    for done, name in enumerate(names, 1):
        weight = weights[name].to(device, torch.float32)
        change = joined_change(name, weight, model.adapters)
        if base is not None:
            start = base_weights[name].to(device, torch.float32)
            change += weight - start
            change -= joined_change(name, start, base.adapters)
        yield name, change
        update(done, len(names))


def _source(model: AceModel, base: AceModel | None) -> str:
    """What was saved, for the file's header."""
    return " + ".join(map(repr, model.adapters)) if base is None else f"{model!r} without {base!r}"


def _size(extraction: Extraction) -> str:
    share = f"{100 * extraction.kept_share:.1f} % of the difference (sum of squares)"
    return f"rank {extraction.rank}, {len(extraction.adapters)} weights, {share}"


def _left_out(model: AceModel, base: AceModel | None) -> Iterator[str]:
    """A remark on what differs and is no matrix."""
    if base is None:
        return
    weights, base_weights = adapters.base_weights(model.dit), adapters.base_weights(base.dit)
    names = [
        name
        for name, weight in weights.items()
        if not _is_matrix(name, weight) and not torch.equal(weight.cpu().float(), base_weights[name].cpu().float())
    ]
    if names:
        yield f"also different, but no part of a LoRA: {name_some(names)}"


def _is_matrix(name: str, weight: Tensor) -> bool:
    return weight.ndim == 2 and name.endswith(".weight")
