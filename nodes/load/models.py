"""Load Models: the DiT with its encoders, the text encoder and the VAE, in any published layout."""

from __future__ import annotations

from typing import Literal, NamedTuple, get_args

from comfy_api.v0_0_2 import io

from ...ace_core.checkpoints.inspection import inspect_model
from ...ace_core.checkpoints.variants import VARIANTS, Variant
from ...ace_core.checks import check_choice
from ...ace_core.runtime import Precision
from ...ace_core.stages.load import ModelSources, inspect_models, load_models
from .. import compat
from ..host.networks import NETWORKS
from ..node import CATEGORY, fingerprint, shown
from ..wires import AceModelWire, AceTextEncoderWire, AceVaeWire
from . import choices

VARIANT_CHOICES = (choices.AUTO, *VARIANTS)


class AceComposerLoadModels(io.ComfyNode):
    @classmethod
    def define_schema(cls) -> io.Schema:
        return compat.Schema(
            node_id="AceComposerLoadModels",
            display_name="ACE-Step Load Models",
            category=f"{CATEGORY}/load",
            description="Load an ACE-Step 1.5 model with its text encoder and VAE, from any published file layout.",
            search_aliases=["ace step", "music model", "text to music", "checkpoint"],
            inputs=[
                io.Combo.Input(
                    "model",
                    options=choices.shown(choices.model_places()),
                    tooltip="The ACE-Step 1.5 model: a file in diffusion_models or checkpoints, or a folder in "
                    "ace_step with the official or the diffusers layout.",
                ),
                io.Combo.Input(
                    "text_encoder",
                    options=[choices.AUTO, *choices.shown(choices.text_encoder_places())],
                    default=choices.AUTO,
                    tooltip="Qwen3-Embedding-0.6B. auto: the one that comes with the model, else "
                    f"{choices.TEXT_ENCODER_FILE}, else the one file that holds one, whatever its name.",
                ),
                io.Combo.Input(
                    "vae",
                    options=[choices.AUTO, *choices.shown(choices.vae_places())],
                    default=choices.AUTO,
                    tooltip="The ACE-Step 1.5 VAE, or one of the community. auto: the one that comes with the model, "
                    f"else {choices.VAE_FILE}, else the one file that holds one, whatever its name.",
                ),
                io.Combo.Input(
                    "variant",
                    options=list(VARIANT_CHOICES),
                    default=choices.AUTO,
                    tooltip="What the model was trained as; sets the default steps, shift and guidance of Sample. "
                    "auto reads it from the config, the graph that ComfyUI saved with a merge, or the file name; "
                    "choose it for a renamed file. sft-turbo: a merge of sft and turbo.",
                ),
                compat.advanced(
                    io.Combo.Input(
                        "precision",
                        options=list(get_args(Precision)),
                        default=choices.AUTO,
                        tooltip="Data type of the networks. auto: bfloat16 on a GPU that has it, float32 on a CPU.",
                    )
                ),
            ],
            outputs=[
                AceModelWire.Output(
                    "ace_model",
                    display_name="model",
                    tooltip="Diffusion model, condition encoder, audio tokenizer and silence latent.",
                ),
                AceTextEncoderWire.Output(
                    "ace_text_encoder", display_name="text_encoder", tooltip="Text encoder and its tokenizer."
                ),
                AceVaeWire.Output("ace_vae", display_name="vae", tooltip="The VAE."),
            ],
            hidden=[io.Hidden.unique_id],
        )

    @classmethod
    def validate_inputs(cls, model: str | None, text_encoder: str | None, vae: str | None) -> bool | str:
        """Workflows of the first versions name the model folder too, which the lists do not show."""
        refusals = (
            choices.refusal("model", model, choices.model_places()),
            None
            if text_encoder == choices.AUTO
            else choices.refusal("text_encoder", text_encoder, choices.text_encoder_places()),
            None if vae == choices.AUTO else choices.refusal("vae", vae, choices.vae_places()),
        )
        return next(filter(None, refusals), True)

    @classmethod
    def fingerprint_inputs(cls, model: str, text_encoder: str, vae: str, **_: object) -> str:
        return fingerprint(chosen_sources(model, text_encoder, vae).sources.stamps)

    @classmethod
    def execute(
        cls, model: str, text_encoder: str, vae: str, variant: Variant | Literal["auto"], precision: Precision
    ) -> io.NodeOutput:
        check_choice("variant", variant, VARIANT_CHOICES)
        check_choice("precision", precision, get_args(Precision))
        chosen = chosen_sources(model, text_encoder, vae)
        sources = chosen.sources
        loaded = load_models(NETWORKS, sources, variant=None if variant == "auto" else variant, precision=precision)
        dtype = str(loaded[0].dtype).removeprefix("torch.")
        guess = (sources.model.variant_note,) if variant == "auto" and sources.model.variant_note else ()
        return shown("\n".join((f"{loaded[0]!r}, {dtype}", chosen.components, *guess, *sources.notes)), *loaded)


class ChosenSources(NamedTuple):
    """Inspected files, and a line about which text encoder and VAE they are."""

    sources: ModelSources
    components: str


def chosen_sources(model: str, text_encoder: str, vae: str) -> ChosenSources:
    """Inspect the files that the choices lead to."""
    files = inspect_model(choices.chosen_path("model", model, choices.model_places()))
    encoder, decoder = choices.text_encoder(text_encoder, files), choices.vae(vae, files)
    line = f"text encoder: {encoder.label}; VAE: {decoder.label}"
    if encoder.label == decoder.label:
        line = f"text encoder and VAE: {encoder.label}"
    return ChosenSources(inspect_models(files, encoder.path, decoder.path), line)
