"""Load Models: the DiT with its encoders, the text encoder and the VAE, in any published layout."""

from __future__ import annotations

from pathlib import Path

from comfy_api.v0_0_2 import io, ui
from torch import Tensor

from ...ace_core.audio.vae import encode
from ...ace_core.checkpoints.inspection import check_compatible, inspect_model, inspect_text_encoder, inspect_vae
from ...ace_core.checkpoints.loading import weight_key
from ...ace_core.checkpoints.registry import WeightKey, stamp
from ...ace_core.checkpoints.silence import compute_silence, load_silence
from ...ace_core.checkpoints.tokenizer import find_tokenizer, tokenizer_files
from .. import compat
from ..host import feedback, folders, networks
from ..wires import AceModel, AceModelWire, AceTextEncoder, AceTextEncoderWire, AceVae, AceVaeWire
from . import choices as model_choice


class AceComposerLoadModels(io.ComfyNode):
    @classmethod
    def define_schema(cls) -> io.Schema:
        return compat.Schema(
            node_id="AceComposerLoadModels",
            display_name="ACE-Step Load Models",
            category="audio/ACE Composer",
            description="Load an ACE-Step 1.5 model with its text encoder and VAE, from any published file layout.",
            search_aliases=["ace step", "music model", "text to music", "checkpoint"],
            inputs=[
                io.Combo.Input(
                    "model",
                    options=model_choice.model_options(),
                    tooltip="The ACE-Step 1.5 model: a file in diffusion_models or checkpoints, or a folder in "
                    "ace_step with the official or the diffusers layout.",
                ),
                io.Combo.Input(
                    "text_encoder",
                    options=model_choice.text_encoder_options(),
                    default=model_choice.AUTO,
                    tooltip="Qwen3-Embedding-0.6B. auto: the one that comes with the model, else "
                    f"{model_choice.TEXT_ENCODER_FILE}.",
                ),
                io.Combo.Input(
                    "vae",
                    options=model_choice.vae_options(),
                    default=model_choice.AUTO,
                    tooltip=f"The audio VAE. auto: the one that comes with the model, else {model_choice.VAE_FILE}.",
                ),
                io.Combo.Input(
                    "variant",
                    options=[model_choice.AUTO, "turbo", "base", "sft"],
                    default=model_choice.AUTO,
                    tooltip="Decides the sampler's defaults. auto reads it from the config or the file name; choose it "
                    "for a renamed file.",
                ),
                compat.advanced(
                    io.Combo.Input(
                        "precision",
                        options=[model_choice.AUTO, "bfloat16", "float32"],
                        default=model_choice.AUTO,
                        tooltip="What the networks compute in. auto: bfloat16 on a GPU that has it, float32 on a CPU.",
                    )
                ),
            ],
            outputs=[
                AceModelWire.Output("ace_model", display_name="model"),
                AceTextEncoderWire.Output("ace_text_encoder", display_name="text_encoder"),
                AceVaeWire.Output("ace_vae", display_name="vae"),
            ],
            hidden=[io.Hidden.unique_id],
        )

    @classmethod
    def fingerprint_inputs(cls, model: str, text_encoder: str, vae: str, **_: object) -> list[tuple[str, int, int]]:
        files = inspect_model(model_choice.chosen_path(model))
        text_encoder_source = inspect_text_encoder(model_choice.text_encoder_path(text_encoder, files))
        vae_source = inspect_vae(model_choice.vae_path(vae, files))
        sources = (files.dit, files.condition_encoder, text_encoder_source, vae_source)
        paths = [path for source in sources for path in source.files]
        paths += tokenizer_files(text_encoder_source.path, folders.bundled_tokenizer_folder())
        if isinstance(files.silence, Path):
            paths.append(files.silence)
        return [tuple(entry) for entry in stamp(paths)]

    @classmethod
    def execute(cls, model: str, text_encoder: str, vae: str, variant: str, precision: str) -> io.NodeOutput:
        compat.check_choices(
            cls.define_schema(),
            model=model,
            text_encoder=text_encoder,
            vae=vae,
            variant=variant,
            precision=precision,
        )
        files = inspect_model(model_choice.chosen_path(model))
        text_encoder_source = inspect_text_encoder(model_choice.text_encoder_path(text_encoder, files))
        vae_source = inspect_vae(model_choice.vae_path(vae, files))
        check_compatible(files, text_encoder_source, vae_source)
        kind = files.kind if variant == model_choice.AUTO else variant
        if kind is None:
            raise ValueError(
                f"{files.path.name} does not say whether it is a turbo, base or sft model: choose it in 'variant'"
            )

        dtype, vae_dtype = networks.compute_dtype(precision), networks.vae_compute_dtype(precision)
        sources = (
            (files.dit, dtype, "diffusion"),
            (files.condition_encoder, dtype, "diffusion"),
            (files.audio_tokenizer, dtype, "diffusion"),
            (text_encoder_source, dtype, "text"),
            (vae_source, vae_dtype, "vae"),
        )
        update = feedback.progress()
        patchers = []
        for done, (source, source_dtype, device_kind) in enumerate(sources, 1):
            patchers.append(source and networks.patcher(source, source_dtype, kind=device_kind))
            update(done, len(sources))
        dit, condition_encoder, audio_tokenizer, text_encoder_patcher, vae_patcher = patchers

        ace_vae = AceVae(vae_source.path.name, vae_patcher, vae_dtype, stamp(vae_source.files))
        silence = load_silence(files)
        if silence is None:
            silence = _computed_silence(ace_vae, weight_key(vae_source, vae_dtype))
        tokenizer = find_tokenizer(
            text_encoder_source.path, text_encoder_source.config.vocab_size, folders.bundled_tokenizer_folder()
        )
        ace_text_encoder = AceTextEncoder(
            text_encoder_source.path.name, text_encoder_patcher, tokenizer, dtype, stamp(text_encoder_source.files)
        )
        model_sources = [source for source, *_ in sources[:3] if source is not None]
        ace_model = AceModel(
            files.path.name,
            files.size,
            kind,
            dit,
            condition_encoder,
            audio_tokenizer,
            silence,
            dtype,
            files=stamp(path for source in model_sources for path in source.files),
        )
        summary = f"{ace_model!r}, {str(dtype).removeprefix('torch.')}"
        feedback.show_text(cls.hidden.unique_id, summary)
        return io.NodeOutput(ace_model, ace_text_encoder, ace_vae, ui=ui.PreviewText(summary))


def _computed_silence(vae: AceVae, vae_key: WeightKey) -> Tensor:
    """The silence latent of checkpoints that bring none: what the VAE makes of silence, computed once."""

    def build() -> Tensor:
        network, device = networks.load(vae.patcher)
        return compute_silence(lambda waveform: encode(network, waveform, device=device, dtype=vae.dtype))

    return networks.registry.get(vae_key._replace(role="silence"), build)
