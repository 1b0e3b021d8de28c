"""Prepare: the networks as dataset making uses them, to describe songs and to encode them for training."""

from __future__ import annotations

from collections.abc import Callable

from torch import Tensor

from ..dataset.labelling import Described
from ..dataset.preprocessing import Encoders
from ..loaded import AceModel, AcePlanner, AceTextEncoder, AceVae
from ..planner.token_choice import SamplingParameters
from ..planner.understanding import describe_codes
from ..progress import Progress, share_of_progress
from ..render.conditions import SongPrompt, encode_conditions, encode_text
from ..runtime import Networks
from .codes import codes_of_latents
from .plan import ANSWER_TOKENS, ready_planner
from .sources import encode_source


def describer(
    networks: Networks,
    planner: AcePlanner,
    model: AceModel,
    vae: AceVae,
    seed: int,
    parameters: SamplingParameters,
    with_lyrics: bool,
) -> Callable[[Tensor, Progress | None], Described]:
    """What describes a waveform [1, 2, N] at 48 kHz by the planner, each with the same seed."""

    def describe(waveform: Tensor, on_progress: Progress | None) -> Described:
        latents = encode_source(networks, vae, waveform, share_of_progress(on_progress, 0, 2))
        codes = codes_of_latents(networks, model, latents)
        (answer,) = describe_codes(
            ready_planner(networks, planner, songs=1, tokens=len(codes[0]) + ANSWER_TOKENS),
            codes,
            [seed],
            parameters,
            with_lyrics=with_lyrics,
            on_progress=share_of_progress(on_progress, 1, 2),
        )
        return Described(answer.song, answer.genres or None)

    return describe


def sample_encoders(networks: Networks, model: AceModel, text_encoder: AceTextEncoder, vae: AceVae) -> Encoders:
    """What turns songs into training samples."""

    def encode_audio(waveform: Tensor, on_progress: Progress | None) -> Tensor:
        return encode_source(networks, vae, waveform, on_progress)[0]

    def encode_prompt(prompt: SongPrompt) -> Tensor:
        encoder, runtime = networks.use(text_encoder.encoder)
        text = encode_text(encoder, prompt, runtime)
        conditioner, runtime = networks.use(model.condition_encoder)
        return encode_conditions(conditioner, text, model.silence, runtime)

    text_networks = (networks.identity(text_encoder.encoder), networks.identity(model.condition_encoder))
    return Encoders(
        encode_audio,
        encode_prompt,
        text_encoder.tokenizer,
        model.silence,
        audio_identity=f"{networks.identity(vae.vae)} in {vae.vae.dtype}",
        text_identity=f"{text_networks} in {text_encoder.encoder.dtype}, {model.dtype}",
    )
